package files_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/internal/filewire"
)

// pod makes a pretend pod's folder, and one beside it that must stay out of reach.
func pod(t *testing.T) (runtime.Container, string) {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "pod")
	for name, text := range map[string]string{"pod/in": "in", "outside/secret": "secret"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(base, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(base, name), []byte(text), 0o644))
	}
	return runtime.Container{PID: os.Getpid(), WorkDir: dir, Home: dir}, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, client *sftp.Client, path, content string) error {
	t.Helper()
	f, err := client.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Close())
}

func read(client *sftp.Client, path string) (string, error) {
	f, err := client.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(b), err
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestLocalStaysInside(t *testing.T) {
	c, dir := pod(t)
	outside := filepath.Join(filepath.Dir(dir), "outside")
	for name, text := range map[string]string{"abs": outside, "up": "../outside", "deep": "sub/../../outside", "loop": "loop", "in2": dir + "/in", "in3": "./in"} {
		must(t, os.Symlink(text, filepath.Join(dir, name)))
	}
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	_, client := open(t, files.Local{}, c, "", everything())
	if home, err := client.Getwd(); err != nil || home != dir {
		t.Errorf("home is %q, %v", home, err)
	}
	for _, p := range []string{"in", dir + "/in", "sub/../in", "in2", "in3", dir + "//./in"} {
		if got, err := read(client, p); err != nil || got != "in" {
			t.Errorf("%s reads %q, %v", p, got, err)
		}
	}
	for _, p := range []string{
		outside + "/secret", "../outside/secret", "abs/secret", "up/secret", "deep/secret", "sub/../../outside/secret", "/etc/passwd", "/", "..", dir + "x/secret",
		"loop/x", dir + "/../outside/secret", "in\x00x", strings.Repeat("a/", 3000) + "x",
	} {
		if got, err := read(client, p); err == nil {
			t.Errorf("%s reads %q", p, got)
		}
		if err := write(t, client, p, "changed"); err == nil {
			t.Errorf("%s is written", p)
		}
		if err := client.Remove(p); err == nil {
			t.Errorf("%s is removed", p)
		}
		if err := client.Rename("in", p); err == nil {
			t.Errorf("in is moved to %s", p)
		}
		if err := client.Chmod(p, 0o777); err == nil && p != ".." {
			t.Errorf("%s gets another mode", p)
		}
	}
	if b, err := os.ReadFile(outside + "/secret"); err != nil || string(b) != "secret" {
		t.Errorf("the secret is %q, %v", b, err)
	}
}

func TestRules(t *testing.T) {
	c, dir := pod(t)
	for _, d := range []string{"up", "down", "both"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, d, "f"), []byte("content"), 0o644))
	}
	must(t, os.Symlink("../down/f", filepath.Join(dir, "up/link")))
	must(t, os.Symlink("../up/f", filepath.Join(dir, "down/link")))
	small := int64(10)
	rule := func(max *int64, paths ...string) []filewire.Rule {
		r := filewire.Rule{MaxSize: max}
		for _, p := range paths {
			r.Paths = append(r.Paths, dir+p)
		}
		return []filewire.Rule{r}
	}
	x, client := open(t, files.Local{}, c, "", filewire.Rules{
		Upload: rule(&small, "/up/**", "/both/**"), Download: rule(&small, "/down/**", "/both/**"), Mkdir: rule(nil, "/up/*"),
	})
	for p, permitted := range map[string]bool{"up/f": false, "up/link": true, "down/f": true, "down/link": false, "both/f": true, "in": false} {
		if _, err := read(client, p); (err == nil) != permitted {
			t.Errorf("reading %s: %v", p, err)
		}
	}
	for p, permitted := range map[string]bool{"up/f": true, "up/link": false, "down/f": false, "down/link": true, "both/f": true, "in": false, "up/new": true, "new": false} {
		if err := write(t, client, p, "12345"); (err == nil) != permitted {
			t.Errorf("writing %s: %v", p, err)
		}
	}
	if e := x.last(t, "file.read", dir+"/up/f"); e.Outcome != filewire.Denied {
		t.Errorf("%+v", e)
	}
	// Sizes count while bytes flow, wherever they are written.
	f, err := client.OpenFile("up/large", os.O_WRONLY|os.O_CREATE)
	must(t, err)
	if _, err := f.Write([]byte("0123456789")); err != nil {
		t.Error(err)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("an eleventh byte is written")
	}
	if _, err := f.WriteAt([]byte("x"), 1<<40); err == nil {
		t.Error("a byte is written far behind")
	}
	if err := f.Truncate(11); err == nil {
		t.Error("the file is made larger")
	}
	_ = f.Close()
	if e := x.last(t, "file.write", dir+"/up/large"); e.Outcome != filewire.Partial || e.Reason == "" || *e.Bytes != 10 || e.SHA256 != "" {
		t.Errorf("%+v", e)
	}
	if err := client.Truncate("up/f", 11); err == nil {
		t.Error("a file is made larger by its path")
	}
	must(t, os.WriteFile(filepath.Join(dir, "down/large"), make([]byte, 11), 0o644))
	if _, err := read(client, "down/large"); err == nil {
		t.Error("a file that is too large is read")
	}
	for what, err := range map[string]error{
		"remove": client.Remove("up/f"), "rename": client.Rename("up/f", "up/g"), "chmod": client.Chmod("down/f", 0o600), "chown": client.Chown("up/f", os.Getuid(), os.Getgid()),
		"link": client.Link("up/f", "up/h"), "mkdir": client.Mkdir("down/d"), "rmdir": client.RemoveDirectory("down"), "symlink": client.Symlink("x", "down/l"),
		"posix-rename": client.PosixRename("up/f", "up/g"),
	} {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"mkdir": client.Mkdir("up/d"), "symlink": client.Symlink("f", "up/l"), "link": client.Link("both/f", "both/h"),
		"mode of what may be written": client.Chmod("up/f", 0o600), "times": client.Chtimes("up/d", time.Unix(1, 0), time.Unix(2, 0)),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNothingPermitted(t *testing.T) {
	c, _ := pod(t)
	x := begin(t, files.Local{}, c, "", filewire.Header{Protocol: filewire.SFTP})
	_ = x.end(t)
	for _, e := range x.all() {
		if e.Type == filewire.Notice && strings.Contains(e.Reason, "does not permit to copy files") {
			return
		}
	}
	t.Errorf("events %+v", x.all())
}

func TestEvents(t *testing.T) {
	c, dir := pod(t)
	x, client := open(t, files.Local{}, c, "", everything())
	long := strings.Repeat("0123456789abcdef", 20_000) // several packets
	must(t, write(t, client, "a", long))
	e := x.last(t, "file.write", dir+"/a")
	if e.Outcome != filewire.Complete || *e.Bytes != int64(len(long)) || e.SHA256 != sum(long) || e.Seconds <= 0 {
		t.Errorf("%+v", e)
	}
	f, err := client.Open("a")
	must(t, err)
	var b bytes.Buffer
	_, err = f.WriteTo(&b)
	must(t, err)
	must(t, f.Close())
	if e := x.last(t, "file.read", dir+"/a"); e.Outcome != filewire.Complete || *e.Bytes != int64(len(long)) || e.SHA256 != sum(long) {
		t.Errorf("%+v", e)
	}

	// The first half only.
	f, err = client.Open("in")
	must(t, err)
	_, err = f.ReadAt(make([]byte, 1), 0)
	must(t, err)
	must(t, f.Close())
	if e := x.last(t, "file.read", dir+"/in"); e.Outcome != filewire.Partial || *e.Bytes != 1 {
		t.Errorf("%+v", e)
	}
	// Written backwards: the sum is of the file as it stands.
	f, err = client.Create("back")
	must(t, err)
	for _, part := range []struct {
		off  int64
		text string
	}{{5, "world"}, {0, "hello"}} {
		if _, err := f.WriteAt([]byte(part.text), part.off); err != nil {
			t.Fatal(err)
		}
	}
	must(t, f.Close())
	if e := x.last(t, "file.write", dir+"/back"); e.Outcome != filewire.Complete || e.SHA256 != sum("helloworld") || *e.Bytes != 10 {
		t.Errorf("%+v", e)
	}
	// Resumed behind what is there.
	f, err = client.OpenFile("back", os.O_WRONLY)
	must(t, err)
	_, err = f.WriteAt([]byte("!"), 10)
	must(t, err)
	must(t, f.Close())
	if e := x.last(t, "file.write", dir+"/back"); e.SHA256 != sum("helloworld!") || *e.Bytes != 1 {
		t.Errorf("%+v", e)
	}
	// A file that changes while it is read.
	f, err = client.Open("back")
	must(t, err)
	must(t, os.WriteFile(dir+"/back", []byte("hello"), 0o644))
	_, _ = io.ReadAll(f)
	must(t, f.Close())
	if e := x.last(t, "file.read", dir+"/back"); e.Outcome != filewire.Partial || e.Reason != "changed while it was read" {
		t.Errorf("%+v", e)
	}
	must(t, client.Rename("back", "moved"))
	if e := x.last(t, "file.rename", dir+"/back"); e.NewPath != dir+"/moved" || e.Outcome != filewire.Complete {
		t.Errorf("%+v", e)
	}
	must(t, client.Remove("moved"))
	x.last(t, "file.remove", dir+"/moved")
	// Left open.
	f, err = client.Create("left")
	must(t, err)
	_, err = f.Write([]byte("half"))
	must(t, err)
	if err := x.end(t); err != nil {
		t.Errorf("the session ends with %v", err)
	}
	if e := x.last(t, "file.write", dir+"/left"); e.Outcome != filewire.Partial || e.SHA256 != "" || *e.Bytes != 4 {
		t.Errorf("%+v", e)
	}
}

func TestOperations(t *testing.T) {
	c, dir := pod(t)
	_, client := open(t, files.Local{}, c, "", everything())
	must(t, write(t, client, "b", "bee"))
	if err := client.Rename("in", "b"); err == nil {
		t.Error("a rename overwrites")
	}
	must(t, client.PosixRename("in", "b"))
	must(t, client.Link("b", "hard"))
	must(t, client.Symlink("b", "soft"))
	if text, err := client.ReadLink("soft"); err != nil || text != "b" {
		t.Error(text, err)
	}
	if p, err := client.RealPath("soft"); err != nil || p != dir+"/b" {
		t.Error(p, err)
	}
	must(t, client.Chtimes("soft", time.Unix(5, 0), time.Unix(6, 0)))
	if st, err := os.Stat(dir + "/b"); err != nil || st.ModTime().Unix() != 6 {
		t.Error("times do not follow a link")
	}
	must(t, client.Chmod("soft", 0o640))
	st, err := client.Lstat("soft")
	if err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Error(st, err)
	}
	if st, err := client.Stat("soft"); err != nil || st.Mode().Perm() != 0o640 || st.Size() != 2 {
		t.Error(st, err)
	}
	if vfs, err := client.StatVFS("."); err != nil || vfs.Blocks == 0 || vfs.Namemax == 0 {
		t.Error(vfs, err)
	}
	f, err := client.Open("b")
	must(t, err)
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	_ = f.Close()
	must(t, client.MkdirAll("x/y/z"))
	for i := range 600 {
		must(t, os.WriteFile(dir+"/x/"+strings.Repeat("n", 200)+string(rune('a'+i%26))+strings.Repeat("m", i/26), nil, 0o644))
	}
	if list, err := client.ReadDir("x"); err != nil || len(list) != 601 {
		t.Errorf("%d names, %v", len(list), err)
	}
	must(t, client.RemoveAll("x"))
	if err := client.RemoveDirectory("b"); err == nil {
		t.Error("a file is removed as a directory")
	}
	must(t, syscall.Mkfifo(dir+"/pipe", 0o666))
	if _, err := read(client, "pipe"); err == nil {
		t.Error("a pipe is read")
	}
	if _, err := client.Open("nope"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	f, err = client.OpenFile("b", os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err == nil {
		_ = f.Close()
		t.Error("an exclusive open of what is there")
	}
}

// What a client sends ends up in events, which have a longest line.
func TestEventsAreBounded(t *testing.T) {
	c, dir := pod(t)
	x, client := open(t, files.Local{}, c, "", everything())
	for _, n := range []int{4096, 200_000} {
		if err := client.Symlink(strings.Repeat("x", n), "l"); err == nil {
			t.Errorf("a link with a text of %d bytes is made", n)
		}
	}
	for _, e := range x.all() {
		if e.Type == "file.link" {
			t.Errorf("a link that the kernel does not take has an event: %d bytes", len(e.NewPath))
		}
	}
	// The longest there are, of what grows most on the way.
	name := strings.Repeat("\x01", 255)
	long := strings.Repeat(name+"/", (4090-len(dir))/256)
	must(t, os.MkdirAll(filepath.Join(dir, long), 0o755))
	must(t, client.Symlink(strings.Repeat("\x01", 4095), long+"l"))
	e := x.last(t, "file.link", filepath.Join(dir, long, "l"))
	line, err := json.Marshal(e)
	must(t, err)
	if len(line) > 64<<10 || len(e.NewPath) != 4095 {
		t.Errorf("the longest event has %d bytes, its link %d", len(line), len(e.NewPath))
	}
	// Links lead to a place whose whole name is longer than any that can be used.
	root, err := os.OpenRoot(filepath.Join(dir, long))
	must(t, err)
	defer root.Close()
	must(t, root.MkdirAll(long, 0o755))
	must(t, root.WriteFile(long+"f", []byte("deep"), 0o644))
	must(t, root.Symlink(long, "more"))
	must(t, os.Symlink(long, filepath.Join(dir, "deep")))
	if got, err := read(client, "deep/more/f"); err == nil {
		t.Errorf("a file whose path is too long for an event reads %q", got)
	}
	must(t, write(t, client, "after", "x"))
	x.last(t, "file.write", dir+"/after")
}
