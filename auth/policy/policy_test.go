package policy_test

import (
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
)

// commands loads the commands section of a role.
func commands(t testing.TB, section string) *auth.Commands {
	t.Helper()
	text := "accounts:\n  - {name: a, keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER\"], roles: [r]}\nroles:\n  r:\n    targets: [{namespaces: [\"*\"]}]\n    commands:\n"
	for line := range strings.SplitSeq(strings.Trim(section, "\n"), "\n") {
		text += "      " + line + "\n"
	}
	doc, err := auth.Load("roles.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &doc.Roles()[0].Commands
}

func TestThin(t *testing.T) {
	allow := policy.Compile(commands(t, `
mode: allowlist
rules:
  - {id: look, action: allow, programs: [ls, cat, echo, grep, sh, sudo, find, xargs, awk, env]}
`))
	deny := policy.Compile(commands(t, `
mode: denylist
rules:
  - {id: no-rm, action: deny, programs: [rm]}
`))
	for _, s := range []string{`ls -la | grep x > /tmp/f`, `\rm F`, `rm${IFS}F`, `a=rm; $a F`, `echo "rm F" | sh`, `find . -exec rm {} \;`, `>F`, `ls`, `cd /tmp && ls`, "{\nrm F\n}", `sudo ls`, `bash`} {
		for name, p := range map[string]*policy.Policy{"allow": allow, "deny": deny} {
			v := p.Decide(policy.Line{Text: s}, policy.Facts{})
			t.Logf("%s %q: %s %s %s %s shell=%v", name, s, v.Action, v.Rule, v.Reason, v.Confidence, v.StartsShell)
		}
	}
}
