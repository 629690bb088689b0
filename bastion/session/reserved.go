package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/bridge"
)

// maxListed bounds what errors and `pods` list, maxPicked what can be chosen from.
const (
	maxListed = 1000
	maxPicked = 10000
)

const helpText = `ssh ACCOUNT+POD@bastion               a shell in the pod
ssh ACCOUNT+POD@bastion COMMAND       a command in the pod
ssh ACCOUNT+NAMESPACE+POD~CONTAINER@bastion
ssh ACCOUNT+CLUSTER+NAMESPACE+POD@bastion
POD is a pod's name or IP, a workload's name (its newest ready pod), or a label selector such as app=web.
Without a pod: a picker with a terminal, else this text. These commands need no pod:
  help     this text
  pods     the pods that you may reach
  whoami   your account, how you logged in, your roles
`

// withoutPod serves an address that names no pod.
func (r *run) withoutPod(ctx context.Context, access *auth.Access) (bridge.Exit, error) {
	if r.request.Kind == Exec {
		switch strings.TrimSpace(r.request.Command) {
		case "help":
			return r.print(helpText)
		case "pods":
			return r.pods(access, "")
		case "whoami":
			return r.print(r.whoami(access))
		}
	}
	switch {
	case r.request.Terminal != nil && r.request.Kind != Subsystem:
		title, list := "Which pod?", r.service.o.Router.List(access, maxPicked+1)
		if len(list) > maxPicked {
			title, list = fmt.Sprintf("Which pod? These are the first %d; name the others", maxPicked), list[:maxPicked]
		}
		return r.pick(ctx, title, list)
	case r.request.Kind == Shell:
		return r.pods(access, helpText+"\n")
	}
	return bridge.Exit{}, &refusal{err: errors.New("session: the address names no pod"), code: exitTransport,
		text: fmt.Sprintf("the address names no pod, so there is nowhere to run this; for example: ssh %s+web-0@…", access.Account())}
}

func (r *run) print(text string) (bridge.Exit, error) {
	if r.request.Terminal != nil {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	exit := bridge.Exit{}
	if n, _ := r.client.Stdout.Write([]byte(text)); n < len(text) { // the client is gone, and needs no reason
		exit.Code = exitTransport
	}
	return exit, nil
}

// pods lists one address a line, for people and for scripts, after what goes before. What is not listed is said apart from
// the list.
func (r *run) pods(access *auth.Access, before string) (bridge.Exit, error) {
	list := r.service.o.Router.List(access, maxListed+1)
	if len(list) == 0 {
		return r.print(before + "no pods that you may reach\n")
	}
	var b strings.Builder
	b.WriteString(before)
	for _, c := range list[:min(len(list), maxListed)] {
		b.WriteString(escaped(c.Address(string(access.Account())).String()) + "\n")
	}
	exit, err := r.print(b.String())
	if len(list) > maxListed {
		r.say(fmt.Sprintf("these are the first %d; there are more, which can be named all the same", maxListed))
	}
	return exit, err
}

func (r *run) whoami(access *auth.Access) string {
	p := r.login.Principal
	var roles []string
	for _, role := range access.Roles() {
		roles = append(roles, role.Name)
	}
	how := string(p.Method)
	if p.Fingerprint != "" {
		how += " " + p.Fingerprint
	}
	if p.CertID != "" {
		how += fmt.Sprintf(" (%s, serial %d)", printable(p.CertID), p.CertSerial)
	}
	if p.SecondFactor {
		how += " and a one-time code"
	}
	return fmt.Sprintf("account: %s\nlogin:   %s\nfrom:    %s\nroles:   %s\n", p.Account, how, p.Source.Addr().Unmap(), strings.Join(roles, ", "))
}
