package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/target"
)

// Statuses that a session ends with when it is not the process that ended.
const (
	exitTransport = 255 // refused, ended from outside or lost; ssh itself says 255 too
	exitNotFound  = 127 // no such program or shell, as shells say it
)

const stopping = "the bastion is being stopped; try again in a moment"

const unremembered = "the session cannot be remembered as your role requires; try again later or tell your administrator"

// End is why a session ended although its process had not. Text is for the client, Reason for the log.
type End struct {
	Reason string
	Text   string
	Code   int // 0: exitTransport
}

func (e *End) code() int {
	if e.Code != 0 {
		return e.Code
	}
	return exitTransport
}

func (e *End) Error() string { return "session: " + e.Reason }

// refusal is why a session did not start. Text is for the client; the error is the true reason, for the audit log.
type refusal struct {
	err   error
	text  string
	code  int
	limit bool // a limit.hit event too
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// Reasons of refusals that are not the address'.
var (
	ErrSessions   = errors.New("session: the account has as many sessions as its role permits")
	ErrFull       = errors.New("session: the bastion has as many sessions as it may")
	ErrDraining   = errors.New("session: the bastion is being stopped")
	ErrRecording  = errors.New("session: it cannot be recorded, which the role requires")
	ErrAudit      = errors.New("session: the audit log does not take events")
	ErrNoShell    = errors.New("session: the container has no shell")
	ErrFiles      = errors.New("session: the role permits nothing with files")
	ErrCommand    = errors.New("session: the role does not permit the command")
	ErrSubsystem  = errors.New("session: no such subsystem")
	ErrCredential = errors.New("session: the login's credential or account is no longer good")
)

// explain turns an error of finding the target into a refusal.
func explain(err error, account auth.Account) *refusal {
	var ready *refusal
	if errors.As(err, &ready) {
		return ready
	}
	var syntax *target.SyntaxError
	if errors.As(err, &syntax) {
		return &refusal{err: err, code: exitTransport, text: strings.TrimPrefix(syntax.Error(), "target: ")}
	}
	var missing *route.NotFound
	if errors.As(err, &missing) {
		return &refusal{err: missing.Reason, code: exitTransport, text: missing.Client()}
	}
	var still *route.NotRunning
	if errors.As(err, &still) {
		return &refusal{err: err, code: exitTransport, text: escaped(still.Client())}
	}
	var many *route.Ambiguous
	if errors.As(err, &many) {
		return &refusal{err: err, code: exitTransport, text: many.Client() + "; name one:" + listText(many.Candidates, "\n  ", account)}
	}
	if errors.Is(err, auth.ErrUnknownAccount) || errors.Is(err, auth.ErrSourceAddress) {
		return &refusal{err: err, code: exitTransport, text: "your access has ended; log in again or ask your administrator"}
	}
	return &refusal{err: err, code: exitTransport, text: "something went wrong here; the log of the bastion says more"}
}

// lostText is what a client reads when the way to the process broke.
func lostText(err error) string {
	return "the connection to the pod was lost: " + failureText(err)
}

// failureText is what a client may know of why an agent was not used, or was lost.
func failureText(err error) string {
	var lost *bridge.LostError
	var port *bridge.PortError
	switch {
	case errors.As(err, &port):
		return printable(port.Reason)
	case errors.As(err, &lost):
		return printable(lost.Reason)
	case errors.Is(err, bridge.ErrGone):
		return "the container does not run any more"
	case errors.Is(err, bridge.ErrNoUser):
		return "the container has no such user as your role names"
	case errors.Is(err, bridge.ErrRefused):
		return "its node refused the bastion"
	case errors.Is(err, bridge.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return "its node does not answer"
	}
	return "it failed; the bastion's log says more"
}

// printable keeps text of others to one line without control characters, for terminals.
func printable(s string) string {
	const most = 400
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return escaped(s)
}

// escaped is all of it, where nothing may be cut.
func escaped(s string) string {
	q := fmt.Sprintf("%q", s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(q[1 : len(q)-1])
}

// listText lists the addresses of candidates, with sep before each.
func listText(candidates []route.Candidate, sep string, account auth.Account) string {
	var b strings.Builder
	for i, c := range candidates {
		if i == maxListed {
			fmt.Fprintf(&b, "%sand %d more", sep, len(candidates)-i)
			break
		}
		b.WriteString(sep + escaped(c.Address(string(account)).String()))
	}
	return b.String()
}

// place names a target in logs and titles.
func place(t target.Target) string {
	return fmt.Sprintf("%s+%s+%s~%s", t.Cluster, t.Namespace, t.Pod, t.Container)
}
