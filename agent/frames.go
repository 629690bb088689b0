package agent

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
)

const (
	frameHead = 8         // of every SPDY/3.1 frame; its last three bytes are the length of the rest
	keepFrame = 4 << 10   // what a quiet connection may hold on to
	maxData   = 256 << 10 // of a frame that we make
)

// wholeFrames has what is hijacked from w write every SPDY frame at once. The library writes a frame's head in two
// pieces before its data, and with TLS each piece is a record, a system call and a wake-up of the peer.
type wholeFrames struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (w wholeFrames) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return newFrameWriter(conn), buf, nil
}

func newFrameWriter(conn net.Conn) *frameWriter {
	f := &frameWriter{Conn: conn, whole: func(write func() error) error { return write() }}
	if t, ok := conn.(*tls.Conn); ok {
		if c, ok := t.NetConn().(*watched); ok {
			f.whole = c.bulk.Whole
		}
	}
	return f
}

// frameWriter collects what the library writes until it is a frame: it writes one at a time. Frames of a lane go between
// them.
type frameWriter struct {
	net.Conn
	whole func(write func() error) error // has all that write writes sent at once
	frame []byte                         // the library's

	mu   sync.Mutex // guards data, and held while a frame is sent
	data []byte
}

func (f *frameWriter) Write(p []byte) (int, error) {
	f.frame = append(f.frame, p...)
	for len(f.frame) >= frameHead {
		size := frameHead + dataSize(f.frame)
		if len(f.frame) < size {
			break
		}
		f.mu.Lock()
		err := f.send(f.frame[:size])
		f.mu.Unlock()
		if err != nil {
			return 0, err
		}
		f.frame = quiet(append(f.frame[:0], f.frame[size:]...), size)
	}
	return len(p), nil
}

// dataSize is how long a frame is behind its head.
func dataSize(head []byte) int { return int(head[5])<<16 | int(head[6])<<8 | int(head[7]) }

// quiet lets go of a buffer when it is empty again and little was sent.
func quiet(b []byte, sent int) []byte {
	if len(b) == 0 && cap(b) > keepFrame && sent < keepFrame {
		return nil
	}
	return b
}

func (f *frameWriter) send(frame []byte) error {
	return f.whole(func() error { _, err := f.Conn.Write(frame); return err })
}

// writeData sends p on a stream.
func (f *frameWriter) writeData(stream uint32, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(p) > 0 {
		n := min(len(p), maxData)
		f.data = binary.BigEndian.AppendUint32(f.data[:0], stream)
		f.data = append(f.data, 0, byte(n>>16), byte(n>>8), byte(n))
		f.data = append(f.data, p[:n]...)
		if err := f.send(f.data); err != nil {
			return err
		}
		f.data = quiet(f.data[:0], n)
		p = p[n:]
	}
	return nil
}
