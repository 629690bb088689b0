package guard

import (
	"slices"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
)

// What a shell without a gate is made to show again, from its history or by completion, runs when it may.
func TestRecalledAndCompletedRun(t *testing.T) {
	for _, k := range kinds {
		for _, tt := range []struct {
			name, keys string
			want       []string
		}{
			{"recalled", "echo one\r\x00\x1b[A\r", []string{"allow echo one", "allow echo one"}},
			{"recalled and changed", "echo one\r\x00\x1b[A two\r", []string{"allow echo one", "allow echo one two"}},
			{"recalled, changed in the middle", "echo one\r\x00\x1b[A\x1b[D\x1b[D\x1b[Dx\r", []string{"allow echo one", "allow echo xone"}},
			{"completed", "echo /etc/hostn\t\r", []string{"allow echo /etc/hostname "}},
			{"completed while another could write", "sleep 3 &\r\x00echo /etc/hostn\t\r", []string{"allow sleep 3 &", "deny echo /etc/hostname "}},
			{"completed while another could write that has ended since", "sleep 5 &\r\x00echo /etc/hostn\t" + strings.Repeat("\x00", 14) + "\r", []string{"allow sleep 5 &", "deny echo /etc/hostname "}},
			{"completed and more", "echo /etc/hostn\tmore\r", []string{"allow echo /etc/hostname more"}},
		} {
			if k.name == "dash" {
				continue
			}
			t.Run(k.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				s := k.setup
				s.judge = rules(t, auth.Allowlist, auth.Allow, "echo", "sleep")
				w := newWorld(t, s)
				w.prompt()
				if s.gate {
					tt.want = slices.Clone(tt.want)
					for i := range tt.want { // the shell itself tells it
						tt.want[i] = strings.Replace(tt.want[i], "deny", "allow", 1)
					}
				}
				for _, part := range strings.Split(tt.keys, "\x00") {
					w.slowly(part)
					w.quiet()
				}
				if got, want := strings.Join(w.lines(), "\n"), strings.Join(tt.want, "\n"); got != want {
					t.Errorf("recorded\n%s\nwant\n%s\nscreen %q", got, want, w.screen.String())
				}
			})
		}
	}
}
