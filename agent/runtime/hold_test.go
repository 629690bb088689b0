package runtime_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/agent/runtime"
)

// A container that ended leaves a number behind that another process can get before anybody has noticed.
func TestHoldOnlyTheContainers(t *testing.T) {
	node := exec.Command("sleep", "60")
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Process.Kill(); _ = node.Wait() }()
	id := strings.Repeat("3f5c7a1e", 8)
	for name, x := range map[string]struct {
		c    runtime.Container
		gone bool
	}{
		"another process":         {runtime.Container{ID: id, Group: id, PID: node.Process.Pid}, true},
		"the agent itself":        {runtime.Container{ID: id, Group: id, PID: os.Getpid()}, true},
		"no process":              {runtime.Container{ID: id, Group: id}, true},
		"nothing to know it from": {runtime.Container{ID: id, PID: node.Process.Pid}, false},
	} {
		if h, err := x.c.Hold(); err == nil || errors.Is(err, runtime.ErrGone) != x.gone {
			t.Errorf("%s: %v, %v", name, h, err)
		}
		if f, err := x.c.OpenProc("root", os.O_RDONLY); err == nil || errors.Is(err, runtime.ErrGone) != x.gone {
			t.Errorf("%s: its root: %v, %v", name, f, err)
		}
	}
	f, err := runtime.Container{PID: os.Getpid()}.OpenProc("stat", os.O_RDONLY)
	if err != nil {
		t.Fatal("where containers are none: ", err)
	}
	_ = f.Close()
}
