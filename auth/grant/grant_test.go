package grant

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func sample() Grant {
	return Grant{Session: "s1", Account: "alice", Cluster: "c", Namespace: "shop", Pod: "web", UID: "u1", Container: "app", Node: "n1", Kind: Exec}
}

func want() Want {
	return Want{Node: "n1", Namespace: "shop", Pod: "web", Container: "app", Kind: Exec}
}

func pair(t testing.TB) (*Signer, *Verifier, *time.Time) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func() time.Time { return now }
	s := NewSigner(priv)
	s.now = clock
	return s, NewVerifier([]ed25519.PublicKey{pub}, clock), &now
}

func TestVerify(t *testing.T) {
	foreign, _, _ := pair(t)
	tests := []struct {
		name string
		edit func(*Grant)
		want func(*Want)
		age  time.Duration
		by   *Signer
		err  error
	}{
		{name: "good"},
		{name: "other node", want: func(w *Want) { w.Node = "n2" }, err: ErrNode},
		{name: "other namespace", want: func(w *Want) { w.Namespace = "x" }, err: ErrTarget},
		{name: "other pod", want: func(w *Want) { w.Pod = "x" }, err: ErrTarget},
		{name: "other container", want: func(w *Want) { w.Container = "x" }, err: ErrTarget},
		{name: "other kind", want: func(w *Want) { w.Kind = Files }, err: ErrKind},
		{name: "other session", want: func(w *Want) { w.Session = "s2" }, err: ErrSession},
		{name: "port not in it", edit: func(g *Grant) { g.Ports = []uint16{80} }, want: func(w *Want) { w.Ports = []uint16{81} }, err: ErrPort},
		{name: "port in it", edit: func(g *Grant) { g.Ports = []uint16{80, 81} }, want: func(w *Want) { w.Ports = []uint16{81} }},
		{name: "expired", age: Lifetime + skew + time.Second, err: ErrExpired},
		{name: "from the future", age: -skew - time.Second, err: ErrNotYetValid},
		{name: "too long a life", edit: func(g *Grant) {
			g.NotBefore = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			g.Expires = g.NotBefore.Add(time.Hour)
		}, err: ErrLifetime},
		{name: "signed by a stranger", by: foreign, err: ErrSignature},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s, v, now := pair(t)
			if tc.by != nil {
				s = tc.by
			}
			g, w := sample(), want()
			if tc.edit != nil {
				tc.edit(&g)
			}
			if tc.want != nil {
				tc.want(&w)
			}
			token, err := s.Sign(g)
			if err != nil {
				t.Fatal(err)
			}
			*now = now.Add(tc.age)
			got, err := v.Verify(token, w)
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if tc.err == nil {
				if got.Account != "alice" || got.UID != "u1" || got.ID == "" {
					t.Errorf("got %+v", got)
				}
				if _, err := v.Verify(token, w); !errors.Is(err, ErrReplayed) {
					t.Errorf("second use: %v", err)
				}
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	s, v, _ := pair(t)
	enc := base64.RawURLEncoding
	signRaw := func(payload string) string {
		return enc.EncodeToString([]byte(payload)) + "." + enc.EncodeToString(ed25519.Sign(s.key, []byte(domain+payload)))
	}
	for _, token := range []string{
		"", ".", "a.b", "!!.!!", strings.Repeat("A", maxToken+1),
		signRaw(`{}`), signRaw(`{"id":"x","admin":true}`), signRaw(`[]`), signRaw(`{} {}`),
	} {
		if _, err := v.Verify(token, want()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.40q: got %v", token, err)
		}
	}
	token, err := s.Sign(sample())
	if err != nil {
		t.Fatal(err)
	}
	payload, sig, _ := strings.Cut(token, ".")
	raw, err := enc.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	forged := enc.EncodeToString([]byte(strings.Replace(string(raw), "alice", "admin", 1))) + "." + sig
	if _, err := v.Verify(forged, want()); !errors.Is(err, ErrSignature) {
		t.Errorf("forged: got %v", err)
	}
}

func TestReplayMemoryIsBoundedAndFailsClosed(t *testing.T) {
	_, v, now := pair(t)
	for i := range maxReplay {
		if err := v.useOnce(Grant{ID: fmt.Sprint(i), Expires: now.Add(Lifetime)}, *now); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.useOnce(Grant{ID: "one more", Expires: now.Add(Lifetime)}, *now); !errors.Is(err, ErrReplayFull) {
		t.Fatalf("got %v", err)
	}
	later := now.Add(Lifetime + skew + time.Second)
	if err := v.useOnce(Grant{ID: "later", Expires: later.Add(Lifetime)}, later); err != nil {
		t.Fatalf("after the old ones expired: %v", err)
	}
}

func TestKeysRoundTrip(t *testing.T) {
	s, _, _ := pair(t)
	priv, pub, err := EncodeKeys(s.key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParsePrivateKey(priv)
	if err != nil || !back.Equal(s.key) {
		t.Errorf("private: %v", err)
	}
	keys, err := ParsePublicKeys(append(pub, pub...))
	if err != nil || len(keys) != 2 || !keys[1].Equal(s.key.Public()) {
		t.Errorf("public: %v", err)
	}
	if _, err := ParsePublicKeys(priv); err == nil {
		t.Error("a private key was taken for a public one")
	}
}

func FuzzVerify(f *testing.F) {
	s, v, _ := pair(f)
	token, err := s.Sign(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token + "x")
	f.Add("e30.")
	f.Fuzz(func(t *testing.T, in string) {
		if _, err := v.Verify(in, want()); err == nil && in != token {
			t.Errorf("accepted %q", in)
		}
	})
}
