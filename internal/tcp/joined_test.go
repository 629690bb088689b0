package tcp_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/podbastion/podbastion/internal/tcp"
)

// What goes through a buffer of 4 KiB is one write, and all arrives in order, also what is as long as the buffer.
func TestJoined(t *testing.T) {
	near, far := pair(t)
	c := &counted{Conn: near}
	w := bufio.NewWriter(tcp.NewJoined(c))
	random := rand.New(rand.NewPCG(9, 10)) // #nosec G404 -- a test's
	for _, size := range []int{1, 4095, 4096, 4097, 8192, 8193, 32 << 10, 60 << 10, 4096, 4096, 61 << 10, 200_000} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		c.writes = 0
		for _, part := range [][]byte{want[:min(4, size)], want[min(4, size):]} { // as the library writes packets
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: others arrive, %v", size, err)
		}
		if most := 1 + size/(62<<10); c.writes > most {
			t.Errorf("%d bytes: %d writes", size, c.writes)
		}
	}
}

// A piece that nothing follows goes before the connection is closed; what is written after is refused.
func TestJoinedCloses(t *testing.T) {
	near, far := pair(t)
	w := tcp.NewJoined(near)
	piece := bytes.Repeat([]byte("x"), 4096)
	if n, err := w.Write(piece); n != len(piece) || err != nil {
		t.Fatal(n, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, piece) {
		t.Errorf("%d bytes arrive, %v", len(got), err)
	}
	if _, err := w.Write([]byte("y")); err == nil {
		t.Error("a closed connection takes more")
	}
}

// That a piece could not be sent is told by the next write.
func TestJoinedTells(t *testing.T) {
	near, _ := pair(t)
	w := tcp.NewJoined(near)
	_ = near.Close()
	if _, err := w.Write(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("y")); err == nil {
		t.Error("it is not told")
	}
	if _, err := w.Write([]byte("y")); err == nil {
		t.Error("it is forgotten")
	}
}
