package auth

import (
	"fmt"
	"io"
	"strings"

	"github.com/podbastion/podbastion/auth/glob"
)

// WriteReport writes what a document says in a form for people, and what in it is allowed but unwise.
func (d *Document) WriteReport(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: good (sha256 %s)\n", d.name, d.hash)
	fmt.Fprintf(&b, "accounts: %d   roles: %d   authorities: %d\n", len(d.order), len(d.roleOrder), len(d.authorities))
	for _, name := range d.order {
		c := d.accounts[name]
		fmt.Fprintf(&b, "account %s: %s; roles %s\n", name, c.means(), strings.Join(c.Roles, ", "))
	}
	for _, r := range d.Roles() {
		fmt.Fprintf(&b, "role %s: targets %d, commands %s with %d rules, recording %s, files %s, forward %s\n",
			r.Name, len(r.Targets), r.Commands.Mode, len(r.Commands.Rules), r.Recording, r.Files.summary(), r.Forward.summary())
	}
	for _, text := range d.Warnings() {
		fmt.Fprintf(&b, "warning: %s\n", text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Warnings lists what loads but deserves a second look.
func (d *Document) Warnings() []string {
	var out []string
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	owner := make(map[string]Account)
	used := make(map[string]bool)
	for _, name := range d.order {
		c := d.accounts[name]
		for _, k := range c.Keys {
			if other, ok := owner[string(k.Marshal())]; ok && other != name {
				warn("accounts %s and %s share a key: the log can only tell them apart by name", other, name)
			}
			owner[string(k.Marshal())] = name
		}
		if c.Password != nil && c.TOTP == "" {
			warn("account %s can log in with a password alone: add totp, or use keys", name)
		}
		for _, r := range c.Roles {
			used[r] = true
		}
	}
	for _, r := range d.Roles() {
		if !used[r.Name] {
			warn("role %s is used by no account", r.Name)
		}
		if r.Recording == RecordingOff {
			warn("role %s is not recorded", r.Name)
		}
		for _, t := range r.Targets {
			if t.reachesAll() && r.Commands.Mode == Denylist {
				warn("role %s reaches every pod of every namespace without an allowlist", r.Name)
				break
			}
		}
	}
	return out
}

func (t TargetRule) reachesAll() bool {
	for _, list := range [][]glob.Name{t.Clusters, t.Namespaces, t.Pods} {
		if len(list) > 0 && !list[0].Any() {
			return false
		}
	}
	return t.Selector.Empty()
}

func (c *Credentials) means() string {
	var parts []string
	if n := len(c.Keys); n > 0 {
		parts = append(parts, fmt.Sprintf("keys %d", n))
	}
	if len(c.Principals) > 0 {
		parts = append(parts, "certificates for "+strings.Join(c.Principals, ", "))
	}
	if c.Password != nil {
		parts = append(parts, "password")
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing to log in with")
	}
	if c.TOTP != "" {
		parts = append(parts, "one-time code required")
	}
	return strings.Join(parts, ", ")
}

func (f Files) summary() string {
	var on []string
	for _, k := range []struct {
		name  string
		rules []FileRule
	}{{"upload", f.Upload}, {"download", f.Download}, {"remove", f.Remove}, {"rename", f.Rename}, {"mkdir", f.Mkdir}, {"chmod", f.Chmod}} {
		if len(k.rules) > 0 {
			on = append(on, k.name)
		}
	}
	if len(on) == 0 {
		return "off"
	}
	return strings.Join(on, "+")
}

func (f Forward) summary() string {
	var ports []string
	for _, r := range f.PodPorts {
		if r.First == r.Last {
			ports = append(ports, fmt.Sprint(r.First))
		} else {
			ports = append(ports, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	if len(ports) == 0 {
		return "off"
	}
	return strings.Join(ports, ",")
}
