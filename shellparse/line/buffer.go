package line

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// A buffer is the text that an editor holds and the place of its cursor. Bytes that are no UTF-8 are runes from rawByte.
type buffer struct {
	text []rune
	pos  int
}

const rawByte = 0xDC00

// hole stands for what an editor put in by itself: one character, whatever it was.
const hole = rawByte + 0x200

// maxText bounds what any model holds.
const maxText = 64 << 10

func decode(b []byte) []rune {
	out := make([]rune, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			r = rawByte + rune(b[0])
		}
		out = append(out, r)
		b = b[n:]
	}
	return out
}

func encode(rs []rune) string {
	b := make([]byte, 0, len(rs))
	for _, r := range rs {
		if r >= rawByte && r <= rawByte+0xff {
			b = append(b, byte(r))
			continue
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

func (b *buffer) insert(rs ...rune) {
	if len(b.text)+len(rs) > maxText {
		return
	}
	if b.pos == len(b.text) {
		b.text = append(b.text, rs...)
		b.pos = len(b.text)
		return
	}
	b.text = slices.Insert(b.text, b.pos, rs...)
	b.pos += len(rs)
}

// cut removes the text between two places and leaves the cursor there.
func (b *buffer) cut(from, to int) []rune {
	from, to = b.clamp(from), b.clamp(to)
	if from > to {
		from, to = to, from
	}
	gone := append([]rune(nil), b.text[from:to]...)
	b.text = append(b.text[:from], b.text[to:]...)
	b.pos = from
	return gone
}

func (b *buffer) clamp(i int) int { return min(max(i, 0), len(b.text)) }

func (b *buffer) move(to int) { b.pos = b.clamp(to) }

func (b *buffer) set(text []rune, pos int) {
	b.text = append([]rune(nil), text...)
	b.move(pos)
}

// back goes left over what does not match, then over what does, and tells where it ends.
func (b *buffer) back(word func(rune) bool) int {
	i := b.pos
	for i > 0 && !word(b.text[i-1]) {
		i--
	}
	for i > 0 && word(b.text[i-1]) {
		i--
	}
	return i
}

// forward goes right over what does not match, then over what does.
func (b *buffer) forward(word func(rune) bool) int {
	i := b.pos
	for i < len(b.text) && !word(b.text[i]) {
		i++
	}
	for i < len(b.text) && word(b.text[i]) {
		i++
	}
	return i
}

// next goes right over what matches, then over what does not: where the next word begins.
func (b *buffer) next(word func(rune) bool) int {
	i := b.pos
	for i < len(b.text) && word(b.text[i]) {
		i++
	}
	for i < len(b.text) && !word(b.text[i]) {
		i++
	}
	return i
}

// lineStart and lineEnd are the bounds of the physical line that the cursor is on.
func (b *buffer) lineStart() int {
	i := b.pos
	for i > 0 && b.text[i-1] != '\n' {
		i--
	}
	return i
}

func (b *buffer) lineEnd() int {
	i := b.pos
	for i < len(b.text) && b.text[i] != '\n' {
		i++
	}
	return i
}

func alnum(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func notBlank(r rune) bool { return r != ' ' && r != '\t' && r != '\n' }

// zleWord is zsh's default WORDCHARS with letters and digits.
func zleWord(r rune) bool {
	switch r {
	case '*', '?', '_', '-', '.', '[', ']', '~', '=', '/', '&', ';', '!', '#', '$', '%', '^', '(', ')', '{', '}', '<', '>':
		return true
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}

// fishWord separates paths at the slash as fish does.
func fishWord(r rune) bool {
	switch r {
	case ' ', '\t', '\n', '/', '=', '{', '}', ',', '\'', '"', ':', '@', '|', ';', '<', '>', '&':
		return false
	}
	return true
}
