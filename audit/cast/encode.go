package cast

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/podbastion/podbastion/internal/tty"
)

// line is the first line of the file, with its newline.
func (h Header) line() ([]byte, error) {
	size := h.Size
	if size.Cols == 0 || size.Rows == 0 {
		size = tty.Size{Cols: 80, Rows: 24}
	}
	header := struct {
		Version   int               `json:"version"`
		Width     uint16            `json:"width"`
		Height    uint16            `json:"height"`
		Timestamp int64             `json:"timestamp"`
		Title     string            `json:"title,omitempty"`
		Env       map[string]string `json:"env,omitempty"`
	}{2, size.Cols, size.Rows, h.Time.Unix(), printable(h.Title, maxLabel), make(map[string]string)}
	for name, value := range map[string]string{"TERM": h.Term, "SHELL": h.Shell} {
		if value != "" {
			header.Env[name] = printable(value, maxLabel)
		}
	}
	b, err := json.Marshal(header)
	return append(b, '\n'), err
}

// printable cuts a text at the limit and writes what is not to be printed as an escape that can be read.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit-len("…")]
		s = s[:len(s)-unfinished([]byte(s))] + "…"
	}
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1, r < 0x80 && hidden(r):
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case hidden(r):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// hidden characters act on a terminal or deceive its reader.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

const (
	ones  = 0x0101010101010101 // times a byte: that byte eight times
	highs = 0x8080808080808080
)

// plainBytes counts the bytes at the start that a JSON string holds as they are: printable ASCII but quotes and
// backslashes. It looks at eight at a time. In each term the lowest high bit that is set is at the first byte that the
// term finds; a borrow can only set bits above it.
func plainBytes(p []byte) int {
	i := 0
	for ; len(p)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		quote, slash, del := w^ones*'"', w^ones*'\\', w^ones*0x7f
		found := (w | (w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash | (del-ones)&^del) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(p) && p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\' {
		i++
	}
	return i
}

const hexDigits = "0123456789abcdef"

// appendEscaped adds p as the inside of a JSON string. Every control character is escaped, those beyond ASCII too, so
// that the file itself can be printed. Bytes that are not UTF-8 become U+FFFD.
func appendEscaped(b, p []byte, returns bool) []byte {
	for i := 0; i < len(p); {
		plain := plainBytes(p[i:])
		b = append(b, p[i:i+plain]...)
		if i += plain; i == len(p) {
			break
		}
		c := p[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(p[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				b = append(b, "\ufffd"...)
			case r < 0xa0:
				b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
			default:
				b = append(b, p[i:i+n]...)
			}
			i += n
			continue
		}
		i++
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\r':
			b = append(b, '\\', 'r')
		case '\n':
			if returns {
				b = append(b, '\\', 'r')
			}
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}
