package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/internal/filewire"
)

// maxReread bounds what is read again at the end, to sum up a file that did not pass from its start to its end.
const maxReread = 64 << 20

// Mode is how a file is opened.
type Mode struct {
	Read, Write, Append, Create, Truncate, Exclusive bool
	Perm                                             uint32 // of a file that is created
}

// makes tells that the file, or what is in it, will not be as it was.
func (m Mode) makes() bool { return m.Write || m.Create || m.Truncate }

func (m Mode) flags() int {
	flags := 0
	switch {
	case m.Read && m.Write, m.Truncate && !m.Write:
		flags = unix.O_RDWR
	case m.Write:
		flags = unix.O_WRONLY
	}
	for _, f := range []struct {
		on  bool
		bit int
	}{{m.Append, unix.O_APPEND}, {m.Create, unix.O_CREAT}, {m.Truncate, unix.O_TRUNC}, {m.Exclusive, unix.O_EXCL}} {
		if f.on {
			flags |= f.bit
		}
	}
	return flags
}

// stream sums up bytes that pass in order.
type stream struct {
	sum    hash.Hash
	next   int64 // so many bytes from the file's start are in sum
	bytes  int64
	broken bool // a byte passed out of order
	failed bool
}

func (s *stream) pass(p []byte, off int64) {
	s.bytes += int64(len(p))
	if s.broken || off != s.next {
		s.broken = true
		return
	}
	if s.sum == nil {
		s.sum = sha256.New()
	}
	s.sum.Write(p)
	s.next += int64(len(p))
}

func (s *stream) hex() string {
	if s.sum == nil {
		s.sum = sha256.New()
	}
	return hex.EncodeToString(s.sum.Sum(nil))
}

// File is an open regular file.
type File struct {
	files *Files
	fd    int
	path  string
	mode  Mode
	kind  audit.Type
	id    uint64
	began time.Time
	first unix.Stat_t // as it was opened
	most  int64       // bytes that it may have when written; negative for any

	mostRead int64
	reread   bool // the descriptor can read, though the client did not ask for it

	mu            sync.Mutex // guards all below
	read, written stream
	seen          spans  // what was read, once it was not read in order
	end           bool   // the end was read
	ahead         []byte // the whole of it, sent before it was asked for; nil once it is known how much of that was wanted
	expect        int64
	reason        string
	closed        bool
}

// Open opens a regular file under the rules for what m says.
func (f *Files) Open(p string, m Mode) (*File, error) {
	follow := !m.Exclusive || !m.Create
	for try := range maxRetries {
		// Most places are no links: the first time nobody looks, as opening one fails. What it leads to may be permitted
		// where the link itself is not.
		unseen := follow && try == 0
		pl, err := f.locate(p, follow && !unseen)
		if err != nil {
			return nil, err
		}
		if unseen && !f.permitted(pl.Path, m) {
			pl.Close()
			continue
		}
		file, err := f.openOrMake(pl, m)
		pl.Close()
		if !errors.Is(err, unix.ELOOP) || !follow {
			return file, err
		}
	}
	return nil, unix.ELOOP
}

func (f *Files) permitted(p string, m Mode) bool {
	return (!m.makes() || f.upload.permit(p)) && (m.Write && !m.Read || f.download.permit(p))
}

// openOrMake only reads where a client that means to read would also have the file made, and it is there.
func (f *Files) openOrMake(pl *tree.Place, m Mode) (*File, error) {
	if m.Create && !m.Write && !m.Truncate && !m.Exclusive {
		read := m
		read.Create = false
		if file, err := f.open(pl, read); !errors.Is(err, unix.ENOENT) {
			return file, err
		}
	}
	return f.open(pl, m)
}

func (f *Files) open(pl *tree.Place, m Mode) (*File, error) {
	h := &File{files: f, path: pl.Path, mode: m, kind: audit.FileRead, began: time.Now(), most: -1, mostRead: -1, expect: -1}
	if m.makes() {
		var ok bool
		h.kind = audit.FileWrite
		if h.most, ok = f.upload.match(pl.Path); !ok {
			return nil, f.deny(audit.FileWrite, "write", pl.Path, "")
		}
	}
	if m.Read || !m.Write {
		var ok bool
		if h.mostRead, ok = f.download.match(pl.Path); !ok {
			return nil, f.deny(audit.FileRead, "read", pl.Path, "")
		}
	}
	flags := m.flags()
	var err error
	if m.Write && !m.Read { // readable too where the kernel lets, to be able to sum up at the end
		h.fd, h.first, err = pl.OpenFile(flags&^unix.O_WRONLY|unix.O_RDWR, m.Perm&0o7777)
		h.reread = err == nil
	}
	if !h.reread && (err == nil || errors.Is(err, unix.EACCES)) {
		h.fd, h.first, err = pl.OpenFile(flags, m.Perm&0o7777)
	}
	if err != nil {
		return nil, h.notOpened(err)
	}
	if h.mostRead >= 0 && h.first.Size > h.mostRead {
		_ = unix.Close(h.fd)
		return nil, h.tooLarge(audit.FileRead, h.mostRead)
	}
	h.announce()
	return h, nil
}

// notOpened remembers that the kernel refused, and passes its error on. That something is not there is no refusal.
func (h *File) notOpened(err error) error {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EEXIST) {
		return err
	}
	return h.files.done(h.kind, h.began, h.path, "", err)
}

func (h *File) announce() {
	h.id = h.files.id.Add(1)
	h.files.emit(filewire.Event{Type: filewire.Open, ID: h.id, Kind: string(h.kind), Path: filewire.Printable(h.path)})
}

func (h *File) tooLarge(kind audit.Type, most int64) error {
	reason := fmt.Sprintf("larger than the %d bytes that the role permits there", most)
	h.files.emit(filewire.Event{Type: string(kind), Path: filewire.Printable(h.path), Outcome: filewire.Denied, Reason: reason})
	h.files.Notice(quote(h.path) + ": " + reason)
	return ErrTooLarge
}

// Path is where the file was opened, links resolved.
func (h *File) Path() string { return h.path }

// Same tells that both are one file, under whichever name.
func (h *File) Same(other *File) bool {
	return h.first.Dev == other.first.Dev && h.first.Ino == other.first.Ino
}

// Stat tells of the open file.
func (h *File) Stat() (unix.Stat_t, error) {
	var st unix.Stat_t
	return st, unix.Fstat(h.fd, &st)
}

// Statfs tells of its file system.
func (h *File) Statfs() (unix.Statfs_t, error) {
	var st unix.Statfs_t
	return st, unix.Fstatfs(h.fd, &st)
}

// Sync has the file's content on disk.
func (h *File) Sync() error { return unix.Fsync(h.fd) }

// Expect says how long the client said that the file will be: a shorter one is no whole one.
func (h *File) Expect(size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expect = size
}

// Break says why the transfer will not be whole.
func (h *File) Break(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reason == "" {
		h.reason = reason
	}
}

// ReadAt reads at off; io.EOF comes alone.
func (h *File) ReadAt(p []byte, off int64) (int, error) {
	if !h.mode.Read && h.mode.Write {
		return 0, unix.EBADF
	}
	if off < 0 {
		return 0, unix.EINVAL
	}
	if h.mostRead >= 0 && off+int64(len(p)) > h.mostRead {
		// The file grew. One byte more than permitted tells whether there is more.
		if off > h.mostRead {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), h.mostRead+1-off)]
	}
	n, err := pread(h.fd, p, off)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead = nil // nobody had it, or Took was called
	switch {
	case err != nil:
		h.read.failed = true
		return 0, err
	case n == 0 && len(p) > 0:
		h.end = h.end || off >= h.read.next
		return 0, io.EOF
	case h.mostRead >= 0 && off+int64(n) > h.mostRead:
		h.read.failed, h.reason = true, "it grew larger than the role permits"
		return 0, ErrTooLarge
	}
	h.read.pass(p[:n], off)
	if h.read.broken {
		h.seen.add(0, h.read.next)
		h.seen.add(off, off+int64(n))
	}
	return n, nil
}

func pread(fd int, p []byte, off int64) (int, error) {
	for {
		n, err := unix.Pread(fd, p, off)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// Ahead reads all of a file that has fewer than so many bytes, before anybody asks for it. Took is to be called before
// the next read, or before the end if the client did not have all and was not told of the end. The kernel's own files,
// which say that they have no bytes, may wait for something when they are read.
func (h *File) Ahead(most int) (data []byte, whole bool) {
	if h.mode.makes() || !h.mode.Read || h.first.Size <= 0 || h.first.Size >= int64(most) {
		return nil, false
	}
	buf := make([]byte, h.first.Size+1)
	n := 0
	for n < len(buf) {
		got, err := pread(h.fd, buf[n:], int64(n))
		if err != nil {
			return nil, false // whoever asks is told
		}
		if got == 0 {
			whole = true
			break
		}
		n += got
	}
	if !whole || h.mostRead >= 0 && int64(n) > h.mostRead {
		return nil, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead = buf[:n]
	return h.ahead, true
}

// Took tells how much of what Ahead read a client had; end, that it was told of the end.
func (h *File) Took(n int, end bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ahead == nil || n < 0 || n > len(h.ahead) {
		return false
	}
	h.ahead = h.ahead[:n]
	h.settle(end)
	return true
}

// settle counts what was read ahead.
func (h *File) settle(end bool) {
	if h.ahead == nil {
		return
	}
	if len(h.ahead) > 0 {
		h.read.pass(h.ahead, 0)
	}
	h.ahead, h.end = nil, end
}

// WriteAt writes at off, all or an error.
func (h *File) WriteAt(p []byte, off int64) error {
	if !h.mode.Write {
		return unix.EBADF
	}
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return unix.EFBIG
	}
	if h.mode.Append {
		st, err := h.Stat()
		if err != nil {
			return err
		}
		off = st.Size
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.most >= 0 && off+int64(len(p)) > h.most {
		return h.overLimit()
	}
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(h.fd, p[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			h.written.pass(p[:done], off)
			h.written.failed = true
			h.reason = err.Error()
			return err
		}
		done += n
	}
	h.written.pass(p, off)
	return nil
}

// Tell shows the client why a write failed where its own program will not: OpenSSH's says "Failure" and no more.
func (h *File) Tell(err error) {
	if errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.ENOSPC) {
		h.files.Notice(quote(h.path) + ": " + err.Error())
	}
}

func (h *File) overLimit() error {
	if !h.written.failed {
		h.files.Notice(fmt.Sprintf("%s: larger than the %d bytes that the role permits there", quote(h.path), h.most))
	}
	h.written.failed, h.reason = true, "larger than the role permits"
	return ErrTooLarge
}

// truncate sets the file's size.
func (h *File) truncate(size uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if size > math.MaxInt64 {
		return unix.EFBIG
	}
	if h.most >= 0 && int64(size) > h.most {
		return h.overLimit()
	}
	if err := unix.Ftruncate(h.fd, int64(size)); err != nil {
		h.written.failed, h.reason = true, err.Error()
		return err
	}
	if h.written.next != int64(size) {
		h.written.broken = true
	}
	return nil
}

// Setattr sets attributes of the open file.
func (h *File) Setattr(a Attributes) error {
	if a.Size != nil {
		if !h.mode.Write {
			return unix.EBADF
		}
		if err := h.truncate(*a.Size); err != nil {
			return err
		}
	}
	if a.Owner == nil && a.Mode == nil && a.Times == nil {
		return nil
	}
	if !h.mode.Write || a.Owner != nil {
		if !h.files.mayTouch(h.path, unix.S_IFREG, a) {
			return h.files.deny(audit.FileSetstat, "change attributes of", h.path, "")
		}
	}
	began := time.Now()
	var err error
	if a.Owner != nil {
		err = unix.Fchown(h.fd, int(a.Owner.UID), int(a.Owner.GID))
	}
	if a.Mode != nil && err == nil {
		err = unix.Fchmod(h.fd, *a.Mode&0o7777)
	}
	if a.Times != nil && err == nil {
		err = futimens(h.fd, a.Times.Access, a.Times.Modify)
	}
	if h.mode.Write && a.Owner == nil && err == nil {
		return nil // part of the write, which has an event of its own
	}
	return h.files.done(audit.FileSetstat, began, h.path, "", err)
}

// Copy copies n bytes, or to the end where n is 0, from one open file to another.
func Copy(ctx context.Context, to *File, toOff int64, from *File, fromOff, n int64) error {
	buf := make([]byte, 256<<10)
	for left := n; n == 0 || left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buf
		if n != 0 {
			chunk = buf[:min(left, int64(len(buf)))]
		}
		got, err := from.ReadAt(chunk, fromOff)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := to.WriteAt(chunk[:got], toOff); err != nil {
			return err
		}
		fromOff, toOff, left = fromOff+int64(got), toOff+int64(got), left-int64(got)
	}
	return nil
}

// Close ends the transfer and remembers it.
func (h *File) Close() error { return h.finish("") }

// Abandon ends a transfer that the client did not end.
func (h *File) Abandon(reason string) { _ = h.finish(reason) }
