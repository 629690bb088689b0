package agent

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

// streamID is a stream.
type streamID uint32

func (s streamID) Identifier() uint32 { return uint32(s) }

// dataFrame and controlFrame are frames of SPDY/3.1.
func dataFrame(stream uint32, flags byte, data []byte) []byte {
	n := len(data)
	return append(append(binary.BigEndian.AppendUint32(nil, stream), flags, byte(n>>16), byte(n>>8), byte(n)), data...)
}

func controlFrame(kind byte, data []byte) []byte {
	n := len(data)
	return append([]byte{0x80, 3, 0, kind, 0, byte(n >> 16), byte(n >> 8), byte(n)}, data...)
}

// laned has what a peer sends pass a lane for stream 3, and returns what the library reads and what the stream's taker
// got. It waits until the taker is told of the end.
func laned(t *testing.T, sent io.Reader, take io.Writer) []byte {
	t.Helper()
	l := newLane(nil)
	l.in = bufio.NewReader(sent)
	input, ended := l.from(streamID(3), func(int) {}), make(chan struct{})
	go func() { defer close(ended); _, _ = input.WriteTo(take) }()
	library, err := io.ReadAll(bufio.NewReader(l))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the end is not told")
	}
	return library
}

// FuzzLane: the stream's data is taken, all of it and in order, and the library reads all else, and of the stream how it
// ends.
func FuzzLane(f *testing.F) {
	f.Add([]byte("hello"), []byte("other"), []byte{}, false)
	f.Add(bytes.Repeat([]byte("y"), 100_000), []byte{}, []byte("last"), true)
	f.Add([]byte{}, bytes.Repeat([]byte("z"), 5_000), []byte{}, true)
	f.Fuzz(func(t *testing.T, first, other, last []byte, slow bool) {
		var sent, library []byte
		for _, x := range []struct {
			frame []byte
			ours  bool
		}{
			{controlFrame(1, other), false}, {dataFrame(3, 0, first), true}, {dataFrame(5, 0, other), false}, {controlFrame(6, []byte{0, 0, 0, 3}), false},
			{controlFrame(3, binary.BigEndian.AppendUint32(nil, 5)), false}, {dataFrame(3, 0, other), true}, {dataFrame(5, 1, other), false},
			{dataFrame(3, 1, last), true}, {dataFrame(7, 0, first), false},
		} {
			sent = append(sent, x.frame...)
			if !x.ours {
				library = append(library, x.frame...)
			} else if x.frame[4] == 1 {
				library = append(library, dataFrame(3, 1, nil)...)
			}
		}
		var src io.Reader = bytes.NewReader(sent)
		if slow {
			src = iotest.HalfReader(iotest.DataErrReader(src))
		}
		var got bytes.Buffer
		if read := laned(t, src, &got); !bytes.Equal(read, library) {
			t.Errorf("the library reads %d bytes, want %d", len(read), len(library))
		}
		if want := append(append(bytes.Clone(first), other...), last...); !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes are taken, want %d", got.Len(), len(want))
		}
	})
}

// refusing takes no more after so many bytes.
type refusing struct{ left int }

func (r *refusing) Write(p []byte) (int, error) {
	if r.left -= len(p); r.left < 0 {
		return 0, errors.New("no more")
	}
	return len(p), nil
}

// Whatever ends a lane's stream, its taker is told, and the library goes on.
func TestLaneEnds(t *testing.T) {
	data, ping := dataFrame(3, 0, []byte("0123456789")), controlFrame(6, []byte{0, 0, 0, 3})
	reset := controlFrame(3, []byte{0, 0, 0, 3, 0, 0, 0, 5})
	for _, x := range []struct {
		what          string
		sent, library []byte
	}{
		{"nobody takes it", bytes.Join([][]byte{data, data, data, ping}, nil), ping},
		{"a reset", bytes.Join([][]byte{data, reset, ping}, nil), append(bytes.Clone(reset), ping...)},
		{"a reset, and more", bytes.Join([][]byte{reset, data, ping}, nil), append(bytes.Clone(reset), ping...)},
		{"the connection's end", append(bytes.Clone(data), ping...), ping},
		{"the connection's end within", append(bytes.Clone(ping), data[:12]...), ping},
		{"nothing at all", nil, nil},
	} {
		if read := laned(t, bytes.NewReader(x.sent), &refusing{15}); !bytes.Equal(read, x.library) {
			t.Errorf("%s: the library reads %q, want %q", x.what, read, x.library)
		}
	}
}

// What goes by a lane stands between the library's frames, never in one.
func TestLaneSends(t *testing.T) {
	out := &pieces{}
	l := newLane(nil)
	l.conn = newFrameWriter(out)
	frame, big := dataFrame(7, 0, []byte("event")), bytes.Repeat([]byte("x"), maxData+1)
	for _, p := range [][]byte{frame[:4], frame[4:8], frame[8:]} {
		if _, err := l.to(streamID(5)).Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		if _, err := l.conn.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.to(streamID(5)).Write(big); n != len(big) || err != nil {
		t.Fatal(n, err)
	}
	answer := dataFrame(5, 0, []byte("answer"))
	want := [][]byte{answer, answer, answer, frame, dataFrame(5, 0, big[:maxData]), dataFrame(5, 0, big[:1])}
	if len(out.list) != len(want) {
		t.Fatalf("%d writes, want %d", len(out.list), len(want))
	}
	for i := range want {
		if !bytes.Equal(out.list[i], want[i]) {
			t.Errorf("write %d is %.40q", i, out.list[i])
		}
	}
}

// A reset is told at once, and not only when the connection ends.
func TestLaneReset(t *testing.T) {
	near, far := io.Pipe()
	l := newLane(nil)
	l.in = bufio.NewReader(near)
	input, ended, read := l.from(streamID(3), func(int) {}), make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); _, _ = input.WriteTo(io.Discard) }()
	go func() { defer close(read); _, _ = io.Copy(io.Discard, struct{ io.Reader }{l}) }()
	if _, err := far.Write(controlFrame(3, []byte{0, 0, 0, 3, 0, 0, 0, 5})); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the reset is not told")
	}
	_ = far.Close()
	<-read
	<-ended
}
