package screen

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/podbastion/podbastion/internal/tty"
)

// features choose what a made-up stream of terminal output contains.
type features struct {
	wide, region, nel, alt, insert, tabs, rep, save, eraseAbove, wipe bool
}

// stream makes output that exercises a terminal, the same for the same seed.
func stream(rnd *rand.Rand, size tty.Size, f features, n int) string {
	var b strings.Builder
	cols, rows := int(size.Cols), int(size.Rows)
	alt := 0
	if f.save {
		b.WriteString("\x1b7")
	}
	up := func(k int) int { return rnd.IntN(k) + 1 }
	for range n {
		switch rnd.IntN(26) {
		case 0, 1, 2, 3, 4:
			for range up(2 * cols) {
				b.WriteByte(byte('!' + rnd.IntN(94)))
			}
		case 5:
			b.WriteString(strings.Repeat(" ", up(4)))
		case 6, 7:
			b.WriteString("\r\n")
		case 8:
			// Behind the last column, and from the first, a backspace goes to different places in different terminals.
			at := up(cols)
			fmt.Fprintf(&b, "\x1b[%dG%s", at, strings.Repeat("\b", rnd.IntN(min(at, 5))))
		case 9:
			b.WriteString("\r")
		case 10:
			fmt.Fprintf(&b, "\x1b[%d;%dH", up(rows), up(cols))
		case 11:
			fmt.Fprintf(&b, "\x1b[%dG\x1b[%d%c", up(cols), up(cols), "ABCD"[rnd.IntN(4)])
		case 12:
			switch {
			case f.wide: // half of a wide character
			case f.wipe:
				fmt.Fprintf(&b, "\x1b[%dG\x1b[%dK", up(cols), rnd.IntN(3))
			default:
				fmt.Fprintf(&b, "\x1b[%dG\x1b[%dK", up(cols-1)+1, rnd.IntN(2))
			}
		case 13:
			switch {
			case f.wide:
			case f.eraseAbove:
				fmt.Fprintf(&b, "\x1b[%dG\x1b[%dJ", up(cols), rnd.IntN(2))
			default:
				fmt.Fprintf(&b, "\x1b[%dG\x1b[J", up(cols))
			}
		case 14:
			// From a column of its own: after the last one terminals differ, and so they do inside wide characters.
			if f.wipe && !f.wide {
				fmt.Fprintf(&b, "\x1b[%dG\x1b[%d%c", up(cols), up(min(6, cols/8+1)), "@PX"[rnd.IntN(3)])
			}
		case 15:
			// Only from the first column, and not outside a scroll region: there terminals differ.
			if f.wipe && !f.region {
				fmt.Fprintf(&b, "\r\x1b[%d%c", up(3), "LM"[rnd.IntN(2)])
			}
		case 16:
			b.WriteString([]string{"\x1b[m", "\x1b[1;31m", "\x1b[38;5;240m", "\x1b[7m", "\x1b[38;2;1;2;3m"}[rnd.IntN(5)])
		case 17:
			fmt.Fprintf(&b, "\x1b[%dG\x1b[%dd", up(cols), up(rows))
		case 18:
			if f.wide {
				b.WriteString([]string{"漢字", "é", "e\u0301", "한", "→"}[rnd.IntN(5)])
			}
		case 19:
			if f.region {
				top := up(rows - 1)
				fmt.Fprintf(&b, "\x1b[%d;%dr", top, top+up(rows-top))
			}
		case 20:
			if f.region {
				b.WriteString([]string{"\x1bM", "\x1bD", "\x1b[r"}[rnd.IntN(3)])
				if f.nel {
					b.WriteString("\x1bE")
				}
			}
		case 21:
			if f.save {
				b.WriteString([]string{"\x1b7", "\x1b8"}[rnd.IntN(2)])
			}
		case 22:
			if f.alt {
				b.WriteString([]string{"\x1b[?1049h", "\x1b[?1049l"}[alt])
				alt = 1 - alt
			}
		case 23:
			if f.insert {
				b.WriteString([]string{"\x1b[4h", "\x1b[4l"}[rnd.IntN(2)])
			}
		case 24:
			if f.tabs {
				b.WriteString("\t")
			}
		case 25:
			if f.rep {
				fmt.Fprintf(&b, "\rx\x1b[%db", up(min(5, cols-1)))
			}
		}
	}
	return b.String()
}

// rows is what the screen shows, without trailing blanks.
func rows(s *Screen) []string {
	var out []string
	for l := s.FirstLine(); l < s.EndLine(); l++ {
		out = append(out, s.Text(l))
	}
	return out
}
