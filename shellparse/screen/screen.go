// Package screen is a model of the user's terminal: the bytes that a target sends go in, and what a person would see
// comes out, cell by cell, with the moment at which each cell was written and the rows that the terminal itself
// wrapped. It is fed a byte at a time or a megabyte at a time with the same result, never panics, and never holds more
// than its size asks for, whatever the bytes.
//
// It refuses to know what a shell, a prompt or a command is: see shellparse/line. It answers no query, rings no bell and
// paints nothing. Colours are kept only as far as a reader of the screen needs them to tell a suggestion from text.
package screen

import "github.com/podbastion/podbastion/internal/tty"

// Limits on the size. A peer names it, so it is bounded before anything is allocated.
const (
	MaxCols = 1000
	MaxRows = 500
	minSide = 1
)

// scrollbackCells bounds what is kept above the screen: enough for a command line of several screens' length.
const scrollbackCells = 6144

// DefaultMaxString bounds an OSC string that is handed to Options.OSC.
const DefaultMaxString = 4096

// Options are hooks that run inside Write, at the exact byte that causes them. They may read the screen, and must not
// write to it. All may be nil.
type Options struct {
	// OSC is told each operating system command, without its introducer and terminator. A string longer than
	// MaxString is dropped, never cut. The slice is only good during the call.
	OSC func(payload []byte)
	// Mode is told a DEC private mode (CSI ? n h or l) before it takes effect.
	Mode func(mode int, on bool)
	// LineFeed is told of LF, VT, FF, IND and NEL before the cursor moves. Wrapping by itself is not told.
	LineFeed func()
	// Clear is told of an erase of the whole screen before it happens.
	Clear func()
	// MaxString bounds OSC strings; DefaultMaxString if 0.
	MaxString int
}

// Pos is a place on the main or alternate screen. Line counts from the first line that the screen ever showed, so a place
// stays the same while the screen scrolls.
type Pos struct {
	Line int
	Col  int
}

// Before orders places by reading order.
func (p Pos) Before(q Pos) bool { return p.Line < q.Line || p.Line == q.Line && p.Col < q.Col }

// Screen is a terminal. It is not safe for concurrent use.
type Screen struct {
	opts  Options
	size  tty.Size
	cols  int
	nrows int

	grid  grid // the one that is shown
	other grid // the one that is not; rows are nil until the alternate screen is first used
	alt   bool

	scrollback ring
	base       int // lines that have scrolled off the main screen

	cur   cursor
	modes modes
	style uint32
	stamp uint32
	last  rune // for REP

	top, bottom int // scroll region, inclusive
	tabs        []uint64

	clusters clusters
	marks    []*Pos
	parser   parser
	returned Pos
	rest     int // bytes of the current Write that come after the sequence that a hook is told of
}

type cursor struct {
	row, col int
	pending  bool // the next character wraps first
}

type saved struct {
	cursor
	style  uint32
	origin bool
	sets   [2]byte
	shift  int
	set    bool
}

type modes struct {
	insert, origin, noWrap, newline bool
	bracketedPaste, cursorKeys      bool
	hiddenCursor                    bool
	sets                            [2]byte // character sets G0 and G1: 'B' or '0'
	shift                           int
}

// New returns a blank screen.
func New(size tty.Size, opts Options) *Screen {
	if opts.MaxString <= 0 {
		opts.MaxString = DefaultMaxString
	}
	s := &Screen{opts: opts}
	s.setSize(size)
	s.grid.rows = make([]*row, s.nrows)
	s.resetModes()
	s.scrollback.limit = scrollbackCells/s.cols + 1
	return s
}

func (s *Screen) setSize(size tty.Size) {
	s.cols = min(max(int(size.Cols), minSide), MaxCols)
	s.nrows = min(max(int(size.Rows), minSide), MaxRows)
	s.size = tty.Size{Cols: uint16(s.cols), Rows: uint16(s.nrows)}
}

func (s *Screen) resetModes() {
	s.modes = modes{sets: [2]byte{'B', 'B'}}
	s.style = 0
	s.top, s.bottom = 0, s.nrows-1
	s.resetTabs()
}

// Write takes the target's bytes. It always takes all and never fails.
func (s *Screen) Write(p []byte) (int, error) {
	s.parse(p)
	return len(p), nil
}

// Returned is where the cursor stood before the newest carriage return.
func (s *Screen) Returned() Pos { return s.returned }

// Rest is, inside the Mode hook, how many bytes of the current Write come after the sequence that it is told of.
func (s *Screen) Rest() int { return s.rest }

// SetStamp sets the number that cells written from now on carry. It is the caller's clock.
func (s *Screen) SetStamp(n uint32) { s.stamp = n }

// Size is the size in use, after bounding.
func (s *Screen) Size() tty.Size { return s.size }

// Columns is the width in use.
func (s *Screen) Columns() int { return s.cols }

// Cursor is where the next character goes; when a wrap is pending that is one column past the last.
func (s *Screen) Cursor() Pos {
	p := Pos{Line: s.FirstLine() + s.cur.row, Col: s.cur.col}
	if s.cur.pending {
		p.Col = s.cols
	}
	return p
}

// Alt tells whether the alternate screen is shown.
func (s *Screen) Alt() bool { return s.alt }

// BracketedPaste tells whether a program asked for pastes to be bracketed.
func (s *Screen) BracketedPaste() bool { return s.modes.bracketedPaste }

// InSequence tells whether the bytes so far end inside an escape sequence, a control string or a character.
func (s *Screen) InSequence() bool { return s.parser.state != ground || s.parser.nutf8 > 0 }

// FirstLine is the line number of the top row. On the alternate screen lines count from 0.
func (s *Screen) FirstLine() int {
	if s.alt {
		return 0
	}
	return s.base
}

// OldestLine is the first line that can still be read, in the scrollback.
func (s *Screen) OldestLine() int {
	if s.alt {
		return 0
	}
	return s.base - s.scrollback.len()
}

// EndLine is one past the line number of the bottom row.
func (s *Screen) EndLine() int { return s.FirstLine() + s.nrows }

// row returns a line's row, nil when it is blank or gone.
func (s *Screen) rowAt(line int) *row {
	i := line - s.FirstLine()
	if i >= 0 {
		if i < s.nrows {
			return s.grid.rows[i]
		}
		return nil
	}
	if s.alt {
		return nil
	}
	return s.scrollback.at(s.scrollback.len() + i)
}

// Cell returns one cell; the zero Cell where nothing was written.
func (s *Screen) Cell(p Pos) Cell {
	r := s.rowAt(p.Line)
	if r == nil || p.Col < 0 || p.Col >= len(r.cells) {
		return Cell{}
	}
	return r.cells[p.Col]
}

// Used is one past the last written column of a line.
func (s *Screen) Used(line int) int {
	r := s.rowAt(line)
	if r == nil {
		return 0
	}
	return len(r.cells)
}

// Wrapped tells whether the terminal itself broke the line after its last column, so that the next line continues it.
func (s *Screen) Wrapped(line int) bool {
	r := s.rowAt(line)
	return r != nil && r.wrapped
}

// Text is a line's text as a person sees it: blank where nothing was written, without trailing blanks.
func (s *Screen) Text(line int) string {
	var b []byte
	for c := range s.Used(line) {
		b = s.AppendCell(b, s.Cell(Pos{line, c}))
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return string(b)
}

// Track keeps a place right while a resize moves the text under it. Untrack ends that.
func (s *Screen) Track(p *Pos) { s.marks = append(s.marks, p) }

// Untrack forgets a place.
func (s *Screen) Untrack(p *Pos) {
	for i, m := range s.marks {
		if m == p {
			s.marks = append(s.marks[:i], s.marks[i+1:]...)
			return
		}
	}
}
