package sshd_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// aliceWith is an account with a key.
func aliceWith(key string) string {
	return "accounts: [{name: alice, keys: [\"" + key + "\"], roles: [dev]}]\n"
}

// run runs a command and returns its output, errors and exit status.
func run(t *testing.T, c *ssh.Client, command string, stdin string) (string, string, int) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out, errOut bytes.Buffer
	s.Stdout, s.Stderr, s.Stdin = &out, &errOut, strings.NewReader(stdin)
	err = s.Run(command)
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return out.String(), errOut.String(), 0
	case errors.As(err, &exit):
		return out.String(), errOut.String(), exit.ExitStatus()
	}
	t.Fatalf("%s: %v (stderr %q)", command, err, errOut.String())
	return "", "", 0
}

func TestExec(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	c := b.login(t, "alice+web-0", ssh.PublicKeys(key))
	for _, test := range []struct {
		command, stdin, out, err string
		exit                     int
	}{
		{command: "echo hello", out: "hello\n"},
		{command: "echo oops >&2; exit 7", err: "oops\n", exit: 7},
		{command: "cat; echo end", stdin: "a\nb\x00c\r\n", out: "a\nb\x00c\r\nend\n"},
		{command: `printf '%s|' "a b" 'c"d'`, out: `a b|c"d|`},
		{command: "kill -KILL $$", err: "bastion: the process was killed (SIGKILL): by somebody in the pod, or because the pod has no memory left\n", exit: 137},
		{command: "exit 255", exit: 255},
	} {
		out, errOut, exit := run(t, c, test.command, test.stdin)
		if out != test.out || errOut != test.err || exit != test.exit {
			t.Errorf("%s: got %q %q %d, want %q %q %d", test.command, out, errOut, exit, test.out, test.err, test.exit)
		}
	}
}

// OpenSSH promises to open no more sessions right after it asked for the first one, whose channel may be slower. Only what
// comes after that is refused.
func TestNoMoreSessions(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	for range 100 {
		c, err := b.dial("alice+web-0", ssh.PublicKeys(key))
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		go func() {
			_, err := c.NewSession()
			opened <- err
		}()
		if ok, _, err := c.SendRequest("no-more-sessions@openssh.com", true, nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := <-opened; err != nil {
			t.Fatalf("the session that was opened before: %v", err)
		}
		if _, err := c.NewSession(); err == nil {
			t.Fatal("another session was opened")
		}
		_ = c.Close()
	}
}
