package picker_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/vt"
	"github.com/mattn/go-runewidth"

	"github.com/podbastion/podbastion/bastion/picker"
	"github.com/podbastion/podbastion/internal/tty"
)

func numbered(n int) []picker.Item {
	out := make([]picker.Item, n)
	for i := range out {
		out[i] = picker.Item{Text: fmt.Sprintf("pod-%d", i), Note: fmt.Sprintf("Deployment/d%d", i%3)}
	}
	return out
}

const (
	up, down, pgUp, pgDn, home, end = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~", "\x1b[H", "\x1b[F"
	enter                           = "\r"
)

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		name, keys string
		out        picker.Outcome
		choice     int
		rest       string
	}{
		{"nothing", "", picker.Choosing, 0, ""},
		{"enter", enter, picker.Chosen, 0, ""},
		{"line feed", "\n", picker.Chosen, 0, ""},
		{"typed ahead", enter + "ls\r", picker.Chosen, 0, "ls\r"},
		{"down", down + down, picker.Choosing, 2, ""},
		{"application cursor keys", "\x1bOB\x1bOB\x1bOA", picker.Choosing, 1, ""},
		{"^N ^P", "\x0e\x0e\x10", picker.Choosing, 1, ""},
		{"up stops", up + down + up + up, picker.Choosing, 0, ""},
		{"end", end, picker.Choosing, 99, ""},
		{"end stops", end + down + pgDn, picker.Choosing, 99, ""},
		{"home", end + home, picker.Choosing, 0, ""},
		{"home and end of other terminals", "\x1b[4~\x1b[1~\x1b[8~\x1b[7~\x1bOF", picker.Choosing, 99, ""},
		{"a page of 6", pgDn + pgDn + pgUp, picker.Choosing, 6, ""}, // 10 rows: 7 items, one stays in view
		{"keypad enter", down + "\x1bOM", picker.Chosen, 1, ""},
		{"with modifiers", "\x1b[1;5B", picker.Choosing, 1, ""},
		{"filter", "pod-42", picker.Choosing, 42, ""},
		{"filter ignores case", "POD-42", picker.Choosing, 42, ""},
		{"every word, in any order", "d1 -4", picker.Choosing, 4, ""},
		{"words", "d1 d2", picker.Choosing, -1, ""},
		{"no match, enter", "zzz" + enter, picker.Choosing, -1, ""},
		{"backspace", "pod-42x\x7f", picker.Choosing, 42, ""},
		{"^H", "pod-42x\x08", picker.Choosing, 42, ""},
		{"backspace too often", "\x7f\x7f" + enter, picker.Chosen, 0, ""},
		{"^U", "zzz\x15" + enter, picker.Chosen, 0, ""},
		{"^W", "pod-7 zzz\x17" + enter, picker.Chosen, 7, ""},
		{"the cursor stays on its item", down + down + "2", picker.Choosing, 2, ""},
		{"and goes to the first when it is gone", down + down + "7", picker.Choosing, 7, ""},
		{"^C", "\x03x", picker.Cancelled, 0, "x"},
		{"^D", "\x04", picker.Cancelled, 0, ""},
		{"Esc Esc", "\x1b\x1b", picker.Cancelled, 0, ""},
		{"Esc may be more", "\x1b", picker.Choosing, 0, ""},
		{"unknown sequences", "\x1b[200~\x1b[<0;1;1M\x1b[?1u\x1b]11;rgb:0/0/0\x07\x1bx\x1b[Z\x1b[15~" + down, picker.Choosing, 1, ""},
		{"an answer with ST", "\x1bP1+r\x1b\\" + down, picker.Choosing, 1, ""},
		{"other control characters", "\x00\x01\x02\x05\x06\x07\x09\x0b\x0c\x1c\x1d" + down, picker.Choosing, 1, ""},
		{"an endless sequence", "\x1b[" + strings.Repeat("1;", 100) + "B\x15", picker.Choosing, 0, ""},
		{"broken UTF-8", "\xff\xc3\x28\xe2\x82\x15" + down, picker.Choosing, 1, ""},
	} {
		// In one piece and byte by byte.
		whole := picker.New("pods", numbered(100), tty.Size{Cols: 40, Rows: 10})
		out, rest := whole.Keys([]byte(c.keys))
		if out != c.out || whole.Choice() != c.choice || string(rest) != c.rest {
			t.Errorf("%s: outcome %v, choice %d, rest %q; want %v, %d, %q", c.name, out, whole.Choice(), rest, c.out, c.choice, c.rest)
		}
		split := picker.New("pods", numbered(100), tty.Size{Cols: 40, Rows: 10})
		for _, b := range []byte(c.keys) {
			if out, _ = split.Keys([]byte{b}); out != picker.Choosing {
				break
			}
		}
		if out != c.out || split.Choice() != c.choice {
			t.Errorf("%s, byte by byte: outcome %v, choice %d; want %v, %d", c.name, out, split.Choice(), c.out, c.choice)
		}
	}
}

func TestEscapeSettles(t *testing.T) {
	m := picker.New("pods", numbered(3), tty.Size{Cols: 40, Rows: 10})
	if m.Waiting() || m.Settle() != picker.Choosing {
		t.Error("waits without a key")
	}
	m.Keys([]byte("\x1b"))
	if !m.Waiting() || m.Settle() != picker.Cancelled {
		t.Error("a lone Escape is not one")
	}
	m.Keys([]byte("[B"))
	if m.Waiting() || m.Choice() != 1 {
		t.Error("a sequence in pieces is not one")
	}
}

// shown is what a terminal of another make shows.
func shown(m *picker.Model, size tty.Size) []string {
	term := vt.NewEmulator(int(size.Cols), int(size.Rows))
	_, _ = term.Write(m.Screen())
	lines := strings.Split(term.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func TestScreen(t *testing.T) {
	items := []picker.Item{{Text: "prod+shop+web-0", Note: "Deployment/web"}, {Text: "prod+shop+db", Note: "StatefulSet/db"}, {Text: "測試", Note: "wide"}, {Text: "x"}}
	for _, c := range []struct {
		name string
		size tty.Size
		keys string
		want []string
	}{
		{"all of it", tty.Size{Cols: 60, Rows: 8}, "", []string{
			"pods (4 of 4)", ">", "> prod+shop+web-0  Deployment/web", "  prod+shop+db     StatefulSet/db", "  測試             wide", "  x", "",
			"type to filter · ↑ ↓ PgUp PgDn Home End · Enter: go there ·…"}},
		{"filtered", tty.Size{Cols: 40, Rows: 6}, "db", []string{"pods (1 of 4)", "> db", "> prod+shop+db     StatefulSet/db", "", "", "type to filter · ↑ ↓ PgUp PgDn Home End…"}},
		{"no match", tty.Size{Cols: 40, Rows: 5}, "none", []string{"pods (0 of 4)", "> none", "  nothing matches", "", "type to filter · ↑ ↓ PgUp PgDn Home End…"}},
		{"scrolled", tty.Size{Cols: 12, Rows: 5}, end, []string{"pods (4 of …", ">", "  測試     …", "> x", "type to fil…"}},
		{"four rows", tty.Size{Cols: 20, Rows: 4}, down, []string{">", "  prod+shop+web-0  …", "> prod+shop+db   St…", "  測試           wi…"}},
		{"one row", tty.Size{Cols: 20, Rows: 1}, "db", []string{"> db  prod+shop+db"}},
		{"a long query", tty.Size{Cols: 10, Rows: 2}, "abcdefghijklm", []string{"> ghijklm", "  nothing…"}},
		{"one column", tty.Size{Cols: 1, Rows: 3}, "", []string{"…", "…", "…"}},
		{"one cell", tty.Size{Cols: 1, Rows: 1}, "", []string{"…"}},
		{"wide, cut", tty.Size{Cols: 5, Rows: 2}, "測", []string{"> 測", "> 測…"}},
	} {
		m := picker.New("pods", items, c.size)
		m.Keys([]byte(c.keys))
		if got := shown(m, c.size); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestResizeKeepsTheChoice(t *testing.T) {
	m := picker.New("pods", numbered(1000), tty.Size{Cols: 80, Rows: 24})
	m.Keys([]byte(end + up))
	for _, size := range []tty.Size{{Cols: 20, Rows: 5}, {Cols: 1, Rows: 1}, {Cols: 0, Rows: 0}, {Cols: 65535, Rows: 65535}, {Cols: 80, Rows: 24}} {
		m.Resize(size)
		if m.Choice() != 998 {
			t.Fatalf("after %v the choice is %d", size, m.Choice())
		}
	}
	if lines := shown(m, tty.Size{Cols: 80, Rows: 24}); !strings.Contains(strings.Join(lines, "\n"), "> pod-998 ") {
		t.Errorf("the choice is not in view:\n%s", strings.Join(lines, "\n"))
	}
}

func TestHostileNames(t *testing.T) {
	items := []picker.Item{{Text: "a\x1b]52;c;AAAA\x07b", Note: "c\r\n\x9b31m\u202ed\xff\u0085"}, {Text: "two"}}
	m := picker.New("ti\x1b[2Jtle", items, tty.Size{Cols: 60, Rows: 6})
	m.Keys([]byte("\u202e\u200b"))
	lines := shown(m, tty.Size{Cols: 60, Rows: 6})
	if lines[0] != "ti?[2Jtle (2 of 2)" || lines[1] != ">" || lines[2] != "> a?]52;c;AAAA?b  c???31m?d??" || lines[3] != "  two" {
		t.Errorf("shown:\n%s", strings.Join(lines, "\n"))
	}
}

// own are the escape sequences that a screen is made of.
var own = regexp.MustCompile(`\x1b\[(?:\?25[lh]|\d+;\d+H|2K|7m|0m)`)

func FuzzPicker(f *testing.F) {
	f.Add("web-0\nweb-1\n\x1b[31m", []byte(down+down+enter), uint16(80), uint16(24))
	f.Add("測試\x00\u202e", []byte("測\x1b[5~\x1b"), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, names string, keys []byte, cols, rows uint16) {
		var items []picker.Item
		for i, n := range strings.Split(names, "\n") {
			items = append(items, picker.Item{Text: n, Note: names[:i%(len(names)+1)]})
		}
		m := picker.New(names, items, tty.Size{Cols: 10, Rows: 3})
		m.Resize(tty.Size{Cols: cols, Rows: rows})
		out, rest := m.Keys(keys)
		if !strings.HasSuffix(string(keys), string(rest)) {
			t.Fatalf("%q is not the end of %q", rest, keys)
		}
		if c := m.Choice(); c < -1 || c >= len(items) || out == picker.Chosen && c < 0 {
			t.Fatalf("outcome %v with choice %d of %d", out, c, len(items))
		}
		if cols == 0 || rows == 0 {
			cols, rows = 80, 24
		}
		cols, rows = min(cols, 500), min(rows, 200)
		screen := string(m.Screen())
		lines := own.Split(screen, -1)
		seen := 0
		for _, seq := range own.FindAllString(screen, -1) {
			var r, c int
			if n, _ := fmt.Sscanf(seq, "\x1b[%d;%dH", &r, &c); n == 2 {
				seen++
				if r < 1 || c < 1 || r > int(rows) || c > int(cols) {
					t.Fatalf("the cursor goes to %d;%d of %d;%d", r, c, rows, cols)
				}
			}
		}
		if seen != int(rows)+1 {
			t.Fatalf("%d lines are drawn on %d rows", seen-1, rows)
		}
		narrow := runewidth.Condition{}
		for _, text := range lines {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e }) {
				t.Fatalf("%q gets to the terminal", text)
			}
			if narrow.StringWidth(text) > int(cols) {
				t.Fatalf("%q is wider than %d", text, cols)
			}
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	m := picker.New("pods", numbered(10_000), tty.Size{Cols: 80, Rows: 24})
	for b.Loop() {
		m.Keys([]byte("9d\x7f\x7f"))
		m.Screen()
	}
}
