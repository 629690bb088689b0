package sshd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
)

// allowlist permits to look around with three programs.
const allowlist = `
roles:
  dev:
    targets: [{namespaces: [shop]}]
    recording: off
    commands:
      mode: allowlist
      rules:
        - {id: no-secrets, action: deny, programs: [cat], paths: ["/etc/shadow"], message: "not that one"}
        - {id: look, action: allow, programs: [cat, echo, ls]}
        - {id: noisy, action: warn, programs: [stty], message: "careful"}
`

func TestExecIsJudged(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+allowlist, nil)
	c := b.login(t, "alice+web-0", ssh.PublicKeys(key))
	marker := filepath.Join(t.TempDir(), "made")
	for _, test := range []struct {
		command, out, err, verdict, rule string
		exit                             int
	}{
		{command: "echo in | cat", out: "in\n", verdict: "allow", rule: "look"},
		{command: "cat /etc/shadow", err: "bastion: denied by rule no-secrets: not that one\n", verdict: "deny", rule: "no-secrets", exit: 126},
		{command: "echo a; touch " + marker, err: "bastion: denied", verdict: "deny", exit: 126},
		{command: "echo $(touch " + marker + ")", err: "bastion: denied", verdict: "deny", exit: 126},
		{command: "eval \"to\"\"uch " + marker + "\"", err: "bastion: denied", verdict: "deny", exit: 126},
		{command: "stty --version >/dev/null || echo no", err: "bastion: warning by rule noisy: careful\n", verdict: "warn", rule: "noisy"},
	} {
		out, errOut, exit := run(t, c, test.command, "")
		if out != test.out || !strings.HasPrefix(errOut, test.err) || exit != test.exit {
			t.Errorf("%s: %q %q %d", test.command, out, errOut, exit)
		}
		e := b.events.wait(t, test.command, func(e audit.Event) bool { return e.Type == audit.Command && e.Line == test.command })
		if e.Verdict != test.verdict || test.rule != "" && e.Rule != test.rule || e.Witness != "exec" {
			t.Errorf("%s: event %+v", test.command, e)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a denied command ran")
	}
}

// A shell that reads a pipe is given one judged line after the other, and none after a denied one.
func TestPipedShell(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+allowlist, nil)
	s, err := b.login(t, "alice+web-0", ssh.PublicKeys(key)).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(t.TempDir(), "made")
	var errOut buffer
	s.Stdin, s.Stderr = strings.NewReader("touch "+marker+"\n"), &errOut
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	if got := status(s.Wait()); got != 126 || !strings.Contains(errOut.String(), "bastion: denied") {
		t.Errorf("%d %q", got, errOut.String())
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a denied line ran")
	}
}

// What is typed is judged line by line, and what was refused does not run.
func TestTypedIsJudged(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+allowlist, nil)
	x := shell(t, b.login(t, "alice+web-0", ssh.PublicKeys(key)))
	marker := filepath.Join(t.TempDir(), "made")
	eventually(t, func() bool { return strings.HasSuffix(x.out.String(), "# ") || strings.HasSuffix(x.out.String(), "$ ") }, x.out.String)
	x.types(t, "echo al''lowed\r")
	x.sees(t, "allowed\r\n")
	x.types(t, "touch "+marker+"\r")
	x.sees(t, "bastion: denied")
	b.events.wait(t, "denied", func(e audit.Event) bool {
		return e.Type == audit.Command && e.Verdict == "deny" && strings.HasPrefix(e.Line, "touch ") && e.Witness == "screen"
	})
	x.types(t, "echo aga''in\r")
	x.sees(t, "again\r\n")
	if _, err := os.Stat(marker); err == nil {
		t.Error("a denied line ran")
	}
}
