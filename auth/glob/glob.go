// Package glob has the patterns of the roles document: for names, and for paths. It knows neither roles nor files, so
// that the helper that serves files is as small as can be.
package glob

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// MaxPattern bounds a pattern, in bytes.
const MaxPattern = 1 << 10

// Name is a pattern for a name: * any run, ? one character, [a-z] and [^a-z] classes, \ takes the next literally.
type Name struct {
	pattern string
	regex   *regexp.Regexp // nil: the pattern is a literal
	any     bool
}

// ParseName compiles a pattern.
func ParseName(s string) (Name, error) {
	if s == "" || len(s) > MaxPattern {
		return Name{}, fmt.Errorf("pattern has %d bytes, want 1 to %d", len(s), MaxPattern)
	}
	if !utf8.ValidString(s) {
		return Name{}, errors.New("not UTF-8")
	}
	g := Name{pattern: s, any: s == "*"}
	if strings.ContainsAny(s, `*?[\`) {
		expr, err := globExpression(s, false)
		if err != nil {
			return Name{}, err
		}
		if g.regex, err = regexp.Compile(expr); err != nil {
			return Name{}, errors.New("not a glob")
		}
	}
	return g, nil
}

func (g Name) String() string { return g.pattern }

// Any says whether it is the pattern for any name.
func (g Name) Any() bool { return g.any }

// Match says whether the whole name matches. A name with a slash matches only a pattern with one.
func (g Name) Match(s string) bool {
	if strings.Contains(s, "/") && !strings.Contains(g.pattern, "/") {
		return false
	}
	return g.MatchText(s)
}

// MatchText is Match for text in which a slash is a character like any other.
func (g Name) MatchText(s string) bool {
	switch {
	case g.any:
		return true
	case g.regex != nil:
		return g.regex.MatchString(s)
	}
	return g.pattern == s
}

// Path is a pattern for a cleaned, absolute path: as Name within one component, and ** for any number of whole
// components. A trailing /** also matches the directory itself.
type Path struct {
	pattern string
	regex   *regexp.Regexp
}

// ParsePath compiles a pattern, which must be absolute and clean itself.
func ParsePath(s string) (Path, error) {
	switch {
	case len(s) > MaxPattern:
		return Path{}, fmt.Errorf("pattern has %d bytes, limit %d", len(s), MaxPattern)
	case !strings.HasPrefix(s, "/"):
		return Path{}, errors.New("want an absolute path such as /tmp/**")
	case path.Clean(s) != s:
		return Path{}, fmt.Errorf("want a path without //, . or .., and without a slash at its end, such as %s", path.Clean(s))
	case !utf8.ValidString(s):
		return Path{}, errors.New("not UTF-8")
	}
	expr, err := globExpression(s, true)
	if err != nil {
		return Path{}, err
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return Path{}, errors.New("not a glob")
	}
	return Path{pattern: s, regex: re}, nil
}

func (g Path) String() string { return g.pattern }

// Match says whether the whole path matches. A path that is not absolute and clean never does.
func (g Path) Match(p string) bool {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p {
		return false
	}
	return g.regex.MatchString(p)
}

// globExpression writes a glob as an RE2 expression, so that matching takes linear time whatever the pattern.
func globExpression(s string, isPath bool) (string, error) {
	one, many := `.`, `.*`
	if isPath {
		one, many = `[^/]`, `[^/]*`
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(s); {
		rest := s[i:]
		switch {
		case isPath && rest == "/**" && i == 0:
			b.WriteString(`/.*`)
			i += 3
		case isPath && rest == "/**":
			b.WriteString(`(?:/.*)?`)
			i += 3
		case isPath && strings.HasPrefix(rest, "/**/"):
			b.WriteString(`(?:/.*)?/`)
			i += 4
		case isPath && strings.HasPrefix(rest, "**"):
			return "", errors.New("** must stand for whole path components, as in /srv/**/log")
		case rest[0] == '*':
			b.WriteString(many)
			i++
		case rest[0] == '?':
			b.WriteString(one)
			i++
		case rest[0] == '[':
			class, n, err := classExpression(rest, isPath)
			if err != nil {
				return "", err
			}
			b.WriteString(class)
			i += n
		case rest[0] == '\\':
			if len(rest) < 2 {
				return "", errors.New("trailing \\ in a glob")
			}
			_, n := utf8.DecodeRuneInString(rest[1:])
			b.WriteString(regexp.QuoteMeta(rest[1 : 1+n]))
			i += 1 + n
		default:
			_, n := utf8.DecodeRuneInString(rest)
			b.WriteString(regexp.QuoteMeta(rest[:n]))
			i += n
		}
	}
	b.WriteString(`\z`)
	return b.String(), nil
}

// classExpression translates a class at the start of s and returns how many bytes of s it took.
func classExpression(s string, isPath bool) (string, int, error) {
	var b strings.Builder
	i := 1
	negated := i < len(s) && (s[i] == '^' || s[i] == '!')
	b.WriteByte('[')
	if negated {
		b.WriteByte('^')
		if isPath {
			b.WriteByte('/')
		}
		i++
	}
	next := func() (rune, error) {
		if i < len(s) && s[i] == '\\' {
			i++
		}
		if i >= len(s) {
			return 0, errors.New("unclosed [ in a glob")
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if isPath && r == '/' {
			return 0, errors.New("a class in a path glob cannot hold a slash")
		}
		return r, nil
	}
	for first := true; ; first = false {
		if i < len(s) && s[i] == ']' && !first {
			return b.String() + "]", i + 1, nil
		}
		lo, err := next()
		if err != nil {
			return "", 0, err
		}
		hi := lo
		if i+1 < len(s) && s[i] == '-' && s[i+1] != ']' {
			i++
			if hi, err = next(); err != nil {
				return "", 0, err
			}
		}
		if hi < lo || isPath && lo < '/' && hi >= '/' {
			return "", 0, errors.New("a range in a glob runs backwards or over the slash")
		}
		fmt.Fprintf(&b, `\x{%x}-\x{%x}`, lo, hi)
	}
}
