//go:build real

package syntax_test

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// TestWordsAgainstShells compares what words turn into with what the shells themselves make of them.
func TestWordsAgainstShells(t *testing.T) {
	bits := []string{"a", "b", "x", `\`, `\\`, `'`, `"`, `''`, `""`, " ", "  ", `\ `, `$'`, `\x41`, `\101`, `\n`, `\'`, `\"`, "{", "}", "{a,b}", "{1..3}", "{01..3}", "{c..a}", ",", "-", "=", "#", "~x", "%", `\t`, "é", `\u00e9`, ".", "/", "@", ":", "^", "\\\n", "$", "!", "+", ";", "|", "&", "\n", "<", "*", "?", "[", "]", "_", "1", "`"}
	for dialect, shell := range map[syntax.Dialect][]string{syntax.Bash: {"bash", "--norc"}, syntax.POSIX: {"dash"}, syntax.Zsh: {"zsh", "-f"}, syntax.Fish: {"fish", "--no-config"}} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, 2)) // the same words in every run
			compared := 0
			for range 1000 {
				text := "printf '%s\\n' ."
				for range 1 + random.IntN(8) {
					text += bits[random.IntN(len(bits))]
				}
				want, ok := arguments(t, text, dialect)
				if !ok || strings.HasSuffix(text, `\`) { // at the end of all, a backslash continues what does not come
					continue
				}
				out, err := exec.CommandContext(t.Context(), shell[0], append(shell[1:], "-c", text)...).Output()
				if err != nil || len(out) == 0 {
					continue // the shell refuses it: nothing runs
				}
				compared++
				if got := string(out); got != strings.Join(want, "\n")+"\n" {
					t.Errorf("%q is %q, taken for %q", text, got, want)
				}
			}
			if compared < 200 {
				t.Errorf("only %d compared", compared)
			}
		})
	}
}

// arguments returns what the text hands to its only command, where that is known.
func arguments(t *testing.T, text string, dialect syntax.Dialect) ([]string, bool) {
	t.Helper()
	script, err := syntax.Parse(text, dialect)
	if err != nil || len(script.Commands) != 1 || script.History {
		return nil, false
	}
	var out []string
	for _, w := range script.Commands[0].Words[2:] {
		s, ok := w.Known()
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}
