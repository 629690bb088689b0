// Package access is what a session may do with a container's files and the memory of what it did: the role's file rules,
// judged on paths after they are resolved, limits of size while bytes flow, and an event for everything that was done
// or refused. It opens files through tree; it knows no protocol.
package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/internal/filewire"
)

// Reasons to refuse that are not the kernel's.
var (
	ErrDenied   = errors.New("not permitted by your role")
	ErrTooLarge = errors.New("larger than your role permits")
)

// maxRetries bounds how often a place that others keep changing is looked for again.
const maxRetries = 20

// rule permits paths, and files up to a size; negative is any.
type rule struct {
	paths   []glob.Path
	maxSize int64
}

// rules of one kind.
type rules []rule

// match returns how large a file may be at p, negative for any size.
func (r rules) match(p string) (maxSize int64, ok bool) {
	for _, rule := range r {
		if slices.ContainsFunc(rule.paths, func(g glob.Path) bool { return g.Match(p) }) {
			return rule.maxSize, true
		}
	}
	return 0, false
}

func (r rules) permit(p string) bool {
	_, ok := r.match(p)
	return ok
}

func compile(list []filewire.Rule) (rules, error) {
	var out rules
	for _, in := range list {
		r := rule{maxSize: -1}
		if in.MaxSize != nil {
			r.maxSize = *in.MaxSize
		}
		for _, s := range in.Paths {
			g, err := glob.ParsePath(s)
			if err != nil {
				return nil, fmt.Errorf("access: %q: %w", s, err)
			}
			r.paths = append(r.paths, g)
		}
		out = append(out, r)
	}
	return out, nil
}

// Files is one session's access to one tree. It is safe for concurrent use.
type Files struct {
	root *tree.Root
	home string
	emit func(filewire.Event)

	upload, download, remove, rename, mkdir, chmod rules

	id      atomic.Uint64
	noticed sync.Map // texts that the client has been told; bounded by maxNotices
	notices atomic.Int32
}

const maxNotices = 20

// New gives access to root under the rules of the header. Relative paths start at home. Events go to emit, one at a
// time for each file, in the order in which they happened.
func New(root *tree.Root, home string, r filewire.Rules, emit func(filewire.Event)) (*Files, error) {
	f := &Files{root: root, home: home, emit: emit}
	for _, k := range []struct {
		to   *rules
		from []filewire.Rule
	}{
		{&f.upload, r.Upload}, {&f.download, r.Download}, {&f.remove, r.Remove},
		{&f.rename, r.Rename}, {&f.mkdir, r.Mkdir}, {&f.chmod, r.Chmod},
	} {
		var err error
		if *k.to, err = compile(k.from); err != nil {
			return nil, err
		}
	}
	if len(f.upload)+len(f.download)+len(f.remove)+len(f.rename)+len(f.mkdir)+len(f.chmod) == 0 {
		return nil, ErrDenied
	}
	return f, nil
}

// Home is where relative paths start.
func (f *Files) Home() string { return f.home }

// Abs makes a path absolute; what is between its slashes stays as it is.
func (f *Files) Abs(p string) string {
	switch {
	case strings.HasPrefix(p, "/"):
		return p
	case p == "":
		return f.home
	}
	return strings.TrimRight(f.home, "/") + "/" + p
}

func (f *Files) locate(p string, follow bool) (*tree.Place, error) {
	return f.root.Locate(f.Abs(p), follow)
}

// Notice shows the client a line, once, and not many.
func (f *Files) Notice(text string) {
	if _, known := f.noticed.LoadOrStore(text, true); known || f.notices.Add(1) > maxNotices {
		return
	}
	f.emit(filewire.Event{Type: filewire.Notice, Reason: text})
}

// NotWritten shows the client why a file was not written whose client will not say which one it was.
func (f *Files) NotWritten(p string, err error) {
	if !errors.Is(err, ErrDenied) && !errors.Is(err, ErrTooLarge) { // which were shown
		f.Notice(quote(f.Abs(p)) + ": " + err.Error())
	}
}

// deny remembers a refusal by the rules and tells the client which one.
func (f *Files) deny(kind audit.Type, what, p, newPath string) error {
	f.emit(filewire.Event{
		Type: string(kind), Path: filewire.Printable(p), NewPath: filewire.Printable(newPath), Outcome: filewire.Denied, Reason: "the role does not permit to " + what,
	})
	f.Notice(fmt.Sprintf("your role does not permit to %s %s", what, quote(p)))
	return ErrDenied
}

// done remembers something that is over at once, and passes its error on.
func (f *Files) done(kind audit.Type, began time.Time, p, newPath string, err error) error {
	e := filewire.Event{
		Type: string(kind), Path: filewire.Printable(p), NewPath: filewire.Printable(newPath),
		Seconds: time.Since(began).Seconds(), Outcome: filewire.Complete,
	}
	if err != nil {
		e.Outcome, e.Reason = filewire.Failed, err.Error()
	}
	f.emit(e)
	return err
}

// quote makes a path fit for a terminal.
func quote(p string) string {
	if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\uFFFD' }) {
		return fmt.Sprintf("%q", p)
	}
	return p
}

// Stat and Lstat look at a path; Lstat does not follow a link at its end.
func (f *Files) Stat(p string) (unix.Stat_t, error)  { return f.stat(p, true) }
func (f *Files) Lstat(p string) (unix.Stat_t, error) { return f.stat(p, false) }

func (f *Files) stat(p string, follow bool) (unix.Stat_t, error) {
	pl, err := f.locate(p, follow)
	if err != nil {
		return unix.Stat_t{}, err
	}
	defer pl.Close()
	return pl.Stat()
}

// Statfs tells of the file system at a path.
func (f *Files) Statfs(p string) (unix.Statfs_t, error) {
	pl, err := f.locate(p, true)
	if err != nil {
		return unix.Statfs_t{}, err
	}
	defer pl.Close()
	return pl.Statfs()
}

// RealPath resolves a path; the last name need not exist.
func (f *Files) RealPath(p string) (string, error) {
	pl, err := f.locate(p, true)
	if errors.Is(err, fs.ErrPermission) {
		return path.Clean(f.Abs(p)), nil // a directory on the way is closed: the text is all that can be told
	}
	if err != nil {
		return "", err
	}
	defer pl.Close()
	return pl.Path, nil
}

// Readlink returns a link's text.
func (f *Files) Readlink(p string) (string, error) {
	pl, err := f.locate(p, false)
	if err != nil {
		return "", err
	}
	defer pl.Close()
	return pl.Readlink()
}

// OpenDir opens a directory for reading its names.
func (f *Files) OpenDir(p string) (*os.File, error) {
	for range maxRetries {
		pl, err := f.locate(p, true)
		if err != nil {
			return nil, err
		}
		dir, err := pl.OpenDir()
		pl.Close()
		if !errors.Is(err, unix.ELOOP) {
			return dir, err
		}
	}
	return nil, unix.ELOOP
}

// Mkdir makes a directory.
func (f *Files) Mkdir(p string, mode uint32) error {
	pl, err := f.locate(p, false)
	if err != nil {
		return err
	}
	defer pl.Close()
	if !f.mkdir.permit(pl.Path) {
		if st, err := pl.Stat(); err == nil && tree.IsDir(st.Mode) {
			return unix.EEXIST // nothing would be made: clients that copy trees go on
		}
		return f.deny(audit.FileMkdir, "make the directory", pl.Path, "")
	}
	began := time.Now()
	err = pl.Mkdir(mode)
	if errors.Is(err, unix.EEXIST) {
		return err
	}
	return f.done(audit.FileMkdir, began, pl.Path, "", err)
}

// Remove removes a file or link, Rmdir an empty directory.
func (f *Files) Remove(p string) error { return f.unlink(p, (*tree.Place).Unlink) }
func (f *Files) Rmdir(p string) error  { return f.unlink(p, (*tree.Place).Rmdir) }

// bare takes slashes off the end: what is meant is the name, also where it is a link.
func bare(p string) string {
	for len(p) > 1 && p[len(p)-1] == '/' {
		p = p[:len(p)-1]
	}
	return p
}

func (f *Files) unlink(p string, act func(*tree.Place) error) error {
	pl, err := f.locate(bare(p), false)
	if err != nil {
		return err
	}
	defer pl.Close()
	if !f.remove.permit(pl.Path) {
		return f.deny(audit.FileRemove, "remove", pl.Path, "")
	}
	began := time.Now()
	return f.done(audit.FileRemove, began, pl.Path, "", act(pl))
}

// Rename moves from over to, or, unless replace, to where nothing is.
func (f *Files) Rename(from, to string, replace bool) error {
	a, b, err := f.two(from, to)
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	if strings.HasSuffix(to, "/") { // it is to be a directory
		if st, err := a.Stat(); err == nil && !tree.IsDir(st.Mode) {
			return unix.ENOTDIR
		}
	}
	if !f.rename.permit(a.Path) || !f.rename.permit(b.Path) {
		return f.deny(audit.FileRename, "rename", a.Path, b.Path)
	}
	began := time.Now()
	if replace {
		err = a.Rename(b)
	} else {
		err = a.RenameNew(b)
	}
	return f.done(audit.FileRename, began, a.Path, b.Path, err)
}

func (f *Files) two(from, to string) (*tree.Place, *tree.Place, error) {
	a, err := f.locate(bare(from), false)
	if err != nil {
		return nil, nil, err
	}
	b, err := f.locate(bare(to), false)
	if err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// Link gives a file a second name: that is to read it there and to write it there.
func (f *Files) Link(from, to string) error {
	a, b, err := f.two(from, to)
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	if !f.upload.permit(a.Path) || !f.download.permit(a.Path) || !f.upload.permit(b.Path) {
		return f.deny(audit.FileLink, "link", a.Path, b.Path)
	}
	began := time.Now()
	return f.done(audit.FileLink, began, a.Path, b.Path, a.Link(b))
}

// Symlink makes a link at p with that text. What it leads to is judged when somebody follows it.
func (f *Files) Symlink(text, p string) error {
	if len(text) >= unix.PathMax { // the kernel takes no longer one, and no event is to carry it
		return unix.ENAMETOOLONG
	}
	pl, err := f.locate(p, false)
	if err != nil {
		return err
	}
	defer pl.Close()
	if !f.upload.permit(pl.Path) {
		return f.deny(audit.FileLink, "make the link", pl.Path, text)
	}
	began := time.Now()
	return f.done(audit.FileLink, began, pl.Path, text, pl.Symlink(text))
}
