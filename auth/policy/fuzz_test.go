package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// FuzzDecide: no line makes the policy fail; the verdict is the worst of the nodes; and behind whatever an allowlist
// of nothing but ls allows, a line that it denies is still seen.
func FuzzDecide(f *testing.F) {
	for _, e := range evasions {
		f.Add(e.line, 0)
		f.Add(e.line, 1)
	}
	for _, line := range ordinary {
		f.Add(line, 2)
	}
	allowlist := policy.Compile(commands(f, `
mode: allowlist
rules: [{id: x, action: allow, programs: [ls], paths: ["/tmp/**"]}]`))
	denylist := policy.Compile(commands(f, `
mode: denylist
rules: [{id: x, action: deny, programs: ["t*h", rm], flags: [-r], paths: ["/a/**", "/*/b/*"]}, {id: y, action: warn, regex: "a+b", anchored: false}, {id: z, action: deny, paths: ["/etc/**"], fileLargerThan: 1kB}]`))
	dialects := []syntax.Dialect{syntax.Bash, syntax.POSIX, syntax.Mksh, syntax.Zsh, syntax.Fish}
	f.Fuzz(func(t *testing.T, text string, d int) {
		line := policy.Line{Text: text, Dialect: dialects[uint(d)%uint(len(dialects))]}
		for _, p := range []*policy.Policy{allowlist, denylist} {
			v := p.Decide(line, policy.Facts{Dir: "/a", Home: "/h"})
			if v.Err != nil && strings.HasPrefix(v.Err.Error(), "policy:") {
				t.Fatalf("%q: %v", text, v.Err)
			}
			if v.Err == nil && slices.ContainsFunc(v.Nodes, func(n policy.Node) bool { return n.Action == auth.Deny }) != (v.Action == auth.Deny) {
				t.Fatalf("%q: verdict %s with nodes\n%s", text, v.Action, nodes(v))
			}
		}
		v := allowlist.Decide(line, policy.Facts{})
		if v.Action != auth.Allow || len(v.Defines) > 0 {
			return
		}
		line.Text += "\ntouch F"
		if after := allowlist.Decide(line, policy.Facts{}); after.Action != auth.Deny {
			t.Fatalf("%q gets %s", line.Text, after.Action)
		}
	})
}
