package sshd_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/throttle"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
)

func rejected(reason error) func(audit.Event) bool {
	return func(e audit.Event) bool { return e.Type == audit.AuthReject && e.Reason == reason.Error() }
}

// A client that offers another account's key first, and proves its own, is who it proved to be.
func TestOfferedKeyIsNobody(t *testing.T) {
	alice, aliceLine := newKey(t)
	bob, bobLine := newKey(t)
	b := start(t, `accounts:
  - {name: alice, keys: ["`+aliceLine+`"], roles: [dev]}
  - {name: bob, keys: ["`+bobLine+`"], roles: [dev]}
`+rolesHead, nil)
	c := b.login(t, "bob", ssh.PublicKeys(alice, bob))
	out, _, _ := run(t, c, "whoami", "")
	if !strings.Contains(out, "account: bob\n") || !strings.Contains(out, ssh.FingerprintSHA256(bob.PublicKey())) {
		t.Fatalf("whoami says %q", out)
	}
	e := b.events.wait(t, "the offered key is refused", rejected(auth.ErrUnknownKey))
	if e.Fingerprint != ssh.FingerprintSHA256(alice.PublicKey()) {
		t.Errorf("refused %s, want alice's key", e.Fingerprint)
	}
	accept := b.events.wait(t, "login", func(e audit.Event) bool { return e.Type == audit.AuthAccept })
	if accept.Account != "bob" || accept.Method != "publickey" {
		t.Errorf("accepted %+v", accept)
	}
	if _, err := b.dial("alice", ssh.PublicKeys(bob)); err == nil {
		t.Error("bob's key logged in as alice")
	}
	if _, err := b.dial("alice"); err == nil {
		t.Error("nobody logged in as alice")
	}
}

func TestUnprovenKey(t *testing.T) {
	alice, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	forged := forgedSigner{alice.PublicKey()}
	if _, err := b.dial("alice", ssh.PublicKeys(forged)); err == nil {
		t.Fatal("a key that was not proved logged in")
	}
}

// forgedSigner knows a public key only.
type forgedSigner struct{ key ssh.PublicKey }

func (f forgedSigner) PublicKey() ssh.PublicKey { return f.key }
func (f forgedSigner) Sign(io.Reader, []byte) (*ssh.Signature, error) {
	return &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: bytes.Repeat([]byte{1}, 64)}, nil
}

func passwordRoles(t *testing.T, extra string) string {
	t.Helper()
	salt := []byte("a salt of a test") // and as little work as the document takes: many logins follow
	key := base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte("correct horse"), salt, 1, 19456, 1, 32))
	hash := "$argon2id$v=19$m=19456,t=1,p=1$" + base64.RawStdEncoding.EncodeToString(salt) + "$" + key
	return `accounts:
  - {name: pat, password: "` + hash + `", roles: [dev]` + extra + `}
` + rolesHead
}

func TestPassword(t *testing.T) {
	b := start(t, passwordRoles(t, ""), nil)
	typed := ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
		if len(questions) != 1 || questions[0] != "Password: " || echos[0] {
			t.Errorf("asked %q with echo %v", questions, echos)
		}
		return []string{"correct horse"}, nil
	})
	for name, m := range map[string]ssh.AuthMethod{"password": ssh.Password("correct horse"), "typed": typed} {
		c, err := b.dial("pat+web-0", m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if out, _, exit := run(t, c, "echo in", ""); out != "in\n" || exit != 0 {
			t.Errorf("%s: %q %d", name, out, exit)
		}
		_ = c.Close()
	}
	if _, err := b.dial("pat", ssh.Password("wrong")); err == nil {
		t.Fatal("a wrong password logged in")
	}
	b.events.wait(t, "true reason", rejected(auth.ErrWrongPassword))
	if _, err := b.dial("nobody", ssh.Password("correct horse")); err == nil {
		t.Fatal("an unknown account logged in")
	}
	b.events.wait(t, "true reason", rejected(auth.ErrUnknownAccount))
}

func TestSecondFactor(t *testing.T) {
	const secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	key, line := newKey(t)
	b := start(t, passwordRoles(t, `, keys: ["`+line+`"], totp: `+secret), nil)
	ask := func(code string) ssh.AuthMethod {
		return ssh.KeyboardInteractive(func(_, _ string, q []string, _ []bool) ([]string, error) {
			if len(q) == 1 && q[0] == "One-time code: " {
				return []string{code}, nil
			}
			return []string{"not that"}, nil
		})
	}
	if _, err := b.dial("pat", ssh.PublicKeys(key)); err == nil {
		t.Fatal("a key alone logged in")
	}
	if _, err := b.dial("pat", ssh.PublicKeys(key), ask("000000")); err == nil {
		t.Fatal("a wrong code logged in") // one in a few hundred thousand: the code may be right
	}
	b.events.wait(t, "wrong code", rejected(auth.ErrWrongCode))
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.dial("pat", ask(code)); err == nil {
		t.Fatal("a code alone logged in")
	}
	c := b.login(t, "pat", ssh.PublicKeys(key), ask(code))
	out, _, _ := run(t, c, "whoami", "")
	if !strings.Contains(out, "and a one-time code") || !strings.Contains(out, ssh.FingerprintSHA256(key.PublicKey())) {
		t.Errorf("whoami says %q", out)
	}
	if _, err := b.dial("pat", ssh.Password("correct horse"), ask(code)); err == nil {
		t.Error("a code was good twice")
	}
}

func TestCertificate(t *testing.T) {
	ca, caLine := newKey(t)
	key, _ := newKey(t)
	b := start(t, "authorities: ['"+caLine+"']\naccounts: [{name: alice, principals: [al], roles: [dev]}]\n"+rolesHead, nil)
	issue := func(change func(*ssh.Certificate)) ssh.Signer {
		cert := &ssh.Certificate{
			Key: key.PublicKey(), CertType: ssh.UserCert, KeyId: "id-7", Serial: 7, ValidPrincipals: []string{"al"},
			ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
			Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}},
		}
		change(cert)
		if err := cert.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		s, err := ssh.NewCertSigner(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c := b.login(t, "alice+web-0", ssh.PublicKeys(issue(func(*ssh.Certificate) {})))
	if out, _, _ := run(t, c, "echo in", ""); out != "in\n" {
		t.Errorf("got %q", out)
	}
	e := b.events.wait(t, "login", func(e audit.Event) bool { return e.Type == audit.AuthAccept })
	if e.CertID != "id-7" || e.CertSerial != 7 || e.Method != "certificate" {
		t.Errorf("accepted %+v", e)
	}
	forced := b.login(t, "alice+web-0", ssh.PublicKeys(issue(func(c *ssh.Certificate) {
		c.CriticalOptions = map[string]string{"force-command": `echo "forced: $SSH_ORIGINAL_COMMAND"`}
	})))
	if out, _, _ := run(t, forced, "rm -rf /", ""); out != "forced: rm -rf /\n" {
		t.Errorf("got %q", out)
	}
	for name, bad := range map[string]struct {
		reason error
		change func(*ssh.Certificate)
	}{
		"other principal": {auth.ErrCertPrincipal, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"bob"} }},
		"expired":         {auth.ErrCertValidity, func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(-time.Second).Unix()) }},
		"elsewhere":       {auth.ErrCertSource, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "192.0.2.1"} }},
	} {
		if _, err := b.dial("alice", ssh.PublicKeys(issue(bad.change))); err == nil {
			t.Errorf("%s: logged in", name)
			continue
		}
		b.events.wait(t, name, rejected(bad.reason))
	}
	if _, _, err := noPTY(t, b, issue(func(c *ssh.Certificate) { c.Extensions = nil })); err == nil {
		t.Error("a certificate without permit-pty got a terminal")
	}
}

func noPTY(t *testing.T, b *bed, s ssh.Signer) (string, string, error) {
	t.Helper()
	ses, err := b.login(t, "alice+web-0", ssh.PublicKeys(s)).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	return "", "", ses.RequestPty("xterm", 24, 80, nil)
}

// What is refused is refused at the same time and with the same words, whatever the reason.
func TestEqualRefusals(t *testing.T) {
	key, _ := newKey(t)
	_, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	texts, slowest, fastest := map[string]string{}, time.Duration(0), time.Hour
	for _, user := range []string{"alice", "nobody", "alice+web-0", "nobody+++++", "\x1b[2J"} {
		began := time.Now()
		_, err := b.dial(user, ssh.PublicKeys(key))
		took := time.Since(began)
		if err == nil {
			t.Fatalf("%q logged in", user)
		}
		texts[err.Error()] = user
		slowest, fastest = max(slowest, took), min(fastest, took)
	}
	if len(texts) != 1 {
		t.Errorf("different answers: %v", texts)
	}
	if fastest < 20*time.Millisecond {
		t.Errorf("refused within %s; the answer must wait", fastest)
	}
}

// Nor does the time tell an account that exists from one that does not, however long looking at it takes. The least of
// several rounds counts: what the machine's other work adds is not of interest.
func TestEqualRefusalTimes(t *testing.T) {
	key, _ := newKey(t)
	_, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, _ *session.Options) { o.Keys = slowForKnown{o.Keys} })
	users := []string{"alice", "nobody", "alice+web-0", "alice/x"}
	least := make([]time.Duration, len(users))
	for round := range 30 {
		for i, user := range users {
			var began time.Time
			offer := ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
				began = time.Now() // the handshake is over
				return []ssh.Signer{key}, nil
			})
			if _, err := b.dial(user, offer); err == nil {
				t.Fatalf("%q logged in", user)
			}
			if took := time.Since(began); round == 0 || took < least[i] {
				least[i] = took
			}
		}
		if round >= 5 && slices.Max(least)-slices.Min(least) < 5*time.Millisecond {
			break
		}
	}
	if lo, hi := slices.Min(least), slices.Max(least); hi-lo > 10*time.Millisecond || lo < 20*time.Millisecond {
		t.Errorf("%v took %v", users, least)
	}
}

// slowForKnown takes longer over an account that exists.
type slowForKnown struct{ sshd.Keys }

func (s slowForKnown) PublicKey(account auth.Account, key ssh.PublicKey, source netip.AddrPort) (*auth.Principal, error) {
	if account == "alice" {
		time.Sleep(10 * time.Millisecond)
	}
	return s.Keys.PublicKey(account, key, source)
}

func TestLockedOut(t *testing.T) {
	b := start(t, passwordRoles(t, ""), func(o *sshd.Options, _ *session.Options) {
		o.Throttle = throttle.New(throttle.Options{MaxWait: time.Millisecond})
	})
	for range 12 { // auth/throttle allows ten of one account from one source, and forgets some on a slow machine
		if _, err := b.dial("pat", ssh.Password("wrong")); err == nil {
			t.Fatal("a wrong password logged in")
		}
	}
	if _, err := b.dial("pat", ssh.Password("correct horse")); err == nil {
		t.Fatal("the right password logged in while locked out")
	}
	b.events.wait(t, "locked out", func(e audit.Event) bool {
		return e.Type == audit.AuthReject && strings.HasPrefix(e.Reason, auth.ErrLockedOut.Error())
	})
}

// However many keys an honest client offers before the right one, it is not slowed.
func TestManyKeysAreNoGuesses(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	offered := make([]ssh.Signer, 0, 5)
	for range 4 {
		k, _ := newKey(t)
		offered = append(offered, k)
	}
	offered = append(offered, key)
	for range 5 {
		c, err := b.dial("alice", ssh.PublicKeys(offered...))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

// A login that cannot be remembered does not happen.
func TestLoginNeedsAudit(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	b.events.mu.Lock()
	b.events.fail = os.ErrClosed
	b.events.mu.Unlock()
	if _, err := b.dial("alice", ssh.PublicKeys(key)); err == nil {
		t.Fatal("logged in without an audit event")
	}
}
