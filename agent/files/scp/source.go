package scp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/internal/filewire"
)

// maxNames bounds how many of a directory's names are held at once, and sorted.
const maxNames = 4096

var errName = errors.New("a name with control characters in it is not sent by the old scp protocol: use scp without -O")

// source sends files.
type source struct {
	*peer
	files *access.Files
	opts  filewire.Copy
}

func (s *source) run() error {
	if failed, err := s.answer(); err != nil || failed { // the other side says first that it is ready
		return errors.Join(err, s.failedErr(failed))
	}
	for _, pattern := range s.opts.Paths {
		names, err := s.files.Glob(pattern)
		if err != nil {
			if err := s.warn(pattern, err); err != nil {
				return err
			}
			continue
		}
		for _, name := range names {
			if err := s.send(name, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *source) failedErr(failed bool) error {
	if failed {
		return ErrFailed
	}
	return nil
}

// send sends one file or, when asked for, directory. An error ends the session; what cannot be read is told and left.
func (s *source) send(name string, depth int) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	st, err := s.files.Stat(name)
	switch {
	case err != nil:
		return s.warn(name, err)
	case tree.IsDir(st.Mode) && s.opts.Recursive && depth < maxDepth:
		return s.directory(name, st, depth)
	case tree.IsDir(st.Mode):
		return s.warn(name, errors.New("not a regular file"))
	}
	last := path.Base(name)
	if controls(last) {
		return s.warn(name, errName)
	}
	f, err := s.files.Open(name, access.Mode{Read: true})
	if err != nil {
		return s.warn(name, err)
	}
	err = s.file(f, last)
	if err != nil {
		f.Abandon("the client is gone")
		return err
	}
	_ = f.Close() // a file that was only read
	return nil
}

func (s *source) file(f *access.File, last string) error {
	st, err := f.Stat()
	if err != nil {
		return s.warn(last, err)
	}
	if refused, err := s.times(st); refused || err != nil {
		return err
	}
	fmt.Fprintf(s.w, "C%04o %d %s\n", st.Mode&0o7777, st.Size, last)
	if refused, err := s.answer(); refused || err != nil {
		return err
	}
	var failure error
	for off := int64(0); off < st.Size; {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		p := s.buf[:min(st.Size-off, int64(len(s.buf)))]
		n := len(p)
		if failure == nil {
			if n, err = f.ReadAt(p, off); err != nil {
				if failure = err; errors.Is(err, io.EOF) {
					failure = errors.New("it became shorter while it was read")
				}
				f.Break(failure.Error())
				n = 0
			}
		}
		if failure != nil { // what was announced must be sent; that it is no content is told behind it
			clear(p)
			n = len(p)
		}
		if _, err := s.w.Write(p[:n]); err != nil {
			return fmt.Errorf("scp: %w", err)
		}
		off += int64(n)
	}
	if failure != nil {
		err = s.warn(last, failure)
	} else {
		err = s.w.WriteByte(0)
	}
	if err != nil {
		return err
	}
	_, err = s.answer()
	return err
}

func (s *source) times(st unix.Stat_t) (refused bool, err error) {
	if !s.opts.Preserve {
		return false, nil
	}
	fmt.Fprintf(s.w, "T%d 0 %d 0\n", max(st.Mtim.Sec, 0), max(st.Atim.Sec, 0))
	return s.answer()
}

func (s *source) directory(name string, st unix.Stat_t, depth int) error {
	dir, err := s.files.OpenDir(name)
	if err != nil {
		return s.warn(name, err)
	}
	defer func() { _ = dir.Close() }()
	names, err := batch(dir)
	if err != nil {
		return s.warn(name, err)
	}
	last := path.Base(s.files.Abs(name))
	if last == "/" || last == "." || last == ".." {
		if real, err := s.files.RealPath(name); err == nil {
			last = path.Base(real)
		}
	}
	if controls(last) {
		return s.warn(name, errName)
	}
	if refused, err := s.times(st); refused || err != nil {
		return err
	}
	fmt.Fprintf(s.w, "D%04o 0 %s\n", st.Mode&0o7777, last)
	if refused, err := s.answer(); refused || err != nil {
		return err
	}
	for len(names) > 0 {
		for _, n := range names {
			if err := s.send(strings.TrimRight(name, "/")+"/"+n, depth+1); err != nil {
				return err
			}
		}
		if names, err = batch(dir); err != nil {
			if err := s.warn(name, err); err != nil {
				return err
			}
		}
	}
	fmt.Fprint(s.w, "E\n")
	_, err = s.answer()
	return err
}

// batch reads the next names of a directory, sorted; none at its end.
func batch(dir *os.File) ([]string, error) {
	names, err := dir.Readdirnames(maxNames)
	slices.Sort(names)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}
