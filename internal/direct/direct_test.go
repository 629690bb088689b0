package direct_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/podbastion/podbastion/internal/direct"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is two ends of a connection over loopback.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	d, err := ln.Accept()
	must(t, err)
	t.Cleanup(func() { _, _ = c.Close(), d.Close() })
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// What is written comes out whole and in order, and the end is an EOF; neither side is ready all the time.
func TestMuch(t *testing.T) {
	near, far := pair(t)
	r, w, err := os.Pipe()
	must(t, err)
	qr, qw, err := direct.Pipe()
	must(t, err)
	defer qr.Close()
	for name, ends := range map[string]struct {
		from io.Reader
		to   io.Writer
		end  func() error
	}{"tcp": {direct.New(far), direct.New(near), near.CloseWrite}, "pipe": {direct.New(r), direct.New(w), w.Close}, "quiet": {qr, qw, qw.Close}} {
		t.Run(name, func(t *testing.T) {
			want := make([]byte, 2<<20)
			random := rand.NewChaCha8([32]byte{1})
			_, _ = random.Read(want)
			failed := make(chan error, 1)
			go func() {
				for rest := want; len(rest) > 0; {
					n, err := ends.to.Write(rest[:min(len(rest), 1+int(random.Uint64()%1_000_000))])
					if err != nil {
						failed <- err
						return
					}
					rest = rest[n:]
				}
				failed <- ends.end()
			}()
			got, err := io.ReadAll(ends.from)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d of %d bytes came out, or others; %v", len(got), len(want), err)
			}
			must(t, <-failed)
		})
	}
}

// Deadlines and Close of the owner end a call that waits, with the errors of package net.
func TestEnds(t *testing.T) {
	near, _ := pair(t)
	s := direct.New(near)
	must(t, near.SetDeadline(time.Now().Add(20*time.Millisecond)))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read behind its deadline: %v", err)
	}
	n, err := s.Write(make([]byte, 64<<20)) // more than the kernel takes
	if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() || n >= 64<<20 {
		t.Errorf("a write behind its deadline: %d, %v", n, err)
	}
	must(t, near.SetDeadline(time.Time{}))
	ended := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}()
	must(t, near.Close())
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read of what is closed: %v", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write of what is closed: %v", err)
	}
}

// What the kernel says is told.
func TestErrors(t *testing.T) {
	near, far := pair(t)
	must(t, far.SetLinger(0))
	must(t, far.Close())
	if _, err := direct.New(near).Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that was reset reads %v", err)
	}
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	if _, err := direct.New(w).Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a pipe that nobody reads takes %v", err)
	}
	must(t, w.Close())
}

// Nothing is allocated for a call.
func TestNothingAllocated(t *testing.T) {
	near, far := pair(t)
	s, d, p := direct.New(near), direct.New(far), make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Write(p); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(d, p); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
