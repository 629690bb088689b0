package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/internal/tty"
)

const (
	drain = time.Second     // of waiting for output of a terminal whose program ended
	start = time.Minute     // of waiting for an engine that has much to do; whoever waits can go
	lost  = 3 * time.Second // of an engine that cannot be asked before an execution counts as lost
)

// Exec implements runtime.Runtime.
func (r *Runtime) Exec(ctx context.Context, c runtime.Container, s runtime.Spec) (runtime.Process, error) {
	if len(s.Argv) == 0 {
		return nil, errors.New("docker: nothing to execute")
	}
	modes, err := proc.ParseModes(s.Modes)
	if err != nil {
		return nil, err
	}
	// The engine is told in JSON, which would put other characters in the place of such bytes.
	if slices.ContainsFunc(s.Argv, notText) {
		return nil, &runtime.StartError{Program: s.Argv[0], Code: 126, Err: runtime.ErrNotText}
	}
	s.Env = slices.DeleteFunc(slices.Clone(s.Env), notText)
	opts := container.ExecOptions{
		User: s.User, Tty: s.TTY, AttachStdin: true, AttachStdout: true, AttachStderr: !s.TTY,
		Env: append(append([]string{}, s.Env...), proc.Marker+"="+s.Session), Cmd: s.Argv,
	}
	if s.TTY && s.Size != (tty.Size{}) {
		opts.ConsoleSize = &[2]uint{uint(s.Size.Rows), uint(s.Size.Cols)} // the client leaves it out for engines before API 1.42
	}
	created, err := r.api.ContainerExecCreate(ctx, c.ID, opts)
	if err != nil {
		if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
			return nil, fmt.Errorf("%w: %w", runtime.ErrGone, err)
		}
		return nil, fmt.Errorf("docker: creating the exec: %w", err)
	}
	hijacked, err := r.api.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{Tty: s.TTY})
	if err != nil {
		return nil, attachError(s.Argv[0], err)
	}
	out, errOut := newQueue(), newQueue()
	p := &process{
		queues: []*queue{out, errOut},
		api:    r, id: created.ID, session: s.Session, conn: hijacked, tty: s.TTY, stdout: out,
		stdin: &halfCloser{conn: hijacked.Conn, write: hijacked.CloseWrite},
		spoke: make(chan struct{}), ended: make(chan struct{}),
	}
	p.source.R = &firstRead{r: hijacked.Reader, spoke: p.spoke}
	if s.TTY {
		p.stdin = endless{p.stdin} // the engine drops what a terminal's program prints after the end of its input
		go p.pump(out)
	} else {
		p.stderr = errOut
		go p.demux(out, errOut)
	}
	if err := p.started(ctx, s); err != nil {
		p.abandon()
		return nil, err
	}
	if s.TTY && len(modes) > 0 && p.root != (proc.ID{}) {
		_ = proc.ApplyModes(p.root, modes) // it may have ended already
	}
	return p, nil
}

func notText(s string) bool { return !utf8.ValidString(s) }

// attachError tells a program that cannot be started from an engine that cannot be asked.
func attachError(program string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"):
		return &runtime.StartError{Program: program, Code: 127, Err: err}
	case strings.Contains(text, "permission denied"), strings.Contains(text, "exec format error"), strings.Contains(text, "is a directory"):
		return &runtime.StartError{Program: program, Code: 126, Err: err}
	}
	return fmt.Errorf("docker: starting the exec: %w", err)
}

type process struct {
	api     *Runtime
	id      string
	session string
	conn    types.HijackedResponse
	tty     bool
	root    proc.ID
	handle  *proc.Handle // nil where the process was gone before
	queues  []*queue     // from the engine's stream to whoever reads the output
	source  runtime.Idle // the engine's stream
	broken  error        // why that did not end in order; set before ended is closed
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  io.Reader

	spoke   chan struct{} // closed when the first output, or its end, was read
	endOnce sync.Once
	ended   chan struct{} // closed when all output was read
}

// started waits until the engine says that the process runs, takes hold of it, and gives its terminal its first size.
func (p *process) started(ctx context.Context, s runtime.Spec) error {
	ctx, cancel := context.WithTimeout(ctx, start)
	defer cancel()
	word, spoke := p.spoke, false
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		info, err := p.api.api.ContainerExecInspect(ctx, p.id)
		switch {
		case err != nil:
			return fmt.Errorf("docker: inspecting the exec: %w", err)
		case info.Pid != 0:
			if p.handle, _ = proc.Open(info.Pid); p.handle != nil { // else gone already: the engine's word must do
				p.root = proc.Identify(info.Pid)
			}
			if info.Running && s.TTY && s.Size != (tty.Size{}) {
				// The engine takes a first size only from API 1.42 on; before, the size comes right behind (moby #35407).
				_ = p.Resize(s.Size)
			}
			return nil
		case info.ExitCode == 126 || info.ExitCode == 127:
			return p.refused(ctx, s.Argv[0], info.ExitCode)
		case !info.Running && (spoke || info.ExitCode != 0):
			return nil // it has ended before its process could be seen
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("docker: the exec did not start: %w", ctx.Err())
		case <-word: // it runs, or has ended
			word, spoke = nil, true
		case <-time.After(pause):
		}
	}
}

// refused makes an error of the text that the engine writes in place of the program's output. Older engines say 126
// whatever the reason is.
func (p *process) refused(ctx context.Context, program string, code int) error {
	stop := context.AfterFunc(ctx, p.conn.Close)
	defer stop()
	text, _ := io.ReadAll(io.LimitReader(p.stdout, 4<<10))
	err := fmt.Errorf("docker: %q", text)
	if known := attachError(program, err); errors.As(known, new(*runtime.StartError)) || bytes.Contains(text, []byte("cgroup")) || bytes.Contains(text, []byte("setns")) {
		return known // with these words it is the node that fails, not the program
	}
	return &runtime.StartError{Program: program, Code: code, Err: err}
}

// abandon ends what may run of an execution that nobody will hear of.
func (p *process) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := p.Kill(ctx); err != nil {
		p.api.log("docker: an execution that failed to start: %v", err)
	}
	if p.handle != nil {
		p.handle.Close()
	}
}

func (p *process) ID() proc.ID           { return p.root }
func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stderr() io.Reader     { return p.stderr }

func (p *process) Stdout() io.Reader { return p.stdout }

func (p *process) Resize(s tty.Size) error {
	if !p.tty {
		return errors.New("docker: no terminal")
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := p.api.api.ContainerExecResize(ctx, p.id, container.ResizeOptions{Height: uint(s.Rows), Width: uint(s.Cols)}); err != nil {
		return fmt.Errorf("docker: resizing: %w", err)
	}
	return nil
}

// Wait implements runtime.Process.
func (p *process) Wait(ctx context.Context) (runtime.Exit, error) {
	defer p.conn.Close()
	exited := make(chan struct{})
	if p.handle != nil {
		var watch sync.WaitGroup
		watch.Go(func() {
			defer close(exited)
			p.handle.Wait()
		})
		defer watch.Wait()
		defer p.handle.Close()
	}
	left := exited // with a terminal, its leader's end is the end, as with sshd
	if !p.tty {
		left = nil // without one, whoever holds the output is waited for
	}
	select {
	case <-p.ended:
	case <-left:
		p.source.Await(ctx, p.ended, drain)
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
	return p.settle(ctx, exited)
}

// settle finds out how the exec ended. The kernel's word is exact, but only the engine's tells that the stream ended in
// order: an engine that is killed ends it too, with output missing. The stream may also end before the process does,
// when that closes its output.
func (p *process) settle(ctx context.Context, exited <-chan struct{}) (runtime.Exit, error) {
	asked := time.Now() // when the engine was last heard of
	for pause := time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout) // one that has much to do is not lost
		info, err := p.api.api.ContainerExecInspect(callCtx, p.id)
		cancel()
		var status unix.WaitStatus
		known := false
		if p.handle != nil {
			status, known = p.handle.Status()
		}
		switch {
		case err == nil && p.failure() != nil:
			return runtime.Exit{}, fmt.Errorf("%w: %w", errLost, p.failure())
		case err == nil && known:
			return exitOf(status), nil
		case err == nil && !info.Running:
			return runtime.Exit{Code: info.ExitCode}, nil
		case err == nil:
			asked = time.Now()
		case ctx.Err() != nil:
			return runtime.Exit{}, ctx.Err()
		case known && status.Signal() == unix.SIGKILL && errdefs.IsNotFound(err):
			return exitOf(status), nil // removed together with its container
		case errdefs.IsNotFound(err), time.Since(asked) > lost:
			return runtime.Exit{}, fmt.Errorf("%w: %w", errLost, err)
		}
		select {
		case <-ctx.Done():
			return runtime.Exit{}, ctx.Err()
		case <-exited:
			exited = nil // now it is a matter of being reaped
			pause = time.Millisecond
		case <-time.After(pause):
		}
	}
}

var errLost = errors.New("docker: the engine was lost while the exec ran")

func exitOf(status unix.WaitStatus) runtime.Exit {
	if status.Signaled() {
		return runtime.Exit{Code: 128 + int(status.Signal()), Signal: proc.SignalName(status.Signal()), CoreDumped: status.CoreDump()}
	}
	return runtime.Exit{Code: status.ExitStatus()}
}

// Kill implements runtime.Process.
func (p *process) Kill(ctx context.Context) error {
	err := p.api.ender.EndTree(ctx, p.session, p.root, proc.Grace)
	p.end(nil)
	p.conn.Close()
	for _, q := range p.queues {
		q.close(nil) // nobody may be reading
	}
	return err
}

func (p *process) end(err error) {
	p.endOnce.Do(func() {
		p.broken = err
		close(p.ended)
	})
}

// failure is how the stream broke, if it has ended by then: a terminal's process may end before its stream does.
func (p *process) failure() error {
	select {
	case <-p.ended:
		return p.broken
	default:
		return nil
	}
}

func (p *process) pump(out *queue) {
	_, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{&p.source}, make([]byte, 32<<10))
	out.close(err)
	p.end(err)
}

// demux takes the engine's frames apart: {stream, 0, 0, 0, length as big endian 32 bit}, then the bytes.
func (p *process) demux(out, errOut *queue) {
	err := frames(bufio.NewReaderSize(&p.source, 64<<10), out, errOut)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	out.close(err)
	errOut.close(err)
	p.end(err)
}

// noEOF makes an error of an end that is none.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frames takes the engine's stream apart. What comes on one part goes on before what comes on the other behind it: a
// client that sees the end of the one may not wait for the other.
func frames(r *bufio.Reader, out, errOut *queue) error {
	var head [8]byte
	w, other := out, errOut
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		if (head[0] == 2) != (w == errOut) {
			w.settle()
			w, other = other, w
		}
		for left := int64(binary.BigEndian.Uint32(head[4:])); left > 0; {
			if r.Buffered() == 0 {
				if _, err := r.Peek(1); err != nil {
					return fmt.Errorf("docker: within a frame: %w", noEOF(err))
				}
			}
			piece, _ := r.Peek(int(min(left, int64(r.Buffered())))) // #nosec G115 -- no more than is buffered
			n, err := w.Write(piece)
			if err != nil {
				return err
			}
			left -= int64(n)
			_, _ = r.Discard(n)
		}
	}
}

// firstRead tells when the engine's stream has said something, or has ended.
type firstRead struct {
	r     io.Reader
	spoke chan struct{}
	once  sync.Once
}

func (f *firstRead) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.once.Do(func() { close(f.spoke) })
	return n, err
}

type halfCloser struct {
	conn  net.Conn
	write func() error
	once  sync.Once
}

func (h *halfCloser) Write(p []byte) (int, error) {
	n, err := h.conn.Write(p)
	if errors.Is(err, unix.EPIPE) {
		err = io.ErrClosedPipe
	}
	return n, err
}

func (h *halfCloser) Close() error {
	var err error
	h.once.Do(func() { err = h.write() })
	return err
}

// endless is input that a program never sees the end of.
type endless struct{ io.Writer }

func (endless) Close() error { return nil }
