// Package daemon composes the agent's program from its parts, as the configuration says. It holds no logic of its own.
package daemon

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/reaper"
	"github.com/podbastion/podbastion/agent/runtime/docker"
	auditlog "github.com/podbastion/podbastion/audit/log"
	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/internal/oplog"
	"github.com/podbastion/podbastion/internal/ops"
	"github.com/podbastion/podbastion/internal/pki"
)

// Daemon is a composed agent. Run it once.
type Daemon struct {
	log      *logrus.Logger
	registry *prometheus.Registry
	runtime  *docker.Runtime
	audit    *auditlog.Log
	reaper   *reaper.Reaper
	server   *agent.Server
	tls      *tls.Config
	agent    net.Listener
	ops      net.Listener // nil when there is none
}

// New reads what files the configuration names, and takes the addresses that it listens on. Nothing is served before
// Run. The running program must call reaper.Main and files.Main first.
func New(c agent.Config, errOut io.Writer) (_ *Daemon, err error) {
	d := &Daemon{registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if d.log, err = oplog.New(c.Log.Level, c.Log.Format, errOut); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	var keys []ed25519.PublicKey
	for _, file := range c.GrantKeys {
		k, err := grant.LoadPublicKeys(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k...)
	}
	if d.tls, err = pki.Agent(c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ClientCAFile); err != nil {
		return nil, err
	}
	if err := namesNode(d.tls, c.Node); err != nil {
		return nil, err
	}
	if d.audit, err = auditlog.Open(c.AuditLog, auditlog.Options{}); err != nil {
		return nil, err
	}
	if d.runtime, err = docker.New(c.Docker.Host, d.log.Warnf); err != nil {
		return nil, err
	}
	if d.reaper, err = reaper.Start(c.AuditLog+".open", d.log.Warnf); err != nil {
		return nil, err
	}
	d.server = agent.New(agent.Options{
		Node: c.Node, Cluster: c.Cluster, Runtime: d.runtime, Files: files.NewConfined(d.log, ""), Grants: grant.NewVerifier(keys, nil),
		Audit: d.audit, Log: d.log, Metrics: agent.NewMetrics(d.registry, d.runtime.Ready), Reap: d.reaper.Watch,
		MaxConnections: c.MaxConnections, Drain: c.Drain,
	})
	return d, d.listen(c)
}

func (d *Daemon) listen(c agent.Config) error {
	var err error
	if d.agent, err = net.Listen("tcp", c.Listen); err != nil {
		return fmt.Errorf("agent: %w; another address: --listen", err)
	}
	if c.Ops == "" {
		return nil
	}
	if d.ops, err = net.Listen("tcp", c.Ops); err != nil {
		return fmt.Errorf("agent: %w; another address: --ops", err)
	}
	return nil
}

// namesNode saves an operator from an agent that no bastion will talk to.
func namesNode(conf *tls.Config, node string) error {
	for _, cert := range conf.Certificates {
		if cert.Leaf != nil && cert.Leaf.VerifyHostname(node) != nil {
			return fmt.Errorf("agent: the certificate names %s, not this node %s: make one with agent pki --node %s",
				strings.Join(cert.Leaf.DNSNames, ", "), node, node)
		}
	}
	return nil
}

// Addr is where the bastion connects to.
func (d *Daemon) Addr() net.Addr { return d.agent.Addr() }

// Run serves until ctx ends, then drains.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.close()
	oplog.Kubernetes(d.log)
	background, stop := context.WithCancelCause(context.WithoutCancel(ctx)) // outlives ctx while draining
	defer stop(nil)
	var parts sync.WaitGroup
	run := func(name string, f func(context.Context) error) {
		parts.Go(func() {
			if err := f(background); err != nil && background.Err() == nil {
				stop(fmt.Errorf("agent: %s: %w", name, err))
			}
		})
	}
	run("runtime", d.runtime.Run)
	if d.ops != nil {
		run("ops", func(ctx context.Context) error {
			return ops.Serve(ctx, ops.Config{Listener: d.ops, Metrics: d.registry, Ready: d.ready})
		})
	}
	serving, drain := context.WithCancel(ctx)
	defer drain()
	defer context.AfterFunc(background, drain)()
	d.log.WithFields(logrus.Fields{"listen": d.agent.Addr().String(), "runtime": d.runtime.Name()}).Info("agent serves")
	err := d.server.Serve(serving, d.agent, d.tls)
	d.log.Info("agent stops")
	cause := context.Cause(background) // nil unless a part failed
	stop(nil)
	parts.Wait()
	return errors.Join(cause, err)
}

func (d *Daemon) ready() []ops.Check {
	return []ops.Check{{Name: "runtime", Err: d.runtime.Ready()}, {Name: "audit", Err: d.audit.Err()}}
}

func (d *Daemon) close() {
	for _, ln := range []net.Listener{d.agent, d.ops} {
		if ln != nil {
			_ = ln.Close() // closed already where it was served
		}
	}
	if d.runtime != nil {
		_ = d.runtime.Close() // idle connections only
	}
	if d.reaper != nil {
		d.reaper.Close()
	}
	if d.audit != nil {
		if err := d.audit.Close(); err != nil {
			d.log.WithError(err).Error("closing the audit log")
		}
	}
}
