package spdy

import (
	"errors"
	"io"
	"sync"
)

const (
	minBuffer = 1 << 10
	maxBuffer = 64 << 10
)

// Stream is one stream of a connection. Read and Write may be called concurrently, each by one goroutine.
type Stream struct {
	conn *Conn
	id   uint32

	// All below are guarded by conn.mu.
	arrived sync.Cond // there is something to read
	room    sync.Cond // there is room for more
	ring    []byte    // what was received: count bytes from first on
	first   int
	count   int
	over    error // io.EOF after the peer's FIN, ErrReset after its reset
	refuse  bool  // we want no more
	closed  bool  // we sent our FIN or reset
	given   bool  // the reader has got some and not come for more yet
	other   *Stream
}

// InOrder has what comes on one of two streams read only when all that came on the other before was done with: that is
// so when its reader comes for more. Both must be read to the end. It is called before there is anything to read.
func InOrder(a, b *Stream) {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	a.other, b.other = b, a
}

// turn waits until what came on the other stream is done with. Only Serve's goroutine calls it.
func (s *Stream) turn() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	for o := s.other; o != nil && !o.refuse && s.conn.err == nil && (o.count > 0 || o.given); {
		o.room.Wait()
	}
}

// Read returns io.EOF when the peer has ended the stream, ErrReset when it gave it up, and the connection's error when
// that is lost. What was received before is read first.
func (s *Stream) Read(p []byte) (int, error) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	s.given = false
	s.room.Broadcast()
	for s.count == 0 {
		switch {
		case s.over != nil:
			return 0, s.over
		case s.refuse:
			return 0, io.ErrClosedPipe
		case s.conn.err != nil:
			return 0, s.conn.err
		}
		s.arrived.Wait()
	}
	s.given = true
	n := copy(p, s.ring[s.first:min(s.first+s.count, len(s.ring))])
	s.first = (s.first + n) % len(s.ring)
	s.count -= n
	s.room.Broadcast()
	return n, nil
}

// reserve waits for room and returns it; nil when nobody will read it. Only Serve's goroutine calls it.
func (s *Stream) reserve() []byte {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	for {
		if s.refuse || s.over != nil || s.conn.err != nil {
			return nil
		}
		if s.count < len(s.ring) {
			break
		}
		if len(s.ring) < maxBuffer {
			s.grow()
			break
		}
		s.room.Wait()
	}
	if s.count == 0 {
		s.first = 0 // here and not in Read: what is being received has its place already
	}
	start := (s.first + s.count) % len(s.ring)
	if start < s.first {
		return s.ring[start:s.first]
	}
	return s.ring[start:]
}

func (s *Stream) grow() {
	bigger := make([]byte, max(minBuffer, 4*len(s.ring)))
	n := copy(bigger, s.ring[s.first:])
	copy(bigger[n:], s.ring[:s.first])
	s.ring, s.first = bigger, 0
}

func (s *Stream) commit(n int) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.refuse {
		return
	}
	s.count += n
	s.arrived.Signal()
}

// Write sends all of p.
func (s *Stream) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		if err := s.writable(); err != nil {
			return sent, err
		}
		n := min(len(p), MaxWrite)
		if err := s.conn.write(s.id, p[:n], false); err != nil {
			return sent, err
		}
		sent += n
		p = p[n:]
	}
	return sent, nil
}

func (s *Stream) writable() error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	switch {
	case s.closed:
		return io.ErrClosedPipe
	case errors.Is(s.over, ErrReset):
		return ErrReset
	}
	return s.conn.err
}

// CloseWrite ends our direction; the peer's goes on.
func (s *Stream) CloseWrite() error {
	s.conn.mu.Lock()
	was, err := s.closed, s.conn.err
	s.closed = true
	reset := errors.Is(s.over, ErrReset)
	s.conn.mu.Unlock()
	if was || reset {
		return nil
	}
	if err != nil {
		return err
	}
	return s.conn.write(s.id, nil, true)
}

// Discard has all that is still received thrown away, so that it holds nothing back.
func (s *Stream) Discard() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.refuse = true
	s.ring, s.first, s.count = nil, 0, 0
	s.arrived.Broadcast()
	s.room.Broadcast()
}

// Reset gives both directions up.
func (s *Stream) Reset() error {
	s.Discard()
	s.conn.mu.Lock()
	done, err := s.closed && s.over != nil || errors.Is(s.over, ErrReset), s.conn.err
	s.closed = true
	if s.over == nil {
		s.over = ErrReset
	}
	s.conn.mu.Unlock()
	if done || err != nil {
		return err
	}
	return s.conn.sendControl(rstStream, s.id, statusCancel)
}
