package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/bastion/target"
)

// model: whatever happens in whatever order, a store answers as a plain map would that is gone through from end to end.
func model(t *testing.T, s Store) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	known := map[string]*target.Pod{}
	id := func(p *target.Pod) string {
		return string(p.Cluster) + "/" + string(p.Namespace) + "/" + p.Name
	}
	random := func(cluster string) *target.Pod {
		return pod(cluster, pick("n1", "n2", "n10"), pick("p1", "p2", "p10", "p1.p2"), func(p *target.Pod) {
			p.UID = target.UID(fmt.Sprint("u", rnd.IntN(1000)))
			p.Node = target.Node(pick("", "node1", "node10"))
			p.Ready = rnd.IntN(2) == 0
			for range rnd.IntN(3) {
				p.Owners = append(p.Owners, target.Owner{Kind: pick("Job", "Deployment"), Name: pick("o1", "o10", "p1")})
			}
			for range rnd.IntN(3) {
				p.IPs = append(p.IPs, pick("10.0.0.1", "10.0.0.10", "fd00::1"))
			}
			p.Labels = map[string]string{}
			for range rnd.IntN(4) {
				p.Labels[pick("a", "ab", "pod-template-hash")] = pick("", "x", "xy")
			}
		})
	}
	queries := func() []target.Query {
		scope := target.Scope{Cluster: target.Cluster(pick("", "c1", "c10")), Namespace: target.Namespace(pick("", "n1", "n10"))}
		return []target.Query{
			{Scope: scope}, {Scope: scope, Name: pick("p1", "p10", "p")}, {Scope: scope, IP: pick("10.0.0.1", "10.0.0.10", "fd00::1", "10.0.0.2")},
			{Scope: scope, Owner: pick("o1", "o10", "p1", "o")}, {Scope: scope, Node: target.Node(pick("node1", "node10"))},
			{Scope: scope, Selector: sel("a", pick("", "x", "xy"))}, {Scope: scope, Selector: sel("pod-template-hash", "x", "!ab", "x")},
			{Scope: scope, Selector: sel("ab", pick("", "x"), "a", "x")},
		}
	}
	for round := range 2000 {
		switch op := rnd.IntN(20); {
		case op == 0:
			cluster := pick("c1", "c10")
			var all []*target.Pod
			for k := range known {
				if strings.HasPrefix(k, cluster+"/") {
					delete(known, k)
				}
			}
			for range rnd.IntN(8) {
				p := random(cluster)
				all = append(all, p)
				known[id(p)] = p
			}
			must(t, s.ReplaceCluster(target.Cluster(cluster), all))
		case op < 6:
			p := random(pick("c1", "c10"))
			delete(known, id(p))
			must(t, s.Delete(p.Cluster, p.Namespace, p.Name))
		default:
			var some []*target.Pod
			for range 1 + rnd.IntN(3) {
				p := random(pick("c1", "c10"))
				some = append(some, p)
				known[id(p)] = p
			}
			must(t, s.Upsert(some...))
		}
		for _, q := range queries() {
			var want []string
			for k, p := range known {
				if meets(p, q) {
					want = append(want, k)
				}
			}
			slices.Sort(want)
			got := paths(s.Find(q))
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Fatalf("round %d: Find(%+v) = %v, want %v", round, q, got, want)
			}
		}
		spaces := map[target.Scope]bool{}
		for _, p := range known {
			spaces[target.Scope{Cluster: p.Cluster, Namespace: p.Namespace}] = true
		}
		if got := s.Namespaces(); len(got) != len(spaces) {
			t.Fatalf("round %d: Namespaces() = %v, want %v", round, got, spaces)
		}
	}
}

// meets is a query's meaning, one pod at a time.
func meets(p *target.Pod, q target.Query) bool {
	return (q.Cluster == "" || p.Cluster == q.Cluster) && (q.Namespace == "" || p.Namespace == q.Namespace) &&
		(q.Name == "" || p.Name == q.Name) && (q.IP == "" || slices.Contains(p.IPs, q.IP)) && (q.Node == "" || p.Node == q.Node) &&
		(q.Owner == "" || slices.ContainsFunc(p.Owners, func(o target.Owner) bool { return o.Name == q.Owner })) &&
		(q.Selector == nil || q.Selector.Matches(p.Labels))
}
