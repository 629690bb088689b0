package tree

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular means a device, pipe or socket: they are never opened.
var ErrNotRegular = errors.New("not a regular file")

// Stat tells what is at the place; a link is told as a link.
func (p *Place) Stat() (unix.Stat_t, error) {
	st, err := StatIn(p.dir, p.name)
	if err == nil && p.tail && !IsDir(st.Mode) {
		err = unix.ENOTDIR
	}
	return st, err
}

// StatIn tells what a name in an open directory stands for.
func StatIn(dir int, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	return st, err
}

// IsRegular, IsDir and IsLink look at a mode.
func IsRegular(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFREG }
func IsDir(mode uint32) bool     { return mode&unix.S_IFMT == unix.S_IFDIR }
func IsLink(mode uint32) bool    { return mode&unix.S_IFMT == unix.S_IFLNK }

// OpenFile opens or creates a regular file; nothing under a procfs is opened to be written. ELOOP means that the place is
// a link now.
func (p *Place) OpenFile(flags int, mode uint32) (int, unix.Stat_t, error) {
	truncate := flags&unix.O_TRUNC != 0
	flags = flags&^unix.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	if p.tail && flags&unix.O_CREAT != 0 {
		return -1, unix.Stat_t{}, unix.EISDIR
	}
	// Opening can be an act where the file is a device, and wait for ever where it is a pipe: look first.
	st, err := p.Stat()
	if err == nil && !IsLink(st.Mode) {
		err = regular(st.Mode)
	}
	if err != nil && (p.tail || !errors.Is(err, unix.ENOENT)) {
		return -1, st, err
	}
	fd, err := openat(p.dir, p.name, flags, mode)
	if err != nil {
		return -1, unix.Stat_t{}, err
	}
	if err = unix.Fstat(fd, &st); err == nil {
		err = regular(st.Mode)
	}
	if err == nil && (truncate || flags&unix.O_ACCMODE != unix.O_RDONLY) {
		err = notProc(fd)
	}
	if err == nil && truncate && st.Size > 0 {
		err = unix.Ftruncate(fd, 0)
		st.Size = 0
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

func regular(mode uint32) error {
	switch {
	case IsDir(mode):
		return unix.EISDIR
	case !IsRegular(mode):
		return ErrNotRegular
	}
	return nil
}

// notProc refuses a file of procfs, wherever that is mounted: what is written there acts on processes, and the one that
// "self" stands for is this one.
func notProc(fd int) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type == unix.PROC_SUPER_MAGIC {
		return unix.EROFS
	}
	return nil
}

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// OpenDir opens the directory for reading its names.
func (p *Place) OpenDir() (*os.File, error) {
	fd, err := openat(p.dir, p.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p.Path), nil
}

// Readlink returns the text of the link.
func (p *Place) Readlink() (string, error) { return readlink(p.dir, p.name) }

// Mkdir makes a directory.
func (p *Place) Mkdir(mode uint32) error { return unix.Mkdirat(p.dir, p.name, mode) }

// Unlink removes what is no directory, Rmdir an empty directory.
func (p *Place) Unlink() error { return unix.Unlinkat(p.dir, p.name, 0) }
func (p *Place) Rmdir() error  { return unix.Unlinkat(p.dir, p.name, unix.AT_REMOVEDIR) }

// Symlink makes a link with that text.
func (p *Place) Symlink(text string) error {
	if p.tail {
		return unix.ENOENT
	}
	return unix.Symlinkat(text, p.dir, p.name)
}

// Link gives the file at p a second name; a link is not followed.
func (p *Place) Link(to *Place) error { return unix.Linkat(p.dir, p.name, to.dir, to.name, 0) }

// Rename moves p over to.
func (p *Place) Rename(to *Place) error { return unix.Renameat(p.dir, p.name, to.dir, to.name) }

// RenameNew moves p to where nothing is.
func (p *Place) RenameNew(to *Place) error {
	err := unix.Renameat2(p.dir, p.name, to.dir, to.name, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if _, statErr := to.Stat(); statErr == nil { // a file system without that flag
		return unix.EEXIST
	}
	return p.Rename(to)
}

// Chmod sets the permission bits of what is no link.
func (p *Place) Chmod(mode uint32) error {
	err := unix.Fchmodat(p.dir, p.name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// Before Linux 6.6 only an open file's mode can be set without following links.
	st, err := p.Stat()
	if err != nil {
		return err
	}
	if !IsRegular(st.Mode) && !IsDir(st.Mode) {
		return unix.EOPNOTSUPP
	}
	fd, err := openat(p.dir, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Fchmod(fd, mode)
}

// Chown sets the owner, of a link itself.
func (p *Place) Chown(uid, gid int) error {
	return unix.Fchownat(p.dir, p.name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
}

// Chtimes sets access and modification time, of a link itself.
func (p *Place) Chtimes(atime, mtime unix.Timespec) error {
	return unix.UtimesNanoAt(p.dir, p.name, []unix.Timespec{atime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
}

// Statfs tells of the file system at the place.
func (p *Place) Statfs() (unix.Statfs_t, error) {
	var st unix.Statfs_t
	fd, err := openat(p.dir, p.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return st, err
	}
	defer func() { _ = unix.Close(fd) }()
	return st, unix.Fstatfs(fd, &st)
}
