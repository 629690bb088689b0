package guard

import (
	"slices"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
)

// A gate that may be silent is asked before a submit key is released: the line is an event before it can run.
func TestLineIsKnownBeforeAKeyThatMayNotTellIt(t *testing.T) {
	zsh := "PROMPT='>> '\n"
	for _, c := range []struct {
		name  string
		setup setup
		first string // lines before
		bare  bool   // the gate is silent at that key
	}{
		{"bash", setup{}, "", false},
		{"bash, rebound by its own files", setup{files: map[string]string{".bash_profile": prompts + "PROMPT_COMMAND='bind \"\\C-m: accept-line\"'\n"}}, "", true},
		{"bash, rebound by a line", setup{}, "echo a\rPROMPT_COMMAND+=('bind \"\\C-m: accept-line\"')\r", true},
		{"zsh", setup{argv: []string{"/usr/bin/zsh"}}, "", false},
		{"zsh, rebound by its own files", setup{argv: []string{"/usr/bin/zsh"}, files: map[string]string{".zshrc": zsh + "precmd() { bindkey '^M' .accept-line; zle -N zle-line-finish f; f() {} }\n"}}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.setup
			s.gate, s.node = true, true
			s.judge = rules(t, auth.Denylist, auth.Deny, "rm")
			told, ran := false, false
			var w *world
			made := make(chan struct{})
			s.record = func(c Command) error {
				<-made
				if c.Line == "touch F" && !told {
					told, ran = true, w.exists("F")
				}
				return nil
			}
			w = newWorld(t, s)
			close(made)
			w.prompt()
			for _, l := range strings.SplitAfter(c.first, "\r") {
				w.keys(l)
				w.quiet()
			}
			w.keys("touch F\r")
			w.wait("file", func() bool { return w.exists("F") })
			w.quiet()
			w.mu.Lock()
			defer w.mu.Unlock()
			at := slices.IndexFunc(w.events, func(e event) bool { return e.Line == "touch F" })
			if at < 0 || ran || !w.events[at].Command.Sure || w.events[at].Witness != Gate {
				t.Errorf("ran before it was judged: %v; events %+v", ran, w.events)
			}
			if n := len(w.events) - at - 1; !c.bare && n > 0 {
				t.Errorf("%d more events: %+v", n, w.events)
			}
		})
	}
}
