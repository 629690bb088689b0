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
			return r.print(r.pods(access))
		case "whoami":
			return r.print(r.whoami(access))
		}
	}
	switch {
	case r.request.Terminal != nil && r.request.Kind != Subsystem:
		return r.pick(ctx, "Which pod?", r.service.o.Router.List(access, maxPicked))
	case r.request.Kind == Shell:
		return r.print(helpText + "\n" + r.pods(access))
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

// pods lists one address a line, for people and for scripts.
func (r *run) pods(access *auth.Access) string {
	list := r.service.o.Router.List(access, maxListed)
	if len(list) == 0 {
		return "no pods that you may reach\n"
	}
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Address(string(access.Account())).String() + "\n")
	}
	return b.String()
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
