//go:build real

package kube_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/kube"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

// run feeds a new store from the clusters until the test ends, and finds what they left behind.
func run(t *testing.T, o kube.Options, configs ...kube.Config) *store.Store {
	t.Helper()
	before := goleak.IgnoreCurrent()
	s, err := store.New()
	if err != nil {
		t.Fatal(err)
	}
	clusters, err := kube.New(configs, s, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- clusters.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run did not end with its context")
		}
		// client-go shares its connections with whoever has the same credentials: they may stay open for a while.
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
	})
	return s
}

func synced(t *testing.T, s *store.Store, name target.Cluster) {
	t.Helper()
	eventually(t, 30*time.Second, "cluster "+string(name)+" is synced", func() bool {
		h := healthOf(s, name)
		return h.Synced && !h.Stale && h.Err == nil && time.Since(h.LastSeen) < time.Minute
	})
}

func healthOf(s *store.Store, name target.Cluster) target.ClusterHealth {
	for _, h := range s.Health() {
		if h.Cluster == name {
			return h
		}
	}
	return target.ClusterHealth{}
}

func find(s *store.Store, q target.Query) *target.Pod {
	if got := s.Find(q); len(got) == 1 {
		return got[0]
	}
	return nil
}

func TestPodsAndWorkloads(t *testing.T) {
	a := newAPI(t)
	ns := a.namespace()
	labels := object{"app": "web"}
	template := object{"metadata": object{"labels": labels}, "spec": object{"containers": []object{{"name": "app", "image": "x"}}}}
	deployment := a.do("POST", path("/apis/apps/v1/namespaces/%s/deployments", ns), object{"metadata": object{"name": "web"},
		"spec": object{"selector": object{"matchLabels": labels}, "template": template}})
	replicaSet := func(name string) object {
		return a.do("POST", path("/apis/apps/v1/namespaces/%s/replicasets", ns), object{"metadata": object{"name": name, "ownerReferences": ownedBy("apps/v1", "Deployment", deployment)},
			"spec": object{"selector": object{"matchLabels": labels}, "template": template}})
	}
	rs := replicaSet("web-5d")
	before := a.pod(ns, "web-5d-a", func(meta, _ object) {
		meta["ownerReferences"], meta["labels"] = ownedBy("apps/v1", "ReplicaSet", rs), labels
		meta["annotations"] = object{"kubectl.kubernetes.io/default-container": "side"}
	})
	a.running(ns, "web-5d-a", "10.1.2.3")

	s := run(t, kube.Options{}, kube.Config{Name: "real", Kubeconfig: a.config})
	synced(t, s, "real")
	scope := target.Scope{Cluster: "real", Namespace: target.Namespace(ns)}
	eventually(t, 10*time.Second, "the pod that was there is known by its Deployment", func() bool {
		return find(s, target.Query{Scope: scope, Owner: "web"}) != nil
	})
	p := find(s, target.Query{Scope: scope, IP: "10.1.2.3"})
	if p == nil || p.Name != "web-5d-a" || string(p.UID) != uid(before) || !p.Running || !p.Ready || p.Node != "node-7" || p.NodeAddress != "192.0.2.7" ||
		p.DefaultContainer != "side" || p.Labels["app"] != "web" || time.Since(p.Created) > 10*time.Minute ||
		!slices.Equal(p.Containers, []target.Container{{Name: "app", Running: true}, {Name: "side", Running: true}}) ||
		!slices.Equal(p.Owners, []target.Owner{{Kind: "ReplicaSet", Name: "web-5d"}, {Kind: "Deployment", Name: "web"}}) {
		t.Errorf("the index knows %+v", p)
	}

	// A pod that comes before its ReplicaSet is known is found by its Deployment all the same.
	early := object{"metadata": object{"name": "web-6e", "uid": "11111111-2222-3333-4444-555555555555"}}
	second := a.pod(ns, "web-6e-b", func(meta, _ object) { meta["ownerReferences"] = ownedBy("apps/v1", "ReplicaSet", early) })
	eventually(t, 10*time.Second, "a new pod is known", func() bool { return find(s, target.Query{Scope: scope, Owner: "web-6e"}) != nil })
	if got := find(s, target.Query{Scope: scope, Name: "web-6e-b"}); got.Running || len(got.Owners) != 1 {
		t.Errorf("before its ReplicaSet and its containers it is %+v", got)
	}
	replicaSet("web-6e")
	eventually(t, 10*time.Second, "both pods are known by the Deployment", func() bool { return len(s.Find(target.Query{Scope: scope, Owner: "web"})) == 2 })

	// CronJob, Job, pod.
	jobSpec := object{"template": object{"spec": object{"restartPolicy": "Never", "containers": []object{{"name": "app", "image": "x"}}}}}
	cron := a.do("POST", path("/apis/batch/v1/namespaces/%s/cronjobs", ns), object{"metadata": object{"name": "night"},
		"spec": object{"schedule": "0 3 * * *", "jobTemplate": object{"spec": jobSpec}}})
	job := a.do("POST", path("/apis/batch/v1/namespaces/%s/jobs", ns), object{"metadata": object{"name": "night-1", "ownerReferences": ownedBy("batch/v1", "CronJob", cron)}, "spec": jobSpec})
	a.pod(ns, "night-1-x", func(meta, _ object) { meta["ownerReferences"] = ownedBy("batch/v1", "Job", job) })
	eventually(t, 10*time.Second, "a CronJob's pod is known by it", func() bool { return find(s, target.Query{Scope: scope, Owner: "night"}) != nil })

	// Changes are seen, and quickly.
	var took []time.Duration
	for i := range 11 {
		value := strings.Repeat("x", i+1)
		a.do("PATCH", path("/api/v1/namespaces/%s/pods/web-5d-a", ns), object{"metadata": object{"labels": object{"round": value}}})
		took = append(took, eventually(t, 5*time.Second, "a label's change is seen", func() bool {
			return find(s, target.Query{Scope: scope, Selector: target.Selector{{Key: "round", Value: value}}}) != nil
		}))
	}
	slices.Sort(took)
	t.Logf("a change is in the index %v after the API server's answer (median of %d)", took[len(took)/2], len(took))

	// A pod that goes wakes whoever waits for it, and one of the same name is another.
	known, changed := s.Watch("real", target.UID(uid(second)))
	if known == nil {
		t.Fatal("the pod is not known by its UID")
	}
	a.delete(ns, "web-6e-b")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was woken")
	}
	eventually(t, 10*time.Second, "the pod is gone", func() bool { p, _ := s.Watch("real", target.UID(uid(second))); return p == nil })
	again := a.pod(ns, "web-6e-b", nil)
	eventually(t, 10*time.Second, "its successor has another UID", func() bool {
		p := find(s, target.Query{Scope: scope, Name: "web-6e-b"})
		return p != nil && string(p.UID) == uid(again) && uid(again) != uid(second)
	})
}

func TestFilters(t *testing.T) {
	a := newAPI(t)
	one, two, three := a.namespace(), a.namespace(), a.namespace()
	for _, ns := range []string{one, two, three} {
		a.pod(ns, "in", func(meta, _ object) { meta["labels"] = object{"pick": "me"} })
		a.pod(ns, "out", nil)
	}
	s := run(t, kube.Options{}, kube.Config{Name: "real", Kubeconfig: a.config, Context: "x", Namespaces: []string{one, two}, LabelSelector: "pick in (me)"})
	synced(t, s, "real")
	got := s.Find(target.Query{})
	if len(got) != 2 || got[0].Name != "in" || got[1].Name != "in" || got[0].Namespace == got[1].Namespace || string(got[0].Namespace) == three || string(got[1].Namespace) == three {
		t.Errorf("the index holds %v", got)
	}
	// A pod whose label goes is not of interest any more.
	a.do("PATCH", path("/api/v1/namespaces/%s/pods/in", one), object{"metadata": object{"labels": object{"pick": nil}}})
	eventually(t, 10*time.Second, "it is gone from the index", func() bool { return s.Len() == 1 })
}

// One cluster's outage is seen, does not touch the others, and is caught up with.
func TestOutage(t *testing.T) {
	a := newAPI(t)
	ns := a.namespace()
	a.pod(ns, "stays", nil)
	a.pod(ns, "goes", nil)
	wire, dead := a.proxy(), a.proxy()
	dead.cut()
	s := run(t, kube.Options{StaleAfter: 1500 * time.Millisecond},
		kube.Config{Name: "far", Kubeconfig: a.via(wire.addr, nil), Namespaces: []string{ns}},
		kube.Config{Name: "near", Kubeconfig: a.config, Namespaces: []string{ns}},
		kube.Config{Name: "dead", Kubeconfig: a.via(dead.addr, nil), Namespaces: []string{ns}})
	synced(t, s, "far")
	synced(t, s, "near")
	eventually(t, 20*time.Second, "a cluster that was never there says so", func() bool {
		h := healthOf(s, "dead")
		return !h.Synced && h.Stale && h.Err != nil && h.Problem(time.Now()) != nil
	})
	for name, fail := range map[string]func(){"cut": wire.cut, "silent": wire.silence} {
		fail()
		stale := eventually(t, 20*time.Second, name+": the cluster is stale", func() bool {
			h := healthOf(s, "far")
			return h.Synced && h.Stale && h.Err != nil
		})
		t.Logf("%s: stale after %v: %v", name, stale, healthOf(s, "far").Problem(time.Now()))
		far := target.Scope{Cluster: "far"}
		if n := len(s.Find(target.Query{Scope: far})); n != 2 {
			t.Errorf("%s: %d pods of the stale cluster are known, want what was known before: 2", name, n)
		}
		_, err := route.New(s).Resolve(everything(t), target.Address{Account: "root", Cluster: "far", Namespace: target.Namespace(ns), Pod: "no-such"})
		if err == nil || !strings.Contains(err.Error(), "far may be out of date") {
			t.Errorf("%s: resolving says %v", name, err)
		}
		a.delete(ns, "goes")
		a.pod(ns, "comes", nil)
		eventually(t, 10*time.Second, name+": the other cluster goes on", func() bool {
			return find(s, target.Query{Scope: target.Scope{Cluster: "near"}, Name: "comes"}) != nil && healthOf(s, "near").Problem(time.Now()) == nil
		})
		wire.cut()
		wire.mend()
		back := eventually(t, 90*time.Second, name+": the cluster is back and caught up with", func() bool {
			h := healthOf(s, "far")
			names := s.Find(target.Query{Scope: far})
			return !h.Stale && h.Err == nil && len(names) == 2 && names[0].Name == "comes" && names[1].Name == "stays"
		})
		t.Logf("%s: back after %v", name, back)
		a.delete(ns, "comes")
		a.pod(ns, "goes", nil)
		eventually(t, 10*time.Second, name+": as before", func() bool {
			return find(s, target.Query{Scope: far, Name: "goes"}) != nil && len(s.Find(target.Query{Scope: far})) == 2
		})
	}
	wire.cut()
	wire.wg.Wait()
}

func everything(t *testing.T) *auth.Access {
	t.Helper()
	doc, err := auth.Load("roles.yaml", []byte(`{authorities: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIjBQF8Len8l8etIi4gURvR6ZsU9tkTBlmVR5KEJ0rpu"],
accounts: [{name: root, roles: [all]}], roles: {all: {targets: [{namespaces: ["*"]}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	access, err := doc.Access("root", netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	return access
}

// chartRights gives the role and its binding that the chart makes for the bastion.
func chartRights(t *testing.T) (role, binding object) {
	t.Helper()
	helm := os.Getenv("PODBASTION_HELM")
	if helm == "" {
		t.Fatal("PODBASTION_HELM is not set: start the real parts with `test/real/real.sh up` and take over the environment that it prints")
	}
	cmd := exec.Command(helm, "template", "podbastion", "../../deploy/helm/podbastion", "--kube-version=1.37", "--show-only", "templates/bastion-rbac.yaml")
	var errOut strings.Builder
	cmd.Stderr = &errOut
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errOut.String())
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var o object
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch kind, _ := o["kind"].(string); {
		case kind == "ClusterRole" && role == nil:
			role = o
		case kind == "ClusterRoleBinding" && binding == nil:
			binding = o
		case kind != "ServiceAccount":
			t.Fatalf("what is this %s", kind)
		}
	}
	if role == nil || binding == nil {
		t.Fatalf("no role or no binding in\n%s", data)
	}
	return role, binding
}

// The rights that the chart gives are enough, and without those for workloads pods are still known.
func TestRights(t *testing.T) {
	a := newAPI(t)
	ns := a.namespace()
	a.do("POST", path("/api/v1/namespaces/%s/serviceaccounts", ns), object{"metadata": object{"name": "podbastion"}})
	token := a.do("POST", path("/api/v1/namespaces/%s/serviceaccounts/podbastion/token", ns), object{"spec": object{"expirationSeconds": 3600}})["status"].(object)["token"].(string)
	config := a.via("", func(c *clientcmdapi.Config) {
		for name := range c.AuthInfos {
			c.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
		}
	})
	role, binding := chartRights(t)
	role["metadata"] = object{"name": ns}
	binding["metadata"] = object{"name": ns}
	binding["roleRef"].(object)["name"] = ns
	binding["subjects"].([]any)[0].(object)["name"] = "podbastion"
	binding["subjects"].([]any)[0].(object)["namespace"] = ns
	const rbac = "/apis/rbac.authorization.k8s.io/v1/"
	rules := role["rules"].([]any)
	role["rules"] = rules[:1]
	a.do("POST", rbac+"clusterroles", role)
	a.do("POST", rbac+"clusterrolebindings", binding)
	t.Cleanup(func() {
		a.try("DELETE", rbac+"clusterroles/"+ns, nil)
		a.try("DELETE", rbac+"clusterrolebindings/"+ns, nil)
	})
	s := run(t, kube.Options{StaleAfter: 1500 * time.Millisecond}, kube.Config{Name: "real", Kubeconfig: config})
	a.pod(ns, "some", nil)
	eventually(t, 30*time.Second, "pods are known and it is said that workloads are not", func() bool {
		h := healthOf(s, "real")
		return h.Synced && !h.Stale && h.Err != nil && strings.Contains(h.Err.Error(), "forbidden") && find(s, target.Query{Scope: target.Scope{Namespace: target.Namespace(ns)}, Name: "some"}) != nil
	})
	role["rules"] = rules
	a.do("PUT", rbac+"clusterroles/"+ns, role)
	eventually(t, 90*time.Second, "nothing is wrong any more", func() bool { h := healthOf(s, "real"); return h.Synced && !h.Stale && h.Err == nil })
}

// The chart gives no right that the informers do not use.
func TestRightsAreUsed(t *testing.T) {
	a := newAPI(t)
	to, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	used := map[string]bool{}
	forward := &httputil.ReverseProxy{FlushInterval: -1, Transport: a.http.Transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// /api/v1/RESOURCE or /apis/GROUP/VERSION/RESOURCE; all namespaces at once
		right, verb := "?"+r.URL.Path, r.Method
		switch part := strings.Split(r.URL.Path, "/"); {
		case r.URL.Path == "/version": // everybody's
			right = ""
		case len(part) == 4 && part[1] == "api":
			right = "/" + part[3]
		case len(part) == 5 && part[1] == "apis":
			right = part[2] + "/" + part[4]
		}
		if verb == http.MethodGet {
			verb = "list"
			if r.URL.Query().Get("watch") != "" {
				verb = "watch"
			}
		}
		if right != "" {
			mu.Lock()
			used[right+" "+verb] = true
			mu.Unlock()
		}
		if r.URL.Query().Has("sendInitialEvents") { // an API server before 1.32 refuses a list in the form of a watch
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close) // after the informers
	config := a.via("", func(c *clientcmdapi.Config) {
		for _, cl := range c.Clusters {
			cl.Server, cl.CertificateAuthorityData = front.URL, nil
		}
		c.AuthInfos = nil
		for _, in := range c.Contexts {
			in.AuthInfo = ""
		}
	})
	granted := map[string]bool{}
	role, _ := chartRights(t)
	for _, rule := range role["rules"].([]any) {
		rule := rule.(object)
		for _, group := range rule["apiGroups"].([]any) {
			for _, resource := range rule["resources"].([]any) {
				for _, verb := range rule["verbs"].([]any) {
					granted[fmt.Sprintf("%s/%s %s", group, resource, verb)] = true
				}
			}
		}
	}
	seen := func() map[string]bool { mu.Lock(); defer mu.Unlock(); return maps.Clone(used) }
	s := run(t, kube.Options{}, kube.Config{Name: "real", Kubeconfig: config})
	synced(t, s, "real")
	for start := time.Now(); len(seen()) < len(granted) && time.Since(start) < 10*time.Second; {
		time.Sleep(20 * time.Millisecond)
	}
	if used := seen(); !maps.Equal(used, granted) {
		t.Errorf("used:    %v\ngranted: %v", used, granted)
	}
}
