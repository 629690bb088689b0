package guard

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/auth"
)

var (
	zshell = []string{"/usr/bin/zsh", "-i"}
	fishes = []string{"/usr/bin/fish", "-i"}
	mksh   = []string{"/bin/mksh"}
)

const fishPrompt = "function fish_prompt; echo -n '>> '; end\nfunction fish_greeting; end\n"

// What a key of the user's own runs, in a shell without a gate, is noticed: it is an event that is not sure, and where
// an allowlist holds the session ends.
func TestKeysThatRunLinesAreNoticed(t *testing.T) {
	const editor = "#!/bin/sh\necho echo x >\"$1\"\n"
	// What binds them is a file whose name only shows at run time.
	bash := func(keys, more string) setup {
		return setup{files: map[string]string{"keys": keys + "\n", ".bash_profile": prompts + more + "bind -f $(echo ~/keys)\n", ".bashrc": "bind -f $(echo ~/keys)\n", "ed": editor}}
	}
	macro := bash(`"\C-t": "echo a\n"`, "")
	zsh := func(keys string) setup {
		return setup{argv: zshell, files: map[string]string{".zshrc": "PROMPT='>> '\n. $(echo ~/keys)\n", "keys": keys + "\n"}}
	}
	fish := setup{argv: fishes, files: map[string]string{".config/fish/config.fish": fishPrompt + "source (echo ~/keys)\n", "keys": "bind \\ct 'commandline \"echo a\"; commandline -f execute'\n"}}
	for _, c := range []struct {
		name  string
		setup setup
		keys  string
		line  string // as it is told; empty: not seen
	}{
		{"bash, macro", macro, "\x14", "echo a"},
		{"bash, macro behind text", bash(`"\C-t": " a\n"`, ""), "echo\x14", "echo a"},
		{"bash, key that accepts", bash(`"\C-t": accept-line`, ""), "echo a\x14", "echo a"},
		{"bash, macro and a line", macro, "\x14echo b\r", "echo a"},
		{"bash, macro after an interrupt", macro, "x\x03\x14", "echo a"},
		{"bash, macro after a denied line", macro, "touch F\r\x00\x14", "echo a"},
		{"bash, macro in a nested one", macro, "bash\r\x00\x14", "echo a"},
		{"bash, macro that starts a program", bash(`"\C-t": "cat\n"`, ""), "\x14\x00x\r", "cat"},
		{"bash, vi and its editor", bash("set editing-mode vi", "VISUAL=~/ed\n"), "echo a\x1bv", "echo a"},
		{"bash, vi and its editor, no line", bash("set editing-mode vi", "VISUAL=~/ed\n"), "\x1bv", ""},
		{"bash, vi and vim", bash("set editing-mode vi", "VISUAL=vim\n"), "echo a\x1bv\x00ZZ", "echo a"},
		{"zsh, macro", zsh(`bindkey -s '^T' 'echo a\n'`), "\x14", "echo a"},
		{"zsh, key that accepts", zsh("bindkey '^T' accept-line"), "echo a\x14", "echo a"},
		{"fish, key that executes", fish, "\x14", "echo a"},
		{"fish, after an interrupt", fish, "x\x03\x14", "echo a"},
		{"mksh, vi and its editor", setup{argv: mksh, files: map[string]string{".profile": prompts + "export VISUAL=~/ed; . $(echo ~/keys)\n", "keys": "set -o vi\n", "ed": editor}}, "echo a\x1bv", "echo a"},
	} {
		for _, mode := range []auth.Mode{auth.Allowlist, auth.Denylist} {
			t.Run(c.name+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				s := c.setup
				s.node = true
				s.judge = rules(t, mode, auth.Allow, "echo", "bash")
				if mode == auth.Denylist {
					s.judge = rules(t, mode, auth.Deny, "touch")
				}
				w := newWorld(t, s)
				w.prompt()
				for _, part := range strings.Split(c.keys, "\x00") {
					w.quiet()
					w.keys(part)
				}
				w.wait("event that is not sure", func() bool {
					for _, e := range w.events {
						if e.Line == c.line && !e.Verdict.Sure && (e.Action == auth.Deny) == (mode == auth.Allowlist) {
							return true
						}
					}
					return false
				})
				if mode == auth.Denylist {
					w.quiet()
					if c.line == "cat" {
						w.keys("\x04")
						w.quiet()
					}
					w.alive()
					w.shows("bastion: warning of what ran before")
					return
				}
				select {
				case err := <-w.ended:
					var denied *Denied
					if w.ended <- err; !errors.As(err, &denied) {
						t.Errorf("ended: %v", err)
					}
				case <-time.After(5 * time.Second):
					t.Errorf("the session goes on; %s", w.dump())
				}
			})
		}
	}
}

// ^G takes the line away in zsh and ksh, unless it is bound to what accepts it: the line is judged before.
func TestKeyThatBreaksIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{argv: zshell, node: true, judge: rules(t, auth.Allowlist, auth.Allow, "echo"), files: map[string]string{".zshrc": "PROMPT='>> '\nbindkey '^G' accept-line\n"}})
	w.prompt()
	w.keys("touch F\x07")
	w.shows("denied")
	w.prompt()
	w.alive()
	if w.exists("F") {
		t.Error("it ran")
	}
}

// A signal that the client asks for takes the line away as ^C does, and is no line.
func TestSignalIsNoLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{node: true, judge: rules(t, auth.Allowlist, auth.Allow, "echo")})
	w.prompt()
	w.keys("x")
	w.shows(">> x")
	w.quiet()
	w.guard.Interrupted()
	if err := unix.Kill(w.pid, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	w.quiet()
	w.alive()
	w.commandsAre("allow echo al''ive")
}

// What an editor draws anew, what a key of it runs without a line, and what writes from elsewhere is no line.
func TestWhatOnlyDrawsIsNoLine(t *testing.T) {
	fzf := "f() { local x=$(read -rsn1 </dev/tty; printf '\\e[?2004h\\n\\n\\n\\e[3A\\e[?2004l' >/dev/tty; printf picked); READLINE_LINE+=$x READLINE_POINT=${#READLINE_LINE}; }\nbind -x '\"\\C-t\": f'\nbind -x '\"\\C-y\": sleep 0.2'\n"
	ashes := []string{"/bin/busybox", "ash"}
	zfzf := "PROMPT='>> '\nf() { local x=$(read -sk1 </dev/tty; printf '\\e[?2004h\\n\\n\\n\\e[3A\\e[?2004l' >/dev/tty; printf picked); LBUFFER+=$x; zle reset-prompt }\nzle -N f; bindkey '^T' f\ng() { print -n 'noise\\n'; zle reset-prompt }; zle -N g; bindkey '^Y' g\n"
	ffzf := fishPrompt + "bind \\ct 'sleep 0.2; commandline -i picked; commandline -f repaint'\n"
	several := map[string]string{"one": "", "onf": ""}
	const goes = "\x00" // no key: the job that waits for a file goes on
	job := "(until [ -e go ]; do sleep 0.05; done; echo; echo job; echo '>>'; echo)& \r"
	for _, c := range []struct {
		name  string
		setup setup
		keys  []string
	}{
		{"bash", setup{files: several}, []string{"echo o\t\t", "\x0c", "\x1b?", "\x15", "\t\tn", "\x03", "x\x03\x03", "\x18\x16", "\x07", "x\x1a\x1c\x15", "\x12x\x07", "\x15"}},
		{"bash, job before", setup{}, []string{"set -b; " + job, goes, "ec", "\x15"}},
		{"bash, job within", setup{}, []string{"set -b; " + job, "ec", goes, "\x15"}},
		{"bash, job that ends", setup{}, []string{"sleep 0.1 &\r", "x", "\x15"}},
		{"bash, fzf", setup{files: map[string]string{".bash_profile": prompts + fzf}}, []string{"echo ", "\x14", "x", "\x15", "\x19", "\x15"}},
		{"bash, nested that ends", setup{}, []string{"bash --norc\r", "x\x15", "\x04", "x\x15"}},
		{"zsh", setup{argv: zshell, files: several}, []string{"echo o\t\t", "\x0c", "\x15", "echo a\x07", "\x07", "x\x03\x03", "\x1bx\x07", "\x1bq", "\x12x\x03", "\x15"}},
		{"zsh, jobs", setup{argv: zshell}, []string{"sleep 0.1 &\r", "ec", "\x15"}},
		{"zsh, widgets", setup{argv: zshell, files: map[string]string{".zshrc": zfzf}}, []string{"echo ", "\x14", "x", "\x15", "\x19", "\x15"}},
		{"zsh, application keys", setup{argv: zshell, files: map[string]string{".zshrc": "PROMPT='>> '\nzle-line-init() { echoti smkx }; zle-line-finish() { echoti rmkx }; zle -N zle-line-init; zle -N zle-line-finish\n"}}, []string{"echo a\r", "x\x15", "x\x03", "\x15"}},
		{"fish", setup{argv: fishes, files: several}, []string{"echo o\t\t", "\x0c", "\x15", "x\x03", "\x03", "x\x15", "\x15"}},
		{"fish, widget", setup{argv: fishes, files: map[string]string{".config/fish/config.fish": ffzf}}, []string{"echo ", "\x14", "\x15"}},
		{"mksh", setup{argv: mksh, files: several}, []string{"echo o\t\t", "\x0c", "\x1b?", "\x15", "x\x03", "echo a\x07", "\x07", "x\x15", "echo o\t\t\x15", "echo o\t\t\x15x\x15", "echo o\t\t\x08\x08", "\x15echo o\t\t\x01\x0b", "x\x15"}},
		{"ash", setup{argv: ashes, files: several}, []string{"echo o\t\t", "\x0c", "\x15", "x\x03"}},
		{"ash, job before", setup{argv: ashes}, []string{job, goes, "ec", "\x15"}},
		{"ash, job within", setup{argv: ashes}, []string{job, "ec", goes, "\x15", "ec", "\x08\x08"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.setup
			s.node, s.judge = true, rules(t, auth.Denylist, auth.Deny, "touch")
			w := newWorld(t, s)
			w.prompt()
			for _, k := range append(c.keys, "\x03", "echo al''ive\r") {
				w.quiet()
				if k != goes {
					w.keys(k)
					continue
				}
				if err := os.WriteFile(filepath.Join(w.home, "go"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				w.wait("job", func() bool { return strings.Contains(w.screen.String(), "\njob\r\n") })
			}
			w.wait("sign of life", func() bool { return strings.Contains(plain(w.screen.String()), "alive\n") })
			w.quiet()
			for _, e := range w.recorded() {
				if e.Action != auth.Allow && e.Line != "echo al''ive" { // that one may not be certain
					t.Errorf("%+v; screen %q", e, w.shown())
				}
			}
		})
	}
}
