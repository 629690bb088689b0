package sftp

import (
	"math"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/internal/filewire"
)

// Of a file's content that is sent before it is asked for, for as many files as can be open then.
const (
	maxAhead     = 32 << 10
	maxAheadOpen = 64
)

// get opens a file and sends what is in it, if that is not much.
func (s *server) get(id uint32, r *reader, b []byte) ([]byte, error) {
	most := min(r.u32(), maxAhead)
	f, err := s.openFile(r)
	if err != nil {
		return b, err
	}
	if len(s.handles) >= maxAheadOpen {
		most = 0
	}
	s.last++
	s.handles[s.last] = &handle{file: f}
	w := begin(b, typeReply, id)
	w.u32(8)
	w.u64(s.last)
	at := len(w.b)
	w.u32(0)
	w.u32(0)
	if data, whole := f.Ahead(int(most)); whole {
		putU32(w.b[at:], 1)
		putU32(w.b[at+4:], uint32(len(data))) // #nosec G115 -- bounded above
		w.b = append(w.b, data...)
	}
	return w.finish(), nil
}

// took is told how much of that a client has had.
func (s *server) took(id uint32, r *reader, b []byte) ([]byte, error) {
	h, n, end := s.file(r), r.u64(), r.u32()
	return s.ok(b, id, r, func() error {
		switch {
		case h == nil:
			return errHandle
		case n > math.MaxInt32 || !h.Took(int(n), end != 0):
			return unix.EINVAL
		}
		return nil
	})
}

// put writes a file whose client has been told already that it was opened, and perhaps that it was written.
func (s *server) put(id uint32, r *reader, b []byte) ([]byte, error) {
	own, open, data := r.u64(), r.bytes(), r.bytes()
	var set []access.Attributes
	for r.err == nil && len(r.b) > 0 {
		one := &reader{b: r.bytes()}
		set = append(set, one.attributes())
		if r.err == nil {
			r.err = one.err
		}
	}
	return s.ok(b, id, r, func() error {
		if own != 0 && (own&filewire.OwnHandle == 0 || s.handles[own] != nil) {
			return errHandle
		}
		f, err := s.openFile(&reader{b: open})
		if err == nil {
			err = write(f, data, set)
		}
		switch {
		case own != 0 && len(s.handles) < maxHandles:
			s.handles[own] = &handle{file: f, failed: err}
		case f != nil:
			if failed := f.Close(); err == nil {
				err = failed
			}
		}
		if err != nil {
			s.files.NotWritten((&reader{b: open}).string(), err)
		}
		return err
	})
}

func write(f *access.File, data []byte, set []access.Attributes) error {
	if len(data) > 0 {
		if err := f.WriteAt(data, 0); err != nil {
			f.Tell(err)
			return err
		}
	}
	for _, a := range set {
		if err := f.Setattr(a); err != nil {
			return err
		}
	}
	return nil
}
