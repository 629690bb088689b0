package syntax

import (
	"regexp"
	"strings"
)

// sed looks for what its scripts run and write: the commands e, w and W, and these flags of s.
func (r *runner) sed() {
	g := grammar{short: "nrEszubi::e:f:l:", long: []string{"quiet", "silent", "expression=", "file=", "regexp-extended", "in-place", "separate", "null-data", "unbuffered",
		"line-length=", "posix", "sandbox", "debug", "follow-symlinks", "help", "version", "zero-terminated", "binary"}}
	p := g.parse(r.words[1:])
	for more := p; more.rest < len(r.words)-1; { // options may follow files
		next := g.parse(r.words[1+more.rest+1:])
		p.options = append(p.options, next.options...)
		more.rest += 1 + next.rest
	}
	var scripts []Word
	for _, o := range p.options {
		switch o.name {
		case "-e", "--expression":
			scripts = append(scripts, o.value)
		case "-f", "--file":
			r.foreign(InFile, "its script is in a file")
			scripts = append(scripts, Word{})
		case "--sandbox":
			return
		}
	}
	if len(scripts) > 1 { // sed joins them, so that what begins in one may end in the next
		all := scripts[0]
		for _, w := range scripts[1:] {
			all = glued(glued(all, Text("\n")), w)
		}
		scripts = []Word{all}
	}
	if n := 1 + p.rest; len(scripts) == 0 && n < len(r.words) {
		scripts = append(scripts, r.words[n])
		// Options may follow, which make that a file: then they have the script.
		for rest := r.words[n+1:]; len(rest) > 0; {
			more := g.parse(rest)
			for _, o := range more.options {
				switch o.name {
				case "-e", "--expression":
					scripts = append(scripts, o.value)
				case "-f", "--file":
					r.foreign(InFile, "its script is in a file")
				}
			}
			rest = rest[min(more.rest+1, len(rest)):]
		}
	}
	for _, w := range scripts {
		text, known := w.Known()
		if !known {
			// Mostly a variable in a replacement; but its value could close the command and begin another.
			r.hidden("its script is only known at run time")
			continue
		}
		s := sedScript{runner: r, text: text}
		if !s.read() && strings.ContainsAny(s.text, "ewW") {
			r.hidden("its script cannot be read")
		}
	}
}

// sedScript reads a script from its start; text is what is left of it.
type sedScript struct {
	*runner
	text string
}

func (s *sedScript) read() bool {
	for {
		s.text = strings.TrimLeft(s.text, " \t\n;")
		if s.text == "" {
			return true
		}
		if !s.addresses() || s.text == "" || !s.command() {
			return false
		}
	}
}

// addresses skips what selects lines.
func (s *sedScript) addresses() bool {
	for s.text != "" {
		switch c := s.text[0]; {
		case c >= '0' && c <= '9' || strings.IndexByte("$,+~! \t", c) >= 0:
			s.text = s.text[1:]
		case c == '/' || c == '\\' && len(s.text) > 1:
			if c == '\\' {
				s.text = s.text[1:]
			}
			delimiter := s.text[0]
			s.text = s.text[1:]
			if _, ok := s.until(delimiter); !ok {
				return false
			}
			s.text = strings.TrimLeft(s.text, "IM")
		default:
			return true
		}
	}
	return true
}

// until takes the text up to a delimiter that no backslash hides and no bracket holds.
func (s *sedScript) until(delimiter byte) (string, bool) {
	for i := 0; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			i++
		case delimiter:
			found := s.text[:i]
			s.text = s.text[i+1:]
			return found, true
		}
	}
	return "", false
}

func (s *sedScript) command() bool {
	c := s.text[0]
	s.text = s.text[1:]
	switch c {
	case '{', '}', '=', 'd', 'D', 'g', 'G', 'h', 'H', 'n', 'N', 'p', 'P', 'x', 'l', 'q', 'Q', 'z', 'F', 'L':
		s.text = strings.TrimLeft(s.text, " \t0123456789")
		return true
	case 'r', 'R':
		s.self().Redirects = append(s.self().Redirects, Redirect{File: Text(strings.TrimSpace(s.line())), Op: "sed r "})
		return true
	case '#', ':', 'b', 't', 'T', 'v':
		line := s.line()
		if i := strings.IndexAny(line, ";}"); i >= 0 && strings.IndexByte(":btTv", c) >= 0 {
			s.text = line[i:] + "\n" + s.text
		}
		return true
	case 'a', 'i', 'c':
		for strings.HasSuffix(s.line(), `\`) && s.text != "" {
			continue
		}
		return true
	case 'w', 'W':
		s.writes(s.line())
		return true
	case 'e':
		s.executes(strings.TrimSpace(s.line()))
		return true
	case 's', 'y':
		return s.substitution(c)
	}
	return false
}

// line takes the rest of the line.
func (s *sedScript) line() string {
	line, rest, _ := strings.Cut(s.text, "\n")
	s.text = rest
	return line
}

func (s *sedScript) substitution(c byte) bool {
	if s.text == "" {
		return false
	}
	delimiter := s.text[0]
	s.text = s.text[1:]
	pattern, ok := s.until(delimiter)
	if !ok || c == 's' && endsInBracket(pattern) {
		return false // to some seds a bracket hides the delimiter
	}
	replacement, ok := s.until(delimiter)
	if !ok || c == 'y' {
		return ok
	}
	for s.text != "" {
		switch f := s.text[0]; {
		case f == 'e':
			s.executes("")
			at := s.below()
			at.possible = true
			_ = s.codeAt(replacement, POSIX, at) // a guess that cannot be read is none
		case f == 'w':
			s.text = s.text[1:]
			s.writes(s.line())
			return true
		case strings.IndexByte("gpiImM0123456789", f) < 0:
			return true
		}
		s.text = s.text[1:]
	}
	return true
}

// sedClass is a class within [ ]: [:alpha:].
var sedClass = regexp.MustCompile(`\[[:.=][^\]]*[:.=]\]`)

// endsInBracket says whether a pattern breaks off within [ ].
func endsInBracket(pattern string) bool {
	pattern = sedClass.ReplaceAllString(pattern, "x")
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '[':
			n := classLength(pattern[i:])
			if n == 0 {
				return true
			}
			i += n - 1
		}
	}
	return false
}

func (s *sedScript) writes(file string) {
	s.self().Redirects = append(s.self().Redirects, Redirect{Write: true, File: Text(strings.TrimLeft(file, " \t")), Op: "sed w "})
}

func (s *sedScript) executes(command string) {
	if command == "" {
		s.hidden("its script runs what it reads")
		return
	}
	s.code(Text(command), POSIX, s.below())
}
