// Package kube learns about pods from any number of Kubernetes clusters, through client-go's shared informers, and
// feeds an index with what the bastion needs of them: names, addresses, labels, containers, and the workloads that they
// belong to. It also tells how far that can be trusted: whether a cluster was listed, when it was last heard of, and
// what is wrong with it. It only lists and watches; it knows no account and no permission, and runs nothing.
package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/podbastion/podbastion/bastion/target"
)

// Config says how one cluster is reached and which of its pods are of interest.
type Config struct {
	Name          target.Cluster
	Kubeconfig    string   // path; empty: the cluster that the bastion runs in
	Context       string   // of the kubeconfig; empty: its current one
	Namespaces    []string // empty: all
	LabelSelector string   // of pods; empty: all
}

// Feed is what is kept up to date; *store.Store is one.
type Feed interface {
	Upsert(pods ...*target.Pod) error
	Delete(cluster target.Cluster, ns target.Namespace, name string) error
	Find(target.Query) []*target.Pod
	SetHealth(target.ClusterHealth) error
}

// Options have defaults for what is zero.
type Options struct {
	StaleAfter time.Duration // without contact; 30s
	Log        logrus.FieldLogger
}

// Clusters keeps a feed up to date while it runs.
type Clusters struct{ list []*cluster }

// New checks the configuration of every cluster. No cluster needs to be reachable yet.
func New(configs []Config, feed Feed, o Options) (*Clusters, error) {
	if o.StaleAfter <= 0 {
		o.StaleAfter = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = logrus.StandardLogger()
	}
	var problems []error
	all := &Clusters{}
	seen := map[target.Cluster]bool{}
	for _, c := range configs {
		cl, err := newCluster(c, feed, o)
		switch {
		case seen[c.Name]:
			problems = append(problems, fmt.Errorf("kube: cluster %q is there twice", c.Name))
		case err != nil:
			problems = append(problems, fmt.Errorf("kube: cluster %q: %w", c.Name, err))
		}
		seen[c.Name] = true
		all.list = append(all.list, cl)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return all, nil
}

// Run watches all clusters until ctx ends. That a cluster cannot be reached is no reason to return: it is tried again,
// and the others are not affected.
func (c *Clusters) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, cl := range c.list {
		g.Go(func() error { return cl.run(ctx) })
	}
	return g.Wait()
}

func (c Config) check() error {
	var problems []error
	if p := validation.IsDNS1123Label(string(c.Name)); len(p) > 0 {
		problems = append(problems, fmt.Errorf("its name cannot be typed in an address: %s", p[0]))
	}
	seen := map[string]bool{}
	for _, ns := range c.Namespaces {
		if p := validation.IsDNS1123Label(ns); len(p) > 0 {
			problems = append(problems, fmt.Errorf("namespace %q: %s", ns, p[0]))
		}
		if seen[ns] {
			problems = append(problems, fmt.Errorf("namespace %q is there twice", ns))
		}
		seen[ns] = true
	}
	if _, err := labels.Parse(c.LabelSelector); err != nil {
		problems = append(problems, fmt.Errorf("labelSelector %q: %w", c.LabelSelector, err))
	}
	return errors.Join(problems...)
}
