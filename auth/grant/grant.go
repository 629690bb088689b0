// Package grant owns the short-lived signed permission that the bastion hands an agent with every request: what it
// says, how it is signed (Ed25519), and what an agent must compare before it acts. It knows neither accounts nor
// pods: it compares strings. It imports nothing of ours.
//
// A token is base64url(JSON payload) "." base64url(signature), without padding. What is signed is a fixed prefix that
// names the purpose and version, followed by the first part as it stands on the wire; no other use of the same key
// can yield a grant.
package grant

import (
	"errors"
	"slices"
	"time"
)

// Kind is the kind of work that a grant permits. A grant of one kind is worth nothing for another.
type Kind string

const (
	Exec    Kind = "exec"    // start a process in the container
	Forward Kind = "forward" // connect to Ports of the pod
	Files   Kind = "files"   // serve files of the container
	Control Kind = "control" // signal, wait for or watch a session that runs already
	Facts   Kind = "facts"   // ask who the container's user is and which shells there are
)

// Limits of what is accepted. TTL is what a signer gives; MaxTTL is the most that a verifier takes.
const (
	TTL      = 30 * time.Second
	MaxTTL   = 5 * time.Minute
	Skew     = 5 * time.Second
	MaxToken = 8 << 10 // bytes

	maxID    = 64
	maxField = 512
	maxPorts = 256
)

// Grant is a permission for one session to do one kind of work on one container, until Expires.
// Times are carried in milliseconds.
type Grant struct {
	ID        string // unique; a grant is good for one request
	Session   string
	Account   string
	Cluster   string
	Namespace string
	Pod       string
	UID       string // of the pod; the agent compares it with what its containers say
	Container string
	Node      string // the agent's node
	Kind      Kind
	User      string   // whom to run as; empty is the container's own user
	Ports     []uint16 // Forward: the ports of the pod that may be reached
	NotBefore time.Time
	Expires   time.Time
}

// AllowsPort says whether a forward grant permits the port.
func (g Grant) AllowsPort(port uint16) bool {
	return g.Kind == Forward && port != 0 && slices.Contains(g.Ports, port)
}

// Want is what a request asks for, as the agent read it from the request itself and its own configuration.
//
// Kind and Cluster are always compared, so are Namespace and Pod, except for Control, whose requests name a session
// only: there Session must be set and the others are compared when set. Container is compared for Exec, Files and
// Facts, and when set for the rest. Node, UID and Session are compared when set; an agent always sets Node.
type Want struct {
	Node      string
	Cluster   string
	Namespace string
	Pod       string
	UID       string
	Container string
	Kind      Kind
	Session   string
}

// Reasons to refuse. Each failed Verify wraps exactly one of them.
var (
	ErrMalformed    = errors.New("grant: malformed")
	ErrUnknownKey   = errors.New("grant: signed by an unknown key")
	ErrSignature    = errors.New("grant: bad signature")
	ErrLifetime     = errors.New("grant: lifetime is not acceptable")
	ErrNotYetValid  = errors.New("grant: not valid yet")
	ErrExpired      = errors.New("grant: expired")
	ErrWrongKind    = errors.New("grant: for another kind of work")
	ErrWrongNode    = errors.New("grant: for another node")
	ErrWrongTarget  = errors.New("grant: for another target")
	ErrWrongUID     = errors.New("grant: for another pod of that name")
	ErrWrongSession = errors.New("grant: for another session")
	ErrReplayed     = errors.New("grant: used before")
	ErrReplayFull   = errors.New("grant: too many grants in flight to tell a replay")
)

// compare returns the first difference between what is wanted and what was granted.
func (w Want) compare(g Grant) error {
	switch {
	case w.Kind != g.Kind:
		return ErrWrongKind
	case w.Node != "" && w.Node != g.Node:
		return ErrWrongNode
	case w.Cluster != g.Cluster:
		return ErrWrongTarget
	case w.Kind == Control && w.Session == "":
		return ErrWrongSession
	case w.Session != "" && w.Session != g.Session:
		return ErrWrongSession
	}
	podNamed := w.Kind != Control
	containerNamed := w.Kind == Exec || w.Kind == Files || w.Kind == Facts
	switch {
	case differs(w.Namespace, g.Namespace, podNamed),
		differs(w.Pod, g.Pod, podNamed),
		differs(w.Container, g.Container, containerNamed):
		return ErrWrongTarget
	case differs(w.UID, g.UID, false):
		return ErrWrongUID
	}
	return nil
}

func differs(want, got string, always bool) bool {
	return (always || want != "") && want != got
}

// check says what a grant lacks to be worth signing or believing.
func (g Grant) check() error {
	switch g.Kind {
	case Exec, Files, Facts:
		if g.Container == "" {
			return errors.New("no container")
		}
	case Forward:
		if len(g.Ports) == 0 || slices.Contains(g.Ports, 0) {
			return errors.New("no ports, or port 0")
		}
	case Control:
	default:
		return errors.New("unknown kind")
	}
	if g.Kind != Control && (g.Namespace == "" || g.Pod == "" || g.UID == "") {
		return errors.New("no namespace, pod or pod UID")
	}
	if g.ID == "" || len(g.ID) > maxID || g.Session == "" || g.Account == "" {
		return errors.New("no id, session or account, or too long an id")
	}
	if g.Kind != Forward && len(g.Ports) > 0 || len(g.Ports) > maxPorts {
		return errors.New("ports where none belong, or too many")
	}
	for _, s := range []string{g.Session, g.Account, g.Cluster, g.Namespace, g.Pod, g.UID, g.Container, g.Node, g.User} {
		if len(s) > maxField {
			return errors.New("a field is too long")
		}
	}
	return nil
}
