package screen

import (
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// widths measures as C libraries do for the shells: each code point by itself, ambiguous ones narrow.
var widths = &runewidth.Condition{EastAsianWidth: false, StrictEmojiNeutral: true}

func width(r rune) int {
	switch {
	case r < 0x300:
		if r == 0xad {
			return 1
		}
		return 1
	case r >= rawByte && r <= rawByte+0xff:
		return 1
	case r >= 0x1f3fb && r <= 0x1f3ff: // skin tones stand alone for a C library
		return 2
	}
	return widths.RuneWidth(r)
}

// line returns the cursor's row with at least n cells.
func (s *Screen) line(n int) *row {
	r := s.grid.rows[s.cur.row]
	if r == nil {
		r = &row{}
		s.grid.rows[s.cur.row] = r
	}
	r.grow(n, s.cols)
	return r
}

func (r *row) grow(n, cols int) {
	if n <= len(r.cells) {
		return
	}
	if n > cap(r.cells) {
		c := make([]Cell, len(r.cells), min(max(n, 2*cap(r.cells), 16), max(cols, n)))
		copy(c, r.cells)
		r.cells = c
	}
	old := len(r.cells)
	r.cells = r.cells[:n]
	clear(r.cells[old:])
}

// printASCII writes printable ASCII as fast as may be.
func (s *Screen) printASCII(p []byte) {
	if s.modes.insert || s.modes.noWrap || s.modes.sets[s.modes.shift] != 'B' {
		for _, b := range p {
			s.print(rune(b))
		}
		return
	}
	s.last = rune(p[len(p)-1])
	for len(p) > 0 {
		if s.cur.pending {
			s.wrap()
		}
		n := min(len(p), s.cols-s.cur.col)
		r := s.line(s.cur.col)
		col := s.cur.col
		s.splitWide(r, col)
		s.splitWide(r, col+n)
		r.grow(col+n, s.cols)
		cells := r.cells[col : col+n]
		for i, b := range p[:n] {
			cells[i] = Cell{uint32(b) | s.style, s.stamp}
		}
		p = p[n:]
		s.advance(n)
	}
}

func (s *Screen) advance(n int) {
	s.cur.col += n
	if s.cur.col >= s.cols {
		s.cur.col = s.cols - 1
		s.cur.pending = true
	}
}

func (s *Screen) wrap() {
	s.line(0).wrapped = true
	s.cur.col, s.cur.pending = 0, false
	s.index()
}

// splitWide blanks a wide character that is about to lose the half before or after col.
func (s *Screen) splitWide(r *row, col int) {
	if col <= 0 || col >= len(r.cells) || !r.cells[col].Tail() {
		return
	}
	r.cells[col-1].glyph = ' ' | r.cells[col-1].glyph&^(1<<styleShift-1)
	r.cells[col].glyph = ' ' | r.cells[col].glyph&^(1<<styleShift-1)
}

func (s *Screen) print(r rune) {
	style := s.style
	if r >= '`' && r <= '~' && s.modes.sets[s.modes.shift] == '0' {
		style |= StyleGraphic << styleShift
	}
	w := width(r)
	if w == 0 {
		s.combine(r)
		return
	}
	s.last = r
	w = min(w, s.cols)
	if s.cur.pending && !s.modes.noWrap {
		s.wrap()
	}
	s.cur.pending = false
	if s.cur.col+w > s.cols {
		if s.modes.noWrap {
			s.cur.col = s.cols - w
		} else {
			s.wrap() // a wide character does not fit: the last column stays as it is
		}
	}
	if s.modes.insert {
		s.insertCells(w)
	}
	col := s.cur.col
	row := s.line(col)
	s.splitWide(row, col)
	s.splitWide(row, col+w)
	row.grow(col+w, s.cols)
	glyph := uint32(r) | style
	if w == 2 {
		row.cells[col+1] = Cell{flagTail | s.style, s.stamp}
		glyph |= flagWide
	}
	row.cells[col] = Cell{glyph, s.stamp}
	s.advance(w)
	if s.modes.noWrap {
		s.cur.pending = false
	}
}

// combine adds a mark to the character before the cursor.
func (s *Screen) combine(r rune) {
	row := s.grid.rows[s.cur.row]
	col := s.cur.col - 1
	if s.cur.pending {
		col = s.cur.col
	}
	if row == nil || col < 0 || col >= len(row.cells) {
		return
	}
	if row.cells[col].Tail() && col > 0 {
		col--
	}
	c := &row.cells[col]
	t := s.AppendSent(nil, *c)
	if len(t)+utf8.RuneLen(r) > maxClusterBytes {
		return
	}
	t = utf8.AppendRune(t, r)
	i, ok := s.clusters.add(string(t))
	if !ok {
		s.sweepClusters()
		if i, ok = s.clusters.add(string(t)); !ok {
			return
		}
	}
	c.glyph = c.glyph&^(runeMask) | flagCluster | i
	c.Stamp = s.stamp
}

// index moves down a line, scrolling at the bottom of the region.
func (s *Screen) index() {
	s.cur.pending = false
	switch {
	case s.cur.row == s.bottom:
		s.scrollUp(s.top, s.bottom, 1)
	case s.cur.row < s.nrows-1:
		s.cur.row++
	}
}

func (s *Screen) reverseIndex() {
	s.cur.pending = false
	switch {
	case s.cur.row == s.top:
		s.scrollDown(s.top, s.bottom, 1)
	case s.cur.row > 0:
		s.cur.row--
	}
}

// scrollUp moves the rows from top to bottom up by n.
func (s *Screen) scrollUp(top, bottom, n int) {
	n = min(n, bottom-top+1)
	for range n {
		gone := s.grid.rows[top]
		copy(s.grid.rows[top:bottom], s.grid.rows[top+1:bottom+1])
		if top == 0 && bottom == s.nrows-1 && !s.alt {
			s.base++
			if gone == nil {
				gone = &row{}
			}
			gone = s.scrollback.push(gone)
		}
		if gone != nil {
			gone.reset()
		}
		s.grid.rows[bottom] = gone
	}
}

func (s *Screen) scrollDown(top, bottom, n int) {
	n = min(n, bottom-top+1)
	for range n {
		gone := s.grid.rows[bottom]
		copy(s.grid.rows[top+1:bottom+1], s.grid.rows[top:bottom])
		if gone != nil {
			gone.reset()
		}
		s.grid.rows[top] = gone
		s.unwrap(top)
	}
}

// erase blanks the columns from..to of a row of the screen.
func (s *Screen) erase(at, from, to int) {
	r := s.grid.rows[at]
	if r == nil || from >= to {
		return
	}
	if to >= s.cols {
		r.wrapped = false
	}
	if from >= len(r.cells) {
		return
	}
	s.splitWide(r, from)
	s.splitWide(r, to)
	if to >= len(r.cells) {
		r.cells = r.cells[:from]
		return
	}
	clear(r.cells[from:to])
}

// unwrap ends a wrapped line above a row that is taken away or blanked as a whole.
func (s *Screen) unwrap(row int) {
	if row > 0 && row <= s.nrows && s.grid.rows[row-1] != nil {
		s.grid.rows[row-1].wrapped = false
	}
}

func (s *Screen) eraseRows(from, to int) {
	if from < to {
		s.unwrap(from)
	}
	for i := from; i < to; i++ {
		if r := s.grid.rows[i]; r != nil {
			r.reset()
		}
	}
}

func (s *Screen) insertCells(n int) {
	r := s.grid.rows[s.cur.row]
	col := s.cur.col
	if r == nil || col >= len(r.cells) {
		return
	}
	n = min(n, s.cols-col)
	s.splitWide(r, col)
	old := len(r.cells)
	r.grow(min(old+n, s.cols), s.cols)
	if cut := s.cols - n; cut < old {
		s.splitWide(r, cut)
	}
	copy(r.cells[min(col+n, len(r.cells)):], r.cells[col:old])
	clear(r.cells[col:min(col+n, len(r.cells))])
}

func (s *Screen) deleteCells(n int) {
	r := s.grid.rows[s.cur.row]
	col := s.cur.col
	if r == nil || col >= len(r.cells) {
		return
	}
	n = min(n, s.cols-col)
	s.splitWide(r, col)
	s.splitWide(r, col+n)
	if col+n >= len(r.cells) {
		r.cells = r.cells[:col]
		return
	}
	copy(r.cells[col:], r.cells[col+n:])
	r.cells = r.cells[:len(r.cells)-n]
}

// graphic maps the DEC special graphics set.
func graphic(r rune) rune {
	const set = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"
	if r < '`' || r > '~' {
		return r
	}
	i := 0
	for _, g := range set {
		if i == int(r-'`') {
			return g
		}
		i++
	}
	return r
}
