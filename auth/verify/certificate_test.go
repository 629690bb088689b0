package verify

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
)

// certFor is a good certificate for alice, valid from noon for an hour, to be spoilt and then signed.
func certFor(key ssh.PublicKey) *ssh.Certificate {
	return &ssh.Certificate{
		Key: key, Serial: 42, CertType: ssh.UserCert, KeyId: "alice@laptop", ValidPrincipals: []string{"ops", "alice"},
		ValidAfter: uint64(noon.Unix()), ValidBefore: uint64(noon.Unix()) + 3600,
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": "", "permit-port-forwarding": ""}},
	}
}

func TestCertificate(t *testing.T) {
	ca, stranger, key := signer(t, 8), signer(t, 7), signer(t, 1).PublicKey()
	touchless := newSecurityKey(t, true).public
	weak := rsaKey(t, 1024)
	options := func(m map[string]string) func(*ssh.Certificate) {
		return func(c *ssh.Certificate) { c.CriticalOptions = m }
	}
	tests := []struct {
		name    string
		account auth.Account
		from    netip.AddrPort
		spoil   func(*ssh.Certificate)
		by      ssh.Signer
		want    error
	}{
		{name: "good"},
		{name: "for ever", spoil: func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, ssh.CertTimeInfinity }},
		{name: "another authority", by: stranger, want: auth.ErrCertAuthority},
		{name: "signed by the key itself", by: signer(t, 1), want: auth.ErrCertAuthority},
		{name: "host certificate", spoil: func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, want: auth.ErrCertType},
		{name: "type of neither", spoil: func(c *ssh.Certificate) { c.CertType = 3 }, want: auth.ErrCertType},
		{name: "other principals", spoil: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"bob", "alice2", "ALICE", "*"} }, want: auth.ErrCertPrincipal},
		{name: "no principals", spoil: func(c *ssh.Certificate) { c.ValidPrincipals = nil }, want: auth.ErrCertPrincipal},
		{name: "an empty principal", spoil: func(c *ssh.Certificate) { c.ValidPrincipals = []string{""} }, want: auth.ErrCertPrincipal},
		{name: "for an account without principals", account: "keysonly", want: auth.ErrCertPrincipal},
		{name: "for an account that is not there", account: "nobody", want: auth.ErrUnknownAccount},
		{name: "principal that the account names", account: "robot", spoil: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"ci"} }},
		{name: "account name where it names others", account: "robot", spoil: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"robot"} }, want: auth.ErrCertPrincipal},
		{name: "not yet", spoil: func(c *ssh.Certificate) { c.ValidAfter++ }, want: auth.ErrCertValidity},
		{name: "over this second", spoil: func(c *ssh.Certificate) { c.ValidAfter -= 60; c.ValidBefore = uint64(noon.Unix()) }, want: auth.ErrCertValidity},
		{name: "backwards", spoil: func(c *ssh.Certificate) { c.ValidBefore = c.ValidAfter - 1 }, want: auth.ErrCertValidity},
		{name: "after the end of time", spoil: func(c *ssh.Certificate) { c.ValidAfter = 1 << 63 }, want: auth.ErrCertValidity},
		{name: "an end beyond time", spoil: func(c *ssh.Certificate) { c.ValidBefore = 1 << 63 }, want: auth.ErrCertValidity},
		{name: "source holds", spoil: options(map[string]string{"source-address": "192.0.2.1,10.0.0.0/8"})},
		{name: "source does not hold", from: there, spoil: options(map[string]string{"source-address": "10.0.0.0/8"}), want: auth.ErrCertSource},
		{name: "source makes no sense", spoil: options(map[string]string{"source-address": "10.0.0.0/99"}), want: auth.ErrCertSource},
		{name: "source empty", spoil: options(map[string]string{"source-address": ""}), want: auth.ErrCertSource},
		{name: "unknown critical option", spoil: options(map[string]string{"verify-required": ""}), want: auth.ErrCertOption},
		{name: "empty force-command", spoil: options(map[string]string{"force-command": " "}), want: auth.ErrCertOption},
		{name: "unknown extension", spoil: func(c *ssh.Certificate) { c.Extensions["x@example.org"] = "y" }},
		{name: "security key without touch", spoil: func(c *ssh.Certificate) { c.Key = touchless; c.Extensions["no-touch-required"] = "" }, want: auth.ErrUserPresence},
		{name: "security key with touch", spoil: func(c *ssh.Certificate) { c.Key = touchless }},
		{name: "weak key", spoil: func(c *ssh.Certificate) { c.Key = weak.PublicKey() }, want: auth.ErrWeakKey},
		{name: "no role open to the address", account: "near", from: there, want: auth.ErrSourceAddress},
	}
	account := func(name, principals string) string {
		return `{name: ` + name + `, keys: ['` + line(signer(t, 3).PublicKey()) + `'], principals: [` + principals + `], roles: [wide]}`
	}
	v := verifierOf(t, noon, []ssh.PublicKey{ca.PublicKey()}, account("alice", "alice"), account("robot", "ci"), account("keysonly", ""),
		strings.Replace(account("near", "alice"), "wide", "near", 1))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := certFor(key)
			if tt.spoil != nil {
				tt.spoil(c)
			}
			by, name, from := tt.by, tt.account, tt.from
			if by == nil {
				by = ca
			}
			if name == "" {
				name = "alice"
			}
			if !from.IsValid() {
				from = here
			}
			if err := c.SignCert(rand.Reader, by); err != nil {
				t.Fatal(err)
			}
			// As it would arrive: through the wire form.
			received, err := ssh.ParsePublicKey(c.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			p, err := v.PublicKey(name, received, from)
			if !errors.Is(err, tt.want) || (p == nil) != (tt.want != nil) {
				t.Fatalf("got %v, %v", p, err)
			}
		})
	}
}

func TestCertificatePrincipal(t *testing.T) {
	ca, key := signer(t, 8), signer(t, 1).PublicKey()
	v := verifierOf(t, noon, []ssh.PublicKey{ca.PublicKey()}, `{name: alice, roles: [wide]}`)
	c := certFor(key)
	c.CriticalOptions = map[string]string{"force-command": "uptime -p"}
	c.Extensions = map[string]string{"permit-pty": ""}
	c.KeyId = strings.Repeat("é", 200)
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	p, err := v.PublicKey("alice", c, here)
	if err != nil {
		t.Fatal(err)
	}
	want := auth.Principal{Account: "alice", Method: auth.MethodCertificate, Fingerprint: fingerprint(key), CertID: strings.Repeat("é", 128),
		CertSerial: 42, Authority: fingerprint(ca.PublicKey()), Names: c.ValidPrincipals, ForceCommand: "uptime -p", NoForward: true, Source: here}
	if !reflect.DeepEqual(*p, want) {
		t.Errorf("principal %+v", *p)
	}
	// The key alone, without its certificate, is nobody's.
	if _, err := v.PublicKey("alice", key, here); !errors.Is(err, auth.ErrUnknownKey) {
		t.Errorf("bare key: %v", err)
	}
}

// What was signed must be what is there: each field changed after signing is refused.
func TestCertificateChangedAfterSigning(t *testing.T) {
	ca, key := signer(t, 8), signer(t, 1).PublicKey()
	v := verifierOf(t, noon, []ssh.PublicKey{ca.PublicKey()}, `{name: alice, roles: [wide]}`)
	for name, change := range map[string]func(*ssh.Certificate){
		"principals": func(c *ssh.Certificate) { c.ValidPrincipals = []string{"alice"} },
		"key":        func(c *ssh.Certificate) { c.Key = signer(t, 2).PublicKey() },
		"validity":   func(c *ssh.Certificate) { c.ValidBefore++ },
		"options":    func(c *ssh.Certificate) { c.CriticalOptions = nil },
		"extensions": func(c *ssh.Certificate) { c.Extensions["permit-pty"] = "x" },
		"serial":     func(c *ssh.Certificate) { c.Serial++ },
		"signature":  func(c *ssh.Certificate) { c.Signature.Blob[0] ^= 1 },
	} {
		c := certFor(key)
		c.ValidPrincipals = []string{"alice", "x"}
		c.CriticalOptions = map[string]string{"force-command": "true"}
		if err := c.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		change(c)
		if p, err := v.PublicKey("alice", c, here); !errors.Is(err, auth.ErrCertAuthority) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := certFor(key)
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	c.Signature = nil
	if _, err := v.PublicKey("alice", c, here); err == nil {
		t.Error("no signature at all")
	}
}

func TestCertificateSignedWithSHA1(t *testing.T) {
	ca, key := rsaKey(t, 2048), signer(t, 1).PublicKey()
	v := verifierOf(t, noon, []ssh.PublicKey{ca.PublicKey()}, `{name: alice, roles: [wide]}`)
	for algorithm, want := range map[string]error{ssh.KeyAlgoRSA: auth.ErrWeakKey, ssh.KeyAlgoRSASHA256: nil, ssh.KeyAlgoRSASHA512: nil} {
		c := certFor(key)
		c.Nonce, c.SignatureKey = []byte("nonce"), ca.PublicKey()
		wire := c.Marshal()
		signed := wire[:len(wire)-4] // all but the empty signature
		var err error
		if c.Signature, err = ca.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, signed, algorithm); err != nil {
			t.Fatal(err)
		}
		if _, err := v.PublicKey("alice", c, here); !errors.Is(err, want) {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}
