package route

import (
	"errors"
	"fmt"
	"strings"

	"github.com/podbastion/podbastion/bastion/target"
)

// ErrNoPod is returned for an address that names no pod: the caller shows what there is.
var ErrNoPod = errors.New("route: the address names no pod")

// NotFound says that there is nothing that the account may reach under an address. Error and Client read the same
// whatever the reason was.
type NotFound struct {
	Reason error                  // auth.ErrTargetNotFound or auth.ErrTargetNotPermitted, for the audit log only
	Stale  []target.ClusterHealth // clusters within the account's reach about which the index may be out of date
}

func (e *NotFound) Error() string { return "route: " + e.Client() }

// Unwrap gives the reason, so that errors.Is finds it. It is not for the client.
func (e *NotFound) Unwrap() error { return e.Reason }

// Client is what the client may read.
func (e *NotFound) Client() string {
	text := "there is no such pod or container, or it is not permitted"
	if len(e.Stale) > 0 {
		names := make([]string, 0, len(e.Stale))
		for _, h := range e.Stale {
			names = append(names, string(h.Cluster))
		}
		text += "; what is known of " + strings.Join(names, ", ") + " may be out of date, because there is no contact with it: try again later"
	}
	return text
}

// Ambiguous says that an address means several pods that the account may reach.
type Ambiguous struct {
	Candidates []Candidate // two or more, ordered
	More       bool        // there are more than listed
}

func (e *Ambiguous) Error() string { return "route: " + e.Client() }

// Client is what the client may read; the candidates are not in it.
func (e *Ambiguous) Client() string {
	more := ""
	if e.More {
		more = "more than "
	}
	return fmt.Sprintf("the address means %s%d pods", more, len(e.Candidates))
}

// NotRunning says that the pod or container is there and permitted, but does not run.
type NotRunning struct {
	Candidate Candidate
}

func (e *NotRunning) Error() string { return "route: " + e.Client() }

// Client is what the client may read.
func (e *NotRunning) Client() string {
	c := e.Candidate
	if c.Running {
		return fmt.Sprintf("container %s of pod %s in %s is not running", c.Containers[0], c.Pod, c.Namespace)
	}
	return fmt.Sprintf("pod %s in %s is not running", c.Pod, c.Namespace)
}
