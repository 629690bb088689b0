package screen

// escape acts on ESC and a final byte.
func (s *Screen) escape(b byte) {
	switch b {
	case '7':
		s.save()
	case '8':
		s.restore()
	case 'D':
		s.lineFeed()
	case 'E':
		s.lineFeed()
		s.cur.col = 0
	case 'H':
		s.setTab(true)
	case 'M':
		s.reverseIndex()
	case 'c':
		s.reset()
	}
}

// designate acts on ESC, an intermediate and a final byte.
func (s *Screen) designate(inter, b byte) {
	if b != '0' {
		if inter == '#' && b == '8' {
			s.alignment()
			return
		}
		b = 'B'
	}
	switch inter {
	case '(':
		s.modes.sets[0] = b
	case ')':
		s.modes.sets[1] = b
	}
}

// alignment fills the screen with E.
func (s *Screen) alignment() {
	s.top, s.bottom = 0, s.nrows-1
	for s.cur.row = range s.nrows {
		r := s.line(0)
		r.reset()
		r.grow(s.cols, s.cols)
		for i := range r.cells {
			r.cells[i] = Cell{'E', s.stamp}
		}
	}
	s.cur = cursor{}
}

func (s *Screen) reset() {
	if s.opts.Clear != nil {
		s.opts.Clear()
	}
	if s.alt {
		s.setAlt(false)
	}
	s.eraseRows(0, s.nrows)
	s.other = grid{}
	s.grid.saved = saved{}
	s.scrollback.clear()
	s.resetModes()
	s.cur = cursor{}
}

func (s *Screen) save() {
	s.grid.saved = saved{s.cur, s.style, s.modes.origin, s.modes.sets, s.modes.shift, true}
}

func (s *Screen) restore() {
	v := s.grid.saved
	if !v.set {
		v = saved{sets: [2]byte{'B', 'B'}}
	}
	s.cur = v.cursor
	s.cur.row = min(s.cur.row, s.nrows-1)
	if s.cur.col >= s.cols {
		s.cur.col, s.cur.pending = s.cols-1, false
	}
	s.style = v.style
	s.modes.origin, s.modes.sets, s.modes.shift = v.origin, v.sets, v.shift
}

// moveTo goes to a row and column counted from 0, within the region in origin mode.
func (s *Screen) moveTo(row, col int) {
	top, bottom := 0, s.nrows-1
	if s.modes.origin {
		top, bottom = s.top, s.bottom
	}
	s.cur.row = min(max(top+row, top), bottom)
	s.cur.col = min(max(col, 0), s.cols-1)
	s.cur.pending = false
}

func (s *Screen) moveCols(n int) {
	s.cur.col = min(max(s.cur.col+n, 0), s.cols-1)
	s.cur.pending = false
}

// moveRows moves within the region when it starts there.
func (s *Screen) moveRows(n int) {
	top, bottom := 0, s.nrows-1
	if s.cur.row >= s.top {
		top = s.top
	}
	if s.cur.row <= s.bottom {
		bottom = s.bottom
	}
	s.cur.row = min(max(s.cur.row+n, top), bottom)
	s.cur.pending = false
}

// csi acts on a complete control sequence.
func (s *Screen) csi(b byte) {
	p := &s.parser
	if p.inter != 0 {
		if p.inter == '!' && b == 'p' {
			s.softReset()
		}
		return
	}
	if p.prefix != 0 {
		s.csiPrivate(b)
		return
	}
	switch b {
	case 'A':
		s.moveRows(-p.count(0))
	case 'B', 'e':
		s.moveRows(p.count(0))
	case 'C', 'a':
		s.moveCols(p.count(0))
	case 'D':
		s.moveCols(-p.count(0))
	case 'E':
		s.moveRows(p.count(0))
		s.cur.col = 0
	case 'F':
		s.moveRows(-p.count(0))
		s.cur.col = 0
	case 'G', '`':
		s.cur.col, s.cur.pending = min(p.count(0), s.cols)-1, false
	case 'H', 'f':
		s.moveTo(p.count(0)-1, p.count(1)-1)
	case 'd':
		s.moveTo(p.count(0)-1, s.cur.col)
	case 'I':
		for range min(p.count(0), s.cols) {
			s.tab()
		}
	case 'Z':
		s.backTab(p.count(0))
	case 'b':
		s.repeat(p.count(0))
	case 'g':
		s.clearTabs(p.param(0, 0))
	case 'h', 'l':
		for i := range p.n {
			s.setMode(p.params[i], b == 'h')
		}
	case 'm':
		s.sgr()
	case 'r':
		s.setRegion(p.count(0)-1, p.param(1, 0))
	case 's':
		s.save()
	case 'u':
		s.restore()
	default:
		s.csiEdit(b)
	}
}

// csiEdit acts on the sequences that erase, insert, delete and scroll.
func (s *Screen) csiEdit(b byte) {
	p := &s.parser
	switch b {
	case '@':
		s.cur.pending = false
		s.insertCells(p.count(0))
	case 'J':
		s.eraseDisplay(p.param(0, 0))
	case 'K':
		s.eraseLine(p.param(0, 0))
	case 'L', 'M':
		if s.cur.row < s.top || s.cur.row > s.bottom {
			return
		}
		s.cur.pending = false
		if b == 'L' {
			s.scrollDown(s.cur.row, s.bottom, p.count(0))
		} else {
			s.deleteLines(p.count(0))
		}
		s.cur.col = 0
	case 'P':
		s.cur.pending = false
		s.deleteCells(p.count(0))
	case 'S':
		s.scrollUp(s.top, s.bottom, p.count(0))
	case 'T':
		if p.n <= 1 {
			s.scrollDown(s.top, s.bottom, p.count(0))
		}
	case 'X':
		s.cur.pending = false
		s.erase(s.cur.row, s.cur.col, min(s.cur.col+p.count(0), s.cols))
	}
}

// deleteLines scrolls up from the cursor without feeding the scrollback.
func (s *Screen) deleteLines(n int) {
	alt := s.alt
	s.alt = true // lines that are deleted do not scroll off
	s.scrollUp(s.cur.row, s.bottom, n)
	s.alt = alt
	s.unwrap(s.cur.row)
}

func (s *Screen) csiPrivate(b byte) {
	p := &s.parser
	if p.prefix != '?' {
		return
	}
	switch b {
	case 'h', 'l':
		for i := range p.n {
			s.setPrivateMode(p.params[i], b == 'h')
		}
	case 'J':
		s.eraseDisplay(p.param(0, 0))
	case 'K':
		s.eraseLine(p.param(0, 0))
	}
}

func (s *Screen) setMode(n int, on bool) {
	switch n {
	case 4:
		s.modes.insert = on
	case 20:
		s.modes.newline = on
	}
}

func (s *Screen) setPrivateMode(n int, on bool) {
	if s.opts.Mode != nil {
		s.opts.Mode(n, on)
	}
	switch n {
	case 1:
		s.modes.cursorKeys = on
	case 3:
		// Eighty or 132 columns: the size is the client's, so this only clears, as xterm does when it may.
	case 6:
		s.modes.origin = on
		s.moveTo(0, 0)
	case 7:
		s.modes.noWrap = !on
	case 25:
		s.modes.hiddenCursor = !on
	case 47, 1047:
		s.setAlt(on)
	case 1048:
		if on {
			s.save()
		} else {
			s.restore()
		}
	case 1049:
		if on == s.alt {
			return
		}
		if on {
			s.save()
			s.setAlt(true)
		} else {
			s.setAlt(false)
			s.restore()
		}
	case 2004:
		s.modes.bracketedPaste = on
	}
}

// setAlt switches between the two screens. The alternate one starts blank and is given up when it is left.
func (s *Screen) setAlt(on bool) {
	if on == s.alt {
		return
	}
	s.grid, s.other = s.other, s.grid
	s.alt = on
	if on {
		s.grid.rows = make([]*row, s.nrows)
	} else {
		s.other = grid{}
	}
}

func (s *Screen) setRegion(top, bottom int) {
	if bottom == 0 || bottom > s.nrows {
		bottom = s.nrows
	}
	bottom--
	if top >= bottom {
		return
	}
	s.top, s.bottom = top, bottom
	s.moveTo(0, 0)
}

func (s *Screen) softReset() {
	s.modes.insert, s.modes.origin, s.modes.noWrap = false, false, false
	s.modes.sets, s.modes.shift = [2]byte{'B', 'B'}, 0
	s.style = 0
	s.top, s.bottom = 0, s.nrows-1
	s.grid.saved = saved{}
}

func (s *Screen) eraseDisplay(how int) {
	switch how {
	case 0:
		if s.cur.row == 0 && s.cur.col == 0 && s.opts.Clear != nil {
			s.opts.Clear()
		}
		if s.cur.col == 0 {
			s.unwrap(s.cur.row)
		}
		s.erase(s.cur.row, s.cur.col, s.cols)
		s.eraseRows(s.cur.row+1, s.nrows)
	case 1:
		s.eraseRows(0, s.cur.row)
		s.erase(s.cur.row, 0, s.cur.col+1)
	case 2:
		if s.opts.Clear != nil {
			s.opts.Clear()
		}
		s.eraseRows(0, s.nrows)
	case 3:
		if !s.alt {
			s.scrollback.clear()
		}
	}
}

func (s *Screen) eraseLine(how int) {
	switch how {
	case 0:
		s.erase(s.cur.row, s.cur.col, s.cols)
	case 1:
		s.erase(s.cur.row, 0, s.cur.col+1)
	case 2:
		s.erase(s.cur.row, 0, s.cols)
	}
}

// repeat prints the last character again, no more often than the screen has cells.
func (s *Screen) repeat(n int) {
	if s.last == 0 {
		return
	}
	for range min(n, s.cols*s.nrows) {
		s.print(s.last)
	}
}
