package access

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxDatabase bounds how much of a container's user database is read.
const maxDatabase = 1 << 20

// Names are the users and groups that the tree's own /etc/passwd and /etc/group name.
type Names struct {
	users, groups map[uint32]string
	homes         map[string]string
}

// NamesOnce reads the user database when it is first asked for.
func (f *Files) NamesOnce() func() *Names {
	return sync.OnceValue(func() *Names {
		n := &Names{users: map[uint32]string{}, groups: map[uint32]string{}, homes: map[string]string{}}
		for fields := range f.database("/etc/passwd", 6) {
			n.homes[fields[0]] = fields[5]
			put(n.users, fields)
		}
		for fields := range f.database("/etc/group", 3) {
			put(n.groups, fields)
		}
		return n
	})
}

func put(m map[uint32]string, fields []string) {
	id, err := strconv.ParseUint(fields[2], 10, 32)
	if _, known := m[uint32(id)]; err == nil && !known {
		m[uint32(id)] = fields[0]
	}
}

// database yields the lines of a file such as passwd(5) that have enough fields.
func (f *Files) database(name string, fields int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		pl, err := f.locate(name, true)
		if err != nil {
			return
		}
		defer pl.Close()
		fd, _, err := pl.OpenFile(unix.O_RDONLY, 0)
		if err != nil {
			return
		}
		defer func() { _ = unix.Close(fd) }()
		buf := make([]byte, maxDatabase)
		n := 0
		for n < len(buf) {
			m, err := pread(fd, buf[n:], int64(n))
			if err != nil || m == 0 {
				break
			}
			n += m
		}
		sc := bufio.NewScanner(io.LimitReader(bytes.NewReader(buf[:n]), maxDatabase))
		for sc.Scan() {
			parts := strings.Split(sc.Text(), ":")
			if len(parts) >= fields && parts[0] != "" && !strings.ContainsFunc(parts[0], func(r rune) bool { return r <= ' ' || r >= 0x7f }) && !yield(parts) {
				return
			}
		}
	}
}

// User names a user, by number where there is no name.
func (n *Names) User(uid uint32) string { return named(n.users, uid) }

// Group names a group.
func (n *Names) Group(gid uint32) string { return named(n.groups, gid) }

func named(m map[uint32]string, id uint32) string {
	if s, ok := m[id]; ok {
		return s
	}
	return strconv.FormatUint(uint64(id), 10)
}

// KnownUser and KnownGroup return a name only where there is one.
func (n *Names) KnownUser(uid uint32) (string, bool)  { s, ok := n.users[uid]; return s, ok }
func (n *Names) KnownGroup(gid uint32) (string, bool) { s, ok := n.groups[gid]; return s, ok }

// Home is the home of a user by name.
func (n *Names) Home(user string) (string, bool) {
	h, ok := n.homes[user]
	return h, ok && strings.HasPrefix(h, "/")
}
