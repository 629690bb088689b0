package agent

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

const (
	controlBit = 0x80 // in a frame's first byte
	resetFrame = 3    // the fourth byte of a control frame
	finFlag    = 1    // in the fifth byte of a data frame
)

// parts lends buffers for what passes along lanes.
var parts = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// lane carries what comes on one stream and what goes on others past the library, which hands every frame over between
// four goroutines: where a client waits for each answer, that is much of what a request costs. How streams are opened,
// end and are reset stays the library's, and all data of other streams.
//
// What comes is written on by whoever reads the connection: while it is not taken, nothing else is read.
type lane struct {
	http.ResponseWriter
	conn *frameWriter
	in   *bufio.Reader
	rest int    // bytes of the frame at hand that are the library's
	head []byte // what the library reads before

	settle  sync.Once
	settled chan struct{} // closed when the two below are set, or nobody will take what comes
	stream  uint32
	sink    io.Writer

	end   sync.Once
	ended chan struct{} // closed when no more comes, or nobody takes it
	taken atomic.Int64
}

func newLane(w http.ResponseWriter) *lane {
	return &lane{ResponseWriter: w, settled: make(chan struct{}), ended: make(chan struct{})}
}

// Hijack implements http.Hijacker.
func (l *lane) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(l.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	l.conn, l.in = newFrameWriter(conn), buf.Reader
	return l.conn, bufio.NewReadWriter(bufio.NewReader(l), buf.Writer), nil
}

// Read gives the library what is its own. One goroutine calls it.
func (l *lane) Read(p []byte) (int, error) {
	for l.rest == 0 && len(l.head) == 0 {
		if err := l.next(); err != nil {
			l.finish()
			return 0, err
		}
	}
	if len(l.head) > 0 {
		n := copy(p, l.head)
		l.head = l.head[n:]
		return n, nil
	}
	n, err := l.in.Read(p[:min(len(p), l.rest)])
	l.rest -= n
	if err != nil {
		l.finish()
	}
	return n, err
}

// next looks at a frame's head, and writes the frame on if it is the stream's data.
func (l *lane) next() error {
	head, err := l.in.Peek(frameHead)
	if err != nil {
		return err
	}
	l.rest = frameHead + dataSize(head)
	id := binary.BigEndian.Uint32(head)
	if head[0]&controlBit != 0 {
		if head[3] != resetFrame || l.rest < frameHead+4 {
			return nil
		}
		if head, err = l.in.Peek(frameHead + 4); err == nil && l.is(binary.BigEndian.Uint32(head[frameHead:])) {
			l.finish()
		}
		return err
	}
	if !l.is(id) {
		return nil
	}
	left, fin := l.rest-frameHead, head[4]&finFlag
	l.rest = 0
	if fin != 0 {
		l.head = append(head[:4:4], fin, 0, 0, 0)
	}
	_, _ = l.in.Discard(frameHead) // it was peeked at
	if err := l.take(left); err != nil {
		return err
	}
	if fin != 0 {
		l.finish()
	}
	return nil
}

// is waits until it is known which stream is carried: all are opened before there is data on any.
func (l *lane) is(id uint32) bool {
	<-l.settled
	return l.sink != nil && id == l.stream
}

// take writes so many bytes on. What nobody takes is thrown away.
func (l *lane) take(left int) error {
	b := parts.Get().(*[]byte)
	defer parts.Put(b)
	for left > 0 {
		p := (*b)[:min(left, len(*b))]
		if _, err := io.ReadFull(l.in, p); err != nil {
			return err
		}
		left -= len(p)
		select {
		case <-l.ended:
		default:
			n, err := l.sink.Write(p)
			l.taken.Add(int64(n))
			if err != nil {
				l.finish()
			}
		}
	}
	return nil
}

func (l *lane) finish() {
	l.end.Do(func() { close(l.ended) })
}

// close has nothing taken any more.
func (l *lane) close() {
	l.settle.Do(func() { close(l.settled) })
	l.finish()
}

// identified is a stream of the library.
type identified interface{ Identifier() uint32 }

// from is what comes on a stream. One stream alone can be asked for.
func (l *lane) from(stream identified, count func(int)) io.WriterTo {
	return laneInput{l, stream.Identifier(), count}
}

type laneInput struct {
	lane   *lane
	stream uint32
	count  func(int)
}

// WriteTo implements io.WriterTo. It returns when no more comes, or w takes no more.
func (i laneInput) WriteTo(w io.Writer) (int64, error) {
	l := i.lane
	l.settle.Do(func() {
		l.stream, l.sink = i.stream, counter{w, i.count}
		close(l.settled)
	})
	<-l.ended
	return l.taken.Load(), nil
}

// to sends on a stream.
func (l *lane) to(stream identified) io.Writer { return laneOutput{l.conn, stream.Identifier()} }

type laneOutput struct {
	conn   *frameWriter
	stream uint32
}

func (o laneOutput) Write(p []byte) (int, error) {
	if err := o.conn.writeData(o.stream, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
