package picker

import (
	"unicode"
	"unicode/utf8"
)

type key int

const (
	keyNone key = iota
	keyRune
	keyBackspace
	keyClear // the whole query
	keyWord  // the query's last word
	keyUp
	keyDown
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
	keyEnter
	keyCancel
)

type state int

const (
	ground     state = iota
	escaped          // after ESC
	single           // after ESC O
	sequence         // after ESC [
	multibyte        // within a character
	overlooked       // within a string (ESC ] and its like) that nobody typed
)

const maxSequence = 32 // bytes of parameters; what is longer is no key

// decoder turns bytes into keys, whatever pieces they come in.
type decoder struct {
	state state
	buf   []byte
}

func (d *decoder) next(b byte) (key, rune) {
	switch d.state {
	case escaped:
		return d.escape(b), 0
	case single:
		d.state = ground
		if b == 'M' {
			return keyEnter, 0 // of the numeric keypad
		}
		return final(b), 0
	case sequence:
		return d.csi(b), 0
	case overlooked:
		if b == 0x07 || b == 0x1b || b == 0x18 {
			d.reset(map[bool]state{true: escaped, false: ground}[b == 0x1b])
		}
		return keyNone, 0
	case multibyte:
		if b&0xc0 == 0x80 {
			d.buf = append(d.buf, b)
			return d.character()
		}
		d.reset(ground) // it was none; this byte begins anew
	}
	return d.plain(b)
}

func (d *decoder) reset(to state) {
	d.state = to
	d.buf = d.buf[:0]
}

func (d *decoder) plain(b byte) (key, rune) {
	switch {
	case b == 0x1b:
		d.reset(escaped)
	case b >= utf8.RuneSelf:
		d.reset(multibyte)
		d.buf = append(d.buf, b)
		return d.character()
	case b >= ' ' && b < 0x7f:
		return keyRune, rune(b)
	}
	return control(b), 0
}

func (d *decoder) character() (key, rune) {
	if !utf8.FullRune(d.buf) {
		return keyNone, 0
	}
	r, _ := utf8.DecodeRune(d.buf)
	d.reset(ground)
	if r == utf8.RuneError || !unicode.IsPrint(r) {
		return keyNone, 0
	}
	return keyRune, r
}

func control(b byte) key {
	switch b {
	case '\r', '\n':
		return keyEnter
	case 0x03, 0x04: // ^C ^D
		return keyCancel
	case 0x08, 0x7f: // ^H, DEL
		return keyBackspace
	case 0x15: // ^U
		return keyClear
	case 0x17: // ^W
		return keyWord
	case 0x0e: // ^N
		return keyDown
	case 0x10: // ^P
		return keyUp
	}
	return keyNone
}

func (d *decoder) escape(b byte) key {
	switch b {
	case '[':
		d.reset(sequence)
	case 'O':
		d.reset(single)
	case ']', 'P', '^', '_', 'X':
		d.reset(overlooked)
	case 0x1b: // Escape, and perhaps the beginning of something else
		return keyCancel
	default: // with Alt: not a key of ours
		d.reset(ground)
	}
	return keyNone
}

// csi reads ESC [ parameters final (ECMA-48, 5.4).
func (d *decoder) csi(b byte) key {
	switch {
	case b == 0x1b:
		d.reset(escaped)
	case b >= 0x20 && b < 0x40 && len(d.buf) < maxSequence:
		d.buf = append(d.buf, b)
	case b >= 0x40 && b < 0x7f:
		parameters := string(d.buf)
		d.reset(ground)
		if b != '~' {
			return final(b)
		}
		switch parameters {
		case "1", "7":
			return keyHome
		case "4", "8":
			return keyEnd
		case "5":
			return keyPageUp
		case "6":
			return keyPageDown
		}
	default:
		d.reset(ground)
	}
	return keyNone
}

// final is the key of a sequence that ends in a letter.
func final(b byte) key {
	switch b {
	case 'A':
		return keyUp
	case 'B':
		return keyDown
	case 'H':
		return keyHome
	case 'F':
		return keyEnd
	}
	return keyNone
}
