package proc

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// maxModes bounds an encoding: each of 160 opcodes with its argument, and the end.
const maxModes = 160*5 + 1

// Modes are terminal modes that a client asks for, by RFC 4254's opcode.
type Modes map[byte]uint32

// ParseModes reads the encoding of RFC 4254 section 8: opcode, 32-bit argument, and so on until opcode 0 or one from
// 160 on.
func ParseModes(p []byte) (Modes, error) {
	if len(p) > maxModes {
		return nil, errors.New("proc: terminal modes are too long")
	}
	m := Modes{}
	for len(p) > 0 && p[0] != 0 && p[0] < 160 {
		if len(p) < 5 {
			return nil, errors.New("proc: terminal modes are cut off")
		}
		m[p[0]] = binary.BigEndian.Uint32(p[1:])
		p = p[5:]
	}
	return m, nil
}

// Apply changes a terminal's settings as asked. Left out on purpose are the characters that end a line or a file
// (VEOF, VEOL, VEOL2), line-end translation on input (ICRNL, INLCR, IGNCR) and ICANON: which keys submit a line is not
// for the client to move. What belongs to serial lines means nothing here.
func (m Modes) Apply(t *unix.Termios) {
	for op, arg := range m {
		if i, ok := characters[op]; ok && arg <= 0xff {
			t.Cc[i] = byte(arg) // 255 switches it off there; on Linux that is 0
			if arg == 0xff {
				t.Cc[i] = 0
			}
		}
		set(&t.Iflag, inputBits[op], arg)
		set(&t.Lflag, localBits[op], arg)
		set(&t.Oflag, outputBits[op], arg)
	}
}

func set(flags *uint32, bit, on uint32) {
	if on != 0 {
		*flags |= bit
	} else {
		*flags &^= bit
	}
}

// The opcodes of RFC 4254 section 8 (IUTF8: RFC 8160) that are honoured.
var (
	characters = map[byte]int{
		1: unix.VINTR, 2: unix.VQUIT, 3: unix.VERASE, 4: unix.VKILL, 8: unix.VSTART, 9: unix.VSTOP, 10: unix.VSUSP,
		12: unix.VREPRINT, 13: unix.VWERASE, 14: unix.VLNEXT, 18: unix.VDISCARD,
	}
	inputBits = map[byte]uint32{
		33: unix.ISTRIP, 38: unix.IXON, 39: unix.IXANY, 40: unix.IXOFF, 41: unix.IMAXBEL, 42: unix.IUTF8,
	}
	localBits = map[byte]uint32{
		50: unix.ISIG, 53: unix.ECHO, 54: unix.ECHOE, 55: unix.ECHOK, 56: unix.ECHONL, 57: unix.NOFLSH, 58: unix.TOSTOP,
		59: unix.IEXTEN, 60: unix.ECHOCTL, 61: unix.ECHOKE,
	}
	outputBits = map[byte]uint32{70: unix.OPOST, 72: unix.ONLCR, 73: unix.OCRNL, 74: unix.ONOCR, 75: unix.ONLRET}
)

// ApplyModes sets the modes of the terminal that a process has just been started on. A program that has taken the
// terminal over already, as line editors do, is left alone.
func ApplyModes(id ID, m Modes) error {
	f, err := openTerminal(id)
	if err != nil {
		return err
	}
	defer f.Close()
	return SetModes(f, m)
}
