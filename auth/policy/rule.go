package policy

import (
	"path"
	syntaxre "regexp/syntax"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// answer is whether a condition holds.
type answer int

const (
	no answer = iota
	perhaps
	yes
)

// rule is one of the document's, prepared.
type rule struct {
	*auth.Rule
	index int
	names []string // the literal base names of its programs
	open  bool     // it has no programs, or globs among them: the index by name does not find it
	paths []pattern
	heads []string // what the bare names begin with that the programs of the same index match
	start string   // what a text begins with that the regex, which is anchored, matches
	first byte     // what every name begins with that it matches or, where it has no programs, every text; 0: it may be anything
}

func newRule(r *auth.Rule, index int) *rule {
	out := &rule{Rule: r, index: index, open: len(r.Programs) == 0}
	for _, g := range r.Programs {
		head := g.String()
		if i := strings.IndexAny(head, `*?[\/`); i >= 0 {
			head = head[:i]
		}
		out.heads = append(out.heads, head)
		base := path.Base(g.String())
		if strings.ContainsAny(g.String(), `*?[\`) {
			out.open = true
		} else if !slices.Contains(out.names, base) {
			out.names = append(out.names, base)
		}
	}
	if out.open {
		out.names = nil
	}
	if r.Regex != nil {
		out.start = literalStart(r.Regex.String())
	}
	out.first = out.firstByte()
	for _, g := range r.Paths {
		out.paths = append(out.paths, pathGlob(g.String()))
	}
	return out
}

func (r *rule) firstByte() byte {
	begins := r.heads
	if len(r.Programs) == 0 {
		begins = []string{r.start}
	}
	for _, s := range begins {
		if s == "" || s[0] != begins[0][0] {
			return 0
		}
	}
	return begins[0][0]
}

// far says, at the cost of a byte, that the rule cannot match: of many rules most are.
func (r *rule) far(s *subject) bool {
	begins := func(text string) bool { return text != "" && text[0] == r.first }
	switch {
	case r.first == 0:
		return false
	case len(r.Programs) > 0:
		return !s.name.open && !begins(s.name.base)
	}
	return !begins(s.source) && !begins(s.text) && (r.permits() || !begins(s.line.Text))
}

// literalStart is the text that everything begins with which an anchored expression matches. It spares most rules the
// expression itself.
func literalStart(expression string) string {
	re, err := syntaxre.Parse(expression, syntaxre.Perl)
	if err != nil || re.Op != syntaxre.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntaxre.OpBeginText {
		return ""
	}
	first := re.Sub[1]
	for first.Op == syntaxre.OpConcat && len(first.Sub) > 0 {
		first = first.Sub[0]
	}
	if first.Op != syntaxre.OpLiteral || first.Flags&syntaxre.FoldCase != 0 {
		return ""
	}
	return string(first.Rune)
}

// permits says whether the rule needs certainty: what it allows must be what runs.
func (r *rule) permits() bool { return r.Action == auth.Allow }

// answersForCode says whether the rule speaks of the place where a command's code is, and so answers for it.
func (r *rule) answersForCode(in syntax.CodePlace) bool {
	if in == syntax.Nowhere {
		return false
	}
	return len(r.Arguments) > 0 || len(r.Flags) > 0 || r.Regex != nil || in == syntax.InFile && len(r.Paths) > 0
}

// match holds a rule against a subject: all its conditions must hold.
func (r *rule) match(s *subject) answer {
	out := r.program(s)
	if out == no {
		return no
	}
	if out = min(out, r.regex(s)); out == no {
		return no
	}
	if out = min(out, r.arguments(s)); out == no {
		return no
	}
	if out = min(out, r.flags(s)); out == no {
		return no
	}
	return min(out, r.files(s))
}

// trustedDirs hold the programs that a bare name means. A program of the same name elsewhere is another one.
var trustedDirs = []string{"/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"}

func (r *rule) program(s *subject) answer {
	if len(r.Programs) == 0 {
		return yes
	}
	out := no
	for i, g := range r.Programs {
		if head := r.heads[i]; head != "" && !s.name.open && !strings.HasPrefix(s.name.base, head) {
			continue
		}
		out = max(out, r.oneProgram(g, s.name))
	}
	return out
}

func (r *rule) oneProgram(g glob.Name, n name) answer {
	if n.open {
		if r.permits() {
			return no
		}
		return n.mayBe(g.String())
	}
	byPath := strings.Contains(g.String(), "/")
	called := strings.Contains(n.text, "/")
	switch {
	case !called && !byPath:
		return is(g.Match(n.text))
	case !called: // a bare name against a path: which file it is only the search path tells
		if !r.permits() && (glob.Name.Match(g, path.Dir(g.String())+"/"+n.text) || sameBase(g, n.base)) {
			return yes
		}
		return no
	case len(n.abs) == 0: // a relative path from an unknown directory
		if r.permits() {
			return no
		}
		if byPath {
			return min(perhaps, is(sameBase(g, n.base)))
		}
		return is(g.Match(n.base))
	}
	matches := func(abs string) bool {
		if byPath {
			return g.Match(abs)
		}
		return g.Match(path.Base(abs)) && (!r.permits() || g.String() == "*" || slices.Contains(trustedDirs, path.Dir(abs)))
	}
	if r.permits() {
		return is(!slices.ContainsFunc(n.abs, func(abs string) bool { return !matches(abs) }))
	}
	return is(slices.ContainsFunc(n.abs, matches))
}

// sameBase says whether a path pattern's last component matches a bare name.
func sameBase(g glob.Name, base string) bool {
	last, err := glob.ParseName(path.Base(g.String()))
	return err == nil && last.Match(base)
}

func is(b bool) answer {
	if b {
		return yes
	}
	return no
}

// regex holds an allow rule's expression against the command alone, so that it never lets another one of the line
// through, and any other rule's against the whole line as well.
func (r *rule) regex(s *subject) answer {
	if r.Regex == nil {
		return yes
	}
	matches := func(text string) bool { return strings.HasPrefix(text, r.start) && r.Regex.MatchString(text) }
	if s.source != "" && matches(s.source) || s.text != s.source && matches(s.text) {
		return yes
	}
	return is(!r.permits() && s.line.Text != s.source && matches(s.line.Text))
}

// arguments: an allow rule must name every argument, any other rule one of them. Where an allow rule names flags too,
// they are left to it.
func (r *rule) arguments(s *subject) answer {
	if len(r.Arguments) == 0 {
		return yes
	}
	words := s.words[1:]
	if r.permits() {
		words = s.words[1:max(1, s.own)]
		if len(words) == 0 && s.cmd.Interpreter {
			return no // what it runs comes from elsewhere
		}
	}
	out := no
	for _, w := range words {
		text, known := w.Known()
		if known && len(r.Flags) > 0 && r.permits() && len(text) > 1 && text[0] == '-' {
			continue
		}
		hit := known && slices.ContainsFunc(r.Arguments, func(a auth.Argument) bool { return a.Match(text) })
		switch {
		case r.permits() && !hit:
			return no
		case hit:
			out = yes
		case !known:
			out = max(out, perhaps)
		}
	}
	if r.permits() {
		return yes
	}
	return out
}

// files: paths and sizes, which must hold of the same file.
func (r *rule) files(s *subject) answer {
	if len(r.Paths) == 0 && r.FileLargerThan < 0 {
		return yes
	}
	paths := s.paths()
	if r.permits() {
		if s.cmd.Interpreter && (s.cmd.Input || s.cmd.Extra && len(r.Flags) == 0 && len(r.Arguments) == 0 && r.Regex == nil) {
			return no // the files are not all that it runs
		}
		for _, p := range paths {
			if r.onePath(s, p) != yes {
				return no
			}
		}
		// cat in a pipeline names no file and reads none. An interpreter that names none runs whatever it is given.
		return is(len(paths) > 0 || r.FileLargerThan < 0 && !s.cmd.Interpreter)
	}
	out := no
	for _, p := range paths {
		out = max(out, r.onePath(s, p))
	}
	return out
}

func (r *rule) onePath(s *subject, p pathPattern) answer {
	out := yes
	if len(r.Paths) > 0 {
		out = no
		for i, g := range r.Paths {
			out = max(out, p.in(g, r.paths[i]))
		}
	}
	if r.FileLargerThan >= 0 && out != no {
		out = min(out, r.larger(s, p))
	}
	return out
}

// covers says whether the rule's paths hold all that a redirection opens.
func (r *rule) covers(s *subject) bool {
	for _, p := range s.paths() {
		if r.onePath(s, p) != yes {
			return false
		}
	}
	return true
}

func (r *rule) larger(s *subject, p pathPattern) answer {
	file, exact := p.exact()
	if !exact {
		return perhaps
	}
	size, told := s.facts.Sizes[file]
	switch {
	case !told:
		if !slices.Contains(s.needs, file) {
			s.needs = append(s.needs, file)
		}
		return perhaps
	case size == Unknown:
		return perhaps
	}
	return is(size > r.FileLargerThan)
}
