package store

import (
	"iter"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/podbastion/podbastion/bastion/target"
)

// kind is what the pods of a group have in common, beside their namespace.
type kind byte

const (
	ofNamespace kind = 's'
	ofOwner     kind = 'o' // value: the owner's name
	ofNode      kind = 'n' // value: the node. Its members are namespace/name, and it has no namespace of its own
	ofLabel     kind = 'l' // value, extra: the label's key and value
)

// groupKey names a group. Groups of a namespace and of a label are cut by workload, so that none of them grows with
// the namespace: to change a group is to copy it.
type groupKey struct {
	kind         kind
	value, extra string
	cluster      target.Cluster
	namespace    target.Namespace
	workload     string
}

type group struct {
	groupKey
	members []string // names, sorted
}

// place is where a member is to be found.
func (g *group) place(member string) (ns target.Namespace, name string) {
	if g.kind == ofNode {
		ns, name, _ := strings.Cut(member, "/")
		return target.Namespace(ns), name
	}
	return g.namespace, member
}

// unindexed labels are set by Kubernetes' own controllers and say only what a pod's name or owner says, so that there
// are as many values as pods or workloads. Selectors may ask for them; they are looked for in all of the scope.
var unindexed = map[string]bool{
	"pod-template-hash": true, "pod-template-generation": true, "controller-revision-hash": true, "controller-uid": true, "job-name": true,
	"statefulset.kubernetes.io/pod-name": true, "apps.kubernetes.io/pod-index": true, "batch.kubernetes.io/job-name": true,
	"batch.kubernetes.io/controller-uid": true, "batch.kubernetes.io/job-completion-index": true,
}

func (k groupKey) bytes() []byte {
	return k.prefix(string(k.cluster), string(k.namespace), k.workload)
}

// prefix begins the keys of all groups of that kind and value, in the scope.
func (k groupKey) prefix(scope ...string) []byte {
	return key(append([]string{string(k.kind), k.value, k.extra}, scope...)...)
}

// workload is the pod's topmost owner, or nothing where that is a Job, which seldom has more than one pod.
func workload(p *target.Pod) string {
	if len(p.Owners) == 0 {
		return ""
	}
	top := p.Owners[len(p.Owners)-1]
	if top.Kind == "Job" {
		return ""
	}
	return top.Name
}

// groupsOf goes through the groups that a pod is a member of, and what it is called there.
func groupsOf(p *target.Pod) iter.Seq2[groupKey, string] {
	return func(yield func(groupKey, string) bool) {
		w := workload(p)
		k := groupKey{kind: ofNamespace, cluster: p.Cluster, namespace: p.Namespace, workload: w}
		if !yield(k, p.Name) {
			return
		}
		k.kind = ofLabel
		for k.value, k.extra = range p.Labels {
			if !unindexed[k.value] && !yield(k, p.Name) {
				return
			}
		}
		k = groupKey{kind: ofOwner, cluster: p.Cluster, namespace: p.Namespace}
		for _, o := range p.Owners {
			if k.value = o.Name; !yield(k, p.Name) {
				return
			}
		}
		if p.Node != "" {
			yield(nodeGroup(p), string(p.Namespace)+"/"+p.Name)
		}
	}
}

func nodeGroup(p *target.Pod) groupKey {
	return groupKey{kind: ofNode, value: string(p.Node), cluster: p.Cluster}
}

func collect(txn *memdb.Txn, prefix []byte) []*group {
	return slices.Collect(rows[*group](txn, tableGroups, byID, prefix))
}

// narrowest returns the groups of that requirement that has the fewest of them. All requirements' groups are gone
// through in step, so that a broad one costs no more than the narrowest. Where no requirement has groups, the scope's
// namespaces are returned.
func narrowest(txn *memdb.Txn, sel target.Selector, scope []string) []*group {
	type walk struct {
		it  memdb.ResultIterator
		got []*group
	}
	var walks []*walk
	for _, r := range sel {
		if r.Not || unindexed[r.Key] {
			continue
		}
		it, err := txn.Get(tableGroups, byID, groupKey{kind: ofLabel, value: r.Key, extra: r.Value}.prefix(scope...))
		if err != nil {
			return nil
		}
		walks = append(walks, &walk{it: it})
	}
	for len(walks) > 0 {
		for _, w := range walks {
			g, ok := w.it.Next().(*group)
			if !ok {
				return w.got
			}
			w.got = append(w.got, g)
		}
	}
	return collect(txn, groupKey{kind: ofNamespace}.prefix(scope...))
}
