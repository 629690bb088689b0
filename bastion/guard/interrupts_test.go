package guard

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/internal/tty"
)

// sleeping is a shell with a gate, which permits everything, while a program has its terminal.
func sleeping(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, setup{gate: true, node: true, decide: func(Command) Verdict { return Verdict{Action: auth.Allow} }})
	w.prompt()
	w.keys("sleep 100\r")
	w.quiet()
	return w
}

// What stops a program is read though more keys stand before it than an SSH client's window holds, and does not wait
// behind them.
func TestInterruptsPassAFullQueue(t *testing.T) {
	for _, key := range []string{"\x03", "\x1a", "\x1c"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			w := sleeping(t)
			paste := []byte(strings.Repeat("echo x\r", 5<<19/7))
			for n := 32 << 10; len(paste) > 0; paste = paste[n:] { // as a session does, one piece after the other
				n = min(n, len(paste))
				w.keys(string(paste[:n]))
			}
			began := time.Now()
			w.keys(key)
			w.prompt()
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			w.alive()
		})
	}
}

// ^D behind text has a shell without a line editor read the line, so that it is held like Enter.
func TestEndOfFileBehindTextIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{argv: []string{"/bin/dash"}, node: true})
	w.prompt()
	w.keys("touch F\x04")
	w.shows("no touching")
	w.prompt()
	w.alive()
	if w.exists("F") {
		t.Error("it ran")
	}
}

// An interrupt that comes in one packet with keys that will be held goes ahead of them at once.
func TestInterruptInTheSamePacket(t *testing.T) {
	t.Parallel()
	w := sleeping(t)
	began := time.Now()
	w.keys("echo x\r\x03")
	w.prompt()
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	w.alive()
}

// An interrupt behind Enter takes the line from a gate that is about to tell it: an answer that came then would be keys.
func TestInterruptBehindEnter(t *testing.T) {
	t.Parallel()
	hook, ok := gate.New("/bin/bash")
	if !ok {
		t.Fatal("no gate")
	}
	s := &waiting{}
	g := New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: s, Client: io.Discard, Terminal: s, Gate: hook, Shell: "bash",
		Decide: func(context.Context, Command) Verdict { return Verdict{Action: auth.Allow} },
		Record: func(context.Context, Command, Verdict) error { return nil }})
	g.hook.proven = true
	told := func(r gate.Report) {
		g.mu.Lock()
		g.reported(r)
		g.mu.Unlock()
		g.stir()
	}
	told(gate.Report{Kind: gate.Prompt})
	work(t, g)
	sent := ""
	for _, keys := range []string{"x\r", interrupt} {
		if err := g.FromClient([]byte(keys)); err != nil {
			t.Fatal(err)
		}
		sent += keys
		s.has(t, sent)
	}
	told(gate.Report{Kind: gate.Line, Count: 1, Text: "x", Expanded: "x"})
	s.has(t, "x\r"+interrupt+interrupt)
}
