//go:build real

package files_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/internal/filewire"
)

// try reads a path as far as the server lets.
func try(client *sftp.Client, path string) ([]byte, error) {
	f, err := client.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// secret puts a file on the node, outside of every container.
func secret(t *testing.T) (path, content string) {
	t.Helper()
	path, content = filepath.Join(t.TempDir(), "secret"), "node-secret-"+t.Name()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestNothingLeadsOut(t *testing.T) {
	path, content := secret(t)
	c := container(t, "bash", "-v", t.TempDir()+":/bound")
	sh(t, c, `ln -s / /slash; ln -s /proc/1/root /proot; ln -s ../../../../../../../.. /up; ln -s `+path+` /abs; ln -s /proc/self/exe /exe; ln -s /bound/../.. /b`)
	_, client := open(t, confined(t), c, "", everything())
	var prefixes []string
	prefixes = append(prefixes, []string{
		"", "/slash", "/proot", "/up", "/b", "/bound/..", "/bound/../..", "/..", "/../../..", "/proc/1/root", "/proc/self/root", "/proc/self/cwd",
		"/proc/thread-self/root", "/proc/1/cwd", "/proc/1/task/1/root", "/proc/1/root/..", "/proc/1/cwd/../..", "/dev/fd/0", "/proc/self/fd/3", "/proc/self/fd/3/..",
	}...)
	for pid := range 60 {
		prefixes = append(prefixes, fmt.Sprintf("/proc/%d/root", pid), fmt.Sprintf("/proc/%d/cwd/..", pid))
	}
	for _, p := range prefixes {
		if got, err := try(client, p+path); err == nil {
			t.Errorf("%s%s is read: %q", p, path, got)
		}
		if err := client.Remove(p + path); err == nil {
			t.Errorf("%s%s is removed", p, path)
		}
	}
	for _, p := range []string{"/abs", "/exe", "/proc/self/exe"} {
		if got, err := try(client, p); err == nil {
			t.Errorf("%s is read: %.20q", p, got)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("the secret is %q, %v now", got, err)
	}
	// What /proc tells is the container's, not the node's.
	want := sh(t, c, "cat /proc/sys/kernel/hostname")
	if got, err := try(client, "/proc/sys/kernel/hostname"); err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("hostname reads %q, %v, want %q", got, err, want)
	}
	if list, err := client.ReadDir("/proc/sys/net/ipv4/conf"); err == nil {
		for _, e := range list {
			if n := e.Name(); n != "lo" && n != "all" && n != "default" && n != "tunl0" && n != "sit0" && n != "ip6tnl0" {
				t.Errorf("the network device %s of the node shows", n)
			}
		}
	}
	for _, p := range []string{"/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"} {
		if f, err := client.OpenFile(p, os.O_WRONLY); err == nil {
			_ = f.Close()
			t.Errorf("%s can be written to", p)
		}
	}
}

// A container that has the node's /proc, writable, is not led to its helper by it.
func TestNodesProc(t *testing.T) {
	c := container(t, "bash", "-v", "/proc:/hostproc")
	_, client := open(t, confined(t), c, "", everything())
	for _, name := range []string{"/hostproc/self/mem", "/hostproc/self/comm", "/hostproc/thread-self/comm", "/hostproc/sys/kernel/hostname"} {
		for _, flags := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC} {
			if f, err := client.OpenFile(name, flags); err == nil {
				_ = f.Close()
				t.Errorf("%s opens with flags %x", name, flags)
			}
		}
	}
}

func TestDevicesAndPipes(t *testing.T) {
	c := container(t, "bash", "--cap-add", "MKNOD", "--privileged=false")
	var disk string
	for line := range strings.SplitSeq(string(must2(t)(os.ReadFile("/proc/partitions"))), "\n") {
		if f := strings.Fields(line); len(f) == 4 && f[3] != "name" {
			disk = f[0] + " " + f[1]
			break
		}
	}
	if disk == "" {
		t.Fatal("this machine has no disk to try with")
	}
	sh(t, c, "mkdir /t; mknod /t/disk b "+disk+"; mknod /t/null c 1 3; mknod /t/mem c 1 1; mkfifo /t/pipe; chmod 666 /t/*; ln -s disk /t/link")
	_, client := open(t, confined(t), c, "", everything())
	for _, name := range []string{"disk", "null", "mem", "pipe", "link"} {
		for _, flags := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREATE | os.O_TRUNC} {
			f, err := client.OpenFile("/t/"+name, flags)
			if err == nil {
				_ = f.Close()
				t.Errorf("%s opens with flags %x", name, flags)
			}
		}
		if err := client.Truncate("/t/"+name, 0); err == nil {
			t.Errorf("%s is truncated", name)
		}
	}
}

// must2 fails the test on an error.
func must2(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// race runs a script in a loop in the container while the test acts.
func race(t *testing.T, c runtime.Container, script string, act func()) {
	t.Helper()
	docker(t, "exec", "-d", "-u", "0", c.ID, "sh", "-c", "while [ ! -e /stop ]; do "+script+"; done; touch /stopped")
	for deadline := time.Now().Add(4 * time.Second); time.Now().Before(deadline); {
		act()
	}
	sh(t, c, "touch /stop; while [ ! -e /stopped ]; do sleep 0.05; done; rm /stop /stopped")
}

func TestRaces(t *testing.T) {
	c := container(t, "bash", "--cap-add", "MKNOD")
	sh(t, c, `mkdir -p /safe/real /hidden; echo good > /safe/real/f; echo bad > /hidden/f; echo good > /safe/file
		ln -s /hidden /safe/tohidden; ln -s /hidden/f /safe/tofile; mkfifo /safe/fifo; cp -a /safe/real /safe/d; cp /safe/file /safe/x`)
	safe := []filewire.Rule{{Paths: []string{"/safe/**"}}}
	_, client := open(t, confined(t), c, "", filewire.Rules{Upload: safe, Download: safe, Remove: safe, Rename: safe, Mkdir: safe, Chmod: safe})
	good, bad, other := 0, 0, map[string]int{}
	look := func(paths ...string) func() {
		return func() {
			for _, p := range paths {
				got, err := try(client, p)
				switch {
				case err != nil:
					other[err.Error()]++
				case string(got) == "good\n":
					good++
				case strings.HasPrefix("good\n", string(got)):
					other["cp had not written it whole yet"]++
				default:
					bad++
				}
			}
		}
	}
	race(t, c, `mv -T /safe/tohidden /safe/d 2>/dev/null; ln -sfn /hidden /safe/d; rm /safe/d; cp -a /safe/real /safe/d; rm -r /safe/d; ln -s /hidden /safe/tohidden`,
		look("/safe/d/f", "/safe/d/../d/f", "/safe/./d/f"))
	t.Logf("directory: good %d, bad %d, %v", good, bad, other)
	if bad > 0 || good == 0 {
		t.Errorf("directory race: good %d, bad %d", good, bad)
	}
	good, bad, other = 0, 0, map[string]int{}
	race(t, c, `cp /safe/file /safe/x2; mv -T /safe/x2 /safe/x; cp -P /safe/tofile /safe/x2; mv -T /safe/x2 /safe/x; mkfifo /safe/x2; mv -T /safe/x2 /safe/x; mknod /safe/x2 c 1 5; mv -T /safe/x2 /safe/x`,
		look("/safe/x"))
	t.Logf("file: good %d, bad %d, %v", good, bad, other)
	if bad > 0 || good == 0 {
		t.Errorf("file race: good %d, bad %d", good, bad)
	}
	// Writing while the place changes never changes what is hidden.
	race(t, c, `ln -sfn /hidden /safe/w; rm /safe/w; mkdir /safe/w; rm -r /safe/w`, func() {
		if f, err := client.Create("/safe/w/f"); err == nil {
			_, _ = f.Write([]byte("overwritten"))
			_ = f.Close()
		}
		_ = client.Chmod("/safe/w/f", 0o600)
		_ = client.Remove("/safe/w/f")
		_ = client.Rename("/safe/file2", "/safe/w/f")
	})
	if got := sh(t, c, "cat /hidden/f; stat -c %a /hidden/f"); got != "bad\n644" {
		t.Errorf("what is hidden is %q now", got)
	}
}

func TestUsersRights(t *testing.T) {
	c := container(t, "bash", "--group-add", "4242")
	sh(t, c, `echo s > /root/s; chmod 600 /root/s; mkdir /grp; echo g > /grp/g; chown 0:4242 /grp /grp/g; chmod 750 /grp; chmod 640 /grp/g`)
	_, client := open(t, confined(t), c, "dev", everything())
	for _, p := range []string{"/etc/shadow", "/root/s", "/proc/1/environ", "/proc/1/maps", "/proc/1/root/etc/passwd"} {
		got, err := try(client, p)
		if err == nil && p != "/proc/1/root/etc/passwd" {
			t.Errorf("%s is read: %.20q", p, got)
		}
	}
	for _, p := range []string{"/etc/passwd", "/new", "/usr/bin/new"} {
		if f, err := client.OpenFile(p, os.O_WRONLY|os.O_CREATE); !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s opens for writing: %v", p, err)
			_ = f.Close()
		}
	}
	if err := client.Chown("/etc/passwd", 1000, 1000); err == nil {
		t.Error("a user owns /etc/passwd now")
	}
	if got, err := try(client, "/grp/g"); err != nil || string(got) != "g\n" {
		t.Errorf("the pod's additional group does not count: %q, %v", got, err)
	}
	put(t, client, "mine", []byte("x"))
	if got := sh(t, c, "stat -c '%U %G %a' /home/dev/mine"); got != "dev dev 644" {
		t.Errorf("a new file is %q", got)
	}
}

// helperStatus reads what the kernel says of the helper that this test started.
func helperStatus(t *testing.T) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, name := range dirs {
			b, _ := os.ReadFile(name)
			if !bytes.Contains(b, []byte("files-serve\x00")) {
				continue
			}
			status, _ := os.ReadFile(filepath.Dir(name) + "/status")
			m := map[string]string{"dir": filepath.Dir(name)}
			for line := range strings.SplitSeq(string(status), "\n") {
				k, v, _ := strings.Cut(line, ":")
				m[k] = strings.Join(strings.Fields(v), " ")
			}
			if m["PPid"] == fmt.Sprint(os.Getpid()) || isChildOfChild(m["PPid"]) {
				return m
			}
		}
	}
	t.Fatal("no helper is running")
	return nil
}

func isChildOfChild(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	return err == nil && strings.Contains(string(b), fmt.Sprintf("PPid:\t%d\n", os.Getpid()))
}

func TestHelperIsConfined(t *testing.T) {
	for _, x := range []struct {
		name, user string
		args       []string
		uid, caps  string
	}{
		{"root", "", nil, "0 0 0 0", "000000000000001b"}, // the engine's default set has no DAC_READ_SEARCH
		{"root without capabilities", "", []string{"--cap-drop", "ALL"}, "0 0 0 0", "0000000000000000"},
		{"root with more", "", []string{"--cap-add", "DAC_READ_SEARCH", "--cap-add", "SYS_PTRACE"}, "0 0 0 0", "000000000000001f"},
		{"user", "dev", nil, "1000 1000 1000 1000", "0000000000000000"},
		{"user with more", "dev", []string{"--cap-add", "DAC_READ_SEARCH"}, "1000 1000 1000 1000", "0000000000000000"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := container(t, "bash", x.args...)
			x1, _ := open(t, confined(t), c, x.user, everything())
			defer func() { _ = x1.end(t) }()
			s := helperStatus(t)
			if s["Uid"] != x.uid || s["NoNewPrivs"] != "1" {
				t.Errorf("Uid %s, NoNewPrivs %s", s["Uid"], s["NoNewPrivs"])
			}
			for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
				if s[set] != x.caps {
					t.Errorf("%s is %s, want %s", set, s[set], x.caps)
				}
			}
			if s["CapInh"] != "0000000000000000" || s["CapAmb"] != "0000000000000000" {
				t.Errorf("CapInh %s, CapAmb %s", s["CapInh"], s["CapAmb"])
			}
			for _, ns := range []string{"net", "uts", "ipc"} {
				mine, err1 := os.Readlink(s["dir"] + "/ns/" + ns)
				theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", c.PID, ns))
				if err1 != nil || err2 != nil || mine != theirs {
					t.Errorf("namespace %s is %s, the container's is %s", ns, mine, theirs)
				}
			}
			mounts, err := os.ReadFile(s["dir"] + "/mountinfo")
			if err != nil || len(mounts) == 0 {
				t.Fatal("no mounts", err)
			}
			for line := range strings.SplitSeq(strings.TrimSpace(string(mounts)), "\n") {
				if f := strings.Fields(line); !strings.Contains(f[5], "nodev") || !strings.Contains(f[5], "nosuid") || strings.HasPrefix(f[4], "/proc") && !strings.HasPrefix(f[5], "ro") {
					t.Errorf("mount %s has %s", f[4], f[5])
				}
			}
			if seen := sh(t, c, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"); strings.Contains(seen, "files-serve") {
				t.Errorf("the container sees its helper: %s", seen)
			}
		})
	}
}

func TestContainerDiesMidTransfer(t *testing.T) {
	c := container(t, "bash")
	x, client := open(t, confined(t), c, "", everything())
	f, err := client.Create("/tmp/half")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	docker(t, "kill", c.ID)
	err = x.end(t)
	if err == nil {
		t.Error("the session ends as if nothing had happened")
	}
	e := x.last(t, filewire.Open, "/tmp/half") // by which the bastion knows that it was cut off
	if e.Kind != "file.write" {
		t.Errorf("event %+v", e)
	}
	if e := x.last(t, "file.write", "/tmp/half"); e.Outcome != filewire.Partial || e.Bytes == nil || *e.Bytes != 100_000 || e.Seconds <= 0 {
		t.Errorf("event %+v", e)
	}
}

// A hard link is a name like any other: the rules judge the name. A client can make none that gives it more.
func TestHardLinks(t *testing.T) {
	c := container(t, "bash")
	sh(t, c, `mkdir /safe /hidden; echo good > /safe/f; echo bad > /hidden/f; ln /hidden/f /safe/theirs; chmod 600 /hidden/f`)
	safe := []filewire.Rule{{Paths: []string{"/safe/**"}}}
	x, client := open(t, confined(t), c, "", filewire.Rules{Upload: safe, Download: safe})
	for _, two := range [][2]string{{"/hidden/f", "/safe/mine"}, {"/safe/f", "/hidden/mine"}, {"/hidden/f", "/hidden/mine"}, {"/safe/../hidden/f", "/safe/mine"}} {
		if err := client.Link(two[0], two[1]); !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s gets the name %s: %v", two[0], two[1], err)
		}
	}
	if e := x.last(t, "file.link", "/hidden/f"); e.Outcome != filewire.Denied {
		t.Errorf("%+v", e)
	}
	if err := client.Link("/safe/f", "/safe/mine"); err != nil {
		t.Error(err)
	}
	if got, err := try(client, "/safe/theirs"); err != nil || string(got) != "bad\n" {
		t.Errorf("a name that the container made: %q, %v", got, err)
	}
	// A user has no more rights to it under the other name.
	_, dev := open(t, confined(t), c, "dev", everything())
	if got, err := try(dev, "/safe/theirs"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a user reads root's file under its other name: %q, %v", got, err)
	}
}

// What root in the container does with roots leads nowhere else than where the container is.
func TestChangedRoots(t *testing.T) {
	path, content := secret(t)
	id := docker(t, "run", "-d", "--network", "none", "podbastion/ash:test", "sh", "-c",
		"mkdir -p /sub/bin /sub/proc; cp /bin/busybox /sub/bin/; echo inner > /sub/inner; echo outer > /outer; exec chroot /sub /bin/busybox sleep 600")
	t.Cleanup(func() { docker(t, "rm", "-f", id) })
	c := inspect(t, id)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(docker(t, "top", id), "busybox sleep"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the container does not change its root")
		}
	}
	x := begin(t, confined(t), c, "", filewire.Header{Protocol: filewire.SFTP, Rules: everything()})
	if err := x.end(t); err == nil || !strings.Contains(err.Error(), "nothing can be served from this container") {
		t.Errorf("a first process that changed its root: %v", err)
	}

	// Another process does, by chroot and, with the right to mount, by pivot_root, for the first process, too.
	c = container(t, "bash", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined", "--security-opt", "seccomp=unconfined")
	sh(t, c, `mkdir -p /sub/old /sub/x; echo inner > /sub/inner; cp -a /bin /lib* /usr /sub/ 2>/dev/null; chroot /sub /bin/sh -c 'mkdir -p y; chroot y /bin/true; cd ../../..; true' || true
		mount --bind /sub /sub; cd /sub; pivot_root . old; true`)
	_, client := open(t, confined(t), c, "", everything())
	if got, err := try(client, "/inner"); err != nil || string(got) != "inner\n" {
		t.Errorf("the root that the container took: %q, %v", got, err)
	}
	for _, p := range []string{"", "/old", "/old/..", "/old/../..", "/..", "/proc/1/root", "/old/proc/1/root", "/old/proc/self/root"} {
		if got, err := try(client, p+path); err == nil {
			t.Errorf("%s%s is read: %q, want none of %q", p, path, got, content)
		}
	}
	for _, p := range []string{"/old/dev/null", "/old/dev/zero"} {
		if _, err := try(client, p); err == nil {
			t.Errorf("%s opens", p)
		}
	}
}
