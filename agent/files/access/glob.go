package access

import (
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/tree"
)

// maxMatches bounds what one pattern stands for.
const maxMatches = 100_000

// Glob finds what a shell's pattern stands for: *, ? and [ ] within one name, where \ quotes. Names with a dot before
// them must be asked for. A pattern without such characters stands for itself, whether it is there or not; one that
// matches nothing is an error. A ~ at the start is the home, ~user that of a user whom the container knows.
func (f *Files) Glob(pattern string) ([]string, error) {
	pattern = f.tilde(pattern)
	if !magic(pattern) {
		return []string{unescape(pattern)}, nil
	}
	found := []string{""}
	if strings.HasPrefix(pattern, "/") {
		found = []string{"/"}
	}
	parts := strings.Split(strings.Trim(pattern, "/"), "/")
	for i, part := range parts {
		if part == "" {
			continue
		}
		var next []string
		for _, dir := range found {
			names, err := f.expand(dir, part, i < len(parts)-1)
			if err != nil {
				return nil, err
			}
			if next = append(next, names...); len(next) > maxMatches {
				return nil, unix.E2BIG
			}
		}
		found = next
	}
	if len(found) == 0 {
		return nil, unix.ENOENT
	}
	return found, nil
}

func (f *Files) tilde(pattern string) string {
	rest, ok := strings.CutPrefix(pattern, "~")
	if !ok {
		return pattern
	}
	user, _, _ := strings.Cut(rest, "/")
	home := f.home
	if user != "" {
		if home, ok = f.NamesOnce()().Home(user); !ok {
			return pattern // as with a shell
		}
	}
	if home = escape(strings.TrimRight(home, "/")) + rest[len(user):]; home == "" {
		return "/"
	}
	return home
}

// expand finds the names in a directory that one part of a pattern matches.
func (f *Files) expand(dir, part string, mustBeDir bool) ([]string, error) {
	if !magic(part) {
		p := dir + unescape(part)
		st, err := f.Stat(p)
		switch {
		case err != nil || mustBeDir && !tree.IsDir(st.Mode):
			return nil, nil
		case mustBeDir:
			p += "/"
		}
		return []string{p}, nil
	}
	if _, err := path.Match(part, ""); err != nil {
		return nil, unix.EINVAL
	}
	where := dir
	if where == "" {
		where = "."
	}
	d, err := f.OpenDir(where)
	if err != nil {
		return nil, nil // as with a shell: what cannot be listed matches nothing
	}
	defer d.Close()
	var out []string
	for {
		names, err := d.Readdirnames(1000)
		for _, name := range names {
			if strings.HasPrefix(name, ".") && !strings.HasPrefix(strings.TrimPrefix(part, `\`), ".") {
				continue
			}
			if ok, _ := path.Match(part, name); !ok {
				continue
			}
			p := dir + name
			if mustBeDir {
				if st, err := f.Stat(p); err != nil || !tree.IsDir(st.Mode) {
					continue
				}
				p += "/"
			}
			if out = append(out, p); len(out) > maxMatches {
				return nil, unix.E2BIG
			}
		}
		if err != nil {
			break
		}
	}
	slices.Sort(out)
	return out, nil
}

// magic tells whether a pattern stands for more than itself.
func magic(p string) bool {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

func unescape(p string) string {
	if !strings.Contains(p, `\`) {
		return p
	}
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '\\' && i+1 < len(p) {
			i++
		}
		b.WriteByte(p[i])
	}
	return b.String()
}

func escape(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// One is the single path that a pattern stands for. As with a shell a pattern that matches nothing stands for itself.
func (f *Files) One(pattern string) (string, error) {
	names, err := f.Glob(pattern)
	switch {
	case errors.Is(err, unix.ENOENT):
		return unescape(f.tilde(pattern)), nil
	case err != nil:
		return "", err
	case len(names) != 1:
		return "", errors.New("more than one file has a name like that")
	}
	return names[0], nil
}
