package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/podbastion/podbastion/bastion/target"
)

// part is what is watched on its own and can fail on its own. The zero value is the API server itself.
type part struct {
	resource resource
	ns       string
}

func (p part) String() string {
	switch {
	case p == part{}:
		return "API server"
	case p.ns == "":
		return p.resource.Resource
	}
	return p.resource.Resource + " in " + p.ns
}

type failure struct {
	err   error
	since time.Time
}

// health gathers signs of life of a cluster and publishes what they come to.
type health struct {
	name       target.Cluster
	feed       Feed
	staleAfter time.Duration
	log        logrus.FieldLogger

	mu       sync.Mutex // guards what follows
	isSynced bool
	seen     time.Time
	failures map[part]failure
}

func newHealth(name target.Cluster, feed Feed, staleAfter time.Duration, log logrus.FieldLogger) *health {
	return &health{name: name, feed: feed, staleAfter: staleAfter, log: log, failures: map[part]failure{}}
}

func (h *health) synced() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isSynced = true
}

// tried notes how a request went.
func (h *health) tried(p part, err error) {
	if err != nil {
		h.failed(p, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = time.Now()
	if _, failing := h.failures[p]; failing {
		h.log.Infof("%s: works again", p)
		delete(h.failures, p)
	}
}

// failed notes an error. Watches end and histories expire in the course of things: that is none.
func (h *health) failed(p part, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, failing := h.failures[p]
	if !failing {
		f.since = time.Now()
		h.log.WithError(err).Warnf("%s: does not answer as it should", p)
	}
	f.err = err
	h.failures[p] = f
}

// state is what is known now. Pods count; that the workloads above them cannot be listed is said, but makes nothing
// stale.
func (h *health) state(now time.Time) target.ClusterHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := target.ClusterHealth{Cluster: h.name, Synced: h.isSynced, LastSeen: h.seen}
	out.Stale = !h.isSynced || now.Sub(h.seen) > h.staleAfter
	var first failure
	for p, f := range h.failures {
		if p.resource == pods && now.Sub(f.since) > h.staleAfter {
			out.Stale = true
		}
		if first.err == nil || f.since.Before(first.since) {
			first, out.Err = f, fmt.Errorf("kube: %s: %w", p, f.err)
		}
	}
	return out
}

// run asks the API server for a sign of life now and then, since a watch may be silent for long, and publishes the
// state whenever it changes, until ctx ends.
func (h *health) run(ctx context.Context, ping func(context.Context) error) error {
	every := h.staleAfter / 3
	publish := time.NewTicker(min(time.Second, every/2))
	defer publish.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			asked, cancel := context.WithTimeout(ctx, every)
			err := ping(asked)
			cancel()
			if ctx.Err() != nil {
				return
			}
			h.tried(part{}, err)
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return
			}
		}
	})
	var last target.ClusterHealth
	for {
		if now := h.state(time.Now()); !sameHealth(now, last) {
			if err := h.feed.SetHealth(now); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-publish.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func sameHealth(a, b target.ClusterHealth) bool {
	return a.Cluster == b.Cluster && a.Synced == b.Synced && a.Stale == b.Stale && a.LastSeen.Equal(b.LastSeen) && fmt.Sprint(a.Err) == fmt.Sprint(b.Err)
}
