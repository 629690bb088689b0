// Package sftp serves SFTP version 3 (draft-ietf-secsh-filexfer-02) with the extensions of OpenSSH's PROTOCOL file
// from one access.Files. Requests are served in the order in which they came, as OpenSSH's server does, so that what
// passes can be summed up in order. Memory is bounded, whatever the size of files and whatever a client sends. It knows neither policy nor file system.
package sftp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/podbastion/podbastion/agent/files/access"
)

// Limits, which the limits extension tells clients.
const (
	maxPacket  = 256 << 10
	maxData    = maxPacket - 1024
	maxHandles = 1000

	flushAt = 128 << 10 // answers are put together up to so much
)

// ErrProtocol means that the client does not speak SFTP.
var ErrProtocol = errors.New("sftp: the client does not speak SFTP")

// Serve serves until the client closes in, and returns nil then. Files that are still open are ended as abandoned. ctx
// ends what goes on for long; a Read or Write that waits is for their owner to end. Requests that only a bastion may make
// are those with the secret.
func Serve(ctx context.Context, in io.Reader, out io.Writer, files *access.Files, secret string) error {
	s := &server{
		ctx: ctx, files: files, private: private(secret), names: files.NamesOnce(), handles: map[uint64]*handle{}, left: "the session ended before the file was closed",
		in: bufio.NewReaderSize(in, 4+maxPacket), out: out, answer: make([]byte, 0, flushAt+maxPacket),
	}
	defer s.abandon()
	return s.loop()
}

// server does all in one goroutine: a client that copies small files waits for each answer, and every hand-over would
// be a part of that. What flows while it works waits in the pipes around it.
type server struct {
	ctx   context.Context
	files *access.Files
	names func() *access.Names

	private []extension

	in     *bufio.Reader
	out    io.Writer
	answer []byte // what is put together now

	handles map[uint64]*handle
	last    uint64
	begun   bool
	left    string
}

// packet returns the next one, which is valid until the next call, and nil at the end of the stream. Before it waits
// for one, it sends the answers there are.
func (s *server) packet() ([]byte, error) {
	if s.in.Buffered() < 4 {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	size, err := s.in.Peek(4)
	if err != nil {
		if errors.Is(err, io.EOF) && len(size) == 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("sftp: the stream ends within a packet: %w", err)
	}
	n := binary.BigEndian.Uint32(size)
	if n < 1 || n > maxPacket {
		return nil, fmt.Errorf("%w: a packet of %d bytes", ErrProtocol, n)
	}
	if s.in.Buffered() < 4+int(n) {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	p, err := s.in.Peek(4 + int(n))
	if err != nil {
		return nil, fmt.Errorf("sftp: the stream ends within a packet: %w", err)
	}
	return p[4:], nil
}

// loop serves one request after the other.
func (s *server) loop() error {
	for {
		p, err := s.packet()
		if p == nil || err != nil {
			return errors.Join(err, s.flush())
		}
		if cause := context.Cause(s.ctx); cause != nil {
			return cause
		}
		if err := s.serve(p); err != nil {
			return errors.Join(err, s.flush())
		}
		if _, err := s.in.Discard(4 + len(p)); err != nil {
			return err
		}
		if len(s.answer) >= flushAt {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
}

func (s *server) flush() error {
	if len(s.answer) == 0 {
		return nil
	}
	_, err := s.out.Write(s.answer)
	s.answer = s.answer[:0]
	if err != nil {
		return fmt.Errorf("sftp: %w", err)
	}
	return nil
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
	b := s.answer
	before := len(b)
	b, err := s.dispatch(kind, id, r, b)
	if err != nil {
		b = status(b[:before], id, err)
	}
	s.answer = b
	return nil
}

func (s *server) version() {
	w := builder{b: append(s.answer, 0, 0, 0, 0, typeVersion), start: len(s.answer)}
	w.u32(3)
	for _, e := range extensions() {
		w.string(e.name)
		w.string(e.version)
	}
	s.answer = w.finish()
}

func (s *server) abandon() {
	for _, h := range s.handles {
		h.abandon(s.left)
	}
}
