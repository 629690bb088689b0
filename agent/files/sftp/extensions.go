package sftp

import (
	"encoding/binary"
	"math"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/internal/filewire"
)

// extension is one of OpenSSH's, as its PROTOCOL file describes it. serve appends the answer.
type extension struct {
	name, version string
	serve         func(s *server, id uint32, r *reader, b []byte) ([]byte, error)
}

func extensions() []extension {
	return []extension{
		{"posix-rename@openssh.com", "1", (*server).posixRename},
		{"statvfs@openssh.com", "2", (*server).statvfs},
		{"fstatvfs@openssh.com", "2", (*server).fstatvfs},
		{"hardlink@openssh.com", "1", (*server).hardlink},
		{"fsync@openssh.com", "1", (*server).fsync},
		{"lsetstat@openssh.com", "1", (*server).lsetstat},
		{"limits@openssh.com", "1", (*server).limits},
		{"expand-path@openssh.com", "1", (*server).expandPath},
		{"copy-data", "1", (*server).copyData},
		{"home-directory", "1", (*server).homeDirectory},
		{"users-groups-by-id@openssh.com", "1", (*server).usersGroups},
	}
}

// private are those that no client can ask for.
func private(secret string) []extension {
	if secret == "" {
		return nil
	}
	return []extension{{filewire.Get + secret, "", (*server).get}, {filewire.Took + secret, "", (*server).took}, {filewire.Put + secret, "", (*server).put}}
}

func (s *server) extended(id uint32, r *reader, b []byte) ([]byte, error) {
	name := r.string()
	if r.err != nil {
		return b, r.err
	}
	for _, list := range [][]extension{extensions(), s.private} {
		for _, e := range list {
			if e.name == name {
				return e.serve(s, id, r, b)
			}
		}
	}
	return b, errUnsupported
}

func (s *server) posixRename(id uint32, r *reader, b []byte) ([]byte, error) {
	from, to := r.string(), r.string()
	return s.ok(b, id, r, func() error { return s.files.Rename(from, to, true) })
}

func (s *server) hardlink(id uint32, r *reader, b []byte) ([]byte, error) {
	from, to := r.string(), r.string()
	return s.ok(b, id, r, func() error { return s.files.Link(from, to) })
}

func (s *server) lsetstat(id uint32, r *reader, b []byte) ([]byte, error) {
	p, a := r.string(), r.attributes()
	return s.ok(b, id, r, func() error { return s.files.Setattr(p, a, false) })
}

func (s *server) fsync(id uint32, r *reader, b []byte) ([]byte, error) {
	h := s.file(r)
	return s.ok(b, id, r, func() error {
		if h == nil {
			return errHandle
		}
		return h.Sync()
	})
}

func (s *server) limits(id uint32, r *reader, b []byte) ([]byte, error) {
	w := begin(b, typeReply, id)
	w.u64(maxPacket)
	w.u64(maxData)
	w.u64(maxData)
	w.u64(maxHandles)
	return w.finish(), r.err
}

func (s *server) statvfs(id uint32, r *reader, b []byte) ([]byte, error) {
	p := r.string()
	if r.err != nil {
		return b, r.err
	}
	st, err := s.files.Statfs(p)
	return vfs(b, id, st), err
}

func (s *server) fstatvfs(id uint32, r *reader, b []byte) ([]byte, error) {
	h := s.handle(r)
	if r.err != nil {
		return b, r.err
	}
	var st unix.Statfs_t
	var err error
	switch {
	case h == nil:
		err = errHandle
	case h.file != nil:
		st, err = h.file.Statfs()
	default:
		err = unix.Fstatfs(int(h.dir.f.Fd()), &st)
	}
	return vfs(b, id, st), err
}

func vfs(b []byte, id uint32, st unix.Statfs_t) []byte {
	var fsid uint64
	for _, v := range st.Fsid.Val {
		fsid = fsid<<32 | uint64(uint32(v)) // #nosec G115 -- bits are kept
	}
	flags := uint64(0)
	if st.Flags&unix.ST_RDONLY != 0 {
		flags |= 1
	}
	if st.Flags&unix.ST_NOSUID != 0 {
		flags |= 2
	}
	w := begin(b, typeReply, id)
	for _, n := range []uint64{
		uint64(st.Bsize), uint64(st.Frsize), st.Blocks, st.Bfree, st.Bavail, st.Files, st.Ffree, st.Ffree, fsid, flags, uint64(st.Namelen), // #nosec G115 -- the kernel's are not negative
	} {
		w.u64(n)
	}
	return w.finish()
}

// expandPath resolves ~ and ~user, then the path.
func (s *server) expandPath(id uint32, r *reader, b []byte) ([]byte, error) {
	p := r.string()
	if rest, ok := strings.CutPrefix(p, "~"); ok {
		user, rest, _ := strings.Cut(rest, "/")
		home := s.files.Home()
		if user != "" {
			var known bool
			if home, known = s.names().Home(user); !known {
				return b, unix.ENOENT
			}
		}
		p = strings.TrimRight(home, "/") + "/" + rest
	}
	return s.name(b, id, r, p, s.files.RealPath)
}

func (s *server) homeDirectory(id uint32, r *reader, b []byte) ([]byte, error) {
	user := r.string()
	return s.name(b, id, r, user, func(string) (string, error) {
		if user == "" {
			return s.files.Home(), nil
		}
		if home, ok := s.names().Home(user); ok {
			return home, nil
		}
		return "", unix.ENOENT
	})
}

func (s *server) copyData(id uint32, r *reader, b []byte) ([]byte, error) {
	from, fromOff, n, to, toOff := s.file(r), r.u64(), r.u64(), s.file(r), r.u64()
	return s.ok(b, id, r, func() error {
		switch {
		case from == nil || to == nil:
			return errHandle
		case fromOff > math.MaxInt64 || toOff > math.MaxInt64 || n > math.MaxInt64 || n > 0 && (fromOff > math.MaxInt64-n || toOff > math.MaxInt64-n):
			return unix.EFBIG
		case from.Same(to) && (n == 0 || fromOff < toOff+n && toOff < fromOff+n):
			return errOverlap // it would read what it wrote, without end
		}
		return access.Copy(s.ctx, to, int64(toOff), from, int64(fromOff), int64(n)) // #nosec G115 -- checked
	})
}

// usersGroups names users and groups, so that a client need not guess from the long names.
func (s *server) usersGroups(id uint32, r *reader, b []byte) ([]byte, error) {
	users, groups := r.bytes(), r.bytes()
	if r.err != nil {
		return b, r.err
	}
	n := s.names()
	list := func(ids []byte, name func(uint32) (string, bool)) string {
		var w builder
		for ; len(ids) >= 4 && len(w.b) < maxDirReply; ids = ids[4:] {
			text, _ := name(binary.BigEndian.Uint32(ids))
			w.string(text)
		}
		return string(w.b)
	}
	w := begin(b, typeReply, id)
	w.string(list(users, n.KnownUser))
	w.string(list(groups, n.KnownGroup))
	return w.finish(), nil
}

func putU32(b []byte, n uint32) { binary.BigEndian.PutUint32(b, n) }
