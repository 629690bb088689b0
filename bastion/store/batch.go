package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/podbastion/podbastion/bastion/target"
)

const maxLeft = 20 // errors that one call tells

// batch is one transaction. Changes of groups are gathered and written at its end, once a group.
type batch struct {
	txn      *memdb.Txn
	changes  map[groupKey]map[string]bool // name: is a member from now on
	siblings map[groupKey]*target.Pod     // a pod of the same workload or node, to share with
	left     []error                      // pods that were left out
}

func (s *Store) write(f func(*batch) error) error {
	b := &batch{txn: s.db.Txn(true), changes: map[groupKey]map[string]bool{}, siblings: map[groupKey]*target.Pod{}}
	defer b.txn.Abort()
	if err := f(b); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	b.txn.Commit()
	return errors.Join(b.left...)
}

func (b *batch) putAll(pods []*target.Pod) error {
	for _, p := range pods {
		if !proper(p) {
			if len(b.left) < maxLeft {
				b.left = append(b.left, fmt.Errorf("%w: %q in %q of cluster %q", ErrName, p.Name, p.Namespace, p.Cluster))
			}
			continue
		}
		if err := b.put(p); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) pod(name string, cluster target.Cluster, ns target.Namespace) (*target.Pod, error) {
	p, err := first[*target.Pod](b.txn, tablePods, key(name, string(cluster), string(ns)))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return p, nil
}

func (b *batch) put(p *target.Pod) error {
	old, err := b.pod(p.Name, p.Cluster, p.Namespace)
	if err != nil {
		return err
	}
	if old != nil && same(old, p) {
		return nil // nobody who watches is woken for nothing
	}
	p, err = b.share(p, old)
	if err != nil {
		return err
	}
	if old == nil || !sameGroups(old, p) {
		b.regroup(old, p)
	}
	if err := b.txn.Insert(tablePods, p); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func (b *batch) remove(p *target.Pod) error {
	b.regroup(p, nil)
	if err := b.txn.Delete(tablePods, p); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func (b *batch) regroup(from, to *target.Pod) {
	set := func(p *target.Pod, member bool) {
		if p == nil {
			return
		}
		for k, name := range groupsOf(p) {
			if b.changes[k] == nil {
				b.changes[k] = map[string]bool{}
			}
			b.changes[k][name] = member
		}
	}
	set(from, false)
	set(to, true)
}

func (b *batch) flush() error {
	for k, names := range b.changes {
		g, err := first[*group](b.txn, tableGroups, k.bytes())
		if err != nil {
			return err
		}
		next := &group{groupKey: k}
		if g != nil {
			next.groupKey = g.groupKey
			next.members = make([]string, 0, len(g.members)+len(names))
			for _, m := range g.members {
				if _, touched := names[m]; !touched {
					next.members = append(next.members, m)
				}
			}
		}
		for name, member := range names {
			if member {
				next.members = append(next.members, name)
			}
		}
		switch {
		case len(next.members) > 0:
			slices.Sort(next.members)
			next.members = slices.Clip(next.members)
			err = b.txn.Insert(tableGroups, next)
		case g != nil:
			err = b.txn.Delete(tableGroups, g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// share returns a copy of p that holds its strings, labels, owners and containers in common with its older self or
// with another pod of its workload or node, as far as they are the same.
func (b *batch) share(p, old *target.Pod) (*target.Pod, error) {
	q := *p
	for _, k := range []groupKey{
		{kind: ofNamespace, cluster: p.Cluster, namespace: p.Namespace, workload: workload(p)},
		nodeGroup(p),
	} {
		s, err := b.sibling(k)
		if err != nil {
			return nil, err
		}
		adopt(&q, s)
		b.siblings[k] = &q
	}
	adopt(&q, old)
	return &q, nil
}

func (b *batch) sibling(k groupKey) (*target.Pod, error) {
	if s := b.siblings[k]; s != nil {
		return s, nil
	}
	g, err := first[*group](b.txn, tableGroups, k.bytes())
	if err != nil || g == nil {
		return nil, err
	}
	ns, name := g.place(g.members[0])
	return b.pod(name, g.cluster, ns)
}

func adopt(p, from *target.Pod) {
	if from == nil {
		return
	}
	adoptValue(&p.Cluster, from.Cluster)
	adoptValue(&p.Namespace, from.Namespace)
	adoptValue(&p.Node, from.Node)
	adoptValue(&p.NodeAddress, from.NodeAddress)
	adoptValue(&p.DefaultContainer, from.DefaultContainer)
	adoptValue(&p.Name, from.Name)
	adoptValue(&p.UID, from.UID)
	if maps.Equal(p.Labels, from.Labels) {
		p.Labels = from.Labels
	}
	if slices.Equal(p.Owners, from.Owners) {
		p.Owners = from.Owners
	}
	if slices.Equal(p.Containers, from.Containers) {
		p.Containers = from.Containers
	}
	if slices.Equal(p.IPs, from.IPs) {
		p.IPs = from.IPs
	}
}

// adoptValue keeps the other copy of an equal string.
func adoptValue[T ~string](p *T, from T) {
	if *p == from {
		*p = from
	}
}

func same(a, b *target.Pod) bool {
	return a.UID == b.UID && a.Node == b.Node && a.NodeAddress == b.NodeAddress && a.DefaultContainer == b.DefaultContainer &&
		a.Running == b.Running && a.Ready == b.Ready && a.Created.Equal(b.Created) && slices.Equal(a.IPs, b.IPs) &&
		slices.Equal(a.Owners, b.Owners) && slices.Equal(a.Containers, b.Containers) && maps.Equal(a.Labels, b.Labels)
}

// sameGroups tells whether two states of one pod are in the same groups.
func sameGroups(a, b *target.Pod) bool {
	return a.Node == b.Node && slices.Equal(a.Owners, b.Owners) && maps.Equal(a.Labels, b.Labels)
}
