//go:build real

package files_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// keeps is what of a file a client carries beside its bytes.
type keeps struct{ links, modes, times bool }

// manifest lists what is below root: each file's bytes, and of the rest what is kept.
func manifest(t testing.TB, root string, k keeps) []string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		line := fmt.Sprintf("%q", strings.TrimPrefix(p, root))
		st, err := os.Stat(p) // what a link leads to
		if k.links && err == nil {
			st, err = os.Lstat(p)
		}
		switch {
		case err != nil:
			return err
		case st.Mode()&fs.ModeSymlink != 0:
			text, err := os.Readlink(p)
			lines = append(lines, line+" -> "+text)
			return err
		case st.IsDir():
			line += " directory"
		default:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(b))
			if k.times {
				line += " " + st.ModTime().UTC().Format("2006-01-02T15:04:05")
			}
		}
		if k.modes && !st.IsDir() {
			line += " " + st.Mode().Perm().String()
		}
		lines = append(lines, line)
		return nil
	}))
	slices.Sort(lines)
	return lines
}

func alike(t testing.TB, what, want, got string, k keeps) {
	t.Helper()
	a, b := manifest(t, want, k), manifest(t, got, k)
	if slices.Equal(a, b) && len(a) > 0 {
		return
	}
	report := func(sign string, have, lack []string) {
		n := 0
		for _, line := range have {
			if _, found := slices.BinarySearch(lack, line); !found && n < 8 {
				t.Errorf("%s: %s %.200s", what, sign, line)
				n++
			}
		}
	}
	report("missing", a, b)
	report("not asked for", b, a)
}

// transport is a client that copies a whole tree from src to dir of a pod, and from there to dest.
type transport struct {
	name     string
	keeps    keeps
	below    bool     // a copy of src becomes a directory of dir and of dest, with src's name
	cannot   []string // odd names that this client cannot carry, whoever serves; see oddNames
	up, down func(t *testing.T, pod, src, dir, dest string)
}

// place is a pod and where its user may write.
type place struct {
	pod, dir string
	files    int
}

// TestTrees has every client copy a thousand files and odd names both ways, and fewer into every kind of container.
func TestTrees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod(t, "bash", "podbastion/bash:test")
	w.pod(t, "ash", "podbastion/ash:test", "--label", "io.kubernetes.pod.uid=") // as who labels a container by hand leaves it out
	w.pod(t, "static", "podbastion/static:test")
	w.pod(t, "readonly", "podbastion/static:test", "--read-only", "--tmpfs", "/tmp")
	w.pod(t, "user", "podbastion/bash:test", "--user", "1000:1000")
	w.demo(t)
	places := []place{{"static", "", 1000}, {"bash", "", 20}, {"ash", "", 20}, {"readonly", "/tmp", 20}, {"user", "/tmp", 20}}
	for _, c := range w.transports(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range places {
				name := c.name + "-" + p.pod
				src := w.tree(t, "src-"+name, p.files, c.cannot...)
				dir, dest := p.dir+"/"+c.name, w.path("dest-"+name)
				below := ""
				if c.below {
					below = "/" + filepath.Base(src)
				}
				c.up(t, p.pod, src, dir, dest)
				alike(t, "up to "+p.pod, src, w.inside(t, p.pod, dir+below), c.keeps)
				c.down(t, p.pod, src, dir+below, dest)
				alike(t, "down from "+p.pod, src, dest+below, c.keeps)
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (w *world) transports(t *testing.T) []transport {
	type step = func(t *testing.T, pod, src, dir, dest string)
	at := func(pod string) string { return "alice+" + pod + "@127.0.0.1" }
	all := keeps{links: true, modes: true, times: true}
	attributes := keeps{modes: true, times: true}
	scp := func(args ...string) (up, down step) {
		args = append(w.options("-rp"), args...)
		up = func(t *testing.T, pod, src, dir, _ string) {
			w.ok(t, "", "scp", append(slices.Clone(args), src, at(pod)+":"+dir)...)
		}
		down = func(t *testing.T, pod, _, dir, dest string) {
			w.ok(t, "", "scp", append(slices.Clone(args), at(pod)+":"+dir, dest)...)
		}
		return up, down
	}
	scpUp, scpDown := scp()
	oldUp, oldDown := scp("-O")
	sftp := func(t *testing.T, pod, batch string) {
		if out := w.ok(t, batch, "sftp", append(w.options("-b", "-"), at(pod))...); strings.Contains(out, "ailed") {
			t.Error(out)
		}
	}
	putty := w.putty(t)
	pscp := func(proto string) (up, down step) {
		args := append([]string{proto, "-r", "-p"}, putty...)
		up = func(t *testing.T, pod, src, dir, _ string) {
			w.ok(t, "", "psftp", append(slices.Clone(putty), "-b", w.file(t, "mk"+proto, "mkdir "+dir+"\n"), at(pod))...)
			w.ok(t, "", "pscp", append(slices.Clone(args), src, at(pod)+":"+dir)...)
		}
		down = func(t *testing.T, pod, _, dir, dest string) {
			must(t, os.Mkdir(dest, 0o755))
			w.ok(t, "", "pscp", append(slices.Clone(args), at(pod)+":"+dir, dest)...)
		}
		return up, down
	}
	pscpUp, pscpDown := pscp("-sftp")
	poldUp, poldDown := pscp("-scp")
	psftp := func(t *testing.T, pod, script string) {
		w.ok(t, "", "psftp", append(slices.Clone(putty), "-b", w.file(t, "psftp-"+pod, script), at(pod))...)
	}
	const link, newline, tab, invalid, backslash, long = "link", "newline", "tab", "invalid", "backslash", "long"
	return []transport{
		{name: "sftp", keeps: attributes, cannot: []string{link},
			up:   func(t *testing.T, pod, src, dir, _ string) { sftp(t, pod, "put -rp "+src+" "+dir+"\n") },
			down: func(t *testing.T, pod, _, dir, dest string) { sftp(t, pod, "get -rp "+dir+" "+dest+"\n") }},
		{name: "scp", keeps: attributes, up: scpUp, down: scpDown},
		{name: "scp-O", keeps: attributes, cannot: []string{newline, tab}, up: oldUp, down: oldDown},
		{name: "pscp", below: true, cannot: []string{newline, backslash}, up: pscpUp, down: pscpDown},
		{name: "pscp-scp", below: true, cannot: []string{newline, tab, backslash}, up: poldUp, down: poldDown},
		{name: "psftp", cannot: []string{newline, backslash},
			up:   func(t *testing.T, pod, src, dir, _ string) { psftp(t, pod, "put -r "+src+" "+dir+"\n") },
			down: func(t *testing.T, pod, _, dir, dest string) { psftp(t, pod, "get -r "+dir+" "+dest+"\n") }},
		{name: "sshfs", keeps: all, cannot: []string{link}, // TestSSHFS has one
			up: func(t *testing.T, pod, src, dir, dest string) {
				w.mounted(t, pod, dest+"-mnt", func(at string) { w.ok(t, "", "cp", "-r", "--preserve=mode,timestamps", src, at+dir) })
			},
			down: func(t *testing.T, pod, _, dir, dest string) {
				w.mounted(t, pod, dest+"-mnt", func(at string) { w.ok(t, "", "cp", "-r", "--preserve=mode,timestamps", at+dir, dest) })
			}},
		{name: "lftp", keeps: keeps{links: true, modes: true}, cannot: []string{newline, invalid}, // it sets the time of what a link leads to
			up: func(t *testing.T, pod, src, dir, dest string) {
				w.lftp(t, pod, dest, "mirror -R --parallel=4 "+src+" "+dir)
			},
			down: func(t *testing.T, pod, _, dir, dest string) {
				w.lftp(t, pod, dest, "mirror --parallel=4 "+dir+" "+dest)
			}},
		{name: "curl-sftp",
			up:   func(t *testing.T, pod, src, dir, dest string) { w.curl(t, "sftp", pod, src, dir, dest, true) },
			down: func(t *testing.T, pod, src, dir, dest string) { w.curl(t, "sftp", pod, src, dir, dest, false) }},
		{name: "curl-scp", cannot: []string{newline, tab, long},
			up:   func(t *testing.T, pod, src, dir, dest string) { w.curl(t, "scp", pod, src, dir, dest, true) },
			down: func(t *testing.T, pod, src, dir, dest string) { w.curl(t, "scp", pod, src, dir, dest, false) }},
		{name: "paramiko", keeps: attributes, cannot: []string{invalid},
			up:   func(t *testing.T, pod, src, dir, _ string) { w.paramiko(t, pod, "up", src, dir) },
			down: func(t *testing.T, pod, _, dir, dest string) { w.paramiko(t, pod, "down", dir, dest) }},
	}
}

// putty returns what PuTTY's programs need to log in. They read no OpenSSH private key without conversion.
func (w *world) putty(t testing.TB) []string {
	t.Helper()
	w.ok(t, "", "puttygen", w.path("id"), "-O", "private", "-o", w.path("id.ppk"))
	fingerprint := w.ok(t, "", "ssh-keygen", "-l", "-f", w.path("id.pub")) // the host key is the same key here
	return []string{"-batch", "-i", w.path("id.ppk"), "-P", w.port, "-hostkey", strings.Fields(fingerprint)[1]}
}

// mounted has work use a pod's root through sshfs.
func (w *world) mounted(t testing.TB, pod, at string, work func(at string)) {
	t.Helper()
	must(t, os.MkdirAll(at, 0o755))
	w.ok(t, "", "sshfs", append(w.sshfsOptions(), "alice+"+pod+"@127.0.0.1:/", at)...)
	defer func() { w.ok(t, "", "fusermount3", "-u", at) }()
	work(at)
}

func (w *world) lftp(t testing.TB, pod, dest, command string) {
	t.Helper()
	script := fmt.Sprintf("set sftp:connect-program \"ssh -a -x %s\"\nset net:max-retries 1\nset cmd:fail-exit true\nset mirror:set-permissions true\nopen -u alice+%s, sftp://127.0.0.1:%s\n%s\n",
		strings.Join(w.options(), " "), pod, w.port, command)
	must(t, os.WriteFile(dest+".lftp", []byte(script), 0o600))
	w.ok(t, "", "lftp", "-f", dest+".lftp")
}

// curl copies one file after the other, over one connection.
func (w *world) curl(t testing.TB, scheme, pod, src, dir, dest string, up bool) {
	t.Helper()
	var config, folders strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`)
	must(t, filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(p, src)
		if err != nil || d.IsDir() {
			fmt.Fprintf(&folders, "mkdir %s%s\n", dir, name)
			return err
		}
		there := (&url.URL{Scheme: scheme, Host: "127.0.0.1:" + w.port, Path: dir + name}).String()
		if up {
			fmt.Fprintf(&config, "upload-file = \"%s\"\nurl = \"%s\"\n", quote.Replace(p), there)
		} else {
			fmt.Fprintf(&config, "output = \"%s\"\nurl = \"%s\"\n", quote.Replace(dest+name), there)
		}
		return nil
	}))
	must(t, os.WriteFile(dest+".curl", []byte(config.String()), 0o600))
	args := []string{"-sS", "--globoff", "--insecure", "--create-dirs", "--fail-early", "--user", "alice+" + pod + ":", "--key", w.path("id"), "--pubkey", w.path("id.pub"), "-K", dest + ".curl"}
	if up {
		if scheme == "scp" { // which makes no directories
			w.ok(t, folders.String(), "sftp", append(w.options("-b", "-"), "alice+"+pod+"@127.0.0.1")...)
		} else {
			args = append(args, "--ftp-create-dirs")
		}
	}
	w.ok(t, "", "curl", args...)
}

const paramikoTree = `
import os, paramiko, stat, sys
port, key, user, way, a, b = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], os.fsencode(sys.argv[5]), os.fsencode(sys.argv[6])
c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect("127.0.0.1", port, user, key_filename=key, allow_agent=False, look_for_keys=False)
s = c.open_sftp()
def raw(name): return name if isinstance(name, bytes) else os.fsencode(name)
def up(src, dst):
    s.mkdir(dst)
    for name in os.listdir(src):
        p, q = src + b"/" + name, dst + b"/" + name
        if os.path.isdir(p): up(p, q); continue
        s.put(p, q)
        st = os.stat(p); s.chmod(q, st.st_mode & 0o777); s.utime(q, (st.st_atime, st.st_mtime))
def down(src, dst):
    os.mkdir(dst)
    for e in s.listdir_attr(src):
        name = raw(e.filename); p, q = src + b"/" + name, dst + b"/" + name
        st = s.stat(p)
        if stat.S_ISDIR(st.st_mode): down(p, q); continue
        s.get(p, q)
        os.chmod(q, st.st_mode & 0o777); os.utime(q, (st.st_atime, st.st_mtime))
up(a, b) if way == "up" else down(a, b)
`

func (w *world) paramiko(t testing.TB, pod, way, from, to string) {
	t.Helper()
	w.ok(t, "", "/usr/bin/python3", "-c", paramikoTree, w.port, w.path("id"), "alice+"+pod, way, from, to)
}
