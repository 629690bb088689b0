package demo_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"k8s.io/klog/v2"

	"github.com/podbastion/podbastion/agent/reaper"
	"github.com/podbastion/podbastion/bastion/demo"
)

func TestMain(m *testing.M) {
	reaper.Main()
	goleak.VerifyTestMain(m)
}

// run starts a demo and returns its address, and how to stop it.
func run(t *testing.T, dir string) (addr string, stop func()) {
	t.Helper()
	_ = os.Remove(filepath.Join(dir, "known_hosts")) // it tells when this run's is there
	var facts, log bytes.Buffer
	d, err := demo.New(demo.Options{Dir: dir, SSHAddr: "127.0.0.1:0", Out: &facts, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	addr = d.Addr().String()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "known_hosts")); err == nil {
			if conn, err := net.Dial("tcp", addr); err == nil {
				_ = conn.Close()
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("it does not serve: %s", log.String())
		}
	}
	return addr, func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the demo ended with %v; %s", err, log.String())
			}
		case <-time.After(20 * time.Second):
			t.Error("the demo does not end")
		}
		out := facts.String()
		for _, want := range []string{"WARNING", "no isolation", "pod: infra/debug", "-i " + filepath.Join(dir, "demo_ed25519"), "UserKnownHostsFile="} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not in what it printed:\n%s", want, out)
			}
		}
	}
}

// login does what the printed line does.
func login(t *testing.T, dir, addr, user string) *ssh.Client {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "demo_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	check, err := knownhosts.New(filepath.Join(dir, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check, Timeout: 10 * time.Second,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func output(t *testing.T, c *ssh.Client, command string) string {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.CombinedOutput(command)
	if err != nil {
		t.Errorf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// What the Kubernetes libraries have to say is no line for who tries the demo.
func TestQuiet(t *testing.T) {
	_, stop := run(t, t.TempDir())
	defer stop()
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stderr := os.Stderr
	os.Stderr = f
	klog.Error("noise")
	klog.Flush()
	os.Stderr = stderr
	if said, err := os.ReadFile(f.Name()); err != nil || len(said) > 0 {
		t.Errorf("%q %v", said, err)
	}
}

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	addr, stop := run(t, dir)
	c := login(t, dir, addr, "demo+infra+debug")
	if got := output(t, c, "pwd; cat > file"); got != filepath.Join(dir, "pods/infra/debug")+"\n" {
		t.Errorf("pwd: %q", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	web := login(t, dir, addr, "demo+shop+web") // the workload
	if got := output(t, web, "cat README"); !strings.Contains(got, "pod web-") {
		t.Errorf("README: %q", got)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // all pretend pods share this machine's network
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	fwd, err := web.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(fwd, "through the pod"); err != nil {
		t.Error(err)
	}
	_ = fwd.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(fwd); err != nil || string(got) != "through the pod" {
		t.Errorf("forward: %q %v", got, err)
	}
	_ = fwd.Close()
	_ = web.Close()
	stop()

	before, err := os.ReadFile(filepath.Join(dir, "host_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	addr, stop = run(t, dir)
	c = login(t, dir, addr, "demo+infra+debug")
	if got := output(t, c, "ls file"); got != "file\n" {
		t.Errorf("what was there the first time: %q", got)
	}
	_ = c.Close()
	stop()
	if after, err := os.ReadFile(filepath.Join(dir, "host_ed25519")); err != nil || !bytes.Equal(before, after) {
		t.Error("another host key the second time")
	}
	recordings, err := filepath.Glob(filepath.Join(dir, "recordings/*/*.cast"))
	if err != nil || len(recordings) < 3 {
		t.Errorf("recordings: %v %v", recordings, err)
	}
}

// What cannot be composed is said, and nothing is left.
func TestTakenAddress(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, addr := range []string{ln.Addr().String(), "127.0.0.1", "127.0.0.1:99999", "192.0.2.1:2222"} {
		_, err := demo.New(demo.Options{Dir: t.TempDir(), SSHAddr: addr, Out: io.Discard, Log: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "another address: --ssh-addr") {
			t.Errorf("an address that is taken or none: %v", err)
		}
	}
}
