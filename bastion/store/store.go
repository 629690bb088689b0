// Package store holds what a bastion knows about pods, in memory, on go-memdb: readers never wait for the writer and
// every answer comes from one consistent state. It is fed by whoever knows pods (package kube, the demo) and asked by
// package route. It knows no Kubernetes client, no account and no permission.
//
// A pod's identity is always name, cluster and namespace together. Two things keep 100,000 pods small. Pods of one
// workload share their label map, owners and containers. And only what tells single pods apart (name, UID, IP) is an
// index of the pods' own, which costs some 400 bytes a pod each; namespaces, nodes, owners and labels are kept in a
// second table of groups, which lists the names of the pods that have them in common.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/podbastion/podbastion/bastion/target"
)

const (
	tablePods     = "pods"
	tableGroups   = "groups"
	tableClusters = "clusters"
	byID          = "id"
	byUID         = "uid"
	byIP          = "ip"
)

// ErrName is returned for a pod whose name, cluster, namespace or a container's name is missing or could not be typed
// in an address. Such a pod is left out; the others of the same call are not.
var ErrName = errors.New("store: a pod is left out for want of a proper name")

// Store is safe for any number of readers and writers.
type Store struct{ db *memdb.MemDB }

// New returns an empty store.
func New() (*Store, error) {
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: map[string]*memdb.TableSchema{
		tablePods: {Name: tablePods, Indexes: map[string]*memdb.IndexSchema{
			byID:  {Name: byID, Unique: true, Indexer: single(func(o any) []byte { return podKey(o.(*target.Pod)) })},
			byUID: {Name: byUID, AllowMissing: true, Indexer: single(func(o any) []byte { return uidKey(o.(*target.Pod)) })},
			byIP:  {Name: byIP, AllowMissing: true, Indexer: multi(func(o any) [][]byte { return ipKeys(o.(*target.Pod)) })},
		}},
		tableGroups: {Name: tableGroups, Indexes: map[string]*memdb.IndexSchema{
			byID: {Name: byID, Unique: true, Indexer: single(func(o any) []byte { return o.(*group).bytes() })},
		}},
		tableClusters: {Name: tableClusters, Indexes: map[string]*memdb.IndexSchema{
			byID: {Name: byID, Unique: true, Indexer: single(func(o any) []byte { return key(string(o.(*target.ClusterHealth).Cluster)) })},
		}},
	}})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Store{db: db}, nil
}

// Upsert adds pods or replaces what is known of them, all at once for the readers. The pods must not be modified after.
func (s *Store) Upsert(pods ...*target.Pod) error {
	return s.write(func(b *batch) error { return b.putAll(pods) })
}

// Delete forgets a pod. One that is not known is no error.
func (s *Store) Delete(cluster target.Cluster, ns target.Namespace, name string) error {
	return s.write(func(b *batch) error {
		p, err := b.pod(name, cluster, ns)
		if err != nil || p == nil {
			return err
		}
		return b.remove(p)
	})
}

// ReplaceCluster makes pods all that is known of a cluster, at once for the readers.
func (s *Store) ReplaceCluster(cluster target.Cluster, pods []*target.Pod) error {
	return s.write(func(b *batch) error {
		keep := make(map[string]bool, len(pods))
		for _, p := range pods {
			if p.Cluster != cluster {
				return fmt.Errorf("store: pod %q is of cluster %q, not of %q", p.Name, p.Cluster, cluster)
			}
			keep[string(podKey(p))] = true
		}
		known, err := find(b.txn, target.Query{Scope: target.Scope{Cluster: cluster}})
		if err != nil {
			return err
		}
		for _, p := range known {
			if !keep[string(podKey(p))] {
				if err := b.remove(p); err != nil {
					return err
				}
			}
		}
		return b.putAll(pods)
	})
}

// SetHealth replaces what is known of a cluster's health.
func (s *Store) SetHealth(h target.ClusterHealth) error {
	txn := s.db.Txn(true)
	defer txn.Abort()
	if err := txn.Insert(tableClusters, &h); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	txn.Commit()
	return nil
}

// Health lists the clusters by name.
func (s *Store) Health() []target.ClusterHealth {
	var out []target.ClusterHealth
	for h := range rows[*target.ClusterHealth](s.db.Txn(false), tableClusters, byID, nil) {
		out = append(out, *h)
	}
	return out
}

// Find returns the pods that a query asks for, ordered by cluster, namespace and name. They are shared and must not
// be modified.
func (s *Store) Find(q target.Query) []*target.Pod {
	pods, _ := find(s.db.Txn(false), q) // a read fails only where the schema above is wrong
	return pods
}

// Namespaces lists where there are pods, ordered.
func (s *Store) Namespaces() []target.Scope {
	txn := s.db.Txn(false)
	var out []target.Scope
	from := groupKey{kind: ofNamespace}.prefix()
	for {
		it, err := txn.LowerBound(tableGroups, byID, from)
		if err != nil {
			return out
		}
		g, ok := it.Next().(*group)
		if !ok || g.kind != ofNamespace {
			return out
		}
		scope := target.Scope{Cluster: g.cluster, Namespace: g.namespace}
		out = append(out, scope)
		from = groupKey{kind: ofNamespace}.prefix(string(scope.Cluster), string(scope.Namespace))
		from[len(from)-1]++ // past everything in this namespace
	}
}

// Watch returns the pod with that UID, nil if there is none (any more), and a channel that is closed when that may
// have changed; then ask again.
func (s *Store) Watch(cluster target.Cluster, uid target.UID) (*target.Pod, <-chan struct{}) {
	changed, o, err := s.db.Txn(false).FirstWatch(tablePods, byUID, key(string(cluster), string(uid)))
	if err != nil || o == nil {
		return nil, changed
	}
	return o.(*target.Pod), changed
}

// Len is how many pods are known.
func (s *Store) Len() int {
	n := 0
	for range rows[*target.Pod](s.db.Txn(false), tablePods, byID, nil) {
		n++
	}
	return n
}

func find(txn *memdb.Txn, q target.Query) ([]*target.Pod, error) {
	var out []*target.Pod
	keep := func(p *target.Pod) {
		if p != nil && q.Holds(p) {
			out = append(out, p)
		}
	}
	var groups []*group
	scope := []string{}
	if q.Cluster != "" {
		scope = append(scope, string(q.Cluster))
		if q.Namespace != "" {
			scope = append(scope, string(q.Namespace))
		}
	}
	switch {
	case q.Name != "":
		for p := range rows[*target.Pod](txn, tablePods, byID, key(append([]string{q.Name}, scope...)...)) {
			keep(p)
		}
	case q.IP != "":
		ip, err := netip.ParseAddr(q.IP)
		if err != nil {
			return nil, nil //nolint:nilerr // no pod has an address that is none
		}
		for p := range rows[*target.Pod](txn, tablePods, byIP, key(ip.Unmap().String())) {
			keep(p)
		}
	case q.Owner != "":
		groups = collect(txn, groupKey{kind: ofOwner, value: q.Owner}.prefix(scope...))
	case q.Node != "":
		groups = collect(txn, groupKey{kind: ofNode, value: string(q.Node)}.prefix(scope[:min(len(scope), 1)]...))
	case q.Selector != nil:
		groups = narrowest(txn, q.Selector, scope)
	default:
		groups = collect(txn, groupKey{kind: ofNamespace}.prefix(scope...))
	}
	for _, g := range groups {
		for _, member := range g.members {
			ns, name := g.place(member)
			if q.Namespace != "" && q.Namespace != ns {
				continue
			}
			p, err := first[*target.Pod](txn, tablePods, key(name, string(g.cluster), string(ns)))
			if err != nil {
				return nil, err
			}
			if q.Selector == nil || q.Selector.Matches(p.Labels) {
				keep(p)
			}
		}
	}
	slices.SortFunc(out, func(a, b *target.Pod) int {
		return cmp.Or(strings.Compare(string(a.Cluster), string(b.Cluster)),
			strings.Compare(string(a.Namespace), string(b.Namespace)), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}
