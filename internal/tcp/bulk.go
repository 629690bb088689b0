package tcp

import (
	"net"
	"sync"
	"syscall"
)

const (
	bulkSize = 64 << 10 // what a busy connection reads at once
	busyRead = 4 << 10  // a read of so much means that more is coming
)

// blocks lends buffers to connections that are busy; it holds nothing of any.
var blocks = sync.Pool{New: func() any { b := make([]byte, bulkSize); return &b }}

// Bulk is a connection that moves much in few system calls, and holds no buffer while little moves. TLS above it reads
// and writes records of 16 KiB, each of which would be a system call and, at a write, a wake-up of the peer.
//
// Like any connection it is read by one goroutine at a time.
type Bulk struct {
	net.Conn

	busy        bool
	block       *[]byte // borrowed while busy
	first, last int     // of what block holds and nobody has read

	mu    sync.Mutex // guards all below, and held while writing
	whole bool
	out   []byte
}

// NewBulk wraps a connection.
func NewBulk(c net.Conn) *Bulk { return &Bulk{Conn: c} }

// Read implements net.Conn.
func (b *Bulk) Read(p []byte) (int, error) {
	if b.first < b.last {
		return b.take(p), nil
	}
	if !b.busy || len(p) >= bulkSize {
		n, err := b.Conn.Read(p)
		b.busy = n >= busyRead
		return n, err
	}
	if b.block == nil {
		b.block = blocks.Get().(*[]byte)
	}
	n, err := b.Conn.Read(*b.block)
	b.first, b.last, b.busy = 0, n, n >= busyRead
	return b.take(p), err
}

// take hands out what was read ahead, and gives the buffer back when there is no more and little came.
func (b *Bulk) take(p []byte) int {
	n := copy(p, (*b.block)[b.first:b.last])
	b.first += n
	if b.first == b.last && !b.busy {
		blocks.Put(b.block)
		b.block = nil
	}
	return n
}

// Write implements net.Conn.
func (b *Bulk) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole {
		return b.Conn.Write(p)
	}
	b.out = append(b.out, p...)
	return len(p), nil
}

// Whole sends all that write writes here at once.
func (b *Bulk) Whole(write func() error) error {
	b.mu.Lock()
	b.whole = true
	b.mu.Unlock()
	err := write()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.whole = false
	out := b.out
	b.out = out[:0]
	if len(out) > 0 {
		if _, writeErr := b.Conn.Write(out); writeErr != nil {
			return writeErr
		}
	}
	if len(out) < busyRead {
		b.out = nil // a quiet connection holds nothing
	}
	return err
}

// SetLinger says what becomes of data that is not sent when the connection is closed, as of a net.TCPConn.
func (b *Bulk) SetLinger(seconds int) error {
	if c, ok := b.Conn.(*net.TCPConn); ok {
		return c.SetLinger(seconds)
	}
	return syscall.ENOTSUP
}

// SyscallConn implements syscall.Conn.
func (b *Bulk) SyscallConn() (syscall.RawConn, error) {
	if c, ok := b.Conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, syscall.ENOTSUP
}
