package bastion

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	auditlog "github.com/podbastion/podbastion/audit/log"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/auth/throttle"
	"github.com/podbastion/podbastion/auth/verify"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/kube"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/oplog"
	"github.com/podbastion/podbastion/internal/ops"
	"github.com/podbastion/podbastion/internal/pki"
)

// Feeder keeps the index of pods up to date until the context ends.
type Feeder interface {
	Run(ctx context.Context) error
}

// Parts are what somebody composes a bastion with instead of what the configuration says.
type Parts struct {
	Log  *logrus.Logger                     // nil: made from the configuration, to standard error
	Pods func(*store.Store) (Feeder, error) // nil: informers of Config.Clusters
}

// Bastion is a composed bastion. Run it once.
type Bastion struct {
	c        Config
	log      *logrus.Logger
	registry *prometheus.Registry
	audit    *auditlog.Log
	roles    *auth.Source
	index    *store.Store
	feeder   Feeder
	bridge   *bridge.Bridge
	sessions *session.Service
	verifier *verify.Verifier
	throttle *throttle.Throttle
	front    *sshd.Server
	ssh, ops net.Listener // ops is nil when there is none
	draining atomic.Bool
}

// New composes a bastion from its configuration: it reads what files it names, and takes the addresses that it listens
// on. Nothing is served before Run.
func New(c Config, p Parts) (_ *Bastion, err error) {
	b := &Bastion{c: c, log: p.Log, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if b.log == nil {
		if b.log, err = oplog.New(c.Log.Level, c.Log.Format, os.Stderr); err != nil {
			return nil, fmt.Errorf("bastion: %w", err)
		}
	}
	if b.audit, err = auditlog.Open(c.Audit.Log, auditlog.Options{}); err != nil {
		return nil, err
	}
	if b.roles, err = auth.NewSource(c.Roles, b.reloaded); err != nil {
		return nil, err
	}
	if err := b.pods(p.Pods); err != nil {
		return nil, err
	}
	if err := b.agents(); err != nil {
		return nil, err
	}
	if err := b.serving(); err != nil {
		return nil, err
	}
	return b, b.listen()
}

func (b *Bastion) pods(feed func(*store.Store) (Feeder, error)) error {
	var err error
	if b.index, err = store.New(); err != nil {
		return err
	}
	b.registry.MustRegister(indexMetrics{b.index})
	if feed != nil {
		b.feeder, err = feed(b.index)
		return err
	}
	configs := make([]kube.Config, 0, len(b.c.Clusters))
	for _, cl := range b.c.Clusters {
		configs = append(configs, kubeConfig(cl))
	}
	b.feeder, err = kube.New(configs, b.index, kube.Options{Log: b.log})
	return err
}

func (b *Bastion) agents() error {
	key, err := grantKey(b.c.GrantKey)
	if err != nil {
		return err
	}
	conf, err := pki.Bastion(b.c.Agents.CertFile, b.c.Agents.KeyFile, b.c.Agents.CAFile)
	if err != nil {
		return err
	}
	b.bridge = bridge.New(bridge.Options{TLS: conf, Signer: grant.NewSigner(key), Port: b.c.Agents.Port, Addresses: b.c.Agents.Addresses})
	return nil
}

// grantKey reads the key that signs grants, or makes one: its public half then goes to the agents.
func grantKey(path string) (ed25519.PrivateKey, error) {
	key, err := grant.LoadPrivateKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("bastion: %w", err)
	}
	return key, errors.Join(grant.SavePrivateKey(path, key), grant.SavePublicKey(path+".pub", public))
}

func (b *Bastion) serving() error {
	env := make([]glob.Name, 0, len(b.c.Sessions.Env))
	for _, pattern := range b.c.Sessions.Env {
		g, err := glob.ParseName(pattern)
		if err != nil {
			return fmt.Errorf("bastion: sessions.env: %q: %w", pattern, err)
		}
		env = append(env, g)
	}
	b.sessions = session.New(session.Options{
		Router: route.New(b.index), Bridge: session.Measure(b.bridge, b.registry), Files: b.bridge, Node: b.bridge, Documents: b.roles, Audit: b.audit,
		Recordings: recordings(b.c.Audit.Recordings), Max: b.c.Sessions.Max, Env: env, Log: b.log, Metrics: session.NewMetrics(b.registry),
	})
	keys := make([]ssh.Signer, 0, len(b.c.HostKeys))
	for _, path := range b.c.HostKeys {
		key, err := sshd.HostKey(path)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	b.verifier, b.throttle = verify.New(b.roles, verify.Options{}), throttle.New(throttle.Options{})
	if err := b.verifier.Keep(b.c.state("codes")); err != nil {
		return fmt.Errorf("bastion: state: %w", err)
	}
	if err := b.throttle.Keep(b.c.state("failures"), func(err error) {
		b.log.WithError(err).Error("failed logins cannot be kept on the disk: a restart would forget them")
	}); err != nil {
		return fmt.Errorf("bastion: state: %w", err)
	}
	b.front = sshd.New(sshd.Options{
		HostKeys: keys, Keys: b.verifier, Secrets: b.verifier, Passwords: func() bool { return b.roles.Current().UsesPasswords() },
		Throttle: b.throttle, Sessions: b.sessions, Audit: b.audit, Banner: b.c.SSH.Banner, Log: b.log,
		Metrics: sshd.NewMetrics(b.registry),
		Limits: sshd.Limits{
			LoginGrace: b.c.SSH.LoginGrace, MaxConnections: b.c.SSH.MaxConnections, MaxPerSource: b.c.SSH.MaxPerSource,
			MaxUnauthenticated: b.c.SSH.MaxUnauthenticated, MaxChannels: b.c.SSH.MaxChannels,
			KeepaliveInterval: b.c.SSH.KeepaliveInterval, KeepaliveMisses: b.c.SSH.KeepaliveMisses,
		},
	})
	return nil
}

func (b *Bastion) listen() error {
	var err error
	if b.ssh, err = net.Listen("tcp", b.c.Listen); err != nil {
		return fmt.Errorf("bastion: %w; another address: --listen", err)
	}
	if b.c.Ops == "" {
		return nil
	}
	if b.ops, err = net.Listen("tcp", b.c.Ops); err != nil {
		return fmt.Errorf("bastion: %w; another address: --ops", err)
	}
	return nil
}

// Addr is where SSH clients connect to.
func (b *Bastion) Addr() net.Addr { return b.ssh.Addr() }

// Reload reads the roles document now. On error the old one stays in force.
func (b *Bastion) Reload() error {
	before := b.roles.Current().Hash()
	err := b.roles.Reload()
	if err == nil && b.roles.Current().Hash() == before { // else the outcome is in both logs
		b.log.WithFields(logrus.Fields{"roles": b.c.Roles, "document": before}).Info("roles document was read again: it is unchanged")
	}
	return err
}

// settleTime is for the last words of sessions to reach their clients.
const settleTime = 2 * time.Second

// Run serves until the context ends, then drains: nothing new begins, and what is live has Config.Drain to end.
func (b *Bastion) Run(ctx context.Context) error {
	defer b.close()
	background, stop := context.WithCancelCause(context.WithoutCancel(ctx)) // outlives ctx while draining
	defer stop(nil)
	unsubscribe := b.roles.Subscribe(func(_, _ *auth.Document) { b.sessions.Revalidate() })
	defer unsubscribe()
	var parts sync.WaitGroup
	run := func(name string, f func(context.Context) error) {
		parts.Go(func() {
			if err := f(background); err != nil && background.Err() == nil {
				stop(fmt.Errorf("bastion: %s: %w", name, err))
			}
		})
	}
	run("roles", b.roles.Run)
	run("pods", b.feeder.Run)
	run("sessions", func(ctx context.Context) error { b.sessions.Keep(ctx); return nil })
	if b.ops != nil {
		run("ops", func(ctx context.Context) error {
			return ops.Serve(ctx, ops.Config{Listener: b.ops, Metrics: b.registry, Ready: b.ready})
		})
	}
	accepting, refuse := context.WithCancel(background)
	defer refuse()
	run("ssh", func(context.Context) error { return b.front.Serve(accepting, b.ssh) })
	b.log.WithFields(logrus.Fields{"ssh": b.ssh.Addr().String(), "roles": b.c.Roles, "document": b.roles.Current().Hash()}).Info("bastion serves")

	select {
	case <-ctx.Done():
	case <-background.Done():
	}
	b.draining.Store(true)
	b.log.WithField("sessions", b.sessions.Live()).Info("bastion stops")
	refuse()
	draining, done := context.WithTimeout(background, b.c.Drain)
	b.sessions.Drain(draining)
	done()
	b.front.Settle(settleTime)
	b.front.Close()
	cause := context.Cause(background) // nil unless a part failed
	stop(nil)
	parts.Wait()
	return cause
}

// ready lists what the bastion needs to do its work: an audit log, not being stopped, and one cluster whose pods are
// known. What else is wrong with clusters is said, but is no reason to send clients elsewhere: sessions to the pods of
// the others, and to those that are known of a silent one, go on.
func (b *Bastion) ready() []ops.Check {
	checks := []ops.Check{{Name: "audit", Err: b.audit.Err()}}
	if b.draining.Load() {
		checks = append(checks, ops.Check{Name: "serving", Err: errors.New("the bastion is being stopped")})
	}
	health := b.index.Health()
	known := len(health) == 0 || slices.ContainsFunc(health, func(h target.ClusterHealth) bool { return h.Synced })
	for _, h := range health {
		c := ops.Check{Name: "cluster " + string(h.Cluster), Err: h.Problem(time.Now()), Minor: known}
		if c.Err == nil {
			c.Err, c.Minor = h.Err, true
		}
		checks = append(checks, c)
	}
	return checks
}

// reloaded remembers an attempt to take a changed roles document.
func (b *Bastion) reloaded(r auth.Reload) {
	e := audit.Event{Type: audit.PolicyReload, Path: r.Path, SHA256: r.Hash, Outcome: "in force"}
	log := b.log.WithFields(logrus.Fields{"roles": r.Path, "document": r.Hash})
	if r.Err != nil {
		e.Outcome, e.Reason = "refused", r.Err.Error()
		log.WithError(r.Err).Error("changed roles document refused; the old one stays in force")
	} else {
		log.Info("changed roles document is in force")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.audit.Append(ctx, e); err != nil {
		log.WithError(err).Error("a change of the roles could not be remembered")
	}
}

// close gives back what New took.
func (b *Bastion) close() {
	for _, ln := range []net.Listener{b.ssh, b.ops} {
		if ln != nil {
			_ = ln.Close() // closed already where it was served
		}
	}
	if b.bridge != nil {
		b.bridge.Close()
	}
	if b.verifier != nil {
		_ = b.verifier.Close() // what counts was synced
	}
	if b.throttle != nil {
		_ = b.throttle.Close()
	}
	if b.audit != nil {
		if err := b.audit.Close(); err != nil {
			b.log.WithError(err).Error("closing the audit log")
		}
	}
}
