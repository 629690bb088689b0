//go:build real

package gate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The hooks of zsh and fish, with the real shells (Debian packages zsh and fish).

var (
	zshHome  = map[string]string{".zshrc": "PROMPT='>> '; PROMPT2='.. '; unset RPROMPT\n"}
	fishHome = map[string]string{".config/fish/config.fish": "function fish_prompt; echo -n '>> '; end\nfunction fish_greeting; end\n", ".local/share/fish/generated_completions/none.fish": ""}
)

type told struct {
	name, keys string
	want       []string
}

func tells(t *testing.T, path string, home map[string]string, cases []told) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, path, home)
			s.prompt(1)
			n := 0
			for _, part := range strings.SplitAfter(c.keys, "\r") {
				if part == "" {
					continue
				}
				s.keys(part)
				if strings.HasSuffix(part, "\r") {
					n++
					s.line(n)
					s.settled()
				}
			}
			for i, want := range c.want {
				got := s.line(i + 1)
				if got.Expanded != want {
					t.Errorf("line %d told as %q, want %q", i+1, got.Expanded, want)
				}
			}
			if n == 0 {
				s.line(len(c.want))
			}
		})
	}
}

func TestZshTells(t *testing.T) {
	tells(t, "/usr/bin/zsh", zshHome, []told{
		{"enter", "echo one\r", []string{"echo one"}},
		{"newline", "echo one\n", []string{"echo one"}},
		{"hold", "echo one\x1ba", []string{"echo one"}},
		{"down history", "echo one\recho two\r\x1b[A\x1b[A\x0f", []string{"echo one", "echo two", "echo one"}},
		{"bang", "echo one\r!!s\r", []string{"echo one", "echo ones"}},
		{"continued", "echo 'a\rb'\r", []string{"echo 'a", "echo 'a\nb'"}},
		{"three lines", "{\recho F\r}\r", []string{"{", "{\necho F", "{\necho F\n}"}},
		{"vi", "bindkey -v\recho one\x1bx\r", []string{"bindkey -v", "echo on"}},
		{"bound directly", "w() { zle .accept-line }; zle -N w; bindkey '^T' w\recho one\x14", []string{"w() { zle .accept-line }; zle -N w; bindkey '^T' w", "echo one"}},
		{"bytes", "echo ü '\\n' \"\\\"\"\r", []string{"echo ü '\\n' \"\\\"\""}},
		{"paste", "\x1b[200~echo one\necho two\x1b[201~\r", []string{"echo one\necho two"}},
	})
}

func TestFishTells(t *testing.T) {
	tells(t, "/usr/bin/fish", fishHome, []told{
		{"enter", "echo one\r", []string{"echo one"}},
		{"newline", "echo one\n", []string{"echo one"}},
		{"abbreviation", "abbr -a x echo one\rx\r", []string{"abbr -a x echo one", "echo one"}},
		{"bytes", "echo ü '\\n' \"\\\"\"\r", []string{"echo ü '\\n' \"\\\"\""}},
		{"vi", "fish_vi_key_bindings\recho one\r", []string{"fish_vi_key_bindings", "echo one"}},
	})
}

func deniedStays(t *testing.T, path string, home map[string]string, keys ...string) {
	for _, k := range keys {
		s := start(t, path, home)
		s.prompt(1)
		s.keys(k)
		s.wait("forbidden line", func() bool {
			last := s.reports[len(s.reports)-1]
			return last.Kind == Line && strings.Contains(last.Text, "forbidden")
		})
		s.interrupt()
		if _, err := os.Stat(filepath.Join(s.home, "forbidden")); err == nil {
			t.Errorf("%q ran", k)
		}
		if left, _ := filepath.Glob("/dev/shm/.podbastion-*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		s.mu.Lock()
		if last := s.reports[len(s.reports)-1]; last.Text != "" {
			t.Errorf("after the interrupt %+v", last)
		}
		s.mu.Unlock()
	}
}

func TestZshDenied(t *testing.T) {
	deniedStays(t, "/usr/bin/zsh", zshHome, "touch forbidden\r", "touch forbidden\n", "touch forbidden\x1ba")
}

func TestFishDenied(t *testing.T) {
	deniedStays(t, "/usr/bin/fish", fishHome, "touch forbidden\r", "touch forbidden\n", "touch forbidden\x1b\r")
}

// Tab completes as ever in a zsh with the gate, also within a substitution and beside one.
func TestZshCompletes(t *testing.T) {
	for keys, want := range map[string]string{
		"echo unusu\t\r": "echo unusual_name", "echo $(echo unusu\t)\r": "echo $(echo unusual_name )", "echo $(echo a) unusu\t\r": "echo $(echo a) unusual_name", "echo 'a (b)' unusu\t\r": "echo 'a (b)' unusual_name",
		"(echo unusu\t)\r": "(echo unusual_name )", "echo 'with (pa\t\r": "echo 'with (parentheses).txt'", "echo with\\ \\(pa\t\r": "echo with\\ \\(parentheses\\).txt",
	} {
		t.Run(keys, func(t *testing.T) {
			s := start(t, "/usr/bin/zsh", map[string]string{".zshrc": zshHome[".zshrc"], "unusual_name": "", "with (parentheses).txt": ""})
			s.prompt(1)
			s.keys(keys)
			if got := s.line(1).Text; strings.ReplaceAll(got, " )", ")") != strings.ReplaceAll(want, " )", ")") && strings.TrimSpace(got) != want {
				t.Errorf("told %q, want %q; screen %q", got, want, s.screen.String())
			}
		})
	}
}
