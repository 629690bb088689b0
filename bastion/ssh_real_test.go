//go:build real

package bastion_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/agent/runtime/docker"
	"github.com/podbastion/podbastion/agent/runtime/runtimetest"
	"github.com/podbastion/podbastion/bastion/target"
)

// cluster is a bastion and an agent over a real Docker Engine.
type cluster struct {
	*whole
	docker     string
	containers map[string]string // image to id
}

func realCluster(t *testing.T) *cluster {
	t.Helper()
	host := runtimetest.Docker(t)
	c := &cluster{docker: host, containers: map[string]string{}}
	suffix := fmt.Sprint(os.Getpid(), "-", time.Now().UnixNano()%1e9)
	var pods []*target.Pod
	for _, image := range []string{"bash", "ash", "static"} {
		uid := "uid-" + image + suffix
		id := runtimetest.CLI(t, host, "run", "-d", "--init=false", "--label", "io.kubernetes.pod.namespace=front", "--label", "io.kubernetes.pod.name="+image+"-"+suffix,
			"--label", "io.kubernetes.pod.uid="+uid, "--label", "io.kubernetes.container.name=app", "--label", "io.kubernetes.docker.type=container",
			"podbastion/"+image+":test")
		c.containers[image] = id
		t.Cleanup(func() { _ = exec.Command("docker", "-H", host, "rm", "-f", id).Run() })
		p := podOf(target.Target{Cluster: agenttest.Cluster, Namespace: "front", Pod: image + "-" + suffix, UID: target.UID(uid), Container: "app",
			Node: agenttest.Node, NodeAddress: "127.0.0.1"})
		p.Owners = []target.Owner{{Kind: "Deployment", Name: image}}
		pods = append(pods, p)
	}
	r, err := docker.New(host, t.Logf)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("the runtime ended with %v", err)
		}
		must(t, r.Close())
	})
	for deadline := time.Now().Add(20 * time.Second); r.Ready() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the runtime does not become ready: ", r.Ready())
		}
	}
	a := agenttest.Start(t, agenttest.WithRuntime(r))
	c.whole = startWith(t, a, pods...)
	return c
}

// ssh is an OpenSSH client's command line, without the user's own configuration.
func (w *whole) ssh(user string, args ...string) *exec.Cmd {
	host, port, _ := net.SplitHostPort(w.addr)
	all := append([]string{"-F", "none", "-i", filepath.Join(w.dir, "id"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-p", port, "-l", user}, args...)
	at := len(all)
	for i, a := range args { // options come first, the host before the command
		if a == "--" {
			at = len(all) - len(args) + i
			break
		}
	}
	if at == len(all) {
		all = append(all, host)
	} else {
		all[at] = host
	}
	cmd := exec.Command("ssh", all...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TERM=xterm-256color", "LANG=C.UTF-8"}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a client and returns what came out of it.
func clientRun(t *testing.T, cmd *exec.Cmd) (string, string, int) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestOpenSSHExec(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	for _, test := range []struct {
		user, command, out, err string
		exit                    int
	}{
		{user: "alice+bash", command: "echo hello; echo oops >&2", out: "hello\n", err: "oops\n"},
		{user: "alice+bash", command: "exit 1", exit: 1},
		{user: "alice+bash", command: "no-such-program", err: "/bin/bash: line 1: no-such-program: command not found\n", exit: 127},
		{user: "alice+bash", command: "kill -INT $$", exit: 130},
		{user: "alice+bash", command: "kill -KILL $$", exit: 137},
		{user: "alice+bash", command: "exit 255", exit: 255},
		{user: "alice+front+bash~app", command: `printf '%s|' "a b" 'c"d' '$HOME'`, out: `a b|c"d|$HOME|`},
		{user: "alice+ash", command: "echo $0 $SHELL", out: "/bin/sh /bin/sh\n"},
		{user: "alice+static", command: "/static echo 'a  b' c", out: "a  b c\n"},
		{user: "alice+static", command: "/nothing", exit: 127},
		{user: "alice+static", command: "a | b", exit: 127},
	} {
		out, errOut, exit := clientRun(t, c.ssh(test.user, "--", test.command))
		if out != test.out || exit != test.exit || test.err != "" && errOut != test.err {
			t.Errorf("%s %q: got %q %q %d, want %q %q %d", test.user, test.command, out, errOut, exit, test.out, test.err, test.exit)
		}
	}
}

// The order on the wire, as a client saw it: output, EOF, exit-status, close.
// A client may close at EOF and hear nothing after it: how the command ended comes before.
func TestWireOrder(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	cmd := c.ssh("alice+bash", "-vvv", "-o", "LogLevel=DEBUG3", "--", "echo hello")
	_, log, exit := clientRun(t, cmd)
	if exit != 0 {
		t.Fatalf("exit %d: %s", exit, log)
	}
	at := -1
	for _, step := range []string{"rtype exit-status", "channel 0: rcvd eof", "channel 0: rcvd close"} {
		i := strings.Index(log, step)
		if i <= at {
			t.Fatalf("%q is not where it belongs in\n%s", step, log)
		}
		at = i
	}
}

func TestOpenSSHTerminal(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	for _, pod := range []string{"bash", "ash"} {
		cmd := c.ssh("alice+"+pod, "-tt")
		f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 101})
		must(t, err)
		defer f.Close()
		s := &screen{}
		go func() { _, _ = io.Copy(s, f) }()
		say := func(text string) { _, err := io.WriteString(f, text); must(t, err) }
		say("stty size; echo $TERM\n")
		s.wait(t, "33 101")
		s.wait(t, "xterm-256color")
		must(t, pty.Setsize(f, &pty.Winsize{Rows: 44, Cols: 122}))
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(s.String(), "44 122"); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no resize: %q", pod, s.String())
			}
			say("stty size\n")
		}
		say("sleep 100\n")
		s.wait(t, "sleep 100")
		time.Sleep(200 * time.Millisecond) // the shell starts it after its echo
		say("\x03")
		say("echo $?-int\n")
		s.wait(t, "130-int")
		say("exit 3\n")
		err = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 3 {
			t.Errorf("%s: exit %d (%v)", pod, code, err)
		}
	}
	_, errOut, exit := clientRun(t, c.ssh("alice+static"))
	if exit != 127 || !strings.Contains(errOut, "no shell") {
		t.Errorf("a shell where there is none: %d %q", exit, errOut)
	}
}

// counted is cheap to make, and its hash tells whether all of it came.
type counted struct{ left, at int64 }

func (m *counted) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), m.left))
	for i := range n {
		p[i] = byte((m.at + int64(i)) * 7 >> 3)
	}
	m.left, m.at = m.left-int64(n), m.at+int64(n)
	return n, nil
}

// What passes through the parts with the race detector; the built programs move more in test/e2e.
func TestBulk(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	c := realCluster(t)
	want := sha256.New()
	_, err := io.Copy(want, &counted{left: size})
	must(t, err)
	up := c.ssh("alice+bash", "--", "cat > /tmp/big && sha256sum < /tmp/big")
	up.Stdin = &counted{left: size}
	out, errOut, exit := clientRun(t, up)
	if exit != 0 || !strings.HasPrefix(out, hex.EncodeToString(want.Sum(nil))) {
		t.Fatalf("up: %d %q %q", exit, out, errOut)
	}
	down := c.ssh("alice+bash", "--", "cat /tmp/big; rm /tmp/big")
	got := sha256.New()
	down.Stdout = got
	must(t, down.Run())
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Error("down: the bytes differ")
	}
}

func TestControlMaster(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	socket := filepath.Join(t.TempDir(), "s")
	master := c.ssh("alice+bash", "-o", "ControlMaster=yes", "-o", "ControlPath="+socket, "-N")
	must(t, master.Start())
	defer func() { _ = master.Process.Kill(); _ = master.Wait() }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no master")
		}
	}
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			cmd := c.ssh("alice+bash", "-o", "ControlPath="+socket, "--", fmt.Sprintf("sleep 0.2; cat; exit %d", i))
			cmd.Stdin = strings.NewReader(fmt.Sprint("in ", i))
			var out bytes.Buffer
			cmd.Stdout = &out
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != i || out.String() != fmt.Sprint("in ", i) {
				t.Errorf("session %d: %d %q", i, code, out.String())
			}
		})
	}
	all.Wait()
}

// top lists what runs in a container.
func (c *cluster) top(t *testing.T, image string) string {
	t.Helper()
	out, err := exec.Command("docker", "-H", c.docker, "top", c.containers[image], "-o", "pid,args").CombinedOutput()
	if err != nil {
		t.Fatalf("docker top: %v: %s", err, out)
	}
	return string(out)
}

func (c *cluster) waitTop(t *testing.T, image string, has bool, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); strings.Contains(c.top(t, image), text) != has; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q there: %v, want %v, in\n%s", text, !has, has, c.top(t, image))
		}
	}
}

func TestClientKilled(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	for _, args := range [][]string{{"-tt"}, {}} {
		cmd := c.ssh("alice+bash", append(args, "--", "trap '' HUP TERM INT; sleep 4321 & sleep 4321; wait")...)
		cmd.Stdin = bytes.NewReader(nil)
		r, w, err := os.Pipe()
		must(t, err)
		cmd.Stdin = r
		must(t, cmd.Start())
		c.waitTop(t, "bash", true, "sleep 4321")
		must(t, cmd.Process.Signal(syscall.SIGKILL))
		_ = cmd.Wait()
		_ = w.Close()
		c.waitTop(t, "bash", false, "sleep 4321")
	}
}

func TestContainerKilled(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	cmd := c.ssh("alice+bash", "--", "echo ready; sleep 4321")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command("docker", "-H", c.docker, "kill", c.containers["bash"]).Run())
	began := time.Now()
	_ = cmd.Wait()
	code := cmd.ProcessState.ExitCode()
	t.Logf("ended after %s with %d: %s", time.Since(began), code, errOut.String())
	if code != 255 && code != 137 || errOut.Len() == 0 || time.Since(began) > 8*time.Second {
		t.Errorf("after %s: %d %q", time.Since(began), code, errOut.String())
	}
}

func TestForwarding(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	const serve = `import http.server,socketserver
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"from the pod")
    def log_message(self, *a): pass
socketserver.TCPServer(("127.0.0.1", 8080), H).serve_forever()`
	out, err := exec.Command("docker", "-H", c.docker, "exec", "-d", c.containers["bash"], "python3", "-c", serve).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	local, socks := freeAddress(t), freeAddress(t)
	cmd := c.ssh("alice+bash", "-N", "-L", local+":localhost:8080", "-D", socks)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	get := func(args ...string) string {
		out, _ := exec.Command("curl", append([]string{"-s", "--max-time", "10"}, args...)...).Output()
		return string(out)
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if get("http://"+local+"/") == "from the pod" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no answer through -L")
		}
	}
	if got := get("--socks5-hostname", socks, "http://localhost:8080/"); got != "from the pod" {
		t.Errorf("-D: %q", got)
	}
	if got := get("--socks5-hostname", socks, "http://"+c.ops+"/healthz"); strings.Contains(got, "ok") && !strings.HasPrefix(c.ops, "127.") {
		t.Errorf("-D reached the bastion's own network: %q", got)
	}
	_, errOut, exit := clientRun(t, c.ssh("alice+bash", "-o", "LogLevel=INFO", "-A", "-R", "0:localhost:1", "--", "true"))
	if exit != 0 || !strings.Contains(errOut, "remote forwarding (-R) is refused") {
		t.Errorf("-R: %d %q", exit, errOut)
	}
}

func TestOtherClients(t *testing.T) {
	t.Parallel()
	c := realCluster(t)
	host, port, _ := net.SplitHostPort(c.addr)
	key := filepath.Join(c.dir, "id")
	dropbear := filepath.Join(c.dir, "id.dropbear")
	if out, err := exec.Command("dropbearconvert", "openssh", "dropbear", key, dropbear).CombinedOutput(); err != nil {
		t.Fatalf("dropbearconvert: %v: %s", err, out)
	}
	ppk := filepath.Join(c.dir, "id.ppk")
	if out, err := exec.Command("puttygen", key, "-O", "private", "-o", ppk).CombinedOutput(); err != nil {
		t.Fatalf("puttygen: %v: %s", err, out)
	}
	print, err := exec.Command("ssh-keygen", "-lf", filepath.Join(c.dir, "host")).Output()
	must(t, err)
	fingerprint := regexp.MustCompile(`SHA256:\S+`).FindString(string(print))
	paramiko := `
import paramiko, sys
c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect(sys.argv[1], int(sys.argv[2]), "alice+bash", key_filename=sys.argv[3], allow_agent=False, look_for_keys=False)
i, o, e = c.exec_command("cat; echo oops >&2; exit 7")
i.write("input\n"); i.channel.shutdown_write()
sys.stdout.write(o.read().decode()); sys.stderr.write(e.read().decode()); sys.exit(o.channel.recv_exit_status())
`
	for name, args := range map[string][]string{
		"dbclient": {"dbclient", "-y", "-y", "-i", dropbear, "-p", port, "-l", "alice+bash", host, "cat; echo oops >&2; exit 7"},
		"plink":    {"plink", "-batch", "-hostkey", fingerprint, "-i", ppk, "-P", port, "-l", "alice+bash", host, "cat; echo oops >&2; exit 7"},
		"paramiko": {"/usr/bin/python3", "-c", paramiko, host, port, key},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Stdin = strings.NewReader("input\n")
		out, errOut, exit := clientRun(t, cmd)
		if out != "input\n" || !strings.Contains(errOut, "oops\n") || exit != 7 {
			t.Errorf("%s: %q %q %d", name, out, errOut, exit)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	w := start(t)
	host, port, _ := net.SplitHostPort(w.addr)
	out, err := exec.Command("ssh-audit", "-n", "-p", port, host).CombinedOutput()
	text := string(out)
	// Debian's ssh-audit is older than these two and calls them unknown; it has nothing else to say against them.
	for _, newer := range []string{"mlkem768x25519-sha256", "kex-strict-s-v00@openssh.com"} {
		text = regexp.MustCompile(`(\(kex\) `+regexp.QuoteMeta(newer)+`\s+-- )\[warn\] unknown algorithm`).ReplaceAllString(text, "$1[unknown]")
	}
	if strings.Contains(text, "[fail]") || strings.Contains(text, "[warn]") || !strings.Contains(text, "mlkem768x25519-sha256") && !strings.Contains(text, "curve25519-sha256") {
		t.Errorf("ssh-audit (%v):\n%s", err, text)
	}
	if !strings.Contains(text, "kex-strict-s-v00@openssh.com") {
		t.Errorf("strict key exchange is not offered:\n%s", text)
	}
}
