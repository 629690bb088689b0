// Package demo composes a bastion and an agent in one process, for people who want to see it work: with pretend pods
// that are folders of this machine, or with the labelled containers of a Docker Engine. Everything that it makes is
// under one folder and is used again the next time. Between the two halves are the same certificates, grants and
// protocols as between real ones.
package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/reaper"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/docker"
	"github.com/podbastion/podbastion/agent/runtime/process"
	auditlog "github.com/podbastion/podbastion/audit/log"
	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/internal/oplog"
	"github.com/podbastion/podbastion/internal/pki"
	"github.com/podbastion/podbastion/internal/settings"
)

// Names of what the demo is made of.
const (
	Account = "demo"
	cluster = "demo"
	node    = "demo-node"
)

// drain is how long sessions may go on after the stop.
const drain = 3 * time.Second

// Options says how to demonstrate.
type Options struct {
	Dir     string // where everything is kept
	SSHAddr string
	Docker  bool      // the local engine's labelled containers instead of pretend pods
	Host    string    // of the engine; empty: as the docker command finds it
	Out     io.Writer // facts to paste, one a line
	Log     io.Writer // the operational log
}

// Demo is a composed demonstration. Run it once.
type Demo struct {
	o       Options
	log     *logrus.Logger
	runtime runtime.Runtime
	feeder  func(*store.Store) bastion.Feeder
	audit   *auditlog.Log
	reaper  *reaper.Reaper
	agent   *agent.Server
	tls     *tls.Config
	ln      net.Listener // the agent's
	bastion *bastion.Bastion
}

// New makes what is missing under Options.Dir, and takes the addresses that it listens on. The running program must
// call reaper.Main and files.Main first.
func New(o Options) (_ *Demo, err error) {
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	d := &Demo{o: o}
	if d.log, err = oplog.New("warn", "text", o.Log); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := prepare(o.Dir); err != nil {
		return nil, err
	}
	if err := d.pods(); err != nil {
		return nil, err
	}
	if d.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	c, err := d.config()
	if err != nil {
		return nil, err
	}
	if d.bastion, err = bastion.New(c, bastion.Parts{Log: d.log, Pods: func(s *store.Store) (bastion.Feeder, error) { return d.feeder(s), nil }}); err != nil {
		if no := (*net.OpError)(nil); errors.As(err, &no) && no.Op == "listen" {
			return nil, fmt.Errorf("demo: %w; another address: --ssh-addr", no)
		}
		return nil, err
	}
	return d, d.serveAgent() // behind the bastion, which makes the grants' key the first time
}

func (d *Demo) path(name string) string { return filepath.Join(d.o.Dir, name) }

// pods chooses the runtime, and what tells the index of its pods.
func (d *Demo) pods() error {
	if d.o.Docker {
		r, err := docker.New(d.o.Host, d.log.Warnf)
		if err != nil {
			return err
		}
		d.runtime = r
		d.feeder = func(s *store.Store) bastion.Feeder { return &engineFeeder{r, s, d.log} }
		return nil
	}
	pods, err := pretendPods(d.path("pods"))
	if err != nil {
		return err
	}
	d.runtime = process.New(pods)
	d.feeder = func(s *store.Store) bastion.Feeder { return &pretendFeeder{s} }
	return nil
}

// config is a bastion's as an operator would write it.
func (d *Demo) config() (bastion.Config, error) {
	var c bastion.Config
	if err := settings.Load(&c, settings.Source{}); err != nil { // the defaults
		return c, fmt.Errorf("demo: %w", err)
	}
	c.Listen = d.o.SSHAddr
	c.HostKeys = []string{d.path("host_ed25519")}
	c.Roles = d.path("roles.yaml")
	c.GrantKey = d.path("grant.key")
	c.Agents = bastion.AgentsConfig{
		Addresses: map[string]string{node: d.ln.Addr().String()},
		CAFile:    d.path("pki/ca.crt"), CertFile: d.path("pki/bastion.crt"), KeyFile: d.path("pki/bastion.key"),
	}
	c.Audit.Log, c.Audit.Recordings = d.path("audit.jsonl"), d.path("recordings")
	c.Ops, c.Drain = "", drain
	return c, nil
}

func (d *Demo) serveAgent() error {
	keys, err := grant.LoadPublicKeys(d.path("grant.key.pub"))
	if err != nil {
		return err
	}
	if d.tls, err = pki.Agent(d.path("pki/agent-"+node+".crt"), d.path("pki/agent-"+node+".key"), d.path("pki/ca.crt")); err != nil {
		return err
	}
	if d.audit, err = auditlog.Open(d.path("agent-audit.jsonl"), auditlog.Options{}); err != nil {
		return err
	}
	if d.reaper, err = reaper.Start(d.path("open-sessions"), d.log.Warnf); err != nil {
		return err
	}
	o := agent.Options{
		Node: node, Cluster: cluster, Runtime: d.runtime, Grants: grant.NewVerifier(keys, nil), Audit: d.audit, Log: d.log,
		Metrics: agent.NewMetrics(prometheus.NewRegistry(), d.runtime.Ready), Reap: d.reaper.Watch, MaxConnections: 1024, Drain: drain,
	}
	o.Files = files.Local{}
	if d.o.Docker {
		o.Files = files.NewConfined(d.log, "")
	}
	d.agent = agent.New(o)
	return nil
}

// Run serves until ctx ends.
func (d *Demo) Run(ctx context.Context) error {
	defer d.close()
	oplog.Kubernetes(d.log)
	if err := d.tell(); err != nil {
		return err
	}
	// The agent outlives the bastion, whose sessions drain into it.
	background, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var parts sync.WaitGroup
	run := func(f func(context.Context) error) {
		parts.Go(func() {
			if err := f(background); err != nil && background.Err() == nil {
				stop(fmt.Errorf("demo: %w", err))
			}
		})
	}
	run(d.runtime.Run)
	run(func(ctx context.Context) error { return d.agent.Serve(ctx, d.ln, d.tls) })
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(background, cancel)()
	err := d.bastion.Run(serving)
	cause := context.Cause(background) // nil unless a part failed
	stop(nil)
	parts.Wait()
	return errors.Join(cause, err)
}

func (d *Demo) close() {
	if d.ln != nil {
		_ = d.ln.Close() // closed already where it was served
	}
	if r, ok := d.runtime.(io.Closer); ok {
		_ = r.Close() // idle connections only
	}
	if d.reaper != nil {
		d.reaper.Close()
	}
	if d.audit != nil {
		_ = d.audit.Close() // refusals only, each of which was made durable
	}
}

// Addr is where SSH clients connect to.
func (d *Demo) Addr() net.Addr { return d.bastion.Addr() }

// tell prints what a user needs, ready to paste.
func (d *Demo) tell() error {
	host, port, err := net.SplitHostPort(d.Addr().String())
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if err := d.writeKnownHosts(host, port); err != nil {
		return err
	}
	login := fmt.Sprintf("ssh -p %s -i %s -o IdentitiesOnly=yes -o UserKnownHostsFile=%s", port, quote(d.path("demo_ed25519")), quote(d.path("known_hosts")))
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(d.o.Out, format+"\n", args...)
		}
	}
	if d.o.Docker {
		say("pods: the local Docker Engine's containers with the labels io.kubernetes.pod.namespace, io.kubernetes.pod.name and io.kubernetes.container.name; ssh without a pod lists them")
	} else {
		say("WARNING: the pods are folders; commands in them run on this machine as %s, with no isolation at all", userName())
		for _, p := range pretend() {
			say("pod: %s/%s", p.Namespace, p.Name)
		}
	}
	say("files: %s", d.o.Dir)
	say("roles: %s (edit it: changes count at once)", d.path("roles.yaml"))
	say("audit log: %s", d.path("audit.jsonl"))
	say("recordings: %s (asciinema play FILE)", d.path("recordings"))
	say("pick a pod: %s %s@%s", login, Account, host)
	if !d.o.Docker {
		say("run a command: %s %s+infra+%s@%s 'echo $HOME'", login, Account, singleton, host)
		say("open a shell: %s %s+shop+%s@%s", login, Account, workload, host)
	}
	say("stop: ^C")
	return err
}

func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return fmt.Sprintf("user %d", os.Getuid())
}
