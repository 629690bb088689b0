package scp

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/internal/filewire"
)

// sink takes files.
type sink struct {
	*peer
	files *access.Files
	opts  filewire.Copy
}

// entry is what a C or D line announces.
type entry struct {
	dir  bool
	mode uint32
	size int64
	name string
}

func (s *sink) run() error {
	target, err := s.files.One(s.opts.Paths[0])
	if err != nil {
		return errors.Join(ErrFailed, s.warn(s.opts.Paths[0], err))
	}
	st, err := s.files.Stat(target)
	isDir := err == nil && tree.IsDir(st.Mode)
	if s.opts.Directory && !isDir {
		if err == nil {
			err = unix.ENOTDIR
		}
		return errors.Join(ErrFailed, s.warn(target, err))
	}
	if err := s.ok(); err != nil {
		return err
	}
	return s.level(target, isDir, 0)
}

// level takes what comes until the directory that is being sent ends. At the top that is the end of the stream.
func (s *sink) level(target string, isDir bool, depth int) error {
	var times *access.Times
	for {
		line, err := s.line()
		if errors.Is(err, io.EOF) {
			if depth > 0 {
				return fmt.Errorf("%w: it stops within a directory", ErrProtocol)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if line == "" {
			return fmt.Errorf("%w: an empty line", ErrProtocol)
		}
		switch line[0] {
		case 1: // something the other side could not send
			s.errors++
			continue
		case 2:
			return ErrFailed
		case 'E':
			if depth == 0 {
				return fmt.Errorf("%w: it ends a directory that it did not begin", ErrProtocol)
			}
			return s.ok()
		case 'T':
			if times, err = parseTimes(line); err != nil {
				return err
			}
			if err := s.ok(); err != nil {
				return err
			}
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			_ = s.warn(target, err)
			return err
		}
		if !s.opts.Preserve { // set-user-ID and its like are kept only where that was asked for
			e.mode &= 0o777
		}
		to := target
		if isDir {
			to = strings.TrimRight(target, "/") + "/" + e.name
		}
		if e.dir {
			err = s.directory(to, e, times, depth)
		} else {
			err = s.file(to, e, times)
		}
		if err != nil {
			return err
		}
		times = nil
	}
}

// parseTimes reads "Tmtime 0 atime 0".
func parseTimes(line string) (*access.Times, error) {
	f := strings.Split(line[1:], " ")
	if len(f) != 4 {
		return nil, fmt.Errorf("%w: times are missing", ErrProtocol)
	}
	var n [4]int64
	for i, s := range f {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v < 0 || i%2 == 1 && v > 999_999 {
			return nil, fmt.Errorf("%w: times are not numbers", ErrProtocol)
		}
		n[i] = v
	}
	return &access.Times{
		Modify: unix.Timespec{Sec: n[0], Nsec: n[1] * 1000}, Access: unix.Timespec{Sec: n[2], Nsec: n[3] * 1000},
	}, nil
}

// parseEntry reads "C0644 1234 name" and "D0755 0 name".
func parseEntry(line string) (entry, error) {
	var e entry
	switch line[0] {
	case 'C':
	case 'D':
		e.dir = true
	default:
		return e, fmt.Errorf("%w: a line of an unknown kind", ErrProtocol)
	}
	mode, rest, ok1 := strings.Cut(line[1:], " ")
	size, name, ok2 := strings.Cut(rest, " ")
	m, err1 := strconv.ParseUint(mode, 8, 32)
	n, err2 := strconv.ParseInt(size, 10, 64)
	if !ok1 || !ok2 || len(mode) != 4 || err1 != nil || err2 != nil || n < 0 || size[0] == '+' {
		return e, fmt.Errorf("%w: mode or size is not a number", ErrProtocol)
	}
	if err := checkName(name); err != nil {
		return e, err
	}
	e.mode, e.size, e.name = uint32(m), n, name
	return e, nil
}

// checkName refuses what is no plain name (CVE-2018-20685, CVE-2019-6111).
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.Contains(name, "/"):
		return fmt.Errorf("%w: the name %q leads elsewhere", ErrProtocol, name)
	case controls(name):
		return fmt.Errorf("%w: the name %q has control characters", ErrProtocol, name)
	case len(name) > 255:
		return fmt.Errorf("%w: the name is too long", ErrProtocol)
	}
	return nil
}

func (s *sink) directory(to string, e entry, times *access.Times, depth int) error {
	switch {
	case !s.opts.Recursive:
		return errors.Join(fmt.Errorf("%w: a directory comes that nobody asked for", ErrProtocol), s.warn(to, errors.New("not asked for directories")))
	case depth >= maxDepth:
		return errors.Join(ErrFailed, s.warn(to, errors.New("directories are too deep")))
	}
	st, err := s.files.Stat(to)
	created := false
	switch {
	case err == nil && !tree.IsDir(st.Mode):
		err = unix.ENOTDIR
	case errors.Is(err, unix.ENOENT):
		err = s.files.Mkdir(to, e.mode|0o700) // it must be written to before it gets its mode
		created = err == nil
	}
	if err != nil {
		// The other side would go on sending what is in it: there is no way to say no to a whole directory.
		return errors.Join(ErrFailed, s.warn(to, err))
	}
	if err := s.ok(); err != nil {
		return err
	}
	if err := s.level(to, true, depth+1); err != nil {
		return err
	}
	a := access.Attributes{Times: times}
	if created && e.mode|0o700 != e.mode || s.opts.Preserve {
		a.Mode = &e.mode
	}
	if a.Mode != nil || a.Times != nil {
		if err := s.files.Setattr(to, a, true); err != nil {
			return s.warn(to, err)
		}
	}
	return nil
}

// file takes one file. A file that cannot be written is taken off the wire all the same, then refused.
func (s *sink) file(to string, e entry, times *access.Times) error {
	f, err := s.files.Open(to, access.Mode{Write: true, Create: true, Truncate: true, Perm: e.mode})
	if err != nil {
		return s.warn(to, err) // the other side does not send the content then
	}
	f.Expect(e.size)
	if err := s.ok(); err != nil {
		f.Abandon("the client is gone")
		return err
	}
	failure, err := s.content(f, e.size)
	if err == nil {
		var c byte
		c, err = s.r.ReadByte()
		switch {
		case errors.Is(err, io.EOF): // libssh2 ends with the last byte, and all that was announced is there
			err = nil
		case err == nil && c != 0: // the other side could not read all of it
			f.Break("the sender could not read all of it")
			_, err = s.line()
			s.errors++
		}
	}
	if err != nil {
		f.Abandon("the client is gone")
		return fmt.Errorf("scp: a file ends early: %w", err)
	}
	a := access.Attributes{Times: times}
	if s.opts.Preserve {
		a.Mode = &e.mode
	}
	if failure == nil && (a.Mode != nil || a.Times != nil) {
		failure = f.Setattr(a)
	}
	if err := f.Close(); failure == nil {
		failure = err
	}
	if failure != nil {
		return s.warn(to, failure)
	}
	return s.ok()
}

// content writes what comes. A failure is the file's; an error is the stream's.
func (s *sink) content(f *access.File, size int64) (failure, err error) {
	for off := int64(0); off < size; {
		if err := s.ctx.Err(); err != nil {
			return failure, err
		}
		n, err := io.ReadFull(s.r, s.buf[:min(size-off, int64(len(s.buf)))])
		if failure == nil && n > 0 {
			failure = f.WriteAt(s.buf[:n], off)
		}
		if err != nil {
			return failure, err
		}
		off += int64(n)
	}
	return failure, nil
}
