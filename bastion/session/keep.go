package session

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/route"
)

// keepInterval is how long a session can outlive its pod, if nobody else notices.
const keepInterval = 2 * time.Second

// stillGood says whether a login would succeed under the document: an account that went, and a key or password that
// was taken from it, end what they opened.
func stillGood(doc *auth.Document, p *auth.Principal) error {
	c, ok := doc.Credentials(p.Account)
	if !ok {
		return auth.ErrUnknownAccount
	}
	switch p.Method {
	case auth.MethodKey:
		for _, k := range c.Keys {
			if ssh.FingerprintSHA256(k) == p.Fingerprint {
				return nil
			}
		}
		return errors.Join(ErrCredential, auth.ErrUnknownKey)
	case auth.MethodCertificate:
		if len(c.Principals) == 0 || len(doc.Authorities()) == 0 {
			return errors.Join(ErrCredential, auth.ErrCertPrincipal)
		}
	case auth.MethodPassword:
		if c.Password == nil {
			return errors.Join(ErrCredential, auth.ErrPasswordOff)
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
		l.role.Store(role)
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
	return role, nil
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
