package proc

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

func TestBears(t *testing.T) {
	const id = "3f5c7a1e9b0d2c4f6a8e0b1d3c5f7a9e1b3d5c7f9a0e2b4d6c8f0a1e3b5d7c9f"
	for name, x := range map[string]struct {
		groups string
		want   bool
	}{
		"version 1":                  {"12:pids:/docker/" + id + "\n11:memory:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n0::/\n", true},
		"version 2 by systemd":       {"0::/system.slice/docker-" + id + ".scope\n", true},
		"version 2 by the engine":    {"0::/docker/" + id + "\n", true},
		"of a pod":                   {"4:memory:/kubepods/besteffort/pod1b9d/" + id + "\n", true},
		"of a pod by systemd":        {"0::/kubepods.slice/kubepods-pod1b9d.slice/cri-dockerd-" + id + ".scope\n", true},
		"beneath":                    {"0::/docker/" + id + "/init.scope\n", true},
		"beside ours in a namespace": {"0::/../docker-" + id + ".scope\n", true},
		"the node's":                 {"0::/user.slice/user-0.slice/session-1.scope\n", false},
		"another's":                  {"0::/docker/" + id[1:] + "0\n", false},
		"longer":                     {"0::/docker/" + id + "0\n", false},
		"part of a name":             {"0::/docker/x" + id + "\n", false},
		"a controller":               {"1:name=" + id + ":/\n", false},
		"nothing":                    {"", false},
	} {
		if got := bears(x.groups, id); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if bears("0::/\n", "") {
		t.Error("no id stands in every group")
	}
}

func TestOpenIn(t *testing.T) {
	if h, err := OpenIn(os.Getpid(), "3f5c7a1e9b0d"); !errors.Is(err, ErrGone) {
		t.Errorf("a process of the node is a container's: %v, %v", h, err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h, err := Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	f, err := h.File("stat", os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := h.File("stat", os.O_RDONLY); !errors.Is(err, ErrGone) {
		t.Errorf("what /proc has of a process that ended: %v", err)
	}
	h.pid = os.Getpid() // another process has its number now
	if f, err := h.File("stat", os.O_RDONLY); !errors.Is(err, ErrGone) {
		t.Errorf("another process is taken for it: %v, %v", f, err)
	}
	if _, err := OpenIn(cmd.Process.Pid, "3f5c7a1e9b0d"); !errors.Is(err, ErrGone) {
		t.Errorf("a process that ended: %v", err)
	}
}
