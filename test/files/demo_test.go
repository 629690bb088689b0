//go:build real

package files_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// demo starts the built bastion before the engine's containers, for tests that only look from the outside and move much.
// Its roles are the world's.
func (w *world) demo(t testing.TB) {
	t.Helper()
	program := os.Getenv("PODBASTION_BIN")
	if program == "" {
		t.Fatal("PODBASTION_BIN is not set: run make test")
	}
	w.login(t)
	dir := w.path("demo")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Link(w.path("roles.yaml"), dir+"/roles.yaml"))
	must(t, os.Link(w.path("id"), dir+"/host_ed25519"))
	cmd := exec.Command(filepath.Join(program, "bastion"), "demo", "--docker", "--docker-host", w.host, "--dir", dir, "--ssh-addr", net.JoinHostPort(w.at, "0"))
	log, err := os.Create(dir + "/log")
	must(t, err)
	defer log.Close()
	cmd.Stderr = log
	facts, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		stuck := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer stuck.Stop()
		text, _ := io.ReadAll(facts)
		err := cmd.Wait()
		if err != nil {
			t.Errorf("the bastion ended: %v", err)
		}
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the bastion said:\n%s%s", text, said)
		}
	})
	lines := bufio.NewScanner(facts)
	port := regexp.MustCompile(`^pick a pod: ssh -p ([0-9]+) `)
	for w.port == "" && lines.Scan() {
		if m := port.FindStringSubmatch(lines.Text()); m != nil {
			w.port = m[1]
		}
	}
	if w.port == "" {
		t.Fatal("the bastion does not say where it listens")
	}
	known := ""
	defer func() {
		if t.Failed() {
			t.Logf("it knows:\n%s", known)
		}
	}()
	until(t, "the bastion knows the pods", func() bool {
		known, _ = w.run(t, "", "ssh", append(w.options(), "alice@"+w.at, "pods")...)
		return strings.Count(known, w.namespace) == len(w.pods)
	})
}
