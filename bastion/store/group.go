package store

import (
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/podbastion/podbastion/bastion/target"
)

// kind is what the pods of a group have in common, beside their namespace.
type kind byte

const (
	ofNamespace kind = 's'
	ofOwner     kind = 'o' // value: the owner's name
	ofNode      kind = 'n' // value: the node
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

func (k groupKey) bytes() []byte {
	return k.prefix(string(k.cluster), string(k.namespace), k.workload)
}

// prefix begins the keys of all groups of that kind and value, in the scope.
func (k groupKey) prefix(scope ...string) []byte {
	return key(append([]string{string(k.kind), k.value, k.extra}, scope...)...)
}

// workload is the pod's closest owner.
func workload(p *target.Pod) string {
	if len(p.Owners) == 0 {
		return ""
	}
	return p.Owners[0].Name
}

// groupsOf goes through the groups that a pod is a member of.
func groupsOf(p *target.Pod) iter.Seq[groupKey] {
	return func(yield func(groupKey) bool) {
		w := workload(p)
		k := groupKey{kind: ofNamespace, cluster: p.Cluster, namespace: p.Namespace, workload: w}
		if !yield(k) {
			return
		}
		k.kind = ofLabel
		for k.value, k.extra = range p.Labels {
			if !yield(k) {
				return
			}
		}
		k = groupKey{kind: ofOwner, cluster: p.Cluster, namespace: p.Namespace}
		for _, o := range p.Owners {
			if k.value = o.Name; !yield(k) {
				return
			}
		}
		k.kind, k.value = ofNode, string(p.Node)
		if p.Node != "" {
			yield(k)
		}
	}
}

func collect(txn *memdb.Txn, prefix []byte) []*group {
	return slices.Collect(rows[*group](txn, tableGroups, byID, prefix))
}

// narrowest returns the groups of that requirement that has the fewest of them. All requirements' groups are gone
// through in step, so that a broad one costs no more than the narrowest.
func narrowest(txn *memdb.Txn, sel target.Selector, scope []string) []*group {
	type walk struct {
		it  memdb.ResultIterator
		got []*group
	}
	var walks []*walk
	for _, r := range sel {
		if r.Not {
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
	return nil
}
