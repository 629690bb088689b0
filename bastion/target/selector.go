package target

import "strings"

// Selector is a list of requirements that must all hold. It has at least one that asks for a value, so that a
// selector always names something.
type Selector []Requirement

// Requirement asks for a label to have a value or, with Not, not to have it (or not to be there at all).
type Requirement struct {
	Key   string
	Value string
	Not   bool
}

// Matches tells whether labels meet every requirement. An empty selector matches nothing.
func (s Selector) Matches(labels map[string]string) bool {
	for _, r := range s {
		value, ok := labels[r.Key]
		if (ok && value == r.Value) == r.Not {
			return false
		}
	}
	return len(s) > 0
}

// selector reads key=value,key!=value,… with ~ for the / in a key. Sets ("in (a, b)") are left out: OpenSSH refuses
// parentheses in a user name.
func (p *parser) selector(at int, s string) (Selector, error) {
	var sel Selector
	named := false
	for i, part := range strings.Split(s, ",") {
		if i > 0 {
			at++
		}
		if i == maxRequirements {
			return nil, p.fail(at, "a label selector has at most %d requirements", maxRequirements)
		}
		r, err := p.requirement(at, part)
		if err != nil {
			return nil, err
		}
		named = named || !r.Not
		sel = append(sel, r)
		at += len(part)
	}
	if !named {
		return nil, p.fail(at-len(s), "a label selector needs at least one key=value, not only key!=value")
	}
	return sel, nil
}

func (p *parser) requirement(at int, s string) (Requirement, error) {
	var r Requirement
	key, value, ok := strings.Cut(s, "=")
	switch {
	case s == "":
		return r, p.fail(at, "a requirement of the label selector is missing; write key=value,key=value")
	case !ok:
		return r, p.fail(at, "%q is not key=value", s)
	}
	valueAt := at + len(key) + 1
	if strings.HasSuffix(key, "!") {
		r.Not = true
		key = key[:len(key)-1]
	}
	prefix, name, prefixed := strings.Cut(key, "~")
	if prefixed {
		if prefix == "" {
			return r, p.fail(at, "the prefix of the label's key is missing before '~'")
		}
		if err := p.subdomain(at, prefix, "label key's prefix"); err != nil {
			return r, err
		}
		r.Key = prefix + "/" + name
		at += len(prefix) + 1
	} else {
		name = key
		r.Key = key
	}
	if name == "" {
		return r, p.fail(at, "a label's key is missing before '='")
	}
	if err := p.labelText(at, name, "label's key"); err != nil {
		return r, err
	}
	r.Value = value
	return r, p.labelTextOrEmpty(valueAt, value)
}

func (p *parser) labelTextOrEmpty(at int, s string) error {
	if s == "" {
		return nil
	}
	return p.labelText(at, s, "label's value")
}

// labelText checks what Kubernetes permits in a label's value and in the name of its key.
func (p *parser) labelText(at int, s, what string) error {
	if len(s) > maxLabelName {
		return p.fail(at+maxLabelName, "a %s has at most %d characters", what, maxLabelName)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case alnum(c):
		case c == '-' || c == '_' || c == '.':
			if i == 0 || i == len(s)-1 {
				return p.fail(at+i, "a %s cannot begin or end with %q", what, c)
			}
		case c == '~':
			return p.fail(at+i, "the ~container comes last, after the whole label selector")
		case c == '=':
			return p.fail(at+i, "a single = is enough, as in app=web")
		default:
			return p.fail(at+i, "a %s has letters, digits, '-', '_' and '.' only, not %q", what, c)
		}
	}
	return nil
}
