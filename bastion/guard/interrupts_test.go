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

// told is a guard of a shell with a gate that has shown itself, and how it is told what the gate reports.
func told(t *testing.T, action auth.Action) (s *waiting, g *Guard, tell func(gate.Report)) {
	t.Helper()
	hook, ok := gate.New("/usr/bin/zsh")
	if !ok {
		t.Fatal("no gate")
	}
	s = &waiting{}
	g = New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: s, Client: io.Discard, Terminal: s, Gate: hook, Shell: "zsh",
		Decide: func(context.Context, Command) Verdict { return Verdict{Action: action} },
		Record: func(context.Context, Command, Verdict) error { return nil }})
	g.hook.proven = true
	tell = func(r gate.Report) {
		g.mu.Lock()
		g.reported(r)
		g.mu.Unlock()
		g.stir()
	}
	tell(gate.Report{Kind: gate.Prompt})
	work(t, g)
	return s, g, tell
}

// An interrupt behind Enter takes the line from a gate that is about to tell it: an answer that came then would be keys,
// and it gets another one. Keys wait until that is taken, by which some could be lost.
func TestInterruptBehindEnter(t *testing.T) {
	t.Parallel()
	s, g, tell := told(t, auth.Allow)
	sent := ""
	for _, keys := range []string{"x\r", interrupt} {
		if err := g.FromClient([]byte(keys)); err != nil {
			t.Fatal(err)
		}
		sent += keys
		s.has(t, sent)
	}
	tell(gate.Report{Kind: gate.Line, Count: 1, Text: "x", Expanded: "x"})
	s.has(t, sent+interrupt)
	sent += interrupt
	if err := g.FromClient([]byte("y")); err != nil {
		t.Fatal(err)
	}
	ask := string(g.o.Gate.Ask())
	s.has(t, sent+ask) // the prompt did not come
	s.has(t, sent+ask+ask)
	tell(gate.Report{Kind: gate.Answer})
	tell(gate.Report{Kind: gate.Answer})
	s.has(t, sent+ask+ask+"y")
}

// A gate that is asked again, because the machine is busy, answers as often. That is no reason to doubt the next line.
func TestLateAnswersAreExpected(t *testing.T) {
	t.Parallel()
	s, g, tell := told(t, auth.Deny)
	if err := g.FromClient([]byte("\x14")); err != nil { // a macro of the user's own
		t.Fatal(err)
	}
	s.has(t, "\x14")
	tell(gate.Report{Kind: gate.Line, Count: 1, Text: "x", Expanded: "x"})
	recall, stay, ask := string(g.o.Gate.Recall(1)), string(g.o.Gate.Reply(1, false)), string(g.o.Gate.Ask())
	s.has(t, "\x14"+recall)
	tell(gate.Report{Kind: gate.Keys, Count: 1})
	s.has(t, "\x14"+recall+stay+interrupt+ask+ask)
	tell(gate.Report{Kind: gate.Prompt, Count: 1})
	tell(gate.Report{Kind: gate.Answer})
	if !g.await(t.Context(), 10*time.Second, func() bool { return !g.hook.asked }) {
		t.Fatal("it is not heard")
	}
	tell(gate.Report{Kind: gate.Answer})
	g.Flush(t.Context())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hook.doubt || g.hook.asks != 0 || g.closed() {
		t.Errorf("it is doubted: %+v", g.hook)
	}
}
