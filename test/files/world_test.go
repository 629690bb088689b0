//go:build real

package files_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/runtime/docker"
	"github.com/podbastion/podbastion/agent/runtime/runtimetest"
	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/throttle"
	"github.com/podbastion/podbastion/auth/verify"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

const everything = `{upload: [{paths: ["/**"]}], download: [{paths: ["/**"]}], remove: [{paths: ["/**"]}], rename: [{paths: ["/**"]}], mkdir: [{paths: ["/**"]}], chmod: [{paths: ["/**"]}]}`

const rolesText = `
accounts:
  - {name: alice, keys: ["KEY"], roles: [all]}
  - {name: dev, keys: ["KEY"], roles: [dev]}
  - {name: mover, keys: ["KEY"], roles: [mover]}
  - {name: nofiles, keys: ["KEY"], roles: [nofiles]}
  - {name: robot, keys: ["KEY"], roles: [robot]}
  - {name: syncer, keys: ["KEY"], roles: [syncer]}
roles:
  all: {recording: "off", targets: [{namespaces: [NAMESPACE]}], files: ` + everything + `}
  dev: {recording: "off", targets: [{namespaces: [NAMESPACE]}], user: dev, files: ` + everything + `}
  mover: {recording: "off", targets: [{namespaces: [NAMESPACE]}], files: {upload: [{paths: ["/tmp/in/**"], maxSize: 1MiB}], download: [{paths: ["/tmp/out/**"]}]}}
  nofiles: {recording: "off", targets: [{namespaces: [NAMESPACE]}]}
  robot:
    recording: "off"
    targets: [{namespaces: [NAMESPACE]}]
    user: dev
    files: ` + everything + `
    commands:
ANSIBLE
  syncer:
    recording: "off"
    targets: [{namespaces: [NAMESPACE]}]
    commands:
RSYNC
`

// documented is the commands section of a role as docs/commands.md shows it.
func documented(t testing.TB, role string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/commands.md")
	must(t, err)
	_, after, ok := strings.Cut(string(text), "<!-- role: "+role+" -->\n```yaml\ncommands:\n")
	section, _, closed := strings.Cut(after, "\n```")
	if !ok || !closed {
		t.Fatalf("docs/commands.md has no role %s", role)
	}
	return "    " + strings.ReplaceAll(section, "\n", "\n    ")
}

// world is a bastion, an agent and some pods.
type world struct {
	host string // of the engine
	dir  string // of this machine: keys and files
	at   string // address that the bastion listens on
	port string
	pods map[string]string // name to container id
	// namespace is of this world alone: pods that a killed run left behind have another.
	namespace string
	log       *events
	key       ssh.Signer
	roles     *auth.Source
	sessions  *session.Service
}

// events is an audit log in memory.
type events struct {
	mu   sync.Mutex
	list []audit.Event
}

func (e *events) Append(_ context.Context, ev audit.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, ev)
	return nil
}

func (e *events) all() []audit.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]audit.Event(nil), e.list...)
}

// find waits for an event that fits.
func (e *events) find(t testing.TB, what string, fits func(audit.Event) bool) audit.Event {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, ev := range e.all() {
			if fits(ev) {
				return ev
			}
		}
	}
	text, _ := json.Marshal(e.all())
	t.Fatalf("no event: %s; there are %s", what, text)
	return audit.Event{}
}

func (w *world) docker(t testing.TB, args ...string) string {
	t.Helper()
	return runtimetest.CLI(t, w.host, args...)
}

// pod starts a pod's container of an image, with more arguments for docker run.
func (w *world) pod(t testing.TB, name, image string, args ...string) {
	t.Helper()
	if !slices.Contains(args, "--network") {
		args = append(args, "--network", "none")
	}
	run := append([]string{"run", "-d",
		"--label", "io.kubernetes.pod.namespace=" + w.namespace, "--label", "io.kubernetes.pod.name=" + name,
		"--label", "io.kubernetes.pod.uid=" + w.uid(name), "--label", "io.kubernetes.container.name=app",
		"--label", "io.kubernetes.docker.type=container"}, args...)
	id := w.docker(t, append(run, image)...)
	t.Cleanup(func() { _ = exec.Command("docker", "-H", w.host, "rm", "-f", "-v", id).Run() })
	w.pods[name] = id
}

// uid is of one pod alone, of all that the engine runs.
func (w *world) uid(name string) string { return w.namespace + "-" + name }

var helper = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "files-helper")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/helper", "../../agent/files/helper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir + "/helper", nil
})

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newWorld starts a bastion and an agent. Pods are added before with w.pod, then w.serve.
func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{host: runtimetest.Docker(t), dir: t.TempDir(), at: "127.0.0.1", pods: map[string]string{}, log: &events{}, namespace: "files-" + strings.ToLower(rand.Text()[:8])}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) serve(t testing.TB) {
	t.Helper()
	program, err := helper()
	must(t, err)
	log := logrus.New()
	log.SetOutput(io.Discard)
	if os.Getenv("FILES_TEST_LOG") != "" {
		log.SetOutput(os.Stderr)
		log.SetLevel(logrus.DebugLevel)
	}
	rt, err := docker.New(w.host, t.Logf)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- rt.Run(ctx) }()
	t.Cleanup(func() { cancel(); t.Log("the runtime ended:", <-ran); _ = rt.Close() })
	a := agenttest.Start(t, agenttest.WithRuntime(rt), func(o *agent.Options) { o.Files = files.NewConfined(log, program) })
	for deadline := time.Now().Add(20 * time.Second); len(rt.List()) < len(w.pods) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	idx, err := store.New()
	must(t, err)
	for name := range w.pods {
		must(t, idx.Upsert(&target.Pod{Cluster: agenttest.Cluster, Namespace: target.Namespace(w.namespace), Name: name, UID: target.UID(w.uid(name)), Node: agenttest.Node,
			NodeAddress: "127.0.0.1", Containers: []target.Container{{Name: "app", Running: true}}, Running: true, Ready: true}))
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, e := range w.log.all() {
				if e.Outcome != "complete" && (e.Outcome != "" || e.Reason != "" && e.Reason != "exit") {
					text, _ := json.Marshal(e)
					t.Logf("%s", text)
				}
			}
		}
	})
	w.login(t)
	w.roles, err = auth.NewSource(w.path("roles.yaml"), nil)
	must(t, err)
	br := bridge.New(bridge.Options{TLS: a.TLS, Signer: a.Signer, Port: a.Port})
	t.Cleanup(br.Close)
	registry := prometheus.NewRegistry()
	w.sessions = session.New(session.Options{
		Router: route.New(idx), Bridge: br, Files: br, Documents: w.roles, Audit: w.log, Max: 1000, Log: log,
		Metrics: session.NewMetrics(registry),
	})
	verifier := verify.New(w.roles, verify.Options{})
	front := sshd.New(sshd.Options{
		HostKeys: []ssh.Signer{w.key}, Keys: verifier, Secrets: verifier, Passwords: func() bool { return false }, Throttle: throttle.New(throttle.Options{}), Sessions: w.sessions,
		Audit: w.log, Log: log, Metrics: sshd.NewMetrics(registry),
		Limits: sshd.Limits{LoginGrace: time.Minute, MaxConnections: 200, MaxPerSource: 200, MaxUnauthenticated: 100, MaxChannels: 64,
			KeepaliveInterval: 15 * time.Second, KeepaliveMisses: 3},
	})
	ln, err := net.Listen("tcp", net.JoinHostPort(w.at, "0"))
	must(t, err)
	_, w.port, _ = net.SplitHostPort(ln.Addr().String())
	served := make(chan error, 1)
	go func() { served <- front.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); front.Close(); t.Log("the front ended:", <-served) })
}

// login writes a key, a roles document and what the clients need.
func (w *world) login(t testing.TB) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	must(t, os.WriteFile(w.path("id"), pem.EncodeToMemory(block), 0o600))
	w.key, err = ssh.NewSignerFromKey(private)
	must(t, err)
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(w.key.PublicKey())))
	must(t, os.WriteFile(w.path("id.pub"), []byte(public+"\n"), 0o600))
	must(t, os.WriteFile(w.path("roles.yaml"), []byte(strings.NewReplacer("KEY", public, "NAMESPACE", w.namespace, "ANSIBLE", documented(t, "ansible"), "RSYNC", documented(t, "rsync")).Replace(rolesText)), 0o600))
}

// options are those of ssh and its kin.
func (w *world) options(more ...string) []string {
	return append([]string{
		"-o", "Port=" + w.port, "-i", w.path("id"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
	}, more...)
}

// run runs a client and returns its output and exit status.
func (w *world) run(t testing.TB, stdin string, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "HOME="+w.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// ok runs a client that must succeed.
func (w *world) ok(t testing.TB, stdin string, name string, args ...string) string {
	t.Helper()
	out, code := w.run(t, stdin, name, args...)
	if code != 0 {
		t.Fatalf("%s %q: exit %s\n%s", name, args, strconv.Itoa(code), out)
	}
	return out
}
