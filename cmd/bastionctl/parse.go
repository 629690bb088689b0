package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/line"
)

// quiet is how long, in seconds, neither side has sent anything when all keys are taken to have been read.
const quiet = 0.02

func parse(args []string, in io.Reader, out io.Writer) error {
	if len(args) > 1 {
		return errUsage("takes one recording")
	}
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	lines, err := parseCast(in)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	_, _ = w.WriteString("[")
	for i, l := range lines {
		if i > 0 {
			_, _ = w.WriteString(", ")
		}
		writeJSON(w, l)
	}
	_, _ = w.WriteString("]\n")
	return w.Flush()
}

// parseCast replays a recording (asciicast v2, with input events) and returns the command lines in it.
func parseCast(in io.Reader) ([]string, error) {
	r := bufio.NewReaderSize(in, 64<<10)
	first, err := r.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var header struct {
		Version, Width, Height int
	}
	if err := json.Unmarshal(first, &header); err != nil || header.Version != 2 {
		return nil, errors.New("not an asciicast v2 recording")
	}
	t := line.New(tty.Size{Cols: uint16(header.Width), Rows: uint16(header.Height)}, line.Options{})
	var lines []string
	take := func() {
		for _, l := range t.Take() {
			if !l.Program && !l.Secret {
				lines = append(lines, l.Text)
			}
		}
	}
	last := 0.0
	for n := 2; ; n++ {
		raw, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(raw)) > 0 {
			at, kind, data, perr := event(raw)
			if perr != nil {
				return nil, fmt.Errorf("line %d: %w", n, perr)
			}
			if at-last >= quiet {
				t.Settle()
			}
			last = at
			switch kind {
			case "o":
				t.Output(data)
			case "i":
				t.Keys(data)
			case "r":
				if size, ok := parseSize(string(data)); ok {
					t.Resize(size)
				}
			}
			if kind == "i" {
				take()
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	t.Close()
	take()
	return lines, nil
}

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

// writeJSON writes a string so that bytes that are no UTF-8 survive, the way that recordings hold them.
func writeJSON(w *bufio.Writer, s string) {
	_ = w.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			_, _ = fmt.Fprintf(w, `\udc%02x`, s[i])
		case r == '"' || r == '\\':
			_, _ = w.WriteString(`\` + string(r))
		case r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029:
			_, _ = fmt.Fprintf(w, `\u%04x`, r)
		default:
			_, _ = w.WriteString(s[i : i+n])
		}
		i += n
	}
	_ = w.WriteByte('"')
}

func parseSize(s string) (tty.Size, bool) {
	c, r, ok := strings.Cut(s, "x")
	cols, err1 := strconv.ParseUint(c, 10, 16)
	rows, err2 := strconv.ParseUint(r, 10, 16)
	return tty.Size{Cols: uint16(cols), Rows: uint16(rows)}, ok && err1 == nil && err2 == nil
}
