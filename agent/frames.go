package agent

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
)

const (
	frameHead = 8       // of every SPDY/3.1 frame; its last three bytes are the length of the rest
	keepFrame = 4 << 10 // what a quiet connection may hold on to
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

// frameWriter collects what is written until it is a frame. Writes are one at a time, as the library's are.
type frameWriter struct {
	net.Conn
	whole func(write func() error) error // has all that write writes sent at once
	frame []byte
}

func (f *frameWriter) Write(p []byte) (int, error) {
	f.frame = append(f.frame, p...)
	for len(f.frame) >= frameHead {
		size := frameHead + (int(f.frame[5])<<16 | int(f.frame[6])<<8 | int(f.frame[7]))
		if len(f.frame) < size {
			break
		}
		if err := f.whole(func() error { _, err := f.Conn.Write(f.frame[:size]); return err }); err != nil {
			return 0, err
		}
		f.frame = append(f.frame[:0], f.frame[size:]...)
		if len(f.frame) == 0 && cap(f.frame) > keepFrame && size < keepFrame {
			f.frame = nil
		}
	}
	return len(p), nil
}
