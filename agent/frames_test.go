package agent

import (
	"bytes"
	"net"
	"testing"
)

// pieces remembers what is written in which pieces.
type pieces struct {
	net.Conn
	list [][]byte
}

func (p *pieces) Write(b []byte) (int, error) {
	p.list = append(p.list, bytes.Clone(b))
	return len(b), nil
}

// FuzzFrameWriter: however frames are cut on their way in, they come out whole, one a write, and nothing is held back.
func FuzzFrameWriter(f *testing.F) {
	f.Add([]byte("hello"), []byte{}, byte(3))
	f.Add([]byte{}, []byte("x"), byte(8))
	f.Add(bytes.Repeat([]byte("y"), 70000), []byte("z"), byte(255))
	f.Fuzz(func(t *testing.T, first, second []byte, cut byte) {
		var want [][]byte
		var stream []byte
		for i, data := range [][]byte{first, second, nil} {
			n := len(data)
			frame := append([]byte{0, 0, 0, byte(i), 1, byte(n >> 16), byte(n >> 8), byte(n)}, data...)
			want = append(want, frame)
			stream = append(stream, frame...)
		}
		out := &pieces{}
		w := newFrameWriter(out)
		for len(stream) > 0 {
			n := min(int(cut)+1, len(stream))
			if got, err := w.Write(stream[:n]); got != n || err != nil {
				t.Fatal(got, err)
			}
			stream = stream[n:]
		}
		if len(out.list) != len(want) || len(w.frame) != 0 {
			t.Fatalf("%d writes for %d frames, %d bytes held back", len(out.list), len(want), len(w.frame))
		}
		for i := range want {
			if !bytes.Equal(out.list[i], want[i]) {
				t.Errorf("frame %d is another", i)
			}
		}
	})
}
