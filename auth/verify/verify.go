// Package verify turns an offered credential into the principal that it proves, or into the sentinel that says why
// not. It knows public keys, OpenSSH user certificates, argon2id passwords and time-based one-time codes. It speaks no
// protocol: for keys it judges whether a key may stand for an account, and the SSH library then checks that the client
// holds it.
//
// # Security keys
//
// A security key (sk-…) has to prove that it was touched. golang.org/x/crypto/ssh checks the user-presence flag of
// each such signature itself, unless the permissions that the public-key callback returned hold the extension
// "no-touch-required". So the front must never copy a certificate's or a line's extensions into ssh.Permissions; this
// package hands out a Principal, which has none. Lines with no-touch-required do not load, and certificates with it
// for a security key are refused with auth.ErrUserPresence.
package verify

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/journal"
)

// Source hands out the roles document in force. *auth.Source is one.
type Source interface {
	Current() *auth.Document
}

// Options of a Verifier; zero values are the defaults.
type Options struct {
	Clock  func() time.Time // default time.Now
	Hashes int              // how many password hashes run at once, each in up to 256 MiB; default 2
}

// Verifier checks credentials. It is safe for concurrent use. It counts no failures: see auth/throttle.
type Verifier struct {
	source Source
	clock  func() time.Time
	hashes *semaphore.Weighted

	mu      sync.Mutex // guards all below
	codes   map[auth.Account]used
	kept    map[string]keptCode // by hash of the account: what the journal holds
	journal *journal.Journal    // nil: in memory only
	decoy   decoy
}

type decoy struct {
	document *auth.Document
	hash     *auth.PasswordHash
}

// New returns a verifier over the documents of the source.
func New(source Source, o Options) *Verifier {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Hashes < 1 {
		o.Hashes = 2
	}
	return &Verifier{source: source, clock: o.Clock, hashes: semaphore.NewWeighted(int64(o.Hashes)), codes: make(map[auth.Account]used), kept: make(map[string]keptCode)}
}

// SecondFactor says whether the account needs a code after its first credential. It is false for unknown accounts.
func (v *Verifier) SecondFactor(account auth.Account) bool {
	c, ok := v.source.Current().Credentials(account)
	return ok && c.TOTP != ""
}

// PublicKey says whether the key, plain or a certificate, may stand for the account from that address. The principal
// is of use only after the SSH library has verified the client's signature with the key.
func (v *Verifier) PublicKey(account auth.Account, key ssh.PublicKey, source netip.AddrPort) (*auth.Principal, error) {
	doc := v.source.Current()
	credentials, known := doc.Credentials(account)
	if !known {
		credentials = &auth.Credentials{Name: account} // so that the same work is done
	}
	p := &auth.Principal{Account: account, Source: source}
	var err error
	if cert, ok := key.(*ssh.Certificate); ok {
		err = v.certificate(p, doc, credentials, cert)
	} else {
		err = v.plainKey(p, credentials, key)
	}
	return settle(doc, p, known, err)
}

// Password checks the account's password. It takes one hash of time whether or not the account exists and has one.
// It waits while too many others are being checked, as long as the context allows.
func (v *Verifier) Password(ctx context.Context, account auth.Account, password string, source netip.AddrPort) (*auth.Principal, error) {
	doc := v.source.Current()
	credentials, known := doc.Credentials(account)
	hash := v.decoyOf(doc)
	off := true
	if known && credentials.Password != nil {
		hash, off = credentials.Password, false
	}
	if err := v.hashes.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("verify: no turn to check a password: %w", err)
	}
	matches := hash.Matches(password)
	v.hashes.Release(1)
	var err error
	switch {
	case off:
		err = auth.ErrPasswordOff
	case !matches:
		err = auth.ErrWrongPassword
	}
	return settle(doc, &auth.Principal{Account: account, Method: auth.MethodPassword, Source: source, Password: hash}, known, err)
}

// settle puts the reasons in order: an account that is not there, then what was wrong with the credential, then an
// address that none of the account's roles permits.
func settle(doc *auth.Document, p *auth.Principal, known bool, err error) (*auth.Principal, error) {
	if !known {
		return nil, auth.ErrUnknownAccount
	}
	if err != nil {
		return nil, err
	}
	if _, err := doc.Access(p.Account, p.Source.Addr()); err != nil {
		return nil, err
	}
	return p, nil
}

func (v *Verifier) decoyOf(doc *auth.Document) *auth.PasswordHash {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.decoy.document != doc {
		v.decoy = decoy{document: doc, hash: doc.DecoyHash()}
	}
	return v.decoy.hash
}

func (v *Verifier) plainKey(p *auth.Principal, c *auth.Credentials, key ssh.PublicKey) error {
	if err := auth.CheckKey(key); err != nil {
		return err
	}
	wire := key.Marshal()
	for _, k := range c.Keys {
		if !bytes.Equal(k.Marshal(), wire) {
			continue
		}
		if k.From != nil && !k.From.Contains(p.Source.Addr()) {
			return fmt.Errorf("%w: from= of the key", auth.ErrSourceAddress)
		}
		if !k.Expires.IsZero() && !v.clock().Before(k.Expires) {
			return fmt.Errorf("%w: expiry-time has passed", auth.ErrUnknownKey)
		}
		p.Method, p.Fingerprint = auth.MethodKey, ssh.FingerprintSHA256(key)
		p.ForceCommand, p.NoPTY, p.NoForward = k.ForceCommand, k.NoPTY, k.NoForward
		return nil
	}
	return auth.ErrUnknownKey
}
