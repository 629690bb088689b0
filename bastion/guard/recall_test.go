package guard

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/auth"
)

// completing are the shells with other editors, too.
var completing = append(slices.Clone(kinds), kindOf{"zsh", "", setup{argv: zshell, node: true}}, kindOf{"fish", "", setup{argv: fishes, node: true}}, kindOf{"mksh", "", setup{argv: []string{"/bin/mksh"}, node: true}})

// What a shell without a gate is made to show again, from its history or by completion, runs when it may.
func TestRecalledAndCompletedRun(t *testing.T) {
	for _, k := range completing {
		for _, tt := range []struct {
			name, keys string
			want       []string
		}{
			{"recalled", "echo one\r\x00\x1b[A\r", []string{"allow echo one", "allow echo one"}},
			{"recalled and changed", "echo one\r\x00\x1b[A two\r", []string{"allow echo one", "allow echo one two"}},
			{"recalled, changed in the middle", "echo one\r\x00\x1b[A\x1b[D\x1b[D\x1b[Dx\r", []string{"allow echo one", "allow echo xone"}},
			{"completed", "echo /etc/hostn\t\r", []string{"allow echo /etc/hostname "}},
			{"completed and more", "echo /etc/hostn\tmore\r", []string{"allow echo /etc/hostname more"}},
			{"listed and more", "echo /etc/host\t\t\x00x\r", []string{"allow echo /etc/hostx"}},
			{"listed and given up", "cat /etc/host\t\t\x00\x15echo x\r", []string{"allow echo x"}},
		} {
			if k.name == "dash" || k.name == "mksh" && strings.HasPrefix(tt.name, "listed") { // a key that comes soon behind a list may be thought to have run something
				continue
			}
			t.Run(k.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				s := k.setup
				s.judge = rules(t, auth.Allowlist, auth.Allow, "echo")
				w := newWorld(t, s)
				w.prompt()
				if k.name == "zsh" || k.name == "fish" { // their second Tab would choose
					tt.keys = strings.Replace(tt.keys, "\t\t", "\t", 1)
				}
				for _, part := range strings.Split(tt.keys, "\x00") {
					w.slowly(part)
					w.quiet()
				}
				if got, want := strings.Join(w.lines(), "\n"), strings.Join(tt.want, "\n"); got != want {
					t.Errorf("recorded\n%s\nwant\n%s\nscreen %q", got, want, w.shown())
				}
			})
		}
	}
}

// A character that an editor shows by others is not taken for those.
func TestHiddenCharacterIsNoText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{argv: []string{"/bin/mksh"}, node: true, judge: rules(t, auth.Allowlist, auth.Allow, "echo")})
	w.prompt()
	w.slowly("echo /etc/hostn\t\x16\x0btouch F")
	w.quiet()
	w.keys("\r")
	w.quiet()
	if got := w.lines(); len(got) != 1 || strings.Contains(got[0], "^K") {
		t.Errorf("recorded %q; screen %q", got, w.shown())
	}
}

// What another program could have written is not taken for what was completed: whether it is there at the completion or
// at Enter.
func TestCompletedBesideAnother(t *testing.T) {
	for _, k := range completing {
		if k.setup.gate || k.name == "dash" {
			continue
		}
		for _, tt := range []struct {
			name           string
			atTab, atEnter bool // another one has the terminal open
			want           string
		}{
			{"none", false, false, "allow echo /etc/hostname "},
			{"at the completion", true, false, "deny echo /etc/hostname "},
			{"at Enter", false, true, "deny echo /etc/hostname "},
			{"at both", true, true, "deny echo /etc/hostname "},
		} {
			if (k.name == "ash" || k.name == "mksh") && !tt.atEnter {
				tt.want = "allow echo /etc/hostname " // it is written again at Enter
			}
			t.Run(k.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				s := k.setup
				s.judge = rules(t, auth.Allowlist, auth.Allow, "echo")
				w := newWorld(t, s)
				w.prompt()
				var other *exec.Cmd
				there := func(is bool) {
					switch {
					case is && other == nil:
						terminal, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/0", w.pid), os.O_WRONLY|unix.O_NOCTTY, 0)
						if err != nil {
							t.Fatal(err)
						}
						other = exec.Command("sleep", "60")
						other.Stdout = terminal
						if err := other.Start(); err != nil {
							t.Fatal(err)
						}
						_ = terminal.Close()
					case !is && other != nil:
						_ = other.Process.Kill()
						_ = other.Wait()
						other = nil
					}
				}
				t.Cleanup(func() { there(false) })
				w.slowly("echo /etc/hostn")
				there(tt.atTab)
				w.keys("\t")
				w.quiet() // not only until it is shown: fish shows it before, as what it suggests
				there(tt.atEnter)
				w.keys("\r")
				w.quiet()
				if got := strings.Join(w.lines(), "\n"); got != tt.want {
					t.Errorf("recorded %q, want %q; screen %q", got, tt.want, w.shown())
				}
			})
		}
	}
}
