//go:build real

package bastion_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/audit"
)

const inNetwork = "PODBASTION_TEST_OWN_NETWORK"

// ownNetwork runs the test again in a network namespace of its own, where it may lose what it likes (as root; Debian
// packages iproute2 and iptables), and tells whether this is that run.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNetwork) != "" {
		shell(t, "ip link set lo up")
		t.Cleanup(func() { // runs last: an agent's connection lingers for a few seconds when its peer does not answer
			stacks := make([]byte, 1<<20)
			for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				if n := runtime.Stack(stacks, true); !bytes.Contains(stacks[:n], []byte("(*watched).Close")) {
					return
				}
			}
		})
		return true
	}
	t.Parallel() // it waits for most of its time
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNetwork+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a network of its own: %v", err)
	}
	return false
}

func shell(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin; "+script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// swallow has the network lose, without a word, all that goes to and from a port.
func swallow(t *testing.T, address string) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	shell(t, "iptables -A INPUT -p tcp --dport "+port+" -j DROP; iptables -A INPUT -p tcp --sport "+port+" -j DROP")
}

// obstinate does not end when it is asked to.
const obstinate = `trap '' HUP TERM INT; echo up; (trap '' HUP; sleep 4747) & `

// silenced is a client whose network, or whose agent's, is about to go.
type silenced struct {
	cmd      *exec.Cmd
	out, err screen
	ended    chan struct{}
}

func (w *whole) silenced(t *testing.T, rest string) *silenced {
	t.Helper()
	s := &silenced{cmd: w.ssh("alice+web-1", "--", obstinate+rest), ended: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.err
	must(t, s.cmd.Start())
	go func() { defer close(s.ended); _ = s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); <-s.ended })
	s.out.wait(t, "up\n")
	return s
}

// processes counts what the sessions have left in the pod.
func (w *whole) processes(t *testing.T) int {
	t.Helper()
	n := 0
	for _, e := range w.events(t) {
		if e.Type == audit.SessionStart {
			n += len(proc.Tree(e.Session, proc.ID{}))
		}
	}
	return n
}

func (w *whole) waitEmpty(t *testing.T, within time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for w.processes(t) > 0 {
		if time.Since(began) > within {
			t.Fatalf("%d processes are left after %s", w.processes(t), within)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began)
}

// variants are sessions that say nothing, that print all the time, and that are sent more than they take.
func (w *whole) variants(t *testing.T) map[string]*silenced {
	t.Helper()
	return map[string]*silenced{
		"idle":     w.silenced(t, "sleep 4747; sleep 4747"),
		"talking":  w.silenced(t, "while :; do echo line; sleep 0.01; done"),
		"flooding": w.silenced(t, "yes"),
	}
}

// A client that is cut off without a word: its sessions end when it has not answered for keepaliveMisses and one times
// keepaliveInterval (here 3 and 5 s), or one interval later, and nothing of them is left.
func TestSilentClient(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	w := start(t)
	clients := w.variants(t)
	swallow(t, w.addr)
	took := w.waitEmpty(t, 30*time.Second)
	t.Logf("the processes ended after %s", took)
	if took < 10*time.Second {
		t.Errorf("after %s already: a client may be slow", took)
	}
	for _, c := range clients {
		_ = c.cmd.Process.Kill()
	}
	w.stop()
	ends := 0
	for _, e := range w.events(t) {
		if e.Type == audit.SessionEnd {
			ends++
			if !strings.HasPrefix(e.Reason, "client: ") {
				t.Errorf("it ended as %q", e.Reason)
			}
		}
	}
	if ends != len(clients) {
		t.Errorf("%d of %d sessions ended", ends, len(clients))
	}
}

// An agent that is cut off without a word: the clients are told within about 15 seconds, never with status 0, and on
// its side of the gap nothing is left either.
func TestSilentAgent(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	w := start(t)
	clients := w.variants(t)
	swallow(t, w.agent.Address)
	began := time.Now()
	for name, c := range clients {
		select {
		case <-c.ended:
		case <-time.After(time.Until(began.Add(25 * time.Second))):
			t.Fatalf("%s: its client still waits after 25 s", name)
		}
		code, text := c.cmd.ProcessState.ExitCode(), c.err.String()
		t.Logf("%s: status %d after at most %s: %s", name, code, time.Since(began), text)
		if code != 255 || !strings.Contains(text, "bastion: ") {
			t.Errorf("%s: status %d, %q", name, code, text)
		}
	}
	t.Logf("the processes ended %s after that", w.waitEmpty(t, 25*time.Second))
	w.stop()
	for _, e := range w.events(t) {
		if e.Type == audit.SessionEnd && !strings.HasPrefix(e.Reason, "lost: ") {
			t.Errorf("it ended as %q", e.Reason)
		}
	}
}
