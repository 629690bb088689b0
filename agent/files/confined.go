package files

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/facts"
	"github.com/podbastion/podbastion/agent/files/confine"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
)

const (
	pipeSize = 1 << 20
	maxLine  = 128 << 10 // an event's; a path has at most 4 KiB
	copySize = 256 << 10
	together = 5 * time.Millisecond // events that come within pass in one frame
)

// Confined serves containers. Make one with NewConfined; it is safe for concurrent use.
type Confined struct {
	program *confine.Program
	log     logrus.FieldLogger
}

// NewConfined makes one whose helpers are started from an executable whose main calls Main; empty is the running one.
// It logs what helpers have to say that is no event.
func NewConfined(log logrus.FieldLogger, program string) *Confined {
	return &Confined{log: log, program: confine.NewProgram(program)}
}

// ErrContainerEnded means that the container ended before the session did.
var ErrContainerEnded = errors.New("files: the container ended")

// Serve serves one session by a helper, and returns once that has ended. The helper ends with ctx and with the
// container. What is still copied from s.In ends with s.In.
func (c *Confined) Serve(ctx context.Context, ct runtime.Container, s Session) error {
	container, err := proc.Open(ct.PID)
	if err != nil {
		return runtime.ErrGone
	}
	defer container.Close()
	cred, err := facts.ReadCredentials(ct, s.User)
	if err != nil {
		return err
	}
	home := cred.Home
	if home == "/" {
		home = "" // not one that somebody chose: the working directory goes before it
	}
	cmd, err := c.program.Command(confine.Spec{
		PID: ct.PID, UID: cred.UID, GID: cred.GID, Groups: cred.Groups, Args: []string{"podbastion", serveCommand, home, ct.WorkDir},
	})
	if err != nil {
		return err
	}
	in, out, events, err := pipes()
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in.r, out.w, events.w
	err = cmd.Start()
	for _, f := range []*os.File{in.r, out.w, events.w} {
		_ = f.Close()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("files: %w", err), in.w.Close(), out.r.Close(), events.r.Close())
	}
	return c.attend(ctx, cmd.Process, cmd.Wait, container, s, in.w, out.r, events.r)
}

// attend copies between a helper and its session until the helper has ended and all it had to say is passed on.
func (c *Confined) attend(ctx context.Context, helper *os.Process, wait func() error, container *proc.Handle, s Session, in, out, events *os.File) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { _ = helper.Kill() })()
	go func() { // ends when the container does, or this session
		container.Wait()
		cancel(ErrContainerEnded)
	}()
	go func() { // ends with s.In, or when the helper no longer reads
		_, _ = io.CopyBuffer(struct{ io.Writer }{in}, struct{ io.Reader }{s.In}, make([]byte, copySize))
		_ = in.Close()
	}()
	var copies sync.WaitGroup
	copies.Go(func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{s.Out}, struct{ io.Reader }{out}, make([]byte, copySize))
		if err != nil {
			cancel(fmt.Errorf("files: the client's side is gone: %w", err))
		}
		_ = out.Close()
	})
	copies.Go(func() {
		c.relay(s.Events, events)
		_ = events.Close()
	})
	err := wait()
	copies.Wait()
	_ = in.Close()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	return nil
}

// relay passes events on, those of a short while together, and logs what is none. A file that is copied has two, and
// each alone would cost as much on the way as the file's own packets.
func (c *Confined) relay(w io.Writer, r *os.File) {
	in, out := bufio.NewReaderSize(r, maxLine), bufio.NewWriterSize(w, maxLine)
	var part []byte // of a line, when time was up
	for {
		if ready, _ := in.Peek(in.Buffered()); out.Buffered() > 0 && !bytes.Contains(ready, []byte{'\n'}) {
			_ = r.SetReadDeadline(time.Now().Add(together)) // without, a line waits for the next
		}
		line, err := in.ReadSlice('\n')
		part = append(part, line...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && len(part) <= maxLine:
			_ = r.SetReadDeadline(time.Time{})
			err = out.Flush()
		case err == nil && part[0] == '{' && json.Valid(part):
			_, err = out.Write(part)
			part = part[:0]
		case len(part) > 0:
			c.log.WithField("text", string(part)).Warn("a files helper complains")
			part = part[:0]
			if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, os.ErrDeadlineExceeded) {
				err = nil
			}
		}
		if err != nil {
			_ = r.SetReadDeadline(time.Time{})
			_ = out.Flush()               // nobody listens then
			_, _ = io.Copy(io.Discard, r) // the helper does not wait; it is being ended
			return
		}
	}
}

// pipe is one with both ends.
type pipe struct{ r, w *os.File }

func pipes() (in, out, events pipe, err error) {
	all := []*pipe{&in, &out, &events}
	for i, p := range all {
		if p.r, p.w, err = os.Pipe(); err != nil {
			for _, made := range all[:i] {
				err = errors.Join(err, made.r.Close(), made.w.Close())
			}
			return in, out, events, err
		}
	}
	for _, p := range all[:2] {
		if raw, err := p.w.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) }) // faster, no more
		}
	}
	return in, out, events, nil
}
