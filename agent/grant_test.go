package agent_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/internal/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, ignore()...) }

// ignore leaves out what the SPDY library leaves behind for a second after a peer closed first.
func ignore() []goleak.Option {
	return []goleak.Option{goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown")}
}

// client is an HTTP client with a certificate.
func client(t *testing.T, conf *tls.Config) *http.Client {
	conf = conf.Clone()
	conf.ServerName = agenttest.Node
	tr := &http.Transport{TLSClientConfig: conf}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// ask sends a request as the bastion would; token is left out when empty.
func ask(t *testing.T, c *http.Client, a *agenttest.Agent, method, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "https://"+a.Address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "SPDY/3.1")
	req.Header.Set("X-Stream-Protocol-Version", "v4.channel.k8s.io")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, ""
	}
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// good is a grant that is honoured.
func good() grant.Grant {
	return grant.Grant{
		Session: rand.Text(), Account: "alice", Cluster: agenttest.Cluster, Node: agenttest.Node, Kind: grant.Exec,
		Namespace: "shop", Pod: "web-1", UID: "uid-1", Container: "app",
	}
}

func sign(t *testing.T, s *grant.Signer, g grant.Grant) string {
	t.Helper()
	token, err := s.Sign(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

const execPath = "/exec/shop/web-1/app?command=true&output=1"

func TestRefusals(t *testing.T) {
	a := agenttest.Start(t)
	c := client(t, a.TLS)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	but := func(change func(*grant.Grant)) string {
		g := good()
		change(&g)
		return sign(t, a.Signer, g)
	}
	used := sign(t, a.Signer, good())
	if code, text := ask(t, c, a, "POST", execPath, used); code != http.StatusSwitchingProtocols {
		t.Fatalf("a good grant: %d %s", code, text)
	}
	whole := but(func(*grant.Grant) {})
	body, signature, _ := strings.Cut(whole, ".")
	other, _, _ := strings.Cut(but(func(g *grant.Grant) { g.Account = "mallory" }), ".")
	for _, tc := range []struct{ name, path, token, reason string }{
		{"no grant", execPath, "", "no grant"},
		{"not a grant", execPath, "nonsense", "malformed"},
		{"body of another", execPath, other + "." + signature, "bad signature"},
		{"cut off", execPath, body + "." + signature[:80], "malformed"},
		{"signed by a stranger", execPath, sign(t, grant.NewSigner(stranger), good()), "unknown key"},
		{"used before", execPath, used, "used before"},
		{"expired", execPath, but(func(g *grant.Grant) {
			g.NotBefore, g.Expires = time.Now().Add(-time.Hour), time.Now().Add(-59*time.Minute)
		}), "expired"},
		{"not yet", execPath, but(func(g *grant.Grant) {
			g.NotBefore, g.Expires = time.Now().Add(time.Hour), time.Now().Add(61*time.Minute)
		}), "not valid yet"},
		{"for ever", execPath, but(func(g *grant.Grant) { g.NotBefore, g.Expires = time.Now(), time.Now().Add(24*time.Hour) }), "lifetime"},
		{"other node", execPath, but(func(g *grant.Grant) { g.Node = "node-2" }), "another node"},
		{"other cluster", execPath, but(func(g *grant.Grant) { g.Cluster = "prod" }), "another target"},
		{"other pod", execPath, but(func(g *grant.Grant) { g.Pod = "web-2" }), "another target"},
		{"other container", execPath, but(func(g *grant.Grant) { g.Container = "side" }), "another target"},
		{"pod's successor", execPath, but(func(g *grant.Grant) { g.UID = "uid-2" }), "another pod of that name"},
		{"other kind", execPath, but(func(g *grant.Grant) { g.Kind = grant.Facts }), "another kind"},
		{"facts by exec's", "/v1/facts/shop/web-1/app", but(func(*grant.Grant) {}), "another kind"},
		{"stat by exec's", "/v1/stat/shop/web-1/app?path=/", but(func(*grant.Grant) {}), "another kind"},
		{"files by exec's", "/files/shop/web-1/app", but(func(*grant.Grant) {}), "another kind"},
		{"forward by exec's", "/portForward/shop/web-1", but(func(*grant.Grant) {}), "another kind"},
		{"terminal by exec's", "/v1/sessions/s1/terminal", but(func(g *grant.Grant) { g.Session = "s1" }), "another kind"},
		{"another's session", "/v1/sessions/s1/terminal", but(func(g *grant.Grant) { g.Kind, g.Session = grant.Control, "s2" }), "another session"},
		{"climbing", "/exec/shop/..%2f..%2fweb-1/app?command=true&output=1", but(func(*grant.Grant) {}), "not a name"},
		{"dots", "/exec/shop/we..b/app?command=true&output=1", but(func(*grant.Grant) {}), "not a name"},
		{"slash", "/exec/shop/web-1%2fapp/app?command=true&output=1", but(func(*grant.Grant) {}), "not a name"},
		{"option", "/exec/shop/--privileged/app?command=true&output=1", but(func(*grant.Grant) {}), "not a name"},
		{"line break", "/exec/shop/web-1%0aapp/app?command=true&output=1", but(func(*grant.Grant) {}), "not a name"},
		{"nul", "/exec/shop/web-1%00/app?command=true&output=1", but(func(*grant.Grant) {}), "not a name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.Events.Take()
			code, text := ask(t, c, a, "GET", tc.path, tc.token)
			if code != http.StatusForbidden || strings.TrimSpace(text) != "agent: refused" {
				t.Errorf("answer %d %q", code, text)
			}
			events := a.Events.Take()
			if len(events) != 1 || events[0].Type != audit.GrantReject || !strings.Contains(events[0].Reason, tc.reason) || events[0].Source == "" {
				t.Errorf("remembered %+v, want the reason %q", events, tc.reason)
			}
		})
	}
}

// Dot segments never reach a handler: the multiplexer redirects to the clean path, which a client of ours does not
// follow, and which leads nowhere with that grant.
func TestDotSegments(t *testing.T) {
	a := agenttest.Start(t)
	c := client(t, a.TLS)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{"/exec/shop/../web-1/app?command=true&output=1", "/exec/shop/web-1/app/../../x", "/exec//web-1/app"} {
		if code, text := ask(t, c, a, "GET", path, sign(t, a.Signer, good())); code/100 != 3 && code/100 != 4 {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}

// A certificate alone opens nothing, and none but the bastion's gets as far as being asked for a grant.
func TestCertificates(t *testing.T) {
	a := agenttest.Start(t)
	at := func(name string) string { return filepath.Join(a.Keys, name) }
	agents, err := pki.Bastion(at("agent.crt"), at("agent.key"), at("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := pki.NewAuthority("foreign")
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.Issue(pki.BastionName, at("foreign.crt"), at("foreign.key")); err != nil {
		t.Fatal(err)
	}
	foreigner, err := pki.Bastion(at("foreign.crt"), at("foreign.key"), at("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	nobody := a.TLS.Clone()
	nobody.Certificates = nil
	old := a.TLS.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, conf := range map[string]*tls.Config{"an agent's": agents, "a foreign authority's": foreigner, "none": nobody, "TLS 1.2": old} {
		c := client(t, conf)
		conf.ClientSessionCache = nil
		req, err := http.NewRequestWithContext(context.Background(), "GET", "https://"+a.Address+execPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+sign(t, a.Signer, good()))
		if resp, err := c.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("certificate %s: answer %d", name, resp.StatusCode)
		}
	}
	elsewhere := a.TLS.Clone()
	elsewhere.ServerName = "node-2"
	if conn, err := tls.Dial("tcp", a.Address, elsewhere); err == nil {
		_ = conn.Close()
		t.Error("the agent passed for another node's")
	}
}

func TestForwardOnlyToGrantedPorts(t *testing.T) {
	a := agenttest.Start(t)
	g := good()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port) // #nosec G115 -- a port
	g.Kind, g.Container, g.Ports = grant.Forward, "", []uint16{port}
	if !g.AllowsPort(port) || g.AllowsPort(port-1) {
		t.Fatal("the grant is not what the test means")
	}
	for path, want := range map[string]int{
		"/portForward/shop/web-1": http.StatusSwitchingProtocols, "/portForward/shop/web-9": http.StatusForbidden,
	} {
		req, err := http.NewRequest("GET", "https://"+a.Address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{
			"Authorization": {"Bearer " + sign(t, a.Signer, g)}, "Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"},
			"X-Stream-Protocol-Version": {"portforward.k8s.io"},
		}
		resp, err := client(t, a.TLS).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestBadRequests(t *testing.T) {
	a := agenttest.Start(t)
	c := client(t, a.TLS)
	for name, query := range map[string]string{
		"no command": "?output=1", "no streams": "?command=true", "environment without a name": "?command=true&output=1&env==x",
		"environment without a value": "?command=true&output=1&env=x", "modes of another encoding": "?command=true&output=1&modes=%2f",
		"empty command": "?output=1&" + url.Values{"nothing": {"1"}}.Encode(),
	} {
		if code, text := ask(t, c, a, "GET", "/exec/shop/web-1/app"+query, sign(t, a.Signer, good())); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
}
