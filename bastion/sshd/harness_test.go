package sshd_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/throttle"
	"github.com/podbastion/podbastion/auth/verify"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/tty"
)

// localBridge runs what it is told on this machine, as an agent would in a container.
type localBridge struct {
	facts bridge.Facts

	mu      sync.Mutex
	starts  []bridge.Start
	running int
	exec    func(bridge.Start) (bridge.Process, error) // nil: run it
}

func (b *localBridge) Facts(context.Context, string, string, target.Target, string) (bridge.Facts, error) {
	return b.facts, nil
}

func (b *localBridge) Forward(ctx context.Context, _, _ string, _ target.Target, port uint16) (io.ReadWriteCloser, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", itoa(int(port))))
}

func (b *localBridge) Exec(_ context.Context, s bridge.Start) (bridge.Process, error) {
	b.mu.Lock()
	b.starts = append(b.starts, s)
	hook := b.exec
	b.running++
	b.mu.Unlock()
	if hook != nil {
		return hook(s)
	}
	p := &localProcess{bridge: b, ended: make(chan struct{})}
	p.cmd = exec.Command(s.Argv[0], s.Argv[1:]...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, s.Env...)
	if err := p.start(s); err != nil {
		return nil, err
	}
	go p.wait()
	return p, nil
}

func (b *localBridge) last(t *testing.T) bridge.Start {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.starts) == 0 {
		t.Fatal("nothing was started")
	}
	return b.starts[len(b.starts)-1]
}

type localProcess struct {
	bridge         *localBridge
	cmd            *exec.Cmd
	terminal       *os.File
	stdin          io.WriteCloser
	stdout, stderr io.Reader
	ended          chan struct{}
	exit           bridge.Exit
	once           sync.Once
}

func (p *localProcess) start(s bridge.Start) error {
	if s.TTY {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		f, err := pty.StartWithAttrs(p.cmd, &pty.Winsize{Rows: s.Size.Rows, Cols: s.Size.Cols}, p.cmd.SysProcAttr)
		if err != nil {
			return err
		}
		p.terminal, p.stdin, p.stdout = f, f, ptyReader{f}
		return nil
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	p.stdin, p.stdout, p.stderr = in, outR, errR
	err = p.cmd.Start()
	_, _ = outW.Close(), errW.Close()
	return err
}

// ptyReader: a terminal that nobody holds any more reads as EIO on Linux.
type ptyReader struct{ f *os.File }

func (r ptyReader) Read(b []byte) (int, error) {
	n, err := r.f.Read(b)
	if errors.Is(err, syscall.EIO) || errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (p *localProcess) wait() {
	_ = p.cmd.Wait()
	ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		p.exit = bridge.Exit{Code: 128 + int(ws.Signal()), Signal: strings.TrimPrefix(signalName(ws.Signal()), "SIG")}
	} else {
		p.exit = bridge.Exit{Code: ws.ExitStatus()}
	}
	p.bridge.mu.Lock()
	p.bridge.running--
	p.bridge.mu.Unlock()
	close(p.ended)
}

func signalName(s syscall.Signal) string {
	return map[syscall.Signal]string{syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP"}[s]
}

func (p *localProcess) Stdin() io.WriteCloser { return p.stdin }
func (p *localProcess) Stdout() io.Reader     { return p.stdout }
func (p *localProcess) Stderr() io.Reader {
	if p.stderr == nil {
		return nil
	}
	return p.stderr
}

func (p *localProcess) Resize(s tty.Size) error {
	return pty.Setsize(p.terminal, &pty.Winsize{Rows: s.Rows, Cols: s.Cols})
}

func (p *localProcess) Signal(_ context.Context, name string) error {
	sig, ok := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}[name]
	if !ok {
		return errors.New("no such signal")
	}
	return syscall.Kill(-p.cmd.Process.Pid, sig)
}

func (p *localProcess) Wait() (bridge.Exit, error) { <-p.ended; return p.exit, nil }

func (p *localProcess) Close() error {
	p.once.Do(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
		_ = p.stdin.Close()
	})
	return nil
}

// pods is an index of a few pods that always run.
type pods struct {
	mu   sync.Mutex
	list []*target.Pod
}

func (p *pods) Find(q target.Query) []*target.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*target.Pod
	for _, pod := range p.list {
		switch {
		case q.Namespace != "" && q.Namespace != pod.Namespace, q.Cluster != "" && q.Cluster != pod.Cluster,
			q.Name != "" && q.Name != pod.Name, q.Owner != "", q.IP != "":
		default:
			out = append(out, pod)
		}
	}
	return out
}

func (p *pods) set(list ...*target.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list
}

func (p *pods) Namespaces() []target.Scope {
	return []target.Scope{{Cluster: "main", Namespace: "shop"}, {Cluster: "main", Namespace: "bank"}}
}
func (p *pods) Health() []target.ClusterHealth { return nil }

func pod(ns target.Namespace, name, uid string) *target.Pod {
	return &target.Pod{Cluster: "main", Namespace: ns, Name: name, UID: target.UID(uid), IPs: []string{"10.1.2.3"}, Node: "n1", NodeAddress: "127.0.0.1",
		Containers: []target.Container{{Name: "app", Running: true}}, Running: true, Ready: true}
}

// events is a sink that keeps what it got.
type events struct {
	mu   sync.Mutex
	list []audit.Event
	fail error
	more chan struct{}
}

func (e *events) Append(_ context.Context, ev audit.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return e.fail
	}
	e.list = append(e.list, ev)
	close(e.more)
	e.more = make(chan struct{})
	return nil
}

// wait returns the first event that fits, now or within a few seconds.
func (e *events) wait(t *testing.T, what string, fits func(audit.Event) bool) audit.Event {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		e.mu.Lock()
		for _, ev := range e.list {
			if fits(ev) {
				e.mu.Unlock()
				return ev
			}
		}
		more := e.more
		list := e.list
		e.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			for _, ev := range list {
				t.Logf("event %+v", ev)
			}
			t.Fatalf("no event: %s", what)
		}
	}
}

// bed is a front with everything behind it on this machine.
type bed struct {
	addr     string
	source   *auth.Source
	roles    string // file
	bridge   *localBridge
	pods     *pods
	events   *events
	sessions *session.Service
	server   *sshd.Server
	hostKey  ssh.PublicKey
}

const rolesHead = `
roles:
  dev:
    targets: [{namespaces: [shop]}]
    recording: off
    forward: {podPorts: [1-65535]}
    env: ["APP_*"]
`

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// start makes a bed with the roles document and serves until the test ends.
func start(t *testing.T, roles string, tune func(*sshd.Options, *session.Options)) *bed {
	t.Helper()
	b := &bed{
		pods: &pods{}, events: &events{more: make(chan struct{})},
		bridge: &localBridge{facts: bridge.Facts{User: "root", Home: "/", Shell: "/bin/sh", Shells: []string{"/bin/sh"}}},
	}
	b.pods.set(pod("shop", "web-0", "uid-1"), pod("bank", "vault-0", "uid-2"))
	b.roles = t.TempDir() + "/roles.yaml"
	if err := os.WriteFile(b.roles, []byte(roles), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.source, err = auth.NewSource(b.roles, nil); err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(testWriter{t})
	log.SetLevel(logrus.DebugLevel)
	host, _ := newKey(t)
	b.hostKey = host.PublicKey()
	v := verify.New(b.source, verify.Options{})
	so := session.Options{
		Router: route.New(b.pods), Bridge: b.bridge, Documents: b.source, Audit: b.events, Max: 100, Log: log,
		Metrics: session.NewMetrics(prometheus.NewRegistry()),
	}
	o := sshd.Options{
		HostKeys: []ssh.Signer{host}, Keys: v, Secrets: v, Passwords: func() bool { return b.source.Current().UsesPasswords() },
		Throttle: throttle.New(throttle.Options{}), Audit: b.events, Log: log, Metrics: sshd.NewMetrics(prometheus.NewRegistry()),
		Limits: sshd.Limits{LoginGrace: time.Minute, MaxConnections: 100, MaxPerSource: 100, MaxUnauthenticated: 20, MaxChannels: 16,
			KeepaliveInterval: 15 * time.Second, KeepaliveMisses: 3},
	}
	if tune != nil {
		tune(&o, &so)
	}
	b.sessions = session.New(so)
	o.Sessions = b.sessions
	b.server = sshd.New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		b.server.Close()
	})
	return b
}

// testWriter sends the log to the test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { return len(p), nil }

func (b *bed) dial(user string, methods ...ssh.AuthMethod) (*ssh.Client, error) {
	return ssh.Dial("tcp", b.addr, &ssh.ClientConfig{User: user, Auth: methods, HostKeyCallback: ssh.FixedHostKey(b.hostKey), Timeout: 10 * time.Second})
}

func (b *bed) login(t *testing.T, user string, methods ...ssh.AuthMethod) *ssh.Client {
	t.Helper()
	c, err := b.dial(user, methods...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func itoa(n int) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
