package auth

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/podbastion/podbastion/auth/glob"
)

// defaultEnv is what a client may set when a role does not say.
var defaultEnv = []string{"LANG", "LC_*", "COLORTERM", "NO_COLOR"}

func (l *loader) roles(n *yaml.Node) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		l.errorf(n, "roles is empty: want at least one role")
	}
	l.pairs(n, "roles", func(key, value *yaml.Node) {
		if !roleName.MatchString(key.Value) {
			l.errorf(key, "role name %s: want 1 to 64 letters, digits, dots, dashes, slashes and underscores", quoted(key.Value))
			return
		}
		// A role with problems is known all the same, so that accounts that name it are not blamed.
		l.doc.roles[key.Value] = l.role(key.Value, value)
		l.doc.roleOrder = append(l.doc.roleOrder, key.Value)
	})
}

func (l *loader) role(name string, n *yaml.Node) *Role {
	of := " of role " + name
	m := l.mapping(n, "role "+name, "targets", "user", "limits", "forward", "recording", "env", "commands", "files")
	r := &Role{
		Name:      name,
		User:      l.optional(m["user"], "user"+of, ""),
		Recording: word(l, m["recording"], "recording"+of, RecordingRequired, RecordingOn, RecordingOff),
		Limits:    l.limits(m["limits"], of),
		Forward:   l.forward(m["forward"], of),
		Commands:  l.commands(m["commands"], of),
		Files:     l.files(m["files"], of),
	}
	if u, ok := m["user"]; ok && !validUser(r.User) {
		l.errorf(u, "user%s is %s: want a name or uid, with :group or :gid after it if need be", of, describe(u))
	}
	if t, ok := m["targets"]; ok {
		for _, item := range l.sequence(t, "targets"+of) {
			r.Targets = append(r.Targets, l.target(item, of))
		}
	} else if n.Kind == yaml.MappingNode {
		l.errorf(n, `role %s has no "targets": want at least one`, name)
	}
	switch e := m["env"]; {
	case e == nil:
		for _, p := range defaultEnv {
			g, _ := glob.ParseName(p)
			r.Env = append(r.Env, g)
		}
	case e.Kind == yaml.SequenceNode && len(e.Content) == 0: // none at all
	default:
		r.Env = each(l, e, "env"+of, glob.ParseName)
	}
	return r
}

var userName = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?\z`)

func validUser(s string) bool { return userName.MatchString(s) }

func (l *loader) target(n *yaml.Node, of string) TargetRule {
	t := TargetRule{Selector: labels.Everything()}
	m := l.mapping(n, "a target"+of, "clusters", "namespaces", "pods", "containers", "selector")
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		l.errorf(n, `a target%s is empty: to mean everything say {namespaces: ["*"]}`, of)
	}
	for key, list := range map[string]*[]glob.Name{"clusters": &t.Clusters, "namespaces": &t.Namespaces, "pods": &t.Pods, "containers": &t.Containers} {
		*list = each(l, m[key], key+of, glob.ParseName)
	}
	if s, ok := m["selector"]; ok {
		if text, ok := l.text(s, "selector"+of); ok {
			sel, err := labels.Parse(text)
			switch {
			case err != nil:
				l.errorf(s, "selector%s is %s: want a label selector such as app=web,tier in (front,back)", of, quoted(text))
			case sel.Empty():
				l.errorf(s, "selector%s is empty: leave the key out", of)
			default:
				t.Selector = sel
			}
		}
	}
	return t
}

func (l *loader) limits(n *yaml.Node, of string) Limits {
	m := l.mapping(n, "limits"+of, "sessions", "idle", "duration", "sourceAddresses")
	var out Limits
	if s, ok := m["sessions"]; ok {
		out.Sessions = l.integer(s, "sessions"+of, 1, 1_000_000)
	}
	out.Idle = l.duration(m["idle"], "idle"+of)
	out.Duration = l.duration(m["duration"], "duration"+of)
	out.SourceAddresses = each(l, m["sourceAddresses"], "sourceAddresses"+of, parsePrefix)
	return out
}

func (l *loader) forward(n *yaml.Node, of string) Forward {
	if isFalse(n) {
		return Forward{}
	}
	m := l.mapping(n, "forward"+of, "podPorts")
	var out Forward
	if n != nil && n.Kind == yaml.MappingNode && m["podPorts"] == nil {
		l.errorf(n, `forward%s has no "podPorts": want a list of ports, or false`, of)
	}
	for _, p := range l.sequence(m["podPorts"], "podPorts"+of) {
		r, ok := parsePorts(p.Value)
		if p.Kind != yaml.ScalarNode || !ok {
			l.errorf(p, "podPorts%s: %s: want a port such as 8080 or a range such as 9000-9010", of, describe(p))
			continue
		}
		out.PodPorts = append(out.PodPorts, r)
	}
	return out
}

func parsePorts(s string) (PortRange, bool) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || a == 0 || b < a {
		return PortRange{}, false
	}
	return PortRange{First: uint16(a), Last: uint16(b)}, true
}

func isFalse(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && strings.EqualFold(n.Value, "false")
}

func (l *loader) commands(n *yaml.Node, of string) Commands {
	if n == nil {
		return Commands{Mode: Denylist}
	}
	m := l.mapping(n, "commands"+of, "mode", "rules")
	out := Commands{Mode: Allowlist}
	if mode, ok := m["mode"]; ok {
		out.Mode = word(l, mode, "mode"+of, Allowlist, Denylist)
	} else if n.Kind == yaml.MappingNode {
		l.errorf(n, `commands%s has no "mode": want allowlist or denylist`, of)
	}
	ids := make(map[string]int)
	for _, item := range l.sequence(m["rules"], "rules"+of) {
		r := l.rule(item, of)
		if line, ok := ids[r.ID]; ok && r.ID != "" {
			l.errorf(item, "rule id %s%s is there already, in line %d", quoted(r.ID), of, line)
		}
		ids[r.ID] = item.Line
		out.Rules = append(out.Rules, r)
	}
	return out
}

var ruleID = regexp.MustCompile(`\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\z`)

func (l *loader) rule(n *yaml.Node, of string) Rule {
	m := l.mapping(n, "a rule"+of, "id", "action", "programs", "arguments", "flags", "paths", "fileLargerThan", "regex", "anchored", "message")
	r := Rule{FileLargerThan: -1, Line: n.Line}
	if n.Kind != yaml.MappingNode {
		return r
	}
	if id, ok := m["id"]; !ok {
		l.errorf(n, `a rule%s has no "id"`, of)
	} else if r.ID, ok = l.text(id, "a rule's id"); ok && !ruleID.MatchString(r.ID) {
		l.errorf(id, "rule id %s: want 1 to 64 letters, digits, dots, dashes and underscores", quoted(r.ID))
	}
	of = " of rule " + printable(r.ID) + of
	if a, ok := m["action"]; ok {
		r.Action = word(l, a, "action"+of, Allow, Deny, Warn)
	} else {
		l.errorf(n, `there is no "action"%s: want allow, deny or warn`, of)
	}
	r.Programs = each(l, m["programs"], "programs"+of, parseProgram)
	for _, a := range l.sequence(m["arguments"], "arguments"+of) {
		r.Arguments = append(r.Arguments, l.argument(a, of))
	}
	r.Flags = each(l, m["flags"], "flags"+of, func(s string) (string, error) {
		if len(s) < 2 || s[0] != '-' || s == "--" || len(s) > 128 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == '=' || c == 0x7f }) {
			return "", errors.New("want a flag such as -r or --recursive")
		}
		return s, nil
	})
	r.Paths = each(l, m["paths"], "paths"+of, glob.ParsePath)
	r.FileLargerThan = l.size(m["fileLargerThan"], "fileLargerThan"+of)
	r.Regex = l.ruleRegex(m, of)
	r.Message = l.optional(m["message"], "message"+of, "")
	if len(r.Message) > 1000 || strings.ContainsFunc(r.Message, isControl) {
		l.errorf(m["message"], "message%s: want one line of up to 1000 bytes without control characters", of)
	}
	if !slices.ContainsFunc([]string{"programs", "arguments", "flags", "paths", "fileLargerThan", "regex"}, func(k string) bool { return m[k] != nil }) {
		l.errorf(n, "there is no condition%s: want programs, arguments, flags, paths, fileLargerThan or regex", of)
	}
	return r
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

func parseProgram(s string) (glob.Name, error) {
	if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return glob.Name{}, errors.New("want a program's name or absolute path, without arguments")
	}
	if strings.Contains(s, "/") && !strings.HasPrefix(s, "/") {
		return glob.Name{}, errors.New("want a name without a slash, or an absolute path")
	}
	return glob.ParseName(s)
}

func (l *loader) argument(n *yaml.Node, of string) Argument {
	what := "arguments" + of
	if n.Kind == yaml.MappingNode {
		m := l.mapping(n, "an item of "+what, "regex")
		if re, ok := m["regex"]; ok {
			return Argument{regex: l.regex(re, what, true)}
		}
		l.errorf(n, `an item of %s has no "regex": want a glob, or {regex: …}`, what)
		return Argument{}
	}
	s, ok := l.text(n, "an item of "+what)
	if !ok {
		return Argument{}
	}
	g, err := glob.ParseName(s)
	if err != nil {
		l.errorf(n, "%s: %s: %v", what, quoted(s), err)
	}
	return Argument{glob: g}
}

// ruleRegex reads a rule's regex, which matches the whole line unless anchored is false.
func (l *loader) ruleRegex(m map[string]*yaml.Node, of string) *regexp.Regexp {
	anchored := true
	if a, ok := m["anchored"]; ok {
		switch {
		case a.Kind != yaml.ScalarNode || a.ShortTag() != "!!bool":
			l.errorf(a, "anchored%s is %s: want true or false", of, describe(a))
		case m["regex"] == nil:
			l.errorf(a, "anchored%s is of no use without regex", of)
		default:
			anchored = strings.EqualFold(a.Value, "true")
		}
	}
	if re, ok := m["regex"]; ok {
		return l.regex(re, "regex"+of, anchored)
	}
	return nil
}

func (l *loader) regex(n *yaml.Node, what string, anchored bool) *regexp.Regexp {
	s, ok := l.text(n, what)
	if !ok {
		return nil
	}
	if s == "" || len(s) > glob.MaxPattern {
		l.errorf(n, "%s has %d bytes: want 1 to %d", what, len(s), glob.MaxPattern)
		return nil
	}
	// Compiled alone first: an expression with a stray parenthesis must not break out of the anchors.
	re, err := regexp.Compile(`(?s:` + s + `)`)
	if _, alone := regexp.Compile(s); alone != nil {
		err = alone
	}
	if err == nil && anchored {
		re, err = regexp.Compile(`\A(?s:` + s + `)\z`)
	}
	if err != nil {
		l.errorf(n, "%s is %s: want an RE2 expression: %s", what, quoted(s), printable(strings.TrimPrefix(err.Error(), "error parsing regexp: ")))
		return nil
	}
	return re
}

func (l *loader) files(n *yaml.Node, of string) Files {
	if isFalse(n) {
		return Files{}
	}
	m := l.mapping(n, "files"+of, "upload", "download", "remove", "rename", "mkdir", "chmod")
	kinds := func(key string, sized bool) []FileRule { return l.fileRules(m[key], key+of, sized) }
	return Files{
		Upload: kinds("upload", true), Download: kinds("download", true), Remove: kinds("remove", false),
		Rename: kinds("rename", false), Mkdir: kinds("mkdir", false), Chmod: kinds("chmod", false),
	}
}

func (l *loader) fileRules(n *yaml.Node, what string, sized bool) []FileRule {
	if isFalse(n) {
		return nil
	}
	keys := []string{"paths"}
	if sized {
		keys = append(keys, "maxSize")
	}
	var out []FileRule
	for _, item := range l.sequence(n, what) {
		m := l.mapping(item, fmt.Sprintf("an item of %s", what), keys...)
		r := FileRule{Paths: each(l, m["paths"], "paths of "+what, glob.ParsePath), MaxSize: l.size(m["maxSize"], "maxSize of "+what)}
		if item.Kind == yaml.MappingNode && m["paths"] == nil {
			l.errorf(item, `an item of %s has no "paths": want a list such as ["/tmp/**"]`, what)
		}
		out = append(out, r)
	}
	return out
}
