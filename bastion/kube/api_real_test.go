//go:build real

package kube_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// api speaks plain JSON with the real kube-apiserver, so that no code under test has a part in what is expected.
type api struct {
	t      *testing.T
	config string // path
	url    string
	http   *http.Client
}

type object = map[string]any

func newAPI(t *testing.T) *api {
	t.Helper()
	path := os.Getenv("PODBASTION_KUBECONFIG")
	if path == "" {
		t.Fatal("PODBASTION_KUBECONFIG is not set: start the real parts with `test/real/real.sh up` and take over the environment that it prints")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(client.Transport) })
	return &api{t: t, config: path, url: config.Host, http: client}
}

func (a *api) do(method, path string, body any) object {
	a.t.Helper()
	status, out := a.try(method, path, body)
	if status >= 300 {
		a.t.Fatalf("%s %s: %d %v", method, path, status, out["message"])
	}
	return out
}

func (a *api) try(method, path string, body any) (int, object) {
	a.t.Helper()
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, a.url+path, in)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out object
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		a.t.Fatalf("%s %s: %s: %v", method, path, resp.Status, err)
	}
	return resp.StatusCode, out
}

// namespace makes one with a name of its own; it and its pods go with the test.
func (a *api) namespace() string {
	a.t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:10])
	a.do("POST", "/api/v1/namespaces", object{"metadata": object{"name": name}})
	a.do("POST", "/api/v1/namespaces/"+name+"/serviceaccounts", object{"metadata": object{"name": "default"}}) // pods need it, and no controller makes it here
	a.t.Cleanup(func() {
		a.try("DELETE", "/api/v1/namespaces/"+name+"/pods?gracePeriodSeconds=0", nil)
		a.try("DELETE", "/api/v1/namespaces/"+name, nil)
	})
	return name
}

func uid(o object) string { return o["metadata"].(object)["uid"].(string) }

// ownedBy is an owner reference to o.
func ownedBy(version, kind string, o object) []object {
	m := o["metadata"].(object)
	return []object{{"apiVersion": version, "kind": kind, "name": m["name"], "uid": m["uid"], "controller": true}}
}

// pod makes a pod; change alters its JSON before.
func (a *api) pod(ns, name string, change func(meta, spec object)) object {
	a.t.Helper()
	meta := object{"name": name}
	spec := object{"containers": []object{{"name": "app", "image": "x"}, {"name": "side", "image": "x"}}, "nodeName": "node-7", "automountServiceAccountToken": false}
	if change != nil {
		change(meta, spec)
	}
	return a.do("POST", "/api/v1/namespaces/"+ns+"/pods", object{"metadata": meta, "spec": spec})
}

// running writes the status that a kubelet would.
func (a *api) running(ns, name, ip string) {
	a.t.Helper()
	state := object{"running": object{"startedAt": "2026-01-02T03:04:05Z"}}
	status := func(c string) object {
		return object{"name": c, "image": "x", "imageID": "x", "ready": true, "restartCount": 0, "state": state, "containerID": "docker://" + c}
	}
	a.do("PATCH", "/api/v1/namespaces/"+ns+"/pods/"+name+"/status", object{"status": object{
		"phase": "Running", "podIP": ip, "podIPs": []object{{"ip": ip}}, "hostIP": "192.0.2.7", "hostIPs": []object{{"ip": "192.0.2.7"}},
		"conditions":        []object{{"type": "Ready", "status": "True"}},
		"containerStatuses": []object{status("app"), status("side")},
	}})
}

func (a *api) delete(ns, name string) {
	a.t.Helper()
	a.do("DELETE", "/api/v1/namespaces/"+ns+"/pods/"+name+"?gracePeriodSeconds=0", nil)
}

// via writes a kubeconfig for the same cluster that goes to another address, perhaps with another credential.
func (a *api) via(addr string, change func(*clientcmdapi.Config)) string {
	a.t.Helper()
	c, err := clientcmd.LoadFromFile(a.config)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, cl := range c.Clusters {
		if addr != "" {
			cl.Server = "https://" + addr
		}
	}
	if change != nil {
		change(c)
	}
	path := filepath.Join(a.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// proxy is a wire to the API server that can be cut.
type proxy struct {
	t    *testing.T
	addr string
	to   string

	mu    sync.Mutex // guards what follows
	ln    net.Listener
	conns []net.Conn
	deaf  bool // connections stay open and nothing comes through
	wg    sync.WaitGroup
}

func (a *api) proxy() *proxy {
	a.t.Helper()
	u, err := url.Parse(a.url)
	if err != nil {
		a.t.Fatal(err)
	}
	p := &proxy{t: a.t, to: u.Host, addr: "127.0.0.1:0"}
	p.mend()
	p.addr = p.ln.Addr().String()
	a.t.Cleanup(func() { p.cut(); p.wg.Wait() })
	return p
}

// mend lets connections through (again), at the same address.
func (p *proxy) mend() {
	p.t.Helper()
	ln, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.ln, p.deaf = ln, false
	p.mu.Unlock()
	p.wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.DialTimeout("tcp", p.to, 5*time.Second)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			p.wg.Go(func() { p.copy(out, in) })
			p.wg.Go(func() { p.copy(in, out) })
		}
	})
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		deaf := p.deaf
		p.mu.Unlock()
		if n > 0 && !deaf {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends the connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.ln.Close()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// silence keeps the connections open and lets nothing through.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// eventually waits for a condition and tells how long it took.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(start)
}

func path(format string, args ...any) string { return fmt.Sprintf(format, args...) }
