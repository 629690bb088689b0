// Package auth owns who may log in and what they may reach: accounts, roles, the principal that a verified credential
// stands for, the roles document with its strict loading and hot reload, and one sentinel for each reason to refuse.
// It opens no listener and speaks no protocol; the verifiers beneath it do.
package auth

import (
	"errors"
	"net/netip"
)

// Account is the name of a person or robot that logs in.
type Account string

// Method is the kind of credential that proved an identity.
type Method string

const (
	MethodKey         Method = "publickey"
	MethodCertificate Method = "certificate"
	MethodPassword    Method = "password"
)

// Principal is who a connection belongs to. It is made only from the credential that won, never from one that was
// merely offered.
type Principal struct {
	Account      Account
	Method       Method
	SecondFactor bool           // a TOTP code was verified too
	Fingerprint  string         // SHA256:… of the key or of the certificate's key; empty for passwords
	CertID       string         // certificates: key id
	CertSerial   uint64         // certificates
	Authority    string         // certificates: SHA256:… of the authority's key that signed it
	Names        []string       // certificates: all principals that it names
	Password     *PasswordHash  // passwords: the hash that it fitted
	ForceCommand string         // certificates: force-command critical option; replaces whatever was asked for
	NoPTY        bool           // certificates without permit-pty
	NoForward    bool           // certificates without permit-port-forwarding
	Source       netip.AddrPort // the client's address
}

// Denial sentinels: the true reason, for the audit log. A client never sees which one it was.
var (
	ErrUnknownAccount     = errors.New("auth: unknown account")
	ErrUnknownKey         = errors.New("auth: key is not one of the account's")
	ErrCertAuthority      = errors.New("auth: certificate is not signed by a trusted authority")
	ErrCertPrincipal      = errors.New("auth: certificate does not name the account as a principal")
	ErrCertValidity       = errors.New("auth: certificate is not valid at this time")
	ErrCertSource         = errors.New("auth: certificate does not permit this source address")
	ErrCertOption         = errors.New("auth: certificate has an unknown critical option")
	ErrCertType           = errors.New("auth: certificate is not a user certificate")
	ErrUserPresence       = errors.New("auth: security key did not prove touch")
	ErrWeakKey            = errors.New("auth: key type or size is not accepted")
	ErrWrongPassword      = errors.New("auth: wrong password")
	ErrPasswordOff        = errors.New("auth: account has no password")
	ErrWrongCode          = errors.New("auth: wrong or reused one-time code")
	ErrSecondFactor       = errors.New("auth: second factor missing")
	ErrSourceAddress      = errors.New("auth: source address is not permitted by any role")
	ErrLockedOut          = errors.New("auth: too many failures, locked out for a while")
	ErrTargetNotFound     = errors.New("auth: no such target")
	ErrTargetNotPermitted = errors.New("auth: target is not permitted")
)
