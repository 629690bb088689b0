package screen

import (
	"testing"

	"github.com/podbastion/podbastion/internal/tty"
)

// held is how many cells a screen keeps.
func held(s *Screen) int {
	n := 0
	count := func(rows []*row) {
		for _, r := range rows {
			if r != nil {
				n += cap(r.cells)
			}
		}
	}
	count(s.grid.rows)
	count(s.other.rows)
	count(s.scrollback.rows)
	return n
}

// FuzzScreen: no bytes make it panic, leave the cursor outside, or hold more than its size asks for; and what it shows
// does not depend on how the bytes are cut.
func FuzzScreen(f *testing.F) {
	for _, seed := range []string{
		"plain\r\ntext", "\x1b[99999999999@x", "\x1b]0;never ended", "\x1b[6n\x1b[6n\x1b[6n", "\x1b[?1049h\x1b[2J\x1b[5;10Halt\x1b[?1049l",
		"\xe6\xbc\xa2\xe5\xad\x97\xff\xc3(", "e\u0301\u0301\u0301", "\x1b[5;10r\x1b[M\x1b[L\x1bM\x1bD", "\x1b(0lqk\x1b(B", "a\x1b[100000b", "\x1b[4h\x1b[3gx\ty\x1bH\t",
		"\x1b[38:2::1:2:3mx\x1b[38;5;240my", "\x1bP+q436f\x1b\\\x1b_x\x1b\\", "\x1b#8\x1b[!p\x1bc",
	} {
		f.Add([]byte(seed), uint8(3), uint8(20), uint8(5))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut, cols, nrows uint8) {
		size := tty.Size{Cols: uint16(cols)%130 + 1, Rows: uint16(nrows)%60 + 1}
		whole, parts := New(size, Options{}), New(size, Options{})
		_, _ = whole.Write(in)
		step := int(cut)%7 + 1
		for i := 0; i < len(in); i += step {
			_, _ = parts.Write(in[i:min(i+step, len(in))])
		}
		if whole.Cursor() != parts.Cursor() || whole.Alt() != parts.Alt() || whole.BracketedPaste() != parts.BracketedPaste() {
			t.Fatalf("cut at %d: cursor %v, whole %v", step, parts.Cursor(), whole.Cursor())
		}
		for l := whole.OldestLine(); l < whole.EndLine(); l++ {
			if a, b := whole.Text(l), parts.Text(l); a != b || whole.Wrapped(l) != parts.Wrapped(l) {
				t.Fatalf("cut at %d: line %d %q, whole %q", step, l, b, a)
			}
		}
		check(t, whole)
		whole.Resize(tty.Size{Cols: uint16(nrows)%90 + 1, Rows: uint16(cols)%40 + 1})
		check(t, whole)
		_, _ = whole.Write(in)
		check(t, whole)
	})
}

func check(t *testing.T, s *Screen) {
	t.Helper()
	c, size := s.Cursor(), s.Size()
	if c.Col < 0 || c.Col > int(size.Cols) || c.Line < s.FirstLine() || c.Line >= s.EndLine() {
		t.Fatalf("cursor %v outside %v from line %d", c, size, s.FirstLine())
	}
	// Rows keep the room that they once had, at most twice the width of a former size.
	if most := 2*(scrollbackCells+int(size.Cols)) + 2*2*int(size.Rows)*max(int(size.Cols), 130); held(s) > most {
		t.Fatalf("%d cells held at %v", held(s), size)
	}
	if len(s.clusters.list) > maxClusters {
		t.Fatalf("%d clusters", len(s.clusters.list))
	}
}
