package sshd_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// late is a connection whose second write, the key exchange's first packet, and all that follow come late.
type late struct {
	net.Conn
	by    time.Duration
	mu    sync.Mutex
	wrote int
}

func (l *late) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.wrote++
	second := l.wrote == 2
	l.mu.Unlock()
	if second {
		time.Sleep(l.by)
	}
	return l.Conn.Write(p)
}

// split is a connection that sends every byte alone.
type split struct{ net.Conn }

func (s split) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// The client's order decides, so what is slower is only offered to who has no AES-GCM, or is not known in time.
func TestCipherFollowsTheClient(t *testing.T) {
	key, line := newKey(t)
	b := start(t, rolesHead+"accounts: [{name: alice, keys: [\""+line+"\"], roles: [dev]}]\n", nil)
	const chacha, gcm, gcm256, ctr = ssh.CipherChaCha20Poly1305, ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherAES256CTR
	same := func(c net.Conn) net.Conn { return c }
	for _, tt := range []struct {
		name    string
		ciphers []string
		through func(net.Conn) net.Conn
		want    string
	}{
		{"ChaCha20 and CTR first, as OpenSSH", []string{chacha, ctr, gcm}, same, gcm},
		{"the client chooses between GCMs", []string{chacha, gcm256, gcm}, same, gcm256},
		{"only the other GCM", []string{chacha, gcm256}, same, gcm256},
		{"ChaCha20 alone", []string{chacha}, same, chacha},
		{"no GCM", []string{chacha, ctr}, same, chacha},
		{"far away", []string{chacha, gcm}, func(c net.Conn) net.Conn { return &late{Conn: c, by: 200 * time.Millisecond} }, chacha},
		{"byte by byte", []string{gcm, chacha}, func(c net.Conn) net.Conn { return split{c} }, gcm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := net.Dial("tcp", b.addr)
			if err != nil {
				t.Fatal(err)
			}
			conf := &ssh.ClientConfig{User: "alice+web-0", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(b.hostKey), Timeout: 10 * time.Second}
			conf.Ciphers = tt.ciphers
			conn, channels, requests, err := ssh.NewClientConn(tt.through(raw), b.addr, conf)
			if err != nil {
				t.Fatal(err)
			}
			got := conn.(ssh.AlgorithmsConnMetadata).Algorithms()
			if got.Read.Cipher != tt.want || got.Write.Cipher != tt.want {
				t.Errorf("took %s and %s, not %s", got.Read.Cipher, got.Write.Cipher, tt.want)
			}
			client := ssh.NewClient(conn, channels, requests)
			defer func() { _ = client.Close() }()
			session, err := client.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			if out, err := session.Output("echo there"); err != nil || string(out) != "there\n" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// Whoever sends something else than a key exchange's packet, or a part of one, is let go of.
func TestNoKeyExchange(t *testing.T) {
	_, line := newKey(t)
	b := start(t, rolesHead+"accounts: [{name: alice, keys: [\""+line+"\"], roles: [dev]}]\n", nil)
	for name, text := range map[string]string{
		"a huge packet": "SSH-2.0-x\r\n\xff\xff\xff\xff\x04\x14", "no packet": "SSH-2.0-x\r\n\x00\x00\x00\x0c\x04\x15........",
		"lists beyond the end": "SSH-2.0-x\r\n\x00\x00\x00\x1c\x04\x14cookiecookie1234\xff\xff\xff\xff......",
		"empty lists":          "SSH-2.0-x\r\n\x00\x00\x00\x1c\x04\x14cookiecookie1234\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", b.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			_ = c.(*net.TCPConn).CloseWrite()
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("not ended: %v", err)
			}
		})
	}
}
