package proc_test

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/runtime/proc"
)

// encode writes modes as RFC 4254 section 8 does.
func encode(pairs ...uint32) []byte {
	var out []byte
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, byte(pairs[i]))
		out = binary.BigEndian.AppendUint32(out, pairs[i+1])
	}
	return append(out, 0)
}

func TestModes(t *testing.T) {
	m, err := proc.ParseModes(encode(1, 7, 3, 8, 4, 255, 5, 'q', 6, 'x', 36, 0, 34, 1, 35, 1, 42, 1, 51, 0, 53, 0, 72, 0))
	if err != nil {
		t.Fatal(err)
	}
	var got unix.Termios
	got.Cc[unix.VEOF], got.Cc[unix.VKILL] = 4, 21
	got.Iflag, got.Lflag, got.Oflag = unix.ICRNL, unix.ICANON|unix.ECHO|unix.ISIG, unix.OPOST|unix.ONLCR
	m.Apply(&got)
	var want unix.Termios
	want.Cc[unix.VINTR], want.Cc[unix.VERASE], want.Cc[unix.VEOF], want.Cc[unix.VKILL] = 7, 8, 4, 0
	want.Iflag, want.Lflag, want.Oflag = unix.ICRNL|unix.IUTF8, unix.ICANON|unix.ISIG, unix.OPOST
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, bad := range [][]byte{{3}, {3, 0, 0, 0}, make([]byte, 10_000)} {
		if _, err := proc.ParseModes(bad); err == nil {
			t.Errorf("%d bytes were taken", len(bad))
		}
	}
	if m, err := proc.ParseModes([]byte{160, 1, 2, 3}); err != nil || len(m) != 0 {
		t.Errorf("opcode 160 ends the list: %v %v", m, err)
	}
}

// FuzzModes: what is parsed never moves the keys that submit a line.
func FuzzModes(f *testing.F) {
	f.Add(encode(5, 'q', 6, 'x', 16, 'y', 36, 0, 51, 0))
	f.Add([]byte{0})
	f.Add([]byte{53, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := proc.ParseModes(data)
		if err != nil {
			return
		}
		if len(m) > 159 {
			t.Errorf("%d modes", len(m))
		}
		var x unix.Termios
		x.Iflag, x.Lflag = unix.ICRNL, unix.ICANON
		x.Cc[unix.VEOF], x.Cc[unix.VEOL], x.Cc[unix.VEOL2] = 4, 1, 2
		m.Apply(&x)
		if x.Iflag&(unix.ICRNL|unix.INLCR|unix.IGNCR) != unix.ICRNL || x.Lflag&unix.ICANON == 0 ||
			x.Cc[unix.VEOF] != 4 || x.Cc[unix.VEOL] != 1 || x.Cc[unix.VEOL2] != 2 {
			t.Errorf("%+v", x)
		}
	})
}
