//go:build real

package files_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/internal/filewire"
)

// userNamespace starts what a runtime would with remapped users: user 0 in there is 100000 on the node.
func userNamespace(t *testing.T) (runtime.Container, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the namespace's root is nobody here
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	for _, dir := range []string{"bin", "etc", "old", "tmp", "home/app"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	box := container(t, "ash")
	docker(t, "cp", box.ID+":/bin/busybox", root+"/bin/busybox") // a static one
	script := "printf 'root:x:0:0::/:/bin/sh\\napp:x:7:8::/home/app:/bin/sh\\n' > " + root + "/etc/passwd; " +
		"chown -R 100000:100000 " + root + "; chown 100007:100008 " + root + "/home/app; echo node > " + root + "/nodes; chmod 600 " + root + "/nodes"
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("/bin/sh", "-ec", "mount --bind "+root+" "+root+"; cd "+root+"; pivot_root . old; /bin/busybox umount -l /old; echo up; exec /bin/busybox sleep 600")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: 0, Gid: 0},
	}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return runtime.Container{ID: "userns", PID: cmd.Process.Pid, Group: group(t, cmd)}, root
}

// group puts a process into a control group, as systemd calls them for a runtime, and returns what it is known by.
func group(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	id := fmt.Sprintf("%064x", cmd.Process.Pid)
	for _, base := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"} {
		dir := base + "/docker-" + id + ".scope"
		if _, err := os.Stat(base + "/cgroup.procs"); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = os.Remove(dir)
		})
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(fmt.Sprint(cmd.Process.Pid)), 0o644); err != nil {
			t.Fatal(err)
		}
		return id
	}
	t.Fatal("this machine has no control groups")
	return ""
}

func TestUserNamespace(t *testing.T) {
	c, root := userNamespace(t)
	x, client := open(t, confined(t), c, "", everything())
	s := helperStatus(t)
	if s["Uid"] != "100000 100000 100000 100000" || s["CapEff"] != "000000000000001f" {
		t.Errorf("Uid %s, CapEff %s", s["Uid"], s["CapEff"])
	}
	mine, _ := os.Readlink(s["dir"] + "/ns/user")
	nodes, _ := os.Readlink("/proc/self/ns/user")
	if mine == nodes || mine == "" {
		t.Errorf("the helper's user namespace is the node's: %s", mine)
	}
	put(t, client, "/home/app/x", []byte("x"))
	if err := client.Chown("/home/app/x", 7, 8); err != nil {
		t.Error(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(root+"/home/app/x", &st); err != nil || st.Uid != 100007 || st.Gid != 100008 {
		t.Errorf("it belongs to %d:%d, %v", st.Uid, st.Gid, err)
	}
	if info, err := client.Stat("/home/app"); err != nil || !strings.Contains(info.Mode().String(), "rwx") {
		t.Error(info, err)
	}
	if got, err := try(client, "/nodes"); err == nil {
		t.Errorf("a file of the node's root is read: %q", got)
	}
	if err := x.end(t); err != nil {
		t.Error(err)
	}
	if e := x.last(t, "file.write", "/home/app/x"); e.Outcome != filewire.Complete {
		t.Errorf("%+v", e)
	}

	_, app := open(t, confined(t), c, "app:8", everything())
	put(t, app, "y", []byte("y"))
	if err := syscall.Stat(root+"/home/app/y", &st); err != nil || st.Uid != 100007 || st.Gid != 100008 {
		t.Errorf("it belongs to %d:%d, %v", st.Uid, st.Gid, err)
	}

	// There the helper is the child of the one that prepared it: it is asked to end all the same.
	y, user := open(t, confined(t), c, "", everything())
	f, err := user.Create("/tmp/half")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	y.cancel()
	if e := y.last(t, "file.write", "/tmp/half"); e.Outcome != filewire.Partial || e.Bytes == nil || *e.Bytes != 1000 {
		t.Errorf("%+v", e)
	}
}
