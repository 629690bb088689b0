// Package facts reads who a container's user is and which shells the container has, from the container's own files.
// It runs nothing in the container, opens nothing in there but regular files, and no link in there leads it out.
package facts

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/runtime"
)

// Facts is what the bastion needs to know before it starts something.
type Facts struct {
	User    string   `json:"user"` // name, or the number where the user database has none
	UID     uint32   `json:"uid"`
	GID     uint32   `json:"gid"`
	Home    string   `json:"home"`
	Shell   string   `json:"shell"`  // login shell if it is there and lets one in, else empty
	Shells  []string `json:"shells"` // shells that are there, the best first
	WorkDir string   `json:"workdir"`
}

// maxPasswd bounds how much of a container's user database is read.
const maxPasswd = 4 << 20

// known are the places of shells in the order of preference, behind the login shell.
func known() []string {
	return []string{"/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh", "/usr/bin/sh", "/bin/ash", "/bin/dash", "/busybox/sh"}
}

// Read reads the facts of a container for user, or for the container's own user when user is empty.
func Read(c runtime.Container, user string) (Facts, error) {
	if user == "" {
		user = c.User
	}
	user, _, _ = strings.Cut(user, ":")
	root, err := openRoot(c)
	if err != nil {
		return Facts{}, err
	}
	defer root.Close()
	f := Facts{WorkDir: c.WorkDir}
	login, err := lookup(root, user, &f)
	if err != nil {
		return Facts{}, err
	}
	if c.Home != "" {
		f.Home = c.Home
	}
	if f.Home == "" {
		f.Home = "/"
	}
	if login != "" && letsIn(login) && executable(root, login) {
		f.Shell = login
		f.Shells = append(f.Shells, login)
	}
	for _, s := range known() {
		if s != f.Shell && executable(root, s) {
			f.Shells = append(f.Shells, s)
		}
	}
	return f, nil
}

func openRoot(c runtime.Container) (*os.File, error) {
	root, err := c.OpenProc("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	return root, nil
}

// File is what Stat tells of a path.
type File struct {
	Exists bool   `json:"exists"`
	Kind   string `json:"kind,omitempty"` // file, directory or other
	Size   int64  `json:"size"`
}

// Stat tells of a file by its absolute path in the container, links followed as a process in there would.
func Stat(c runtime.Container, name string) (File, error) {
	if !path.IsAbs(name) || len(name) >= unix.PathMax || strings.ContainsRune(name, 0) {
		return File{}, errors.New("facts: want an absolute path")
	}
	root, err := openRoot(c)
	if err != nil {
		return File{}, err
	}
	defer root.Close()
	f, err := openIn(root, name, unix.O_PATH)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return File{}, nil
	case err != nil:
		return File{}, fmt.Errorf("facts: %q: %w", name, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return File{}, fmt.Errorf("facts: %q: %w", name, err)
	}
	kind := "other"
	switch {
	case st.Mode().IsRegular():
		kind = "file"
	case st.IsDir():
		kind = "directory"
	}
	return File{Exists: true, Kind: kind, Size: st.Size()}, nil
}

// lookup finds the user in /etc/passwd (passwd(5)); the first entry that fits counts. It returns the login shell.
func lookup(root *os.File, user string, f *Facts) (string, error) {
	number, numeric := uint64(0), true
	if user != "" {
		n, err := strconv.ParseUint(user, 10, 32)
		number, numeric = n, err == nil
	}
	f.User, f.UID = user, uint32(number)
	if user == "" {
		f.User = "root"
	}
	file, err := openRegular(root, "/etc/passwd")
	if err != nil {
		if numeric {
			return "", nil // an image without users; a number needs none
		}
		return "", fmt.Errorf("facts: the container has no user %q: %w", user, err)
	}
	defer file.Close()
	sc := bufio.NewScanner(io.LimitReader(file, maxPasswd))
	for sc.Scan() {
		fields := strings.Split(sc.Text(), ":")
		if len(fields) < 7 {
			continue
		}
		uid, err1 := strconv.ParseUint(fields[2], 10, 32)
		gid, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		if fields[0] == user || numeric && uid == number {
			f.User, f.UID, f.GID, f.Home = fields[0], uint32(uid), uint32(gid), fields[5]
			return fields[6], nil
		}
	}
	if !numeric {
		return "", fmt.Errorf("facts: the container has no user %q", user)
	}
	return "", nil
}

// letsIn is false for shells whose work is to send people away.
func letsIn(shell string) bool {
	switch path.Base(shell) {
	case "nologin", "false", "true", "sync", "halt", "shutdown":
		return false
	}
	return path.IsAbs(shell)
}

func executable(root *os.File, name string) bool {
	f, err := openIn(root, name, unix.O_PATH)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
}

// openIn opens a path as a process in the container would resolve it; the kernel keeps links inside (openat2(2)).
func openIn(root *os.File, name string, flags uint64) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

var errNotRegular = errors.New("not a regular file")

// openRegular opens a file to read it. The agent is the node's root, and opening can be an act where the file is a
// device, or wait where it is a pipe: what is opened is what was looked at before.
func openRegular(root *os.File, name string) (*os.File, error) {
	place, err := openIn(root, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer place.Close()
	if st, err := place.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, errNotRegular)
	}
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", place.Fd()), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}
