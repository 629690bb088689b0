package picker

import (
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
)

const (
	// Enter and Leave switch to a screen of the picker's own and back; without line wrap, so that a character that the
	// terminal shows wider than it is cannot spoil the lines below.
	enterScreen = "\x1b[?1049h\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?1049l"

	prompt = "> "
	help   = "type to filter · ↑ ↓ PgUp PgDn Home End · Enter: go there · Esc: leave"
	gap    = 2
)

// widths are those of a terminal that is not set to an East Asian locale, whatever the bastion's own environment says.
var widths = runewidth.Condition{}

func width(s string) int { return widths.StringWidth(s) }

// fit cuts s to n columns.
func fit(s string, n int) string {
	if n <= 0 {
		return ""
	}
	return widths.Truncate(s, n, "…")
}

// fitTail cuts s to its last n columns.
func fitTail(s string, n int) string {
	if over := width(s) - n; over > 0 {
		return widths.TruncateLeft(s, over, "")
	}
	return s
}

// rows is how many items the screen shows. With one row the item stands beside the query, below five rows there is
// neither a title nor a help line.
func (m *Model) rows() int {
	switch n := int(m.size.Rows); {
	case n == 1:
		return 1
	case n < 5:
		return n - 1
	default:
		return n - 3
	}
}

// Screen draws everything. The cursor stays behind the query.
func (m *Model) Screen() []byte {
	cols, total := int(m.size.Cols), int(m.size.Rows)
	var b strings.Builder
	b.WriteString("\x1b[?25l")
	row := 0
	line := func(text string) {
		row++
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[2K%s", row, text)
	}
	titled := total >= 5
	if titled {
		line(fit(fmt.Sprintf("%s (%d of %d)", m.title, len(m.match), len(m.items)), cols))
	}
	head := fit(prompt, cols)
	query := fitTail(string(m.query), cols-len(prompt)-1)
	if total == 1 {
		text := ""
		if i := m.Choice(); i >= 0 {
			text = m.items[i].Text
		}
		line(head + query + fit("  "+text, cols-width(prompt+query)))
	} else {
		line(head + query)
		for i := range m.rows() {
			line(m.item(m.top+i, cols))
		}
	}
	if titled {
		line(fit(help, cols))
	}
	at := 1
	if titled {
		at = 2
	}
	fmt.Fprintf(&b, "\x1b[%d;%dH\x1b[?25h", at, min(cols, width(head+query)+1))
	return []byte(b.String())
}

// item draws the line of match[i].
func (m *Model) item(i, cols int) string {
	if i >= len(m.match) {
		if i == 0 {
			return fit("  nothing matches", cols)
		}
		return ""
	}
	it := m.items[m.match[i]]
	text := it.Text
	if it.Note != "" {
		column := min(m.width, cols*2/3)
		text += strings.Repeat(" ", max(0, column-width(text))+gap) + it.Note
	}
	if i != m.cursor {
		return fit("  "+text, cols)
	}
	return "\x1b[7m" + fit("> "+text, cols) + "\x1b[0m"
}
