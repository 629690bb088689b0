package syntax_test

import (
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// FuzzParse: whatever the text, Parse ends soon, and a command that stands alone at its end is never lost.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"ls -la | grep x > /tmp/f", "a=rm; $a F", "sh -c 'echo $(rm x)'", "cat <<EOF\n$(x)\nEOF", "{a,b}{c,d}", "f() { $1; }; f x", "for i in a; do x; done",
		"find . -exec rm {} +", "xargs -I{} sh -c '{}'", "awk '{print > \"f\"}' x", "$'\\x72m'", "[[ a =~ b ]]", "case x in a) b;; esac", "if a; b; end", "echo (x)", "function f; x; end", "set a b; $a",
		"env -S 'a b'", "trap 'x' EXIT", "alias a=b", "su - x -c y", "((a[$(b)]))", "${a:-`b`}", "timeout 5 sudo -u x nice ls", "a && b || c & d |& e", "\xff", "!!", "echo \\", "trap", "awk 'n>f\"}'", "a ;)"} {
		for d := range 5 {
			f.Add(seed, d)
		}
	}
	dialects := []syntax.Dialect{syntax.Bash, syntax.POSIX, syntax.Mksh, syntax.Zsh, syntax.Fish}
	f.Fuzz(func(t *testing.T, text string, d int) {
		dialect := dialects[uint(d)%uint(len(dialects))]
		began := time.Now()
		script, err := syntax.Parse(text, dialect)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("took %s", took)
		}
		if err != nil {
			return
		}
		for _, c := range script.Commands {
			if c.Own > len(c.Words) {
				t.Fatalf("%q: own %d of %d words", text, c.Own, len(c.Words))
			}
			if len(c.Dirs) == 0 {
				t.Fatalf("%q: %q has no directory", text, c.String())
			}
		}
		if strings.HasSuffix(text, "\n") {
			return
		}
		more, err := syntax.Parse(text+"\nwitness-of-the-end", dialect)
		if err != nil || script.History {
			return // the text was a comment's or a here-document's beginning, or the like
		}
		if len(more.Commands) > 0 && !mentions(more, "witness-of-the-end") {
			t.Fatalf("%q: the command after it is lost: %d commands", text, len(more.Commands))
		}
	})
}

// mentions says whether some command or the code of a definition holds the word.
func mentions(s *syntax.Script, word string) bool {
	for _, c := range s.Commands {
		if strings.Contains(c.String(), word) || c.Code != "" {
			return true
		}
	}
	return false
}
