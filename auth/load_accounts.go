package auth

import (
	"bytes"
	"crypto/rsa"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"
)

// MinRSA and MaxRSA bound RSA keys, in bits: weak ones can be broken, huge ones are slow to verify.
const (
	MinRSA = 2048
	MaxRSA = 8192
)

// minTOTP is the least length of a TOTP secret, in bytes (RFC 4226, section 4, R6).
const minTOTP = 16

var (
	accountName = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\z`)
	roleName    = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9._/-]{0,63}\z`)
)

// CheckKey refuses key types and sizes that are too weak to prove who somebody is; the error wraps ErrWeakKey.
// It also refuses certificates where a plain key belongs.
func CheckKey(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		ck, ok := key.(ssh.CryptoPublicKey)
		if !ok {
			return ErrWeakKey
		}
		k, ok := ck.CryptoPublicKey().(*rsa.PublicKey)
		if !ok || k.N.BitLen() < MinRSA || k.N.BitLen() > MaxRSA {
			return fmt.Errorf("%w: RSA keys need %d to %d bits", ErrWeakKey, MinRSA, MaxRSA)
		}
		return nil
	}
	return fmt.Errorf("%w: type %s; want ssh-ed25519, an ECDSA or security key, or RSA of %d bits and more", ErrWeakKey, quoted(key.Type()), MinRSA)
}

func (l *loader) authority(n *yaml.Node) {
	s, ok := l.text(n, "an item of authorities")
	if !ok {
		return
	}
	key, _, options, err := parseKeyLine(s)
	switch {
	case err != nil:
		l.errorf(n, "authorities: %s: %v", quoted(s), err)
	case len(options) > 0:
		l.errorf(n, "authorities: options such as %s are not supported here: want only the authority's public key", quoted(options[0]))
	case slices.ContainsFunc(l.doc.authorities, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }):
		l.errorf(n, "authorities: the same key is there already")
	default:
		l.doc.authorities = append(l.doc.authorities, key)
	}
}

func (l *loader) account(n *yaml.Node) {
	m := l.mapping(n, "an account", "name", "keys", "principals", "password", "totp", "roles")
	if n.Kind != yaml.MappingNode {
		return
	}
	nameNode, ok := m["name"]
	if !ok {
		l.errorf(n, `an account has no "name"`)
		return
	}
	name, ok := l.text(nameNode, "an account's name")
	if !ok {
		return
	}
	if !accountName.MatchString(name) {
		l.errorf(nameNode, "account name %s: want 1 to 64 letters, digits, dots, dashes and underscores", quoted(name))
		return
	}
	c := &Credentials{Name: Account(name)}
	if _, ok := l.doc.accounts[c.Name]; ok {
		l.errorf(nameNode, "account %q is there already", name)
		return
	}
	of := " of account " + name
	for _, k := range l.sequence(m["keys"], "keys"+of) {
		if key, ok := l.key(k, "keys"+of); ok {
			if slices.ContainsFunc(c.Keys, func(o Key) bool { return bytes.Equal(o.Marshal(), key.Marshal()) }) {
				l.errorf(k, "keys%s: the same key is there already", of)
			}
			c.Keys = append(c.Keys, key)
		}
	}
	l.principals(c, m["principals"], of)
	if p, ok := m["password"]; ok {
		if s, ok := l.text(p, "password"+of); ok {
			h, err := ParsePasswordHash(s)
			if err != nil { // the value is not shown: it may be the password itself
				l.errorf(p, "password%s: %v", of, err)
			}
			c.Password = h
		}
	}
	if t, ok := m["totp"]; ok {
		if s, ok := l.text(t, "totp"+of); ok {
			secret, err := cleanTOTP(s)
			if err != nil {
				l.errorf(t, "totp%s: %v", of, err)
			}
			c.TOTP = secret
		}
	}
	if len(c.Keys) == 0 && c.Password == nil && len(c.Principals) == 0 && len(l.problems) == 0 {
		l.errorf(n, "account %s has nothing to log in with: want keys, or a password, or authorities in the document", name)
	}
	l.accountRoles(c, n, m["roles"], of)
	l.doc.accounts[c.Name] = c
	l.doc.order = append(l.doc.order, c.Name)
}

// principals of an account are its own name, unless it names others, or none with an empty list.
func (l *loader) principals(c *Credentials, n *yaml.Node, of string) {
	switch {
	case len(l.doc.authorities) == 0:
		if n != nil {
			l.errorf(n, "principals%s: the document has no authorities, so no certificate can be accepted", of)
		}
	case n == nil:
		c.Principals = []string{string(c.Name)}
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
	default:
		c.Principals = each(l, n, "principals"+of, func(s string) (string, error) {
			if s == "" || len(s) > 255 || strings.ContainsAny(s, "*?,") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
				return "", errors.New("want a name without spaces, commas and wildcards")
			}
			return s, nil
		})
	}
}

func (l *loader) accountRoles(c *Credentials, account, n *yaml.Node, of string) {
	if n == nil {
		l.errorf(account, `account %s has no "roles": want at least one`, c.Name)
		return
	}
	for _, r := range l.sequence(n, "roles"+of) {
		name, ok := l.text(r, "a role"+of)
		if !ok {
			continue
		}
		if _, ok := l.doc.roles[name]; !ok {
			l.errorf(r, "roles%s: there is no role %s%s", of, quoted(name), suggest(name, l.doc.roleOrder))
			continue
		}
		if slices.Contains(c.Roles, name) {
			l.errorf(r, "roles%s: %s is there already", of, quoted(name))
			continue
		}
		c.Roles = append(c.Roles, name)
	}
}

// key reads one authorized_keys line.
func (l *loader) key(n *yaml.Node, what string) (Key, bool) {
	s, ok := l.text(n, "an item of "+what)
	if !ok {
		return Key{}, false
	}
	public, comment, options, err := parseKeyLine(s)
	if err != nil {
		l.errorf(n, "%s: %s: %v", what, quoted(s), err)
		return Key{}, false
	}
	key := Key{PublicKey: public, Comment: comment}
	for _, option := range options {
		if err := key.restrict(option); err != nil {
			l.errorf(n, "%s: option %s: %s", what, quoted(option), strings.TrimPrefix(err.Error(), "auth: "))
			return Key{}, false
		}
	}
	return key, true
}

func parseKeyLine(s string) (key ssh.PublicKey, comment string, options []string, err error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, "", nil, errors.New("want one key in an item")
	}
	key, comment, options, _, err = ssh.ParseAuthorizedKey([]byte(s))
	if err != nil {
		return nil, "", nil, errors.New("not a line of authorized_keys such as `ssh-ed25519 AAAA… comment`")
	}
	if err := CheckKey(key); err != nil {
		return nil, "", nil, errors.New(strings.TrimPrefix(err.Error(), "auth: "))
	}
	return key, comment, options, nil
}

// restrict honours one option of an authorized_keys line, or says why it cannot.
func (k *Key) restrict(option string) error {
	name, value, hasValue := strings.Cut(option, "=")
	value = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`), `\"`, `"`)
	name = strings.ToLower(name)
	switch name {
	case "from", "command", "expiry-time":
		if !hasValue || value == "" {
			return errors.New(`want a value in quotes`)
		}
	default:
		if hasValue {
			return errors.New("not supported")
		}
	}
	var err error
	switch name {
	case "from":
		if k.From != nil {
			return errors.New("given twice")
		}
		k.From, err = ParseAddressList(value)
		return err
	case "command":
		if k.ForceCommand != "" {
			return errors.New("given twice")
		}
		k.ForceCommand = value
	case "expiry-time":
		if !k.Expires.IsZero() {
			return errors.New("given twice")
		}
		k.Expires, err = parseExpiry(value)
		return err
	case "restrict":
		k.NoPTY, k.NoForward = true, true
	case "no-pty":
		k.NoPTY = true
	case "pty":
		k.NoPTY = false
	case "no-port-forwarding":
		k.NoForward = true
	case "port-forwarding":
		k.NoForward = false
	case "no-agent-forwarding", "no-x11-forwarding", "no-user-rc": // true of every session here
	case "no-touch-required":
		return errors.New("not supported: security keys always have to prove touch")
	default:
		return errors.New("not supported; want from=, command=, expiry-time=, restrict, pty, no-pty, port-forwarding or no-port-forwarding")
	}
	return nil
}

// parseExpiry reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS with a Z for UTC at the end. OpenSSH takes times without
// the Z for local ones; here that would depend on where the bastion runs, so it is refused.
func parseExpiry(s string) (time.Time, error) {
	digits, ok := strings.CutSuffix(s, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.Parse(layout, digits); err == nil && ok {
			return t, nil
		}
	}
	return time.Time{}, errors.New("want UTC as YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ")
}

// cleanTOTP returns the secret in capitals without spaces and padding. Errors never show it.
func cleanTOTP(s string) (string, error) {
	s = strings.TrimRight(strings.ToUpper(strings.ReplaceAll(s, " ", "")), "=")
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return "", errors.New("want a secret in base32")
	}
	if len(raw) < minTOTP || len(raw) > 128 {
		return "", fmt.Errorf("secret has %d bytes, want %d to 128", len(raw), minTOTP)
	}
	return s, nil
}
