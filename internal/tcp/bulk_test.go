package tcp_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/podbastion/podbastion/internal/tcp"
)

// What is written comes out in order, whatever the sizes on both sides, at once or not.
func TestBulkKeepsOrder(t *testing.T) {
	near, far := pair(t)
	random := rand.New(rand.NewPCG(5, 6)) // #nosec G404 -- a test's
	want := make([]byte, 8<<20)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	w := tcp.NewBulk(near)
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN([]int{50, 5_000, 200_000}[random.IntN(3)]))
			write := func() error {
				for p := rest[:n]; len(p) > 0; { // TLS writes a record at a time
					k := min(len(p), 16<<10)
					if _, err := w.Write(p[:k]); err != nil {
						return err
					}
					p = p[k:]
				}
				return nil
			}
			var err error
			if random.IntN(2) == 0 {
				err = w.Whole(write)
			} else {
				err = write()
			}
			if err != nil {
				t.Error(err)
				break
			}
			rest = rest[n:]
		}
		_ = near.CloseWrite()
	}()
	r := tcp.NewBulk(far)
	sizes := rand.New(rand.NewPCG(7, 8)) // #nosec G404 -- a test's
	var got bytes.Buffer
	for buf := make([]byte, 100_000); ; {
		n, err := r.Read(buf[:1+sizes.IntN([]int{5, 600, 100_000}[sizes.IntN(3)])])
		got.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d of %d bytes came out, or others", got.Len(), len(want))
	}
}

// counted counts writes.
type counted struct {
	net.Conn
	writes int
}

func (c *counted) Write(p []byte) (int, error) { c.writes++; return c.Conn.Write(p) }

func TestWholeIsOneWrite(t *testing.T) {
	near, far := pair(t)
	c := &counted{Conn: near}
	w := tcp.NewBulk(c)
	wrong := errors.New("wrong")
	err := w.Whole(func() error {
		for range 4 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return err
			}
		}
		return wrong
	})
	if !errors.Is(err, wrong) || c.writes != 1 {
		t.Errorf("%d writes, %v", c.writes, err)
	}
	if _, err := io.ReadFull(far, make([]byte, 4000)); err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("x")); err != nil || c.writes != 2 {
		t.Errorf("%d writes, %v", c.writes, err)
	}
}
