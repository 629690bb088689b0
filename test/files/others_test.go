//go:build real

package files_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPuTTY(t *testing.T) {
	t.Parallel()
	w := started(t)
	src := w.tree(t, "src", 50, plain...)
	options := w.putty(t)
	for _, pod := range []string{"bash", "static"} {
		t.Run("psftp "+pod, func(t *testing.T) {
			script := fmt.Sprintf("mkdir /psftp\ncd /psftp\nput -r %s up\nget -r up %s\nchmod 600 up/big\nmv up/big up/moved\nrm up/moved\ndir up\n", src, w.path("psftp-"+pod))
			w.ok(t, "", "psftp", append(options, "-be", "-b", w.file(t, "batch", script), "alice+"+pod+"@127.0.0.1")...)
			same(t, "psftp", w.path("psftp-"+pod), src)
		})
	}
}

// file writes a file for a client to read.
func (w *world) file(t testing.TB, name, text string) string {
	t.Helper()
	must(t, os.WriteFile(w.path(name), []byte(text), 0o600))
	return w.path(name)
}

func TestCurl(t *testing.T) {
	t.Parallel()
	w := started(t)
	src := w.tree(t, "src", 5, plain...)
	for _, scheme := range []string{"sftp", "scp"} {
		for _, pod := range []string{"bash", "static"} {
			t.Run(scheme+" "+pod, func(t *testing.T) {
				url := scheme + "://127.0.0.1:" + w.port + "/up-" + scheme
				args := []string{"-sS", "--insecure", "--user", "alice+" + pod + ":", "--key", w.path("id"), "--pubkey", w.path("id.pub")}
				w.ok(t, "", "curl", append(args, "-T", src+"/big", url)...)
				w.ok(t, "", "curl", append(args, "-o", w.path("down"), url)...)
				w.ok(t, "", "cmp", w.path("down"), src+"/big")
				if scheme == "sftp" {
					out := w.ok(t, "", "curl", append(args, "-r", "10-19", url)...)
					big, _ := os.ReadFile(src + "/big")
					if out != string(big[10:20]) {
						t.Errorf("a range is %q", out)
					}
					if out := w.ok(t, "", "curl", append(args, scheme+"://127.0.0.1:"+w.port+"/")...); !strings.Contains(out, "up-sftp") {
						t.Errorf("the listing is %q", out)
					}
				}
			})
		}
	}
}

func TestParamiko(t *testing.T) {
	t.Parallel()
	w := started(t)
	src := w.tree(t, "src", 5, plain...)
	script := `
import os, paramiko, sys
port, key, src, down, user = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect("127.0.0.1", port, user, key_filename=key, allow_agent=False, look_for_keys=False)
s = c.open_sftp()
s.mkdir("/pm"); s.put(src + "/big", "/pm/big"); s.get("/pm/big", down)
assert s.stat("/pm/big").st_size == os.path.getsize(src + "/big")
s.symlink("big", "/pm/link"); assert s.readlink("/pm/link") == "big", s.readlink("/pm/link")
s.chmod("/pm/big", 0o600); assert s.stat("/pm/link").st_mode & 0o777 == 0o600
s.utime("/pm/big", (1, 2)); assert s.stat("/pm/big").st_mtime == 2
s.truncate("/pm/big", 10); assert s.stat("/pm/big").st_size == 10
s.rename("/pm/big", "/pm/other"); s.posix_rename("/pm/other", "/pm/big")
f = s.open("/pm/sparse", "w"); f.seek(5 << 30); f.write(b"end"); f.close()
assert s.stat("/pm/sparse").st_size == (5 << 30) + 3
f = s.open("/pm/sparse"); f.seek((5 << 30) - 2); assert f.read(10) == b"\0\0end"; f.close()
f = s.open("/pm/a", "a"); f.write(b"1"); f.close(); f = s.open("/pm/a", "a"); f.write(b"2"); f.close(); assert s.open("/pm/a").read() == b"12"
f = s.open("/pm/rw", "w+"); f.write(b"hello"); f.flush(); f.seek(1); assert f.read(3) == b"ell"; f.close()
try: s.open("/pm/a", "x"); raise SystemExit("an exclusive open of what is there")
except IOError: pass
assert sorted(s.listdir("/pm")) == ["a", "big", "link", "rw", "sparse"], s.listdir("/pm")
assert s.normalize(".") == s.normalize(s.normalize(".")) and s.normalize("/pm/../pm/link") == "/pm/big"
try: s._request(200, "get@podbastion", 100, "/pm/a", 1, 0); raise SystemExit("a client makes the bastion's own requests")
except IOError as e: assert "unsupported" in str(e), e
for i in range(5): s.open("/pm/%d" % i, "w").close()
s.mkdir("/pm/5")
try: s.open("/pm/5", "w").close(); raise SystemExit("a folder is opened to be written")
except IOError: s.rmdir("/pm/5")
for n in s.listdir("/pm"): s.remove("/pm/" + n)
s.rmdir("/pm")
`
	for _, pod := range []string{"bash", "static"} {
		down := w.path("pm-" + pod)
		w.ok(t, "", "/usr/bin/python3", "-c", script, w.port, w.path("id"), src, down, "alice+"+pod)
		w.ok(t, "", "cmp", down, src+"/big")
	}
}

// sshfsOptions are w.options without -i, which sshfs does not have.
func (w *world) sshfsOptions() []string {
	var out []string
	all := w.options()
	for i := 0; i < len(all); i += 2 {
		if all[i] == "-i" {
			out = append(out, "-o", "IdentityFile="+all[i+1])
		} else {
			out = append(out, all[i], all[i+1])
		}
	}
	return out
}

func TestSSHFS(t *testing.T) {
	t.Parallel()
	w := started(t)
	for _, pod := range []string{"bash", "static"} {
		t.Run(pod, func(t *testing.T) {
			src, at := w.tree(t, "src-"+pod, 100), w.path("mnt-"+pod)
			must(t, os.Mkdir(at, 0o755))
			w.ok(t, "", "sshfs", append(w.sshfsOptions(), "alice+"+pod+"@127.0.0.1:/", at)...)
			defer func() { w.ok(t, "", "fusermount3", "-u", at) }()
			link := "/odd/link" // some kernels of virtual machines cannot read one over FUSE, whoever serves
			must(t, os.Remove(src+link))
			w.ok(t, "", "cp", "-a", src, at+"/t")
			for _, root := range []string{src, at + "/t"} {
				must(t, os.Symlink("../script", root+link))
			}
			alike(t, "sshfs, looked at from inside", src, w.inside(t, pod, "/t"), keeps{links: true, modes: true, times: true})
			for _, root := range []string{src, at + "/t"} {
				must(t, os.Remove(root+link))
			}
			same(t, "sshfs", at+"/t", src)
			w.ok(t, "", "sh", "-ec", "cd "+at+`; echo a > x; echo b >> x; [ "$(cat x)" = "a
b" ]; mv x y; mv y t/empty; ln -s t/empty l; truncate -s 100M s; dd if=/dev/urandom of=s bs=1M count=3 seek=40 conv=notrunc,fsync 2>/dev/null; ln t/script hard; df . >/dev/null; rm -r t s hard`)
			if got := w.ok(t, "", "docker", "-H", w.host, "cp", w.pods[pod]+":/l", w.path("l-"+pod)); got != "" {
				t.Log(got)
			}
			if text, err := os.Readlink(w.path("l-" + pod)); err != nil || text != "t/empty" {
				t.Errorf("the link says %q, %v", text, err)
			}
		})
	}
}

func (w *world) rsync(t testing.TB, args ...string) (string, int) {
	t.Helper()
	return w.run(t, "", "rsync", append([]string{"-e", "ssh " + strings.Join(w.options(), " ")}, args...)...)
}

func TestRsync(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod(t, "tools", "podbastion/ansible:test")
	w.pod(t, "readonly", "podbastion/ansible:test", "--read-only", "--tmpfs", "/tmp")
	w.pod(t, "user", "podbastion/ansible:test", "--user", "1000:1000")
	w.pod(t, "ash", "podbastion/ash:test")
	w.pod(t, "static", "podbastion/static:test")
	w.demo(t)
	src := w.tree(t, "src", 1000)
	ok := func(args ...string) {
		t.Helper()
		if out, code := w.rsync(t, args...); code != 0 {
			t.Fatalf("rsync %q: %d\n%s", args, code, out)
		}
	}
	ok("-a", src+"/", "alice+tools@127.0.0.1:/r")
	all := keeps{links: true, modes: true, times: true}
	alike(t, "rsync up", src, w.inside(t, "tools", "/r"), all)
	ok("-a", "alice+tools@127.0.0.1:/r/", w.path("r"))
	alike(t, "rsync down", src, w.path("r"), all)
	for _, pod := range []string{"readonly", "user"} {
		far := "alice+" + pod + "@127.0.0.1:/tmp/r/"
		ok("-a", src+"/d00", src+"/odd", src+"/script", far)
		must(t, os.Mkdir(w.path("r-"+pod), 0o755))
		ok("-a", far, w.path("r-"+pod))
		for _, part := range []string{"/d00", "/odd"} {
			alike(t, "rsync up to "+pod, src+part, w.inside(t, pod, "/tmp/r"+part), all)
			alike(t, "rsync down from "+pod, src+part, w.path("r-"+pod)+part, all)
		}
	}
	if out, code := w.rsync(t, "-a", src+"/d00", "alice+readonly@127.0.0.1:/r"); code != 11 || out != "" && !strings.Contains(out, "Read-only file system") { // rsync may end ssh before that has told why
		t.Errorf("rsync to a read-only root: %d %s", code, out)
	}
	must(t, os.Remove(src+"/big"))
	ok("-a", "--delete", src+"/", "alice+tools@127.0.0.1:/r")
	alike(t, "rsync --delete", src, w.inside(t, "tools", "/r"), all)

	// A transfer that is cut off, then resumed.
	const large = 60_000_000
	w.ok(t, "", "sh", "-c", fmt.Sprintf("head -c %d /dev/urandom > %s", large, w.path("large")))
	c := w.start(t, "rsync", "-e", "ssh "+strings.Join(w.options(), " "), "--partial", "--bwlimit=8M", w.path("large"), "alice+tools@127.0.0.1:/large")
	under := func() string { // the name that it has until it is whole
		names, _ := filepath.Glob(w.inside(t, "tools", "/.large.*"))
		return strings.Join(names, "")
	}
	until(t, "some of it", func() bool { name := under(); return name != "" && holds(name, 4<<20)() })
	c.signal(syscall.SIGINT)
	c.failed(t)
	until(t, "the part that is kept", func() bool { return under() == "" && holds(w.inside(t, "tools", "/large"), 0)() })
	part, err := os.Stat(w.inside(t, "tools", "/large"))
	must(t, err)
	out, code := w.rsync(t, "--partial", "--append-verify", "--stats", "--no-human-readable", w.path("large"), "alice+tools@127.0.0.1:/large")
	if rest := fmt.Sprintf("Literal data: %d bytes", large-part.Size()); code != 0 || part.Size() >= large || !strings.Contains(out, rest) {
		t.Errorf("rsync resumed behind %d bytes: %d, without %q: %s", part.Size(), code, rest, out)
	}
	w.fetch(t, "tools", "/large", "large2")
	w.ok(t, "", "cmp", w.path("large"), w.path("large2"))

	for _, pod := range []string{"ash", "static"} {
		out, code := w.rsync(t, "-a", src+"/", "alice+"+pod+"@127.0.0.1:/r")
		if code == 0 || !strings.Contains(out, "has no rsync; use scp -r or sftp") {
			t.Errorf("rsync to %s: %d %s", pod, code, out)
		}
	}
}
