package access

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/audit"
)

// Attributes are what a client wants a file to have; nil is to leave it.
type Attributes struct {
	Size  *uint64
	Owner *Owner
	Mode  *uint32 // permission bits
	Times *Times
}

// Owner is a user and a group, by number.
type Owner struct{ UID, GID uint32 }

// Times are those of a file's last access and last change of content.
type Times struct{ Access, Modify unix.Timespec }

// Setattr sets attributes at a path; with follow, of what a link leads to.
func (f *Files) Setattr(p string, a Attributes, follow bool) error {
	for range maxRetries {
		pl, err := f.locate(p, follow)
		if err != nil {
			return err
		}
		err = f.setattr(pl, a)
		pl.Close()
		if !errors.Is(err, unix.ELOOP) {
			return err
		}
	}
	return unix.ELOOP
}

func (f *Files) setattr(pl *tree.Place, a Attributes) error {
	st, err := pl.Stat()
	if err != nil {
		return err
	}
	if a.Size != nil {
		if err := f.truncate(pl, *a.Size); err != nil {
			return err
		}
	}
	if a.Owner == nil && a.Mode == nil && a.Times == nil {
		return nil
	}
	if !f.mayTouch(pl.Path, st.Mode, a) {
		return f.deny(audit.FileSetstat, "change attributes of", pl.Path, "")
	}
	began := time.Now()
	err = nil
	if a.Owner != nil {
		err = pl.Chown(int(a.Owner.UID), int(a.Owner.GID))
	}
	if a.Mode != nil && err == nil {
		err = pl.Chmod(*a.Mode & 0o7777)
	}
	if a.Times != nil && err == nil {
		err = pl.Chtimes(a.Times.Access, a.Times.Modify)
	}
	if errors.Is(err, unix.ELOOP) {
		return err // not an end yet: the place is looked for again
	}
	return f.done(audit.FileSetstat, began, pl.Path, "", err)
}

// mayTouch judges mode, times and owner. Who may write a file or make a directory may say with which mode and times,
// as they may when they make it; the rest, and the owner, is for roles with chmod.
func (f *Files) mayTouch(p string, mode uint32, a Attributes) bool {
	if f.chmod.permit(p) {
		return true
	}
	if a.Owner != nil {
		return false
	}
	if tree.IsDir(mode) {
		return f.mkdir.permit(p)
	}
	return f.upload.permit(p)
}

// truncate is a write without bytes.
func (f *Files) truncate(pl *tree.Place, size uint64) error {
	most, ok := f.upload.match(pl.Path)
	if !ok {
		return f.deny(audit.FileWrite, "write", pl.Path, "")
	}
	h := &File{files: f, path: pl.Path, most: most, kind: audit.FileWrite, began: time.Now()}
	fd, _, err := pl.OpenFile(unix.O_RDWR, 0)
	if h.reread = err == nil; errors.Is(err, unix.EACCES) {
		fd, _, err = pl.OpenFile(unix.O_WRONLY, 0)
	}
	if err != nil {
		return h.notOpened(err)
	}
	h.fd, h.written = fd, stream{broken: true}
	h.announce()
	err = h.truncate(size)
	return errors.Join(err, h.Close())
}
