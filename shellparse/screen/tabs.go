package screen

const tabWidth = 8

func (s *Screen) resetTabs() {
	s.tabs = make([]uint64, (s.cols+63)/64)
	for c := 0; c < s.cols; c += tabWidth {
		s.tabs[c/64] |= 1 << (c % 64)
	}
}

func (s *Screen) isTab(c int) bool { return s.tabs[c/64]>>(c%64)&1 != 0 }

func (s *Screen) setTab(on bool) {
	c := s.cur.col
	if on {
		s.tabs[c/64] |= 1 << (c % 64)
	} else {
		s.tabs[c/64] &^= 1 << (c % 64)
	}
}

func (s *Screen) clearTabs(how int) {
	switch how {
	case 0:
		s.setTab(false)
	case 3:
		clear(s.tabs)
	}
}

// tab moves to the next stop. Over blank cells it leaves a mark, so that a reader can tell a tab from blanks.
func (s *Screen) tab() {
	from := s.cur.col
	to := from + 1
	for to < s.cols-1 && !s.isTab(to) {
		to++
	}
	to = min(to, s.cols-1)
	if to > from {
		if r := s.line(0); from >= len(r.cells) {
			r.grow(from+1, s.cols)
			r.cells[from] = Cell{'\t' | s.style, s.stamp}
			r.grow(to, s.cols)
		}
	}
	s.cur.col = to
}

func (s *Screen) backTab(n int) {
	for range min(n, s.cols) {
		for s.cur.col > 0 {
			s.cur.col--
			if s.isTab(s.cur.col) {
				break
			}
		}
	}
	s.cur.pending = false
}
