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
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// oddNames are names that some client or other stumbles over.
var oddNames = map[string]string{
	"space": "with space", "utf8": "ünïcode ☃", "newline": "new\nline", "invalid": "invalid-\xff-utf8", "long": strings.Repeat("n", 255), "dash": "-dash",
	"quote": "quote'\"", "dollar": "$(touch x)", "star": "*star?", "bracket": "a[b]c", "backslash": "back\\slash", "tab": "tab\there", "tilde": "~tilde", "hash": "#hash%41",
}

// tree makes files of all kinds: many, empty, odd names but those left out, links, modes, times.
func (w *world) tree(t testing.TB, name string, many int, without ...string) string {
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
	for key, n := range oddNames {
		if !slices.Contains(without, key) {
			write(root+"/odd/"+n, 10, 0o644)
		}
	}
	if !slices.Contains(without, "link") {
		must(t, os.Symlink("../script", root+"/odd/link"))
	}
	return root
}

// plain are the odd names without which every client copies.
var plain = []string{"newline", "invalid", "long", "dash", "quote", "dollar", "star", "bracket", "backslash", "tab", "tilde", "hash"}

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
	t.Parallel()
	w := started(t)
	simple := w.tree(t, "plain", 100, plain...)
	w.ok(t, "", "scp", append(w.options("-O", "-rp"), simple, "alice+bash@127.0.0.1:/t-scpo")...)
	w.ok(t, "", "scp", append(w.options("-O", "-rp"), simple, "alice+static@127.0.0.1:/t-scpo")...)
	t.Run("scp -3", func(t *testing.T) {
		for _, proto := range []string{"-O", "-s"} {
			w.ok(t, "", "scp", append(w.options(proto, "-3", "-r"), "alice+bash@127.0.0.1:/t-scpo", "alice+static@127.0.0.1:/t-three"+proto)...)
			same(t, "scp -3 "+proto, w.fetch(t, "static", "/t-three"+proto, "fetched"), simple)
		}
	})
	t.Run("scp -3 into what cannot be written", func(t *testing.T) {
		w.ok(t, "mkdir /three\nmkdir /three/f0080\n", "sftp", w.options("-b", "-", "alice+static@127.0.0.1")...)
		if out, code := w.run(t, "", "scp", append(w.options("-3"), "alice+bash@127.0.0.1:/t-scpo/d00/f*", "alice+static@127.0.0.1:/three")...); code == 0 {
			t.Errorf("it ends well: %s", out)
		}
	})
	t.Run("scp -O glob", func(t *testing.T) {
		must(t, os.Mkdir(w.path("glob"), 0o755))
		w.ok(t, "", "scp", append(w.options("-O"), "alice+static@127.0.0.1:/t-scpo/d0[12]/f*", w.path("glob"))...)
		if n, _ := os.ReadDir(w.path("glob")); len(n) != 10 {
			t.Errorf("%d files", len(n))
		}
	})
	t.Run("read-only root", func(t *testing.T) {
		out, code := w.run(t, "", "scp", append(w.options(), simple+"/script", "alice+readonly@127.0.0.1:/x")...)
		if code == 0 || !strings.Contains(out, "ailure") && !strings.Contains(strings.ToLower(out), "read-only") {
			t.Errorf("%d %s", code, out)
		}
		w.ok(t, "", "scp", append(w.options("-r"), simple, "alice+readonly@127.0.0.1:/tmp/t")...)
		w.ok(t, "", "scp", append(w.options("-r"), "alice+readonly@127.0.0.1:/tmp/t", w.path("ro"))...)
		same(t, "read-only root", w.path("ro"), simple)
	})
}
