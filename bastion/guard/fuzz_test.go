package guard

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/tty"
)

// plainShell is the least of a shell: the kernel edits its lines, and it runs what it is given by remembering it.
type plainShell struct {
	guard *Guard
	cut   int // how its output is cut into pieces

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

func (s *plainShell) State(context.Context) (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Echo: true, Canonical: true, Own: true, Program: "sh", Reading: s.idle, Unread: len(s.in)}, nil
}

func (s *plainShell) run(ctx context.Context) {
	s.show("$ ")
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
		switch b {
		case '\r', '\n':
			s.mu.Lock()
			s.ran = append(s.ran, string(s.line))
			s.line = nil
			s.mu.Unlock()
			s.show("\r\nran\r\n$ ")
		case 0x03:
			s.line = nil
			s.show("^C\r\n$ ")
		default:
			s.line = append(s.line, b)
			s.show(string(b))
		}
	}
}

func (s *plainShell) show(text string) {
	for text != "" {
		n := min(s.cut, len(text))
		_ = s.guard.FromTarget([]byte(text[:n])) // its client takes everything
		text = text[n:]
	}
}

// FuzzGuard types lines in packets of any size, some of them forbidden, with output cut anyhow between them: nothing is
// lost, nothing changes its place, and nothing runs before its verdict.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("ab\rcd\r"), uint8(1))
	f.Add([]byte("a!\rb\r!\r\r"), uint8(3))
	f.Add([]byte("abcabcab\r|a!b|c\r|\r!|\ra\r"), uint8(5))
	f.Fuzz(func(t *testing.T, data []byte, shape uint8) {
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
		judged := map[string]int{}
		s := &plainShell{cut: int(shape)%7 + 1, wake: make(chan struct{}, 1)}
		g := New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: s, Client: discard{}, Terminal: s, Shell: "sh",
			Decide: func(_ context.Context, c Command) Verdict {
				if strings.Contains(c.Line, "no") || c.Unseen {
					return Verdict{Action: auth.Deny}
				}
				return Verdict{Action: auth.Allow}
			},
			Record: func(_ context.Context, c Command, v Verdict) error {
				mu.Lock()
				defer mu.Unlock()
				if v.Action == auth.Allow {
					judged[c.Line]++
				}
				return nil
			}})
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
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		flush, stop := context.WithTimeout(ctx, 20*time.Second)
		g.Flush(flush)
		stop()
		deadline := time.Now().Add(5 * time.Second)
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
		for len(ran()) < len(want) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		cancel()
		work.Wait()
		got := ran()
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("typed %q; ran %q, want %q (%v)", keys.String(), got, want, ended)
		}
		for _, l := range got {
			if l != "" && judged[l] == 0 {
				t.Fatalf("%q ran without a verdict; typed %q, judged %v", l, keys.String(), judged)
			}
			judged[l]--
		}
		order := strings.NewReplacer("\x03", "", "\r", "").Replace(string(s.got))
		if typed := strings.ReplaceAll(keys.String(), "\r", ""); order != typed {
			t.Fatalf("typed %q, forwarded %q", typed, order)
		}
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
