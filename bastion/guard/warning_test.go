package guard

import (
	"io"
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"

	"github.com/podbastion/podbastion/auth"
)

// A line that runs with a warning has one on the screen when it is done, whether its gate was to prove itself or not.
func TestWarningStaysOnTheScreen(t *testing.T) {
	for _, k := range everyShell {
		for name, before := range map[string]string{"first": "", "proven": "echo a\r", "unproven": "echo a\r\x00echo eval\r"} {
			t.Run(k.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := k.setup
				s.node, s.judge = true, rules(t, auth.Denylist, auth.Warn, "touch")
				w := newWorld(t, s)
				w.prompt()
				for _, keys := range strings.Split(before, "\x00") {
					w.quiet()
					w.slowly(keys)
				}
				w.quiet()
				w.slowly("touch F; echo ran''it\r")
				w.shows("\nranit\n")
				w.quiet()
				e := vt.NewEmulator(80, 24)
				go func() { _, _ = io.Copy(io.Discard, e) }() // never closed: its Close and its Read race
				if _, err := e.WriteString(w.shown()); err != nil {
					t.Fatal(err)
				}
				var rows []string
				for row := range strings.Lines(e.String()) {
					rows = append(rows, strings.TrimRight(row, " \n"))
				}
				shown := strings.Join(rows, "\n")
				warned, ran := strings.Index(shown, "bastion: warning by rule rule: not here\n"), strings.Index(shown, "\nranit\n")
				if warned < 0 || ran < warned || !w.exists("F") || strings.Count(shown, "bastion:") != 1 {
					t.Errorf("the screen is\n%s", shown)
				}
			})
		}
	}
}
