// Package sftp serves SFTP version 3 (draft-ietf-secsh-filexfer-02) with the extensions of OpenSSH's PROTOCOL file
// from one access.Files. Requests are served in the order in which they came, as OpenSSH's server does, so that what
// passes can be summed up in order; reading requests, working on them and writing answers overlap. Memory is bounded,
// whatever the size of files and whatever a client sends. It knows neither policy nor file system.
package sftp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/podbastion/podbastion/agent/files/access"
)

// Limits, which the limits extension tells clients.
const (
	maxPacket  = 256 << 10
	maxData    = maxPacket - 1024
	maxHandles = 1000

	queueDepth = 16        // requests that wait, and answers that do
	flushAt    = 128 << 10 // answers are put together up to so much
)

// ErrProtocol means that the client does not speak SFTP.
var ErrProtocol = errors.New("sftp: the client does not speak SFTP")

// Serve serves until the client closes in, and returns nil then. Files that are still open are ended as abandoned.
func Serve(ctx context.Context, in io.Reader, out io.Writer, files *access.Files) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &server{ctx: ctx, files: files, names: files.NamesOnce(), handles: map[uint64]*handle{}, left: "the session ended before the file was closed"}
	s.in = make(chan *[]byte, queueDepth)
	s.out = make(chan *[]byte, queueDepth)
	done := make(chan error, 1)
	go func() { done <- s.write(out) }()
	// Ends when the client closes its side, or with the process or stream that in belongs to.
	go func() { s.readErr = s.read(in); close(s.in) }()

	err := s.loop(cancel)
	close(s.out)
	writeErr := <-done
	s.abandon()
	return errors.Join(err, writeErr)
}

type server struct {
	ctx   context.Context
	files *access.Files
	names func() *access.Names

	in, out chan *[]byte
	readErr error // set before in is closed
	failed  atomicError

	handles map[uint64]*handle
	last    uint64
	begun   bool
	left    string
	answer  *[]byte // what is put together now
}

// buffers hold a request or some answers.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, maxPacket+flushAt); return &b }}

func get() *[]byte  { b, _ := buffers.Get().(*[]byte); *b = (*b)[:0]; return b }
func put(b *[]byte) { buffers.Put(b) }

// read cuts the stream into packets.
func (s *server) read(in io.Reader) error {
	r := bufio.NewReaderSize(in, 128<<10)
	var size [4]byte
	for {
		if _, err := io.ReadFull(r, size[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("sftp: the stream ends within a packet: %w", err)
		}
		n := binary.BigEndian.Uint32(size[:])
		if n < 1 || n > maxPacket {
			return fmt.Errorf("%w: a packet of %d bytes", ErrProtocol, n)
		}
		b := get()
		*b = (*b)[:n]
		if _, err := io.ReadFull(r, *b); err != nil {
			return fmt.Errorf("sftp: the stream ends within a packet: %w", err)
		}
		select {
		case s.in <- b:
		case <-s.ctx.Done():
			return nil
		}
	}
}

// write sends answers. After an error it only takes them away.
func (s *server) write(out io.Writer) error {
	var failed error
	for b := range s.out {
		if failed == nil {
			if _, err := out.Write(*b); err != nil {
				failed = fmt.Errorf("sftp: %w", err)
				s.failed.set(failed)
			}
		}
		put(b)
	}
	return failed
}

// loop serves one request after the other.
func (s *server) loop(stop context.CancelCauseFunc) error {
	defer stop(nil) // the reader does not wait for a place in the queue
	s.answer = get()
	for {
		var p *[]byte
		select {
		case p = <-s.in:
		default: // nothing waits: send what there is, then wait
			s.flush()
			select {
			case p = <-s.in:
			case <-s.ctx.Done():
				return context.Cause(s.ctx)
			}
		}
		if p == nil {
			s.flush()
			return s.readErr
		}
		err := s.serve(*p)
		put(p)
		if err != nil {
			s.flush()
			return err
		}
		if s.failed.get() {
			return nil // write tells
		}
		if len(*s.answer) >= flushAt {
			s.flush()
		}
	}
}

func (s *server) flush() {
	if len(*s.answer) == 0 {
		return
	}
	s.out <- s.answer
	s.answer = get()
}

// serve answers one packet. An error ends the session.
func (s *server) serve(p []byte) error {
	r := &reader{b: p}
	kind := r.u8()
	if !s.begun {
		if kind != typeInit {
			return fmt.Errorf("%w: its first packet has type %d", ErrProtocol, kind)
		}
		s.begun = true
		s.version()
		return nil
	}
	id := r.u32()
	if r.err != nil {
		return fmt.Errorf("%w: a packet without an id", ErrProtocol)
	}
	b := *s.answer
	before := len(b)
	b, err := s.dispatch(kind, id, r, b)
	if err != nil {
		b = status(b[:before], id, err)
	}
	*s.answer = b
	return nil
}

func (s *server) version() {
	w := builder{b: append(*s.answer, 0, 0, 0, 0, typeVersion), start: len(*s.answer)}
	w.u32(3)
	for _, e := range extensions() {
		w.string(e.name)
		w.string(e.version)
	}
	*s.answer = w.finish()
}

func (s *server) abandon() {
	for _, h := range s.handles {
		h.abandon(s.left)
	}
}

// atomicError tells the loop that answers cannot be sent any more.
type atomicError struct {
	mu  sync.Mutex
	err error
}

func (a *atomicError) set(err error) { a.mu.Lock(); a.err = err; a.mu.Unlock() }
func (a *atomicError) get() bool     { a.mu.Lock(); defer a.mu.Unlock(); return a.err != nil }
