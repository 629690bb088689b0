package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	aKey      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	goodRoles = "accounts:\n  - {name: alice, keys: ['" + aKey + "'], roles: [dev]}\nroles:\n  dev: {targets: [{namespaces: [shop]}]}\n"
)

// bastionRun runs the command as main does.
func bastionRun(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = program().Run(context.Background(), args, &o, &e)
	return code, o.String(), e.String()
}

func rolesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "roles.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	good, bad := rolesFile(t, goodRoles), rolesFile(t, strings.Replace(goodRoles, "roles: [dev]", "roles: [dve]", 1)+"extra: 1\n")
	tests := []struct {
		name        string
		args        []string
		code        int
		out, errOut string // what is to be found there; empty: nothing at all
	}{
		{"good", []string{good}, 0, "account alice: keys 1; roles dev\n", ""},
		{"bad, the first problem", []string{bad}, 3, "", bad + `:2:119: roles of account alice: there is no role "dve"; did you mean "dev"` + "\n"},
		{"bad, the second", []string{bad}, 3, "", "\n" + bad + `:5:1: the document has no key "extra"` + "\n"},
		{"missing", []string{good + "x"}, 1, "", "bastion check: cannot read roles document: open " + good + "x: no such file"},
		{"a directory", []string{filepath.Dir(good)}, 1, "", "is a directory"},
		{"no argument", nil, 2, "", "want one roles document"},
		{"two", []string{good, good}, 2, "", "want one roles document"},
		{"flag", []string{"--x"}, 2, "", "unknown flag: --x"},
		{"help", []string{"--help"}, 0, "", "bastion check ROLES"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := bastionRun(append([]string{"check"}, tt.args...)...)
			if code != tt.code || !has(out, tt.out) || !has(errOut, tt.errOut) {
				t.Errorf("status %d\nout: %s\nerr: %s", code, out, errOut)
			}
		})
	}
	if _, _, errOut := bastionRun("check", bad); !strings.HasPrefix(errOut, bad+":2:") {
		t.Errorf("something stands before the place: %s", errOut)
	}
}

func has(text, want string) bool {
	if want == "" {
		return text == ""
	}
	return strings.Contains(text, want)
}
