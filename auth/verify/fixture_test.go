package verify

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
)

var (
	noon  = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	here  = netip.MustParseAddrPort("10.0.0.7:50022")
	there = netip.MustParseAddrPort("192.0.2.9:50022")
)

// signer makes the same ed25519 key for the same number.
func signer(t testing.TB, n byte) ssh.Signer {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func line(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// fingerprint as OpenSSH prints it.
func fingerprint(key ssh.PublicKey) string {
	sum := sha256.Sum256(key.Marshal())
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

const (
	// Made by the reference implementation: printf 'correct horse' | argon2 saltsaltsaltsalt -id -t 1 -k 19456 -p 1 -l 16 -e
	horseHash = "$argon2id$v=19$m=19456,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$s+1NCrACzX0xl+OYf5kw/w"
	cheapHash = "$argon2id$v=19$m=19456,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"
	rfcSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // "12345678901234567890", RFC 6238, appendix B
)

// verifierOf loads a document with those accounts (YAML flow mappings), authorities and two roles: wide, and near for
// 10.0.0.0/8 only.
func verifierOf(t testing.TB, now time.Time, authorities []ssh.PublicKey, accounts ...string) *Verifier {
	t.Helper()
	var b strings.Builder
	if len(authorities) > 0 {
		b.WriteString("authorities:\n")
		for _, a := range authorities {
			fmt.Fprintf(&b, "  - %s\n", line(a))
		}
	}
	b.WriteString("roles:\n  wide: {targets: [{namespaces: [a]}]}\n" +
		"  near: {targets: [{namespaces: [a]}], limits: {sourceAddresses: [10.0.0.0/8]}}\naccounts:\n")
	for _, a := range accounts {
		fmt.Fprintf(&b, "  - %s\n", a)
	}
	doc, err := auth.Load("roles.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return New(auth.Fixed(doc), Options{Clock: func() time.Time { return now }})
}

// rsaKey makes an RSA key of the size.
func rsaKey(t testing.TB, bits int) ssh.Signer {
	t.Helper()
	if bits < 2048 { // Go refuses to make such keys unless asked like this
		t.Setenv("GODEBUG", "rsa1024min=0")
	}
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// securityKey is a FIDO key in software. It proves touch only when told to.
type securityKey struct {
	private ed25519.PrivateKey
	public  ssh.PublicKey
	touched bool
}

func newSecurityKey(t testing.TB, touched bool) *securityKey {
	t.Helper()
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	blob := ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, private.Public().(ed25519.PublicKey), "ssh:"})
	public, err := ssh.ParsePublicKey(blob)
	if err != nil {
		t.Fatal(err)
	}
	return &securityKey{private: private, public: public, touched: touched}
}

func (k *securityKey) PublicKey() ssh.PublicKey { return k.public }

// Sign as OpenSSH's PROTOCOL.u2f lays it out.
func (k *securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	flags := byte(0)
	if k.touched {
		flags = 1
	}
	application, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	signed := append(application[:], flags)
	signed = binary.BigEndian.AppendUint32(signed, 7)
	signed = append(signed, message[:]...)
	return &ssh.Signature{
		Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.private, signed),
		Rest: binary.BigEndian.AppendUint32([]byte{flags}, 7),
	}, nil
}
