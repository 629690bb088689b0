//go:build real

package files_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// tree makes files of all kinds: many, empty, odd names, links, modes, times.
func (w *world) tree(t testing.TB, name string, many int, odd bool) string {
	t.Helper()
	root := w.path(name)
	when := time.Unix(1_600_000_000, 0)
	write := func(p string, size int, mode os.FileMode) {
		b := make([]byte, size)
		_, _ = rand.Read(b)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, b, mode))
		must(t, os.Chmod(p, mode))
		must(t, os.Chtimes(p, when, when))
	}
	for i := range many {
		write(fmt.Sprintf("%s/d%02d/f%04d", root, i%20, i), i%3000, 0o644)
	}
	write(root+"/empty", 0, 0o600)
	write(root+"/script", 1000, 0o755)
	write(root+"/big", 3<<20+1, 0o640)
	names := []string{"with space", "ünïcode ☃"}
	if odd {
		names = append(names, "new\nline", "invalid-\xff-utf8", strings.Repeat("n", 255), "-dash", "quote'\"", "$(touch x)", "*star?", "back\\slash", "tab\there")
	}
	for _, n := range names {
		write(root+"/odd/"+n, 10, 0o644)
	}
	must(t, os.Symlink("../script", root+"/odd/link"))
	return root
}

// sums hashes every file of a tree, by path below it.
func sums(t testing.TB, root string) string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p) // follows links
		if err != nil {
			return err
		}
		h := sha256.Sum256(b)
		lines = append(lines, hex.EncodeToString(h[:])+" "+fmt.Sprintf("%q", strings.TrimPrefix(p, root)))
		return nil
	}))
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func same(t testing.TB, what, a, b string) {
	t.Helper()
	if sa, sb := sums(t, a), sums(t, b); sa != sb || sa == "" {
		t.Errorf("%s: %s and %s differ:\n%.600s\n--\n%.600s", what, a, b, sa, sb)
	}
}

// fetch copies a tree out of a pod by the engine's own means, to look at what a client left there.
func (w *world) fetch(t testing.TB, pod, from, to string) string {
	t.Helper()
	must(t, os.RemoveAll(w.path(to)))
	w.docker(t, "cp", w.pods[pod]+":"+from, w.path(to))
	return w.path(to)
}

func started(t *testing.T) *world {
	w := newWorld(t)
	w.pod(t, "bash", "podbastion/bash:test")
	w.pod(t, "ash", "podbastion/ash:test")
	w.pod(t, "static", "podbastion/static:test")
	w.pod(t, "readonly", "podbastion/static:test", "--read-only", "--tmpfs", "/tmp")
	w.serve(t)
	return w
}

func TestOpenSSH(t *testing.T) {
	w := started(t)
	src := w.tree(t, "src", 200, true)
	plain := w.tree(t, "plain", 200, false)
	for _, pod := range []string{"bash", "ash", "static"} {
		t.Run("sftp "+pod, func(t *testing.T) {
			batch := fmt.Sprintf("mkdir /t-sftp\nput -rp %s /t-sftp/up\nget -rp /t-sftp/up %s\nls -la /t-sftp/up/odd\npwd\n", plain, w.path("sftp-"+pod))
			out := w.ok(t, batch, "sftp", append(w.options("-b", "-"), "alice+"+pod+"@127.0.0.1")...)
			if strings.Contains(out, "not a regular file") && !strings.Contains(out, "link") {
				t.Log(out)
			}
			same(t, "sftp down", w.path("sftp-"+pod)+"/d01", plain+"/d01")
			same(t, "sftp up", w.fetch(t, pod, "/t-sftp/up", "fetched"), w.path("sftp-"+pod))
		})
		t.Run("scp "+pod, func(t *testing.T) {
			w.ok(t, "", "scp", append(w.options("-rp"), src, "alice+"+pod+"@127.0.0.1:/t-scp")...)
			same(t, "scp up", w.fetch(t, pod, "/t-scp", "fetched"), src)
			w.ok(t, "", "scp", append(w.options("-rp"), "alice+"+pod+"@127.0.0.1:/t-scp", w.path("scp-"+pod))...)
			same(t, "scp down", w.path("scp-"+pod), src)
			metadata(t, w.path("scp-"+pod))
		})
		t.Run("scp -O "+pod, func(t *testing.T) {
			w.ok(t, "", "scp", append(w.options("-O", "-rp"), plain, "alice+"+pod+"@127.0.0.1:/t-scpo")...)
			same(t, "scp -O up", w.fetch(t, pod, "/t-scpo", "fetched"), plain)
			w.ok(t, "", "scp", append(w.options("-O", "-rp"), "alice+"+pod+"@127.0.0.1:/t-scpo", w.path("scpo-"+pod))...)
			same(t, "scp -O down", w.path("scpo-"+pod), plain)
			metadata(t, w.path("scpo-"+pod))
		})
	}
	t.Run("scp -3", func(t *testing.T) {
		for _, proto := range []string{"-O", "-s"} {
			w.ok(t, "", "scp", append(w.options(proto, "-3", "-r"), "alice+bash@127.0.0.1:/t-scpo", "alice+static@127.0.0.1:/t-three"+proto)...)
			same(t, "scp -3 "+proto, w.fetch(t, "static", "/t-three"+proto, "fetched"), plain)
		}
	})
	t.Run("scp -O glob", func(t *testing.T) {
		must(t, os.Mkdir(w.path("glob"), 0o755))
		w.ok(t, "", "scp", append(w.options("-O"), "alice+static@127.0.0.1:/t-scpo/d0[12]/f*", w.path("glob"))...)
		if n, _ := os.ReadDir(w.path("glob")); len(n) != 20 {
			t.Errorf("%d files", len(n))
		}
	})
	t.Run("read-only root", func(t *testing.T) {
		out, code := w.run(t, "", "scp", append(w.options(), plain+"/script", "alice+readonly@127.0.0.1:/x")...)
		if code == 0 || !strings.Contains(out, "ailure") && !strings.Contains(strings.ToLower(out), "read-only") {
			t.Errorf("%d %s", code, out)
		}
		w.ok(t, "", "scp", append(w.options("-r"), plain, "alice+readonly@127.0.0.1:/tmp/t")...)
		w.ok(t, "", "scp", append(w.options("-r"), "alice+readonly@127.0.0.1:/tmp/t", w.path("ro"))...)
		same(t, "read-only root", w.path("ro"), plain)
	})
}

func metadata(t *testing.T, root string) {
	t.Helper()
	st, err := os.Stat(root + "/script")
	must(t, err)
	if st.Mode().Perm() != 0o755 || st.ModTime().Unix() != 1_600_000_000 {
		t.Errorf("script has mode %v and time %v", st.Mode(), st.ModTime())
	}
}
