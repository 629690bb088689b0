package sshd

import (
	"context"
	"errors"
	"strings"
	"time"

	glider "github.com/gliderlabs/ssh"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/target"
)

const (
	maxAuthTries = 6
	maxSecret    = 1 << 10 // bytes of a password or code that are looked at
	auditTimeout = 10 * time.Second
)

// Every refusal is answered at one of these times after the attempt, whatever the reason: who compares them learns
// neither which accounts exist nor why. Keys are refused soon because a client offers all that it has.
const (
	keyTick    = 20 * time.Millisecond
	secretTick = 500 * time.Millisecond
)

// errDenied is all that the library hears of; it tells the client nothing.
var errDenied = errors.New("sshd: permission denied")

// principalKey is where the winning credential's principal lies in Permissions.ExtraData.
type principalKey struct{}

func permissions(p *auth.Principal) *ssh.Permissions {
	return &ssh.Permissions{ExtraData: map[any]any{principalKey{}: p}}
}

// principalOf is who a logged-in connection belongs to.
func principalOf(c *ssh.ServerConn) *auth.Principal {
	if c.Permissions == nil {
		return nil
	}
	p, _ := c.Permissions.ExtraData[principalKey{}].(*auth.Principal)
	return p
}

// authenticator is one connection's authentication.
type authenticator struct {
	server *Server
	conn   *conn
	ctx    glider.Context // the connection's
}

func (a *authenticator) install(c *ssh.ServerConfig) {
	c.NoClientAuthCallback = func(ssh.ConnMetadata) (*ssh.Permissions, error) { return nil, errDenied }
	c.PublicKeyCallback = a.offered
	c.VerifiedPublicKeyCallback = a.proved
	if a.server.o.Passwords() {
		c.PasswordCallback = a.password
		c.KeyboardInteractiveCallback = a.typedPassword
	}
}

// accountOf is the account that an address claims: up to the first byte that no account's name holds, which is a + if all
// is well. What is wrong with the rest of the address is told after the login.
func accountOf(user string) auth.Account {
	if i := strings.IndexFunc(user, func(r rune) bool { return !target.InAccount(r) }); i >= 0 {
		user = user[:i]
	}
	return auth.Account(user)
}

// offered judges a key that the client has not proved to hold yet. Nothing is remembered but in the permissions.
func (a *authenticator) offered(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	began, account := time.Now(), accountOf(m.User())
	wait, locked := a.conn.books.Key(account)
	p, err := a.judge(wait, locked, func() (*auth.Principal, error) {
		return a.server.o.Keys.PublicKey(account, key, a.conn.source)
	})
	if err != nil {
		method := auth.MethodKey
		if cert, ok := key.(*ssh.Certificate); ok {
			method, key = auth.MethodCertificate, cert.Key
		}
		return nil, a.refuse(m, began, keyTick, method, ssh.FingerprintSHA256(key), err)
	}
	return permissions(p), nil
}

// proved is called once the client's signature with the key was verified.
func (a *authenticator) proved(m ssh.ConnMetadata, _ ssh.PublicKey, perms *ssh.Permissions, _ string) (*ssh.Permissions, error) {
	p, ok := perms.ExtraData[principalKey{}].(*auth.Principal)
	if !ok {
		return nil, errDenied
	}
	return a.won(m, p)
}

func (a *authenticator) password(m ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	began, account := time.Now(), accountOf(m.User())
	wait, locked := a.conn.books.Guess(account)
	p, err := a.judge(wait, locked, func() (*auth.Principal, error) {
		if len(password) > maxSecret {
			return nil, auth.ErrWrongPassword
		}
		ctx, cancel := context.WithTimeout(context.Background(), a.server.o.Limits.LoginGrace)
		defer cancel()
		return a.server.o.Secrets.Password(ctx, account, string(password), a.conn.source)
	})
	if err != nil {
		return nil, a.refuse(m, began, secretTick, auth.MethodPassword, "", err)
	}
	return a.won(m, p)
}

// typedPassword asks for the password by keyboard-interactive (RFC 4256), whether or not the account is known.
func (a *authenticator) typedPassword(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	answers, err := ask("", "", []string{"Password: "}, []bool{false})
	if err != nil {
		return nil, err
	}
	return a.password(m, []byte(answers[0]))
}

// won accepts the principal, or asks for its second factor. Its own closure carries the first one's principal there:
// the library drops the permissions of a partial success.
func (a *authenticator) won(m ssh.ConnMetadata, p *auth.Principal) (*ssh.Permissions, error) {
	if !a.server.o.Secrets.SecondFactor(p.Account) {
		return permissions(p), a.accept(m, p)
	}
	return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{
		KeyboardInteractiveCallback: func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return a.code(m, ask, p)
		},
	}}
}

func (a *authenticator) code(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge, first *auth.Principal) (*ssh.Permissions, error) {
	answers, err := ask("", "", []string{"One-time code: "}, []bool{false})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	wait, locked := a.conn.books.Guess(first.Account)
	p, err := a.judge(wait, locked, func() (*auth.Principal, error) {
		if len(answers[0]) > maxSecret {
			return nil, auth.ErrWrongCode
		}
		if err := a.server.o.Secrets.Code(first.Account, answers[0]); err != nil {
			return nil, err
		}
		both := *first
		both.SecondFactor = true
		return &both, nil
	})
	if err != nil {
		return nil, a.refuse(m, began, secretTick, first.Method, first.Fingerprint, err)
	}
	return permissions(p), a.accept(m, p)
}

// judge waits as long as the throttle says, and verifies unless it says not to.
func (a *authenticator) judge(wait time.Duration, locked error, verify func() (*auth.Principal, error)) (*auth.Principal, error) {
	if locked != nil {
		return nil, locked
	}
	time.Sleep(min(wait, a.server.o.Limits.LoginGrace))
	return verify()
}

// accept remembers a login; one that cannot be remembered does not happen.
func (a *authenticator) accept(m ssh.ConnMetadata, p *auth.Principal) error {
	e := a.event(audit.AuthAccept, m)
	e.Account, e.Method, e.Fingerprint = string(p.Account), string(p.Method), p.Fingerprint
	e.CertID, e.CertSerial = p.CertID, p.CertSerial
	if p.SecondFactor {
		e.Method += "+totp"
	}
	if err := a.append(e); err != nil {
		a.server.o.Log.WithError(err).Error("a login could not be remembered, so it was refused")
		return errDenied
	}
	a.conn.books.Succeeded(p.Account)
	a.server.o.Metrics.logins.WithLabelValues("accept", string(p.Method)).Inc()
	a.server.o.Log.WithFields(logrus.Fields{
		"account": string(p.Account), "source": a.conn.source.String(), "method": e.Method, "fingerprint": p.Fingerprint,
	}).Info("login")
	a.conn.login(a.ctx)
	return nil
}

// refuse remembers the true reason, waits, and returns what the library may know.
func (a *authenticator) refuse(m ssh.ConnMetadata, began time.Time, tick time.Duration, method auth.Method, fingerprint string, reason error) error {
	e := a.event(audit.AuthReject, m)
	e.Account, e.Method, e.Fingerprint, e.Reason = string(accountOf(m.User())), string(method), fingerprint, reason.Error()
	if err := a.append(e); err != nil {
		a.server.o.Log.WithError(err).Error("a refused login could not be remembered")
	}
	a.server.o.Metrics.logins.WithLabelValues("reject", string(method)).Inc()
	a.server.o.Log.WithFields(logrus.Fields{
		"account": printable(e.Account), "source": e.Source, "method": e.Method, "fingerprint": fingerprint, "reason": e.Reason,
	}).Info("login refused")
	waitFor(began, tick)
	return errDenied
}

// waitFor waits until the time since began is a multiple of tick.
func waitFor(began time.Time, tick time.Duration) {
	passed := time.Since(began)
	time.Sleep(tick - passed%tick)
}

func (a *authenticator) event(t audit.Type, m ssh.ConnMetadata) audit.Event {
	return audit.Event{Type: t, Source: a.conn.source.String(), Address: m.User(), Client: string(m.ClientVersion())}
}

func (a *authenticator) append(e audit.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), auditTimeout)
	defer cancel()
	return a.server.o.Audit.Append(ctx, e)
}
