package guard

import (
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
)

// A key that the user's own files have a shell without a gate submit a line with is held like Enter, and one that types a
// line and submits it too.
func TestKeysOfStartFiles(t *testing.T) {
	readline := map[string]string{".inputrc": `"\C-t": accept-line` + "\n" + `"\e[24~": accept-line` + "\n" + `"\C-y": "touch F\n"` + "\n"}
	for _, k := range []struct {
		kindOf
		files map[string]string
	}{
		{kindOf{"bash", "", setup{node: true}}, readline},
		{kindOf{"nested bash", "bash --norc\r", setup{gate: true, node: true, env: []string{"PS1=>> "}}}, readline},
		{kindOf{"bash, bound by its code", "", setup{node: true}}, map[string]string{".bash_profile": prompts + `bind '"\C-t": accept-line' '"\e[24~": accept-line' '"\C-y": "touch F\n"'` + "\n"}},
		{kindOf{"zsh", "", setup{argv: zshell, node: true}}, map[string]string{".zshrc": zshPrompts + "go() { zle accept-line }; zle -N go\nbindkey '^T' go '^[[24~' accept-line; bindkey -s '^Y' 'touch F\\n'\n"}},
		{kindOf{"zsh, known when it runs", "", setup{argv: zshell, node: true}}, map[string]string{".zshrc": zshPrompts + ". ~/more\nbindkey \"$terminfo[kf12]\" accept-line\n", "more": "bindkey '^T' accept-line; bindkey -s '^Y' 'touch F\\n'\n"}},
		{kindOf{"fish", "", setup{argv: fishes, node: true}}, map[string]string{".config/fish/functions/fish_user_key_bindings.fish": "function fish_user_key_bindings\nbind \\ct execute\nbind \\e\\[24~ 'commandline -f execute'\nbind \\cy 'commandline \"touch F\"; commandline -f execute'\nend\n"}},
		{kindOf{"mksh", "", setup{argv: []string{"/bin/mksh"}, node: true}}, map[string]string{".profile": prompts + "bind '^T=newline'; bind -m '^Y=touch F^J'\n"}},
	} {
		for key, pressed := range map[string]string{"control": "\x14", "function": "\x1b[24~", "macro": "\x19"} {
			if key == "function" && k.name == "mksh" {
				continue // it has none
			}
			for mode, judge := range map[string]*Judge{"denylist": rules(t, auth.Denylist, auth.Deny, "touch"), "allowlist": rules(t, auth.Allowlist, auth.Allow, "echo", "bash")} {
				unseen := key == "macro" && k.name == "fish" // it is code, which types what it likes
				if unseen && mode == "denylist" {
					continue // which warns of it, and lets it run
				}
				t.Run(k.name+"/"+key+"/"+mode, func(t *testing.T) {
					t.Parallel()
					s := k.setup
					s.files, s.judge = k.files, judge
					w := newWorld(t, s)
					w.prompt()
					if k.words != "" {
						w.keys(k.words)
						w.quiet()
					}
					typed, want := "touch F", "deny touch F"
					if key == "macro" {
						typed = ""
					}
					if unseen {
						want = "deny "
					}
					w.slowly(typed)
					w.keys(pressed)
					w.shows("bastion: denied")
					w.quiet()
					if key != "macro" { // which is not certain
						w.slowly("echo all''owed")
						w.keys(pressed)
						w.shows("\nallowed\n")
						want += "\nallow echo all''owed"
					}
					w.quiet()
					if got := strings.Join(w.lines(), "\n"); !strings.HasSuffix(got, want) || w.exists("F") {
						t.Errorf("recorded\n%s\nwant\n%s\nF: %v; screen %q", got, want, w.exists("F"), w.shown())
					}
					w.alive()
				})
			}
		}
	}
}

// A node that cannot tell at once is asked again before a key is forwarded.
func TestKeysAreAskedForAgain(t *testing.T) {
	w := newWorld(t, setup{node: true, moves: 3, judge: rules(t, auth.Allowlist, auth.Allow, "echo"), files: map[string]string{".inputrc": `"\C-t": accept-line` + "\n"}})
	w.prompt()
	w.keys("touch F\x14")
	w.shows("bastion: denied")
	w.alive()
	if w.exists("F") {
		t.Error("it ran")
	}
}

// In vi's command mode v opens an editor, which runs what it leaves, and # submits: they are held where a file or a line has
// set that mode.
func TestCommandsOfVi(t *testing.T) {
	for _, k := range []struct {
		kindOf
		files map[string]string
	}{
		{kindOf{"bash, by a file", "", setup{node: true}}, map[string]string{".inputrc": "set editing-mode vi\n"}},
		{kindOf{"bash, by a line", "set -o vi\r", setup{node: true}}, nil},
		{kindOf{"mksh, by a file", "", setup{argv: mksh, node: true}}, map[string]string{".profile": prompts + "set -o vi\n"}},
	} {
		for _, command := range []string{"v", "1#"} {
			t.Run(k.name+"/"+command, func(t *testing.T) {
				t.Parallel()
				s := k.setup
				s.files, s.judge = map[string]string{"ed": "#!/bin/sh\necho touch F >$1\n"}, rules(t, auth.Allowlist, auth.Allow, "echo", "set")
				s.env = []string{"VISUAL=./ed"}
				for name, text := range k.files {
					s.files[name] = text
				}
				w := newWorld(t, s)
				w.prompt()
				w.keys(k.words)
				w.quiet()
				w.slowly("echo a")
				w.keys("\x1b[D\x1bh" + command) // an arrow is no command mode, Escape is
				w.shows("bastion: denied")
				w.quiet()
				w.slowly("echo v\x1b0rEr") // which another key belongs to
				w.keys("vxie\r")
				w.quiet()
				if got := strings.Join(w.lines(), "\n"); !strings.Contains(got, "deny \n") || w.exists("F") {
					t.Errorf("recorded %s; F: %v; screen %q", got, w.exists("F"), w.shown())
				}
			})
		}
	}
}

// Zsh's M-h puts the line aside and submits another: that is held, unless the editor is like vi, where the keys mean to leave
// its insert mode and go left.
func TestHelpIsHeld(t *testing.T) {
	for name, x := range map[string]struct{ rc, want string }{
		"emacs": {"", "deny \nallow echo after"},
		"vi":    {"bindkey -v\n", "allow echo on''e"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{argv: zshell, node: true, judge: rules(t, auth.Allowlist, auth.Allow, "echo"), files: map[string]string{".zshrc": zshPrompts + x.rc}})
			w.prompt()
			w.keys("\x1bh") // there is no line yet
			w.quiet()
			w.slowly(map[string]string{"emacs": "echo on''e", "vi": "iecho on''e"}[name])
			w.keys("\x1bh")
			if name == "vi" {
				w.quiet()
				w.keys("\r")
				w.shows("\none\n")
			} else {
				w.shows("bastion: denied")
				w.quiet()
				w.slowly("echo after\r")
				w.shows("\nafter\n")
			}
			w.quiet()
			if got := strings.Join(w.lines(), "\n"); got != x.want {
				t.Errorf("recorded %q, want %q; screen %q", got, x.want, w.shown())
			}
		})
	}
}

// What a file binds for one shell is a key like any other in another one, and in a program.
func TestKeysOfAnotherShell(t *testing.T) {
	w := newWorld(t, setup{node: true, judge: rules(t, auth.Allowlist, auth.Allow, "echo", "mksh", "cat"), files: map[string]string{".inputrc": `"\C-t": accept-line` + "\n"}})
	w.prompt()
	w.slowly("echo one")
	w.keys("\x14")
	w.shows("\none\n")
	w.slowly("mksh\r")
	w.quiet()
	w.slowly("echo wto\x02\x14\r") // it transposes there
	w.shows("\nwot\n")
	w.quiet()
	w.commandsAre("allow echo one", "allow mksh", "allow echo wot")
}
