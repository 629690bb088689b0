package grant

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// domain is put before what is signed, so that a signature made for anything else never reads as a grant.
const domain = "podbastion grant v1\x00"

var encoding = base64.RawURLEncoding.Strict()

// payload is a grant on the wire.
type payload struct {
	Key       string   `json:"kid"`
	ID        string   `json:"id"`
	Session   string   `json:"session"`
	Account   string   `json:"account"`
	Cluster   string   `json:"cluster"`
	Namespace string   `json:"namespace"`
	Pod       string   `json:"pod"`
	UID       string   `json:"uid"`
	Container string   `json:"container"`
	Node      string   `json:"node"`
	Kind      Kind     `json:"kind"`
	User      string   `json:"user"`
	Ports     []uint16 `json:"ports,omitempty"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
}

func (p payload) grant() Grant {
	return Grant{
		ID: p.ID, Session: p.Session, Account: p.Account, Cluster: p.Cluster, Namespace: p.Namespace, Pod: p.Pod,
		UID: p.UID, Container: p.Container, Node: p.Node, Kind: p.Kind, User: p.User, Ports: p.Ports,
		NotBefore: time.UnixMilli(p.NotBefore).UTC(), Expires: time.UnixMilli(p.Expires).UTC(),
	}
}

// KeyID names a public key inside tokens and logs.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return encoding.EncodeToString(sum[:9])
}

// Signer makes tokens. It is safe for concurrent use.
type Signer struct {
	key ed25519.PrivateKey
	kid string
}

// NewSigner returns a signer with the key; Sign reports a key of the wrong size.
func NewSigner(key ed25519.PrivateKey) *Signer {
	s := &Signer{key: key}
	if len(key) == ed25519.PrivateKeySize {
		s.kid = KeyID(key.Public().(ed25519.PublicKey))
	}
	return s
}

// Sign makes a token of the grant. An empty ID is drawn at random, a zero NotBefore is now and a zero Expires is TTL
// after that.
func (s *Signer) Sign(g Grant) (string, error) {
	if s.kid == "" {
		return "", fmt.Errorf("grant: signing key has %d bytes, want %d", len(s.key), ed25519.PrivateKeySize)
	}
	if g.ID == "" {
		g.ID = rand.Text()
	}
	if g.NotBefore.IsZero() {
		g.NotBefore = time.Now()
	}
	if g.Expires.IsZero() {
		g.Expires = g.NotBefore.Add(TTL)
	}
	if err := g.check(); err != nil {
		return "", fmt.Errorf("grant: cannot sign: %w", err)
	}
	body, err := json.Marshal(payload{
		Key: s.kid, ID: g.ID, Session: g.Session, Account: g.Account, Cluster: g.Cluster, Namespace: g.Namespace,
		Pod: g.Pod, UID: g.UID, Container: g.Container, Node: g.Node, Kind: g.Kind, User: g.User, Ports: g.Ports,
		NotBefore: g.NotBefore.UnixMilli(), Expires: g.Expires.UnixMilli(),
	})
	if err != nil {
		return "", fmt.Errorf("grant: cannot encode: %w", err)
	}
	text := encoding.EncodeToString(body)
	token := text + "." + encoding.EncodeToString(ed25519.Sign(s.key, []byte(domain+text)))
	if len(token) > MaxToken {
		return "", fmt.Errorf("grant: token would have %d bytes, limit %d", len(token), MaxToken)
	}
	return token, nil
}

// Verifier checks tokens and remembers those that were used. It is safe for concurrent use.
type Verifier struct {
	keys  map[string]ed25519.PublicKey
	clock func() time.Time
	start time.Time

	mu   sync.Mutex
	seen replays // guarded by mu
}

// NewVerifier returns a verifier that trusts the keys (several while keys are being rotated). A nil clock is time.Now.
//
// Grants that were made before the verifier are refused as replayed: a restarted agent cannot know whether its
// predecessor saw them.
func NewVerifier(keys []ed25519.PublicKey, clock func() time.Time) *Verifier {
	if clock == nil {
		clock = time.Now
	}
	v := &Verifier{
		keys:  make(map[string]ed25519.PublicKey, len(keys)),
		clock: clock,
		start: clock().Truncate(time.Millisecond),
		seen:  replays{limit: maxReplays},
	}
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize {
			v.keys[KeyID(k)] = k
		}
	}
	return v
}

// Verify checks the token against what the request asks for and uses it up. The error wraps one of the sentinels.
// A token that fails for any reason is not used up.
func (v *Verifier) Verify(token string, want Want) (Grant, error) {
	g, err := v.open(token)
	if err != nil {
		return Grant{}, err
	}
	now := v.clock()
	switch life := g.Expires.Sub(g.NotBefore); {
	case life <= 0 || life > MaxTTL:
		return Grant{}, ErrLifetime
	case now.Before(g.NotBefore.Add(-Skew)):
		return Grant{}, ErrNotYetValid
	case now.After(g.Expires.Add(Skew)):
		return Grant{}, ErrExpired
	}
	if err := want.compare(g); err != nil {
		return Grant{}, err
	}
	if g.NotBefore.Before(v.start) {
		return Grant{}, ErrReplayed
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.seen.use(g.ID, g.Expires.Add(Skew), now); err != nil {
		return Grant{}, err
	}
	return g, nil
}

// open decodes the token and checks its signature, and nothing that depends on time or target.
func (v *Verifier) open(token string) (Grant, error) {
	if len(token) > MaxToken {
		return Grant{}, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxToken)
	}
	text, sigText, ok := strings.Cut(token, ".")
	if !ok {
		return Grant{}, fmt.Errorf("%w: not two parts", ErrMalformed)
	}
	body, err := decode(text)
	if err != nil {
		return Grant{}, err
	}
	sig, err := decode(sigText)
	if err != nil {
		return Grant{}, err
	}
	if len(sig) != ed25519.SignatureSize {
		return Grant{}, fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(sig))
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return Grant{}, fmt.Errorf("%w: payload", ErrMalformed)
	}
	// One grant has one spelling: whatever does not encode back to the same bytes has unknown, doubled or
	// differently written members.
	if again, err := json.Marshal(p); err != nil || !bytes.Equal(again, body) {
		return Grant{}, fmt.Errorf("%w: payload is not canonical", ErrMalformed)
	}
	key, ok := v.keys[p.Key]
	if !ok {
		return Grant{}, ErrUnknownKey
	}
	if !ed25519.Verify(key, []byte(domain+text), sig) {
		return Grant{}, ErrSignature
	}
	g := p.grant()
	if err := g.check(); err != nil {
		return Grant{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return g, nil
}

// decode is strict base64url. The library skips line breaks, so they are refused here.
func decode(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%w: line break", ErrMalformed)
	}
	b, err := encoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: base64", ErrMalformed)
	}
	return b, nil
}
