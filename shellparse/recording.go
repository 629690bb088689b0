// Package shellparse turns what passed between a terminal and a shell into the command lines that the shell accepted. The
// parts are beneath: screen models the terminal, line the line being edited. Here they are put to work on a recording.
//
// It refuses to know what a line means and whether it may run.
package shellparse

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/line"
)

// quiet is how long, in seconds, neither side has sent anything when all keys are taken to have been read. That output
// goes on after that tells that a busy machine had more to say: then it takes longer.
const (
	quiet = 0.02
	still = 0.15
)

// maxEvent bounds one line of a recording.
const maxEvent = 16 << 20

// Recording replays a recording (asciicast v2, with what was typed as "i" events) and returns the lines that were read, in
// order: those of shells and, marked as such, those of other programs as far as they were seen.
func Recording(in io.Reader) ([]line.Line, error) {
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 64<<10), maxEvent)
	scan.Scan()
	var header struct {
		Version, Width, Height int
	}
	if err := json.Unmarshal(scan.Bytes(), &header); err != nil || header.Version != 2 {
		return nil, errors.Join(errors.New("shellparse: not an asciicast v2 recording"), scan.Err())
	}
	t := line.New(tty.Size{Cols: clamp(header.Width), Rows: clamp(header.Height)}, line.Options{})
	var lines []line.Line
	last := 0.0
	for n := 2; scan.Scan(); n++ {
		if len(bytes.TrimSpace(scan.Bytes())) == 0 {
			continue
		}
		at, kind, data, err := event(scan.Bytes())
		if err != nil {
			return nil, fmt.Errorf("shellparse: line %d: %w", n, err)
		}
		if at-last >= still || at-last >= quiet && kind != "o" {
			t.Settle()
		}
		last = at
		switch kind {
		case "o":
			t.Output(data)
		case "i":
			t.Keys(data)
			lines = append(lines, t.Take()...)
		case "r":
			if size, ok := parseSize(string(data)); ok {
				t.Resize(size)
			}
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("shellparse: %w", err)
	}
	t.Close()
	return append(lines, t.Take()...), nil
}

func clamp(n int) uint16 { return uint16(min(max(n, 1), 1<<16-1)) }

func event(raw []byte) (at float64, kind string, data []byte, err error) {
	var fields []json.RawMessage
	if err = json.Unmarshal(raw, &fields); err != nil {
		return 0, "", nil, err
	}
	if len(fields) != 3 {
		return 0, "", nil, errors.New("not an event")
	}
	if err = json.Unmarshal(fields[0], &at); err != nil {
		return 0, "", nil, err
	}
	if err = json.Unmarshal(fields[1], &kind); err != nil {
		return 0, "", nil, err
	}
	data, err = unquote(fields[2])
	return at, kind, data, err
}

// unquote decodes a JSON string to bytes. Recorders write a byte that is no UTF-8 as a lone surrogate from U+DC80, which
// encoding/json would lose.
func unquote(raw []byte) ([]byte, error) {
	if !bytes.Contains(raw, []byte(`\ud`)) && !bytes.Contains(raw, []byte(`\uD`)) {
		var s string
		err := json.Unmarshal(raw, &s)
		return []byte(s), err
	}
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return nil, errors.New("not a string")
	}
	raw = raw[1 : len(raw)-1]
	var out []byte
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 >= len(raw) {
			out = append(out, raw[i])
			continue
		}
		i++
		if raw[i] != 'u' || i+4 >= len(raw) {
			if j := strings.IndexByte(`"\/bfnrt`, raw[i]); j >= 0 {
				out = append(out, "\"\\/\b\f\n\r\t"[j])
			}
			continue
		}
		v, err := strconv.ParseUint(string(raw[i+1:i+5]), 16, 32)
		if err != nil {
			return nil, err
		}
		i += 4
		switch {
		case v >= 0xdc80 && v <= 0xdcff:
			out = append(out, byte(v))
		case v >= 0xd800 && v < 0xdc00 && i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u':
			lo, err := strconv.ParseUint(string(raw[i+3:i+7]), 16, 32)
			if err != nil {
				return nil, err
			}
			i += 6
			out = utf8.AppendRune(out, rune((v-0xd800)<<10|(lo-0xdc00))+0x10000)
		default:
			out = utf8.AppendRune(out, rune(v))
		}
	}
	return out, nil
}

func parseSize(s string) (tty.Size, bool) {
	c, r, ok := strings.Cut(s, "x")
	cols, err1 := strconv.ParseUint(c, 10, 16)
	rows, err2 := strconv.ParseUint(r, 10, 16)
	return tty.Size{Cols: uint16(cols), Rows: uint16(rows)}, ok && err1 == nil && err2 == nil
}
