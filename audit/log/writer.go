package log

import (
	"bytes"
	"fmt"
	"time"

	"github.com/podbastion/podbastion/audit"
)

// writer is the goroutine that owns the file. Everything up to size is durable and whole.
type writer struct {
	log  *Log
	file file
	size int64
	seq  uint64 // of the last line
	prev string // SHA-256 of the last line, in hexadecimal; empty in an empty log

	torn bool // bytes past size may be there and have to go before anything is written
	buf  bytes.Buffer
}

func (w *writer) run() {
	defer close(w.log.stopped)
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	for {
		select {
		case r := <-w.log.requests:
			w.settle(w.gather(r))
		case <-retry.C:
			if w.log.Err() != nil {
				w.settle(nil)
			}
		case <-w.log.closing:
			for {
				select {
				case r := <-w.log.requests:
					w.settle(w.gather(r))
				default:
					w.log.closed = w.file.Close()
					return
				}
			}
		}
	}
}

// gather takes what else waits, without waiting for more: the fsync before gave the others time to come.
func (w *writer) gather(first *request) []*request {
	batch := []*request{first}
	for len(batch) < queueLength {
		select {
		case r := <-w.log.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// settle commits a batch, in parts if it is large, and answers each request. With trouble behind it, it begins with an
// event that tells of it; with no requests that event alone is tried.
func (w *writer) settle(batch []*request) {
	w.log.mu.Lock()
	past := w.log.trouble
	w.log.mu.Unlock()
	if past != nil {
		reason := fmt.Sprintf("%d events were refused since %s: %v", past.refused, past.since.UTC().Format(time.RFC3339), past.err)
		resume := audit.Event{Type: audit.LogResume, Reason: reason}
		bound(&resume)
		batch = append([]*request{{event: resume}}, batch...)
	}
	for len(batch) > 0 {
		n, err := w.commitSome(batch)
		if err != nil {
			n = len(batch) // the rest would fare no better, and must not come before the event that tells of this
		}
		w.note(err, batch[:n])
		for _, r := range batch[:n] {
			if r.done != nil {
				r.done <- err
			}
		}
		batch = batch[n:]
	}
}

// note keeps the trouble up to date.
func (w *writer) note(err error, requests []*request) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if err == nil {
		w.log.trouble = nil
		return
	}
	if w.log.trouble == nil {
		w.log.trouble = &trouble{since: w.log.clock()}
	}
	w.log.trouble.err = err
	for _, r := range requests {
		if r.done != nil {
			w.log.trouble.refused++
		}
	}
}

// commit makes all of a small batch durable.
func (w *writer) commit(batch []*request) error {
	_, err := w.commitSome(batch)
	return err
}

// commitSome writes as much of the batch as one write may hold, with one fsync, and returns how many requests that
// were. On error none of them is in the file: what was written is cut off again, now or before the next write.
func (w *writer) commitSome(batch []*request) (n int, err error) {
	if err := w.cut(); err != nil {
		return len(batch), err
	}
	w.buf.Reset()
	seq, prev := w.seq, w.prev
	for n < len(batch) && w.buf.Len() < maxBatch-maxLine {
		e := &batch[n].event
		e.V, e.Seq, e.Time, e.Prev = 1, seq+1, w.log.clock().UTC(), prev
		sum, err := appendLine(&w.buf, e)
		if err != nil {
			return n, fmt.Errorf("audit: cannot encode an event: %w", err)
		}
		seq, prev = seq+1, sum
		n++
	}
	w.torn = true
	if _, err := w.file.Write(w.buf.Bytes()); err != nil {
		return n, w.failed("write", err)
	}
	if err := w.file.Sync(); err != nil {
		return n, w.failed("sync", err)
	}
	w.torn = false
	w.size, w.seq, w.prev = w.size+int64(w.buf.Len()), seq, prev
	return n, nil
}

func (w *writer) failed(what string, err error) error {
	err = fmt.Errorf("audit: cannot %s %s: %w", what, w.log.path, err)
	if cut := w.cut(); cut != nil {
		return fmt.Errorf("%w; %w", err, cut)
	}
	return err
}

// cut removes what a failed commit left past the durable end.
func (w *writer) cut() error {
	if !w.torn {
		return nil
	}
	if err := w.file.Truncate(w.size); err != nil {
		return fmt.Errorf("audit: cannot cut %s back to its last whole line: %w", w.log.path, err)
	}
	w.torn = false
	return nil
}
