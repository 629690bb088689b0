package bridge_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/internal/tty"
)

// What the server's SPDY library leaves behind for a second after a peer closed first is left out.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}

func newBridge(t testing.TB, a *agenttest.Agent) *bridge.Bridge {
	b := bridge.New(bridge.Options{TLS: a.TLS, Signer: a.Signer, Port: a.Port})
	t.Cleanup(b.Close)
	return b
}

func start(a *agenttest.Agent, argv ...string) bridge.Start {
	return bridge.Start{Session: rand.Text(), Account: "alice", Target: a.Target, Argv: argv}
}

func exec(t testing.TB, b *bridge.Bridge, s bridge.Start) bridge.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel() // it bounds the start only
	p, err := b.Exec(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

type result struct {
	out, err string
	exit     bridge.Exit
}

// collect feeds stdin and reads everything.
func collect(t testing.TB, p bridge.Process, stdin io.Reader) result {
	t.Helper()
	var out, errOut bytes.Buffer
	var wg sync.WaitGroup
	read := func(b *bytes.Buffer, r io.Reader) {
		if r == nil {
			return
		}
		wg.Go(func() {
			if _, err := io.Copy(b, r); err != nil {
				t.Errorf("output: %v", err)
			}
		})
	}
	read(&out, p.Stdout())
	read(&errOut, p.Stderr())
	wg.Go(func() {
		if stdin != nil {
			_, _ = io.Copy(p.Stdin(), stdin)
		}
		_ = p.Stdin().Close()
	})
	exit, err := p.Wait()
	if err != nil {
		t.Errorf("Wait: %v", err)
	}
	wg.Wait()
	return result{out.String(), errOut.String(), exit}
}

func TestExec(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	for _, c := range []struct {
		name, script, stdin string
		want                result
	}{
		{"half-close", "cat; echo bad >&2; exit 3", "good", result{"good", "bad\n", bridge.Exit{Code: 3}}},
		{"zero", "true", "", result{}},
		{"255", "exit 255", "", result{exit: bridge.Exit{Code: 255}}},
		{"KILL", "kill -KILL $$", "", result{exit: bridge.Exit{Code: 137, Signal: "KILL"}}},
		{"TERM", "kill -TERM $$", "", result{exit: bridge.Exit{Code: 143, Signal: "TERM"}}},
		{"code like a signal's", "exit 137", "", result{exit: bridge.Exit{Code: 137}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := collect(t, exec(t, b, start(a, "/bin/sh", "-c", c.script)), strings.NewReader(c.stdin)); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestNotStarted(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	for program, code := range map[string]int{"/no/such": 127, "/etc/passwd": 126} {
		got := collect(t, exec(t, b, start(a, program)), nil)
		if got.exit.Code != code || got.exit.NotStarted == "" {
			t.Errorf("%s: %+v", program, got)
		}
	}
}

func TestBulk(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	data := make([]byte, 64<<20)
	_, _ = rand.Read(data)
	got := collect(t, exec(t, b, start(a, "cat")), bytes.NewReader(data))
	if sha256.Sum256([]byte(got.out)) != sha256.Sum256(data) || got.exit != (bridge.Exit{}) {
		t.Errorf("%d of %d bytes came back, or others; %+v", len(got.out), len(data), got.exit)
	}
}

func TestTerminalSize(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	s := start(a, "/bin/sh", "-c", "stty size; read x; while [ \"$(stty size)\" != '20 64' ]; do :; done; stty size; exit 5")
	s.TTY, s.Size = true, tty.Size{Cols: 101, Rows: 37}
	p := exec(t, b, s)
	buf := make([]byte, 1024)
	n, err := io.ReadAtLeast(p.Stdout(), buf, len("37 101\r\n"))
	if err != nil || string(buf[:n]) != "37 101\r\n" {
		t.Fatalf("first size: %q %v", buf[:n], err)
	}
	if err := p.Resize(tty.Size{Cols: 64, Rows: 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stdin().Write([]byte("\r")); err != nil { // behind the size on the same connection
		t.Fatal(err)
	}
	got := collect(t, p, nil)
	if !strings.HasSuffix(got.out, "20 64\r\n") || got.exit.Code != 5 {
		t.Errorf("got %+v", got)
	}
}

func waitFor(t testing.TB, what func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if what() {
			return
		}
	}
	t.Fatal("it did not come")
}

func TestFacts(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	f, err := b.Facts(t.Context(), "s1", "alice", a.Target, "")
	if err != nil || f.Home != a.Dir || f.WorkDir != a.Dir || len(f.Shells) == 0 {
		t.Errorf("%+v %v", f, err)
	}
	gone := a.Target
	gone.Pod = "web-2"
	if _, err := b.Facts(t.Context(), "s1", "alice", gone, ""); !errors.Is(err, bridge.ErrGone) {
		t.Errorf("a pod that is not there: %v", err)
	}
	other := a.Target
	other.UID = "uid-2"
	if _, err := b.Facts(t.Context(), "s1", "alice", other, ""); !errors.Is(err, bridge.ErrRefused) {
		t.Errorf("another UID: %v", err)
	}
	if _, err := b.Facts(t.Context(), "s1", "alice", a.Target, "no-such-user"); !errors.Is(err, bridge.ErrNoUser) {
		t.Errorf("another user: %v", err)
	}
}

// Output waits until what came on standard error before it is done with.
func TestOutputKeepsOrder(t *testing.T) {
	a := agenttest.Start(t)
	p := exec(t, newBridge(t, a), start(a, "/bin/sh", "-c", "echo e >&2; sleep 0.1; echo o; sleep 60"))
	if _, err := io.ReadFull(p.Stderr(), make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(p.Stdout(), make([]byte, 2))
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("the output came first: %v", err)
	case <-time.After(500 * time.Millisecond): // it has come long ago
	}
	go func() { _, _ = io.Copy(io.Discard, p.Stderr()) }() // ends with the process
	if err := <-read; err != nil {
		t.Error(err)
	}
}
