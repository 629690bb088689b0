package screen

import "github.com/podbastion/podbastion/internal/tty"

// Resize changes the size. On the main screen lines that the terminal wrapped are joined and wrapped anew, with the
// scrollback, as xterm's successors and tmux do; the alternate screen is cut or padded.
func (s *Screen) Resize(size tty.Size) {
	old := s.size
	oldRows := s.nrows
	s.setSize(size)
	if s.size == old {
		return
	}
	s.scrollback.limit = scrollbackCells/s.cols + 1
	if s.alt {
		s.other = s.reflow(s.other, &s.other.saved.cursor, oldRows, int(old.Cols), false)
		s.grid.rows = cutRows(s.grid.rows, s.cols, s.nrows)
		s.clampCursor()
	} else {
		s.grid = s.reflow(s.grid, &s.cur, oldRows, int(old.Cols), true)
	}
	s.top, s.bottom = 0, s.nrows-1
	if s.cols != int(old.Cols) {
		s.resetTabs()
	}
}

func (s *Screen) clampCursor() {
	s.cur.row = min(s.cur.row, s.nrows-1)
	if s.cur.col >= s.cols {
		s.cur.col = s.cols - 1
	}
	s.cur.pending = false
}

func cutRows(rows []*row, cols, n int) []*row {
	out := make([]*row, n)
	copy(out, rows)
	for _, r := range out {
		if r != nil && len(r.cells) > cols {
			r.cells = r.cells[:cols]
		}
	}
	return out
}

// reflow wraps the main screen and its scrollback anew, carrying the cursor, the saved cursor and the tracked places.
func (s *Screen) reflow(g grid, cur *cursor, oldRows, oldCols int, marks bool) grid {
	first := s.base - s.scrollback.len()
	all := make([]*row, 0, s.scrollback.len()+oldRows)
	for i := range s.scrollback.len() {
		all = append(all, s.scrollback.at(i))
	}
	all = append(all, g.rows...)
	at := place{s.scrollback.len() + cur.row, cur.col}
	if cur.pending {
		at.col = oldCols
	}
	places := []*place{&at}
	var tracked []*place
	if marks || s.alt {
		for _, m := range s.marks {
			p := &place{m.Line - first, m.Col}
			tracked = append(tracked, p)
			places = append(places, p)
		}
	}
	top := s.changeRows(&all, at.row, oldRows)
	if s.cols != oldCols {
		all = rewrap(all, s.cols, places)
		top = max(len(all)-s.nrows, 0)
	}
	s.scrollback.clear()
	for _, r := range all[:top] {
		if r == nil {
			r = &row{}
		}
		s.scrollback.push(r)
	}
	s.base = first + top
	g.rows = make([]*row, s.nrows)
	copy(g.rows, all[top:])
	cur.row = min(max(at.row-top, 0), s.nrows-1)
	cur.col, cur.pending = at.col, false
	if at.row < top {
		cur.col = 0
	}
	if cur.col >= s.cols {
		cur.col, cur.pending = s.cols-1, true
	}
	if !s.alt {
		v := &g.saved.cursor
		v.row, v.col, v.pending = min(v.row, s.nrows-1), min(v.col, s.cols-1), false
	}
	for i, p := range tracked {
		*s.marks[i] = Pos{first + p.row, p.col}
	}
	return g
}

type place struct{ row, col int }

// changeRows makes the screen part of all as high as the screen now is: rows below the cursor go first, then the top ones
// become scrollback; and the scrollback comes back first. It tells where the screen begins.
func (s *Screen) changeRows(all *[]*row, cursor, oldRows int) int {
	top := s.scrollback.len()
	a := *all
	for len(a) > top+s.nrows && len(a)-1 > cursor {
		a = a[:len(a)-1]
	}
	top = max(len(a)-s.nrows, min(top, max(top-(s.nrows-oldRows), 0)))
	for len(a) < top+s.nrows {
		a = append(a, nil)
	}
	*all = a
	return top
}

// rewrap joins rows that the terminal wrapped and breaks them at cols. places move along.
func rewrap(all []*row, cols int, places []*place) []*row {
	var out []*row
	moved := make([]bool, len(places))
	for i := 0; i < len(all); {
		// One logical line: rows i..j.
		j := i
		for j < len(all)-1 && all[j] != nil && all[j].wrapped {
			j++
		}
		var cells []Cell
		starts := make([]int, 0, j-i+1)
		for k := i; k <= j; k++ {
			starts = append(starts, len(cells))
			if all[k] != nil {
				cells = append(cells, all[k].cells...)
			}
		}
		offsets := make(map[int]int)
		for n, p := range places {
			if !moved[n] && p.row >= i && p.row <= j {
				offsets[n] = starts[p.row-i] + p.col
				moved[n] = true
			}
		}
		base := len(out)
		var cuts []int // offset at which each new row starts
		out, cuts = breakLine(out, cells, cols)
		for n, off := range offsets {
			k := len(cuts) - 1
			for k > 0 && cuts[k] > off {
				k--
			}
			*places[n] = place{base + k, min(off-cuts[k], cols)}
		}
		i = j + 1
	}
	for n, p := range places {
		if !moved[n] {
			p.row = min(max(p.row, 0), len(out)-1)
		}
	}
	return out
}

func breakLine(out []*row, cells []Cell, cols int) ([]*row, []int) {
	if len(cells) == 0 {
		return append(out, nil), []int{0}
	}
	var cuts []int
	for off := 0; off < len(cells); {
		end := min(off+cols, len(cells))
		if end < len(cells) && cells[end].Tail() && end-1 > off {
			end--
		}
		r := &row{cells: append([]Cell(nil), cells[off:end]...), wrapped: end < len(cells)}
		out = append(out, r)
		cuts = append(cuts, off)
		off = end
	}
	return out, cuts
}
