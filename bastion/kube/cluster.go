package kube

import (
	"context"
	"fmt"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// cluster is one of them, with all that runs for it.
type cluster struct {
	config  Config
	options Options
	client  *client
	feeder  *feeder
	health  *health
	log     logrus.FieldLogger
}

func newCluster(c Config, feed Feed, o Options) (*cluster, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	rc, err := restConfig(c)
	if err != nil {
		return nil, err
	}
	cl, err := newClient(rc)
	if err != nil {
		return nil, err
	}
	log := o.Log.WithField("cluster", string(c.Name))
	return &cluster{
		config: c, options: o, client: cl, log: log,
		feeder: newFeeder(c.Name, feed, log), health: newHealth(c.Name, feed, o.StaleAfter, log),
	}, nil
}

// run ends when ctx does, with everything that it started.
func (c *cluster) run(ctx context.Context) error {
	defer utilnet.CloseIdleConnectionsFor(c.client.http.Transport)
	g, ctx := errgroup.WithContext(ctx)
	quiet := klog.NewContext(ctx, klog.Logger{}) // what goes wrong is logged by health, once and with the cluster's name
	var registered []cache.ResourceEventHandlerRegistration
	namespaces := c.config.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		for _, r := range []resource{replicaSets, jobs, pods} {
			informer, err := c.informer(r, ns)
			if err != nil {
				return err
			}
			reg, err := informer.AddEventHandler(c.feeder.handler(ctx, r))
			if err != nil {
				return fmt.Errorf("kube: %w", err)
			}
			if r == pods {
				registered = append(registered, reg)
			}
			g.Go(func() error { informer.RunWithContext(quiet); return nil })
		}
	}
	g.Go(func() error { c.feeder.run(ctx); return nil })
	g.Go(func() error { return c.health.run(ctx, c.client.ping) })
	g.Go(func() error { c.awaitSync(ctx, registered); return nil })
	return g.Wait()
}

// awaitSync waits until all pods that were there at first are in the feed.
func (c *cluster) awaitSync(ctx context.Context, registered []cache.ResourceEventHandlerRegistration) {
	for _, r := range registered {
		select {
		case <-r.HasSyncedChecker().Done():
		case <-ctx.Done():
			return
		}
	}
	caught := make(chan struct{})
	select {
	case c.feeder.events <- event{caught: caught}:
	case <-ctx.Done():
		return
	}
	select {
	case <-caught:
		c.health.synced()
		c.log.Info("pods are listed")
	case <-ctx.Done():
	}
}

// informer lists and watches one kind of object in one namespace, or in all. Reflectors try again for ever and keep
// their errors to themselves, so both are noted here.
func (c *cluster) informer(r resource, ns string) (cache.SharedIndexInformer, error) {
	part := part{resource: r, ns: ns}
	narrow := func(o *metav1.ListOptions) {
		if r == pods {
			o.LabelSelector = c.config.LabelSelector
		}
	}
	var kind runtime.Object = &metav1.PartialObjectMetadata{}
	if r == pods {
		kind = &corev1.Pod{}
	}
	informer := cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			narrow(&o)
			list, err := c.client.list(ctx, r, ns, o)
			c.health.tried(part, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			narrow(&o)
			w, err := c.client.watch(ctx, r, ns, o)
			c.health.tried(part, err)
			return w, err
		},
	}, kind, 0, cache.Indexers{})
	if err := informer.SetTransform(newRecord(c.config.Name)); err != nil {
		return nil, fmt.Errorf("kube: %w", err)
	}
	err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		c.health.failed(part, err)
	})
	if err != nil {
		return nil, fmt.Errorf("kube: %w", err)
	}
	return informer, nil
}
