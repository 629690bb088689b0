package grant

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func key(b byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = b
	return ed25519.NewKeyFromSeed(seed)
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func sample() Grant {
	return Grant{
		ID: "g1", Session: "s1", Account: "alice", Cluster: "prod", Namespace: "shop", Pod: "web-0", UID: "u-1",
		Container: "app", Node: "n1", Kind: Exec, User: "1000", NotBefore: epoch, Expires: epoch.Add(30 * time.Second),
	}
}

func wanted() Want {
	return Want{Node: "n1", Cluster: "prod", Namespace: "shop", Pod: "web-0", UID: "u-1", Container: "app", Kind: Exec}
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func sign(t testing.TB, k ed25519.PrivateKey, g Grant) string {
	t.Helper()
	token, err := NewSigner(k).Sign(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forge signs whatever text, as somebody with the key but not this package would.
func forge(k ed25519.PrivateKey, prefix, body string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(body))
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k, []byte(prefix+text)))
}

func TestVerify(t *testing.T) {
	good := key(1)
	body := func(kid string) string {
		return fmt.Sprintf(`{"kid":%q,"id":"g1","session":"s1","account":"alice","cluster":"prod","namespace":"shop","pod":"web-0","uid":"u-1","container":"app","node":"n1","kind":"exec","user":"1000","nbf":%d,"exp":%d}`,
			kid, epoch.UnixMilli(), epoch.UnixMilli()+30000)
	}
	kid := KeyID(public(good))
	grant := func(change func(*Grant)) func(testing.TB) string {
		return func(t testing.TB) string {
			g := sample()
			change(&g)
			return sign(t, good, g)
		}
	}
	text := func(s string) func(testing.TB) string { return func(testing.TB) string { return s } }
	same := func(*Grant) {}
	control := func(g *Grant) { g.Kind = Control }
	token := sign(t, good, sample())
	tests := []struct {
		name  string
		token func(testing.TB) string
		want  func(*Want)
		now   time.Duration
		err   error
	}{
		{"as signed", grant(same), nil, 0, nil},
		{"hand-made payload", text(forge(good, domain, body(kid))), nil, 0, nil},
		{"last moment with skew", grant(same), nil, 35 * time.Second, nil},
		{"too late", grant(same), nil, 35*time.Second + time.Millisecond, ErrExpired},
		{"first moment with skew", grant(func(g *Grant) { g.NotBefore = epoch.Add(5 * time.Second) }), nil, 0, nil},
		{"too early", grant(func(g *Grant) { g.NotBefore = epoch.Add(5001 * time.Millisecond) }), nil, 0, ErrNotYetValid},
		{"lives too long", grant(func(g *Grant) { g.Expires = epoch.Add(time.Hour) }), nil, 0, ErrLifetime},
		{"ends before it begins", grant(func(g *Grant) { g.Expires = epoch }), nil, 0, ErrLifetime},
		{"made before the agent started", grant(func(g *Grant) { g.NotBefore = epoch.Add(-time.Second) }), nil, 0, ErrReplayed},
		{"empty", text(""), nil, 0, ErrMalformed},
		{"one part", text("abc"), nil, 0, ErrMalformed},
		{"three parts", text(token + ".x"), nil, 0, ErrMalformed},
		{"padded", text(token + "="), nil, 0, ErrMalformed},
		{"line break", text(token + "\n"), nil, 0, ErrMalformed},
		{"leading space", text(" " + token), nil, 0, ErrMalformed},
		{"huge", text(strings.Repeat("A", MaxToken+1)), nil, 0, ErrMalformed},
		{"short signature", text(strings.SplitN(token, ".", 2)[0] + ".AAAA"), nil, 0, ErrMalformed},
		{"not JSON", text(forge(good, domain, "hello")), nil, 0, ErrMalformed},
		{"unknown member", text(forge(good, domain, strings.Replace(body(kid), `{`, `{"root":true,`, 1))), nil, 0, ErrMalformed},
		{"doubled member", text(forge(good, domain, strings.Replace(body(kid), `{`, `{"pod":"x",`, 1))), nil, 0, ErrMalformed},
		{"member in capitals", text(forge(good, domain, strings.Replace(body(kid), `"pod"`, `"POD"`, 1))), nil, 0, ErrMalformed},
		{"trailing data", text(forge(good, domain, body(kid)+"{}")), nil, 0, ErrMalformed},
		{"no UID", text(forge(good, domain, strings.Replace(body(kid), `u-1`, ``, 1))), nil, 0, ErrMalformed},
		{"unknown kind", text(forge(good, domain, strings.Replace(body(kid), `"exec"`, `"root"`, 1))), nil, 0, ErrMalformed},
		{"another key", func(t testing.TB) string { return sign(t, key(2), sample()) }, nil, 0, ErrUnknownKey},
		{"another key with the good one's name", text(forge(key(2), domain, body(kid))), nil, 0, ErrSignature},
		{"signed for another purpose", text(forge(good, "", body(kid))), nil, 0, ErrSignature},
		{"other node", grant(same), func(w *Want) { w.Node = "n2" }, 0, ErrWrongNode},
		{"grant without node", grant(func(g *Grant) { g.Node = "" }), nil, 0, ErrWrongNode},
		{"other cluster", grant(same), func(w *Want) { w.Cluster = "test" }, 0, ErrWrongTarget},
		{"other namespace", grant(same), func(w *Want) { w.Namespace = "kube-system" }, 0, ErrWrongTarget},
		{"no namespace", grant(same), func(w *Want) { w.Namespace = "" }, 0, ErrWrongTarget},
		{"other pod", grant(same), func(w *Want) { w.Pod = "web-1" }, 0, ErrWrongTarget},
		{"other container", grant(same), func(w *Want) { w.Container = "sidecar" }, 0, ErrWrongTarget},
		{"no container", grant(same), func(w *Want) { w.Container = "" }, 0, ErrWrongTarget},
		{"other UID", grant(same), func(w *Want) { w.UID = "u-2" }, 0, ErrWrongUID},
		{"other session", grant(same), func(w *Want) { w.Session = "s2" }, 0, ErrWrongSession},
		{"other kind", grant(same), func(w *Want) { w.Kind = Files }, 0, ErrWrongKind},
		{"no kind", grant(same), func(w *Want) { w.Kind = "" }, 0, ErrWrongKind},
		{"control by session", grant(control), func(w *Want) { *w = Want{Node: "n1", Cluster: "prod", Kind: Control, Session: "s1"} }, 0, nil},
		{"control without session", grant(control), func(w *Want) { *w = Want{Node: "n1", Cluster: "prod", Kind: Control} }, 0, ErrWrongSession},
		{"control of another session", grant(control), func(w *Want) { *w = Want{Node: "n1", Cluster: "prod", Kind: Control, Session: "s2"} }, 0, ErrWrongSession},
		{"forward names no container", grant(func(g *Grant) { g.Kind, g.Ports = Forward, []uint16{80} }),
			func(w *Want) { w.Kind, w.Container = Forward, "" }, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := epoch
			v := NewVerifier([]ed25519.PublicKey{public(good)}, func() time.Time { return now })
			now = epoch.Add(tt.now)
			w := wanted()
			if tt.want != nil {
				tt.want(&w)
			}
			tok := tt.token(t)
			g, err := v.Verify(tok, w)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil {
				if g.ID != "" {
					t.Fatal("a refused grant was handed out")
				}
				return
			}
			if g.Account != "alice" || g.User != "1000" || g.UID != "u-1" {
				t.Fatalf("fields lost: %+v", g)
			}
			if _, err := v.Verify(tok, w); !errors.Is(err, ErrReplayed) {
				t.Fatalf("second use: %v", err)
			}
		})
	}
}

// Every single-byte change of a token must be refused.
func TestTampered(t *testing.T) {
	v := NewVerifier([]ed25519.PublicKey{public(key(1))}, at(epoch))
	token := sign(t, key(1), sample())
	for i := range token {
		for _, c := range []byte{'A', 'b', '_', '.', '\n', 0} {
			if token[i] == c {
				continue
			}
			bad := token[:i] + string(c) + token[i+1:]
			if _, err := v.Verify(bad, wanted()); err == nil {
				t.Fatalf("byte %d changed to %q was accepted", i, c)
			}
		}
	}
	if _, err := v.Verify(token, wanted()); err != nil {
		t.Fatalf("the true token was used up by forgeries: %v", err)
	}
}

func TestRotation(t *testing.T) {
	v := NewVerifier([]ed25519.PublicKey{public(key(1)), public(key(2))}, at(epoch))
	for i, k := range []ed25519.PrivateKey{key(1), key(2)} {
		g := sample()
		g.ID = fmt.Sprint(i)
		if _, err := v.Verify(sign(t, k, g), wanted()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSignDefaultsAndRefusals(t *testing.T) {
	g := sample()
	g.ID, g.NotBefore, g.Expires = "", time.Time{}, time.Time{}
	v := NewVerifier([]ed25519.PublicKey{public(key(1))}, nil)
	a, err := v.Verify(sign(t, key(1), g), wanted())
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Verify(sign(t, key(1), g), wanted())
	if err != nil {
		t.Fatal(err)
	}
	if a.ID == b.ID || len(a.ID) < 20 {
		t.Fatalf("ids %q and %q", a.ID, b.ID)
	}
	if got := a.Expires.Sub(a.NotBefore); got != 30*time.Second {
		t.Fatalf("lives %v", got)
	}
	for name, change := range map[string]func(*Grant){
		"no session":         func(g *Grant) { g.Session = "" },
		"no account":         func(g *Grant) { g.Account = "" },
		"no UID":             func(g *Grant) { g.UID = "" },
		"no kind":            func(g *Grant) { g.Kind = "" },
		"no container":       func(g *Grant) { g.Container = "" },
		"ports for exec":     func(g *Grant) { g.Ports = []uint16{1} },
		"forward, no ports":  func(g *Grant) { g.Kind = Forward },
		"forward to port 0":  func(g *Grant) { g.Kind, g.Ports = Forward, []uint16{80, 0} },
		"a field of a novel": func(g *Grant) { g.Pod = strings.Repeat("x", 600) },
	} {
		g := sample()
		change(&g)
		if _, err := NewSigner(key(1)).Sign(g); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := NewSigner(nil).Sign(sample()); err == nil {
		t.Error("signed without a key")
	}
}

func TestAllowsPort(t *testing.T) {
	f := Grant{Kind: Forward, Ports: []uint16{80, 8080}}
	if !f.AllowsPort(80) || !f.AllowsPort(8080) || f.AllowsPort(81) || f.AllowsPort(0) {
		t.Error("ports wrong")
	}
	if (Grant{Kind: Exec, Ports: []uint16{80}}).AllowsPort(80) {
		t.Error("exec grant opens a port")
	}
}

func TestReplayBounds(t *testing.T) {
	var r replays
	r.limit = 3
	until := epoch.Add(time.Minute)
	for _, id := range []string{"a", "b", "c"} {
		if err := r.use(id, until, epoch); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.use("d", until, epoch); !errors.Is(err, ErrReplayFull) {
		t.Fatalf("full cache: %v", err)
	}
	if err := r.use("a", until, epoch); !errors.Is(err, ErrReplayed) {
		t.Fatalf("full cache forgot: %v", err)
	}
	later := until.Add(time.Millisecond)
	if err := r.use("d", later.Add(time.Minute), later); err != nil {
		t.Fatalf("expired ids still fill it: %v", err)
	}
	if len(r.ids) != 1 || len(r.queue) != 1 {
		t.Fatalf("kept %d ids, %d entries", len(r.ids), len(r.queue))
	}
	if err := r.use("a", until, epoch); !errors.Is(err, ErrReplayed) {
		t.Fatalf("clock set back revived a used grant: %v", err)
	}
}

func TestReplayRace(t *testing.T) {
	v := NewVerifier([]ed25519.PublicKey{public(key(1))}, at(epoch))
	token := sign(t, key(1), sample())
	var wins atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := v.Verify(token, wanted()); err == nil {
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d requests used one grant", wins.Load())
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	priv, pub := filepath.Join(dir, "key.pem"), filepath.Join(dir, "pub.pem")
	if err := SavePrivateKey(priv, key(1)); err != nil {
		t.Fatal(err)
	}
	if err := SavePrivateKey(priv, key(2)); !errors.Is(err, os.ErrExist) {
		t.Fatalf("overwrote a key: %v", err)
	}
	if err := SavePublicKey(pub, public(key(1))); err != nil {
		t.Fatal(err)
	}
	k, err := LoadPrivateKey(priv)
	if err != nil || !k.Equal(key(1)) {
		t.Fatalf("private key changed: %v", err)
	}
	ks, err := LoadPublicKeys(pub)
	if err != nil || len(ks) != 1 || !ks[0].Equal(public(key(1))) {
		t.Fatalf("public key changed: %v", err)
	}
	if err := os.Chmod(priv, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPrivateKey(priv); err == nil {
		t.Fatal("a key that everybody may read was taken")
	}
	if _, err := LoadPublicKeys(priv); err == nil {
		t.Fatal("a private key was taken for a public one")
	}
	if _, err := LoadPrivateKey(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("missing file: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	good := key(1)
	token := sign(f, good, sample())
	f.Add(token)
	f.Add("")
	f.Add("e30." + strings.Repeat("A", 86))
	f.Add(forge(good, "", `{"kid":"x"}`))
	f.Fuzz(func(t *testing.T, s string) {
		v := NewVerifier([]ed25519.PublicKey{public(good)}, at(epoch))
		if _, err := v.Verify(s, wanted()); (err == nil) != (s == token) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
