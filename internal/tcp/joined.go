package tcp

import (
	"net"
	"sync"
	"time"
)

const (
	pieceSize = 4 << 10          // of bufio's buffer
	pieceTime = time.Millisecond // what follows a piece follows at once
)

// Joined is a connection for who writes through a buffer of 4 KiB, as the SSH library does: of all that is longer, what
// fills the buffer would be sent by itself, a system call and a wake-up of the peer. Such a piece waits for what is
// written next, but not for long: what is just as long as the buffer looks the same.
type Joined struct {
	net.Conn

	mu    sync.Mutex // guards all below, and held while writing
	block *[]byte    // borrowed while a piece waits in it
	timer *time.Timer
	err   error // of a piece that went alone
}

// NewJoined wraps a connection.
func NewJoined(c net.Conn) *Joined { return &Joined{Conn: c} }

// Write implements net.Conn. That a piece cannot be sent the next write tells.
func (j *Joined) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.err != nil:
		return 0, j.err
	case j.block == nil && len(p) != pieceSize:
		return j.Conn.Write(p)
	case j.block == nil:
		j.block = blocks.Get().(*[]byte)
		copy(*j.block, p)
		if j.timer == nil {
			j.timer = time.AfterFunc(pieceTime, j.late)
		} else {
			j.timer.Reset(pieceTime)
		}
		return len(p), nil
	}
	j.timer.Stop()
	if len(p) > bulkSize-pieceSize {
		if err := j.send(pieceSize); err != nil {
			return 0, err
		}
		return j.Conn.Write(p)
	}
	if err := j.send(pieceSize + copy((*j.block)[pieceSize:], p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// late sends a piece that nothing followed.
func (j *Joined) late() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.block != nil {
		_ = j.send(pieceSize) // the next write tells
	}
}

// send sends so much of the block and gives it back.
func (j *Joined) send(n int) error {
	_, j.err = j.Conn.Write((*j.block)[:n])
	blocks.Put(j.block)
	j.block = nil
	return j.err
}

// Close implements net.Conn. A piece that waits goes before, unless somebody is writing.
func (j *Joined) Close() error {
	if j.mu.TryLock() {
		defer j.mu.Unlock()
		if j.block != nil {
			_ = j.SetWriteDeadline(time.Now().Add(pieceTime)) // it is being closed
			_ = j.send(pieceSize)
		}
	}
	return j.Conn.Close()
}
