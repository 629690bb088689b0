package screen

import "unicode/utf8"

// Cell is one character cell. The zero Cell was never written, or was erased.
type Cell struct {
	glyph uint32 // the character in the low bits, then flags, then the style
	Stamp uint32 // the caller's clock when it was written
}

const (
	runeMask    = 1<<21 - 1
	flagCluster = 1 << 21 // the low bits index the table of clusters
	flagWide    = 1 << 22 // the character covers the next cell too
	flagTail    = 1 << 23 // the second half of a wide character
	styleShift  = 24
)

// Styles, as far as they are kept.
const (
	StyleFaint   = 1 << 5
	StyleReverse = 1 << 6
	StyleGraphic = 1 << 7 // drawn from the line-drawing character set
	StyleGrey    = 18     // a dark grey of the 256-colour palette, in the foreground bits
	StyleOther   = 17     // any other colour beyond the 16
	styleFg      = 1<<5 - 1
)

// rawByte maps a byte that is no UTF-8 to a code point that no UTF-8 can give, as Python's surrogateescape does.
const rawByte = 0xDC00

// Blank tells that nothing was written here since it was last erased.
func (c Cell) Blank() bool { return c.glyph&(runeMask|flagTail) == 0 }

// Tail tells that this is the right half of the wide character before it.
func (c Cell) Tail() bool { return c.glyph&flagTail != 0 }

// Wide tells that the character covers the next cell too.
func (c Cell) Wide() bool { return c.glyph&flagWide != 0 }

// Space tells that a person sees nothing here.
func (c Cell) Space() bool {
	r := c.glyph & (runeMask | flagCluster | flagTail)
	return r == 0 || r == ' ' || r == '\t'
}

// Tab tells that a tab was written from here, over blank cells.
func (c Cell) Tab() bool { return c.glyph&(runeMask|flagCluster|flagTail) == '\t' }

// Foreground is 0 for the default colour, 1 to 16 for the sixteen, StyleGrey or StyleOther beyond.
func (c Cell) Foreground() int { return int(c.glyph>>styleShift) & styleFg }

// Faint tells whether the character is drawn faint.
func (c Cell) Faint() bool { return c.glyph>>styleShift&StyleFaint != 0 }

// Reverse tells whether the character is drawn reversed.
func (c Cell) Reverse() bool { return c.glyph>>styleShift&StyleReverse != 0 }

// Style is the whole style as an opaque number, good for comparing.
func (c Cell) Style() int { return int(c.glyph >> styleShift) }

// AppendCell appends the cell's character as a person sees it, with what combines with it: a blank for an empty cell,
// nothing for the tail of a wide one, the byte itself for a byte that was no UTF-8.
func (s *Screen) AppendCell(b []byte, c Cell) []byte {
	if c.glyph>>styleShift&StyleGraphic != 0 && c.glyph&(flagCluster|flagTail) == 0 {
		return utf8.AppendRune(b, graphic(rune(c.glyph&runeMask)))
	}
	return s.AppendSent(b, c)
}

// AppendSent appends the cell's character as the target sent it, before a character set changed its looks.
func (s *Screen) AppendSent(b []byte, c Cell) []byte {
	if c.Tail() {
		return b
	}
	if c.glyph&flagCluster != 0 {
		return append(b, s.clusters.text(c.glyph&runeMask)...)
	}
	r := rune(c.glyph & runeMask)
	switch {
	case r == 0 || r == '\t':
		return append(b, ' ')
	case r >= rawByte && r <= rawByte+0xff:
		return append(b, byte(r))
	}
	return utf8.AppendRune(b, r)
}

type row struct {
	cells   []Cell // up to the last written column
	wrapped bool
}

func (r *row) reset() {
	r.cells = r.cells[:0]
	r.wrapped = false
}

type grid struct {
	rows  []*row // nil is blank
	saved saved
}

// ring holds the newest rows that scrolled off.
type ring struct {
	rows  []*row
	head  int // the oldest, once full
	limit int
}

func (r *ring) len() int { return len(r.rows) }

func (r *ring) at(i int) *row {
	if i < 0 || i >= len(r.rows) {
		return nil
	}
	return r.rows[(r.head+i)%len(r.rows)]
}

// push keeps x and returns the row that fell out, for use again; nil while there is room.
func (r *ring) push(x *row) *row {
	if len(r.rows) < r.limit {
		r.rows = append(r.rows, x)
		return nil
	}
	old := r.rows[r.head]
	r.rows[r.head] = x
	r.head = (r.head + 1) % len(r.rows)
	return old
}

func (r *ring) clear() { r.rows, r.head = nil, 0 }

// clusters holds the characters that are more than one code point. Its size is bounded: when full it is emptied of what
// no cell shows, and if that does not help further marks are dropped.
type clusters struct {
	list  []string
	index map[string]uint32
}

const (
	maxClusters     = 512
	maxClusterBytes = 32
)

func (c *clusters) text(i uint32) string {
	if int(i) < len(c.list) {
		return c.list[i]
	}
	return ""
}

func (c *clusters) add(t string) (uint32, bool) {
	if i, ok := c.index[t]; ok {
		return i, true
	}
	if len(c.list) >= maxClusters {
		return 0, false
	}
	if c.index == nil {
		c.index = make(map[string]uint32)
	}
	i := uint32(len(c.list))
	c.list = append(c.list, t)
	c.index[t] = i
	return i, true
}

// sweep rebuilds the table from the cells that still refer to it.
func (s *Screen) sweepClusters() {
	old := s.clusters
	s.clusters = clusters{}
	visit := func(r *row) {
		if r == nil {
			return
		}
		for i, c := range r.cells {
			if c.glyph&flagCluster == 0 {
				continue
			}
			n, _ := s.clusters.add(old.text(c.glyph & runeMask))
			r.cells[i].glyph = c.glyph&^runeMask | n
		}
	}
	for _, r := range s.grid.rows {
		visit(r)
	}
	for _, r := range s.other.rows {
		visit(r)
	}
	for _, r := range s.scrollback.rows {
		visit(r)
	}
}
