// Package storetest is the conformance suite of stores: what every implementation of the pod index has to do, whatever
// it keeps pods in. It is imported by tests only.
package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

// Store is what is put to the test.
type Store interface {
	Upsert(pods ...*target.Pod) error
	Delete(cluster target.Cluster, ns target.Namespace, name string) error
	ReplaceCluster(cluster target.Cluster, pods []*target.Pod) error
	SetHealth(target.ClusterHealth) error
	Find(target.Query) []*target.Pod
	Namespaces() []target.Scope
	Health() []target.ClusterHealth
	Watch(target.Cluster, target.UID) (*target.Pod, <-chan struct{})
}

// Run runs the suite; open returns a new, empty store.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"find": find, "identity": identity, "update": update, "replace": replace, "watch": watch, "names": names,
		"health": health, "caller's pods": callers, "wide label": wide, "model": model,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func pod(cluster, ns, name string, change ...func(*target.Pod)) *target.Pod {
	p := &target.Pod{Cluster: target.Cluster(cluster), Namespace: target.Namespace(ns), Name: name,
		UID: target.UID("uid-" + cluster + "-" + ns + "-" + name), Running: true, Ready: true}
	for _, c := range change {
		c(p)
	}
	return p
}

func owned(by ...target.Owner) func(*target.Pod) { return func(p *target.Pod) { p.Owners = by } }
func labels(kv ...string) func(*target.Pod) {
	return func(p *target.Pod) {
		p.Labels = map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			p.Labels[kv[i]] = kv[i+1]
		}
	}
}
func ips(ip ...string) func(*target.Pod)   { return func(p *target.Pod) { p.IPs = ip } }
func node(n target.Node) func(*target.Pod) { return func(p *target.Pod) { p.Node = n } }

func fill(t *testing.T, s Store) {
	t.Helper()
	rs, deploy := target.Owner{Kind: "ReplicaSet", Name: "web-5d"}, target.Owner{Kind: "Deployment", Name: "web"}
	must(t, s.Upsert(
		pod("prod", "shop", "web-5d-a", owned(rs, deploy), labels("app", "web", "tier", "front"), ips("10.0.0.1", "fd00::1"), node("n1")),
		pod("prod", "shop", "web-5d-b", owned(rs, deploy), labels("app", "web", "tier", "front", "pod-template-hash", "5d"), ips("10.0.0.2"), node("n2")),
		pod("prod", "shop", "db-0", owned(target.Owner{Kind: "StatefulSet", Name: "db"}), labels("app", "db", "tier", "back"), ips("10.0.0.3"), node("n1")),
		pod("prod", "shop2", "web", labels("app", "web"), ips("10.0.0.4")),
		pod("test", "shop", "web-5d-a", labels("app", "web", "tier", "back"), ips("10.0.0.1"), node("n1")),
		pod("prod", "bare", "web"),
	))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func paths(pods []*target.Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, fmt.Sprintf("%s/%s/%s", p.Cluster, p.Namespace, p.Name))
	}
	return out
}

func expect(t *testing.T, s Store, q target.Query, want ...string) {
	t.Helper()
	if got := paths(s.Find(q)); !slices.Equal(got, want) {
		t.Errorf("Find(%+v) = %v, want %v", q, got, want)
	}
}

func sel(kv ...string) target.Selector {
	var out target.Selector
	for i := 0; i < len(kv); i += 2 {
		r := target.Requirement{Key: kv[i], Value: kv[i+1]}
		if kv[i][0] == '!' {
			r.Key, r.Not = kv[i][1:], true
		}
		out = append(out, r)
	}
	return out
}

func find(t *testing.T, s Store) {
	fill(t, s)
	prod, shop := target.Scope{Cluster: "prod"}, target.Scope{Namespace: "shop"}
	prodShop := target.Scope{Cluster: "prod", Namespace: "shop"}
	for _, c := range []struct {
		q    target.Query
		want []string
	}{
		{target.Query{}, []string{"prod/bare/web", "prod/shop/db-0", "prod/shop/web-5d-a", "prod/shop/web-5d-b", "prod/shop2/web", "test/shop/web-5d-a"}},
		{target.Query{Scope: prodShop}, []string{"prod/shop/db-0", "prod/shop/web-5d-a", "prod/shop/web-5d-b"}},
		{target.Query{Scope: shop}, []string{"prod/shop/db-0", "prod/shop/web-5d-a", "prod/shop/web-5d-b", "test/shop/web-5d-a"}},
		{target.Query{Scope: target.Scope{Cluster: "pro"}}, nil},
		{target.Query{Name: "web"}, []string{"prod/bare/web", "prod/shop2/web"}},
		{target.Query{Name: "web-5d-a"}, []string{"prod/shop/web-5d-a", "test/shop/web-5d-a"}},
		{target.Query{Scope: prod, Name: "web-5d-a"}, []string{"prod/shop/web-5d-a"}},
		{target.Query{Scope: shop, Name: "web"}, nil},
		{target.Query{Scope: prodShop, Name: "web-5d-"}, nil},
		{target.Query{IP: "10.0.0.1"}, []string{"prod/shop/web-5d-a", "test/shop/web-5d-a"}},
		{target.Query{Scope: prod, IP: "10.0.0.1"}, []string{"prod/shop/web-5d-a"}},
		{target.Query{IP: "FD00:0::1"}, []string{"prod/shop/web-5d-a"}},
		{target.Query{IP: "::ffff:10.0.0.2"}, []string{"prod/shop/web-5d-b"}},
		{target.Query{IP: "10.0.0"}, nil},
		{target.Query{Owner: "web"}, []string{"prod/shop/web-5d-a", "prod/shop/web-5d-b"}},
		{target.Query{Owner: "web-5d"}, []string{"prod/shop/web-5d-a", "prod/shop/web-5d-b"}},
		{target.Query{Scope: prodShop, Owner: "db"}, []string{"prod/shop/db-0"}},
		{target.Query{Scope: target.Scope{Cluster: "test"}, Owner: "web"}, nil},
		{target.Query{Node: "n1"}, []string{"prod/shop/db-0", "prod/shop/web-5d-a", "test/shop/web-5d-a"}},
		{target.Query{Scope: prod, Node: "n1"}, []string{"prod/shop/db-0", "prod/shop/web-5d-a"}},
		{target.Query{Selector: sel("app", "web")}, []string{"prod/shop/web-5d-a", "prod/shop/web-5d-b", "prod/shop2/web", "test/shop/web-5d-a"}},
		{target.Query{Selector: sel("tier", "back", "app", "web")}, []string{"test/shop/web-5d-a"}},
		{target.Query{Scope: prod, Selector: sel("app", "web", "!tier", "front")}, []string{"prod/shop2/web"}},
		{target.Query{Scope: prodShop, Selector: sel("app", "we")}, nil},
		{target.Query{Scope: shop, Node: "n2"}, []string{"prod/shop/web-5d-b"}},
		{target.Query{Scope: target.Scope{Namespace: "bare"}, Node: "n2"}, nil},
		{target.Query{Selector: sel("pod-template-hash", "5d")}, []string{"prod/shop/web-5d-b"}},
		{target.Query{Selector: sel("pod-template-hash", "5d", "app", "db")}, nil},
		{target.Query{Selector: target.Selector{}}, nil},
	} {
		expect(t, s, c.q, c.want...)
	}
	want := []target.Scope{{Cluster: "prod", Namespace: "bare"}, {Cluster: "prod", Namespace: "shop"}, {Cluster: "prod", Namespace: "shop2"}, {Cluster: "test", Namespace: "shop"}}
	if got := s.Namespaces(); !slices.Equal(got, want) {
		t.Errorf("Namespaces() = %v, want %v", got, want)
	}
}

// identity: cluster and namespace are part of it, and no two joined parts are taken for others.
func identity(t *testing.T, s Store) {
	must(t, s.Upsert(pod("a", "b", "c"), pod("a", "bc", "c"), pod("ab", "c", "c"), pod("a", "b", "cc")))
	expect(t, s, target.Query{Scope: target.Scope{Cluster: "a", Namespace: "b"}, Name: "c"}, "a/b/c")
	must(t, s.Delete("a", "b", "c"))
	must(t, s.Delete("a", "b", "no-such"))
	expect(t, s, target.Query{}, "a/b/cc", "a/bc/c", "ab/c/c")
}

func update(t *testing.T, s Store) {
	fill(t, s)
	must(t, s.Upsert(pod("prod", "shop", "db-0", owned(target.Owner{Kind: "StatefulSet", Name: "store"}), labels("app", "store"), ips("10.0.0.9"), node("n9"),
		func(p *target.Pod) { p.UID = "new" })))
	expect(t, s, target.Query{Owner: "db"})
	expect(t, s, target.Query{IP: "10.0.0.3"})
	expect(t, s, target.Query{Selector: sel("app", "db")})
	expect(t, s, target.Query{Scope: target.Scope{Cluster: "prod"}, Node: "n1"}, "prod/shop/web-5d-a")
	for _, q := range []target.Query{{Owner: "store"}, {IP: "10.0.0.9"}, {Selector: sel("app", "store")}, {Node: "n9"}, {Name: "db-0"}} {
		expect(t, s, q, "prod/shop/db-0")
	}
	if p, _ := s.Watch("prod", "uid-prod-shop-db-0"); p != nil {
		t.Error("the old UID still finds a pod")
	}
	if p, _ := s.Watch("prod", "new"); p == nil || p.Name != "db-0" {
		t.Errorf("the new UID finds %+v", p)
	}
	must(t, s.Delete("prod", "bare", "web"))
	must(t, s.Delete("prod", "shop2", "web"))
	if got := s.Namespaces(); len(got) != 2 {
		t.Errorf("Namespaces() after the last pods of two went: %v", got)
	}
}

func replace(t *testing.T, s Store) {
	fill(t, s)
	must(t, s.ReplaceCluster("prod", []*target.Pod{pod("prod", "new", "one"), pod("prod", "shop2", "web", labels("app", "web"), ips("10.0.0.4"))}))
	expect(t, s, target.Query{}, "prod/new/one", "prod/shop2/web", "test/shop/web-5d-a")
	expect(t, s, target.Query{Scope: target.Scope{Cluster: "prod"}, Owner: "web"})
	if err := s.ReplaceCluster("prod", []*target.Pod{pod("test", "shop", "x")}); err == nil {
		t.Error("a pod of another cluster was taken")
	}
	must(t, s.ReplaceCluster("prod", nil))
	expect(t, s, target.Query{}, "test/shop/web-5d-a")
}

// watch: the channel closes when the pod changes or goes, and neither for another pod nor for the same news again.
func watch(t *testing.T, s Store) {
	fill(t, s)
	const uid = "uid-prod-shop-db-0"
	p, changed := s.Watch("prod", uid)
	if p == nil || p.Name != "db-0" {
		t.Fatalf("Watch finds %+v", p)
	}
	again := *p
	must(t, s.Upsert(&again))
	must(t, s.Upsert(pod("prod", "shop", "other", ips("10.9.9.9"))))
	select {
	case <-changed:
		t.Error("woken though nothing changed")
	default:
	}
	notReady := *p
	notReady.Ready = false
	must(t, s.Upsert(&notReady))
	wait(t, changed)
	p, changed = s.Watch("prod", uid)
	if p == nil || p.Ready {
		t.Fatalf("after the change Watch finds %+v", p)
	}
	if other, _ := s.Watch("test", uid); other != nil {
		t.Error("a UID was found in another cluster")
	}
	must(t, s.Delete("prod", "shop", "db-0"))
	wait(t, changed)
	p, changed = s.Watch("prod", uid)
	if p != nil {
		t.Fatal("a deleted pod is still there")
	}
	fill(t, s)
	wait(t, changed)
}

func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(5 * time.Second):
		t.Fatal("not woken")
	}
}

// names: what could not be typed is left out, and nothing else with it.
func names(t *testing.T, s Store) {
	for _, bad := range []*target.Pod{
		pod("", "n", "p"), pod("c", "", "p"), pod("c", "n", ""), pod("c", "n", "a\x00b"), pod("c", "n", "a\x1b[31m"), pod("c", "..", "p"),
		pod("c", "n", "a/b"), pod("c", "n", ".."), pod("c", "n", "a+b"), pod("c", "n", "A"), pod("c", "n", "é"),
		pod("c", "n", "p", func(p *target.Pod) { p.Containers = []target.Container{{Name: "x\ny"}} }),
	} {
		if err := s.Upsert(bad, pod("c", "n", "good")); !errors.Is(err, store.ErrName) {
			t.Errorf("%q/%q/%q: error is %v, want ErrName", bad.Cluster, bad.Namespace, bad.Name, err)
		}
		expect(t, s, target.Query{}, "c/n/good")
		must(t, s.Delete("c", "n", "good"))
	}
}

func health(t *testing.T, s Store) {
	if got := s.Health(); len(got) != 0 {
		t.Errorf("a new store has the clusters %v", got)
	}
	seen := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	must(t, s.SetHealth(target.ClusterHealth{Cluster: "b", Stale: true}))
	must(t, s.SetHealth(target.ClusterHealth{Cluster: "a", Synced: true, LastSeen: seen}))
	must(t, s.SetHealth(target.ClusterHealth{Cluster: "b", Synced: true}))
	want := []target.ClusterHealth{{Cluster: "a", Synced: true, LastSeen: seen}, {Cluster: "b", Synced: true}}
	if got := s.Health(); !slices.Equal(got, want) {
		t.Errorf("Health() = %v, want %v", got, want)
	}
}

// callers may hand over pods that share nothing and get equal ones back.
func callers(t *testing.T, s Store) {
	full := func(name string) *target.Pod {
		return pod("c", "n", name, owned(target.Owner{Kind: "Job", Name: "j"}), labels("a", "b"), ips("10.0.0.7"), node("n1"), func(p *target.Pod) {
			p.NodeAddress, p.DefaultContainer, p.Created = "192.0.2.1", "main", time.Unix(1_700_000_000, 0)
			p.Containers = []target.Container{{Name: "side", Running: true}, {Name: "main", ID: "docker://1", Running: name == "one"}}
		})
	}
	must(t, s.Upsert(full("one"), full("two")))
	for _, name := range []string{"one", "two"} {
		got := s.Find(target.Query{Name: name})
		if len(got) != 1 || fmt.Sprintf("%+v", *got[0]) != fmt.Sprintf("%+v", *full(name)) {
			t.Errorf("%s came back as %+v, want %+v", name, got, full(name))
		}
	}
}

// wide: a label that a whole namespace has is no obstacle, also beside a rare one.
func wide(t *testing.T, s Store) {
	var pods []*target.Pod
	for i := range 3000 {
		pods = append(pods, pod("c", "n", fmt.Sprintf("p-%d", i), owned(target.Owner{Kind: "ReplicaSet", Name: fmt.Sprintf("rs-%d", i/10)}),
			labels("env", "prod", "app", fmt.Sprintf("app-%d", i/10))))
	}
	must(t, s.Upsert(pods...))
	if n := len(s.Find(target.Query{Selector: sel("env", "prod")})); n != 3000 {
		t.Errorf("env=prod finds %d pods, want 3000", n)
	}
	if n := len(s.Find(target.Query{Selector: sel("env", "prod", "app", "app-7")})); n != 10 {
		t.Errorf("env=prod,app=app-7 finds %d pods, want 10", n)
	}
}
