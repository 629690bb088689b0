package route_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

const roles = `
authorities: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIjBQF8Len8l8etIi4gURvR6ZsU9tkTBlmVR5KEJ0rpu"]
accounts:
  - {name: alice, roles: [shop-dev, ops]}
  - {name: bob, roles: [web-only]}
  - {name: carol, roles: [sidecars]}
  - {name: root, roles: [everything]}
  - {name: nobody, roles: [elsewhere]}
roles:
  shop-dev: {targets: [{clusters: [prod], namespaces: [shop]}]}
  ops: {targets: [{clusters: [test], namespaces: ["*"]}]}
  web-only: {targets: [{namespaces: [shop], pods: ["web-*"], selector: "tier in (front)", containers: [app]}]}
  sidecars: {targets: [{namespaces: [shop], containers: [proxy]}]}
  everything: {targets: [{namespaces: ["*"]}]}
  elsewhere: {targets: [{clusters: [gone], namespaces: ["*"]}]}
`

func access(t *testing.T, account auth.Account) *auth.Access {
	t.Helper()
	doc, err := auth.Load("roles.yaml", []byte(roles))
	if err != nil {
		t.Fatal(err)
	}
	a, err := doc.Access(account, netip.MustParseAddr("192.0.2.7"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func hours(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) }

func containers(names ...string) []target.Container {
	var out []target.Container
	for _, n := range names {
		name, stopped := strings.CutSuffix(n, "!")
		out = append(out, target.Container{Name: name, Running: !stopped})
	}
	return out
}

// pods of two clusters. ! ends the name of a container that does not run.
func pods() []*target.Pod {
	web := []target.Owner{{Kind: "ReplicaSet", Name: "web-5d"}, {Kind: "Deployment", Name: "web"}}
	job := []target.Owner{{Kind: "Job", Name: "night-1"}, {Kind: "CronJob", Name: "night"}}
	front, back := map[string]string{"app": "web", "tier": "front"}, map[string]string{"app": "db", "tier": "back"}
	list := []*target.Pod{
		{Cluster: "prod", Namespace: "shop", Name: "web-5d-a", Owners: web, Labels: front, IPs: []string{"10.0.0.1"}, Containers: containers("app", "proxy"), Ready: true, Created: hours(1)},
		{Cluster: "prod", Namespace: "shop", Name: "web-5d-b", Owners: web, Labels: front, IPs: []string{"10.0.0.2"}, Containers: containers("app", "proxy"), Ready: true, Created: hours(2)},
		{Cluster: "prod", Namespace: "shop", Name: "web-5d-c", Owners: web, Labels: front, IPs: []string{"10.0.0.3"}, Containers: containers("app", "proxy"), Created: hours(3)},
		{Cluster: "prod", Namespace: "shop", Name: "db-0", Owners: []target.Owner{{Kind: "StatefulSet", Name: "db"}}, Labels: back, IPs: []string{"10.0.0.4", "fd00::4"},
			Containers: containers("proxy", "mysql"), DefaultContainer: "mysql", Ready: true},
		{Cluster: "prod", Namespace: "shop", Name: "odd", Containers: containers("first", "second!"), DefaultContainer: "no-such"},
		{Cluster: "prod", Namespace: "shop", Name: "crash", Containers: containers("app!", "side")},
		{Cluster: "prod", Namespace: "shop", Name: "night-1-x", Owners: job, Containers: containers("job!"), IPs: []string{"10.0.0.2"}},
		{Cluster: "prod", Namespace: "bank", Name: "vault-0", Labels: back, IPs: []string{"10.0.0.9"}, Containers: containers("app"), Ready: true},
		{Cluster: "prod", Namespace: "bank", Name: "web", Containers: containers("app"), Ready: true},
		{Cluster: "test", Namespace: "shop", Name: "db-0", Labels: back, IPs: []string{"10.0.0.4"}, Containers: containers("mysql"), Ready: true},
		{Cluster: "test", Namespace: "two", Name: "agent-x", Owners: []target.Owner{{Kind: "DaemonSet", Name: "agent"}}, Containers: containers("a"), Ready: true, Created: hours(1)},
		{Cluster: "test", Namespace: "two", Name: "agent-y", Owners: []target.Owner{{Kind: "DaemonSet", Name: "agent"}}, Containers: containers("a!"), Ready: false, Created: hours(9)},
		{Cluster: "test", Namespace: "two", Name: "twin-s", Owners: []target.Owner{{Kind: "StatefulSet", Name: "twin"}}, Containers: containers("a"), Ready: true},
		{Cluster: "test", Namespace: "two", Name: "twin-d", Owners: []target.Owner{{Kind: "DaemonSet", Name: "twin"}}, Containers: containers("a"), Ready: true},
		{Cluster: "test", Namespace: "two", Name: "same", Containers: containers("a"), Ready: true, Created: hours(1)},
		{Cluster: "test", Namespace: "two", Name: "same-1", Owners: []target.Owner{{Kind: "StatefulSet", Name: "same"}}, Containers: containers("a"), Ready: true, Created: hours(2)},
		{Cluster: "test", Namespace: "two", Name: "empty"},
	}
	for _, p := range list {
		p.UID = target.UID("uid-" + string(p.Cluster) + "-" + p.Name)
		p.Node, p.NodeAddress = "node-1", "192.0.2.1"
		p.Running = p.Name != "night-1-x"
	}
	return list
}

func router(t *testing.T) (*route.Router, *store.Store) {
	t.Helper()
	s, err := store.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Upsert(pods()...); err != nil {
		t.Fatal(err)
	}
	for _, c := range []target.Cluster{"prod", "test"} {
		if err := s.SetHealth(target.ClusterHealth{Cluster: c, Synced: true}); err != nil {
			t.Fatal(err)
		}
	}
	return route.New(s), s
}

func TestResolve(t *testing.T) {
	r, _ := router(t)
	for in, want := range map[string]string{
		// a pod's name
		"alice+prod+shop+web-5d-a":       "prod/shop/web-5d-a/app shop-dev",
		"alice+prod+shop+web-5d-a~proxy": "prod/shop/web-5d-a/proxy shop-dev",
		"alice+two+agent-x":              "test/two/agent-x/a ops",
		"alice+agent-x":                  "test/two/agent-x/a ops", // every namespace that alice may reach
		"alice+vault-0":                  "not permitted",
		"alice+bank+vault-0":             "not permitted",
		"alice+prod+bank+vault-0":        "not permitted",
		"alice+no-such":                  "not found",
		"alice+shop+no-such":             "not found",
		"alice+no-such+db-0":             "not found",
		"alice+no-such+shop+db-0":        "not found",
		"alice+prod+shop+web-5d":         "prod/shop/web-5d-b/app shop-dev", // the ReplicaSet
		"alice":                          "no pod",
		// the same name in two clusters
		"alice+shop+db-0":       "prod/shop/db-0 test/shop/db-0",
		"alice+db-0":            "prod/shop/db-0 test/shop/db-0",
		"alice+db-0~proxy":      "prod/shop/db-0/proxy shop-dev", // only one of them has that container
		"alice+test+shop+db-0":  "test/shop/db-0/mysql ops",
		"carol+shop+db-0~proxy": "prod/shop/db-0/proxy sidecars",
		// containers
		"alice+prod+shop+db-0":           "prod/shop/db-0/mysql shop-dev", // the annotation
		"alice+odd":                      "prod/shop/odd/first shop-dev",  // an annotation that names none of them
		"alice+odd~second":               "not running: container second of pod odd in shop is not running",
		"alice+odd~third":                "not found",
		"bob+shop+web-5d-a":              "prod/shop/web-5d-a/app web-only",
		"bob+shop+web-5d-a~proxy":        "not permitted",
		"bob+shop+web-5d-a~no-such":      "not permitted",
		"carol+shop+web-5d-a":            "not permitted", // the first container is not carol's
		"carol+shop+web-5d-a~proxy":      "prod/shop/web-5d-a/proxy sidecars",
		"alice+crash":                    "not running: container app of pod crash in shop is not running",
		"alice+crash~side":               "prod/shop/crash/side shop-dev",
		"alice+night-1-x":                "not running: pod night-1-x in shop is not running",
		"alice+test+two+empty":           "not found",
		"alice+prod+shop+web-5d-a~empty": "not found",
		// an IP
		"alice+10.0.0.1":             "prod/shop/web-5d-a/app shop-dev",
		"alice+10.0.0.2":             "prod/shop/web-5d-b/app shop-dev", // the ended job's pod had it before
		"alice+10.0.0.4":             "prod/shop/db-0 test/shop/db-0",
		"alice+prod+shop+10.0.0.4":   "prod/shop/db-0/mysql shop-dev",
		"alice+fd00__4":              "prod/shop/db-0/mysql shop-dev",
		"alice+fd00::4~proxy":        "prod/shop/db-0/proxy shop-dev",
		"alice+10.0.0.9":             "not permitted",
		"alice+10.0.0.200":           "not found",
		"alice+test+shop+10.0.0.1":   "not found",
		"bob+10.0.0.4":               "not permitted",
		"alice+test+two+0.0.0.0":     "not found",
		"nobody+prod+shop+web-5d-a":  "not permitted",
		"nobody+web-5d-a":            "not permitted",
		"nobody+gone+shop+web-5d-a":  "not found",
		"nobody+gone+shop+10.0.0.1":  "not found",
		"nobody+gone+shop+app=web":   "not found",
		"nobody+prod+shop+app=web":   "not permitted",
		"nobody+prod+shop+10.0.0.1":  "not permitted",
		"nobody+prod+shop+web":       "not permitted",
		"nobody+prod+nowhere+web":    "not found",
		"nobody+nowhere+shop+web-5d": "not found",
		// a workload
		"alice+shop+web":         "prod/shop/web-5d-b/app shop-dev", // not the newest: that one is not ready
		"alice+web":              "prod/shop/web-5d-b/app shop-dev", // bank's pod of that name is not alice's
		"alice+shop+web~proxy":   "prod/shop/web-5d-b/proxy shop-dev",
		"bob+web":                "prod/shop/web-5d-b/app web-only",
		"root+web":               "prod/bank/web prod/shop/web-5d-b",
		"alice+db":               "prod/shop/db-0/mysql shop-dev",
		"alice+agent":            "test/two/agent-x/a ops",
		"alice+night":            "not running: pod night-1-x in shop is not running",
		"alice+night-1":          "not running: pod night-1-x in shop is not running",
		"alice+test+two+twin":    "test/two/twin-d test/two/twin-s", // two workloads of one name
		"alice+test+two+same":    "test/two/same/a ops",             // the pod, not the workload of the same name
		"alice+test+two+twin~b":  "not found",
		"bob+shop+db":            "not permitted",
		"bob+shop+no-such":       "not found",
		"alice+prod+bank+agent":  "not found",
		"alice+prod+shop+agent":  "not found",
		"alice+prod+shop+agent2": "not found",
		// labels
		"alice+shop+app=web":             "prod/shop/web-5d-a prod/shop/web-5d-b prod/shop/web-5d-c",
		"alice+app=db":                   "prod/shop/db-0 test/shop/db-0",
		"alice+prod+shop+app=db":         "prod/shop/db-0/mysql shop-dev",
		"alice+prod+shop+app=db~proxy":   "prod/shop/db-0/proxy shop-dev",
		"root+tier=back,app!=db":         "not found",
		"root+tier=back":                 "prod/bank/vault-0 prod/shop/db-0 test/shop/db-0",
		"bob+tier=back":                  "not permitted",
		"alice+tier=front,app=web,x!=y":  "prod/shop/web-5d-a prod/shop/web-5d-b prod/shop/web-5d-c",
		"alice+bank+tier=back":           "not permitted",
		"alice+shop+tier=no-such":        "not found",
		"alice+prod+shop+tier=back~nope": "not found",
	} {
		if got := resolve(t, r, in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// resolve puts an answer into words.
func resolve(t *testing.T, r *route.Router, in string) string {
	t.Helper()
	addr, err := target.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Resolve(access(t, auth.Account(addr.Account)), addr)
	var notFound *route.NotFound
	var ambiguous *route.Ambiguous
	var notRunning *route.NotRunning
	switch {
	case err != nil && got != (route.Resolved{}):
		return "both an answer and an error"
	case errors.As(err, &notFound) && errors.Is(err, auth.ErrTargetNotFound):
		return "not found"
	case errors.As(err, &notFound) && errors.Is(err, auth.ErrTargetNotPermitted):
		return "not permitted"
	case errors.As(err, &notRunning):
		return "not running: " + notRunning.Client()
	case errors.As(err, &ambiguous):
		var list []string
		for _, c := range ambiguous.Candidates {
			list = append(list, string(c.Cluster)+"/"+string(c.Namespace)+"/"+c.Pod)
			if again := resolve(t, r, c.Address(addr.Account).String()); !strings.HasPrefix(again, list[len(list)-1]+"/"+c.Containers[0]+" ") {
				t.Errorf("%s: the candidate %+v leads to %s", in, c, again)
			}
		}
		return strings.Join(list, " ")
	case errors.Is(err, route.ErrNoPod):
		return "no pod"
	case err != nil:
		return "unknown error: " + err.Error()
	}
	tg := got.Target
	if got.Pod == nil || tg.UID != got.Pod.UID || tg.UID != target.UID("uid-"+string(tg.Cluster)+"-"+tg.Pod) || tg.Node != "node-1" || tg.NodeAddress != "192.0.2.1" {
		t.Errorf("%s: the target %+v does not fit the pod %+v", in, tg, got.Pod)
	}
	return string(tg.Cluster) + "/" + string(tg.Namespace) + "/" + tg.Pod + "/" + tg.Container + " " + got.Role.Name
}

// An account learns nothing from how it is told that it cannot reach a pod: neither from the text nor from the time.
func TestNotPermittedLooksLikeNotFound(t *testing.T) {
	r, s := router(t)
	many := make([]*target.Pod, 1000)
	for i := range many {
		name := "big-" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		many[i] = &target.Pod{Cluster: "prod", Namespace: "bank", Name: name, Running: true, Containers: containers("app"), Owners: []target.Owner{{Kind: "DaemonSet", Name: "big"}}}
	}
	if err := s.Upsert(many...); err != nil {
		t.Fatal(err)
	}
	alice := access(t, "alice")
	for _, stale := range []bool{false, true} {
		if err := s.SetHealth(target.ClusterHealth{Cluster: "prod", Synced: true, Stale: stale}); err != nil {
			t.Fatal(err)
		}
		var texts []string
		inputs := []string{"alice+vault-0", "alice+bank+vault-0", "alice+bank+big", "alice+nothing", "alice+shop+nothing", "alice+nowhere+nothing"}
		times := make([]time.Duration, len(inputs)) // the least of each: what the machine's other work adds is not of interest
		for round := range 200 {
			for i, in := range inputs {
				addr, _ := target.Parse(in)
				start := time.Now()
				_, err := r.Resolve(alice, addr)
				if spent := time.Since(start); round == 0 || spent < times[i] {
					times[i] = spent
				}
				texts = append(texts, err.Error())
			}
			if round >= 15 && slices.Max(times)-slices.Min(times) < time.Millisecond {
				break
			}
		}
		for _, text := range texts {
			if text != texts[0] || stale != strings.Contains(text, "prod may be out of date") {
				t.Errorf("stale %v: %q differs from %q", stale, text, texts[0])
			}
		}
		// All wait for the same moment, which is later than any look-up takes.
		if lo, hi := slices.Min(times), slices.Max(times); hi-lo > time.Millisecond || lo < 5*time.Millisecond {
			t.Errorf("times are %v", times)
		}
	}
}

// Only clusters that the account reaches and that the address can mean are said to be out of date.
func TestStale(t *testing.T) {
	r, s := router(t)
	for _, h := range []target.ClusterHealth{{Cluster: "prod", Stale: true}, {Cluster: "test", Stale: true}, {Cluster: "hidden", Stale: true}, {Cluster: "fresh"}} {
		if err := s.SetHealth(h); err != nil {
			t.Fatal(err)
		}
	}
	for in, want := range map[string]string{
		"alice+none": "prod,test", "alice+test+shop+none": "test", "alice+hidden+shop+none": "", "nobody+none": "", "root+none": "hidden,prod,test",
	} {
		addr, _ := target.Parse(in)
		_, err := r.Resolve(access(t, auth.Account(addr.Account)), addr)
		var e *route.NotFound
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", in, err)
		}
		var names []string
		for _, h := range e.Stale {
			names = append(names, string(h.Cluster))
		}
		if got := strings.Join(names, ","); got != want {
			t.Errorf("%s: stale are %q, want %q", in, got, want)
		}
	}
	if got := resolve(t, r, "alice+shop+web"); got != "prod/shop/web-5d-b/app shop-dev" {
		t.Errorf("what is known of a stale cluster is not used: %s", got)
	}
}

func TestList(t *testing.T) {
	r, _ := router(t)
	show := func(account auth.Account, most int) string {
		var out []string
		for _, c := range r.List(access(t, account), most) {
			s := string(c.Cluster) + "/" + string(c.Namespace) + "/" + c.Pod + "~" + strings.Join(c.Containers, ",")
			if c.Default {
				s += "*"
			}
			out = append(out, s)
			if got := resolve(t, r, c.Address(string(account)).String()); !strings.HasPrefix(got, string(c.Cluster)+"/"+string(c.Namespace)+"/"+c.Pod+"/"+c.Containers[0]+" ") {
				t.Errorf("%s lists %s, whose address leads to %s", account, s, got)
			}
		}
		return strings.Join(out, " ")
	}
	for account, want := range map[auth.Account]string{
		"bob":   "prod/shop/web-5d-a~app* prod/shop/web-5d-b~app* prod/shop/web-5d-c~app*",
		"carol": "prod/shop/db-0~proxy prod/shop/web-5d-a~proxy prod/shop/web-5d-b~proxy prod/shop/web-5d-c~proxy",
		"alice": "prod/shop/crash~side prod/shop/db-0~mysql,proxy* prod/shop/odd~first* prod/shop/web-5d-a~app,proxy* prod/shop/web-5d-b~app,proxy* prod/shop/web-5d-c~app,proxy*" +
			" test/shop/db-0~mysql* test/two/agent-x~a* test/two/same~a* test/two/same-1~a* test/two/twin-d~a* test/two/twin-s~a*",
		"nobody": "",
	} {
		if got := show(account, 100); got != want {
			t.Errorf("%s: %s\nwant %s", account, got, want)
		}
	}
	if got := show("bob", 2); got != "prod/shop/web-5d-a~app* prod/shop/web-5d-b~app*" {
		t.Errorf("two at most: %s", got)
	}
	c := r.List(access(t, "bob"), 1)[0]
	if c.Workload != "Deployment/web" || c.Node != "node-1" || !c.Ready || !c.Running || !c.Created.Equal(hours(1)) {
		t.Errorf("candidate is %+v", c)
	}
}

func TestRevalidate(t *testing.T) {
	r, s := router(t)
	addr, _ := target.Parse("bob+shop+web")
	got, err := r.Resolve(access(t, "bob"), addr)
	if err != nil {
		t.Fatal(err)
	}
	if role, err := r.Revalidate(access(t, "bob"), got.Target); err != nil || role.Name != "web-only" {
		t.Errorf("nothing changed: %v, %v", role, err)
	}
	if role, err := r.Revalidate(access(t, "root"), got.Target); err != nil || role.Name != "everything" {
		t.Errorf("another role: %v, %v", role, err)
	}
	if _, err := r.Revalidate(access(t, "nobody"), got.Target); !errors.Is(err, auth.ErrTargetNotPermitted) {
		t.Errorf("not permitted any more: %v", err)
	}
	relabelled := *got.Pod
	relabelled.Labels = map[string]string{"app": "web", "tier": "back"}
	if err := s.Upsert(&relabelled); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revalidate(access(t, "bob"), got.Target); !errors.Is(err, auth.ErrTargetNotPermitted) {
		t.Errorf("labels that are not permitted: %v", err)
	}
	other := *got.Pod
	other.UID = "another"
	if err := s.Upsert(&other); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revalidate(access(t, "bob"), got.Target); !errors.Is(err, auth.ErrTargetNotFound) {
		t.Errorf("another pod of the same name: %v", err)
	}
	if err := s.Delete("prod", "shop", got.Target.Pod); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revalidate(access(t, "bob"), got.Target); !errors.Is(err, auth.ErrTargetNotFound) {
		t.Errorf("the pod is gone: %v", err)
	}
}
