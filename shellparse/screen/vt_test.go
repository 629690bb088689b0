package screen

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"

	"github.com/podbastion/podbastion/internal/tty"
)

// vtRows is what an independent terminal shows of the same bytes.
func vtRows(t *testing.T, size tty.Size, in string) []string {
	t.Helper()
	e := vt.NewEmulator(int(size.Cols), int(size.Rows))
	// Its answers to queries. It is never closed: its Close and its Read race, and the detector of races says so.
	go func() { _, _ = io.Copy(io.Discard, e) }()
	if _, err := e.WriteString(in); err != nil {
		t.Fatal(err)
	}
	var out []string
	for y := range int(size.Rows) {
		var b strings.Builder
		for x := 0; x < int(size.Cols); x++ {
			c := e.CellAt(x, y)
			switch {
			case c == nil || c.Content == "" && c.Width <= 1:
				b.WriteByte(' ')
			default:
				b.WriteString(c.Content)
			}
			if c != nil && c.Width > 1 {
				x += c.Width - 1
			}
		}
		out = append(out, strings.TrimRight(b.String(), " "))
	}
	return out
}

func TestAgainstAnotherTerminal(t *testing.T) {
	sizes := []tty.Size{{Cols: 80, Rows: 24}, {Cols: 20, Rows: 6}, {Cols: 7, Rows: 3}}
	bad := 0
	for seed := range uint64(600) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		size := sizes[seed%3]
		in := stream(rnd, size, features{wipe: true}, 5+rnd.IntN(60))
		s := New(size, Options{})
		_, _ = s.Write([]byte(in))
		got, want := rows(s), vtRows(t, size, in)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("seed %d row %d of %v\n in  %q\n got %q\nwant %q", seed, i, size, in, got[i], want[i])
				bad++
				break
			}
		}
		if bad > 3 {
			t.FailNow()
		}
	}
}
