package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/bastion/route"
)

// keepInterval is how long a session can outlive its pod, if nobody else notices.
const keepInterval = 2 * time.Second

// stillGood says whether a login would succeed under the document: an account that went, and a key, password or
// authority that was taken from it, end what they opened. Time is not looked at: what expires lets nothing new begin.
func stillGood(doc *auth.Document, p *auth.Principal) error {
	c, ok := doc.Credentials(p.Account)
	if !ok {
		return auth.ErrUnknownAccount
	}
	if err := credentialGood(doc, c, p); err != nil {
		return errors.Join(ErrCredential, err)
	}
	if c.TOTP != "" && !p.SecondFactor {
		return errors.Join(ErrCredential, auth.ErrSecondFactor)
	}
	return nil
}

func credentialGood(doc *auth.Document, c *auth.Credentials, p *auth.Principal) error {
	switch p.Method {
	case auth.MethodKey:
		i := slices.IndexFunc(c.Keys, func(k auth.Key) bool { return ssh.FingerprintSHA256(k) == p.Fingerprint })
		if i < 0 {
			return auth.ErrUnknownKey
		}
		k := c.Keys[i]
		if k.From != nil && !k.From.Contains(p.Source.Addr()) {
			return auth.ErrSourceAddress
		}
		if k.ForceCommand != p.ForceCommand || k.NoPTY && !p.NoPTY || k.NoForward && !p.NoForward {
			return errors.New("session: the key permits less now")
		}
	case auth.MethodCertificate:
		if !slices.ContainsFunc(doc.Authorities(), func(a ssh.PublicKey) bool { return ssh.FingerprintSHA256(a) == p.Authority }) {
			return auth.ErrCertAuthority
		}
		if !slices.ContainsFunc(p.Names, func(name string) bool { return slices.Contains(c.Principals, name) }) {
			return auth.ErrCertPrincipal
		}
	case auth.MethodPassword:
		if !c.Password.Equal(p.Password) {
			return auth.ErrPasswordOff
		}
	}
	return nil
}

// Keep revalidates what is live every now and then until the context ends, for pods that go. A change of the roles
// document calls for Revalidate at once.
func (s *Service) Keep(ctx context.Context) {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Revalidate()
		case <-ctx.Done():
			return
		}
	}
}

// Revalidate ends what may not go on: what the document does not permit any more, and what runs in a pod that is gone
// or was replaced. It hands the newest roles to the rest.
func (s *Service) Revalidate() {
	doc := s.o.Documents.Current()
	for _, l := range s.live.all() {
		role, err := s.permitted(doc, l)
		var missing *route.NotFound
		if errors.As(err, &missing) && len(missing.Stale) > 0 {
			continue // there is no contact with the cluster, which says nothing about the pod
		}
		if err != nil {
			l.end(endFor(err))
			continue
		}
		l.setRole(role)
	}
	for _, l := range s.live.surplus() {
		l.end(&End{Reason: "limit: sessions", Text: "you have more sessions open than your role permits now"})
	}
}

// endFor says why a live session cannot go on.
func endFor(err error) *End {
	var missing *route.NotFound
	if errors.As(err, &missing) && errors.Is(missing.Reason, auth.ErrTargetNotFound) {
		return &End{Reason: "pod: gone or replaced", Text: "the pod is gone"}
	}
	return &End{Reason: "policy: " + err.Error(), Text: "your access to this pod has ended"}
}

func (s *Service) permitted(doc *auth.Document, l *live) (*auth.Role, error) {
	if err := stillGood(doc, l.principal); err != nil {
		return nil, err
	}
	access, err := doc.Access(l.principal.Account, l.principal.Source.Addr())
	if err != nil {
		return nil, err
	}
	role, err := s.o.Router.Revalidate(access, l.target)
	if err != nil {
		return nil, err
	}
	if role.User != l.role.Load().User {
		return nil, errors.New("session: the role names another user now")
	}
	if l.files != nil && narrower(*l.files, role.Files) {
		return nil, errors.New("session: the role permits less with files now")
	}
	return role, nil
}

// narrower tells whether something was taken away from rules of files, or might have been: rules that are still there in
// their old places permit what they did, whatever comes behind them.
func narrower(was, is auth.Files) bool {
	gone := func(was, is []auth.FileRule) bool {
		return len(is) < len(was) || !slices.EqualFunc(was, is[:len(was)], func(a, b auth.FileRule) bool {
			return a.MaxSize == b.MaxSize && slices.EqualFunc(a.Paths, b.Paths, func(x, y glob.Path) bool { return x.String() == y.String() })
		})
	}
	return gone(was.Upload, is.Upload) || gone(was.Download, is.Download) || gone(was.Remove, is.Remove) ||
		gone(was.Rename, is.Rename) || gone(was.Mkdir, is.Mkdir) || gone(was.Chmod, is.Chmod)
}

// Drain lets nothing new start, tells everybody, and ends what is left when the context ends.
func (s *Service) Drain(ctx context.Context) {
	empty := s.live.drain()
	until := ""
	if deadline, ok := ctx.Deadline(); ok {
		until = " in " + time.Until(deadline).Round(time.Second).String()
	}
	for _, l := range s.live.all() {
		l.notice("the bastion is being stopped; this session ends" + until)
	}
	select {
	case <-empty:
		return
	case <-ctx.Done():
	}
	for _, l := range s.live.all() {
		l.end(&End{Reason: "drain: the bastion is being stopped", Text: "the bastion is being stopped"})
	}
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
}

// Live is how many sessions and forwards run.
func (s *Service) Live() int { return len(s.live.all()) }
