package main

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/filewire"
)

// transfer prints what each role permits of a file transfer. It is denied when no role lets any of it through.
func (q *explainRequest) transfer(out io.Writer, roles []*auth.Role, h filewire.Header) error {
	denied := len(roles) > 0
	for _, r := range roles {
		fmt.Fprintf(out, "role %s\n", r.Name)
		describeFiles(out, r)
		allowed := q.transferred(out, r, h)
		fmt.Fprintf(out, "verdict: %s\n", map[bool]auth.Action{true: auth.Allow, false: auth.Deny}[allowed])
		denied = denied && !allowed
	}
	return status(denied)
}

// transferred judges the paths as they are written: where they lead only the container tells.
func (q *explainRequest) transferred(out io.Writer, r *auth.Role, h filewire.Header) bool {
	if !anyFiles(r.Files) {
		fmt.Fprintln(out, "  the role does not permit to copy files")
		return false
	}
	if h.SCP == nil {
		fmt.Fprintln(out, "  each file is judged by where its path leads")
		return true
	}
	name, rules := "download", r.Files.Download
	if h.SCP.Sink {
		name, rules = "upload", r.Files.Upload
	}
	allowed := false
	for _, p := range h.SCP.Paths {
		how := "not permitted"
		switch abs, known := q.absolute(p); {
		case len(rules) == 0:
		case !known:
			allowed, how = true, "depends on the path"
		case matching(rules, abs) != nil:
			allowed, how = true, "permitted"+limit(*matching(rules, abs))
		case below(rules, abs):
			allowed, how = true, "not permitted but, if it is a directory, some of what is in it"
		}
		fmt.Fprintf(out, "  %s of %s: %s\n", name, visible(p), how)
	}
	return allowed
}

// absolute is the path that one of scp's means, if it can be told here.
func (q *explainRequest) absolute(p string) (string, bool) {
	if strings.ContainsAny(p, `*?[\`) {
		return "", false
	}
	home := q.home
	if home == "" {
		home = q.dir
	}
	switch rest, tilde := strings.CutPrefix(p, "~"); {
	case strings.HasPrefix(p, "/"):
		return path.Clean(p), true
	case tilde && rest != "" && rest[0] != '/':
		return "", false
	case tilde:
		p = rest
	}
	return path.Join(home, p), strings.HasPrefix(home, "/")
}

// matching is the rule that decides.
func matching(rules []auth.FileRule, p string) *auth.FileRule {
	for i := range rules {
		if rules[i].Match(p) {
			return &rules[i]
		}
	}
	return nil
}

// below says whether a rule may match something in the directory.
func below(rules []auth.FileRule, dir string) bool {
	dir = strings.TrimRight(dir, "/") + "/"
	for _, r := range rules {
		for _, g := range r.Paths {
			head := g.String()
			i := strings.IndexAny(head, `*?[\`)
			if i >= 0 {
				head = head[:i]
			}
			if strings.HasPrefix(head, dir) || i >= 0 && strings.HasPrefix(dir, head) {
				return true
			}
		}
	}
	return false
}

func anyFiles(f auth.Files) bool {
	return len(f.Upload)+len(f.Download)+len(f.Remove)+len(f.Rename)+len(f.Mkdir)+len(f.Chmod) > 0
}

// describeFiles prints a role's file rules.
func describeFiles(out io.Writer, r *auth.Role) {
	for _, k := range []struct {
		name  string
		rules []auth.FileRule
	}{{"upload", r.Files.Upload}, {"download", r.Files.Download}, {"remove", r.Files.Remove}, {"rename", r.Files.Rename}, {"mkdir", r.Files.Mkdir}, {"chmod", r.Files.Chmod}} {
		for _, f := range k.rules {
			fmt.Fprintf(out, "  files: %s %s%s\n", k.name, globs(f.Paths), limit(f))
		}
	}
}

func limit(f auth.FileRule) string {
	if f.MaxSize < 0 {
		return ""
	}
	return fmt.Sprintf(", up to %d bytes", f.MaxSize)
}
