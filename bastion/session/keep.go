package session

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
)

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

// Revalidate ends what the document does not permit any more, and hands the newest roles to what goes on. It is to be
// called after each change of the document.
func (s *Service) Revalidate(doc *auth.Document) {
	for _, l := range s.live.all() {
		role, err := permitted(doc, l)
		if err != nil {
			l.end(&End{Reason: "policy: " + err.Error(), Text: "your access to this pod has ended"})
			continue
		}
		l.role.Store(role)
	}
}

func permitted(doc *auth.Document, l *live) (*auth.Role, error) {
	if err := stillGood(doc, l.principal); err != nil {
		return nil, err
	}
	access, err := doc.Access(l.principal.Account, l.principal.Source.Addr())
	if err != nil {
		return nil, err
	}
	role, ok := access.Permits(auth.Resource{
		Cluster: string(l.target.Cluster), Namespace: string(l.target.Namespace), Pod: l.target.Pod,
		Labels: l.labels, Container: l.target.Container,
	})
	if !ok {
		return nil, auth.ErrTargetNotPermitted
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
