package docker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/internal/tty"
)

const (
	grace = 300 * time.Millisecond // for processes to end after SIGHUP
	drain = time.Second            // for output of a terminal whose program ended
)

// Exec implements runtime.Runtime.
func (r *Runtime) Exec(ctx context.Context, c runtime.Container, s runtime.Spec) (runtime.Process, error) {
	if len(s.Argv) == 0 {
		return nil, errors.New("docker: nothing to execute")
	}
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
	outR, outW := io.Pipe()
	p := &process{
		api: r, id: created.ID, session: s.Session, conn: hijacked, tty: s.TTY, stdout: outR,
		stdin: &halfCloser{conn: hijacked.Conn, write: hijacked.CloseWrite},
		spoke: make(chan struct{}), ended: make(chan struct{}),
	}
	src := &firstRead{r: hijacked.Reader, spoke: p.spoke}
	if s.TTY {
		go p.pump(src, outW)
	} else {
		errR, errW := io.Pipe()
		p.stderr = errR
		go p.demux(src, outW, errW)
	}
	if err := p.started(ctx, s); err != nil {
		_ = outR.Close()
		if e, ok := p.stderr.(*io.PipeReader); ok {
			_ = e.Close()
		}
		hijacked.Close()
		return nil, err
	}
	return p, nil
}

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
	pid     int
	handle  *proc.Handle // nil where the process was gone before
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  io.Reader

	spoke   chan struct{} // closed when the first output, or its end, was read
	endOnce sync.Once
	ended   chan struct{} // closed when all output was read
}

// started waits until the engine says that the process runs, takes hold of it, and gives its terminal its first size.
func (p *process) started(ctx context.Context, s runtime.Spec) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		spoke := false
		select {
		case <-p.spoke:
			spoke = true
		default:
		}
		info, err := p.api.api.ContainerExecInspect(ctx, p.id)
		switch {
		case err != nil:
			return fmt.Errorf("docker: inspecting the exec: %w", err)
		case info.Pid != 0:
			p.pid = info.Pid
			p.handle, _ = proc.Open(info.Pid) // gone already: the engine's word must do
			if info.Running && s.TTY && s.Size != (tty.Size{}) {
				// The engine takes a first size only from API 1.42 on; before, the size comes right behind (moby #35407).
				_ = p.Resize(s.Size)
			}
			return nil
		case info.ExitCode == 126 || info.ExitCode == 127:
			return p.refused(ctx, s.Argv[0], info.ExitCode)
		case info.ExitCode != 0, spoke:
			return nil // it has ended before its process could be seen
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("docker: the exec did not start: %w", ctx.Err())
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
	if start := (*runtime.StartError)(nil); errors.As(attachError(program, err), &start) {
		return start
	}
	return &runtime.StartError{Program: program, Code: code, Err: err}
}

func (p *process) PID() int              { return p.pid }
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

// Wait implements runtime.Process. The end of the output tells of the end of the process: the engine closes the
// stream after it.
func (p *process) Wait(ctx context.Context) (runtime.Exit, error) {
	defer p.conn.Close()
	if p.handle != nil {
		defer p.handle.Close()
	}
	exited := make(chan struct{})
	if p.handle != nil && p.tty {
		go func() {
			defer close(exited)
			p.handle.Wait() // ends with the handle, at the latest
		}()
	}
	select {
	case <-p.ended:
	case <-exited:
		// The session of a terminal ends with its leader, as with sshd; a child that keeps the terminal is not waited for.
		select {
		case <-p.ended:
		case <-time.After(drain):
		case <-ctx.Done():
		}
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
	return p.settle(ctx)
}

// settle finds out how the exec ended. The kernel's word is exact, and is there even when the engine is not; the
// engine closes the stream a little before it knows.
func (p *process) settle(ctx context.Context) (runtime.Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if p.handle != nil {
			if status, ok := p.handle.Status(); ok {
				return exitOf(status), nil
			}
		}
		info, err := p.api.api.ContainerExecInspect(ctx, p.id)
		switch {
		case err != nil && p.handle == nil:
			return runtime.Exit{}, fmt.Errorf("docker: the engine does not say how the exec ended: %w", err)
		case err == nil && !info.Running:
			return runtime.Exit{Code: info.ExitCode}, nil
		}
		select {
		case <-ctx.Done():
			return runtime.Exit{}, errors.New("docker: the stream of the exec is lost while it runs")
		case <-time.After(pause):
		}
	}
}

func exitOf(status unix.WaitStatus) runtime.Exit {
	if status.Signaled() {
		return runtime.Exit{Code: 128 + int(status.Signal()), Signal: proc.SignalName(status.Signal()), CoreDumped: status.CoreDump()}
	}
	return runtime.Exit{Code: status.ExitStatus()}
}

// Kill implements runtime.Process.
func (p *process) Kill(ctx context.Context) error {
	err := proc.EndTree(ctx, p.session, p.pid, grace)
	p.end()
	p.conn.Close()
	return err
}

func (p *process) end() { p.endOnce.Do(func() { close(p.ended) }) }

func (p *process) pump(r io.Reader, out *io.PipeWriter) {
	_, err := io.CopyBuffer(struct{ io.Writer }{out}, r, make([]byte, 64<<10))
	_ = out.CloseWithError(err)
	p.end()
}

// demux takes the engine's frames apart: {stream, 0, 0, 0, length as big endian 32 bit}, then the bytes.
func (p *process) demux(r io.Reader, out, errOut *io.PipeWriter) {
	br := bufio.NewReaderSize(r, 64<<10)
	buf := make([]byte, 64<<10)
	var head [8]byte
	for {
		if _, err := io.ReadFull(br, head[:]); err != nil {
			p.finishDemux(err, out, errOut)
			return
		}
		w := out
		if head[0] == 2 {
			w = errOut
		}
		for left := int64(binary.BigEndian.Uint32(head[4:])); left > 0; {
			n, err := br.Read(buf[:min(left, int64(len(buf)))])
			if _, werr := w.Write(buf[:n]); werr != nil {
				err = errors.Join(err, werr)
			}
			if err != nil {
				p.finishDemux(err, out, errOut)
				return
			}
			left -= int64(n)
		}
	}
}

func (p *process) finishDemux(err error, out, errOut *io.PipeWriter) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	_ = out.CloseWithError(err)
	_ = errOut.CloseWithError(err)
	p.end()
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
