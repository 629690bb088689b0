package policy_test

import (
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
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
