package target

import (
	"fmt"
	"net/netip"
	"strings"
)

// Bounds of what a client may type, in bytes. They follow Kubernetes where Kubernetes has one.
const (
	MaxAddress      = 1024
	maxAccount      = 64
	maxLabelName    = 63  // namespaces, containers, clusters, label values
	maxSubdomain    = 253 // pods, workloads, the prefix of a label key
	maxRequirements = 16
)

// Address is what a client typed as its user name: account[+[[cluster+]namespace+]pod[~container]]. What was left out
// is empty. Every field was checked, so that none of them can break out of a path, a log line or a terminal.
type Address struct {
	Account   string
	Cluster   Cluster
	Namespace Namespace
	// Pod is as typed: a pod's or workload's name, an IP (see IP) or a label selector (see Selector).
	Pod       string
	Container string
}

// SyntaxError says what is wrong with an address.
type SyntaxError struct {
	Input   string
	At      int    // offset in bytes of what is wrong
	Problem string // what is wrong, and what would be right
}

// Error is one line that is safe to print on a terminal, whatever Input holds.
func (e *SyntaxError) Error() string {
	const shown = 200
	in := e.Input
	if len(in) > shown {
		in = in[:shown] + "…"
	}
	return fmt.Sprintf("target: the address %q is wrong at character %d: %s; it reads account+namespace+pod~container, for example alice+shop+web-0~nginx",
		in, e.At+1, e.Problem)
}

// Parse reads an address. Its error is always a *SyntaxError. For every address that it accepts, String gives back
// the very text.
func Parse(user string) (Address, error) {
	p := parser{input: user}
	a, err := p.address()
	if err != nil {
		return Address{}, err
	}
	return a, nil
}

// String gives the address as it was typed.
func (a Address) String() string {
	var b strings.Builder
	b.WriteString(a.Account)
	if a.Pod == "" {
		return b.String()
	}
	for _, part := range []string{string(a.Cluster), string(a.Namespace), a.Pod} {
		if part != "" {
			b.WriteByte('+')
			b.WriteString(part)
		}
	}
	if a.Container != "" {
		b.WriteByte('~')
		b.WriteString(a.Container)
	}
	return b.String()
}

// HasPod tells whether the address says which pod. Without one the account alone was named.
func (a Address) HasPod() bool { return a.Pod != "" }

// IP gives the address' pod IP, if that is how the pod is named. An IPv6 address may be typed with _ for each colon,
// because scp and rsync end a host name at a colon.
func (a Address) IP() (netip.Addr, bool) {
	return parseIP(a.Pod)
}

func parseIP(pod string) (netip.Addr, bool) {
	if strings.ContainsAny(pod, "=%") {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(pod, "_", ":"))
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}

// Selector gives the address' label selector, if that is how the pod is named.
func (a Address) Selector() (Selector, bool) {
	if !strings.Contains(a.Pod, "=") {
		return nil, false
	}
	p := parser{input: a.Pod}
	sel, err := p.selector(0, a.Pod)
	return sel, err == nil
}

type parser struct{ input string }

func (p *parser) fail(at int, format string, args ...any) *SyntaxError {
	return &SyntaxError{Input: p.input, At: at, Problem: fmt.Sprintf(format, args...)}
}

// address cuts the input at its + signs; how many there are says which parts they are.
func (p *parser) address() (Address, error) {
	if len(p.input) > MaxAddress {
		return Address{}, p.fail(MaxAddress, "it is longer than %d bytes", MaxAddress)
	}
	if err := p.characters(); err != nil {
		return Address{}, err
	}
	parts := strings.Split(p.input, "+")
	if len(parts) > 4 {
		at := len(strings.Join(parts[:4], "+"))
		return Address{}, p.fail(at, "it has more parts than account+cluster+namespace+pod")
	}
	var a Address
	if err := p.account(parts[0]); err != nil {
		return Address{}, err
	}
	a.Account = parts[0]
	if len(parts) == 1 {
		return a, nil
	}
	at, rest := len(parts[0])+1, parts[1:]
	if len(rest) == 3 {
		if err := p.label(at, rest[0], "cluster"); err != nil {
			return Address{}, err
		}
		a.Cluster = Cluster(rest[0])
		at, rest = at+len(rest[0])+1, rest[1:]
	}
	if len(rest) == 2 {
		if err := p.label(at, rest[0], "namespace"); err != nil {
			return Address{}, err
		}
		a.Namespace = Namespace(rest[0])
		at, rest = at+len(rest[0])+1, rest[1:]
	}
	pod, container := cutContainer(rest[0])
	if err := p.pod(at, pod); err != nil {
		return Address{}, err
	}
	a.Pod = pod
	if container != nil {
		if err := p.label(at+len(pod)+1, *container, "container"); err != nil {
			return Address{}, err
		}
		a.Container = *container
	}
	return a, nil
}

// cutContainer splits pod~container. In a label selector a ~ before the last = belongs to a label's key.
func cutContainer(s string) (pod string, container *string) {
	from := strings.LastIndexByte(s, '=') + 1
	i := strings.IndexByte(s[from:], '~')
	if i < 0 {
		return s, nil
	}
	c := s[from+i+1:]
	return s[:from+i], &c
}

// characters refuses, wherever they stand, the bytes that no part may hold and that clients, shells, paths or
// terminals would read as something else.
func (p *parser) characters() error {
	for i := 0; i < len(p.input); i++ {
		c := p.input[i]
		switch {
		case c < 0x20 || c == 0x7f:
			return p.fail(i, "control characters are not permitted")
		case c >= 0x80:
			return p.fail(i, "only ASCII is permitted")
		case c == '/' && strings.Contains(p.input, "="):
			return p.fail(i, "a / is not permitted because scp and rsync would take it for a path; in a label's key write ~ for it, as in app.kubernetes.io~name=web")
		case c == '/':
			return p.fail(i, "a / is not permitted; parts are joined with +")
		case c == '%':
			return p.fail(i, "a %% is not permitted")
		case c == '.' && strings.HasPrefix(p.input[i:], ".."):
			return p.fail(i, "two dots in a row are not permitted")
		}
	}
	return nil
}

func (p *parser) account(s string) error {
	if s == "" {
		return p.fail(0, "the account is missing")
	}
	if len(s) > maxAccount {
		return p.fail(maxAccount, "the account is longer than %d characters", maxAccount)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if i == 0 && (c == '-' || c == '.') {
			return p.fail(i, "an account cannot begin with %q", c)
		}
		if InAccount(rune(c)) {
			continue
		}
		return p.fail(i, "an account has letters, digits, '.', '_' and '-' only, not %q", c)
	}
	return nil
}

// label checks a DNS-1123 label, the form of namespaces and containers in Kubernetes.
func (p *parser) label(at int, s, what string) error {
	if s == "" {
		return p.fail(at, "the %s is missing", what)
	}
	if len(s) > maxLabelName {
		return p.fail(at+maxLabelName, "the %s is longer than %d characters", what, maxLabelName)
	}
	return p.dns(at, s, what)
}

// dns checks the characters of one DNS-1123 label.
func (p *parser) dns(at int, s, what string) error {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case lower(c):
		case c == '-' && i > 0 && i < len(s)-1:
		case c == '-':
			return p.fail(at+i, "a %s cannot begin or end with '-'", what)
		case c >= 'A' && c <= 'Z':
			return p.fail(at+i, "a %s has lower-case letters only, not %q", what, c)
		default:
			return p.fail(at+i, "a %s has lower-case letters, digits and '-' only, not %q", what, c)
		}
	}
	return nil
}

// subdomain checks a DNS-1123 subdomain, the form of pods and workloads in Kubernetes.
func (p *parser) subdomain(at int, s, what string) error {
	if len(s) > maxSubdomain {
		return p.fail(at+maxSubdomain, "the %s is longer than %d characters", what, maxSubdomain)
	}
	for i, part := range strings.Split(s, ".") {
		if i > 0 {
			at++
		}
		if part == "" {
			return p.fail(at, "a %s cannot begin or end with '.'", what)
		}
		if err := p.dns(at, part, what); err != nil {
			return err
		}
		at += len(part)
	}
	return nil
}

func (p *parser) pod(at int, s string) error {
	if s == "" {
		return p.fail(at, "the pod is missing")
	}
	if strings.Contains(s, "=") {
		_, err := p.selector(at, s)
		return err
	}
	if _, ok := parseIP(s); ok {
		return nil
	}
	if i := strings.IndexAny(s, ":_"); i >= 0 {
		return p.fail(at+i, "a pod's name has no %q, and this is not an IPv6 address either", s[i])
	}
	return p.subdomain(at, s, "pod's name")
}

// InAccount tells whether an account's name may hold the character.
func InAccount(c rune) bool {
	return c < 0x80 && (alnum(byte(c)) || c == '_' || c == '-' || c == '.')
}

func alnum(c byte) bool { return lower(c) || c >= 'A' && c <= 'Z' }
func lower(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
