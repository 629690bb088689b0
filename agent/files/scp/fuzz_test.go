package scp_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/scp"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/internal/filewire"
)

// folder is a tree with an empty directory, a file and a link that leads out.
func folder(t testing.TB) (files *access.Files, base string, events *[]filewire.Event) {
	t.Helper()
	base = t.TempDir()
	dir := filepath.Join(base, "in")
	for _, d := range []string{dir + "/to", dir + "/from/sub"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{dir + "/from/a": "content", dir + "/from/sub/b": "", base + "/out": "secret"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../out", dir+"/from/l"); err != nil {
		t.Fatal(err)
	}
	root, err := tree.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	all := []filewire.Rule{{Paths: []string{"/**"}}}
	events = new([]filewire.Event)
	files, err = access.New(root, "/", filewire.Rules{Upload: all, Download: all, Mkdir: all}, func(e filewire.Event) { *events = append(*events, e) })
	if err != nil {
		t.Fatal(err)
	}
	return files, base, events
}

func serve(files *access.Files, c filewire.Copy, in string) (string, error) {
	var out bytes.Buffer
	err := scp.Serve(context.Background(), strings.NewReader(in), &out, files, c)
	return out.String(), err
}

// FuzzScp: whatever comes, nothing beside the tree changes or shows.
func FuzzScp(f *testing.F) {
	for _, s := range []string{
		"C0644 3 a\nabc\x00", "T1 0 2 0\nD0755 0 d\nC0600 0 x\n\x00E\n", "C0644 3 ../a\nabc\x00", "D0755 0 ..\n", "\x01no\n\x02fatal\n",
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "C0644 99999999999999999999 a\n", "C0644 -1 a\n", "E\n", "\n", "C0644 5 a\nab",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, in string, sink bool) {
		if len(in) > 64<<10 {
			return
		}
		files, base, _ := folder(t)
		c := filewire.Copy{Sink: sink, Recursive: true, Preserve: true, Paths: []string{"/to"}}
		if !sink {
			c.Paths = []string{"/from", "/from/../../out"}
		}
		out, _ := serve(files, c, in)
		if strings.Contains(out, "secret") {
			t.Errorf("the secret shows: %q", out)
		}
		if b, err := os.ReadFile(base + "/out"); err != nil || string(b) != "secret" {
			t.Errorf("the secret is %q, %v", b, err)
		}
		if list, err := os.ReadDir(base); err != nil || len(list) != 2 {
			t.Errorf("beside the tree is %v, %v", list, err)
		}
	})
}

func TestHostileNames(t *testing.T) {
	for _, name := range []string{"../a", "/etc/x", "a/b", "..", ".", "", "a\x1b[2J", "a\x07", "a\u009b2J", "to/../../out", strings.Repeat("n", 256)} {
		for _, kind := range []string{"C0644 3 ", "D0755 0 "} {
			files, base, events := folder(t)
			_, err := serve(files, filewire.Copy{Sink: true, Recursive: true, Paths: []string{"/to"}}, kind+name+"\nabc\x00")
			if err == nil {
				t.Errorf("%q is taken", kind+name)
			}
			if list, err := os.ReadDir(base + "/in/to"); err != nil || len(list) != 0 {
				t.Errorf("%q left %v, %v", kind+name, list, err)
			}
			if len(*events) != 0 {
				t.Errorf("%q: events %+v", kind+name, *events)
			}
		}
	}
}

func TestSink(t *testing.T) {
	files, base, events := folder(t)
	out, err := serve(files, filewire.Copy{Sink: true, Recursive: true, Preserve: true, Paths: []string{"/to"}},
		"T1600000000 0 1600000001 0\nD0750 0 d\nT5 0 6 0\nC0640 3 a\nabc\x00E\n")
	if err != nil || strings.Trim(out, "\x00") != "" {
		t.Fatalf("%q, %v", out, err)
	}
	st, err := os.Stat(base + "/in/to/d/a")
	if err != nil || st.Mode().Perm() != 0o640 || st.ModTime().Unix() != 5 {
		t.Error(st, err)
	}
	if st, err := os.Stat(base + "/in/to/d"); err != nil || st.Mode().Perm() != 0o750 || st.ModTime().Unix() != 1_600_000_000 {
		t.Error(st, err)
	}
	last := (*events)[len(*events)-1]
	for _, e := range *events {
		if e.Type == "file.write" {
			last = e
		}
	}
	// printf abc | sha256sum
	if last.Outcome != filewire.Complete || last.SHA256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("%+v", last)
	}
}

// Without -p no file becomes set-user-ID by being copied, nor a directory set-group-ID.
func TestSinkModes(t *testing.T) {
	for preserve, want := range map[bool]map[string]os.FileMode{
		false: {"d": os.ModeDir | 0o555, "d/a": 0o755},
		true:  {"d": os.ModeDir | os.ModeSetgid | 0o555, "d/a": os.ModeSetuid | os.ModeSetgid | 0o755},
	} {
		files, base, _ := folder(t)
		if out, err := serve(files, filewire.Copy{Sink: true, Recursive: true, Preserve: preserve, Paths: []string{"/to"}}, "D2555 0 d\nC6755 3 a\nabc\x00E\n"); err != nil {
			t.Errorf("%q, %v", out, err)
		}
		for name, mode := range want {
			if st, err := os.Stat(base + "/in/to/" + name); err != nil || st.Mode() != mode {
				t.Errorf("preserved: %v: %s: %v, %v, want %v", preserve, name, st.Mode(), err, mode)
			}
		}
	}
}

func TestSinkCutOff(t *testing.T) {
	for in, why := range map[string]string{
		"C0644 5 a\nab":               "the stream ends",
		"C0644 2 a\nab\x01it broke\n": "the sender could not read it",
	} {
		files, _, events := folder(t)
		_, err := serve(files, filewire.Copy{Sink: true, Paths: []string{"/to"}}, in)
		if err == nil {
			t.Errorf("%s: the copy ends well", why)
		}
		e := (*events)[len(*events)-1]
		if e.Type != "file.write" || e.Outcome != filewire.Partial || e.SHA256 != "" {
			t.Errorf("%s: %+v", why, e)
		}
	}
	files, base, _ := folder(t)
	if _, err := serve(files, filewire.Copy{Sink: true, Paths: []string{"/to"}}, "D0755 0 d\n"); err == nil {
		t.Error("a directory that nobody asked for is taken")
	}
	if list, _ := os.ReadDir(base + "/in/to"); len(list) != 0 {
		t.Errorf("it left %v", list)
	}
}

func TestSource(t *testing.T) {
	files, _, _ := folder(t)
	out, err := serve(files, filewire.Copy{Recursive: true, Paths: []string{"/fr*"}}, strings.Repeat("\x00", 40))
	want := "D0755 0 from\nC0644 7 a\ncontent\x00"
	if err == nil || !strings.HasPrefix(out, want) { // the link leads nowhere in the tree, which is told
		t.Errorf("%q, %v", out, err)
	}
	if !strings.Contains(out, "\x01scp: /from/l: no such file") || !strings.Contains(out, "D0755 0 sub\nC0644 0 b\n\x00E\n") || strings.Contains(out, "secret") {
		t.Errorf("%q", out)
	}
	if out, err := serve(files, filewire.Copy{Paths: []string{"/from"}}, strings.Repeat("\x00", 40)); err == nil || !strings.Contains(out, "not a regular file") {
		t.Errorf("a directory without -r: %q, %v", out, err)
	}
	if out, err := serve(files, filewire.Copy{Paths: []string{"/none*"}}, strings.Repeat("\x00", 40)); err == nil || !strings.HasPrefix(out, "\x01") {
		t.Errorf("a pattern without a match: %q, %v", out, err)
	}
	if _, err := serve(files, filewire.Copy{Paths: []string{"/from/a"}}, "\x00\x00"); err == nil {
		t.Error("a client that goes before it has all counts as served")
	}
}

// What a name in the container does to a terminal it does to that of whoever copies it: it is told in safe form, and left.
func TestSourceLeavesNames(t *testing.T) {
	for _, name := range []string{"a\x1b]0;owned\x07", "a\nC0644 4 evil", "a\r", "a\u009b2J", "a\x7f"} {
		for _, dir := range []bool{false, true} {
			files, base, events := folder(t)
			var err error
			if dir {
				err = os.Mkdir(base+"/in/to/"+name, 0o755)
			} else {
				err = os.WriteFile(base+"/in/to/"+name, []byte("x"), 0o644)
			}
			if err == nil {
				err = os.WriteFile(base+"/in/to/b", []byte("fine"), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			out, err := serve(files, filewire.Copy{Recursive: true, Paths: []string{"/to"}}, strings.Repeat("\x00", 40))
			if err == nil || !strings.Contains(out, "control characters") {
				t.Errorf("%q is not told: %q, %v", name, out, err)
			}
			if tail := name[1:]; strings.Contains(out, tail) {
				t.Errorf("%q is sent: %q", name, out)
			}
			if !strings.Contains(out, "C0644 4 b\nfine\x00E\n") {
				t.Errorf("the file beside %q is not sent: %q", name, out)
			}
			for _, e := range *events {
				if e.Type == "file.read" && e.Path != "/to/b" {
					t.Errorf("%+v", e)
				}
			}
		}
	}
}

// A directory is sent whole, however many batches its names are.
func TestSourceSendsAll(t *testing.T) {
	files, base, _ := folder(t)
	const n = 5000
	for i := range n {
		if err := os.WriteFile(fmt.Sprintf("%s/in/to/%04d", base, i), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := serve(files, filewire.Copy{Recursive: true, Paths: []string{"/to"}}, strings.Repeat("\x00", 2*n+10))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if c := strings.Count(out, fmt.Sprintf("C0644 0 %04d\n", i)); c != 1 {
			t.Errorf("%04d is sent %d times", i, c)
		}
	}
}
