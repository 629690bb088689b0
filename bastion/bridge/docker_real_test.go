//go:build real

package bridge_test

import (
	"context"
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/docker"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/agent/runtime/runtimetest"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/tty"
)

// engine is a Docker Engine with an agent on it.
type engine struct {
	host  string
	agent *agenttest.Agent
	*bridge.Bridge
	runtime *docker.Runtime
}

func onEngine(t *testing.T, host string) *engine {
	t.Helper()
	r, err := docker.New(host, func(string, ...any) {})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; _ = r.Close() })
	a := agenttest.Start(t, agenttest.WithRuntime(r))
	return &engine{host: host, agent: a, Bridge: newBridge(t, a), runtime: r}
}

func (e *engine) docker(t *testing.T, args ...string) string {
	t.Helper()
	return runtimetest.CLI(t, e.host, args...)
}

// pod starts a container as the kubelet would label it, and returns how to start something in it.
func (e *engine) pod(t *testing.T, image, name, uid string) (id string, start bridge.Start) {
	t.Helper()
	id = e.docker(t, "run", "-d", "--init=false", "--network", "none", "--label", "io.kubernetes.pod.namespace=bridge",
		"--label", "io.kubernetes.pod.name="+name, "--label", "io.kubernetes.pod.uid="+uid, "--label", "io.kubernetes.container.name=app",
		"--label", "io.kubernetes.docker.type=container", "podbastion/"+image+":test")
	t.Cleanup(func() { _ = osexec.Command("docker", "-H", e.host, "rm", "-f", id).Run() })
	waitFor(t, func() bool {
		c, ok := e.runtime.Find(runtime.Key{Namespace: "bridge", Pod: name, Container: "app"})
		return ok && c.ID == id
	})
	start = bridge.Start{Session: name + "-" + uid, Account: "alice", Target: e.agent.Target, TTY: true, Size: tty.Size{Cols: 101, Rows: 37}}
	start.Target.Namespace, start.Target.Pod, start.Target.UID = "bridge", name, target.UID(uid)
	return id, start
}

// within fails when something takes longer than a session may take to notice.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > limit {
		t.Errorf("%s: it took %v", what, took)
	}
}

func ready(t *testing.T, p bridge.Process) {
	t.Helper()
	if _, err := io.ReadFull(p.Stdout(), make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, p.Stdout()) }()
}

func TestContainerGoes(t *testing.T) {
	e := onEngine(t, runtimetest.Docker(t))
	for _, how := range [][]string{{"kill"}, {"rm", "-f"}, {"stop", "-t", "0"}} {
		id, s := e.pod(t, "ash", "goes", "uid-"+how[0])
		s.Argv = []string{"/bin/sh", "-c", "trap '' HUP TERM; echo up; while :; do sleep 1; done"}
		p := exec(t, e.Bridge, s)
		ready(t, p)
		within(t, 10*time.Second, strings.Join(how, " "), func() {
			e.docker(t, append(how, id)...)
			exit, err := p.Wait()
			if !isLost(err) && (err != nil || exit.Code != 137) {
				t.Errorf("%v: %+v %v", how, exit, err)
			}
		})
		waitFor(t, func() bool { // events keep the table fresh
			_, err := e.Facts(t.Context(), "s", "alice", s.Target, "")
			return errors.Is(err, bridge.ErrGone)
		})
		_ = osexec.Command("docker", "-H", e.host, "rm", "-f", id).Run()
	}
	// Another pod of that name is another pod.
	_, s := e.pod(t, "ash", "goes", "uid-successor")
	s.Target.UID = "uid-kill"
	if _, err := e.Exec(t.Context(), s); !errors.Is(err, bridge.ErrRefused) {
		t.Errorf("the pod's successor: %v", err)
	}
}

func TestDockerTerminal(t *testing.T) {
	e := onEngine(t, runtimetest.Docker(t))
	for image, shell := range map[string]string{"bash": "bash", "ash": "sh"} {
		_, s := e.pod(t, image, "terminal-"+image, "uid-"+image)
		s.Argv, s.Env = []string{"/bin/" + shell, "-i"}, []string{"TERM=xterm", "PS1=$ "}
		s.Modes = []byte{42, 0, 0, 0, 1, 0}
		p := exec(t, e.Bridge, s)
		go func() { _, _ = io.Copy(io.Discard, p.Stdout()) }()
		c, err := e.Terminal(t.Context(), s)
		must(t, err)
		prompt := bridge.TerminalState{ShellForeground: true, Reading: true, Command: shell, Busybox: image == "ash"}
		expectState(t, c, image+" at the prompt", prompt)
		for keys, want := range map[string]bridge.TerminalState{
			"cat\r":             {Echo: true, Canonical: true, Reading: true, Command: "cat"},
			"sleep 100\r":       {Echo: true, Canonical: true, Command: "sleep"},
			"vi\r":              {Reading: true, Command: "vi"},
			"/bin/sh -i\r":      {ShellForeground: true, Nested: true, Reading: true, Command: "sh"},
			"stty -echo; cat\r": {Canonical: true, Reading: true, Command: "cat"},
		} {
			want.Busybox = image == "ash"
			if image == "bash" {
				switch want.Command {
				case "vi":
					want.Command = "vim.tiny"
				case "sh": // dash has no line editor
					want.Command, want.Echo, want.Canonical = "dash", true, true
				}
			}
			_, _ = io.WriteString(p.Stdin(), keys)
			expectState(t, c, image+" "+keys, want)
			end := map[string]string{"vi\r": ":q!\r", "/bin/sh -i\r": "exit\r"}[keys]
			if end == "" {
				end = "\x03"
			}
			_, _ = io.WriteString(p.Stdin(), end)
			behind := prompt
			if image == "ash" && strings.HasPrefix(keys, "stty -echo") {
				behind.Canonical = true // its line editor does without a terminal that does not echo
			}
			expectState(t, c, image+" behind "+keys, behind)
			_, _ = io.WriteString(p.Stdin(), "stty echo\r")
			expectState(t, c, image+" with echo", prompt)
		}
		_ = c.Close()
		must(t, p.Close())
	}
}

// ownEngine starts an engine that the test may do what it likes with.
func ownEngine(t *testing.T) (host string, start func(), kill func(syscall.Signal)) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "podbastion-engine")
	must(t, err)
	host = "unix://" + dir + "/docker.sock"
	var cmd *osexec.Cmd
	ended := make(chan struct{})
	kill = func(sig syscall.Signal) {
		_ = cmd.Process.Signal(sig)
		<-ended
	}
	start = func() {
		log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		must(t, err)
		defer log.Close()
		// In a network of its own: an engine without a bridge removes the one that it finds.
		cmd = osexec.Command("unshare", "--net", "dockerd", "--host", host, "--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid",
			"--bridge", "none", "--iptables=false", "--live-restore", "--log-level", "warn")
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		cmd.Stdout, cmd.Stderr = log, log
		must(t, cmd.Start())
		ended = make(chan struct{})
		go func(cmd *osexec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(cmd, ended)
		waitFor(t, func() bool { return osexec.Command("docker", "-H", host, "version").Run() == nil })
	}
	start()
	t.Cleanup(func() {
		out, _ := osexec.Command("docker", "-H", host, "ps", "-aq").Output()
		for _, id := range strings.Fields(string(out)) {
			_ = osexec.Command("docker", "-H", host, "rm", "-f", id).Run()
		}
		// containerd is the engine's child and ends with it when asked kindly
		kill(syscall.SIGTERM)
		_ = syscall.Unmount(dir+"/data", 0) // the engine leaves its bind mount of it where it was killed once
		must(t, os.RemoveAll(dir))
	})
	return host, start, kill
}

// TestEngineGoes: an engine that is killed or restarted ends sessions within seconds, never with exit 0, and nothing of
// them is left, whether the containers live on or not.
func TestEngineGoes(t *testing.T) {
	host, startEngine, kill := ownEngine(t)
	e := onEngine(t, host)
	shared := runtimetest.Docker(t)
	save := osexec.Command("sh", "-c", "docker -H "+shared+" save podbastion/ash:test | docker -H "+host+" load")
	if out, err := save.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		id, s := e.pod(t, "ash", "engine", "uid-"+sig.String())
		s.Argv = []string{"/bin/sh", "-c", "trap '' HUP TERM PIPE; echo up; sleep 5; exit 0"} // would end well by itself
		s.TTY = false
		quiet := s
		quiet.Session, quiet.Argv = s.Session+"-2", []string{"/bin/sh", "-c", "trap '' HUP TERM; echo up; while :; do sleep 1; done"}
		p, q := exec(t, e.Bridge, s), exec(t, e.Bridge, quiet)
		ready(t, p)
		ready(t, q)
		within(t, 15*time.Second, sig.String(), func() {
			kill(sig)
			for _, x := range []bridge.Process{p, q} {
				if exit, err := x.Wait(); err == nil && exit.Code == 0 {
					t.Errorf("%v: a clean exit: %+v", sig, exit)
				}
			}
		})
		waitFor(t, func() bool {
			return len(proc.Tree(quiet.Session, proc.ID{})) == 0 && len(proc.Tree(s.Session, proc.ID{})) == 0
		})
		startEngine()
		_ = osexec.Command("docker", "-H", host, "start", id).Run() // where it did not live on
		waitFor(t, func() bool {                                    // the agent finds the engine again by itself
			again := s
			again.Session, again.Argv = s.Session+"-3", []string{"/bin/sh", "-c", "exit 3"}
			r, err := e.Exec(t.Context(), again)
			if err != nil {
				return false
			}
			defer r.Close()
			go func() { _, _ = io.Copy(io.Discard, r.Stdout()) }()
			go func() { _, _ = io.Copy(io.Discard, r.Stderr()) }()
			exit, err := r.Wait()
			return err == nil && exit.Code == 3
		})
		e.docker(t, "rm", "-f", id)
	}
}
