package kube

import (
	"context"

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
func (f *feeder) run(ctx context.Context) {
	for {
		select {
		case e := <-f.events:
			f.take(e)
		case <-ctx.Done():
			return
		}
	}
}

// take handles an event and those that wait behind it, and leaves nothing pending.
func (f *feeder) take(e event) {
	for {
		f.one(e)
		select {
		case e = <-f.events:
		default:
			f.flush()
			return
		}
	}
}

func (f *feeder) one(e event) {
	if e.pod != nil {
		f.pending = append(f.pending, f.withParent(e.pod))
		if len(f.pending) < together {
			return
		}
	}
	f.flush()
	switch {
	case e.gone != nil:
		f.note(f.feed.Delete(f.cluster, target.Namespace(e.gone.Namespace), e.gone.Name))
	case e.child != nil:
		f.adopt(*e.child, e.parent)
	case e.lost != nil:
		delete(f.parents, *e.lost)
	case e.caught != nil:
		close(e.caught)
	}
}

// flush writes what is pending.
func (f *feeder) flush() {
	if len(f.pending) > 0 {
		f.note(f.feed.Upsert(f.pending...))
		clear(f.pending)
		f.pending = f.pending[:0]
	}
}

// note logs what the feed did not take. It is no reason to stop: the other pods still matter.
func (f *feeder) note(err error) {
	if err != nil {
		f.log.WithError(err).Warn("the index leaves something out")
	}
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
func (f *feeder) adopt(child workload, parent target.Owner) {
	if f.parents[child] == parent {
		return
	}
	f.parents[child] = parent
	scope := target.Scope{Cluster: f.cluster, Namespace: child.ns}
	for _, p := range f.feed.Find(target.Query{Scope: scope, Owner: child.Name}) {
		if p.Owners[0] == child.Owner {
			f.note(f.feed.Upsert(f.withParent(p)))
		}
	}
}
