package kube

import (
	"context"
	"errors"

	"github.com/sirupsen/logrus"
	"k8s.io/client-go/tools/cache"

	"github.com/podbastion/podbastion/bastion/target"
)

const (
	queued   = 1024 // events that wait; then the informers do
	together = 500  // pods in one write
)

// event is one thing that an informer told. Exactly one field is set, or parent beside child.
type event struct {
	pod    *target.Pod // is there, or changed
	gone   *record     // a pod that is not there any more
	child  *workload   // a ReplicaSet or Job is there, or changed
	parent target.Owner
	lost   *workload     // a ReplicaSet or Job is not there any more
	caught chan struct{} // closed when everything before it is fed
}

type workload struct {
	ns target.Namespace
	target.Owner
}

// feeder brings the events of all informers of a cluster into one order and into the feed. Its fields belong to run,
// except the channel.
type feeder struct {
	cluster target.Cluster
	feed    Feed
	log     logrus.FieldLogger
	events  chan event
	parents map[workload]target.Owner // which Deployment made a ReplicaSet, which CronJob a Job
	pending []*target.Pod
}

func newFeeder(name target.Cluster, feed Feed, log logrus.FieldLogger) *feeder {
	return &feeder{cluster: name, feed: feed, log: log, events: make(chan event, queued), parents: map[workload]target.Owner{}}
}

// handler gives an informer's events to the feeder, until ctx ends.
func (f *feeder) handler(ctx context.Context, r resource) cache.ResourceEventHandler {
	send := func(e event) {
		select {
		case f.events <- e:
		case <-ctx.Done():
		}
	}
	there := func(o any) {
		rec, ok := o.(*record)
		switch {
		case !ok:
		case r == pods && rec.pod != nil:
			p := rec.pod
			rec.pod = nil // nobody else looks at it, and the feed keeps its own
			send(event{pod: p})
		case r != pods && rec.parent != target.Owner{}:
			send(event{child: rec.workload(r), parent: rec.parent})
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    there,
		UpdateFunc: func(_, o any) { there(o) },
		DeleteFunc: func(o any) {
			if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			if rec, ok := o.(*record); ok && r == pods {
				send(event{gone: rec})
			} else if ok {
				send(event{lost: rec.workload(r)})
			}
		},
	}
}

func (r *record) workload(of resource) *workload {
	return &workload{target.Namespace(r.Namespace), target.Owner{Kind: of.kind, Name: r.Name}}
}

// run feeds until ctx ends.
func (f *feeder) run(ctx context.Context) error {
	for {
		select {
		case e := <-f.events:
			if err := f.take(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// take handles an event and those that wait behind it, and leaves nothing pending.
func (f *feeder) take(e event) error {
	for {
		if err := f.one(e); err != nil {
			return err
		}
		select {
		case e = <-f.events:
		default:
			return f.flush()
		}
	}
}

func (f *feeder) one(e event) error {
	if e.pod != nil {
		f.pending = append(f.pending, f.withParent(e.pod))
		if len(f.pending) < together {
			return nil
		}
	}
	if err := f.flush(); err != nil {
		return err
	}
	switch {
	case e.gone != nil:
		return f.feed.Delete(f.cluster, target.Namespace(e.gone.Namespace), e.gone.Name)
	case e.child != nil:
		return f.adopt(*e.child, e.parent)
	case e.lost != nil:
		delete(f.parents, *e.lost)
	case e.caught != nil:
		close(e.caught)
	}
	return nil
}

// flush writes what is pending. Pods that the feed leaves out are no reason to stop.
func (f *feeder) flush() error {
	if len(f.pending) == 0 {
		return nil
	}
	err := f.feed.Upsert(f.pending...)
	clear(f.pending)
	f.pending = f.pending[:0]
	if err != nil {
		f.log.WithError(err).Warn("pods left out of the index")
	}
	return nil
}

func (f *feeder) withParent(p *target.Pod) *target.Pod {
	if len(p.Owners) == 0 {
		return p
	}
	if parent, ok := f.parents[workload{p.Namespace, p.Owners[0]}]; ok {
		q := *p
		q.Owners = []target.Owner{p.Owners[0], parent}
		return &q
	}
	return p
}

// adopt notes who made a ReplicaSet or Job, and tells so of its pods that were there before.
func (f *feeder) adopt(child workload, parent target.Owner) error {
	if f.parents[child] == parent {
		return nil
	}
	f.parents[child] = parent
	scope := target.Scope{Cluster: f.cluster, Namespace: child.ns}
	var err error
	for _, p := range f.feed.Find(target.Query{Scope: scope, Owner: child.Name}) {
		if p.Owners[0] == child.Owner {
			err = errors.Join(err, f.feed.Upsert(f.withParent(p)))
		}
	}
	return err
}
