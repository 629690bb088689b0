// Package tree finds and opens places in one directory tree. A place is held by the descriptor of its directory and
// its last name, so what was looked at is what is opened, whoever renames meanwhile; and its path is known with every
// link on the way resolved, so that a policy can judge it. No link, "..", or magic link under /proc leads out of the
// tree: links are read as text and walked from the tree's root. Only regular files and directories are opened.
//
// It knows no policy and no protocol. Errors are syscall errors, as the kernel gave them.
package tree

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxLinks = 40   // as the kernel has it
	maxPath  = 4096 // PATH_MAX
)

// Root is a tree. It is safe for concurrent use.
type Root struct {
	fd     int
	prefix string // path of the root as its users see it; empty for /
}

// Open opens the tree at dir. Paths in it begin with prefix: empty where dir is the root that its users see.
func Open(dir, prefix string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Root{fd: fd, prefix: strings.TrimRight(prefix, "/")}, nil
}

// Close lets go of the tree.
func (r *Root) Close() error { return unix.Close(r.fd) }

// Place is a name in a directory of the tree, whether or not something has that name.
type Place struct {
	Path string // absolute; no link in it, but perhaps the place itself
	dir  int
	name string // "." for the root, and for a directory that was named by its ".."
	tail bool   // a slash was behind the name: it is a directory's, or nothing's
}

// Close lets go of the place. Files opened at it stay open.
func (p *Place) Close() { _ = unix.Close(p.dir) }

// Locate finds an absolute path. With follow the place itself is no link, unless somebody makes it one later.
func (r *Root) Locate(name string, follow bool) (*Place, error) {
	tail := strings.HasSuffix(name, "/") || strings.HasSuffix(name, "/.")
	p, err := r.locate(name, follow || tail)
	if err == nil {
		p.tail = tail
	}
	return p, err
}

func (r *Root) locate(name string, follow bool) (*Place, error) {
	parts, err := r.split(name)
	if err != nil {
		return nil, err
	}
	if len(parts) > 0 && !contains(parts, "..") {
		last := len(parts) - 1
		dir, err := r.openDir(parts[:last])
		if err == nil {
			p := &Place{Path: r.join(parts), dir: dir, name: parts[last]}
			if !follow || !p.isLink() {
				return p, nil
			}
			p.Close()
		} else if !errors.Is(err, unix.ELOOP) {
			return nil, err
		}
	}
	w := walk{root: r, todo: parts, follow: follow}
	return w.run()
}

// split cuts an absolute path into names, without the prefix.
func (r *Root) split(name string) ([]string, error) {
	switch {
	case len(name) >= maxPath:
		return nil, unix.ENAMETOOLONG
	case !strings.HasPrefix(name, "/"):
		return nil, unix.EINVAL
	case strings.IndexByte(name, 0) >= 0:
		return nil, unix.EINVAL
	}
	if r.prefix != "" {
		rest, ok := strings.CutPrefix(name, r.prefix)
		if !ok || rest != "" && rest[0] != '/' {
			return nil, unix.EACCES
		}
		name = rest
	}
	return names(name), nil
}

func names(s string) []string {
	var parts []string
	for part := range strings.SplitSeq(s, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return parts
}

func contains(parts []string, s string) bool {
	for _, p := range parts {
		if p == s {
			return true
		}
	}
	return false
}

func (r *Root) join(parts []string) string {
	if len(parts) == 0 && r.prefix == "" {
		return "/"
	}
	if len(parts) == 0 {
		return r.prefix
	}
	return r.prefix + "/" + strings.Join(parts, "/")
}

// openDir opens a directory without passing any link.
func (r *Root) openDir(parts []string) (int, error) {
	name := "."
	if len(parts) > 0 {
		name = strings.Join(parts, "/")
	}
	return openNoLinks(r.fd, name)
}

func openNoLinks(dir int, name string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

func (p *Place) isLink() bool {
	st, err := p.Stat()
	return err == nil && IsLink(st.Mode)
}

func readlink(dir int, name string) (string, error) {
	buf := make([]byte, maxPath)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	if n == len(buf) {
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}

// walk goes through a path that has links or ".." in it, one name at a time.
type walk struct {
	root   *Root
	todo   []string
	follow bool

	done  []string // names from the root to dir
	dir   int
	links int
}

func (w *walk) run() (*Place, error) {
	dir, err := w.root.openDir(nil)
	if err != nil {
		return nil, err
	}
	w.dir = dir
	for len(w.todo) > 0 {
		p, err := w.step()
		if err != nil {
			_ = unix.Close(w.dir)
			return nil, err
		}
		if p != nil {
			return p.short()
		}
	}
	return (&Place{Path: w.root.join(w.done), dir: w.dir, name: "."}).short()
}

// short refuses a path that links made longer than any that can be named: events and rules have it as it is resolved.
func (p *Place) short() (*Place, error) {
	if len(p.Path) >= maxPath {
		p.Close()
		return nil, unix.ENAMETOOLONG
	}
	return p, nil
}

// step takes one name. It returns a place when that was the last.
func (w *walk) step() (*Place, error) {
	name := w.todo[0]
	if name == ".." {
		w.todo = w.todo[1:]
		return nil, w.to(w.done[:max(0, len(w.done)-1)])
	}
	last := len(w.todo) == 1
	text, err := readlink(w.dir, name)
	switch {
	case err == nil && (!last || w.follow):
		return nil, w.link(text)
	case err == nil || last && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)):
		return &Place{Path: w.root.join(append(w.done[:len(w.done):len(w.done)], name)), dir: w.dir, name: name}, nil
	case !errors.Is(err, unix.EINVAL): // EINVAL: it is there and no link
		return nil, err
	}
	next, err := openNoLinks(w.dir, name)
	if errors.Is(err, unix.ELOOP) { // it became a link just now
		if w.links++; w.links > maxLinks {
			return nil, err
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_ = unix.Close(w.dir)
	w.dir, w.done, w.todo = next, append(w.done, name), w.todo[1:]
	return nil, nil
}

// to starts over at a directory that was passed before.
func (w *walk) to(parts []string) error {
	dir, err := w.root.openDir(parts)
	if err != nil {
		return err
	}
	_ = unix.Close(w.dir)
	w.dir, w.done = dir, parts
	return nil
}

func (w *walk) link(text string) error {
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	if text == "" {
		return unix.ENOENT
	}
	more := names(text)
	if strings.HasPrefix(text, "/") {
		var err error
		if more, err = w.root.split(text); err != nil {
			return err
		}
		if err := w.to(nil); err != nil {
			return err
		}
	}
	w.todo = append(more, w.todo[1:]...)
	return nil
}
