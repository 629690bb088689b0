package files

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/facts"
	"github.com/podbastion/podbastion/agent/files/confine"
	"github.com/podbastion/podbastion/agent/files/serve"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
)

const (
	pipeSize = 1 << 20
	maxLine  = 128 << 10 // an event's; a path has at most 4 KiB
	copySize = 256 << 10
	together = 5 * time.Millisecond // events that come within pass in one frame

	endGrace = 200 * time.Millisecond // for a helper to tell how far it got, once its input has ended
)

// Confined serves containers. Make one with NewConfined; it is safe for concurrent use.
type Confined struct {
	program *confine.Program
	log     logrus.FieldLogger
	grace   time.Duration
}

// Main is to be called first in a program that makes a Confined. It does a helper's work and ends the process, if the
// process is a helper; otherwise it returns at once.
func Main() { serve.Main() }

// built holds the program of package helper when make built it before this one.
//
//go:embed all:built
var built embed.FS

// NewConfined makes one whose helpers are started from an executable whose main calls Main; empty is the one that
// is held here, or the running one. It logs what helpers have to say that is no event.
func NewConfined(log logrus.FieldLogger, program string) *Confined {
	c := &Confined{log: log, program: confine.NewProgram(program), grace: endGrace}
	if helper, err := built.ReadFile("built/helper"); err == nil && program == "" {
		c.program = confine.Bytes(helper)
	}
	return c
}

// ErrContainerEnded means that the container ended before the session did.
var ErrContainerEnded = errors.New("files: the container ended")

// errNotConfined means that no byte of the client's was looked at.
var errNotConfined = errors.New("files: nothing can be served from this container; the agent's log says why")

// errEvents means that something was done and nobody can know what.
var errEvents = errors.New("files: an event is too long or not understood")

// Serve serves one session by a helper, and returns once that has ended. With ctx and with the container the helper
// is asked to end, so that it tells how far it got, and a moment later is ended. What is still copied from s.In ends with s.In.
func (c *Confined) Serve(ctx context.Context, ct runtime.Container, s Session) error {
	container, err := ct.Hold()
	if err != nil {
		return err
	}
	defer container.Close()
	process, err := container.Pidfd()
	if err != nil {
		return err
	}
	defer process.Close()
	cred, err := facts.ReadCredentials(ct, s.User)
	if err != nil {
		return err
	}
	home := cred.Home
	if home == "/" {
		home = "" // not one that somebody chose: the working directory goes before it
	}
	cmd, err := c.program.Command(confine.Spec{
		Process: process, UID: cred.UID, GID: cred.GID, Groups: cred.Groups, Args: []string{"podbastion", serve.Command, home, ct.WorkDir},
	})
	if err != nil {
		return err
	}
	helper, err := launch(cmd)
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	return c.attend(ctx, cmd.Process, cmd.Wait, container, s, helper)
}

// attend copies between a helper and its session until the helper has ended and all it had to say is passed on.
func (c *Confined) attend(ctx context.Context, helper *os.Process, wait func() error, container *proc.Handle, s Session, its streams) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		_ = helper.Signal(unix.SIGTERM) // it stops, and tells what became of what is open
		_ = its.in.Close()
		select {
		case <-ended:
		case <-time.After(c.grace):
		}
		_ = helper.Kill()
	})()
	go func() { // ends when the container does, or this session
		container.Wait()
		cancel(ErrContainerEnded)
	}()
	go func() { // ends with s.In, or when the helper no longer reads
		_, _ = s.In.WriteTo(its.in)
		_ = its.in.Close()
	}()
	var copies sync.WaitGroup
	copies.Go(func() {
		_, err := io.CopyBuffer(during{ctx, s.Out}, struct{ io.Reader }{its.out}, make([]byte, copySize))
		if err != nil {
			cancel(fmt.Errorf("files: the client's side is gone: %w", err))
		}
	})
	copies.Go(func() {
		select {
		case <-ended:
		case <-ctx.Done():
			_, _ = io.Copy(io.Discard, its.out) // what nobody waits for must not keep it from telling
		}
	})
	copies.Go(func() {
		if err := c.relay(s.Events, its.events); err != nil {
			cancel(err)
			_ = helper.Kill() // at once: nothing is done that is not told of
			_, _ = io.Copy(io.Discard, its.events)
		}
	})
	err := wait()
	close(ended)
	copies.Wait()
	for _, f := range []*os.File{its.in, its.out, its.events} {
		_ = f.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == confine.Failed {
		return errNotConfined
	}
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	return nil
}

// during writes as long as ctx lasts.
type during struct {
	ctx context.Context
	io.Writer
}

func (d during) Write(p []byte) (int, error) {
	if err := context.Cause(d.ctx); err != nil {
		return 0, err
	}
	return d.Writer.Write(p)
}

// relay passes events on, those of a short while together, and logs what is none. A file that is copied has two, and
// each alone would cost as much on the way as the file's own packets. An error means that an event was not passed on.
func (c *Confined) relay(w io.Writer, r io.Reader) error {
	buf := make([]byte, maxLine)
	held := 0 // of a line whose end is still to come
	for {
		n, err := r.Read(buf[held:])
		rest, failure := c.lines(w, buf[:held+n], err != nil)
		if failure != nil || err != nil {
			return failure
		}
		held = copy(buf, rest)
		if held+n < len(buf)/2 {
			time.Sleep(together) // what comes meanwhile waits in the pipe, and wakes nobody
		}
	}
}

// lines passes on the whole lines of p, all of it at the end, and returns the rest.
func (c *Confined) lines(w io.Writer, p []byte, end bool) ([]byte, error) {
	good := make([]byte, 0, len(p))
	var lost error
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		if !whole && !end && len(p) < maxLine {
			break
		}
		p = rest
		switch {
		case len(line) == 0:
		case line[0] != '{':
			c.log.WithField("text", string(line)).Warn("a files helper complains")
		case whole && json.Valid(line):
			good = append(append(good, line...), '\n')
		default:
			c.log.WithField("text", string(line[:min(len(line), 400)])).Error("a files helper's event is not understood")
			lost = errEvents
		}
	}
	if len(good) == 0 {
		return p, lost
	}
	if _, err := w.Write(good); err != nil {
		return p, fmt.Errorf("files: nobody takes the events: %w", err)
	}
	return p, lost
}

// streams are this side's ends of a helper's.
type streams struct {
	in, out, events *os.File
}

// launch starts a helper with streams of its own.
func launch(cmd *exec.Cmd) (streams, error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return streams{}, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return streams{}, errors.Join(err, stdin.Close(), in.Close())
	}
	events, stderr, err := quietPipe()
	if err != nil {
		return streams{}, errors.Join(err, stdin.Close(), in.Close(), out.Close(), stdout.Close())
	}
	for _, w := range []*os.File{in, stdout} {
		if raw, err := w.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) }) // faster, no more
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	err = cmd.Start()
	for _, f := range []*os.File{stdin, stdout, stderr} {
		_ = f.Close()
	}
	if err != nil {
		return streams{}, errors.Join(err, in.Close(), out.Close(), events.Close())
	}
	return streams{in, out, events}, nil
}

// quietPipe is one that nothing of the runtime looks at: what is written wakes only who reads at that moment.
func quietPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "events"), os.NewFile(uintptr(fds[1]), "events"), nil // #nosec G115 -- descriptors
}
