package policy

import (
	"path"
	"strings"

	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// Marks stand in a path pattern for what is not known, as runes that no path holds.
const (
	markAny  = '\uE000' + 0x800 // any run of characters, slashes among them
	markStar = markAny + 1      // any run without a slash
	markOne  = markAny + 2      // one character other than a slash
)

// anywhere is a path of which nothing is known.
const anywhere = pathPattern("\uE800")

// pathPattern is a cleaned absolute path with marks in it.
type pathPattern string

func (p pathPattern) exact() (string, bool) {
	return string(p), !strings.ContainsAny(string(p), "\uE800\uE801\uE802")
}

// in says whether the path is, may be or cannot be one that the glob matches.
func (p pathPattern) in(g glob.Path, compiled pattern) answer {
	if s, ok := p.exact(); ok {
		return is(g.Match(s))
	}
	switch {
	case g.String() == "/**":
		return yes
	case p == anywhere:
		return perhaps
	}
	mine := marked(string(p))
	switch {
	case contains(compiled, mine):
		return yes
	case overlap(compiled, mine):
		return perhaps
	}
	return no
}

// resolve turns a word into the paths that it may mean, seen from the directories that the command may run in.
func (j *judge) resolve(w syntax.Word, dirs []string) []pathPattern {
	text, absolute, ok := j.marks(w)
	switch {
	case !ok:
		return []pathPattern{anywhere}
	case absolute:
		return []pathPattern{clean(text)}
	}
	var out []pathPattern
	for _, d := range dirs {
		base, ok := j.dir(d)
		if !ok {
			out = append(out, below(text))
			continue
		}
		out = append(out, clean(base+"/"+text))
	}
	return out
}

// below is a relative path in an unknown directory.
func below(text string) pathPattern {
	c := clean("/" + text)
	if c == anywhere || strings.HasPrefix(path.Clean(text), "..") || c == "/" {
		return anywhere
	}
	return anywhere + c
}

// dir is the absolute form of a command's directory.
func (j *judge) dir(d string) (string, bool) {
	switch {
	case d == syntax.Anywhere:
		return "", false
	case strings.HasPrefix(d, "/"):
		return d, true
	case strings.HasPrefix(d, "~"):
		return j.facts.Home + d[1:], strings.HasPrefix(j.facts.Home, "/")
	}
	return j.facts.Dir + "/" + d, strings.HasPrefix(j.facts.Dir, "/")
}

// marks writes a word as text with marks.
func (j *judge) marks(w syntax.Word) (text string, absolute, ok bool) {
	var b strings.Builder
	for i, p := range w.Pieces {
		switch p.Kind {
		case syntax.Literal:
			b.WriteString(p.Text)
		case syntax.Unknown:
			b.WriteRune(markAny)
		case syntax.Star:
			b.WriteRune(markStar)
		case syntax.One:
			b.WriteRune(markOne)
		case syntax.Home, syntax.WorkDir:
			known := j.facts.Home
			if p.Kind == syntax.WorkDir {
				known = j.facts.Dir
			}
			if i > 0 || !strings.HasPrefix(known, "/") {
				b.WriteRune(markAny)
				continue
			}
			b.WriteString(known)
		}
	}
	text = b.String()
	if strings.HasPrefix(text, string(rune(markAny))) {
		return "", false, false
	}
	return text, strings.HasPrefix(text, "/"), true
}

// clean normalises a path with marks. A component that may hold slashes, or turn out to be "..", leaves nothing known.
func clean(text string) pathPattern {
	for _, c := range strings.Split(text, "/") {
		if strings.ContainsRune(c, markAny) {
			return anywhere
		}
		if strings.HasPrefix(c, ".") && strings.ContainsAny(c, "\uE801\uE802") {
			return anywhere
		}
	}
	return pathPattern(path.Clean(text))
}

// paths lists what the subject's words and redirections may name as files.
func (s *subject) paths() []pathPattern {
	if s.gotPaths {
		return s.allPaths
	}
	s.gotPaths = true
	for _, w := range s.pathWords() {
		s.allPaths = append(s.allPaths, s.resolve(w, s.cmd.Dirs)...)
	}
	for _, r := range s.files {
		if harmless(r.File) {
			continue
		}
		s.allPaths = append(s.allPaths, s.resolve(r.File, s.cmd.Dirs)...)
	}
	return s.allPaths
}
