// Package runtime is what the agent asks of a container runtime: which containers of which pods run on this node, and
// to execute something in one of them. One conformance suite (runtimetest) holds every implementation to it.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/internal/tty"
)

// Key names a container as Kubernetes does.
type Key struct {
	Namespace string
	Pod       string
	Container string
}

func (k Key) String() string { return k.Namespace + "/" + k.Pod + "/" + k.Container }

// Container is one running container of a pod.
type Container struct {
	Key
	UID string // of the pod
	ID  string // the runtime's
	PID int    // of its first process, as this node saw it: Hold tells whether it still is; 0 where the runtime has none

	User    string   // whom the image or pod runs it as: "", "name", "uid" or with ":group"
	Groups  []string // that the pod adds to the user's own, by name or number
	WorkDir string   // its working directory
	Home    string   // where the runtime gives one whatever the user database says

	// Group is what a control group of its processes is called, by which they are known. It is empty where containers
	// are none, and PID is this very process.
	Group string
}

// Hold takes hold of the container's first process. It fails with ErrGone when there is none, also where another one has
// got its number: what PID says may be older than the container's end.
func (c Container) Hold() (*proc.Handle, error) {
	if c.PID <= 0 {
		return nil, ErrGone
	}
	var h *proc.Handle
	var err error
	switch {
	case c.Group != "":
		h, err = proc.OpenIn(c.PID, c.Group)
	case c.PID == os.Getpid():
		h, err = proc.Open(c.PID)
	default:
		return nil, fmt.Errorf("runtime: nothing proves that process %d is of container %s", c.PID, c.ID)
	}
	return h, gone(err)
}

// OpenProc opens what /proc has of the container's first process.
func (c Container) OpenProc(name string, flags int) (*os.File, error) {
	h, err := c.Hold()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	f, err := h.File(name, flags)
	return f, gone(err)
}

func gone(err error) error {
	if errors.Is(err, proc.ErrGone) {
		return ErrGone
	}
	return err
}

// Spec is what to execute. There is no working directory in it on purpose: see CVE-2024-21626.
type Spec struct {
	Session string   // marks the processes, so that all of them are found again when the session ends
	Argv    []string // program and arguments
	Env     []string // NAME=value, on top of the container's own
	User    string   // empty: the container's own
	TTY     bool
	Size    tty.Size // first size of the terminal
	Modes   []byte   // its modes as RFC 4254 section 8 encodes them; what of them counts is in proc.ParseModes
}

// Exit is how a process ended: with a code, or by a signal (then Code is 128 plus its number). Signal is a name
// without SIG, and only set where the kernel told.
type Exit struct {
	Code       int
	Signal     string
	CoreDumped bool
}

// Process is one execution. All methods but Wait may be used concurrently.
type Process interface {
	// ID is the process on this node, none if it ended before that was known.
	ID() proc.ID
	// Stdin's Close is a half-close: output goes on. A terminal's input has no end, and there it does nothing.
	Stdin() io.WriteCloser
	Stdout() io.Reader
	// Stderr is nil when there is a terminal.
	Stderr() io.Reader
	Resize(tty.Size) error
	// Wait returns once the process has ended and its output was read to the end. With a terminal it does not wait for
	// processes that are left and print nothing. The error is about the runtime; a failing program is none. Call it
	// once.
	Wait(ctx context.Context) (Exit, error)
	// Kill ends every process of the execution, and returns when none is left. Wait returns then too.
	Kill(ctx context.Context) error
}

// Runtime executes in containers. It is safe for concurrent use.
type Runtime interface {
	Name() string
	// Run keeps the picture of the node's containers fresh until ctx ends.
	Run(ctx context.Context) error
	// Ready tells whether the runtime can be reached; nil when it can.
	Ready() error
	// Find returns a running container.
	Find(Key) (Container, bool)
	// Network returns a process of the pod whose network namespace is the pod's.
	Network(namespace, pod string) (Container, bool)
	Exec(ctx context.Context, c Container, s Spec) (Process, error)
}

// ErrGone means that the container ended.
var ErrGone = errors.New("runtime: the container is gone")

// ErrNotText means that a runtime cannot hand over arguments that are not UTF-8. It starts nothing rather than something else.
var ErrNotText = errors.New("runtime: arguments that are not UTF-8")

// StartError tells that the program could not be started in the container.
type StartError struct {
	Program string
	Code    int // 127: no such program; 126: it cannot be executed
	Err     error
}

func (e *StartError) Error() string {
	what := "cannot be executed"
	switch {
	case errors.Is(e.Err, ErrNotText):
		what = "its arguments are not UTF-8, and the container's engine takes no others"
	case e.Code == 127:
		what = "no such program in the container"
	}
	return fmt.Sprintf("%s: %s", e.Program, what)
}

func (e *StartError) Unwrap() error { return e.Err }
