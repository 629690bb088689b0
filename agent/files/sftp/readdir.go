package sftp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/tree"
)

// maxNames bounds one answer to a READDIR; clients expect about so many.
const (
	maxNames    = 256
	maxDirReply = 64 << 10
)

func (s *server) openDir(id uint32, r *reader, b []byte) ([]byte, error) {
	p := r.string()
	if r.err != nil {
		return b, r.err
	}
	if len(s.handles) >= maxHandles {
		return b, errHandles
	}
	f, err := s.files.OpenDir(p)
	if err != nil {
		return b, err
	}
	return s.add(b, id, &handle{dir: &listing{f: f, more: []string{".", ".."}}}), nil
}

func (s *server) readDir(id uint32, r *reader, b []byte) ([]byte, error) {
	h := s.handle(r)
	switch {
	case r.err != nil:
		return b, r.err
	case h == nil || h.dir == nil:
		return b, errHandle
	}
	w := begin(b, typeName, id)
	at := len(w.b)
	w.u32(0)
	count := uint32(0)
	for count < maxNames && len(w.b)-at < maxDirReply {
		if len(h.dir.more) == 0 {
			names, err := h.dir.f.Readdirnames(maxNames)
			if len(names) == 0 {
				if err != nil && !errors.Is(err, io.EOF) && count == 0 {
					return b, bare(err)
				}
				break
			}
			h.dir.more = names
		}
		name := h.dir.more[0]
		h.dir.more = h.dir.more[1:]
		st, err := tree.StatIn(int(h.dir.f.Fd()), name)
		if err != nil {
			continue // removed meanwhile
		}
		if name == ".." {
			st = unix.Stat_t{Mode: unix.S_IFDIR | 0o755, Nlink: 1} // it may be outside of what may be seen
		}
		w.string(name)
		w.string(s.longName(name, st))
		w.attrs(st)
		count++
	}
	if count == 0 {
		return b, io.EOF
	}
	putU32(w.b[at:], count)
	return w.finish(), nil
}

// bare takes the path out of an error.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// longName is a line as ls -l writes it: the draft wants it, and some clients show it.
func (s *server) longName(name string, st unix.Stat_t) string {
	t := time.Unix(st.Mtim.Sec, 0).UTC()
	form := "Jan _2 15:04"
	if age := time.Since(t); age > 180*24*time.Hour || age < -time.Hour {
		form = "Jan _2  2006"
	}
	n := s.names()
	return fmt.Sprintf("%s %4d %-8s %-8s %8d %s %s", modeText(st.Mode), st.Nlink, n.User(st.Uid), n.Group(st.Gid), st.Size, t.Format(form), name)
}

func modeText(m uint32) string {
	kinds := map[uint32]byte{
		unix.S_IFDIR: 'd', unix.S_IFLNK: 'l', unix.S_IFCHR: 'c', unix.S_IFBLK: 'b', unix.S_IFIFO: 'p', unix.S_IFSOCK: 's',
	}
	text := []byte(os.FileMode(m & 0o777).String())
	text[0] = '-'
	if k, ok := kinds[m&unix.S_IFMT]; ok {
		text[0] = k
	}
	for _, x := range []struct {
		bit uint32
		at  int
		set byte
	}{{unix.S_ISUID, 3, 's'}, {unix.S_ISGID, 6, 's'}, {unix.S_ISVTX, 9, 't'}} {
		if m&x.bit == 0 {
			continue
		}
		if text[x.at] == 'x' {
			text[x.at] = x.set
		} else {
			text[x.at] = x.set - 'a' + 'A'
		}
	}
	return string(text)
}
