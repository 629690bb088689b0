package guard

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/keyfile"
)

// waiting is a shell with a line editor that takes every key and shows nothing.
type waiting struct {
	works bool // it never comes to read
	mu    sync.Mutex
	got   []byte
}

func (s *waiting) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, p...)
	return len(p), nil
}

func (s *waiting) State(context.Context) (State, error) {
	return State{Own: true, Program: "bash", Reading: !s.works}, nil
}

func (s *waiting) Alone(context.Context) (bool, error) { return true, nil }

func (s *waiting) Keys(context.Context) (string, []keyfile.Binding, error) { return "", nil, nil }

func (s *waiting) has(t *testing.T, want string) {
	t.Helper()
	var got string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		got = string(s.got)
		s.mu.Unlock()
		if got == want {
			return
		}
	}
	t.Fatalf("forwarded %q, want %q", got, want)
}

// refusing is a guard that denies every line of such a shell.
func refusing(t *testing.T) (*waiting, *Guard) {
	t.Helper()
	return refusingBy(t, &waiting{})
}

func refusingBy(t *testing.T, s *waiting) (*waiting, *Guard) {
	t.Helper()
	g := New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: s, Client: io.Discard, Terminal: s, Shell: "bash",
		Decide: func(context.Context, Command) Verdict { return Verdict{Action: auth.Deny} },
		Record: func(context.Context, Command, Verdict) error { return nil }})
	work(t, g)
	return s, g
}

// work runs a guard to the end of the test.
func work(t *testing.T, g *Guard) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = g.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		work.Wait()
	})
}

// A key that was held and then let go as no line of its own holds nothing any more: an interrupt stays behind the keys
// that came before it.
func TestInterruptStaysBehindFreeKeys(t *testing.T) {
	t.Parallel()
	s, g := refusing(t)
	sent := ""
	for _, keys := range []string{"\x07", "w", "xyz\x03"} { // ^G submits nothing there
		if err := g.FromClient([]byte(keys)); err != nil {
			t.Fatal(err)
		}
		sent += keys
		s.has(t, sent)
	}
}

// ^D submits nothing where nothing was typed, or an editor has the text: it waits for nobody.
func TestEndOfFileIsNotDelayed(t *testing.T) {
	t.Parallel()
	s, g := refusingBy(t, &waiting{works: true})
	sent := ""
	for _, keys := range []string{"\x04", "xyz\x04", "\x04"} {
		if err := g.FromClient([]byte(keys)); err != nil {
			t.Fatal(err)
		}
		sent += keys
		s.has(t, sent)
	}
}

// taking is a shell that takes its terminal back from a program: at one moment the program seems to have it in the
// shell's own mode.
type taking struct {
	waiting
	looks int
}

func (s *taking) State(context.Context) (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	switch st := (State{Program: "sleep"}); {
	case strings.Contains(string(s.got), interrupt), s.looks > 60:
		return State{Own: true, Program: "zsh", Reading: true}, nil
	case s.looks < 60:
		st.Canonical = true
		return st, nil
	default:
		return st, nil
	}
}

// An Enter that has waited for a program is not let go when the shell that will read it takes the terminal back.
func TestTerminalTakenBack(t *testing.T) {
	t.Parallel()
	s := &taking{}
	g := New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: s, Client: io.Discard, Terminal: s,
		Decide: func(context.Context, Command) Verdict { return Verdict{Action: auth.Deny} },
		Record: func(context.Context, Command, Verdict) error { return nil }})
	work(t, g)
	if err := g.FromClient([]byte("x\r")); err != nil {
		t.Fatal(err)
	}
	s.has(t, "x"+interrupt)
}

// A denied paste is ended before the interrupt that clears its line: behind it, the mark would be text of the next line.
func TestPasteEndsBeforeItsLineIsCleared(t *testing.T) {
	t.Parallel()
	s, g := refusing(t)
	if err := g.FromClient([]byte(pasteBegin + "x\n")); err != nil {
		t.Fatal(err)
	}
	s.has(t, pasteBegin+"x"+pasteEnd+interrupt)
}

// A shell that takes a bracketed paste as a whole runs nothing of it before Enter, held line by line as it is.
func TestPasteIsOneText(t *testing.T) {
	for _, k := range []kindOf{
		{"bash", "", setup{}},
		{"zsh", "", setup{argv: zshell, files: map[string]string{".zshrc": zshPrompts + "KEYTIMEOUT=500\n"}}}, // it thinks that a paste ends where no key comes for so long, on a busy machine too
		{"fish", "", setup{argv: fishes}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.setup.node = true
			w := newWorld(t, k.setup)
			w.prompt()
			w.keys(pasteBegin + "echo one\necho two\necho three >G\necho four" + pasteEnd)
			w.shows("four")
			w.quiet()
			if w.exists("G") || strings.Contains(plain(w.shown()), "\none\n") {
				t.Errorf("some of it ran: %q", w.shown())
			}
			w.keys("\r")
			w.shows("\nfour\n")
			if !w.exists("G") {
				t.Errorf("it did not run: %q", w.shown())
			}
		})
	}
}

// quick is a shell that runs a line for longer than keys typed behind it wait, and for less than those wait that came
// together with it.
type quick struct {
	waiting
	guard   *Guard
	entered time.Time // when it was given a line
	early   bool      // keys came before it was done
}

const takes = (quickTime + burstTime) / 2

func (s *quick) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.early = s.early || !s.entered.IsZero() && time.Since(s.entered) < takes
	enter := strings.HasSuffix(string(p), "\r")
	if enter {
		s.entered = time.Now()
	}
	s.mu.Unlock()
	if enter {
		_ = s.guard.FromTarget([]byte("\r\n")) // its client takes everything
	}
	return s.waiting.Write(p)
}

func (s *quick) State(context.Context) (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Own: true, Program: "bash", Reading: time.Since(s.entered) > takes}, nil
}

// Keys that came together with a line wait for its prompt for longer than those that are typed behind it, so that a burst
// is typed at prompts.
func TestBurstWaitsForThePrompt(t *testing.T) {
	t.Parallel()
	s := &quick{}
	s.guard = New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: s, Client: io.Discard, Terminal: s, Shell: "bash",
		Decide: func(context.Context, Command) Verdict { return Verdict{Action: auth.Allow} },
		Record: func(context.Context, Command, Verdict) error { return nil }})
	work(t, s.guard)
	if err := s.guard.FromClient([]byte("x\ry")); err != nil {
		t.Fatal(err)
	}
	s.has(t, "x\ry")
	if s.early {
		t.Error("keys came while the line ran")
	}
}
