package sshd_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/bastion/session"
)

func TestForward(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // an echo that answers only once it has heard all
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all, _ := io.ReadAll(c)
			_, _ = c.Write(append([]byte("heard "), all...))
			_ = c.Close()
		}
	}()
	b, c := alice(t, nil)
	port := ln.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"localhost", "127.0.0.1", "web-0", "10.1.2.3"} {
		far, err := c.Dial("tcp", net.JoinHostPort(host, itoa(port)))
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		if _, err := io.WriteString(far, "hello"); err != nil {
			t.Fatal(err)
		}
		if err := far.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(far)
		if err != nil || string(answer) != "heard hello" {
			t.Errorf("%s: %q %v", host, answer, err)
		}
		_ = far.Close()
	}
	closed := b.events.wait(t, "close", func(e audit.Event) bool { return e.Type == audit.ForwardClose })
	if closed.Port != port || *closed.BytesIn != 5 || *closed.BytesOut != 11 {
		t.Errorf("close %+v", closed)
	}
	for host, reason := range map[string]error{"192.0.2.7": session.ErrForwardHost, "169.254.169.254": session.ErrForwardHost, "vault-0": session.ErrForwardHost} {
		if _, err := c.Dial("tcp", net.JoinHostPort(host, itoa(port))); err == nil || !strings.Contains(err.Error(), "only ports of the pod") {
			t.Errorf("%s: %v", host, err)
		}
		b.events.wait(t, host, func(e audit.Event) bool {
			return e.Type == audit.ForwardClose && e.Reason == reason.Error() && e.Path == host
		})
	}
	if _, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("remote forwarding was granted")
	}
	_, errOut, _ := run(t, c, "true", "")
	if !strings.Contains(errOut, "remote forwarding (-R) is refused") {
		t.Errorf("no word on -R: %q", errOut)
	}
}

func TestForwardDuration(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	key, line := newKey(t)
	b := start(t, aliceWith(line)+strings.Replace(rolesHead, "recording: off", "recording: off\n    limits: {duration: 1s}", 1), nil)
	far, err := b.login(t, "alice+web-0", ssh.PublicKeys(key)).Dial("tcp", net.JoinHostPort("localhost", itoa(ln.Addr().(*net.TCPAddr).Port)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(far); err != nil {
		t.Error(err)
	}
	b.events.wait(t, "end", func(e audit.Event) bool { return e.Type == audit.ForwardClose && e.Reason == "limit: duration" })
}

func TestForwardPortOfRole(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+strings.Replace(rolesHead, "1-65535", "8080", 1), nil)
	c := b.login(t, "alice+web-0", ssh.PublicKeys(key))
	if _, err := c.Dial("tcp", "localhost:22"); err == nil || !strings.Contains(err.Error(), "does not permit port 22") {
		t.Errorf("got %v", err)
	}
	b.events.wait(t, "reason", func(e audit.Event) bool { return e.Reason == session.ErrForwardPort.Error() })
}
