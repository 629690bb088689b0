package access_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/internal/filewire"
)

// within gives access to all of a directory; last is the newest event but announcements and notices.
func within(t *testing.T, dir string) (files *access.Files, last func() filewire.Event) {
	t.Helper()
	root, err := tree.Open(dir, "")
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	all := []filewire.Rule{{Paths: []string{"/**"}}}
	var newest filewire.Event
	files, err = access.New(root, "/", filewire.Rules{Upload: all, Download: all, Remove: all, Rename: all, Mkdir: all, Chmod: all}, func(e filewire.Event) {
		if e.Type != filewire.Open && e.Type != filewire.Notice {
			newest = e
		}
	})
	must(t, err)
	return files, func() filewire.Event { return newest }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestReadsAreTold(t *testing.T) {
	const ten = "0123456789"
	type part struct{ off, n int64 }
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/ten", []byte(ten), 0o644))
	must(t, os.WriteFile(dir+"/empty", nil, 0o644))
	must(t, os.WriteFile(dir+"/large", nil, 0o644))
	must(t, os.Truncate(dir+"/large", 70<<20))
	must(t, os.WriteFile(dir+"/scattered", []byte(strings.Repeat("x", 10_000)), 0o644))
	var odd, scattered []part
	for off := int64(1); off < 10_000; off += 2 {
		odd = append(odd, part{off, 1})
		scattered = append(scattered, part{off - 1, 1})
	}
	scattered = append(odd, scattered...)
	proc := "/proc/self/status"
	for name, x := range map[string]struct {
		file    string
		reads   []part
		outcome string
		sum     string
		reason  string
		change  bool
	}{
		"in order":                  {file: "/ten", reads: []part{{0, 4}, {4, 6}}, outcome: "complete", sum: sum(ten)},
		"backwards":                 {file: "/ten", reads: []part{{5, 5}, {0, 5}}, outcome: "complete", sum: sum(ten)},
		"twice":                     {file: "/ten", reads: []part{{0, 10}, {0, 10}}, outcome: "complete", sum: sum(ten)},
		"the start again":           {file: "/ten", reads: []part{{0, 4}, {0, 2}, {4, 6}}, outcome: "complete", sum: sum(ten)},
		"overlapping":               {file: "/ten", reads: []part{{6, 4}, {2, 5}, {0, 3}}, outcome: "complete", sum: sum(ten)},
		"nothing":                   {file: "/ten", outcome: "partial", reason: "not read to the end"},
		"the start":                 {file: "/ten", reads: []part{{0, 9}}, outcome: "partial", reason: "not read to the end"},
		"without the first":         {file: "/ten", reads: []part{{5, 5}, {1, 4}}, outcome: "partial", reason: "not read to the end"},
		"without one in the middle": {file: "/ten", reads: []part{{5, 5}, {0, 4}}, outcome: "partial", reason: "not read to the end"},
		"without the last":          {file: "/ten", reads: []part{{4, 5}, {0, 4}}, outcome: "partial", reason: "not read to the end"},
		"changed":                   {file: "/ten", reads: []part{{5, 5}, {0, 5}}, outcome: "partial", reason: "changed while it was read", change: true},
		"an empty one":              {file: "/empty", reads: []part{{0, 5}}, outcome: "complete", sum: sum("")},
		"an empty one, not at all":  {file: "/empty", outcome: "complete", sum: sum("")},
		"a large one":               {file: "/large", reads: []part{{40 << 20, 30 << 20}, {0, 40 << 20}}, outcome: "complete", reason: "no sum: not read from start to end, and too large to be read again"},
		"too many parts":            {file: "/scattered", reads: scattered, outcome: "partial", reason: "not read to the end"},
		"the kernel's, some":        {file: proc, reads: []part{{0, 10}}, outcome: "partial", reason: "not read to the end"},
		"the kernel's, not at all":  {file: proc, outcome: "partial", reason: "not read to the end"},
	} {
		t.Run(name, func(t *testing.T) {
			where := dir
			if x.file == proc {
				where = "/"
			}
			files, last := within(t, where)
			f, err := files.Open(x.file, access.Mode{Read: true})
			must(t, err)
			var bytes int64
			for _, p := range x.reads {
				n, err := f.ReadAt(make([]byte, p.n), p.off)
				if err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				bytes += int64(n)
			}
			if x.change {
				must(t, os.WriteFile(dir+x.file, []byte("9876543210"), 0o644))
				defer func() { must(t, os.WriteFile(dir+x.file, []byte(ten), 0o644)) }()
			}
			must(t, f.Close())
			if e := last(); e.Outcome != x.outcome || e.SHA256 != x.sum || e.Reason != x.reason || *e.Bytes != bytes {
				t.Errorf("%+v of %d bytes", e, *e.Bytes)
			}
		})
	}
	// A client that goes without a word may lack the last bytes, unless it asked for more.
	for outcome, n := range map[string]int{"partial": 10, "complete": 11} {
		files, last := within(t, dir)
		f, err := files.Open("/ten", access.Mode{Read: true})
		must(t, err)
		for off := range n {
			if _, err := f.ReadAt(make([]byte, 1), int64(off)); err != nil && off < 10 {
				t.Fatal(err)
			}
		}
		f.Abandon("gone")
		if e := last(); e.Outcome != outcome || (e.Reason == "gone") != (outcome == "partial") {
			t.Errorf("%d reads, then gone: %+v", n, e)
		}
	}
	// The kernel's to its end: what passed is what the sum is of.
	files, last := within(t, "/")
	f, err := files.Open("/proc/sys/kernel/ostype", access.Mode{Read: true})
	must(t, err)
	buf := make([]byte, 100)
	n, err := f.ReadAt(buf, 0)
	must(t, err)
	if _, err := f.ReadAt(buf[n:], int64(n)); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	must(t, f.Close())
	if e := last(); e.Outcome != "complete" || e.SHA256 != sum(string(buf[:n])) {
		t.Errorf("%+v", e)
	}
}

// A container can have the node's /proc somewhere, in which "self" is whoever asks.
func TestProcIsNotWritten(t *testing.T) {
	files, last := within(t, "/")
	for _, name := range []string{"/proc/self/mem", "/proc/self/comm", "/proc/self/oom_score_adj"} {
		for mode, m := range map[string]access.Mode{
			"write": {Write: true}, "both": {Read: true, Write: true}, "append": {Write: true, Append: true}, "empty": {Read: true, Truncate: true},
		} {
			f, err := files.Open(name, m)
			if err == nil {
				_ = f.Close()
			}
			if !errors.Is(err, unix.EROFS) {
				t.Errorf("%s of %s: %v", mode, name, err)
			}
			if e := last(); e.Type != "file.write" || e.Outcome != "failed" {
				t.Errorf("%s of %s: %+v", mode, name, e)
			}
		}
		size := uint64(0)
		if err := files.Setattr(name, access.Attributes{Size: &size}, true); !errors.Is(err, unix.EROFS) {
			t.Errorf("emptying %s: %v", name, err)
		}
	}
	f, err := files.Open("/proc/self/comm", access.Mode{Read: true})
	must(t, err)
	must(t, f.Close())
}

// A link is judged by what it leads to, also one that leads nowhere yet.
func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"/yes", "/no"} {
		must(t, os.Mkdir(dir+d, 0o755))
		must(t, os.WriteFile(dir+d+"/f", []byte(d), 0o644))
	}
	for name, text := range map[string]string{"/yes/in": "f", "/yes/out": "../no/f", "/no/in": "/yes/f", "/no/new": "../yes/new", "/yes/new2": "../no/new2", "/yes/loop": "loop"} {
		must(t, os.Symlink(text, dir+name))
	}
	root, err := tree.Open(dir, "")
	must(t, err)
	defer func() { _ = root.Close() }()
	yes := []filewire.Rule{{Paths: []string{"/yes/**"}}}
	files, err := access.New(root, "/", filewire.Rules{Upload: yes, Download: yes}, func(filewire.Event) {})
	must(t, err)
	read, write := access.Mode{Read: true}, access.Mode{Write: true, Create: true, Perm: 0o644}
	for _, x := range []struct {
		name string
		mode access.Mode
		path string // that is opened
		err  error
	}{
		{"/yes/f", read, "/yes/f", nil}, {"/yes/in", read, "/yes/f", nil}, {"/no/in", read, "/yes/f", nil}, {"/no/in", write, "/yes/f", nil},
		{"/no/new", write, "/yes/new", nil}, {"/yes/out", read, "", access.ErrDenied}, {"/yes/out", write, "", access.ErrDenied},
		{"/yes/new2", write, "", access.ErrDenied}, {"/no/f", read, "", access.ErrDenied}, {"/yes/loop", read, "", unix.ELOOP}, {"/yes/none", read, "", unix.ENOENT},
		{"/no/new", access.Mode{Write: true, Create: true, Exclusive: true}, "", access.ErrDenied}, {"/yes/in", access.Mode{Write: true, Create: true, Exclusive: true}, "", unix.EEXIST},
	} {
		f, err := files.Open(x.name, x.mode)
		if !errors.Is(err, x.err) {
			t.Errorf("%s: %v, want %v", x.name, err, x.err)
		}
		if err == nil {
			if f.Path() != x.path {
				t.Errorf("%s opens %s", x.name, f.Path())
			}
			must(t, f.Close())
		}
	}
	if _, err := os.Stat(dir + "/no/new2"); err == nil {
		t.Error("a file is made where none may be")
	}
}

// A name with a slash behind it is a directory's: a client that means a directory neither overwrites a file nor makes one.
func TestSlashMeansDirectory(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", []byte("text"), 0o644))
	must(t, os.Mkdir(dir+"/dir", 0o755))
	must(t, os.Symlink("file", dir+"/link"))
	files, _ := within(t, dir)
	open := func(m access.Mode) func(string) error {
		return func(p string) error {
			f, err := files.Open(p, m)
			if err == nil {
				err = f.Close()
			}
			return err
		}
	}
	read, write := open(access.Mode{Read: true}), open(access.Mode{Write: true, Create: true, Truncate: true, Perm: 0o644})
	overwrite := open(access.Mode{Write: true, Truncate: true})
	look := func(p string) error { _, err := files.Stat(p); return err }
	move := func(p string) error { return files.Rename("/file", p, true) }
	link := func(p string) error { return files.Symlink("file", p) }
	times := func(p string) error { return files.Setattr(p, access.Attributes{Times: &access.Times{}}, true) }
	for _, x := range []struct {
		what string
		do   func(string) error
		p    string
		want error
	}{
		{"read", read, "/file/", unix.ENOTDIR}, {"read", read, "/link/", unix.ENOTDIR}, {"read", read, "/dir/", unix.EISDIR}, {"read", read, "/none/", unix.ENOENT},
		{"write", write, "/file/", unix.EISDIR}, {"write", write, "/link/.", unix.EISDIR}, {"write", write, "/dir/", unix.EISDIR}, {"write", write, "/none/", unix.EISDIR},
		{"overwrite", overwrite, "/file/", unix.ENOTDIR},
		{"stat", look, "/file/", unix.ENOTDIR}, {"stat", look, "/none/", unix.ENOENT}, {"stat", look, "/dir/", nil},
		{"setattr", times, "/file/", unix.ENOTDIR}, {"setattr", times, "/dir/", nil},
		{"symlink", link, "/none/", unix.ENOENT}, {"rename", move, "/none/", unix.ENOTDIR}, {"rename", move, "/dir/", unix.ENOTDIR},
		{"mkdir", func(p string) error { return files.Mkdir(p, 0o755) }, "/made/", nil},
	} {
		if err := x.do(x.p); !errors.Is(err, x.want) {
			t.Errorf("%s %s: %v, want %v", x.what, x.p, err, x.want)
		}
	}
	if b, err := os.ReadFile(dir + "/file"); err != nil || string(b) != "text" {
		t.Errorf("the file is %q, %v", b, err)
	}
	if _, err := os.Lstat(dir + "/none"); err == nil {
		t.Error("something was made")
	}
}

// A file that is cut off by its name is summed up as it stands, and that it could not be is told.
func TestTruncatedByNameIsTold(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", []byte("content"), 0o644))
	must(t, os.Mkdir(dir+"/dir", 0o755))
	files, last := within(t, dir)
	size := uint64(3)
	must(t, files.Setattr("/file", access.Attributes{Size: &size}, true))
	if e := last(); e.Type != "file.write" || e.Outcome != filewire.Complete || e.SHA256 != sum("con") || e.Reason != "" {
		t.Errorf("%+v", e)
	}
	if err := files.Setattr("/dir", access.Attributes{Size: &size}, true); !errors.Is(err, unix.EISDIR) {
		t.Error(err)
	}
	if e := last(); e.Type != "file.write" || e.Path != "/dir" || e.Outcome != filewire.Failed {
		t.Errorf("%+v", e)
	}
}
