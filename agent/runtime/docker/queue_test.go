package docker

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// All that is written comes out, in order, then how it ended.
func TestQueueKeepsOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a test's
	want := make([]byte, 4<<20)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	broken := errors.New("broken")
	q := newQueue()
	go func() {
		sizes := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- a test's
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+sizes.IntN([]int{3, 5_000, 200_000}[sizes.IntN(3)]))
			if m, err := q.Write(rest[:n]); m != n || err != nil {
				t.Errorf("%d of %d, %v", m, n, err)
			}
			rest = rest[n:]
		}
		q.close(broken)
		q.close(nil)
	}()
	var got bytes.Buffer
	_, err := got.ReadFrom(&sized{q, random})
	if !errors.Is(err, broken) || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d of %d bytes came out, or others; %v", got.Len(), len(want), err)
	}
	if q.block != nil {
		t.Error("an empty queue holds a buffer")
	}
}

// sized reads pieces of many sizes.
type sized struct {
	r      io.Reader
	random *rand.Rand
}

func (s *sized) Read(p []byte) (int, error) {
	return s.r.Read(p[:min(len(p), 1+s.random.IntN(100_000))])
}

// What waited for the reader comes out at once.
func TestQueueGathers(t *testing.T) {
	q := newQueue()
	for range 10 {
		if _, err := q.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := q.Read(make([]byte, 64<<10)); n != 10_000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A writer does not wait for a reader that will not come.
func TestQueueClosedWhileFull(t *testing.T) {
	q := newQueue()
	wrote := make(chan error)
	go func() {
		_, err := q.Write(make([]byte, queueSize+1))
		wrote <- err
	}()
	for full := false; !full; {
		q.mu.Lock()
		full = q.last == queueSize
		q.mu.Unlock()
	}
	q.close(nil)
	if err := <-wrote; !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if got, err := io.ReadAll(q); len(got) != queueSize || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// What comes on one part goes on before what comes on the other behind it, whoever reads them.
func TestFramesKeepOrder(t *testing.T) {
	var stream bytes.Buffer
	random := rand.New(rand.NewPCG(5, 6)) // #nosec G404 -- a test's
	var want []byte
	for i := range 2000 {
		part, n := byte(1+random.IntN(2)), 1+random.IntN(300)
		stream.Write([]byte{part, 0, 0, 0, 0, 0, byte(n >> 8), byte(n)})
		stream.Write(bytes.Repeat([]byte{byte(i)}, n))
		want = append(want, bytes.Repeat([]byte{byte(i)}, n)...)
	}
	out, errOut := newQueue(), newQueue()
	var mu sync.Mutex
	var got []byte
	var readers sync.WaitGroup
	for _, q := range []*queue{out, errOut} {
		readers.Go(func() {
			p := make([]byte, 100)
			for {
				n, err := q.Read(p)
				if err != nil {
					return
				}
				runtime.Gosched() // so that the other may come first
				mu.Lock()
				got = append(got, p[:n]...)
				mu.Unlock()
			}
		})
	}
	if err := frames(bufio.NewReader(&stream), out, errOut); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	out.close(nil)
	errOut.close(nil)
	readers.Wait()
	if !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes came out, or in another order", len(got), len(want))
	}
}
