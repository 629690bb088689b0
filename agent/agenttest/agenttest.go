// Package agenttest runs a real agent inside a test: the process runtime with one pretend pod, behind mutual TLS on a
// loopback port, with certificates and keys of its own.
package agenttest

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/process"
	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/pki"
)

// Names of what the agent has.
const (
	Node    = "node-1"
	Cluster = "test"
)

// Agent is a running agent.
type Agent struct {
	Address string // host:port
	Port    uint16
	Target  target.Target // the pretend pod's container
	Dir     string        // the pretend pod's folder
	TLS     *tls.Config   // the bastion's
	Signer  *grant.Signer
	Key     ed25519.PrivateKey // what Signer signs with
	Events  *Events
	Keys    string // folder of certificates and the authority

	stop context.CancelFunc
	done chan error
}

// Events remembers what was appended.
type Events struct {
	mu   sync.Mutex
	list []audit.Event
}

// Append implements audit.Sink.
func (e *Events) Append(_ context.Context, ev audit.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, ev)
	return nil
}

// Take returns and forgets what was appended.
func (e *Events) Take() []audit.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.list
	e.list = nil
	return l
}

// Option changes how an agent is composed.
type Option func(*agent.Options)

// WithRuntime replaces the pretend pod; tgt names a container of the runtime.
func WithRuntime(r runtime.Runtime) Option { return func(o *agent.Options) { o.Runtime = r } }

// Start runs an agent until the test ends.
func Start(t testing.TB, options ...Option) *Agent {
	t.Helper()
	keys, dir := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(keys, name) }
	ca, err := pki.NewAuthority("test")
	must(t, err)
	must(t, ca.Save(at("ca.crt"), at("ca.key")))
	must(t, ca.Issue(Node, at("agent.crt"), at("agent.key")))
	must(t, ca.Issue(pki.BastionName, at("bastion.crt"), at("bastion.key")))
	serverTLS, err := pki.Agent(at("agent.crt"), at("agent.key"), at("ca.crt"))
	must(t, err)
	clientTLS, err := pki.Bastion(at("bastion.crt"), at("bastion.key"), at("ca.crt"))
	must(t, err)
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	a := &Agent{
		Dir: dir, TLS: clientTLS, Signer: grant.NewSigner(private), Key: private, Events: &Events{}, Keys: keys, done: make(chan error, 1),
		Target: target.Target{
			Cluster: Cluster, Namespace: "shop", Pod: "web-1", UID: "uid-1", Container: "app", Node: Node, NodeAddress: "127.0.0.1",
		},
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	o := agent.Options{
		Node: Node, Cluster: Cluster, Grants: grant.NewVerifier([]ed25519.PublicKey{public}, nil), Audit: a.Events, Log: log,
		Runtime:        process.New([]process.Pod{{Namespace: "shop", Name: "web-1", UID: "uid-1", Container: "app", Dir: dir}}),
		Files:          files.Local{},
		MaxConnections: 256, Drain: time.Second,
	}
	for _, f := range options {
		f(&o)
	}
	o.Metrics = agent.NewMetrics(prometheus.NewRegistry(), o.Runtime.Ready)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	a.Address = ln.Addr().String()
	_, port, _ := net.SplitHostPort(a.Address)
	n, err := strconv.ParseUint(port, 10, 16)
	must(t, err)
	a.Port = uint16(n)
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	go func() { a.done <- agent.New(o).Serve(ctx, ln, serverTLS) }()
	t.Cleanup(func() { a.Stop(t) })
	return a
}

// Stop drains the agent and waits until it has ended.
func (a *Agent) Stop(t testing.TB) {
	t.Helper()
	a.stop()
	select {
	case err := <-a.done:
		if err != nil {
			t.Errorf("the agent ended with %v", err)
		}
		a.done <- nil // for the next one who asks
	case <-time.After(30 * time.Second):
		t.Error("the agent does not end")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
