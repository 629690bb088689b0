// Package bridge is the client of the agents' surface. (Contract only: replaced by its owner's.)
package bridge

import (
	"context"
	"errors"
	"io"

	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/tty"
)

// Start is one execution.
type Start struct {
	Session, Account string
	Target           target.Target
	User             string
	Argv, Env        []string
	TTY              bool
	Size             tty.Size
	Modes            []byte
}

// Reasons why an agent was not used.
var (
	ErrUnreachable = errors.New("bridge: the node's agent cannot be reached")
	ErrRefused     = errors.New("bridge: the agent refused the grant")
	ErrGone        = errors.New("bridge: the container does not run there any more")
	ErrNoUser      = errors.New("bridge: the container has no such user")
)

// Facts of the container's user.
type Facts struct {
	User    string   `json:"user"`
	UID     uint32   `json:"uid"`
	GID     uint32   `json:"gid"`
	Home    string   `json:"home"`
	Shell   string   `json:"shell"`
	Shells  []string `json:"shells"`
	WorkDir string   `json:"workdir"`
}

// Exit is how a process ended.
type Exit struct {
	Code       int
	Signal     string
	CoreDumped bool
	NotStarted string
}

// Process is a running execution.
type Process interface {
	Stdin() io.WriteCloser
	Stdout() io.Reader
	Stderr() io.Reader
	Resize(tty.Size) error
	Signal(ctx context.Context, name string) error
	Wait() (Exit, error)
	Close() error
}

// LostError says that the connection was lost.
type LostError struct{ Reason string }

func (e *LostError) Error() string { return "bridge: lost: " + e.Reason }
