//go:build real

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"golang.org/x/crypto/ssh"
)

// world is one bastion and one agent before one cluster, with the accounts of roles.yaml.
type world struct {
	*cluster
	dir       string
	starting  sync.Mutex // for tests that start many sessions
	document  string     // the roles document, with KEY_name for the accounts' keys
	addr      string     // of the bastion's SSH listener
	ops       string     // of the bastion's health and metrics
	agentOps  string
	agentAddr string
	bastion   *daemon
	agent     *daemon
}

// daemon is a started binary.
type daemon struct {
	*exec.Cmd
	ended chan struct{}
	log   string
}

func startDaemon(log string, argv ...string) (*daemon, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := &daemon{Cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{}), log: log}
	d.Stdout, d.Stderr = f, f
	if err := d.Start(); err != nil {
		return nil, err
	}
	go func() { _ = d.Wait(); close(d.ended) }()
	return d, nil
}

var capability = regexp.MustCompile(`(?m)^ +- ([A-Z]+(?:_[A-Z]+)*)\b`)

// confined runs a program with the capabilities that the chart gives the agent, and no others.
func confined(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/helm/podbastion/templates/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "add:\n")
	set := "-all"
	for _, m := range capability.FindAllStringSubmatch(list, -1) {
		set += ",+" + strings.ToLower(m[1])
	}
	if set == "-all" {
		t.Fatal("no capabilities in the chart")
	}
	return []string{"setpriv", "--bounding-set", set, "--inh-caps", "-all", "--ambient-caps", "-all"}
}

func (d *daemon) stop() {
	_ = d.Process.Signal(os.Interrupt)
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		_ = d.Process.Kill()
		<-d.ended
	}
}

// tail returns the end of the daemon's log, for messages.
func (d *daemon) tail() string {
	data, _ := os.ReadFile(d.log)
	return string(data[max(0, len(data)-4000):])
}

func binary(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(need(t, "PODBASTION_BIN"), name)
}

// freePort finds an address to listen on, below the ports that the kernel gives to connections, so that none takes it
// before.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000))) // #nosec G404 -- no secret
		if err != nil {
			continue
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t testing.TB, name, text string) {
	t.Helper()
	// Put in place whole: a daemon that watches the file must not see half of it.
	if err := os.WriteFile(w.path(name+".new"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.path(name+".new"), w.path(name)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) key(t testing.TB, account string) string {
	t.Helper()
	file := w.path("id_" + account)
	if _, err := os.Stat(file); err != nil {
		command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", account, "-f", file)
	}
	data, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func (w *world) startAgent(t testing.TB) {
	t.Helper()
	argv := append(confined(t), binary(t, "agent"), "serve", "--config", w.path("agent.yaml"))
	d, err := startDaemon(w.path("agent.log"), argv...)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = d
	w.waitReady(t, d, w.agentOps)
}

func (w *world) startBastion(t testing.TB) {
	t.Helper()
	d, err := startDaemon(w.path("bastion.log"), binary(t, "bastion"), "serve", "--config", w.path("bastion.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.bastion = d
	w.waitReady(t, d, w.ops)
}

func (w *world) waitReady(t testing.TB, d *daemon, ops string) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		select {
		case <-d.ended:
			t.Fatalf("%s ended:\n%s", d.Path, d.tail())
		default:
		}
		resp, err := http.Get("http://" + ops + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s: %s\n%s", resp.Status, body, d.tail())
		}
		return nil
	})
}

// eventually waits for a condition.
func eventually(t testing.TB, limit time.Duration, holds func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, limit, true, func(context.Context) (bool, error) {
		last = holds()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("not within %s: %v", limit, last)
	}
}

// result is how a client ended.
type result struct {
	code           int
	stdout, stderr string
}

// sshArgs are the options of every ssh and scp in these tests.
func (w *world) sshArgs(account string) []string {
	_, port, _ := net.SplitHostPort(w.addr)
	return []string{"-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + w.path("known_hosts"),
		"-o", "IdentitiesOnly=yes", "-o", "IdentityFile=" + w.path("id_"+account), "-o", "PasswordAuthentication=no",
		"-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR", "-o", "Port=" + port}
}

// login logs in with a client that sends what it is told.
func (w *world) login(t testing.TB, account, user string) *ssh.Client {
	t.Helper()
	text, err := os.ReadFile(w.path("id_" + account))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ssh runs OpenSSH's client as account+address@bastion. Extra options stand before the destination.
func (w *world) ssh(t testing.TB, user string, stdin io.Reader, args ...string) result {
	t.Helper()
	account, _, _ := strings.Cut(user, "+")
	argv := append(w.sshArgs(account), "-l", user, "127.0.0.1")
	return runClient(t, stdin, "ssh", append(argv, args...)...)
}

func runClient(t testing.TB, stdin io.Reader, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // asciinema wants one
	cmd.Stdin = stdin
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("%s %s did not end in time", name, strings.Join(args, " "))
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// events returns the audit events that fit.
func (w *world) events(t testing.TB, fits func(map[string]any) bool) []map[string]any {
	t.Helper()
	return readEvents(t, w.path("audit.jsonl"), fits)
}

func readEvents(t testing.TB, path string, fits func(map[string]any) bool) []map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []map[string]any
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		var e map[string]any
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v in %q", path, err, sc.Text())
		}
		if fits(e) {
			out = append(out, e)
		}
	}
	return out
}

// inside runs a program in a container through the engine, beside the bastion: the tests' own eyes.
func (w *world) inside(t testing.TB, p *pod, container string, argv ...string) string {
	t.Helper()
	out, err := w.engine(append([]string{"exec", p.containers[container]}, argv...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var shared struct {
	once        sync.Once
	w           *world
	clusterOnce sync.Once
	cluster     *cluster
}
