// Package route turns addresses into targets. (Contract only: replaced by its owner's.)
package route

import (
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/target"
)

// Resolved is where to exec.
type Resolved struct {
	Target target.Target
	Pod    *target.Pod
	Role   *auth.Role
}

// Candidate is a pod for pickers and lists.
type Candidate struct {
	Target target.Target
	Pod    *target.Pod
}

// NotFound reads the same for not permitted and not found.
type NotFound struct {
	Reason error
}

func (e *NotFound) Error() string { return "route: no such pod, or not permitted" }

// Ambiguous is more than one match.
type Ambiguous struct{ Candidates []Candidate }

func (e *Ambiguous) Error() string { return "route: more than one pod matches" }
