package guard

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/keyfile"
)

// plainShell is the least of a shell: the kernel edits its lines, and it runs what it is given by remembering it. With
// a nonce it has a gate, and among its output is what others make up of the gate's reports.
type plainShell struct {
	guard *Guard
	cut   int // how its output is cut into pieces
	nonce string
	made  []byte // which report is made up next to each piece of output
	count int    // of lines told
	told  bool   // the gate waits for its answer
	known bool   // the others have the nonce and have used it for what only the gate tells
	part  []byte // of an answer, or of the gate's keys

	mu   sync.Mutex
	in   []byte
	wake chan struct{}
	idle bool
	line []byte
	ran  []string
	got  []byte // everything that was typed, in order
}

func (s *plainShell) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.in = append(s.in, p...)
	s.got = append(s.got, p...)
	s.idle = false
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *plainShell) Alone(context.Context) (bool, error) { return true, nil }

func (s *plainShell) Keys(context.Context) (string, []keyfile.Binding, error) { return "sh", nil, nil }

func (s *plainShell) State(context.Context) (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	canonical := s.nonce == ""
	return State{Echo: canonical, Canonical: canonical, Own: true, Program: "sh", Reading: s.idle, Unread: len(s.in)}, nil
}

func (s *plainShell) run(ctx context.Context) {
	s.prompt()
	for {
		s.mu.Lock()
		s.idle = len(s.in) == 0
		var b byte
		if !s.idle {
			b, s.in = s.in[0], s.in[1:]
		}
		idle := s.idle
		s.mu.Unlock()
		if idle {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		switch {
		case b == 0x03:
			s.line, s.part, s.told = nil, nil, false
			s.show("^C\r\n")
			s.prompt()
		case s.told:
			s.answered(b)
		case b == 0x1b || len(s.part) > 0:
			s.gateKey(b)
		case (b == '\r' || b == '\n') && s.nonce != "":
			s.count++
			s.told = true
			s.report('l', s.count, "accept", string(s.line))
		case b == '\r' || b == '\n':
			s.execute()
		default:
			s.line = append(s.line, b)
			s.show(string(b))
		}
	}
}

func (s *plainShell) execute() {
	s.mu.Lock()
	s.ran = append(s.ran, string(s.line))
	s.line = nil
	s.mu.Unlock()
	s.show("\r\nran\r\n")
	s.prompt()
}

func (s *plainShell) prompt() {
	if s.nonce != "" {
		s.report('p', s.count, "0", "/")
	}
	s.show("$ ")
}

// answered takes a key while the gate waits: what is no answer to the line told last is lost, as in bash.
func (s *plainShell) answered(b byte) {
	if s.part = append(s.part, b); b != '.' {
		return
	}
	answer := string(s.part)
	own := fmt.Sprintf("%s;%d;", s.nonce, s.count)
	if read, ok := strings.CutSuffix(answer, own+"keys."); ok {
		s.part = nil
		s.report('k', s.count, "keys", read)
		return
	}
	s.part = nil
	switch {
	case strings.HasSuffix(answer, own+"run."):
		s.told = false
		s.execute()
	case strings.HasSuffix(answer, own+"stay."):
		s.told = false
		s.show("\r\x1b[K$ " + string(s.line))
	}
}

// gateKey takes the keys that are the gate's.
func (s *plainShell) gateKey(b byte) {
	if s.part = append(s.part, b); b != '~' {
		return
	}
	switch string(s.part) {
	case gateKeys + "7~":
		s.report('q', 0, "ask", string(s.line))
	case gateKeys + "8~":
		s.line = nil
		s.show("\r\x1b[K$ ")
	}
	s.part = nil
}

func (s *plainShell) report(kind byte, count int, argument, text string) {
	s.show(reportOf(s.nonce, kind, count, argument, text))
}

func reportOf(nonce string, kind byte, count int, argument, text string) string {
	return fmt.Sprintf("\x1b]7770;%s;%c;%d;%s\x1f%s\x1f%s\a", nonce, kind, count, argument, text, text)
}

// knows tells that a made-up report is as a line or a prompt is told by the gate, with its nonce.
func knows(b byte) bool { return b%14 > 9 }

// makeUp is a report that is not the shell's: most of them without the nonce, which only the shell's owner can read, and
// at most one of those that only the gate should know to make.
func (s *plainShell) makeUp() string {
	if len(s.made) == 0 {
		return ""
	}
	b := s.made[0]
	s.made = s.made[1:]
	nonce, count := strings.Repeat("0", len(s.nonce)), s.count+int(b>>4)%3-1
	if knows(b) {
		if s.known {
			return ""
		}
		s.known = true
	}
	switch b % 14 {
	case 1:
		return reportOf(nonce, 'l', count, "accept", "ab")
	case 2:
		return reportOf(nonce, 'p', count, "0", "/")
	case 3:
		return reportOf(nonce, 'q', 0, "ask", "")
	case 4:
		return reportOf(s.nonce, 'q', 0, "ask", "ab")
	case 5:
		return reportOf(s.nonce, 'p', s.count-1, "1", "/tmp")
	case 6:
		return reportOf(s.nonce, 'x', count, "accept", "ab")
	case 7:
		return "\x1b]7770;" + s.nonce + ";l;1\x1b\\"
	case 8:
		return fmt.Sprintf("\x1b]7770;%s;l;x;accept\x1fab\x1fab\a", s.nonce)
	case 9:
		return "\x1b]7770;\a"
	case 10:
		return reportOf(s.nonce, 'l', count, "accept", "ab")
	case 11:
		return reportOf(s.nonce, 'p', count, "0", "/")
	case 12:
		return reportOf(s.nonce, 'r', count, "accept", "")
	case 13:
		return reportOf(s.nonce, 'l', count, "accept", "ab") + reportOf(s.nonce, 'k', count, "keys", "zz") + reportOf(s.nonce, 'q', 0, "ask", "ab")
	}
	return ""
}

func (s *plainShell) show(text string) {
	text = s.makeUp() + text
	for text != "" {
		n := min(s.cut, len(text))
		_ = s.guard.FromTarget([]byte(text[:n])) // its client takes everything
		text = text[n:]
	}
}

// FuzzGuard types lines in packets of any size, some of them forbidden, with output cut anyhow between them, into a
// shell without a gate and into one with a gate whose reports are made up by others, too: nothing is lost, nothing
// changes its place, and nothing runs before its verdict. Where the nonce is known to others, what is sent to the gate may
// become text; nothing runs that was not permitted all the same.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("ab\rcd\r"), uint8(1), []byte{})
	f.Add([]byte("a!\rb\r!\r\r"), uint8(3), []byte{})
	f.Add([]byte("abcabcab\r|a!b|c\r|\r!|\ra\r"), uint8(5), []byte{})
	f.Add([]byte("ab\rcd\r"), uint8(1), []byte{0})
	f.Add([]byte("a!\rb\r!\r\r"), uint8(3), []byte{1, 12, 3, 4, 5, 6, 7, 8, 9, 21, 32, 14})
	for _, b := range []byte{10, 11, 12, 13, 27} {
		f.Add([]byte("ab\rc!d\ra\r!\r"), b, []byte{0, 0, 0, 0, 0, b, 0, 0, b, 0, 0, 0, 0, b})
	}
	f.Add([]byte("abcabcab\r|a!b|c\r|\r!|\ra\r"), uint8(5), []byte{5, 5, 5, 4, 4, 17, 33, 1, 1, 2, 2, 3, 8, 7, 6})
	f.Fuzz(func(t *testing.T, data []byte, shape uint8, made []byte) {
		t.Parallel() // it mostly waits
		if len(data) > 40 {
			data = data[:40]
		}
		var lines []string
		var keys strings.Builder
		var line strings.Builder
		for _, b := range data {
			switch b {
			case '\r':
				lines = append(lines, line.String())
				line.Reset()
				keys.WriteByte('\r')
			case '!':
				line.WriteString("no")
				keys.WriteString("no")
			default:
				c := "abcdefgh"[b%8]
				line.WriteByte(c)
				keys.WriteByte(c)
			}
		}
		var mu sync.Mutex
		judged, permitted := map[string]int{}, map[string]bool{}
		s := &plainShell{cut: int(shape)%7 + 1, wake: make(chan struct{}, 1)}
		o := Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: s, Client: discard{}, Terminal: s, Shell: "sh",
			Decide: func(_ context.Context, c Command) Verdict {
				if strings.Contains(c.Line, "no") || c.Unseen {
					return Verdict{Action: auth.Deny}
				}
				mu.Lock()
				defer mu.Unlock()
				permitted[c.Line] = true
				return Verdict{Action: auth.Allow}
			},
			Record: func(_ context.Context, c Command, v Verdict) error {
				mu.Lock()
				defer mu.Unlock()
				if v.Action == auth.Allow {
					judged[c.Line]++
				}
				return nil
			}}
		if len(made) > 0 {
			o.Gate, _ = gate.New("/bin/bash")
			_, own, _ := strings.Cut(o.Gate.Env()[0], "__podbastion_nonce=")
			s.nonce, _, _ = strings.Cut(own, "\n")
			s.made = made
		}
		g := New(o)
		s.guard = g
		ctx, cancel := context.WithCancel(context.Background())
		var work sync.WaitGroup
		work.Go(func() { s.run(ctx) })
		var ended error
		work.Go(func() { ended = g.Run(ctx) })
		rest := keys.String()
		for n := int(shape)/7 + 1; rest != ""; n = n*5%11 + 1 {
			n = min(n, len(rest))
			if err := g.FromClient([]byte(rest[:n])); err != nil {
				break // a line could not be cleared
			}
			rest = rest[n:]
		}
		flush, stop := context.WithTimeout(ctx, 20*time.Second)
		g.Flush(flush)
		stop()
		known := slices.ContainsFunc(made, knows)
		deadline := time.Now().Add(5 * time.Second)
		if known {
			deadline = time.Now().Add(200 * time.Millisecond) // some may never run
		}
		var want []string
		for _, l := range lines {
			if !strings.Contains(l, "no") {
				want = append(want, l)
			}
		}
		ran := func() []string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return append([]string(nil), s.ran...)
		}
		for len(ran()) < len(want) && time.Now().Before(deadline) && !g.closed() {
			time.Sleep(time.Millisecond)
		}
		cancel()
		work.Wait()
		got := ran()
		order := strings.NewReplacer("\x03", "", "\r", "").Replace(gateOwn.ReplaceAllString(string(s.got), ""))
		typed := strings.ReplaceAll(keys.String(), "\r", "")
		if known {
			for _, l := range got {
				if l != "" && (strings.Contains(l, "no") || !permitted[l]) {
					t.Fatalf("%q ran; typed %q, permitted %v", l, keys.String(), permitted)
				}
			}
			if !strings.HasPrefix(typed, order) {
				t.Fatalf("typed %q, forwarded %q", keys.String(), order)
			}
			return
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("typed %q; ran %q, want %q (%v)", keys.String(), got, want, ended)
		}
		for _, l := range got {
			if l != "" && judged[l] == 0 {
				t.Fatalf("%q ran without a verdict; typed %q, judged %v", l, keys.String(), judged)
			}
			judged[l]--
		}
		if order != typed {
			t.Fatalf("typed %q, forwarded %q", typed, order)
		}
	})
}

// gateOwn is what is sent to the gate and no key of the user's.
var gateOwn = regexp.MustCompile(`\x1b\[7770;\d~|[0-9a-f]{32};-?\d+;(run|stay|keys)\.`)

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
