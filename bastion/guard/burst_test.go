package guard

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/screen"
)

// answering is a client's terminal that says where its cursor is when it is asked.
func (w *world) answering() {
	seen := screen.New(tty.Size{Cols: 80, Rows: 24}, screen.Options{})
	w.answer = func(p []byte) {
		for len(p) > 0 {
			n := bytes.Index(p, []byte("\x1b[6n"))
			if n < 0 {
				_, _ = seen.Write(p)
				return
			}
			n += 4
			_, _ = seen.Write(p[:n])
			p = p[n:]
			at := seen.Cursor()
			w.replies <- fmt.Sprintf("\x1b[%d;%dR", at.Line-seen.FirstLine()+1, at.Col+1)
		}
	}
}

// Lines that are typed ahead in one packet are known one by one, in order.
func TestBursts(t *testing.T) {
	for _, k := range []kindOf{
		{"bash, gate and node", "", setup{gate: true, node: true}},
		{"bash, node", "", setup{node: true}},
		{"dash, node", "", setup{argv: []string{"/bin/dash"}, node: true}},
		{"ash, node", "", setup{argv: []string{"/bin/busybox", "ash"}, node: true}},
	} {
		for range 4 {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				s := k.setup
				s.decide, s.places = func(Command) Verdict { return Verdict{} }, true
				w := newWorld(t, s)
				w.prompt()
				var want []string
				for i := range 8 {
					lines := []string{
						fmt.Sprintf("echo %d some words", i), "cd /", fmt.Sprintf("printf '\\033[31mred %d\\033[0m\\n'", i), "seq 30", "seq 5 | sort",
						fmt.Sprintf("printf 'no end of line %d'", i), "sleep 0.05; echo slept", fmt.Sprintf("echo %d %s", i, strings.Repeat("long ", 30)+"end"),
					}
					want = append(want, lines...)
					w.keys(strings.Join(lines, "\r") + "\r")
					w.wait("all lines", func() bool { return len(w.events) >= len(want) })
					w.quiet()
				}
				var got []string
				for _, e := range w.recorded() {
					line := e.Line
					if !e.Command.Sure {
						line += " (not sure)"
					}
					got = append(got, strings.TrimRight(line, " "))
				}
				for i := range want {
					want[i] = strings.TrimRight(want[i], " ")
				}
				if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
					for i := range max(len(got), len(want)) {
						if i >= len(got) || i >= len(want) || got[i] != want[i] {
							t.Errorf("line %d: %q, want %q", i, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
						}
					}
					t.Logf("%q", w.shown()[:1500])
				}
			})
		}
	}
}
