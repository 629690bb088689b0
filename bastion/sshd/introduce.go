package sshd

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"syscall"

	"github.com/podbastion/podbastion/internal/tcp"
)

// version is what the bastion calls itself (RFC 4253 section 4.2).
const version = "SSH-2.0-Podbastion"

// maxVersion bounds the client's line, its end included; RFC 4253 has the number.
const maxVersion = 255

var errVersion = errors.New("sshd: the client's first line is too long")

// introduce sends our line and reads the client's, before the library does: what is offered depends on who asks. Both
// lines are part of what the key exchange signs, so nobody in between can change them. The library then sees the same
// bytes as ever.
func (c *conn) introduce() (client string, err error) {
	if _, err := c.Conn.Write([]byte(version + "\r\n")); err != nil {
		return "", err
	}
	buf := make([]byte, 0, maxVersion)
	for {
		n, err := c.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if i := bytes.IndexByte(buf, '\n'); i >= 0 {
			c.ahead, c.introduced = buf, true
			return string(bytes.TrimRight(buf[:i], "\r")), nil
		}
		switch {
		case err != nil:
			return "", err
		case len(buf) == cap(buf):
			return "", errVersion
		}
	}
}

// Read gives what was read ahead, then what comes.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.note()
		if t, ok := c.Conn.(syscall.Conn); ok && !c.inUse.Load() {
			tcp.Acknowledge(t) // OpenSSH's client would wait for it once in every login
		}
	}
	return n, err
}

// Write leaves out the library's own line, which was sent already.
func (c *conn) Write(p []byte) (int, error) {
	if c.introduced {
		c.introduced = false
		if string(p) == version+"\r\n" {
			return len(p), nil
		}
	}
	return c.Conn.Write(p)
}

var libssh2 = regexp.MustCompile(`^SSH-2\.0-libssh2_1\.(\d{1,3})\b`)

// needsOldMACs is true for libssh2 before 1.11, which curl uses in Debian 12: it knows no MAC over ciphertext and no
// cipher that needs none.
func needsOldMACs(client string) bool {
	m := libssh2.FindStringSubmatch(client)
	if m == nil {
		return false
	}
	minor, err := strconv.Atoi(m[1])
	return err == nil && minor < 11
}
