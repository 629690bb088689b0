package sftp

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/tree"
)

var (
	errUnsupported = errors.New("operation unsupported")
	errHandle      = errors.New("no such handle")
	errHandles     = errors.New("too many open handles")
	errOverlap     = errors.New("a file is not copied onto itself")
)

// handle is an open file or directory.
type handle struct {
	file   *access.File
	dir    *listing
	failed error // what was promised of it was not kept: all that comes with it fails
}

func (h *handle) close() error {
	var err error
	switch {
	case h.file != nil:
		err = h.file.Close()
	case h.dir != nil:
		err = h.dir.f.Close()
	}
	if h.failed != nil {
		return h.failed
	}
	return err
}

func (h *handle) abandon(reason string) {
	switch {
	case h.file != nil:
		h.file.Abandon(reason)
	case h.dir != nil:
		_ = h.dir.f.Close()
	}
}

// status appends the answer that tells how a request went.
func status(b []byte, id uint32, err error) []byte {
	code, text := uint32(statusFailure), "failure"
	var errno unix.Errno
	switch {
	case err == nil:
		code, text = statusOK, "success"
	case errors.Is(err, io.EOF):
		code, text = statusEOF, "end of file"
	case errors.Is(err, errMessage), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENAMETOOLONG):
		code, text = statusBadMessage, err.Error()
	case errors.Is(err, errUnsupported), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		code, text = statusUnsupported, err.Error()
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, fs.ErrNotExist):
		code, text = statusNoSuchFile, err.Error()
	case errors.Is(err, access.ErrDenied), errors.Is(err, fs.ErrPermission):
		code, text = statusDenied, err.Error()
	case errors.As(err, &errno), errors.Is(err, access.ErrTooLarge), errors.Is(err, tree.ErrNotRegular), errors.Is(err, errHandle), errors.Is(err, errHandles), errors.Is(err, errOverlap):
		text = err.Error()
	}
	w := begin(b, typeStatus, id)
	w.u32(code)
	w.string(text)
	w.string("")
	return w.finish()
}

// dispatch appends the answer to a request; on an error the caller does.
func (s *server) dispatch(kind byte, id uint32, r *reader, b []byte) ([]byte, error) {
	switch kind {
	case typeRead:
		return s.readFile(id, r, b)
	case typeWrite:
		h, off, data := s.file(r), r.u64(), r.bytes()
		return s.ok(b, id, r, func() error {
			if h == nil {
				return errHandle
			}
			if off > math.MaxInt64 {
				return unix.EFBIG
			}
			err := h.WriteAt(data, int64(off)) // #nosec G115 -- checked
			if err != nil {
				h.Tell(err)
			}
			return err
		})
	case typeOpen:
		return s.open(id, r, b)
	case typeClose:
		key := r.bytes()
		return s.ok(b, id, r, func() error { return s.close(key) })
	case typeOpendir:
		return s.openDir(id, r, b)
	case typeReaddir:
		return s.readDir(id, r, b)
	case typeStat, typeLstat, typeFstat:
		return s.stat(kind, id, r, b)
	case typeRealpath:
		return s.name(b, id, r, r.string(), s.files.RealPath)
	case typeReadlink:
		return s.name(b, id, r, r.string(), s.files.Readlink)
	case typeExtended:
		return s.extended(id, r, b)
	}
	return s.change(kind, id, r, b)
}

// change serves what is answered by a status only.
func (s *server) change(kind byte, id uint32, r *reader, b []byte) ([]byte, error) {
	switch kind {
	case typeSetstat:
		p, a := r.string(), r.attributes()
		return s.ok(b, id, r, func() error { return s.files.Setattr(p, a, true) })
	case typeFsetstat:
		h, a := s.file(r), r.attributes()
		return s.ok(b, id, r, func() error {
			if h == nil {
				return errHandle
			}
			return h.Setattr(a)
		})
	case typeRemove:
		p := r.string()
		return s.ok(b, id, r, func() error { return s.files.Remove(p) })
	case typeRmdir:
		p := r.string()
		return s.ok(b, id, r, func() error { return s.files.Rmdir(p) })
	case typeMkdir:
		p, a := r.string(), r.attributes()
		return s.ok(b, id, r, func() error { return s.files.Mkdir(p, perm(a, 0o777)) })
	case typeRename:
		from, to := r.string(), r.string()
		return s.ok(b, id, r, func() error { return s.files.Rename(from, to, false) })
	case typeSymlink:
		text, p := r.string(), r.string() // in OpenSSH's order, which everybody follows
		return s.ok(b, id, r, func() error { return s.files.Symlink(text, p) })
	}
	return b, errUnsupported
}

func perm(a access.Attributes, otherwise uint32) uint32 {
	if a.Mode != nil {
		return *a.Mode & 0o7777
	}
	return otherwise
}

// ok does something if the whole request was understood, and appends how it went.
func (s *server) ok(b []byte, id uint32, r *reader, do func() error) ([]byte, error) {
	if r.err != nil {
		return b, r.err
	}
	if err := do(); err != nil {
		return b, err
	}
	return status(b, id, nil), nil
}

// name appends a NAME answer with one name.
func (s *server) name(b []byte, id uint32, r *reader, p string, find func(string) (string, error)) ([]byte, error) {
	if r.err != nil {
		return b, r.err
	}
	found, err := find(p)
	if err != nil {
		return b, err
	}
	w := begin(b, typeName, id)
	w.u32(1)
	w.string(found)
	w.string(found)
	w.u32(0) // no attributes
	return w.finish(), nil
}

// lookup finds a handle by what the client has for it.
func (s *server) lookup(key []byte) (uint64, *handle) {
	if len(key) != 8 {
		return 0, nil
	}
	n := binary.BigEndian.Uint64(key)
	return n, s.handles[n]
}

// handle reads one that is open. Of one that failed the request is not looked at further.
func (s *server) handle(r *reader) *handle {
	_, h := s.lookup(r.bytes())
	if h != nil && h.failed != nil && r.err == nil {
		r.err = h.failed
	}
	return h
}

// file reads a handle that must be a file's.
func (s *server) file(r *reader) *access.File {
	if h := s.handle(r); h != nil {
		return h.file
	}
	return nil
}

func (s *server) add(b []byte, id uint32, h *handle) []byte {
	s.last++ // a number is never used twice
	s.handles[s.last] = h
	w := begin(b, typeHandle, id)
	w.u32(8)
	w.u64(s.last)
	return w.finish()
}

func (s *server) close(key []byte) error {
	n, h := s.lookup(key)
	if h == nil {
		return errHandle
	}
	delete(s.handles, n)
	return h.close()
}

func (s *server) open(id uint32, r *reader, b []byte) ([]byte, error) {
	f, err := s.openFile(r)
	if err != nil {
		return b, err
	}
	return s.add(b, id, &handle{file: f}), nil
}

// openFile opens what the rest of an open request says.
func (s *server) openFile(r *reader) (*access.File, error) {
	p, flags, a := r.string(), r.u32(), r.attributes()
	if r.err != nil {
		return nil, r.err
	}
	if len(s.handles) >= maxHandles {
		return nil, errHandles
	}
	return s.files.Open(p, access.Mode{
		Read: flags&openRead != 0, Write: flags&(openWrite|openAppend) != 0, Append: flags&openAppend != 0, Create: flags&openCreate != 0,
		Truncate: flags&openTrunc != 0, Exclusive: flags&openExcl != 0, Perm: perm(a, 0o666),
	})
}

// readFile reads straight into the answer.
func (s *server) readFile(id uint32, r *reader, b []byte) ([]byte, error) {
	h, off, n := s.file(r), r.u64(), r.u32()
	switch {
	case r.err != nil:
		return b, r.err
	case h == nil:
		return b, errHandle
	case off > math.MaxInt64-maxPacket:
		return b, io.EOF
	}
	n = min(n, maxData)
	w := begin(b, typeData, id)
	w.u32(n)
	start := len(w.b)
	w.b = slices.Grow(w.b, int(n))[:start+int(n)]
	got, err := h.ReadAt(w.b[start:], int64(off)) // #nosec G115 -- checked
	if err != nil {
		return b, err
	}
	w.b = w.b[:start+got]
	binary.BigEndian.PutUint32(w.b[start-4:], uint32(got)) // #nosec G115 -- at most n
	return w.finish(), nil
}

func (s *server) stat(kind byte, id uint32, r *reader, b []byte) ([]byte, error) {
	key := r.bytes()
	if r.err != nil {
		return b, r.err
	}
	var st unix.Stat_t
	var err error
	switch kind {
	case typeStat:
		st, err = s.files.Stat(string(key))
	case typeLstat:
		st, err = s.files.Lstat(string(key))
	default:
		_, h := s.lookup(key)
		switch {
		case h == nil:
			err = errHandle
		case h.failed != nil:
			err = h.failed
		case h.file != nil:
			st, err = h.file.Stat()
		default:
			err = unix.Fstat(int(h.dir.f.Fd()), &st)
		}
	}
	if err != nil {
		return b, err
	}
	w := begin(b, typeAttrs, id)
	w.attrs(st)
	return w.finish(), nil
}

// listing is a directory that is being read.
type listing struct {
	f    *os.File
	more []string
}
