package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/internal/tty"
)

// wire is a network between bridge and agent that can be cut.
type wire struct {
	ln    net.Listener
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wire{ln: ln}
	w.wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			w.wg.Go(func() { _, _ = io.Copy(far, near); _ = far.(*net.TCPConn).CloseWrite() })
			w.wg.Go(func() { _, _ = io.Copy(near, far); _ = near.(*net.TCPConn).CloseWrite() })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); w.cut(); w.wg.Wait() })
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
}

func wired(t *testing.T) (*agenttest.Agent, *bridge.Bridge, *wire) {
	a := agenttest.Start(t)
	w := newWire(t, a.Address)
	b := bridge.New(bridge.Options{TLS: a.TLS, Signer: a.Signer, Addresses: map[string]string{agenttest.Node: w.ln.Addr().String()}})
	t.Cleanup(b.Close)
	return a, b, w
}

// stubborn is a program whose processes do not want to end, one of them in a session of its own.
const stubborn = `trap '' HUP TERM INT; setsid sleep 300 & (setsid sh -c 'trap "" HUP; sleep 300; sleep 300' &); sleep 300 & echo up; sleep 300; sleep 300`

// begin starts a session of stubborn processes and waits until they are there.
func begin(t *testing.T, a *agenttest.Agent, b *bridge.Bridge, terminal bool) (bridge.Process, string) {
	t.Helper()
	s := start(a, "/bin/sh", "-c", stubborn)
	s.TTY, s.Size = terminal, tty.Size{Cols: 80, Rows: 24}
	p := exec(t, b, s)
	if _, err := io.ReadFull(p.Stdout(), make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(proc.Tree(s.Session, proc.ID{})) >= 5 })
	return p, s.Session
}

func isLost(err error) bool {
	var lost *bridge.LostError
	return errors.As(err, &lost)
}

func TestCloseEndsTheTree(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	for _, terminal := range []bool{false, true} {
		p, session := begin(t, a, b, terminal)
		began := time.Now()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if left := proc.Tree(session, proc.ID{}); len(left) > 0 {
			t.Errorf("terminal %v: left behind: %+v", terminal, left)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := p.Wait(); !isLost(err) {
			t.Errorf("Wait after Close: %v", err)
		}
	}
}

func TestLostConnection(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		a, b, w := wired(t)
		p, session := begin(t, a, b, terminal)
		w.cut()
		if exit, err := p.Wait(); !isLost(err) {
			t.Errorf("Wait: %+v %v", exit, err)
		}
		if _, err := io.ReadAll(p.Stdout()); !isLost(err) {
			t.Errorf("the output's end reads as %v", err)
		}
		waitFor(t, func() bool { return len(proc.Tree(session, proc.ID{})) == 0 })
	}
}

// A program that does not read its input leaves the connection full; that it is gone shows all the same.
func TestLostConnectionBehindFullBuffers(t *testing.T) {
	a, b, w := wired(t)
	p, session := begin(t, a, b, false)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = p.Stdin().Write(make([]byte, 64<<20))
	}()
	select {
	case <-written:
		t.Fatal("64 MiB went into a program that reads nothing")
	case <-time.After(500 * time.Millisecond):
	}
	w.cut()
	<-written
	if _, err := p.Wait(); !isLost(err) {
		t.Errorf("Wait: %v", err)
	}
	waitFor(t, func() bool { return len(proc.Tree(session, proc.ID{})) == 0 })
}

func TestOutputIsNeverSilentlyShort(t *testing.T) {
	a, b, w := wired(t)
	p := exec(t, b, start(a, "/bin/sh", "-c", "while :; do echo line; done"))
	got := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, p.Stdout())
		got <- err
	}()
	time.AfterFunc(200*time.Millisecond, w.cut)
	if err := <-got; !isLost(err) {
		t.Errorf("the cut output ends with %v", err)
	}
}

// A client that reads slowly gets everything, however long after the program's end.
func TestSlowReader(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	for _, terminal := range []bool{false, true} {
		s := start(a, "/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
		s.TTY, s.Size = terminal, tty.Size{Cols: 80, Rows: 24}
		p := exec(t, b, s)
		if !terminal {
			go func() { _, _ = io.Copy(io.Discard, p.Stderr()) }()
		}
		time.Sleep(2500 * time.Millisecond) // longer than a terminal's end is waited for
		n, err := io.Copy(io.Discard, p.Stdout())
		if n != 3000000 || err != nil {
			t.Errorf("terminal %v: %d bytes, %v", terminal, n, err)
		}
		if exit, err := p.Wait(); err != nil || exit.Code != 0 {
			t.Errorf("terminal %v: %+v %v", terminal, exit, err)
		}
	}
}

func TestAgentStops(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	p, session := begin(t, a, b, true)
	short := exec(t, b, start(a, "/bin/sh", "-c", "echo up; read x; exit 7")) // ends within the time to drain
	if _, err := io.ReadFull(short.Stdout(), make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); a.Stop(t) }()
	waitFor(t, func() bool { // new ones are refused at once
		q, err := b.Exec(t.Context(), start(a, "true"))
		if err == nil {
			_ = q.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(short.Stdin(), "\n"); err != nil {
		t.Error(err)
	}
	if got := collect(t, short, nil); got.exit.Code != 7 {
		t.Errorf("the session that ended in time: %+v", got)
	}
	if _, err := p.Wait(); !isLost(err) || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("Wait: %v", err)
	}
	<-stopped
	if left := proc.Tree(session, proc.ID{}); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
}

func TestSignal(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	for _, name := range []string{"USR1", "INT", "TERM"} {
		s := start(a, "/bin/sh", "-c", `trap 'echo got; exit 9' `+name+`; echo up; while :; do sleep 0.05; done`)
		p := exec(t, b, s)
		if _, err := io.ReadFull(p.Stdout(), make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := p.Signal(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := collect(t, p, nil); got.out != "got\n" || got.exit.Code != 9 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	p := exec(t, b, start(a, "sleep", "300")) // at once: it is known from the start
	if err := p.Signal(t.Context(), "KILL"); err != nil {
		t.Error(err)
	}
	if got := collect(t, p, nil); got.exit.Signal != "KILL" {
		t.Errorf("%+v", got)
	}
	if err := p.Signal(t.Context(), "TERM"); !errors.Is(err, bridge.ErrGone) {
		t.Errorf("after the end: %v", err)
	}
	q := exec(t, b, start(a, "sleep", "300"))
	if err := q.Signal(t.Context(), "STOP; rm"); err == nil {
		t.Error("nonsense was taken for a signal")
	}
}

// A resize does not wait behind input that nobody reads, nor is the newest lost.
func TestResizeInABurst(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	s := start(a, "/bin/sh", "-c", "while [ \"$(stty size)\" != '50 150' ]; do sleep 0.02; done; echo there")
	s.TTY, s.Size = true, tty.Size{Cols: 80, Rows: 24}
	p := exec(t, b, s)
	for i := range uint16(101) {
		if err := p.Resize(tty.Size{Cols: 50 + i, Rows: 50}); err != nil {
			t.Fatal(err)
		}
	}
	if got := collect(t, p, nil); got.out != "there\r\n" {
		t.Errorf("%+v", got)
	}
}

// reluctant is a runtime that refuses each new size once.
type reluctant struct{ runtime.Runtime }

type reluctantProcess struct {
	runtime.Process
	refused map[tty.Size]bool
}

func (r reluctant) Exec(ctx context.Context, c runtime.Container, s runtime.Spec) (runtime.Process, error) {
	p, err := r.Runtime.Exec(ctx, c, s)
	return &reluctantProcess{p, map[tty.Size]bool{}}, err
}

func (p *reluctantProcess) Resize(s tty.Size) error {
	if !p.refused[s] {
		p.refused[s] = true
		return errors.New("not now")
	}
	return p.Process.Resize(s)
}

// A size that the engine refuses for the moment is not lost.
func TestResizeIsTriedAgain(t *testing.T) {
	a := agenttest.Start(t, func(o *agent.Options) { o.Runtime = reluctant{o.Runtime} })
	s := start(a, "/bin/sh", "-c", "while [ \"$(stty size)\" != '50 150' ]; do sleep 0.02; done; echo there")
	s.TTY, s.Size = true, tty.Size{Cols: 80, Rows: 24}
	p := exec(t, newBridge(t, a), s)
	if err := p.Resize(tty.Size{Cols: 150, Rows: 50}); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, p, nil); got.out != "there\r\n" {
		t.Errorf("%+v", got)
	}
}

func TestModes(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	s := start(a, "/bin/sh", "-c", "stty -a")
	s.TTY, s.Size = true, tty.Size{Cols: 80, Rows: 24}
	// VERASE ^H, VEOL x (which is not the client's to choose), IUTF8 on, IXANY on, ECHOCTL off, then the end
	s.Modes = []byte{3, 0, 0, 0, 8, 6, 0, 0, 0, 'x', 42, 0, 0, 0, 1, 39, 0, 0, 0, 1, 60, 0, 0, 0, 0, 0}
	got := collect(t, exec(t, b, s), nil)
	for _, want := range []string{"erase = ^H", "eol = <undef>", " iutf8", " ixany", "-echoctl", " icanon"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in %s", want, got.out)
		}
	}
}

func TestMarkerIsTheAgents(t *testing.T) {
	a := agenttest.Start(t)
	s := start(a, "/bin/sh", "-c", "echo $"+proc.Marker+" $OTHER")
	s.Env = []string{proc.Marker + "=forged", "OTHER=kept"}
	if got := collect(t, exec(t, newBridge(t, a), s), nil); got.out != s.Session+" kept\n" {
		t.Errorf("%+v", got)
	}
}

func TestOneSessionOneProcess(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	s := start(a, "sleep", "300")
	exec(t, b, s)
	if p, err := b.Exec(t.Context(), s); err == nil {
		_ = p.Close()
		t.Error("the session executes twice")
	}
}

func TestForward(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port) // #nosec G115 -- a port
	served := make(chan []byte, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		got, _ := io.ReadAll(c) // until the client's half-close
		served <- got
		_, _ = c.Write(bytes.Repeat([]byte("answer "), 100000))
	}()
	f, err := b.Forward(t.Context(), "f1", "alice", a.Target, port)
	must(t, err)
	defer f.Close()
	question := bytes.Repeat([]byte("question"), 1<<17)
	if _, err := f.Write(question); err != nil {
		t.Fatal(err)
	}
	must(t, f.(interface{ CloseWrite() error }).CloseWrite())
	if got := <-served; !bytes.Equal(got, question) {
		t.Errorf("%d of %d bytes came through", len(got), len(question))
	}
	answer, err := io.ReadAll(f)
	if err != nil || len(answer) != 700000 {
		t.Errorf("answer: %d bytes, %v", len(answer), err)
	}
}

func TestForwardRefused(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := uint16(ln.Addr().(*net.TCPAddr).Port) // #nosec G115 -- a port
	must(t, ln.Close())
	f, err := b.Forward(t.Context(), "f1", "alice", a.Target, port)
	var why *bridge.PortError
	if !errors.As(err, &why) || why.Reason != "connection refused" {
		t.Errorf("a port where nobody listens: %v %v", f, err)
	}
}

func TestUnreachable(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	s := start(a, "true")
	s.Target.Node = "node-2" // its certificate is not that node's
	if _, err := b.Exec(t.Context(), s); !errors.Is(err, bridge.ErrUnreachable) {
		t.Errorf("another node's agent: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close() // takes connections and says nothing
	silent := bridge.New(bridge.Options{TLS: a.TLS, Signer: a.Signer, Addresses: map[string]string{agenttest.Node: ln.Addr().String()}})
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := silent.Exec(ctx, start(a, "true")); !errors.Is(err, bridge.ErrUnreachable) {
		t.Errorf("a silent agent: %v", err)
	}
}

// TestLeftOnPurpose makes sure that what a session leaves on purpose lives on after its own end, as with sshd.
func TestLeftOnPurpose(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	s := start(a, "/bin/sh", "-c", "nohup sh -c 'sleep 0.3; echo done > later' >/dev/null 2>&1 </dev/null & exit 0")
	if got := collect(t, exec(t, b, s), nil); got.exit.Code != 0 {
		t.Errorf("%+v", got)
	}
	waitFor(t, func() bool { _, err := os.Stat(filepath.Join(a.Dir, "later")); return err == nil })
}
