package sshd_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func certificate(t *testing.T, ca, key ssh.Signer, names ...string) ssh.Signer {
	t.Helper()
	cert := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: names, ValidBefore: ssh.CertTimeInfinity,
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": "", "permit-port-forwarding": ""}},
	}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A document that would not let a login in any more ends what that login opened; one that would does not.
func TestReloadJudgesLoginsAnew(t *testing.T) {
	ca, caLine := newKey(t)
	_, otherCA := newKey(t)
	key, line := newKey(t)
	_, otherLine := newKey(t)
	document := func(authorities, account, limits string) string {
		return "authorities: [" + authorities + "]\naccounts: [{name: alice, roles: [dev], " + account + "}]\n" +
			strings.Replace(rolesHead, "recording: off", "recording: off\n    limits: {"+limits+"}", 1)
	}
	quoted := func(s string) string { return "'" + s + "'" }
	both, named := quoted(caLine)+", "+quoted(otherCA), "principals: [al, ops]"
	keyed := func(options string) string { return "keys: [" + quoted(options+line) + "]" }
	pat := passwordRoles(t, "")
	_, hash, _ := strings.Cut(pat, `password: "`)
	hash, _, _ = strings.Cut(hash, `"`)
	secret := func(h string) string { return "password: " + quoted(h) }
	cert := ssh.PublicKeys(certificate(t, ca, key, "al", "x"))
	plain, typed := ssh.PublicKeys(key), ssh.Password("correct horse")
	for name, c := range map[string]struct {
		with          ssh.AuthMethod
		before, after string
		ends          bool
	}{
		"authority removed":        {cert, document(both, named, ""), document(quoted(otherCA), named, ""), true},
		"another authority gone":   {cert, document(both, named, ""), document(quoted(caLine), named, ""), false},
		"principal removed":        {cert, document(both, named, ""), document(both, "principals: [ops]", ""), true},
		"another principal gone":   {cert, document(both, named, ""), document(both, "principals: [al]", ""), false},
		"key removed":              {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), "keys: ["+quoted(otherLine)+"]", ""), true},
		"key from elsewhere now":   {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed(`from="192.0.2.0/24" `), ""), true},
		"key from here still":      {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed(`from="127.0.0.0/8" `), ""), false},
		"key has a command now":    {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed(`command="id" `), ""), true},
		"key has no terminal now":  {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed("no-pty "), ""), true},
		"password changed":         {typed, document(quoted(otherCA), secret(hash), ""), document(quoted(otherCA), secret(strings.Replace(hash, "p=1$", "p=1$AAAA", 1)), ""), true},
		"password as it was":       {typed, document(quoted(otherCA), secret(hash), ""), document(quoted(otherCA), secret(hash), "sessions: 3"), false},
		"second factor wanted now": {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed("")+", totp: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", ""), true},
		"source address removed":   {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed(""), "sourceAddresses: [192.0.2.0/24]"), true},
		"duration lowered":         {plain, document(quoted(otherCA), keyed(""), "duration: 1h"), document(quoted(otherCA), keyed(""), "duration: 1s"), true},
		"idle lowered":             {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed(""), "idle: 1s"), true},
		"limit still kept":         {plain, document(quoted(otherCA), keyed(""), ""), document(quoted(otherCA), keyed(""), "duration: 1h, idle: 1h, sessions: 1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, c.before, nil)
			x := shell(t, b.login(t, "alice+web-0", c.with))
			x.types(t, "echo rea''dy\n")
			x.sees(t, "ready")
			ended := make(chan int, 1)
			go func() { ended <- status(x.s.Wait()) }()
			write(t, b, c.after)
			if !c.ends {
				x.types(t, "echo sti''ll\n")
				x.sees(t, "still")
				return
			}
			select {
			case got := <-ended:
				if got != 255 || !strings.Contains(x.errOut.String(), "bastion: ") {
					t.Errorf("status %d, %q", got, x.errOut.String())
				}
			case <-time.After(5 * time.Second):
				t.Error("it goes on")
			}
		})
	}
}

// Fewer sessions than are open: the newest end.
func TestReloadWithFewerSessions(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	c := b.login(t, "alice+web-0", ssh.PublicKeys(key))
	var open []*terminal
	for range 4 {
		x := shell(t, c)
		x.types(t, "echo rea''dy\n")
		x.sees(t, "ready")
		open = append(open, x)
	}
	write(t, b, aliceWith(line)+strings.Replace(rolesHead, "recording: off", "recording: off\n    limits: {sessions: 2}", 1))
	for _, x := range open[2:] {
		if got := status(x.s.Wait()); got != 255 || !strings.Contains(x.errOut.String(), "more sessions open") {
			t.Errorf("%d %q", got, x.errOut.String())
		}
	}
	b.sessions.Revalidate()
	for _, x := range open[:2] {
		x.types(t, "echo sti''ll\n")
		x.sees(t, "still")
	}
}

// Who chooses from a list is judged by the document of that moment, not by that of when the list was shown.
func TestReloadWhilePicking(t *testing.T) {
	key, line := newKey(t)
	_, other := newKey(t)
	document := aliceWith(line) + rolesHead
	for name, c := range map[string]struct{ user, shown, after, text string }{
		"targets":           {"alice", "Which pod?", strings.Replace(document, "[shop]", "[bank]", 1), "there is no such pod"},
		"key":               {"alice", "Which pod?", aliceWith(other) + rolesHead, "your access has ended"},
		"ambiguous targets": {"alice+web-0", "Which of these?", strings.Replace(document, "[shop]", "[bank]", 1), "there is no such pod"},
		"ambiguous key":     {"alice+web-0", "Which of these?", aliceWith(other) + rolesHead, "your access has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, document, nil)
			far := pod("shop", "web-0", "uid-3")
			far.Cluster = "far"
			b.pods.set(pod("shop", "web-0", "uid-1"), far)
			x := shell(t, b.login(t, c.user, ssh.PublicKeys(key)))
			x.sees(t, c.shown)
			x.sees(t, "main+shop+web-0")
			write(t, b, c.after)
			x.types(t, "\r")
			if got := x.ends(t); got != 255 || !strings.Contains(x.errOut.String(), c.text) {
				t.Errorf("status %d, %q", got, x.errOut.String())
			}
			b.bridge.mu.Lock()
			defer b.bridge.mu.Unlock()
			if len(b.bridge.starts) > 0 {
				t.Errorf("%+v ran", b.bridge.starts)
			}
		})
	}
}
