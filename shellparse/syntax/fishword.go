package syntax

import (
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// fishEnds are the characters that end a word.
const fishEnds = " \t\r\n;|&<>)"

// disputed tells of what stands here, within a word, that fish's versions do not agree on, or that means something other
// than it seems: an & with text behind it, which ended the command once and is text now; a # behind an escaped blank,
// from where on all that is left of the row is text; and what would end a word in brackets, where it does not.
func (r *fishReader) disputed(start int) bool {
	switch r.text[r.pos] {
	case '&':
		return r.pos > start && r.pos+1 < len(r.text) && strings.IndexByte(fishEnds, r.text[r.pos+1]) < 0
	case '#':
		return r.pos > start && strings.IndexByte(" \t\n", r.text[r.pos-1]) >= 0
	case '[':
		inside, _, closed := strings.Cut(r.text[r.pos:], "]")
		return r.pos > start && (!closed || strings.ContainsAny(inside, fishEnds+"(#'\"\\"))
	}
	return false
}

// word reads one word of fish's language; braces make several of it.
func (r *fishReader) word() ([]Word, error) {
	start := r.pos
	b := wordBuilder{walker: &walker{collector: r.collector}}
	braces := false
	for r.pos < len(r.text) {
		ch := r.text[r.pos]
		switch {
		case r.disputed(start):
			return nil, ErrUnparsable
		case strings.IndexByte(fishEnds, ch) >= 0:
			if r.pos == start {
				return nil, ErrUnparsable
			}
			return r.finish(b.done(), braces, start)
		case ch == '\'' || ch == '"':
			if err := r.quoted(&b, ch); err != nil {
				return nil, err
			}
		case ch == '\\':
			if err := r.escape(&b); err != nil {
				return nil, err
			}
		case ch == '$' && r.pos+1 < len(r.text) && r.text[r.pos+1] == '(':
			r.pos++
		case ch == '(':
			r.pos++
			if err := r.inside(')', r.at, input{}); err != nil {
				return nil, err
			}
			b.piece(Unknown, "(…)")
			b.word.Split = true
		case ch == '$':
			r.variable(&b, false)
		case ch == '*':
			b.glob(Star, "*")
			r.pos++
		case ch == '?':
			b.glob(One, "?")
			r.pos++
		case ch == '~' && r.pos == start:
			end := r.pos + 1
			for end < len(r.text) && strings.IndexByte(fishEnds+"/", r.text[end]) < 0 {
				end++
			}
			kind := Unknown
			if end == r.pos+1 && !r.strays {
				kind = Home
			}
			b.piece(kind, r.text[r.pos:end])
			r.pos = end
		default:
			braces = braces || ch == '{'
			b.text.WriteByte(ch)
			r.pos++
		}
	}
	return r.finish(b.done(), braces, start)
}

// finish expands the braces of a word, where it is plain enough for that.
func (r *fishReader) finish(w Word, hasBraces bool, start int) ([]Word, error) {
	if !hasBraces {
		return []Word{w}, nil
	}
	text, ok := w.Known()
	n := strings.Count(text, "{")
	if !ok || w.Quoted || n > maxNestedBraces || n != strings.Count(text, "}") || strings.Contains(text, "..") {
		return []Word{unknown(r.text[start:r.pos])}, nil
	}
	word := &sh.Word{Parts: []sh.WordPart{&sh.Lit{Value: text}}}
	if !sh.SplitBraces(word) {
		return []Word{w}, nil
	}
	var out []Word
	walk := walker{collector: r.collector}
	for _, alternative := range braces(word, maxBraces, true) {
		out = append(out, walk.word(alternative))
	}
	if len(out) == 0 {
		return []Word{unknown(text)}, nil
	}
	return out, nil
}

// quoted reads '…' or "…".
func (r *fishReader) quoted(b *wordBuilder, quote byte) error {
	b.word.Quoted = true
	for r.pos++; r.pos < len(r.text); {
		ch := r.text[r.pos]
		switch {
		case ch == quote:
			r.pos++
			return nil
		case ch == '\\' && r.pos+1 < len(r.text):
			next := r.text[r.pos+1]
			r.pos += 2
			switch {
			case next == '\\' || next == quote || quote == '"' && next == '$':
				b.text.WriteByte(next)
			case next == '\n' && quote == '"':
			default:
				b.text.WriteByte('\\')
				b.text.WriteByte(next)
			}
		case ch == '$' && quote == '"' && strings.HasPrefix(r.text[r.pos:], "$("):
			r.pos += 2
			if err := r.inside(')', r.at, input{}); err != nil {
				return err
			}
			b.piece(Unknown, "$(…)")
		case ch == '$' && quote == '"':
			r.variable(b, true)
		default:
			b.text.WriteByte(ch)
			r.pos++
		}
	}
	return ErrIncomplete
}

// escape reads a backslash outside quotes.
func (r *fishReader) escape(b *wordBuilder) error {
	if r.pos+1 >= len(r.text) {
		return ErrIncomplete
	}
	b.word.Quoted = true
	next := r.text[r.pos+1]
	n := 2
	switch next {
	case '\n':
	case 'x', 'X', 'u', 'U', '0', '1', '2', '3', '4', '5', '6', '7', 'c', 'a', 'b', 'e', 'f', 'n', 'r', 't', 'v':
		end := r.pos + 2
		for end < len(r.text) && end < r.pos+10 && isHex(r.text[end]) && strings.IndexByte("xXuU01234567", next) >= 0 {
			end++
		}
		if next == 'c' {
			end = min(r.pos+3, len(r.text))
		}
		if end > r.pos+2 { // the decoder takes as many digits as belong to it
			text, ok := decodeDollar(strings.Replace(r.text[r.pos:end], `\X`, `\x`, 1), Bash)
			if !ok {
				return ErrUnparsable
			}
			b.text.WriteString(text)
			r.pos = end
			return nil
		}
		text, ok := decodeDollar(r.text[r.pos:end], Bash)
		if !ok {
			return ErrUnparsable
		}
		b.text.WriteString(text)
	default:
		b.text.WriteByte(next)
	}
	r.pos += n
	return nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// variable reads $name, $$name and an index behind it.
func (r *fishReader) variable(b *wordBuilder, quoted bool) {
	start := r.pos
	for r.pos < len(r.text) && r.text[r.pos] == '$' {
		r.pos++
	}
	for r.pos < len(r.text) && isWordByte(r.text[r.pos]) {
		r.pos++
	}
	name := r.text[start:r.pos]
	if r.pos < len(r.text) && r.text[r.pos] == '[' {
		n := strings.IndexByte(r.text[r.pos:], ']')
		if n < 0 || strings.ContainsAny(r.text[r.pos:r.pos+n], "($") {
			r.fail(ErrUnparsable) // an index may run commands
			return
		}
		r.pos += n + 1
	}
	switch {
	case name == "$HOME" && !r.strays && len(b.word.Pieces) == 0 && b.text.Len() == 0 && len(r.values["HOME"]) == 0:
		b.piece(Home, name)
	case name == "$PWD" && !r.strays && len(b.word.Pieces) == 0 && b.text.Len() == 0:
		b.piece(WorkDir, name)
	default:
		b.piece(Unknown, name)
		b.word.Split = b.word.Split || !quoted
	}
}
