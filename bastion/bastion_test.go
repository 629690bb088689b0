package bastion_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/atonce"
)

// The agent's SPDY library waits for up to a second after the end of a connection before it lets its goroutine go.
func TestMain(m *testing.M) {
	atonce.Set(4)
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}

// whole is a bastion and an agent as they are shipped, but for the pod, which is a folder.
type whole struct {
	dir, addr, ops string
	key            ssh.Signer
	agent          *agenttest.Agent
	stop           func()
	reload         func() error
}

// fixed feeds an index once.
type fixed struct{}

func (fixed) Run(ctx context.Context) error { <-ctx.Done(); return nil }

const roles = `
roles:
  dev: {targets: [{namespaces: [shop, front]}], forward: {podPorts: ["1-65535"]}}
`

func start(t *testing.T) *whole {
	t.Helper()
	a := agenttest.Start(t)
	return startWith(t, a, podOf(a.Target))
}

// podOf is a pod that runs.
func podOf(t target.Target) *target.Pod {
	return &target.Pod{Cluster: t.Cluster, Namespace: t.Namespace, Name: t.Pod, UID: t.UID, Node: t.Node, NodeAddress: t.NodeAddress,
		Containers: []target.Container{{Name: t.Container, Running: true}}, Running: true, Ready: true}
}

func startWith(t *testing.T, a *agenttest.Agent, pods ...*target.Pod) *whole {
	t.Helper()
	w := &whole{dir: t.TempDir(), agent: a}
	at := func(name string) string { return filepath.Join(w.dir, name) }
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	must(t, os.WriteFile(at("id"), pem.EncodeToMemory(block), 0o600))
	w.key, err = ssh.NewSignerFromKey(private)
	must(t, err)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(w.key.PublicKey())))
	must(t, os.WriteFile(at("roles.yaml"), []byte("accounts: [{name: alice, keys: ['"+line+"'], roles: [dev]}]\n"+roles), 0o600))
	must(t, grant.SavePrivateKey(at("grant.key"), a.Key))
	c := bastion.Config{
		Listen: "127.0.0.1:0", HostKeys: []string{at("host")}, Roles: at("roles.yaml"), GrantKey: at("grant.key"), Ops: freeAddress(t),
		Agents: bastion.AgentsConfig{Port: a.Port, CAFile: filepath.Join(a.Keys, "ca.crt"), CertFile: filepath.Join(a.Keys, "bastion.crt"), KeyFile: filepath.Join(a.Keys, "bastion.key")},
		Audit:  bastion.AuditConfig{Log: at("audit.jsonl"), Recordings: at("recordings")},
		SSH: bastion.SSHConfig{LoginGrace: 20 * time.Second, MaxConnections: 200, MaxPerSource: 200, MaxUnauthenticated: 50, MaxChannels: 32,
			KeepaliveInterval: 5 * time.Second, KeepaliveMisses: 3},
		Sessions: bastion.SessionsConfig{Max: 100, Env: []string{"LANG", "LC_*"}},
		Drain:    2 * time.Second, Log: bastion.LogConfig{Level: "info", Format: "text"},
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	b, err := bastion.New(c, bastion.Parts{Log: log, Pods: func(s *store.Store) (bastion.Feeder, error) {
		return fixed{}, s.Upsert(pods...)
	}})
	must(t, err)
	w.addr, w.ops, w.reload = b.Addr().String(), c.Ops, b.Reload
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	w.stop = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			done <- nil
		case <-time.After(20 * time.Second):
			t.Error("the bastion does not end")
		}
	}
	t.Cleanup(w.stop)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

func (w *whole) login(t *testing.T) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{User: "alice+web-1", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// get asks the ops listener.
func (w *whole) get(t *testing.T, path string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + w.ops + path)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text)
}

func (w *whole) events(t *testing.T) []audit.Event {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "audit.jsonl"))
	must(t, err)
	var out []audit.Event
	for line := range bytes.Lines(data) {
		var e audit.Event
		must(t, json.Unmarshal(line, &e))
		out = append(out, e)
	}
	return out
}

// status is what a session ended with; -1 when that is not known.
func status(err error) int {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitStatus()
	}
	return -1
}

func TestWholeRoad(t *testing.T) {
	w := start(t)
	c := w.login(t)
	s, err := c.NewSession()
	must(t, err)
	var out, errOut bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader("input\n"), &out, &errOut
	err = s.Run("cat; pwd; echo oops >&2; exit 7")
	if status(err) != 7 {
		t.Fatalf("ended with %v (%s)", err, errOut.String())
	}
	if got := out.String(); !strings.HasPrefix(got, "input\n/") || errOut.String() != "oops\n" {
		t.Errorf("got %q and %q", got, errOut.String())
	}
	if code, text := w.get(t, "/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, text)
	}
	_, metrics := w.get(t, "/metrics")
	for _, want := range []string{`podbastion_logins_total{method="publickey",result="accept"} 1`, `podbastion_sessions_started_total{kind="exec"} 1`,
		`podbastion_agent_up{cluster="test",node="node-1"} 1`, "podbastion_pods 1"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	w.stop()
	var types []string
	for _, e := range w.events(t) {
		types = append(types, string(e.Type))
		if e.Type == audit.RecordingClose {
			data, err := os.ReadFile(e.Path)
			must(t, err)
			if !strings.Contains(string(data), `input\r\n`) || !strings.Contains(string(data), `oops\r\n`) || e.Bytes == nil || *e.Bytes != int64(len(data)) {
				t.Errorf("recording %+v holds %s", e, data)
			}
		}
	}
	if got := strings.Join(types, " "); got != "auth.accept command session.start recording.close session.end" {
		t.Errorf("events: %s", got)
	}
}

// A port where nobody listens: the channel is refused, with the reason, and never confirmed.
func TestForwardToClosedPort(t *testing.T) {
	w := start(t)
	_, port, err := net.SplitHostPort(freeAddress(t))
	must(t, err)
	_, err = w.login(t).Dial("tcp", "localhost:"+port)
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != ssh.ConnectionFailed || refused.Message != "port "+port+" of the pod: connection refused" {
		t.Errorf("got %v", err)
	}
	for _, e := range w.events(t) {
		if e.Type == audit.ForwardClose && strings.Contains(e.Reason, "not connected") && strings.Contains(e.Reason, "connection refused") {
			return
		}
	}
	t.Error("the audit log does not say that nobody listened")
}

func TestReloadByFile(t *testing.T) {
	w := start(t)
	c := w.login(t)
	s, err := c.NewSession()
	must(t, err)
	var errOut bytes.Buffer
	s.Stderr = &errOut
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.Start("echo ready; sleep 100"))
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(w.dir, "roles.yaml"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.dir, "roles.yaml"), bytes.Replace(before, []byte("[shop, front]"), []byte("[bank]"), 1), 0o600))
	must(t, w.reload())
	err = s.Wait()
	if status(err) != 255 || !strings.Contains(errOut.String(), "your access to this pod has ended") {
		t.Errorf("ended with %v, %q", err, errOut.String())
	}
}

func TestAgentGone(t *testing.T) {
	w := start(t)
	c := w.login(t)
	s, err := c.NewSession()
	must(t, err)
	var errOut bytes.Buffer
	s.Stderr = &errOut
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.Start("echo ready; sleep 100"))
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	w.agent.Stop(t)
	err = s.Wait()
	if status(err) != 255 || !strings.HasPrefix(errOut.String(), "bastion: the connection to the pod was lost") {
		t.Errorf("ended with %v, %q", err, errOut.String())
	}
	s, err = c.NewSession()
	must(t, err)
	errOut.Reset()
	s.Stderr = &errOut
	err = s.Run("true")
	if status(err) != 255 || !strings.Contains(errOut.String(), "its node does not answer") {
		t.Errorf("ended with %v, %q", err, errOut.String())
	}
}
