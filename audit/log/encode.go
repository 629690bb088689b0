package log

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/podbastion/podbastion/audit"
)

// Bounds of an event's texts, in bytes before they are escaped. A command line may be long; nothing else needs to be.
const (
	maxText     = 4 << 10
	maxLineText = 32 << 10
	maxLine     = 1 << 20 // of a whole line: all texts at their bounds, each byte of them escaped
)

// bound cuts texts that are too long and lists them, and makes bytes that are not UTF-8 visible. The caller's target
// is not touched.
func bound(e *audit.Event) {
	e.Truncated = nil
	if math.IsNaN(e.Seconds) || math.IsInf(e.Seconds, 0) {
		e.Seconds = 0 // JSON has no word for it
	}
	if e.Target != nil {
		t := *e.Target
		e.Target = &t
		boundStrings(reflect.ValueOf(e.Target).Elem(), "target.", &e.Truncated)
	}
	boundStrings(reflect.ValueOf(e).Elem(), "", &e.Truncated)
}

// boundStrings walks the fields so that one that is added later is bounded too.
func boundStrings(v reflect.Value, prefix string, truncated *[]string) {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.String || f.Len() == 0 {
			continue
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		limit := maxText
		if name == "line" {
			limit = maxLineText
		}
		s, cut := shorten(f.String(), limit)
		if cut {
			*truncated = append(*truncated, prefix+name)
		}
		f.SetString(visible(s))
	}
}

// shorten cuts at the limit, before a character that would be split.
func shorten(s string, limit int) (string, bool) {
	if len(s) <= limit {
		return s, false
	}
	s = s[:limit]
	for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
		if tail := s[len(s)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				s = s[:len(s)-i]
			}
			break
		}
	}
	return s, true
}

// visible writes each byte that is not UTF-8 as \xNN.
func visible(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// appendLine adds the event as one line and returns the line's SHA-256, which does not cover the newline.
func appendLine(buf *bytes.Buffer, e *audit.Event) (string, error) {
	start := buf.Len()
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		buf.Truncate(start)
		return "", err
	}
	if line := buf.Bytes()[start:]; slices.ContainsFunc(line, func(c byte) bool { return c >= 0x7f }) {
		escaped := escapeHidden(line)
		buf.Truncate(start)
		buf.Write(escaped)
	}
	line := buf.Bytes()[start : buf.Len()-1]
	return lineSum(line), nil
}

func lineSum(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// escapeHidden writes what a terminal would act on or hide as \uXXXX; the JSON encoder does so below U+0020 only.
func escapeHidden(line []byte) []byte {
	out := make([]byte, 0, len(line)+64)
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		if r >= 0x7f && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			if r >= 0x10000 {
				r -= 0x10000
				out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			} else {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
		} else {
			out = append(out, line[:n]...)
		}
		line = line[n:]
	}
	return out
}
