// Package spdy is the client's half of SPDY/3.1 as far as Kubernetes' remotecommand and port-forward use it: streams
// that the client opens, half-close, reset. It knows neither protocol above it, nor TLS below.
//
// The library that client-go uses holds a compressor of 0.8 MiB for each connection, a dozen goroutines, and reads a
// lost connection as the end of the output. Here headers are sent in stored (uncompressed) blocks, one goroutine
// reads, memory is what waits to be read (at most 64 KiB a stream), and FIN, reset and loss are told apart.
//
// Format: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/. The peers that this talks to send no
// WINDOW_UPDATE and heed none, so none are sent: a stream that is not read holds back the whole connection.
package spdy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Frame types and flags of SPDY/3.1 that are met here.
const (
	control   = 0x80
	version   = 3
	synStream = 1
	rstStream = 3
	pingFrame = 6
	goAway    = 7

	flagFin = 1

	statusCancel = 5
)

// MaxWrite is how many bytes go into one frame at most, so that streams share a connection fairly.
const MaxWrite = 32 << 10

// maxControl bounds the control frames that are accepted.
const maxControl = 64 << 10

var (
	// ErrReset means that the peer gave the stream up.
	ErrReset = errors.New("spdy: stream was reset")
	// ErrEnded means that the connection ended, by the peer's word or without one, while the stream was open.
	ErrEnded = errors.New("spdy: connection ended")
)

// Conn is one connection. Streams may be used concurrently.
type Conn struct {
	rw  io.ReadWriteCloser
	in  *bufio.Reader
	end sync.Once

	sending sync.Mutex // guards all below, and writes to rw
	out     []byte     // the frame being put together
	next    uint32     // id of the next stream
	begun   bool       // the header of the compressed headers was sent

	mu      sync.Mutex // guards all below; taken after sending, never before it
	streams map[uint32]*Stream
	err     error // why the connection is over
}

// New makes a connection of a transport that the peer has agreed to speak SPDY/3.1 on. in reads from rw and may hold
// bytes already. Serve must run for anything to be received.
func New(rw io.ReadWriteCloser, in *bufio.Reader) *Conn {
	return &Conn{rw: rw, in: in, next: 1, streams: map[uint32]*Stream{}}
}

// Open opens streams with one write, each with the headers given (names in lower case). It does not wait for the
// peer's reply: both ends handle the frames of a stream in order.
func (c *Conn) Open(headers ...map[string]string) ([]*Stream, error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.out = c.out[:0]
	opened := make([]*Stream, 0, len(headers))
	for _, h := range headers {
		s := &Stream{conn: c, id: c.next}
		s.arrived.L = &c.mu
		s.room.L = &c.mu
		c.next += 2
		opened = append(opened, s)
		c.appendSyn(s.id, h)
	}
	c.mu.Lock()
	err := c.err
	if err == nil {
		for _, s := range opened {
			c.streams[s.id] = s
		}
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if _, err := c.rw.Write(c.out); err != nil {
		return nil, c.fail(fmt.Errorf("spdy: writing: %w", err))
	}
	return opened, nil
}

// appendSyn appends a SYN_STREAM frame to c.out. The header block is a zlib stream that goes on over all frames of the
// connection; of stored blocks, it needs of the dictionary only its checksum. The empty block behind is what
// Z_SYNC_FLUSH would write, and lets the peer's decompressor hand out what it has.
func (c *Conn) appendSyn(id uint32, headers map[string]string) {
	block := binary.BigEndian.AppendUint32(nil, uint32(len(headers))) // #nosec G115 -- a handful
	for name, value := range headers {
		for _, text := range []string{name, value} {
			block = binary.BigEndian.AppendUint32(block, uint32(len(text))) // #nosec G115 -- a few bytes
			block = append(block, text...)
		}
	}
	var packed []byte
	if !c.begun {
		c.begun = true
		packed = append(packed, 0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2) // zlib header with dictionary, its Adler-32
	}
	size := uint16(len(block)) // #nosec G115 -- a few dozen bytes
	packed = append(packed, 0, byte(size), byte(size>>8), byte(^size), byte(^size>>8))
	packed = append(packed, block...)
	packed = append(packed, 0, 0, 0, 0xff, 0xff)
	c.appendControl(synStream, 10+len(packed))
	c.out = binary.BigEndian.AppendUint32(c.out, id)
	c.out = append(c.out, 0, 0, 0, 0, 0, 0) // no associated stream, priority 0, slot 0
	c.out = append(c.out, packed...)
}

func (c *Conn) appendControl(kind byte, length int) {
	c.out = append(c.out, control, version, 0, kind, 0, byte(length>>16), byte(length>>8), byte(length))
}

// write sends a data frame. One call of the transport's Write a frame: with TLS each is a record.
func (c *Conn) write(id uint32, data []byte, fin bool) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return err
	}
	flags := byte(0)
	if fin {
		flags = flagFin
	}
	n := len(data)
	c.out = binary.BigEndian.AppendUint32(c.out[:0], id)
	c.out = append(c.out, flags, byte(n>>16), byte(n>>8), byte(n))
	c.out = append(c.out, data...)
	_, err = c.rw.Write(c.out)
	if cap(c.out) > 4<<10 && n < 1<<10 {
		c.out = nil // typing goes on behind a paste: do not hold on to its buffer
	}
	if err != nil {
		return c.fail(fmt.Errorf("spdy: writing: %w", err))
	}
	return nil
}

func (c *Conn) sendControl(kind byte, words ...uint32) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.out = c.out[:0]
	c.appendControl(kind, 4*len(words))
	for _, w := range words {
		c.out = binary.BigEndian.AppendUint32(c.out, w)
	}
	if _, err := c.rw.Write(c.out); err != nil {
		return c.fail(fmt.Errorf("spdy: writing: %w", err))
	}
	return nil
}

// fail ends the connection for the first reason, and returns that.
func (c *Conn) fail(err error) error {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	err = c.err
	for _, s := range c.streams {
		s.arrived.Broadcast()
		s.room.Broadcast()
	}
	c.mu.Unlock()
	c.end.Do(func() { _ = c.rw.Close() })
	return err
}

// Close ends the connection. What was received can still be read.
func (c *Conn) Close() { _ = c.fail(io.ErrClosedPipe) }

// Serve receives until the connection is over and returns why: ErrEnded when the peer ended it between two frames.
func (c *Conn) Serve() error {
	for {
		if err := c.receive(); err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrEnded // never io.EOF: that is what a complete stream ends with
			}
			return c.fail(err)
		}
	}
}

func (c *Conn) receive() error {
	var head [8]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return err
	}
	length := int(head[5])<<16 | int(head[6])<<8 | int(head[7])
	if head[0]&control == 0 {
		return c.receiveData(binary.BigEndian.Uint32(head[:4]), length, head[4]&flagFin != 0)
	}
	if length > maxControl {
		return fmt.Errorf("spdy: control frame of %d bytes", length)
	}
	if kind := head[3]; head[2] != 0 || kind != rstStream && kind != pingFrame && kind != goAway || length < 4 {
		_, err := c.in.Discard(length) // replies and what else has no meaning here
		return noEOF(err)
	}
	var word [4]byte
	if _, err := io.ReadFull(c.in, word[:]); err != nil {
		return noEOF(err)
	}
	if _, err := c.in.Discard(length - 4); err != nil {
		return noEOF(err)
	}
	value := binary.BigEndian.Uint32(word[:])
	switch head[3] {
	case goAway:
		return io.EOF
	case rstStream:
		c.finish(value, ErrReset)
	case pingFrame:
		if value%2 == 0 { // the peer's; ours would be odd
			return c.sendControl(pingFrame, value)
		}
	}
	return nil
}

func (c *Conn) receiveData(id uint32, length int, fin bool) error {
	c.mu.Lock()
	s := c.streams[id]
	c.mu.Unlock()
	if s != nil && length > 0 {
		s.turn()
	}
	for length > 0 {
		var free []byte
		if s != nil {
			free = s.reserve()
		}
		if free == nil { // nobody wants it
			if _, err := c.in.Discard(length); err != nil {
				return noEOF(err)
			}
			break
		}
		n, err := c.in.Read(free[:min(len(free), length)])
		s.commit(n)
		length -= n
		if err != nil {
			return noEOF(err)
		}
	}
	if fin {
		c.finish(id, io.EOF)
	}
	return nil
}

func (c *Conn) finish(id uint32, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil && s.over == nil {
		s.over = why
		s.arrived.Broadcast()
		s.room.Broadcast()
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
