// Package process is a runtime for demonstration only: its pods are folders, and what is executed in them runs on this
// very machine as the current user, with no isolation whatever.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/internal/tty"
)

// drain is how long output of a terminal is waited for after its program ended.
const drain = time.Second

// Pod is one pretend pod with one container.
type Pod struct {
	Namespace, Name, UID, Container string
	Dir                             string // home and working directory
}

// Runtime implements runtime.Runtime.
type Runtime struct {
	table runtime.Table
	dirs  map[string]string // container id to folder
	ender proc.Ender
}

// New makes a runtime of pretend pods.
func New(pods []Pod) *Runtime {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		if signal.Ignored(s) { // programs would inherit that, and some never take it back: ^C would do nothing
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	r := &Runtime{dirs: map[string]string{}}
	for _, p := range pods {
		id := p.Namespace + "/" + p.Name + "/" + p.Container
		r.dirs[id] = p.Dir
		r.table.Put(runtime.Container{
			Key: runtime.Key{Namespace: p.Namespace, Pod: p.Name, Container: p.Container}, UID: p.UID, ID: id, PID: os.Getpid(),
			User: strconv.Itoa(os.Getuid()), WorkDir: p.Dir, Home: p.Dir,
		}, false)
	}
	return r
}

// Name implements runtime.Runtime.
func (r *Runtime) Name() string { return "process" }

// Run implements runtime.Runtime.
func (r *Runtime) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Ready implements runtime.Runtime.
func (r *Runtime) Ready() error { return nil }

// Find implements runtime.Runtime.
func (r *Runtime) Find(k runtime.Key) (runtime.Container, bool) { return r.table.Find(k) }

// Network implements runtime.Runtime: all pretend pods share this machine's network.
func (r *Runtime) Network(namespace, pod string) (runtime.Container, bool) {
	return r.table.Network(namespace, pod)
}

// Exec implements runtime.Runtime.
func (r *Runtime) Exec(_ context.Context, c runtime.Container, s runtime.Spec) (runtime.Process, error) {
	dir, ok := r.dirs[c.ID]
	if !ok {
		return nil, runtime.ErrGone
	}
	if s.User != "" {
		return nil, errors.New("process: the process runtime cannot change users")
	}
	if len(s.Argv) == 0 {
		return nil, errors.New("process: nothing to execute")
	}
	cmd := exec.Command(s.Argv[0], s.Argv[1:]...) // #nosec G204 -- executing is what this is for
	cmd.Dir = dir
	cmd.Env = append(baseEnv(), "HOME="+dir)
	cmd.Env = append(append(cmd.Env, s.Env...), proc.Marker+"="+s.Session)
	if err := lookup(cmd); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, session: s.Session, ender: &r.ender}
	var err error
	if s.TTY {
		err = p.startTTY(s)
	} else {
		err = p.startPipes()
	}
	if err != nil {
		return nil, startError(s.Argv[0], err)
	}
	p.root = proc.Identify(cmd.Process.Pid) // our child: it keeps its number until Wait
	return p, nil
}

// baseEnv is what a container would have: nothing of what the demo was started with but the search path and locale.
func baseEnv() []string {
	env := []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range []string{"LANG", "LC_ALL", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func lookup(cmd *exec.Cmd) error {
	if cmd.Err != nil {
		return startError(cmd.Args[0], cmd.Err)
	}
	if strings.Contains(cmd.Path, "/") {
		if _, err := os.Stat(cmd.Path); err != nil {
			return startError(cmd.Args[0], err)
		}
	}
	return nil
}

func startError(program string, err error) error {
	code := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		code = 127
	}
	return &runtime.StartError{Program: program, Code: code, Err: err}
}

type process struct {
	cmd            *exec.Cmd
	session        string
	ender          *proc.Ender
	root           proc.ID
	stdin          io.WriteCloser
	stdout, stderr *output
	ptmx           *os.File
	closeOnce      sync.Once
}

func (p *process) startTTY(s runtime.Spec) error {
	modes, err := proc.ParseModes(s.Modes)
	if err != nil {
		return err
	}
	ptmx, tty, err := pty.Open()
	if err != nil {
		return err
	}
	defer tty.Close()
	if ptmx, err = pollable(ptmx); err != nil {
		return err
	}
	p.ptmx = ptmx
	if err = p.Resize(s.Size); err == nil {
		err = proc.SetModes(tty, modes)
	}
	if err == nil {
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		err = p.cmd.Start()
	}
	if err != nil {
		return errors.Join(err, ptmx.Close())
	}
	p.stdin = nopCloser{ptmx}
	p.stdout = newOutput(ptmx)
	return nil
}

// pollable makes a terminal one whose Close ends reading and writing, whoever else still has it: the library's waits in
// the kernel.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil // #nosec G115 -- a descriptor fits
}

func (p *process) startPipes() error {
	inR, inW, err := os.Pipe()
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, inR.Close(), inW.Close())
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, inR.Close(), inW.Close(), outR.Close(), outW.Close())
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, errW
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = p.cmd.Start()
	for _, f := range []*os.File{inR, outW, errW} {
		_ = f.Close()
	}
	if err != nil {
		return errors.Join(err, inW.Close(), outR.Close(), errR.Close())
	}
	p.stdin, p.stdout, p.stderr = inW, newOutput(outR), newOutput(errR)
	return nil
}

func (p *process) ID() proc.ID           { return p.root }
func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stdout() io.Reader     { return p.stdout }

func (p *process) Stderr() io.Reader {
	if p.stderr == nil {
		return nil
	}
	return p.stderr
}

func (p *process) Resize(s tty.Size) error {
	if p.ptmx == nil {
		return errors.New("process: no terminal")
	}
	// Held while the call is under way: the process may end now, and the number of its descriptor be another file's.
	raw, err := p.ptmx.SyscallConn()
	if err != nil {
		return fmt.Errorf("process: resizing: %w", err)
	}
	var sized error
	err = raw.Control(func(fd uintptr) {
		sized = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Cols}) // #nosec G115 -- a descriptor fits
	})
	if err := errors.Join(err, sized); err != nil {
		return fmt.Errorf("process: resizing: %w", err)
	}
	return nil
}

func (p *process) Wait(ctx context.Context) (runtime.Exit, error) {
	err := p.cmd.Wait()
	if p.ptmx != nil {
		// The session of a terminal ends with its leader, as with sshd; a child that keeps it is not waited for.
		p.stdout.Await(ctx, p.stdout.end, drain)
	} else {
		for _, o := range []*output{p.stdout, p.stderr} {
			select {
			case <-o.end:
			case <-ctx.Done():
			}
		}
	}
	p.close()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return runtime.Exit{}, fmt.Errorf("process: %w", err)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return runtime.Exit{}, errors.New("process: no wait status")
	}
	if status.Signaled() {
		return runtime.Exit{
			Code: 128 + int(status.Signal()), Signal: proc.SignalName(status.Signal()), CoreDumped: status.CoreDump(),
		}, nil
	}
	return runtime.Exit{Code: status.ExitStatus()}, nil
}

func (p *process) Kill(ctx context.Context) error {
	err := p.ender.EndTree(ctx, p.session, p.root, proc.Grace)
	p.close()
	return err
}

func (p *process) close() {
	p.closeOnce.Do(func() {
		_ = p.stdin.Close()
		if p.ptmx != nil {
			_ = p.ptmx.Close()
		}
		p.stdout.close()
		if p.stderr != nil {
			p.stderr.close()
		}
	})
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// output is a stream that knows when it was read to the end.
type output struct {
	runtime.Idle
	f    *os.File
	once sync.Once
	end  chan struct{}
}

func newOutput(f *os.File) *output {
	return &output{Idle: runtime.Idle{R: f}, f: f, end: make(chan struct{})}
}

func (o *output) Read(p []byte) (int, error) {
	n, err := o.Idle.Read(p)
	if err != nil {
		o.once.Do(func() { close(o.end) })
		if errors.Is(err, syscall.EIO) || errors.Is(err, os.ErrClosed) {
			err = io.EOF // a terminal without programs reads as EIO on Linux
		}
	}
	return n, err
}

func (o *output) close() {
	_ = o.f.Close()
	o.once.Do(func() { close(o.end) })
}
