package imports

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/podbastion/podbastion/"

// TestTable reads every source file of the product, whatever its build tags.
func TestTable(t *testing.T) {
	files, err := sources("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d source files were found", len(files))
	}
	for _, f := range files {
		for _, problem := range check(f.pkg, f.imports) {
			t.Errorf("%s: %s", f.name, problem)
		}
	}
	unused(t, files)
}

type source struct {
	name, pkg string
	imports   []string
}

func sources(root string) ([]source, error) {
	var out []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			base := d.Name()
			if base == "testdata" || base == "vendor" || base == "tools" || len(base) > 2 && base[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s := source{name: rel, pkg: path.Dir(filepath.ToSlash(rel))}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// covers tells whether a pattern stands for a package.
func covers(pattern, pkg string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pkg == pattern
}

func anyCovers(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, pkg) })
}

// rowOf is the row that counts: the package's own, else the longest pattern.
func rowOf(pkg string) *row {
	var best *row
	for i := range table {
		r := &table[i]
		if r.pkg == pkg {
			return r
		}
		if covers(r.pkg, pkg) && (best == nil || len(r.pkg) > len(best.pkg)) {
			best = r
		}
	}
	return best
}

func check(pkg string, imports []string) []string {
	if slices.Contains(testPackages, pkg) {
		return nil
	}
	r := rowOf(pkg)
	if r == nil {
		return []string{fmt.Sprintf("package %s is not in the table: add a row that says what it may import, and why nothing else", pkg)}
	}
	var out []string
	for _, i := range imports {
		own, isOwn := strings.CutPrefix(i, module)
		switch {
		case isOwn && slices.Contains(testPackages, own):
			out = append(out, fmt.Sprintf("imports %s, which is for tests", own))
		case isOwn && !anyCovers(r.may, own):
			out = append(out, fmt.Sprintf("%s may not import %s: %s", pkg, own, r.why))
		}
		for _, b := range bans {
			if anyCovers(b.imports, i) && (b.in == nil || anyCovers(b.in, pkg)) && !anyCovers(b.but, pkg) {
				out = append(out, fmt.Sprintf("%s may not import %s: %s", pkg, i, b.why))
			}
		}
	}
	return out
}

// unused finds rows for packages that there are not any more.
func unused(t *testing.T, files []source) {
	t.Helper()
	for _, r := range table {
		if !strings.HasSuffix(r.pkg, "/...") && !slices.ContainsFunc(files, func(s source) bool { return s.pkg == r.pkg }) && !planned[r.pkg] {
			t.Errorf("the table has a row for %s, which does not exist", r.pkg)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table {
		if r.why == "" || seen[r.pkg] {
			t.Errorf("%s: a row needs a reason, and to be the only one", r.pkg)
		}
		seen[r.pkg] = true
	}
	for _, b := range bans {
		if b.why == "" {
			t.Errorf("the ban of %v has no reason", b.imports)
		}
	}
}

// TestCheck breaks the rules on purpose.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		pkg, imports, says string
	}{
		{"bastion/route", module + "auth", ""},
		{"bastion/route", module + "bastion/store", "it declares the index"},
		{"bastion/sshd", module + "agent", "the SSH front ends"},
		{"auth/policy", module + "shellparse/syntax", ""},
		{"auth/policy", module + "shellparse/line", "pure function"},
		{"auth/policy", "os", "these are pure"},
		{"auth/newmethod", module + "auth", ""},
		{"auth/newmethod", module + "bastion/session", "verifiers know nothing"},
		{"agent", module + "bastion/target", "runs on every node"},
		{"agent", "k8s.io/client-go/rest", "credentials"},
		{"bastion/session", "k8s.io/client-go/tools/cache", "one place watches"},
		{"bastion/kube", "k8s.io/client-go/tools/cache", ""},
		{"bastion/guard", "os/exec", "runs nothing"},
		{"agent/runtime/process", "os/exec", ""},
		{"auth", "math/rand/v2", "guessed"},
		{"internal/ops", "net/http/pprof", "default mux"},
		{"bastion", "testing", "test helpers"},
		{"bastion", "testing/iotest", "test helpers"},
		{"bastion/store", module + "bastion/store/storetest", "for tests"},
		{"bastion/store/storetest", "testing", ""},
		{"internal/tty", module + "auth", "what all may import"},
		{"newfolder", "fmt", "not in the table"},
	} {
		got := strings.Join(check(c.pkg, []string{c.imports}), "; ")
		if (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s imports %s: %q, want …%s…", c.pkg, c.imports, got, c.says)
		}
	}
}
