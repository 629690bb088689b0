package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
)

// Critical options and extensions of user certificates, from OpenSSH's PROTOCOL.certkeys.
const (
	forceCommand   = "force-command"
	sourceAddress  = "source-address"
	permitPTY      = "permit-pty"
	permitForward  = "permit-port-forwarding"
	noTouch        = "no-touch-required"
	maxKeyIDLength = 256
)

// certificate judges a user certificate: what it is, who signed it and that they did, then what it says. The signature
// is checked before anything that depends on the account, so that refusals take alike long.
func (v *Verifier) certificate(p *auth.Principal, doc *auth.Document, c *auth.Credentials, cert *ssh.Certificate) error {
	if cert.CertType != ssh.UserCert {
		return auth.ErrCertType
	}
	if !slices.ContainsFunc(doc.Authorities(), func(a ssh.PublicKey) bool {
		return bytes.Equal(a.Marshal(), cert.SignatureKey.Marshal())
	}) {
		return auth.ErrCertAuthority
	}
	if err := auth.CheckKey(cert.Key); err != nil {
		return err
	}
	if cert.Signature == nil || cert.Signature.Format == ssh.KeyAlgoRSA { // RSA with SHA-1
		return fmt.Errorf("%w: signed with SHA-1", auth.ErrWeakKey)
	}
	now := v.clock()
	if err := checkSignature(cert); err != nil {
		return err
	}
	for option := range cert.CriticalOptions {
		if option != forceCommand && option != sourceAddress {
			return fmt.Errorf("%w: %q", auth.ErrCertOption, option)
		}
	}
	command, forced := cert.CriticalOptions[forceCommand]
	if forced && strings.TrimSpace(command) == "" {
		return fmt.Errorf("%w: empty %s", auth.ErrCertOption, forceCommand)
	}
	if !slices.ContainsFunc(cert.ValidPrincipals, func(name string) bool { return slices.Contains(c.Principals, name) }) {
		return auth.ErrCertPrincipal
	}
	if !validAt(cert, now) {
		return auth.ErrCertValidity
	}
	if list, ok := cert.CriticalOptions[sourceAddress]; ok {
		addresses, err := auth.ParseAddressList(list)
		if err != nil || !addresses.Contains(p.Source.Addr()) {
			return auth.ErrCertSource
		}
	}
	if _, ok := cert.Extensions[noTouch]; ok && strings.HasPrefix(cert.Key.Type(), "sk-") {
		return auth.ErrUserPresence
	}
	_, pty := cert.Extensions[permitPTY]
	_, forward := cert.Extensions[permitForward]
	p.Method, p.Fingerprint = auth.MethodCertificate, ssh.FingerprintSHA256(cert.Key)
	p.CertID, p.CertSerial = cert.KeyId, cert.Serial
	p.Authority, p.Names = ssh.FingerprintSHA256(cert.SignatureKey), slices.Clone(cert.ValidPrincipals)
	if len(p.CertID) > maxKeyIDLength {
		p.CertID = strings.ToValidUTF8(p.CertID[:maxKeyIDLength], "")
	}
	p.ForceCommand, p.NoPTY, p.NoForward = command, !pty, !forward
	return nil
}

// checkSignature has the library verify the authority's signature. It is given what the certificate itself says for
// all else, because each of those has a reason of its own here.
func checkSignature(cert *ssh.Certificate) error {
	checker := ssh.CertChecker{Clock: func() time.Time { return time.Unix(int64(cert.ValidAfter), 0) }}
	for option := range cert.CriticalOptions {
		checker.SupportedCriticalOptions = append(checker.SupportedCriticalOptions, option)
	}
	principal := ""
	if len(cert.ValidPrincipals) > 0 {
		principal = cert.ValidPrincipals[0]
	}
	endless := cert.ValidBefore == ssh.CertTimeInfinity
	if int64(cert.ValidAfter) < 0 || !endless && int64(cert.ValidBefore) < 0 || cert.ValidBefore <= cert.ValidAfter {
		return auth.ErrCertValidity // never valid: the library would not reach the signature
	}
	if err := checker.CheckCert(principal, cert); err != nil {
		return fmt.Errorf("%w: its signature does not verify", auth.ErrCertAuthority)
	}
	return nil
}

// validAt says whether the time lies in [ValidAfter, ValidBefore), both in seconds since 1970.
func validAt(cert *ssh.Certificate, now time.Time) bool {
	unix := now.Unix()
	return unix >= 0 && uint64(unix) >= cert.ValidAfter && uint64(unix) < cert.ValidBefore
}
