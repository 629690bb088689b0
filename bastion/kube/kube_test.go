package kube

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

func quiet() logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

func ref(kind, name string, controls bool) metav1.OwnerReference {
	return metav1.OwnerReference{Kind: kind, Name: name, Controller: &controls}
}

func TestNewPod(t *testing.T) {
	born := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	always := corev1.ContainerRestartPolicyAlways
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	debug := corev1.EphemeralContainer{}
	debug.Name = "debug"
	full := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0", UID: "u-1", CreationTimestamp: born, Labels: map[string]string{"app": "web"},
			Annotations:     map[string]string{"kubectl.kubernetes.io/default-container": "app", "other": "x"},
			OwnerReferences: []metav1.OwnerReference{ref("Thing", "t", false), ref("StatefulSet", "web", true)},
		},
		Spec: corev1.PodSpec{
			NodeName:            "n1",
			InitContainers:      []corev1.Container{{Name: "setup"}, {Name: "mesh", RestartPolicy: &always}},
			Containers:          []corev1.Container{{Name: "log"}, {Name: "app"}},
			EphemeralContainers: []corev1.EphemeralContainer{debug},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, HostIP: "192.0.2.1", PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}},
			Conditions:                 []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses:          []corev1.ContainerStatus{{Name: "app", State: running}, {Name: "log"}},
			InitContainerStatuses:      []corev1.ContainerStatus{{Name: "mesh", State: running}, {Name: "setup"}},
			EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "debug", State: running}},
		},
	}
	want := target.Pod{
		Cluster: "prod", Namespace: "shop", Name: "web-0", UID: "u-1", Created: born.Time, Labels: map[string]string{"app": "web"}, DefaultContainer: "app",
		Owners: []target.Owner{{Kind: "StatefulSet", Name: "web"}}, Node: "n1", NodeAddress: "192.0.2.1", IPs: []string{"10.0.0.1", "fd00::1"}, Running: true, Ready: true,
		Containers: []target.Container{{Name: "log"}, {Name: "app", Running: true}, {Name: "mesh", Running: true}, {Name: "debug", Running: true}},
	}
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   func(*target.Pod)
	}{
		"as it is":    {func(*corev1.Pod) {}, func(*target.Pod) {}},
		"going":       {func(p *corev1.Pod) { p.DeletionTimestamp = &born }, func(p *target.Pod) { p.Running = false }},
		"ended":       {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, func(p *target.Pod) { p.Running = false }},
		"not ready":   {func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionUnknown }, func(p *target.Pod) { p.Ready = false }},
		"of a node":   {func(p *corev1.Pod) { p.OwnerReferences = []metav1.OwnerReference{ref("Node", "n1", true)} }, func(p *target.Pod) { p.Owners = nil }},
		"one address": {func(p *corev1.Pod) { p.Status.PodIPs = nil }, func(p *target.Pod) { p.IPs = []string{"10.0.0.1"} }},
	} {
		in, want := full.DeepCopy(), want
		c.change(in)
		c.want(&want)
		if got := newPod("prod", in); !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v\nwant %+v", name, *got, want)
		}
	}
}

// step is something that informers tell, in the order in which they may tell it.
type step func(pods, sets, jobs cache.ResourceEventHandler)

func TestFeeder(t *testing.T) {
	pod := func(name string, owner metav1.OwnerReference) *record {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, OwnerReferences: []metav1.OwnerReference{owner}}}
		return transformed(t, p)
	}
	child := func(name string, owner metav1.OwnerReference) *record {
		return transformed(t, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, OwnerReferences: []metav1.OwnerReference{owner}}})
	}
	podOfSet, set := func() any { return pod("web-5d-a", ref("ReplicaSet", "web-5d", true)) }, func(by string) any { return child("web-5d", ref("Deployment", by, true)) }
	for name, c := range map[string]struct {
		steps []step
		owner string
		want  int
	}{
		"set first": {[]step{
			func(_, s, _ cache.ResourceEventHandler) { s.OnAdd(set("web"), true) },
			func(p, _, _ cache.ResourceEventHandler) { p.OnAdd(podOfSet(), true) },
		}, "web", 1},
		"pod first": {[]step{
			func(p, _, _ cache.ResourceEventHandler) { p.OnAdd(podOfSet(), true) },
			func(_, s, _ cache.ResourceEventHandler) { s.OnAdd(set("web"), true) },
		}, "web", 1},
		"set gets another owner": {[]step{
			func(p, s, _ cache.ResourceEventHandler) { s.OnAdd(set("web"), true); p.OnAdd(podOfSet(), true) },
			func(_, s, _ cache.ResourceEventHandler) { s.OnUpdate(set("web"), set("other")) },
		}, "other", 1},
		"and leaves the first": {[]step{
			func(p, s, _ cache.ResourceEventHandler) { s.OnAdd(set("web"), true); p.OnAdd(podOfSet(), true) },
			func(_, s, _ cache.ResourceEventHandler) { s.OnUpdate(set("web"), set("other")) },
		}, "web", 0},
		"a Job of that name is another thing": {[]step{
			func(p, _, j cache.ResourceEventHandler) { j.OnAdd(set("web"), true); p.OnAdd(podOfSet(), true) },
		}, "web", 0},
		"a set that went": {[]step{
			func(_, s, _ cache.ResourceEventHandler) { s.OnAdd(set("web"), true); s.OnDelete(set("web")) },
			func(p, _, _ cache.ResourceEventHandler) { p.OnAdd(podOfSet(), true) },
		}, "web", 0},
		"a pod that went": {[]step{
			func(p, _, _ cache.ResourceEventHandler) { o := podOfSet(); p.OnAdd(o, true); p.OnDelete(o) },
		}, "web-5d", 0},
		"a pod that went unseen": {[]step{
			func(p, _, _ cache.ResourceEventHandler) {
				o := podOfSet()
				p.OnAdd(o, true)
				p.OnDelete(cache.DeletedFinalStateUnknown{Key: "n/web-5d-a", Obj: o})
			},
		}, "web-5d", 0},
		"back again": {[]step{
			func(p, _, _ cache.ResourceEventHandler) {
				o := podOfSet()
				p.OnAdd(o, true)
				p.OnDelete(o)
				p.OnAdd(podOfSet(), false)
			},
		}, "web-5d", 1},
	} {
		s, err := store.New()
		if err != nil {
			t.Fatal(err)
		}
		f := newFeeder("prod", s, quiet())
		handlers := []cache.ResourceEventHandler{f.handler(t.Context(), pods), f.handler(t.Context(), replicaSets), f.handler(t.Context(), jobs)}
		for _, do := range c.steps {
			do(handlers[0], handlers[1], handlers[2])
			f.take(<-f.events)
		}
		if got := len(s.Find(target.Query{Scope: target.Scope{Cluster: "prod", Namespace: "n"}, Owner: c.owner})); got != c.want {
			t.Errorf("%s: %d pods of %s, want %d", name, got, c.owner, c.want)
		}
	}
}

func transformed(t *testing.T, o any) *record {
	t.Helper()
	out, err := newRecord("prod")(o)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := newRecord("prod")(out); again != out {
		t.Error("the transform changes what it made")
	}
	return out.(*record)
}

func TestHealth(t *testing.T) {
	start := time.Now()
	h := newHealth("prod", nil, time.Minute, quiet())
	podsPart, setsPart := part{pods, ""}, part{replicaSets, ""}
	later := func(d time.Duration) target.ClusterHealth { return h.state(start.Add(d)) }

	if s := later(0); s.Synced || !s.Stale || !s.LastSeen.IsZero() || s.Err != nil {
		t.Errorf("at first: %+v", s)
	}
	h.tried(podsPart, nil)
	h.synced()
	if s := later(30 * time.Second); !s.Synced || s.Stale || s.Err != nil || s.Problem(start) != nil {
		t.Errorf("synced: %+v", s)
	}
	if s := later(2 * time.Minute); !s.Stale || s.Problem(start.Add(2*time.Minute)) == nil {
		t.Errorf("not heard of for two minutes: %+v", s)
	}
	for _, err := range []error{io.EOF, apierrors.NewResourceExpired("old")} {
		h.failed(podsPart, err)
		if s := later(0); s.Err != nil {
			t.Errorf("%v counts as an error", err)
		}
	}
	down := errors.New("down")
	h.failed(setsPart, down)
	if s := later(30 * time.Second); s.Stale || !errors.Is(s.Err, down) {
		t.Errorf("sets cannot be listed: %+v", s)
	}
	h.failed(podsPart, down)
	h.seen = start.Add(2 * time.Minute) // the API server answers to something else
	if s := later(2*time.Minute + time.Second); !s.Stale {
		t.Errorf("pods could not be watched for two minutes: %+v", s)
	}
	h.tried(podsPart, nil)
	h.tried(setsPart, nil)
	if s := later(0); s.Stale || s.Err != nil {
		t.Errorf("all is well again: %+v", s)
	}
}

func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "` + server + `", insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: secret-token}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A redirect is not followed, so that the token stays with the API server that it is for.
func TestNoRedirect(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer secret-token" {
			asked.Add(1)
		}
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	config, err := restConfig(Config{Kubeconfig: kubeconfig(t, server.URL)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []resource{pods, replicaSets} {
		if _, err := c.list(t.Context(), r, "", metav1.ListOptions{}); err == nil {
			t.Errorf("listing %s works though the server answers with a redirect", r.Resource)
		}
		if w, err := c.watch(t.Context(), r, "", metav1.ListOptions{}); err == nil {
			w.Stop()
			t.Errorf("watching %s works though the server answers with a redirect", r.Resource)
		}
	}
	if err := c.ping(t.Context()); err == nil {
		t.Error("a redirect is a sign of life")
	}
	if asked.Load() < 5 || stolen.Load() != 0 {
		t.Errorf("the server was asked %d times with the token, the other one %d times", asked.Load(), stolen.Load())
	}
}

func TestConfig(t *testing.T) {
	good := Config{Name: "prod", Kubeconfig: kubeconfig(t, "https://127.0.0.1:1")}
	for says, c := range map[string]func(*Config){
		"":                      func(*Config) {},
		"cannot be typed":       func(c *Config) { c.Name = "Prod+1" },
		`namespace "a/b"`:       func(c *Config) { c.Namespaces = []string{"a/b"} },
		`"a" is there twice`:    func(c *Config) { c.Namespaces = []string{"a", "a"} },
		"labelSelector":         func(c *Config) { c.LabelSelector = "a in" },
		"no such file":          func(c *Config) { c.Kubeconfig = "/no/such/file" },
		`context "no" does not`: func(c *Config) { c.Context = "no" },
		"in-cluster":            func(c *Config) { c.Kubeconfig = "" },
	} {
		bad := good
		c(&bad)
		_, err := New([]Config{bad}, nil, Options{Log: quiet()})
		if (says == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "kube: ")) {
			t.Errorf("want …%s…, got %v", says, err)
		}
	}
	if _, err := New([]Config{good, good}, nil, Options{Log: quiet()}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one name for two clusters: %v", err)
	}
}
