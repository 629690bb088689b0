// Package route turns the address that a client typed into the one container where its session runs, or into a reason
// why there is none: it owns what a pod part can mean (name, IP, workload, label selector), which container is meant
// when none is named, and what an account gets to hear of what it may not reach, which is nothing. It keeps no state,
// does not know where pods are learnt from, and runs nothing.
package route

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/target"
)

// MaxCandidates bounds how many pods an Ambiguous error lists.
const MaxCandidates = 10_000

// notFoundAfter is how long it takes to be told that there is no such pod, whether the index knows none at all or a
// thousand that the account may not reach.
const notFoundAfter = 5 * time.Millisecond

// Index is what route asks about pods. Every method answers at once, from memory, and may be called from any number
// of goroutines.
type Index interface {
	// Find returns pods ordered by cluster, namespace and name.
	Find(target.Query) []*target.Pod
	// Namespaces lists where there are pods.
	Namespaces() []target.Scope
	// Health tells how far to trust the answers.
	Health() []target.ClusterHealth
}

// Router resolves addresses. It is safe for concurrent use.
type Router struct{ index Index }

// New returns a router over an index.
func New(idx Index) *Router { return &Router{index: idx} }

// Resolved is where a session goes and the role that governs it there.
type Resolved struct {
	Target target.Target
	Pod    *target.Pod // shared, must not be modified
	Role   *auth.Role
}

// Resolve finds the one container that the address means and that the account may reach. Its errors are *NotFound,
// *Ambiguous and *NotRunning, and ErrNoPod when the address names no pod.
func (r *Router) Resolve(access *auth.Access, addr target.Address) (Resolved, error) {
	if !addr.HasPod() {
		return Resolved{}, ErrNoPod
	}
	start := time.Now()
	found := r.find(addr)
	permitted, lacking := permit(access, addr, found)
	matches := choose(permitted)
	if len(matches) == 0 {
		reason := auth.ErrTargetNotFound
		if len(found) > 0 && !lacking {
			reason = auth.ErrTargetNotPermitted
		}
		err := &NotFound{Reason: reason, Stale: r.stale(access, addr.Cluster)}
		time.Sleep(time.Until(start.Add(notFoundAfter)))
		return Resolved{}, err
	}
	switch m := matches[0]; {
	case len(matches) > 1:
		e := &Ambiguous{More: len(matches) > MaxCandidates}
		for _, m := range matches[:min(len(matches), MaxCandidates)] {
			e.Candidates = append(e.Candidates, candidate(m.pod, []string{m.container}))
		}
		return Resolved{}, e
	case !m.usable():
		return Resolved{}, &NotRunning{Candidate: candidate(m.pod, []string{m.container})}
	default:
		return m.resolved(), nil
	}
}

// Revalidate tells whether an account may still be where a session of it runs, and under which role. Its error is a
// *NotFound, whose Reason tells a pod that is gone from one that is not permitted any more.
func (r *Router) Revalidate(access *auth.Access, t target.Target) (*auth.Role, error) {
	scope := target.Scope{Cluster: t.Cluster, Namespace: t.Namespace}
	for _, p := range r.index.Find(target.Query{Scope: scope, Name: t.Pod}) {
		if p.UID != t.UID || container(p, t.Container) == nil {
			continue
		}
		if role, ok := access.Permits(resource(p, t.Container)); ok {
			return role, nil
		}
		return nil, &NotFound{Reason: auth.ErrTargetNotPermitted}
	}
	return nil, &NotFound{Reason: auth.ErrTargetNotFound, Stale: r.stale(access, t.Cluster)}
}

// List gives the running pods that the account may reach, ordered, with the containers that it may enter; at most max
// of them. Ask for one more than can be shown to know whether there are more.
func (r *Router) List(access *auth.Access, most int) []Candidate {
	var out []Candidate
	for _, scope := range r.index.Namespaces() {
		if !access.MayReach(string(scope.Cluster), string(scope.Namespace)) {
			continue
		}
		for _, p := range r.index.Find(target.Query{Scope: scope}) {
			if len(out) >= most {
				return out
			}
			var containers []string
			for _, c := range enterable(p) {
				if _, ok := access.Permits(resource(p, c.Name)); ok {
					containers = append(containers, c.Name)
				}
			}
			if len(containers) > 0 {
				out = append(out, candidate(p, containers))
			}
		}
	}
	return out
}

// match is a pod that an address can mean, with the container that would be entered.
type match struct {
	pod       *target.Pod
	kind      string // of the workload through which the pod was found; empty: the pod itself was named
	container string
	role      *auth.Role
}

func (m match) usable() bool {
	c := container(m.pod, m.container)
	return m.pod.Running && c != nil && c.Running
}

func (m match) resolved() Resolved {
	p := m.pod
	return Resolved{Pod: p, Role: m.role, Target: target.Target{
		Cluster: p.Cluster, Namespace: p.Namespace, Pod: p.Name, UID: p.UID, Container: m.container, Node: p.Node, NodeAddress: p.NodeAddress,
	}}
}

// find lists the pods that the address can mean, whoever asks.
func (r *Router) find(addr target.Address) []match {
	scope := target.Scope{Cluster: addr.Cluster, Namespace: addr.Namespace}
	var out []match
	add := func(q target.Query, kinds func(*target.Pod) []string) {
		q.Scope = scope
		for _, p := range r.index.Find(q) {
			for _, kind := range kinds(p) {
				out = append(out, match{pod: p, kind: kind})
			}
		}
	}
	itself := func(*target.Pod) []string { return []string{""} }
	if sel, ok := addr.Selector(); ok {
		add(target.Query{Selector: sel}, itself)
		return out
	}
	if ip, ok := addr.IP(); ok {
		add(target.Query{IP: ip.String()}, func(p *target.Pod) []string {
			if !p.Running {
				return nil // it keeps its address on record after another pod got it
			}
			return []string{""}
		})
		return out
	}
	add(target.Query{Name: addr.Pod}, itself)
	add(target.Query{Owner: addr.Pod}, func(p *target.Pod) []string {
		var kinds []string
		for _, o := range p.Owners {
			if o.Name == addr.Pod {
				kinds = append(kinds, o.Kind)
			}
		}
		return kinds
	})
	return out
}

// permit keeps what the account may enter, and tells whether it is for want of the container that it may not enter more.
func permit(access *auth.Access, addr target.Address, found []match) (out []match, lacking bool) {
	reach := map[target.Scope]bool{} // most of what is out of reach is so by its namespace, which is asked once
	for _, m := range found {
		scope := target.Scope{Cluster: m.pod.Cluster, Namespace: m.pod.Namespace}
		ok, known := reach[scope]
		if !known {
			ok = access.MayReach(string(scope.Cluster), string(scope.Namespace))
			reach[scope] = ok
		}
		if !ok {
			continue
		}
		m.container = wanted(addr, m.pod)
		if m.role, ok = access.Permits(resource(m.pod, m.container)); !ok {
			continue
		}
		if container(m.pod, m.container) == nil {
			lacking = true
			continue
		}
		out = append(out, m)
	}
	return out, lacking
}

// choose leaves one pod of every workload, no workload beside a pod of that very name in the same namespace, and
// nothing that does not run beside something that does.
func choose(matches []match) []match {
	type workload struct {
		target.Scope
		kind string
	}
	best := map[workload]match{}
	var order []workload // pods that were named themselves come first
	var out []match
	seen := map[*target.Pod]bool{}
	for _, m := range matches {
		w := workload{target.Scope{Cluster: m.pod.Cluster, Namespace: m.pod.Namespace}, m.kind}
		if m.kind == "" {
			best[w] = m
			out = append(out, m)
			seen[m.pod] = true
			continue
		}
		if _, named := best[workload{w.Scope, ""}]; named {
			continue
		}
		b, ok := best[w]
		if !ok {
			order = append(order, w)
		}
		if !ok || better(m, b) {
			best[w] = m
		}
	}
	for _, w := range order {
		if m := best[w]; !seen[m.pod] {
			seen[m.pod] = true
			out = append(out, m)
		}
	}
	if usable := slices.DeleteFunc(slices.Clone(out), func(m match) bool { return !m.usable() }); len(usable) > 0 {
		out = usable
	}
	slices.SortStableFunc(out, func(a, b match) int { return byPlace(a.pod, b.pod) })
	return out
}

// better tells whether a is rather meant than b when a workload is named: one that can be entered, then one that is
// ready, then the newest.
func better(a, b match) bool {
	if a.usable() != b.usable() {
		return a.usable()
	}
	if a.pod.Ready != b.pod.Ready {
		return a.pod.Ready
	}
	if !a.pod.Created.Equal(b.pod.Created) {
		return a.pod.Created.After(b.pod.Created)
	}
	return byPlace(a.pod, b.pod) < 0
}

func byPlace(a, b *target.Pod) int {
	return cmp.Or(strings.Compare(string(a.Cluster), string(b.Cluster)),
		strings.Compare(string(a.Namespace), string(b.Namespace)), strings.Compare(a.Name, b.Name))
}

// stale lists the clusters that the address may mean, as far as the account reaches them, about which the index may
// be out of date.
func (r *Router) stale(access *auth.Access, cluster target.Cluster) []target.ClusterHealth {
	var out []target.ClusterHealth
	for _, h := range r.index.Health() {
		if h.Stale && (cluster == "" || cluster == h.Cluster) && access.MayReach(string(h.Cluster), "") {
			out = append(out, h)
		}
	}
	return out
}
