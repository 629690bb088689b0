package line

import (
	"bytes"
	"strings"

	"github.com/podbastion/podbastion/shellparse/screen"
)

var noCut = screen.Pos{Line: -1}

// left is the text of a row before a place, blanks included.
func left(scr *screen.Screen, p screen.Pos) string {
	var b []byte
	for c := range p.Col {
		b = scr.AppendSent(b, scr.Cell(screen.Pos{Line: p.Line, Col: c}))
	}
	return string(b)
}

// column is the column at which the first n bytes of a row's text end.
func column(scr *screen.Screen, line, n int) int {
	var b []byte
	for c := range scr.Used(line) {
		if len(b) >= n {
			return c
		}
		b = scr.AppendSent(b, scr.Cell(screen.Pos{Line: line, Col: c}))
	}
	return scr.Used(line)
}

// noteRight remembers what stands right of the prompt before anything is typed.
func (t *Tracker) noteRight() {
	e := &t.edit
	used := t.screen.Used(e.start.Line)
	for c := e.start.Col; c < used; c++ {
		if t.screen.Cell(screen.Pos{Line: e.start.Line, Col: c}).Space() {
			continue
		}
		if c > e.start.Col {
			e.rightGap = t.screen.Columns() - used
			e.right = shape(t.span(e.start.Line, c, used))
		}
		return
	}
}

// RightPrompt is what stood right of the prompt before anything was typed, in a form that does not change with the time
// of day.
func (t *Tracker) RightPrompt() string { return t.edit.right }

// Bare tells that nothing stands right of the cursor but a right prompt like the given one, apart from the cursor.
func (t *Tracker) Bare(right string) bool {
	at := t.screen.Cursor()
	used := t.screen.Used(at.Line)
	for c := at.Col; c < used; c++ {
		if !t.screen.Cell(screen.Pos{Line: at.Line, Col: c}).Space() {
			return right != "" && c > at.Col && shape(t.span(at.Line, c, used)) == right
		}
	}
	return true
}

// Row is the text of the cursor's row.
func (t *Tracker) Row() string {
	at := t.screen.Cursor()
	return t.span(at.Line, 0, t.screen.Used(at.Line))
}

func (t *Tracker) span(line, from, to int) string {
	var b []byte
	for c := from; c < to; c++ {
		b = t.screen.AppendSent(b, t.screen.Cell(screen.Pos{Line: line, Col: c}))
	}
	return strings.TrimRight(string(b), " ")
}

// firstRow is the first row of the line that the terminal wrapped and of which line is a part.
func (t *Tracker) firstRow(line int) int {
	for line > t.screen.OldestLine() && t.screen.Wrapped(line-1) {
		line--
	}
	return line
}

// wrapped tells that a row continues the one above it.
func (t *Tracker) wrapped(line int) bool {
	return line > t.screen.OldestLine() && t.screen.Wrapped(line-1)
}

// lastRow is the last row of the text that the cursor is in.
func (t *Tracker) lastRow() int {
	l := t.screen.Cursor().Line
	for l < t.screen.EndLine()-1 && (t.screen.Wrapped(l) || t.full(l) && t.goesOn(l+1)) {
		l++
	}
	return l
}

// below tells that there is something under a row that was written while the line was edited.
func (t *Tracker) below(end int) bool {
	for l := end + 1; l < t.screen.EndLine(); l++ {
		for c := range t.screen.Used(l) {
			if x := t.screen.Cell(screen.Pos{Line: l, Col: c}); !x.Space() && x.Stamp >= t.edit.stamp {
				return true
			}
		}
	}
	return false
}

// more tells that the text may go on under the row that the cursor is in, where nothing was listed there.
func (t *Tracker) more(end int) bool {
	return t.open && t.edit.completed.keys == 0 && t.shells.container == "" && t.below(end)
}

// goesOn tells that a row begins with something that was written while the line was edited.
func (t *Tracker) goesOn(line int) bool {
	c := t.screen.Cell(screen.Pos{Line: line})
	return !c.Space() && c.Stamp >= t.edit.stamp
}

// rowText is the whole text of the line that the terminal wrapped, up to row end.
func (t *Tracker) rowText(end int) string { return t.rowsText(t.firstRow(end), end) }

func (t *Tracker) rowsText(first, end int) string {
	var b []byte
	for l := first; l <= end; l++ {
		for c := range t.screen.Used(l) {
			b = t.screen.AppendSent(b, t.screen.Cell(screen.Pos{Line: l, Col: c}))
		}
	}
	return strings.TrimRight(string(b), " ")
}

// region reads the text from a place to the end of a row, or up to cut where that comes first.
func (t *Tracker) region(from screen.Pos, end int, cut screen.Pos) string {
	var b []byte
	from.Line = max(from.Line, t.screen.OldestLine())
	beside := false // a right prompt stands on the first row: it does not go on in the next one by itself
	for l := from.Line; l <= end; l++ {
		c, used := 0, t.screen.Used(l)
		if l == from.Line {
			c = from.Col
		} else if !t.screen.Wrapped(l - 1) {
			if beside {
				b, beside = append(bytes.TrimRight(b, " "), '\n'), false
			} else if b = append(b, '\n'); t.full(l - 1) {
				b[len(b)-1] = maybeBlank
			}
			c = t.indent(l, from.Col)
		}
		if cut.Line == l {
			used = min(used, cut.Col)
		}
		for ; c < used; c++ {
			if t.shells.container != "" && t.border(l, c) {
				break
			}
			if l == from.Line && t.edit.right != "" && t.rightPrompt(l, c) {
				beside = true
				break
			}
			x := t.screen.Cell(screen.Pos{Line: l, Col: c})
			if x.Stamp < t.edit.stamp {
				x = screen.Cell{} // stood there before the line was begun
			}
			if x.Space() && c == t.screen.Columns()-1 && t.screen.Wrapped(l) && t.screen.Cell(screen.Pos{Line: l + 1}).Wide() {
				b = append(b, maybeBlank) // room that the wide character did not fit in, or a blank
				continue
			}
			b = t.screen.AppendSent(b, x)
		}
		if cut.Line == l {
			break
		}
	}
	return strings.TrimRight(string(b), " ")
}

// full tells that a row is written to its last column: some editors go on in the next row by themselves then.
func (t *Tracker) full(line int) bool {
	used, cols := t.screen.Used(line), t.screen.Columns()
	return used == cols || used == cols-1 && t.screen.Cell(screen.Pos{Line: line + 1}).Wide()
}

// indent is how far the editor itself set a further line of the text in: over cells that it left empty, or, in fish,
// under the prompt's end and more for each level.
func (t *Tracker) indent(line, prompt int) int {
	c, used := 0, t.screen.Used(line)
	for c < used && (t.screen.Cell(screen.Pos{Line: line, Col: c}).Blank() || t.fish && t.screen.Cell(screen.Pos{Line: line, Col: c}).Space()) {
		c++
	}
	if t.fish && c < prompt {
		return 0
	}
	return c
}

// border tells that a multiplexer's pane ends at this column.
func (t *Tracker) border(line, col int) bool {
	return string(t.screen.AppendCell(nil, t.screen.Cell(screen.Pos{Line: line, Col: col}))) == "│"
}

// afterBorder is what stands right of a pane's border.
func afterBorder(s string) string {
	if i := strings.LastIndex(s, "│"); i >= 0 {
		return s[i+len("│"):]
	}
	return s
}

// rightPrompt tells that what was right of the prompt still stands at this column, with a blank before it.
func (t *Tracker) rightPrompt(line, col int) bool {
	if col == 0 || t.screen.Wrapped(line) || !t.screen.Cell(screen.Pos{Line: line, Col: col - 1}).Space() {
		return false
	}
	used := t.screen.Used(line)
	return t.screen.Columns()-used == t.edit.rightGap && t.edit.right == shape(t.span(line, col, used))
}

// besideRight is what stands in a row beside the right prompt that was seen last.
func (t *Tracker) besideRight(row string, line int) string {
	used := t.screen.Used(line)
	if t.right == "" || t.wrapped(line) || t.screen.Columns()-used != t.rightGap {
		return row
	}
	for c := 1; c < used; c++ {
		if t.screen.Cell(screen.Pos{Line: line, Col: c - 1}).Space() && shape(t.span(line, c, used)) == t.right {
			return t.span(line, 0, c)
		}
	}
	return row
}

// shape is a text with all digits made alike, so that a clock stays the same.
func shape(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, s)
}

// locate finds where the text begins now: editors draw prompt and line anew after a listing or a cleared screen.
func (t *Tracker) locate(end int) (at screen.Pos, intact bool) {
	e := &t.edit
	if e.before == "" {
		if e.start.Line <= end && e.start.Line >= t.screen.OldestLine() {
			return e.start, true
		}
		return screen.Pos{Line: t.firstRow(end)}, true
	}
	lowest := t.screen.OldestLine()
	if e.start.Line <= end {
		lowest = max(lowest, e.start.Line)
	}
	for l := end; l >= lowest; l-- {
		if t.wrapped(l) != e.wrapped && l != e.start.Line && len(strings.TrimSpace(e.before)) < 4 {
			continue
		}
		at := screen.Pos{Line: l, Col: e.start.Col}
		if left(t.screen, at) == e.before {
			return at, true
		}
	}
	if e.start.Line > end {
		return screen.Pos{Line: t.firstRow(end)}, false
	}
	return e.start, false
}

// suggestion is the place from which the editor shows a text that was not typed: drawn faint or grey from the cursor to
// the end.
func (t *Tracker) suggestion(cur screen.Pos, end int) screen.Pos {
	seen := false
	for l := cur.Line; l <= end; l++ {
		c := 0
		if l == cur.Line {
			c = cur.Col
		}
		for ; c < t.screen.Used(l); c++ {
			x := t.screen.Cell(screen.Pos{Line: l, Col: c})
			if x.Space() || x.Tail() {
				continue
			}
			if l == t.edit.start.Line && t.edit.right != "" && t.rightPrompt(l, c) {
				break
			}
			fg := x.Foreground()
			if !x.Faint() && fg != screen.StyleGrey && fg != 9 {
				return noCut
			}
			seen = true
		}
	}
	if !seen {
		return noCut
	}
	return cur
}

// place is where the first n bytes of a wrapped line end.
func (t *Tracker) place(line, n int) screen.Pos {
	for {
		b := len(left(t.screen, screen.Pos{Line: line, Col: t.screen.Used(line)}))
		if n < b || !t.screen.Wrapped(line) {
			return screen.Pos{Line: line, Col: column(t.screen, line, n)}
		}
		n -= b
		line++
	}
}

// rawTo reads from one place to another with the blanks at the end.
func (t *Tracker) rawTo(from, to screen.Pos) string {
	var b []byte
	beside := false
	for l := max(from.Line, t.screen.OldestLine()); l <= to.Line; l++ {
		c, used := 0, t.screen.Used(l)
		if l == from.Line {
			c = from.Col
		} else if !t.screen.Wrapped(l - 1) {
			if beside {
				b, beside = append(bytes.TrimRight(b, " "), '\n'), false
			} else if !t.full(l - 1) {
				b = append(b, '\n')
			}
			c = t.indent(l, from.Col)
		}
		if l == to.Line {
			used = to.Col
			for l > from.Line && !t.screen.Wrapped(l-1) && c < used && t.screen.Cell(screen.Pos{Line: l, Col: c}).Blank() {
				c++ // the editor set it in, and nothing was typed yet
			}
		}
		for ; c < used; c++ {
			if beside = l < to.Line && l == from.Line && t.edit.right != "" && t.rightPrompt(l, c); beside {
				break
			}
			b = t.screen.AppendSent(b, t.screen.Cell(screen.Pos{Line: l, Col: c}))
		}
	}
	return string(b)
}
