package policy

import (
	"strings"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// options is what is known of a program's arguments.
type options struct {
	bundles bool            // -rf is -r -f
	valued  string          // letters that take a value
	longs   map[byte]string // letter to its long form
	skip    int             // operands that are no paths
	noPaths bool
	here    bool // without operands it works on the current directory
}

func optionsOf(string) options {
	return options{bundles: true, longs: map[byte]string{'r': "--recursive", 'R': "--recursive", 'f': "--force"}}
}

// pathWords lists the words that may name files.
func (s *subject) pathWords() []syntax.Word {
	var out []syntax.Word
	ended := false
	for _, w := range s.words[1:] {
		p := w.Prefix()
		switch {
		case !ended && p == "--":
			ended = true
		case !ended && strings.HasPrefix(p, "-"):
			if i := strings.IndexAny(p, "/~"); i > 0 {
				out = append(out, after(w, i))
			}
		default:
			out = append(out, w)
			if i := strings.IndexByte(p, '='); i > 0 && s.name.base != ">" {
				out = append(out, after(w, i+1))
			}
		}
	}
	return out
}

// after is a word without its first n bytes, which are literal.
func after(w syntax.Word, n int) syntax.Word {
	out := syntax.Word{Split: w.Split}
	for i, p := range w.Pieces {
		if n < len(p.Text) || p.Kind != syntax.Literal {
			if p.Kind == syntax.Literal {
				p.Text = p.Text[n:]
			}
			out.Pieces = append(append(out.Pieces, p), w.Pieces[i+1:]...)
			return out
		}
		n -= len(p.Text)
	}
	return out
}
