package guard

import (
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
)

// step is keys, and what the screen then shows.
type step struct{ keys, shows string }

func (w *world) play(steps ...step) {
	w.t.Helper()
	for _, s := range steps {
		w.mu.Lock()
		w.screen.Reset()
		w.mu.Unlock()
		w.keys(s.keys)
		w.wait("screen with "+s.shows, func() bool { return strings.Contains(plain(w.screen.String()), s.shows) })
	}
}

// commandsAre compares the recorded lines.
func (w *world) commandsAre(want ...string) {
	w.t.Helper()
	got := strings.Join(w.lines(), "\n")
	if got != strings.Join(want, "\n") {
		w.t.Errorf("recorded:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

// What is typed to another program than a shell is no command.
func TestProgramsLinesAreNoCommands(t *testing.T) { programsLines(t, kinds) }

func programsLines(t *testing.T, kinds []kindOf) {
	for _, c := range []struct {
		name  string
		only  string // words: the kinds that it is for; all without
		steps []step
		want  []string
	}{
		{"cat", "", []step{{"cat\r", "cat"}, {"touch F\r", "touch F\ntouch F\n"}, {"\x04", ">> "}}, []string{"allow cat"}},
		{"python", "", []step{{"python3 -q\r", ">>> "}, {"touch = 3\r", ">>> "}, {"print(touch * 111)\r", "333"}, {"exit()\r", ">> "}}, []string{"allow python3 -q"}},
		{"sqlite", "", []step{{"sqlite3\r", "sqlite> "}, {"select 'touch' || 1;\r", "touch1"}, {".quit\r", ">> "}}, []string{"allow sqlite3"}},
		{"read", "gated", []step{{"read x\r", "read x\n"}, {"touch F\r", "touch F\n"}, {"echo \"<$x>\"\r", "<touch F>"}}, []string{"allow read x", `allow echo "<$x>"`}},
		{"script that asks", "", []step{{"sh -c 'read x; echo \"<$x>\"'\r", "x>\"'\n"}, {"touch F\r", "<touch F>"}}, []string{"allow sh -c 'read x; echo \"<$x>\"'"}},
		{"heredoc", "posix", []step{{"cat <<E\r", ".. "}, {"some touch\r", ".. "}, {"E\r", "some touch\n>> "}}, []string{"allow cat <<E", "allow cat <<E\nsome touch", "allow cat <<E\nsome touch\nE"}},
	} {
		for _, k := range kinds {
			for _, mode := range []auth.Mode{auth.Allowlist, auth.Denylist} {
				if c.only != "" && !anyWord(c.only, k.words) {
					continue
				}
				t.Run(k.name+"/"+c.name+"/"+string(mode), func(t *testing.T) {
					t.Parallel()
					s := k.setup
					s.judge = rules(t, mode, auth.Deny, "touch")
					if mode == auth.Allowlist {
						s.judge = rules(t, mode, auth.Allow, "cat", "python3", "sqlite3", "read", "sh", "echo")
					}
					w := newWorld(t, s)
					w.prompt()
					for _, s := range c.steps {
						w.play(s)
						w.quiet()
					}
					w.commandsAre(c.want...)
					w.alive()
					if w.exists("F") {
						t.Error("it ran")
					}
				})
			}
		}
	}
}

// A shell in the shell is a shell again.
func TestNestedShells(t *testing.T) {
	for _, s := range []setup{{gate: true, node: true}, {node: true}} {
		for _, c := range []struct {
			start  string
			prompt bool
		}{
			{"bash --norc\r", true}, {"sh\r", true}, {"su -s /bin/dash\r", true}, {"exec bash --norc\r", true}, {"exec sh\r", true}, {"sh -c 'sh -i'\r", true}, {"busybox ash\r", true},
			{"bash --norc -o vi\r", true}, {"bash -O extglob --norc\r", true}, {"bash --rcfile /dev/null\r", true}, {"bash --norc -s a b\r", true}, {"dash -o emacs\r", true}, {"zsh -f -o vi\r", true},
			{"mksh -o vi\r", true}, {"bash --norc -ic 'bash --norc'\r", true}, {"bash /dev/stdin\r", false}, {"sh /dev/fd/0\r", false}, {"dash /dev/tty\r", false}, {"bash -c '. /dev/tty'\r", false}, {"sh -c 'dash +m; :'\r", true},
			{"cp /bin/bash other; ./other --norc\r", true}, {"cp /bin/bash other; exec ./other --norc\r", true}, {"/lib64/ld-linux-x86-64.so.2 /bin/bash --norc\r", true},
		} {
			t.Run(c.start, func(t *testing.T) {
				t.Parallel()
				s := s // the cases of a setting run side by side
				s.judge = rules(t, auth.Denylist, auth.Deny, "touch")
				s.env = []string{"PS1=$ "}
				w := newWorld(t, s)
				w.prompt()
				w.keys(c.start)
				if c.prompt {
					w.wait("its prompt", func() bool {
						_, shown, _ := strings.Cut(plain(w.screen.String()), strings.TrimRight(c.start, "\r"))
						shown = strings.TrimSpace(shown)
						return shown != "" && strings.Contains("$#>%", shown[len(shown)-1:])
					})
				}
				w.quiet()
				w.play(step{"touch F\r", "denied by rule rule: not here"})
				w.quiet()
				w.play(step{"echo st''ill here\r", "\nstill here\n"}, step{"t=touch\r", "t=touch\n"})
				w.quiet()
				w.play(step{"touch G\r", "denied by rule rule: not here"})
				w.quiet()
				if w.exists("F") || w.exists("G") {
					t.Errorf("it ran: %q, screen %q", w.lines(), w.shown())
				}
				got := strings.Join(w.lines(), "; ")
				for _, want := range []string{"deny touch F", "echo st''ill here", "deny touch G"} {
					if !strings.Contains(got, want) {
						t.Errorf("no %q among %q", want, got)
					}
				}
			})
		}
	}
}

// What is typed with the echo off is nowhere.
func TestSecretsAreNotStored(t *testing.T) {
	secretsAreNotStored(t, []asking{
		{"read -s", setup{gate: true, node: true}, []step{{"read -s x\r", "read -s x\n"}, {secret + "\r", ">> "}, {"echo ${#x}\r", "\n7\n"}}, ""},
		{"read -s without a node", setup{gate: true}, []step{{"read -s x\r", "read -s x\n"}, {secret + "\r", ">> "}, {"echo ${#x}\r", "\n7\n"}}, ""},
		{"getpass", setup{gate: true, node: true}, []step{{"python3 -c 'import getpass; print(len(getpass.getpass()))'\r", "Password: "}, {secret + "\r", "\n7\n"}}, ""},
		{"stty -echo", setup{gate: true, node: true}, []step{{"stty -echo; echo re''ady; cat >/dev/null; stty echo\r", "ready\n"}, {secret + "\r\x04", ">> "}}, ""},
		{"read -s without a gate", setup{node: true}, []step{{"read -s x\r", "read -s x\n"}, {secret + "\r", ">> "}}, ""},
		{"dash", setup{argv: []string{"/bin/dash"}, node: true}, []step{{"stty -echo; echo re''ady; read x; stty echo\r", "ready\n"}, {secret + "\r", ">> "}}, ""},
		{"dash whose prompt has no echo", setup{argv: []string{"/bin/dash"}, node: true}, []step{{"stty -echo\r", ">> "}, {": " + secret + "\r", ">> "}}, ""},
		{"ash without a node", setup{argv: []string{"/bin/busybox", "ash"}}, []step{{"read -s x\r", "read -s x\n"}, {secret + "\r", ">> "}}, ""},
		{"read -s under an allowlist", setup{gate: true, node: true}, []step{{"read -s x\r", "read -s x\n"}, {secret + "\r", ">> "}, {"echo ${#x}\r", "\n7\n"}}, "read echo"},
		{"program that asks", setup{gate: true, node: true}, asks, "python3"},
		{"program that asks, in dash", setup{argv: []string{"/bin/dash"}, node: true}, asks, "python3"},
		{"program that asks, in ash", setup{argv: []string{"/bin/busybox", "ash"}, node: true}, asks, ""},
		{"program that asks, in ash under an allowlist", setup{argv: []string{"/bin/busybox", "ash"}, node: true}, asks, "python3"},
		{"stty -echo under an allowlist", setup{gate: true, node: true}, []step{{"stty -echo; echo re''ady; cat >/dev/null; stty echo\r", "ready\n"}, {secret + "\r\x04", ">> "}}, "stty echo cat"},
	})
}

const (
	secret = "hunter2"
	script = "import getpass\nprint(len(getpass.getpass()))\n"
)

var asks = []step{{"python3 ask\r", "Password: "}, {secret + "\r", "\n7\n"}}

// asking is what asks for a secret.
type asking struct {
	name  string
	setup setup
	steps []step
	allow string // words: the programs of an allowlist; a denylist without
}

func secretsAreNotStored(t *testing.T, cases []asking) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.setup.judge = rules(t, auth.Denylist, auth.Deny, "touch")
			if c.allow != "" {
				c.setup.judge = rules(t, auth.Allowlist, auth.Allow, strings.Fields(c.allow)...)
			}
			c.setup.files = map[string]string{"ask": script}
			w := newWorld(t, c.setup)
			w.prompt()
			for _, s := range c.steps {
				w.play(s)
				w.quiet()
			}
			if got := strings.Join(w.lines(), "\n"); strings.Contains(got, "hunter") || strings.Contains(got, "2\n") {
				t.Errorf("recorded: %s", got)
			}
			if shown := w.shown(); strings.Contains(shown, "hunter") {
				t.Errorf("shown: %q", shown)
			}
		})
	}
}

// Interrupts go ahead of what is held.
func TestInterruptsAreNotDelayed(t *testing.T) {
	release := make(chan struct{})
	s := setup{gate: true, node: true, decide: func(c Command) Verdict {
		if strings.Contains(c.Line, "slow") {
			<-release
		}
		return Verdict{Action: auth.Allow}
	}}
	w := newWorld(t, s)
	w.prompt()
	w.keys("echo slow >F\r")
	w.shows("slow")
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	w.keys("\x03")
	w.wait("interrupt", func() bool {
		return strings.Contains(w.screen.String(), "^C") || strings.Count(w.screen.String(), ">> ") > 1
	})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the interrupt took %v", took)
	}
	close(release)
	w.quiet()
	if w.exists("F") {
		t.Error("the interrupted line ran")
	}
	w.alive()
	w.keys("sleep 100\r")
	w.shows("sleep 100")
	w.quiet()
	w.keys("echo x\r")
	w.keys("\x03")
	w.prompt()
	w.alive()
}

func TestRecordFails(t *testing.T) {
	s := setup{gate: true, node: true, decide: func(Command) Verdict { return Verdict{Action: auth.Allow} },
		record: func(c Command) error {
			if strings.Contains(c.Line, "touch") {
				return errGone
			}
			return nil
		}}
	w := newWorld(t, s)
	w.prompt()
	w.keys("touch F\r")
	w.shows("could not be remembered")
	w.prompt()
	if w.exists("F") {
		t.Error("it ran unremembered")
	}
	w.alive()
}

// Nor do they wait behind a large paste.
func TestInterruptsPassALargePaste(t *testing.T) {
	for _, key := range []string{"\x03", "\x1a", "\x1c"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			w := sleeping(t)
			go func() { _ = w.guard.FromClient([]byte(strings.Repeat("echo x\r", 12000))) }()
			time.Sleep(300 * time.Millisecond)
			began := time.Now()
			go func() { _ = w.guard.FromClient([]byte(key)) }()
			w.prompt()
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			w.alive()
		})
	}
}
