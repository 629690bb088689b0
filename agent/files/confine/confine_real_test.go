//go:build real

package confine_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/confine"
)

// TestNodeIsNoContainer: nothing makes a helper serve the node's own files, as root, whoever's number is given.
func TestNodeIsNoContainer(t *testing.T) {
	program := filepath.Join(t.TempDir(), "helper")
	build := exec.Command("go", "build", "-o", program, "../helper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	node := exec.Command("sleep", "60")
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Process.Kill(); _ = node.Wait() }()
	for name, flags := range map[string]uintptr{
		"the mounts are the agent's own":                      0,
		"the mounts are the first process's, not the agent's": syscall.CLONE_NEWNS,
	} {
		if _, err := os.Stat("/proc/1/ns/mnt"); flags != 0 && err != nil {
			t.Log("the first process cannot be looked at here: ", err)
			continue
		}
		fd, err := unix.PidfdOpen(node.Process.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		process := os.NewFile(uintptr(fd), "pidfd")
		cmd, err := confine.NewProgram(program).Command(confine.Spec{Process: process, Args: []string{"podbastion", "files-serve", "", "/"}})
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		cmd.Stderr = &said
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		err = cmd.Run() // it would end well at the end of its input
		_ = process.Close()
		if err == nil || !strings.Contains(said.String(), "the node's, not a container's") {
			t.Errorf("%s: %v, %q", name, err, said.String())
		}
	}
}
