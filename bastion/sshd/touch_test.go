package sshd_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// securityKey is an ed25519 security key in software (PROTOCOL.u2f of OpenSSH), which says by flags whether it was touched.
type securityKey struct {
	public ssh.PublicKey
	key    ed25519.PrivateKey
	flags  byte
}

func newSecurityKey(t *testing.T, flags byte) *securityKey {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wire := ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, public, "ssh:"})
	parsed, err := ssh.ParsePublicKey(wire)
	if err != nil {
		t.Fatal(err)
	}
	return &securityKey{public: parsed, key: key, flags: flags}
}

func (k *securityKey) PublicKey() ssh.PublicKey { return k.public }

func (k *securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	application, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	const counter = "\x00\x00\x00\x07"
	signed := append(append(append(application[:], k.flags), counter...), message[:]...)
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.key, signed), Rest: append([]byte{k.flags}, counter...)}, nil
}

func TestSecurityKeyTouch(t *testing.T) {
	for name, test := range map[string]struct {
		flags byte
		good  bool
	}{"touched": {1, true}, "untouched": {0, false}, "verified but untouched": {4, false}} {
		k := newSecurityKey(t, test.flags)
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.public)))
		b := start(t, aliceWith(line)+rolesHead, nil)
		c, err := b.dial("alice", ssh.PublicKeys(k))
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the protocol has no words for is told by the session.
func TestRefusedForwardings(t *testing.T) {
	_, c := alice(t, nil)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x11-req", "auth-agent-req@openssh.com"} {
		if ok, err := s.SendRequest(name, true, nil); ok || err != nil {
			t.Errorf("%s: %v %v", name, ok, err)
		}
	}
	var errOut buffer
	s.Stderr = &errOut
	if err := s.Run("true"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"X11 forwarding is refused", "agent forwarding is refused"} {
		if !strings.Contains(errOut.String(), want) {
			t.Errorf("no %q in %q", want, errOut.String())
		}
	}
	if _, _, err := c.OpenChannel("direct-streamlocal@openssh.com", nil); err == nil || !strings.Contains(err.Error(), "only its ports") {
		t.Errorf("a socket: %v", err)
	}
}
