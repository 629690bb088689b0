package auth

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
)

var errorLine = regexp.MustCompile(`\Af:([1-9][0-9]*):[1-9][0-9]*: .`)

// FuzzLoad: nothing panics. A document that is refused is refused with places that are in it and in words that are
// safe to print. One that loads, written anew in another style of YAML, decides alike.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(goodDocument(f)))
	f.Add([]byte("accounts: [{name: a, keys: [x], roles: [r]}]\nroles: {r: {targets: [{pods: ['[']}]}}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("roles: {\"\\e[31m\": 1}\n"))
	f.Add([]byte("accounts:\n- name: a\n  password: " + goodHash + "\n  roles: [r]\nroles:\n  r:\n    targets: [{selector: a}]\n    limits: {sessions: 010}\n    forward: {podPorts: [010, \"7-9\"]}\n    files: {upload: [{paths: [/a], maxSize: 010}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Load("f", data)
		if err != nil {
			checkLoadError(t, data, err)
			return
		}
		again, err := Load("f", restyled(t, data))
		if err != nil {
			t.Fatalf("the same in another style is refused: %v", err)
		}
		if a, b := decisions(t, d), decisions(t, again); a != b {
			t.Fatalf("the same in another style decides otherwise:\n%s\n%s", a, b)
		}
		for _, name := range d.Accounts() {
			if c, _ := d.Credentials(name); len(c.Roles) == 0 {
				t.Fatalf("account %s without a role", name)
			}
		}
	})
}

func checkLoadError(t *testing.T, data []byte, err error) {
	t.Helper()
	var le *LoadError
	if !errors.As(err, &le) || len(le.Problems) == 0 {
		t.Fatalf("an error without a place: %v", err)
	}
	lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + bytes.Count(data, []byte("\u0085")) +
		bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029")) + 2
	for i, line := range strings.Split(err.Error(), "\n") {
		if le.More && i == len(le.Problems) {
			continue
		}
		if !errorLine.MatchString(line) || le.Problems[i].Line > lines {
			t.Fatalf("problem without its place: %q", line)
		}
		if strings.ContainsFunc(line, unicode.IsControl) {
			t.Fatalf("control characters in %q", line)
		}
	}
}

// restyled writes the document anew: what was in flow style in blocks and the other way round, strings in double quotes.
func restyled(t *testing.T, data []byte) []byte {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatalf("loads, but is not YAML: %v", err)
	}
	var walk func(n *yaml.Node, flow bool)
	walk = func(n *yaml.Node, flow bool) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		switch n.Kind {
		case yaml.MappingNode, yaml.SequenceNode:
			flow = flow || n.Style&yaml.FlowStyle == 0
			n.Style = 0
			if flow {
				n.Style = yaml.FlowStyle
			}
		case yaml.ScalarNode:
			if n.ShortTag() == "!!str" {
				n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
			}
		}
		for _, c := range n.Content {
			walk(c, flow)
		}
	}
	walk(&root, false)
	out, err := yaml.Marshal(&root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decisions is what the document says to a good many questions.
func decisions(t *testing.T, d *Document) string {
	t.Helper()
	var b strings.Builder
	if err := d.WriteReport(&b); err != nil {
		t.Fatal(err)
	}
	_, report, _ := strings.Cut(b.String(), "\n") // without the hash of the bytes
	b.Reset()
	b.WriteString(report)
	names := []string{"", "a", "web-1", "shop", "prod", "app", "default"}
	paths := []string{"/", "/tmp", "/tmp/a", "/etc/passwd"}
	for _, r := range d.Roles() {
		fmt.Fprintf(&b, "role %s: %s %s %+v %v\n", r.Name, r.User, r.Recording, r.Limits, r.Forward)
		for _, name := range append(names, "LANG", "FOO_X", "LD_PRELOAD") {
			fmt.Fprint(&b, r.PermitsEnv(name), " ")
		}
		for _, rules := range [][]FileRule{r.Files.Upload, r.Files.Download, r.Files.Remove, r.Files.Rename, r.Files.Mkdir, r.Files.Chmod} {
			for _, rule := range rules {
				for _, p := range paths {
					fmt.Fprint(&b, rule.Match(p), rule.MaxSize, " ")
				}
			}
		}
		for _, rule := range r.Commands.Rules {
			fmt.Fprint(&b, rule.ID, rule.Action, rule.Programs, rule.Flags, rule.Paths, rule.FileLargerThan, rule.Regex, rule.Message)
			for _, a := range rule.Arguments {
				for _, p := range append(names, paths...) {
					fmt.Fprint(&b, a.Match(p), " ")
				}
			}
		}
	}
	for _, account := range d.Accounts() {
		c, _ := d.Credentials(account)
		fmt.Fprintf(&b, "account %s: %q %v %s\n", account, c.Principals, c.Password, c.TOTP)
		for _, k := range c.Keys {
			fmt.Fprintf(&b, "%x %q %v %v %q %v %v\n", k.Marshal(), k.Comment, k.From, k.Expires, k.ForceCommand, k.NoPTY, k.NoForward)
		}
		for _, addr := range []string{"10.0.0.1", "192.0.2.1", "2001:db8::1"} {
			access, err := d.Access(account, netip.MustParseAddr(addr))
			fmt.Fprintln(&b, addr, err)
			for i := 0; err == nil && i < len(names); i++ {
				for _, ns := range names {
					role, ok := access.Permits(Resource{Cluster: "prod", Namespace: ns, Pod: names[i], Container: "app", Labels: map[string]string{"tier": "web", "a": ""}})
					if ok {
						fmt.Fprint(&b, role.Name)
					}
					fmt.Fprint(&b, " ")
				}
			}
		}
	}
	return b.String()
}
