package line

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maybeBlank stands in what was read for a cell that may or may not be a blank of the text.
const maybeBlank = 0

// shownAs lists how editors may show a character.
func shownAs(r rune) string {
	switch {
	case r == 0x7f:
		return "^?"
	case r < 0x20 && r != '\n' && r != '\t':
		return "^" + string(r+0x40)
	}
	return ""
}

// matchPrefix tells how many bytes of s the text takes when it is shown at its start, -1 when it is not.
func matchPrefix(text []rune, s string) int {
	i := 0
	for _, r := range text {
		if i < len(s) && s[i] == maybeBlank && r != 0 {
			i++
			if (r == ' ' || r == '\n') && (i == len(s) || rune(s[i]) != r) {
				continue
			}
		}
		if r == '\t' {
			n := 0
			if i < len(s) && s[i] == '^' { // what the kernel shows while it waits for a quoted key
				n++
			}
			for n < 8 && i+n < len(s) && s[i+n] == ' ' {
				n++
			}
			if n == 0 && i < len(s) {
				return -1 // it is at least a column wide
			}
			i += n
			continue
		}
		if i >= len(s) {
			if r == ' ' || r == '\n' {
				continue
			}
			return -1
		}
		if a := shownAs(r); a != "" {
			if !strings.HasPrefix(s[i:], a) {
				return -1
			}
			i += len(a)
			continue
		}
		if r >= rawByte && r <= rawByte+0xff {
			if s[i] != byte(r) {
				return -1
			}
			i++
			continue
		}
		c, n := utf8.DecodeRuneInString(s[i:])
		if c != r {
			if r == ' ' && c == '\n' {
				continue
			}
			return -1
		}
		i += n
	}
	return i
}

func matches(text []rune, s string) bool {
	n := matchPrefix(text, s)
	return n >= 0 && strings.TrimRight(s[n:], " ") == ""
}

// filled is the text with its holes filled by what is shown there. What was put in stands on the text's own rows.
func filled(text []rune, s string) ([]rune, bool) {
	var out []rune
	rest := strings.TrimRight(s, " ")
	if strings.ContainsAny(rest, "\n\x00") {
		return nil, false
	}
	for first := true; ; first = false {
		i := slices.Index(text, hole)
		part := text
		if i >= 0 {
			part = text[:i]
		}
		switch at := strings.Index(rest, encode(part)); {
		case i < 0: // the last part ends the line
			n := 0
			if len(part) > 0 {
				if n = matchLen(rest, part); n == 0 && strings.TrimSpace(encode(part)) != "" {
					return nil, false
				}
			}
			return append(append(out, decode([]byte(rest[:len(rest)-n]))...), part...), true
		case at < 0, first && at > 0:
			return nil, false
		default:
			out = append(out, decode([]byte(rest[:at+len(encode(part))]))...)
			rest, text = rest[at+len(encode(part)):], text[i+1:]
		}
	}
}

// matchLen is how many bytes at the end of s show the text.
func matchLen(s string, text []rune) int {
	for i := len(s); i >= 0; i-- {
		if matches(text, s[i:]) && len(strings.TrimRight(s[i:], " ")) > 0 {
			return len(s) - i
		}
	}
	return 0
}

// similarity is the share of the shorter text that the longer one has in the same order.
func similarity(typed []rune, s string) float64 {
	const enough = 1024
	a, b := typed, decode([]byte(strings.TrimSpace(s)))
	a, b = a[:min(len(a), enough)], b[:min(len(b), enough)]
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			up := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(up, row[j])
			}
			diagonal = up
		}
	}
	return float64(row[len(b)]) / float64(min(len(a), len(b)))
}

// searched is the line that readline's and busybox's history search show behind what is searched for.
func searched(row string) (string, bool) {
	for _, p := range []string{"(reverse-i-search)`", "(failed reverse-i-search)`", "(i-search)`", "(failed i-search)`"} {
		if !strings.HasPrefix(row, p) {
			continue
		}
		if i := strings.Index(row, "': "); i >= 0 {
			return row[i+3:], true
		}
		return "", true
	}
	return "", false
}
