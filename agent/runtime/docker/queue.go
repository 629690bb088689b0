package docker

import (
	"io"
	"sync"
)

const queueSize = 64 << 10

// blocks lends queues their buffers; it holds nothing of any.
var blocks = sync.Pool{New: func() any { return new([queueSize]byte) }}

// queue hands bytes from one goroutine to another. A reader that was busy finds all that has come meanwhile: what a
// program writes in small pieces goes on in big ones. An empty queue holds no buffer.
type queue struct {
	mu          sync.Mutex // guards all below
	changed     sync.Cond
	block       *[queueSize]byte // nil while empty
	first, last int              // of what it holds
	ended       error            // what the reader gets after that; nil while open
	given       bool             // the reader has got some and not come for more yet
}

func newQueue() *queue {
	q := &queue{}
	q.changed.L = &q.mu
	return q
}

// Write implements io.Writer. It waits for room, and fails once the queue is closed.
func (q *queue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	written := 0
	for len(p) > 0 {
		if q.ended != nil {
			return written, io.ErrClosedPipe
		}
		if q.block == nil {
			q.block = blocks.Get().(*[queueSize]byte)
			q.first, q.last = 0, 0
		}
		if q.last == queueSize && q.first > 0 {
			q.last = copy(q.block[:], q.block[q.first:q.last])
			q.first = 0
		}
		n := copy(q.block[q.last:], p)
		if n == 0 {
			q.changed.Wait()
			continue
		}
		q.last += n
		written += n
		p = p[n:]
		q.changed.Broadcast()
	}
	return written, nil
}

// Read implements io.Reader. It waits for something to read.
func (q *queue) Read(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.given = false
	if q.block == nil {
		q.changed.Broadcast()
	}
	for q.block == nil {
		if q.ended != nil {
			return 0, q.ended
		}
		q.changed.Wait()
	}
	q.given = true
	n := copy(p, q.block[q.first:q.last])
	if q.first += n; q.first == q.last {
		blocks.Put(q.block)
		q.block = nil
	}
	q.changed.Broadcast()
	return n, nil
}

// settle waits until the reader has done with all there is, as its coming for more tells.
func (q *queue) settle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.ended == nil && (q.block != nil || q.given) {
		q.changed.Wait()
	}
}

// close ends the queue; the reader gets what is in it first, then err, or io.EOF. Only the first call counts.
func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended != nil {
		return
	}
	if q.ended = err; err == nil {
		q.ended = io.EOF
	}
	q.changed.Broadcast()
}
