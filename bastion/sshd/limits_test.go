package sshd_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
)

func contextWithTimeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// lostProcess adds what a lost process does not care about.
type lostProcess struct{ lost }

func (lostProcess) Signal(context.Context, string) error { return nil }
func (lostProcess) Close() error                         { return nil }

// Half-open handshakes fill their own limit and nobody else's, and end by themselves.
func TestHalfOpen(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, _ *session.Options) {
		o.Limits.MaxUnauthenticated, o.Limits.LoginGrace = 3, time.Second
	})
	c := b.login(t, "alice+web-0", ssh.PublicKeys(key)) // before the flood
	var idle []net.Conn
	for range 10 {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			continue // turned away already
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	if out, _, exit := run(t, c, "echo in", ""); out != "in\n" || exit != 0 {
		t.Errorf("who was there is harmed: %q %d", out, exit)
	}
	for _, conn := range idle { // each ends within the grace
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("a half-open connection lives on")
		}
	}
	eventually(t, func() bool {
		c, err := b.dial("alice+web-0", ssh.PublicKeys(key))
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	}, func() string { return "no login after the flood" })
}

// As many sources as there are places hold one each and say nothing: somebody else logs in all the same.
func TestHalfOpenFromMany(t *testing.T) {
	key, line := newKey(t)
	const places = 20
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, _ *session.Options) { o.Limits.MaxUnauthenticated = places })
	for i := range places {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i))}}
		conn, err := d.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err != nil { // the bastion's version: it is in
			t.Fatal(err)
		}
	}
	if out, _, exit := run(t, b.login(t, "alice+web-0", ssh.PublicKeys(key)), "echo in", ""); out != "in\n" || exit != 0 {
		t.Errorf("%q %d", out, exit)
	}
}

func TestMaxPerSource(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, _ *session.Options) { o.Limits.MaxPerSource = 2 })
	one := b.login(t, "alice", ssh.PublicKeys(key))
	b.login(t, "alice", ssh.PublicKeys(key))
	if _, err := b.dial("alice", ssh.PublicKeys(key)); err == nil {
		t.Fatal("a third connection got in")
	}
	_ = one.Close()
	eventually(t, func() bool {
		c, err := b.dial("alice", ssh.PublicKeys(key))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, func() string { return "the place was not freed" })
}

func TestMaxChannels(t *testing.T) {
	_, c := alice(t, func(o *sshd.Options, _ *session.Options) { o.Limits.MaxChannels = 2 })
	for range 2 {
		if _, err := c.NewSession(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "2 sessions and forwards at once") {
		t.Errorf("third channel: %v", err)
	}
}

// A client that reads nothing stalls itself only, and is gone when it does not answer.
func TestStalledClient(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, _ *session.Options) {
		o.Limits.KeepaliveInterval, o.Limits.KeepaliveMisses = 300*time.Millisecond, 4
	})
	raw, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	stalled := &stallable{Conn: raw, stall: make(chan struct{}), gone: make(chan struct{})}
	conn, chans, reqs, err := ssh.NewClientConn(stalled, b.addr, &ssh.ClientConfig{
		User: "alice+web-0", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(b.hostKey)})
	if err != nil {
		t.Fatal(err)
	}
	c := ssh.NewClient(conn, chans, reqs)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out buffer
	s.Stdout = &out
	if err := s.Start("echo $$; exec cat /dev/zero"); err != nil {
		t.Fatal(err)
	}
	out.has(t, "\n")
	close(stalled.stall)
	if o, _, exit := run(t, b.login(t, "alice+web-0", ssh.PublicKeys(key)), "echo in", ""); o != "in\n" || exit != 0 {
		t.Errorf("others are harmed: %q %d", o, exit)
	}
	eventually(t, func() bool { return b.sessions.Live() == 0 }, func() string { return "the stalled session lives on" })
	close(stalled.gone)
	_ = c.Close()
}

// stallable stops reading when told to.
type stallable struct {
	net.Conn
	stall, gone chan struct{}
}

func (s *stallable) Read(p []byte) (int, error) {
	select {
	case <-s.stall:
		<-s.gone
		return 0, io.EOF
	default:
		return s.Conn.Read(p)
	}
}

// A silent client that answers keepalives stays.
func TestKeepalive(t *testing.T) {
	_, c := alice(t, func(o *sshd.Options, _ *session.Options) {
		o.Limits.KeepaliveInterval, o.Limits.KeepaliveMisses = 300*time.Millisecond, 4
	})
	x := shell(t, c)
	x.types(t, "echo rea''dy\n")
	x.sees(t, "ready")
	time.Sleep(4 * time.Second) // more than a dead client would get
	x.types(t, "echo sti''ll\n")
	x.sees(t, "still")
	if ok, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil || !ok {
		t.Errorf("our own question: %v %v", ok, err)
	}
}

// A client that asks for nothing (ssh -N -L, until the forward is used) stays while it answers, and goes when it does not.
func TestAsksForNothing(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, _ *session.Options) {
		o.Limits.LoginGrace, o.Limits.KeepaliveInterval, o.Limits.KeepaliveMisses = time.Second, 200*time.Millisecond, 4
	})
	waits := b.login(t, "alice+web-0", ssh.PublicKeys(key))
	raw, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	freezes := &freezing{Conn: raw}
	gone, _, _, err := ssh.NewClientConn(freezes, b.addr, &ssh.ClientConfig{
		User: "alice+web-0", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(b.hostKey)})
	if err != nil {
		t.Fatal(err)
	}
	freezes.now.Store(true)
	_ = raw.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := gone.Wait(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a client that answers nothing: %v", err)
	}
	time.Sleep(1500 * time.Millisecond) // in all more than the grace
	if out, _, exit := run(t, waits, "echo in", ""); out != "in\n" || exit != 0 {
		t.Errorf("after a while: %q %d", out, exit)
	}
}

// freezing is a connection whose writes are lost from now on.
type freezing struct {
	net.Conn
	now atomic.Bool
}

func (f *freezing) Write(p []byte) (int, error) {
	if f.now.Load() {
		return len(p), nil
	}
	return f.Conn.Write(p)
}

func TestGarbage(t *testing.T) {
	_, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, _ *session.Options) { o.Limits.LoginGrace = 2 * time.Second })
	for _, data := range []string{"GET / HTTP/1.0\r\n\r\n", "SSH-2.0-x\r\n" + strings.Repeat("\xff", 400<<10), strings.Repeat("A", 1<<20)} {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		go func() { _, _ = io.WriteString(conn, data) }()
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%.20q… is still listened to", data)
		}
		_ = conn.Close()
	}
}
