package access

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/internal/filewire"
)

// finish closes the descriptor and tells what became of the transfer.
func (h *File) finish(abandoned string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return unix.EBADF
	}
	h.closed = true
	h.settle(abandoned == "")
	last, statErr := h.Stat()
	if h.kind == audit.FileWrite && h.read.bytes > 0 {
		h.files.emit(h.event(audit.FileRead, 0, h.readOutcome(abandoned, last, statErr)))
	}
	var e filewire.Event
	if h.kind == audit.FileRead {
		e = h.event(audit.FileRead, h.id, h.readOutcome(abandoned, last, statErr))
	} else {
		e = h.event(audit.FileWrite, h.id, h.writeOutcome(abandoned, last, statErr))
	}
	err := unix.Close(h.fd)
	if err != nil && h.kind == audit.FileWrite {
		e.Outcome, e.Reason = filewire.Partial, err.Error() // some file systems tell only now that a write failed
	}
	h.files.emit(e)
	return err
}

type outcome struct {
	word, reason, sum string
	bytes             int64
}

func (h *File) event(kind audit.Type, id uint64, o outcome) filewire.Event {
	return filewire.Event{
		Type: string(kind), ID: id, Path: filewire.Printable(h.path), Bytes: &o.bytes, SHA256: o.sum,
		Seconds: time.Since(h.began).Seconds(), Outcome: o.word, Reason: o.reason,
	}
}

// readOutcome calls a read complete when every byte from the start to the end passed, and the client closed the file or
// was told of its end. The sum is that of what passed or,
// where that was not in order, of the file as it stands, unchanged.
func (h *File) readOutcome(abandoned string, last unix.Stat_t, statErr error) outcome {
	s := &h.read
	o := outcome{word: filewire.Partial, reason: h.reason, bytes: s.bytes}
	switch {
	case statErr != nil:
		o.reason = statErr.Error()
	case o.reason != "":
	case s.failed:
		o.reason = "a read failed"
	case !h.wasRead(last):
		o.reason = "not read to the end"
		if abandoned != "" {
			o.reason = abandoned
		}
	case abandoned != "" && !h.end: // what was read last need not have arrived
		o.reason = abandoned
	case h.kind == audit.FileRead && changed(h.first, last) || !s.broken && s.next < last.Size:
		o.reason = "changed while it was read"
		if !s.broken {
			o.sum = s.hex()
		}
	case s.broken:
		o.word = filewire.Complete
		o.sum, o.reason = h.sumAgain(last.Size, "not read")
		if again, err := h.Stat(); err != nil || changed(last, again) {
			o = outcome{word: filewire.Partial, reason: "changed while it was read", bytes: s.bytes}
		}
	default:
		o.word, o.sum = filewire.Complete, s.hex()
	}
	return o
}

func changed(was, is unix.Stat_t) bool { return was.Size != is.Size || was.Mtim != is.Mtim }

// wasRead tells that every byte was read. The kernel's own files say that they have none: their end must have been seen.
func (h *File) wasRead(last unix.Stat_t) bool {
	s := &h.read
	switch {
	case last.Size == 0 && s.bytes == 0 && !h.end:
		n, err := pread(h.fd, make([]byte, 1), 0)
		return n == 0 && err == nil
	case last.Size == 0 && !h.end:
		return false
	case s.broken:
		return h.seen.cover(last.Size)
	}
	return h.end || s.next >= last.Size
}

// writeOutcome calls a write complete when the client closed it and no write failed. The sum is that of the file as it
// stands.
func (h *File) writeOutcome(abandoned string, last unix.Stat_t, statErr error) outcome {
	s := &h.written
	o := outcome{word: filewire.Partial, reason: h.reason, bytes: s.bytes}
	switch {
	case statErr != nil:
		o.reason = statErr.Error()
	case o.reason != "":
	case s.failed:
		o.reason = "a write failed"
	case abandoned != "":
		o.reason = abandoned
	case h.expect >= 0 && s.next != h.expect:
		o.reason = "shorter than announced"
	default:
		o.word = filewire.Complete
		o.sum, o.reason = h.writtenSum(last)
	}
	return o
}

func (h *File) writtenSum(last unix.Stat_t) (sum, reason string) {
	if !h.written.broken && h.written.next == last.Size {
		return h.written.hex(), ""
	}
	if !h.reread && !h.mode.Read {
		return "", "no sum: not written from start to end, and not readable"
	}
	return h.sumAgain(last.Size, "not written")
}

// sumAgain reads a file to sum it up, unless it is too large for that.
func (h *File) sumAgain(size int64, what string) (sum, reason string) {
	if size > maxReread {
		return "", "no sum: " + what + " from start to end, and too large to be read again"
	}
	all := sha256.New()
	buf := make([]byte, 256<<10)
	for off := int64(0); ; {
		n, err := pread(h.fd, buf, off)
		if err != nil {
			return "", "no sum: " + err.Error()
		}
		if n == 0 {
			return hex.EncodeToString(all.Sum(nil)), ""
		}
		if off += int64(n); off > maxReread {
			return "", "no sum: it grew too large to be read again"
		}
		all.Write(buf[:n])
	}
}

// futimens is utimensat(2) on the descriptor itself.
func futimens(fd int, atime, mtime unix.Timespec) error {
	times := [2]unix.Timespec{atime, mtime}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
