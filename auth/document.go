package auth

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/podbastion/podbastion/auth/glob"
)

// Document is a roles document that loaded without error. It never changes.
type Document struct {
	name        string
	hash        string
	accounts    map[Account]*Credentials
	order       []Account
	roles       map[string]*Role
	roleOrder   []string
	authorities []ssh.PublicKey
}

// Hash identifies the document's bytes: SHA-256, in hexadecimal.
func (d *Document) Hash() string { return d.hash }

// Accounts lists the accounts in the document's order.
func (d *Document) Accounts() []Account { return slices.Clone(d.order) }

// Roles lists the roles in the document's order.
func (d *Document) Roles() []*Role {
	out := make([]*Role, 0, len(d.roleOrder))
	for _, name := range d.roleOrder {
		out = append(out, d.roles[name])
	}
	return out
}

// Authorities are the keys whose signature on a user certificate is trusted.
func (d *Document) Authorities() []ssh.PublicKey { return slices.Clone(d.authorities) }

// Credentials returns what an account proves itself with. The value is shared and must not be modified.
func (d *Document) Credentials(a Account) (*Credentials, bool) {
	c, ok := d.accounts[a]
	return c, ok
}

// UsesPasswords says whether any account has a password: if none has, none needs to be asked for.
func (d *Document) UsesPasswords() bool {
	for _, c := range d.accounts {
		if c.Password != nil {
			return true
		}
	}
	return false
}

// Credentials are what one account may log in with.
type Credentials struct {
	Name       Account
	Keys       []Key
	Principals []string      // any of them in a certificate of a trusted authority stands for the account
	Password   *PasswordHash // nil: no password
	TOTP       string        // base32 secret without padding; not empty: a code is required as the second factor
	Roles      []string
}

// Key is an accepted public key with the options of its authorized_keys line that restrict it.
type Key struct {
	ssh.PublicKey
	Comment      string
	From         *AddressList // nil: from anywhere
	Expires      time.Time    // zero: never
	ForceCommand string
	NoPTY        bool
	NoForward    bool
}

// Role is what an account may reach and do there. Values are shared and must not be modified.
type Role struct {
	Name      string
	Targets   []TargetRule
	User      string // whom to run as in the container; empty is the container's own user
	Limits    Limits
	Forward   Forward
	Recording Recording
	Env       []glob.Name // names of variables that a client may set
	Commands  Commands
	Files     Files
}

// TargetRule selects pods and containers: all that is set must match. An empty list matches everything.
type TargetRule struct {
	Clusters, Namespaces, Pods, Containers []glob.Name
	Selector                               labels.Selector // never nil
}

// Limits of a role; zero values are no limit.
type Limits struct {
	Sessions        int // at once, per account
	Idle            time.Duration
	Duration        time.Duration
	SourceAddresses []netip.Prefix // empty: from anywhere
}

// PermitsSource says whether the role is open to a client at that address.
func (l Limits) PermitsSource(addr netip.Addr) bool {
	return len(l.SourceAddresses) == 0 || containsAddr(l.SourceAddresses, addr)
}

// Forward says which ports of a permitted pod may be reached through the bastion.
type Forward struct {
	PodPorts []PortRange
}

// PortRange is inclusive.
type PortRange struct{ First, Last uint16 }

// Allows says whether the port may be reached.
func (f Forward) Allows(port uint16) bool {
	return slices.ContainsFunc(f.PodPorts, func(r PortRange) bool { return r.First <= port && port <= r.Last })
}

// Recording says whether sessions are recorded.
type Recording string

const (
	RecordingRequired Recording = "required" // no recording, no session
	RecordingOn       Recording = "on"       // recorded; a recording that fails does not end the session
	RecordingOff      Recording = "off"
)

// Mode is what happens to a command that no rule matches.
type Mode string

const (
	Allowlist Mode = "allowlist" // denied
	Denylist  Mode = "denylist"  // allowed
)

// Action is what a command rule does when it is the first to match.
type Action string

const (
	Allow Action = "allow"
	Deny  Action = "deny"
	Warn  Action = "warn"
)

// Commands is a role's command policy; a role without one has a deny list with no rules. Deciding is not done here.
type Commands struct {
	Mode  Mode
	Rules []Rule
}

// Rule is one command rule. All conditions that are set must hold; at least one is set.
type Rule struct {
	ID             string
	Action         Action
	Programs       []glob.Name // of the name, or of the absolute path when it holds a slash
	Arguments      []Argument  // of single arguments
	Flags          []string    // as written: -r, -rf, --recursive
	Paths          []glob.Path
	FileLargerThan int64          // bytes; negative: not a condition
	Regex          *regexp.Regexp // of the command line; nil: not a condition. Anchored by the loader unless the rule says otherwise
	Message        string
	Line           int // in the document
}

// Argument is a pattern for one argument: a glob or a regular expression, which matches the whole of it.
type Argument struct {
	glob  glob.Name
	regex *regexp.Regexp
}

// String is the pattern as it was written, near enough for people.
func (a Argument) String() string {
	if a.regex != nil {
		return "/" + a.regex.String() + "/"
	}
	return a.glob.String()
}

// Match says whether the whole argument matches.
func (a Argument) Match(s string) bool {
	if a.regex != nil {
		return a.regex.MatchString(s)
	}
	return a.glob.MatchText(s)
}

// Files is a role's file policy. An empty list permits nothing of that kind.
type Files struct {
	Upload, Download, Remove, Rename, Mkdir, Chmod []FileRule
}

// FileRule permits an operation on the paths, up to MaxSize bytes; negative is no limit.
type FileRule struct {
	Paths   []glob.Path
	MaxSize int64
}

// Match says whether one of the rule's globs matches the cleaned, absolute path.
func (r FileRule) Match(p string) bool {
	return slices.ContainsFunc(r.Paths, func(g glob.Path) bool { return g.Match(p) })
}

// Resource is what somebody wants to reach.
type Resource struct {
	Cluster, Namespace, Pod string
	Labels                  map[string]string
	Container               string
}

// Access is one account's view of a document, from one source address.
type Access struct {
	account  Account
	document *Document
	roles    []*Role
}

// Access returns what the account may reach when it comes from that address: only roles that the address may use
// count. It fails with ErrUnknownAccount, or with ErrSourceAddress when no role is left.
func (d *Document) Access(a Account, from netip.Addr) (*Access, error) {
	c, ok := d.accounts[a]
	if !ok {
		return nil, ErrUnknownAccount
	}
	access := &Access{account: a, document: d}
	for _, name := range c.Roles {
		if r := d.roles[name]; r.Limits.PermitsSource(from) {
			access.roles = append(access.roles, r)
		}
	}
	if len(access.roles) == 0 {
		return nil, ErrSourceAddress
	}
	return access, nil
}

// Account is whose view it is.
func (a *Access) Account() Account { return a.account }

// Document is what it is a view of.
func (a *Access) Document() *Document { return a.document }

// Roles lists the usable roles in the account's order.
func (a *Access) Roles() []*Role { return slices.Clone(a.roles) }

// Permits returns the role that governs the resource: the first in the account's order that matches it.
func (a *Access) Permits(r Resource) (*Role, bool) {
	for _, role := range a.roles {
		if role.Matches(r) {
			return role, true
		}
	}
	return nil, false
}

// MayReach says whether some role reaches into the namespace at all, whatever the pod; an empty namespace asks about
// the whole cluster. It permits nothing: it tells where to look.
func (a *Access) MayReach(cluster, namespace string) bool {
	for _, role := range a.roles {
		for _, t := range role.Targets {
			if matchList(t.Clusters, cluster) && (namespace == "" || matchList(t.Namespaces, namespace)) {
				return true
			}
		}
	}
	return false
}

// Matches says whether one of the role's targets covers the resource.
func (r *Role) Matches(res Resource) bool {
	return slices.ContainsFunc(r.Targets, func(t TargetRule) bool { return t.Matches(res) })
}

// Matches says whether the resource is covered.
func (t TargetRule) Matches(r Resource) bool {
	return matchList(t.Clusters, r.Cluster) && matchList(t.Namespaces, r.Namespace) && matchList(t.Pods, r.Pod) &&
		matchList(t.Containers, r.Container) && t.Selector.Matches(labels.Set(r.Labels))
}

func matchList(globs []glob.Name, s string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g glob.Name) bool { return g.Match(s) })
}

// loaderVariables make a program or a shell run code or look up programs elsewhere before it reads its first command:
// no pattern of a role lets a client set them.
var loaderVariables = []string{"BASH_*", "BASHOPTS", "CDPATH", "DYLD_*", "ENV", "FPATH", "GCONV_PATH", "GLOBIGNORE",
	"HISTFILE", "IFS", "INPUTRC", "LD_*", "LOCPATH", "NODE_OPTIONS", "NLSPATH", "PATH", "PERL5*", "PERLLIB",
	"PROMPT_COMMAND", "PS[0-9]", "PYTHON*", "RUBY*", "SHELL", "SHELLOPTS", "TMOUT", "ZDOTDIR"}

// PermitsEnv says whether a client may set the variable. Names that steer the dynamic loader or a shell never are.
func (r *Role) PermitsEnv(name string) bool {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}) {
		return false
	}
	for _, p := range loaderVariables {
		if ok, _ := path.Match(p, name); ok {
			return false
		}
	}
	return slices.ContainsFunc(r.Env, func(g glob.Name) bool { return g.Match(name) })
}

// AddressList is a list of addresses and networks, each possibly refused with a leading "!", as in the from= option.
type AddressList struct {
	allow, refuse []netip.Prefix
}

// ParseAddressList reads a comma-separated list. Names and wildcards are refused: they would need to trust a resolver.
func ParseAddressList(s string) (*AddressList, error) {
	var l AddressList
	for item := range strings.SplitSeq(s, ",") {
		item, negated := strings.CutPrefix(strings.TrimSpace(item), "!")
		p, err := parsePrefix(item)
		if err != nil {
			return nil, err
		}
		if negated {
			l.refuse = append(l.refuse, p)
		} else {
			l.allow = append(l.allow, p)
		}
	}
	if len(l.allow) == 0 {
		return nil, fmt.Errorf("auth: address list %q permits nobody", s)
	}
	return &l, nil
}

// Contains says whether the address is permitted and not refused.
func (l *AddressList) Contains(a netip.Addr) bool {
	return containsAddr(l.allow, a) && !containsAddr(l.refuse, a)
}

func containsAddr(list []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parsePrefix reads an address or a network. Bits outside the mask are an error: they hide a slip of the pen.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("auth: address %q has a zone", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("auth: %q is not an address or network such as 10.0.0.0/8", s)
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("auth: network %q has bits set beyond its mask; did you mean %s", s, p.Masked())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("auth: network %q mixes IPv4 and IPv6", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}
