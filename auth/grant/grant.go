// Package grant signs and verifies grants: short-lived permissions that the bastion hands an agent for one piece of
// work. A token is base64url(JSON) "." base64url(ed25519 signature); the signature covers a fixed prefix, so that it
// can never stand for anything else that the same key might sign. The package knows no transport and no pod.
package grant

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Kind is the kind of work that a grant permits.
type Kind string

// The kinds of work that an agent knows.
const (
	Exec    Kind = "exec"
	Forward Kind = "forward"
	Files   Kind = "files"
	Control Kind = "control"
	Facts   Kind = "facts"
)

// Bounds of what is signed and accepted.
const (
	Lifetime  = 30 * time.Second // how long a grant lives unless told otherwise
	maxLife   = 5 * time.Minute  // no verifier accepts a longer one, whoever signed it
	skew      = 30 * time.Second // how far the two clocks may be apart
	maxToken  = 8 << 10
	maxReplay = 1 << 16 // grants remembered until they expire
)

const domain = "podbastion grant v1\x00"

// Grant is the permission. Every field but User and Ports is required.
type Grant struct {
	ID        string    `json:"id"`
	Session   string    `json:"session"`
	Account   string    `json:"account"`
	Cluster   string    `json:"cluster"`
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	UID       string    `json:"uid"`
	Container string    `json:"container"`
	Node      string    `json:"node"`
	Kind      Kind      `json:"kind"`
	User      string    `json:"user,omitempty"`  // whom to run as in the container; empty: the container's own
	Ports     []uint16  `json:"ports,omitempty"` // forward only
	NotBefore time.Time `json:"notBefore"`
	Expires   time.Time `json:"expires"`
}

// One sentinel a reason to refuse.
var (
	ErrMalformed   = errors.New("grant: malformed")
	ErrSignature   = errors.New("grant: not signed by a trusted key")
	ErrExpired     = errors.New("grant: expired")
	ErrNotYetValid = errors.New("grant: not valid yet")
	ErrLifetime    = errors.New("grant: lives longer than is accepted")
	ErrReplayed    = errors.New("grant: used before")
	ErrReplayFull  = errors.New("grant: too many unexpired grants to tell a replay")
	ErrNode        = errors.New("grant: made for another node")
	ErrTarget      = errors.New("grant: made for another target")
	ErrUID         = errors.New("grant: made for another pod of that name (its UID differs)")
	ErrKind        = errors.New("grant: made for another kind of work")
	ErrSession     = errors.New("grant: made for another session")
	ErrPort        = errors.New("grant: does not permit that port")
)

// Signer makes tokens. It is safe for concurrent use.
type Signer struct {
	key ed25519.PrivateKey
	now func() time.Time
}

// NewSigner signs with key.
func NewSigner(key ed25519.PrivateKey) *Signer { return &Signer{key: key, now: time.Now} }

// Sign gives g an id and, where it has none, a validity from now for Lifetime.
func (s *Signer) Sign(g Grant) (string, error) {
	g.ID = rand.Text()
	now := s.now().UTC()
	if g.NotBefore.IsZero() {
		g.NotBefore = now
	}
	if g.Expires.IsZero() {
		g.Expires = g.NotBefore.Add(Lifetime)
	}
	if err := g.complete(); err != nil {
		return "", err
	}
	payload, err := json.Marshal(g)
	if err != nil {
		return "", fmt.Errorf("grant: %w", err)
	}
	sig := ed25519.Sign(s.key, append([]byte(domain), payload...))
	enc := base64.RawURLEncoding
	token := enc.EncodeToString(payload) + "." + enc.EncodeToString(sig)
	if len(token) > maxToken {
		return "", fmt.Errorf("%w: token of %d bytes", ErrMalformed, len(token))
	}
	return token, nil
}

func (g Grant) complete() error {
	for name, v := range map[string]string{
		"id": g.ID, "session": g.Session, "account": g.Account, "cluster": g.Cluster, "namespace": g.Namespace, "pod": g.Pod,
		"uid": g.UID, "container": g.Container, "node": g.Node, "kind": string(g.Kind),
	} {
		if v == "" {
			return fmt.Errorf("%w: no %s", ErrMalformed, name)
		}
	}
	return nil
}

// Want is what a request is about. Empty fields are not compared; Kind and Node always are.
type Want struct {
	Node      string
	Namespace string
	Pod       string
	Container string
	Session   string
	Kind      Kind
	Ports     []uint16
}

// Verifier checks tokens and remembers the ones that it accepted. It is safe for concurrent use.
type Verifier struct {
	now func() time.Time

	mu    sync.Mutex // guards keys, seen and next sweep
	keys  []ed25519.PublicKey
	seen  map[string]time.Time // id to expiry
	swept time.Time
}

// NewVerifier trusts any of keys. now is time.Now unless a test says otherwise.
func NewVerifier(keys []ed25519.PublicKey, now func() time.Time) *Verifier {
	return &Verifier{keys: keys, now: now, seen: map[string]time.Time{}}
}

// SetKeys replaces the trusted keys.
func (v *Verifier) SetKeys(keys []ed25519.PublicKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys = keys
}

// Verify accepts a token once. The error wraps one of the sentinels; where the token was well signed the grant comes
// with it, for the log.
func (v *Verifier) Verify(token string, want Want) (Grant, error) {
	payload, sig, err := split(token)
	if err != nil {
		return Grant{}, err
	}
	v.mu.Lock()
	keys := v.keys
	v.mu.Unlock()
	if !signedByOne(keys, payload, sig) {
		return Grant{}, ErrSignature
	}
	g, err := decode(payload)
	if err != nil {
		return Grant{}, err
	}
	if err := g.matches(want); err != nil {
		return g, err
	}
	now := v.now()
	switch {
	case g.Expires.Sub(g.NotBefore) > maxLife:
		return g, ErrLifetime
	case now.Before(g.NotBefore.Add(-skew)):
		return g, ErrNotYetValid
	case now.After(g.Expires.Add(skew)):
		return g, ErrExpired
	}
	return g, v.useOnce(g, now)
}

func split(token string) (payload, sig []byte, err error) {
	if len(token) > maxToken {
		return nil, nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, maxToken)
	}
	p, s, ok := strings.Cut(token, ".")
	if !ok {
		return nil, nil, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	enc := base64.RawURLEncoding.Strict()
	if payload, err = enc.DecodeString(p); err != nil {
		return nil, nil, fmt.Errorf("%w: payload is no base64url", ErrMalformed)
	}
	if sig, err = enc.DecodeString(s); err != nil || len(sig) != ed25519.SignatureSize {
		return nil, nil, fmt.Errorf("%w: no ed25519 signature", ErrMalformed)
	}
	return payload, sig, nil
}

func signedByOne(keys []ed25519.PublicKey, payload, sig []byte) bool {
	msg := append([]byte(domain), payload...)
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize && ed25519.Verify(k, msg, sig) {
			return true
		}
	}
	return false
}

func decode(payload []byte) (Grant, error) {
	var g Grant
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&g); err != nil {
		return Grant{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Grant{}, fmt.Errorf("%w: more than one value", ErrMalformed)
	}
	return g, g.complete()
}

func (g Grant) matches(w Want) error {
	differs := func(have, want string) bool { return want != "" && have != want }
	switch {
	case g.Kind != w.Kind:
		return ErrKind
	case g.Node != w.Node:
		return ErrNode
	case differs(g.Namespace, w.Namespace), differs(g.Pod, w.Pod), differs(g.Container, w.Container):
		return ErrTarget
	case differs(g.Session, w.Session):
		return ErrSession
	}
	for _, p := range w.Ports {
		if !g.Permits(p) {
			return ErrPort
		}
	}
	return nil
}

// Permits reports whether the grant is for that port.
func (g Grant) Permits(port uint16) bool {
	for _, p := range g.Ports {
		if p == port {
			return true
		}
	}
	return false
}

func (v *Verifier) useOnce(g Grant, now time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, used := v.seen[g.ID]; used {
		return ErrReplayed
	}
	if len(v.seen) >= maxReplay || now.Sub(v.swept) > time.Minute {
		for id, expires := range v.seen {
			if now.After(expires.Add(skew)) {
				delete(v.seen, id)
			}
		}
		v.swept = now
	}
	if len(v.seen) >= maxReplay {
		return ErrReplayFull
	}
	v.seen[g.ID] = g.Expires
	return nil
}
