package screen

import (
	"unicode/utf8"
)

type state uint8

const (
	ground state = iota
	escape
	escapeInter // ESC and intermediate bytes
	csiEntry
	csiParam
	csiIgnore
	oscString
	ignoredString // DCS, SOS, PM, APC
	stringEscape  // ESC inside a control string
)

const (
	maxParams = 32
	maxParam  = 65535
)

type parser struct {
	state  state
	params [maxParams]int // -1 where none was given
	n      int
	sub    uint32 // which parameters came after a colon
	prefix byte   // one of < = > ?, or 0
	inter  byte   // the last intermediate byte, or 0

	isOSC    bool
	osc      []byte
	overlong bool

	utf8  [utf8.UTFMax]byte
	nutf8 int
}

func (s *Screen) parse(p []byte) {
	for len(p) > 0 {
		switch s.parser.state {
		case ground:
			p = s.parseGround(p)
		case oscString, ignoredString:
			p = s.parseString(p)
		default:
			s.rest = len(p) - 1
			s.parseByte(p[0])
			p = p[1:]
		}
	}
}

// parseGround takes text and control characters, and at most one character beyond ASCII.
func (s *Screen) parseGround(p []byte) []byte {
	if s.parser.nutf8 > 0 {
		return s.continueRune(p)
	}
	n := 0
	for n < len(p) && p[n] >= 0x20 && p[n] < 0x7f {
		n++
	}
	if n > 0 {
		s.printASCII(p[:n])
		return p[n:]
	}
	switch b := p[0]; {
	case b < 0x20 || b == 0x7f:
		s.control(b)
		return p[1:]
	default:
		return s.continueRune(p)
	}
}

// continueRune gathers one UTF-8 character over any number of calls. Bytes that make none are printed one by one.
func (s *Screen) continueRune(p []byte) []byte {
	ps := &s.parser
	for len(p) > 0 {
		if ps.nutf8 > 0 && p[0]&0xc0 != 0x80 {
			s.flushInvalid()
			return p
		}
		ps.utf8[ps.nutf8] = p[0]
		ps.nutf8++
		p = p[1:]
		have := ps.utf8[:ps.nutf8]
		if !utf8.FullRune(have) {
			continue
		}
		r, size := utf8.DecodeRune(have)
		if r == utf8.RuneError && size == 1 {
			s.printInvalid(1)
			// What follows the bad byte may begin a character.
			rest := ps.nutf8 - 1
			if rest > 0 {
				var again [utf8.UTFMax]byte
				copy(again[:], ps.utf8[1:ps.nutf8])
				ps.nutf8 = 0
				for i := range rest {
					s.parseGroundByte(again[i])
				}
				return p
			}
		} else if r >= 0xa0 {
			s.print(r)
		}
		ps.nutf8 = 0
		return p
	}
	return p
}

func (s *Screen) parseGroundByte(b byte) {
	one := [1]byte{b}
	for rest := one[:]; len(rest) > 0; {
		rest = s.parseGround(rest)
	}
}

// flushInvalid prints the bytes of a character that was cut short.
func (s *Screen) flushInvalid() {
	n := s.parser.nutf8
	s.parser.nutf8 = 0
	s.printInvalid(n)
}

func (s *Screen) printInvalid(n int) {
	for i := range n {
		s.print(rawByte + rune(s.parser.utf8[i]))
	}
}

// control acts on a C0 control, which works inside sequences too.
func (s *Screen) control(b byte) {
	switch b {
	case '\b':
		if s.cur.col > 0 {
			s.cur.col--
		}
		s.cur.pending = false
	case '\t':
		s.tab()
	case '\n', '\v', '\f':
		s.lineFeed()
	case '\r':
		if s.cur.col > 0 || s.returned.Line != s.FirstLine()+s.cur.row {
			s.returned = s.Cursor()
		}
		s.cur.col, s.cur.pending = 0, false
	case 0x0e:
		s.modes.shift = 1
	case 0x0f:
		s.modes.shift = 0
	case 0x1b:
		s.parser.begin(escape)
	}
}

func (s *Screen) lineFeed() {
	if s.opts.LineFeed != nil {
		s.opts.LineFeed()
	}
	s.index()
	if s.modes.newline {
		s.cur.col = 0
	}
}

func (p *parser) begin(st state) {
	p.state = st
	p.n, p.sub, p.prefix, p.inter = 0, 0, 0, 0
}

// parseString takes an OSC or ignored string up to its end. Only BEL, ST, CAN and SUB end it, and ESC does in any case.
func (s *Screen) parseString(p []byte) []byte {
	i := 0
	for i < len(p) && p[i] != 0x1b && p[i] != 0x07 && p[i] != 0x18 && p[i] != 0x1a {
		i++
	}
	ps := &s.parser
	if ps.isOSC && !ps.overlong {
		if len(ps.osc)+i > s.opts.MaxString {
			ps.overlong = true
			ps.osc = nil
		} else {
			ps.osc = append(ps.osc, p[:i]...)
		}
	}
	if i == len(p) {
		return nil
	}
	switch p[i] {
	case 0x1b:
		ps.state = stringEscape
	case 0x07:
		if ps.isOSC {
			s.endString()
		}
	default:
		ps.dropString()
		ps.state = ground
	}
	return p[i+1:]
}

func (p *parser) dropString() {
	p.osc, p.overlong, p.isOSC = p.osc[:0], false, false
	if cap(p.osc) > 256 {
		p.osc = nil
	}
}

func (s *Screen) endString() {
	ps := &s.parser
	ps.state = ground
	if ps.isOSC && !ps.overlong && s.opts.OSC != nil {
		s.opts.OSC(ps.osc)
	}
	ps.dropString()
}

// parseByte takes one byte inside an escape sequence.
func (s *Screen) parseByte(b byte) {
	ps := &s.parser
	if ps.state == stringEscape {
		if b == '\\' {
			s.endString()
			return
		}
		ps.dropString()
		ps.begin(escape)
	}
	switch {
	case b == 0x18 || b == 0x1a:
		ps.state = ground
		return
	case b < 0x20:
		s.control(b)
		return
	case b == 0x7f:
		return
	case b >= 0x80:
		ps.state = ground
		s.parseGroundByte(b)
		return
	}
	switch ps.state {
	case escape:
		s.parseEscape(b)
	case escapeInter:
		if b < 0x30 {
			ps.inter = b
			return
		}
		ps.state = ground
		s.designate(ps.inter, b)
	default:
		s.parseCSI(b)
	}
}

func (s *Screen) parseEscape(b byte) {
	ps := &s.parser
	switch {
	case b < 0x30:
		ps.inter = b
		ps.state = escapeInter
	case b == '[':
		ps.begin(csiEntry)
	case b == ']':
		ps.dropString()
		ps.isOSC = true
		ps.state = oscString
	case b == 'P' || b == 'X' || b == '^' || b == '_':
		ps.dropString()
		ps.state = ignoredString
	default:
		ps.state = ground
		s.escape(b)
	}
}

func (s *Screen) parseCSI(b byte) {
	ps := &s.parser
	switch {
	case b >= 0x40:
		st := ps.state
		ps.state = ground
		if st != csiIgnore {
			s.csi(b)
		}
	case ps.state == csiIgnore:
	case b < 0x30:
		ps.inter = b
	case ps.inter != 0:
		ps.state = csiIgnore
	case b >= '0' && b <= '9':
		ps.state = csiParam
		ps.digit(int(b - '0'))
	case b == ';' || b == ':':
		ps.state = csiParam
		ps.next(b == ':')
	case ps.state == csiEntry && ps.prefix == 0:
		ps.prefix = b
	default:
		ps.state = csiIgnore
	}
}

func (p *parser) digit(d int) {
	if p.n == 0 {
		p.n = 1
		p.params[0] = -1
	}
	v := &p.params[p.n-1]
	*v = min(max(*v, 0)*10+d, maxParam)
}

func (p *parser) next(sub bool) {
	if p.n == 0 {
		p.n = 1
		p.params[0] = -1
	}
	if p.n == maxParams {
		p.state = csiIgnore
		return
	}
	p.params[p.n] = -1
	if sub {
		p.sub |= 1 << p.n
	}
	p.n++
}

// param returns the i-th parameter, or def when it is absent or, for counts, 0.
func (p *parser) param(i, def int) int {
	if i >= p.n || p.params[i] < 0 {
		return def
	}
	return p.params[i]
}

func (p *parser) count(i int) int { return max(p.param(i, 1), 1) }
