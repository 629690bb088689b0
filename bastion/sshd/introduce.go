package sshd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/podbastion/podbastion/internal/tcp"
)

// version is what the bastion calls itself (RFC 4253 section 4.2).
const version = "SSH-2.0-Podbastion"

const (
	maxVersion = 255     // bounds the client's line, its end included; RFC 4253 has the number
	maxAhead   = 8 << 10 // bounds what is read before the library reads; a key exchange's first packet has 1 to 3 KiB

	// So long the client's first packet is waited for: it tells which ciphers the client has. Who is further away than
	// this is offered all, and pays no more than this.
	helloWait = 10 * time.Millisecond
)

var errVersion = errors.New("sshd: the client's first line is too long")

// introduction is what a client says before anything is agreed on.
type introduction struct {
	version string
	ciphers []string // from the client, none if not known in time
}

// introduce sends our line and reads the client's, before the library does: what is offered depends on who asks. Both
// lines are part of what the key exchange signs, and so is the client's offer, so nobody in between can change them.
// The library then sees the same bytes as ever.
func (c *conn) introduce() (introduction, error) {
	if _, err := c.Conn.Write([]byte(version + "\r\n")); err != nil {
		return introduction{}, err
	}
	buf := make([]byte, 0, maxAhead)
	end := -1
	for end < 0 {
		n, err := c.Conn.Read(buf[len(buf):maxVersion])
		buf = buf[:len(buf)+n]
		end = bytes.IndexByte(buf, '\n')
		switch {
		case end >= 0:
		case err != nil:
			return introduction{}, err
		case len(buf) == maxVersion:
			return introduction{}, errVersion
		}
	}
	in := introduction{version: string(bytes.TrimRight(buf[:end], "\r"))}
	c.ahead, in.ciphers = c.hear(buf, end+1)
	c.introduced = true
	return in, nil
}

// hear reads on for a moment, until the key exchange's first packet, which begins at from, tells the client's ciphers.
// Whoever is gone is told so at the next read.
func (c *conn) hear(buf []byte, from int) (ahead []byte, ciphers []string) {
	_ = c.SetReadDeadline(time.Now().Add(helloWait))
	defer func() { _ = c.SetReadDeadline(c.deadline) }()
	for {
		ciphers, whole := offered(buf[from:])
		if whole || len(buf) == cap(buf) {
			return buf, ciphers
		}
		n, err := c.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, nil
		}
	}
}

// offered reads the ciphers to the server of a key exchange's first packet (RFC 4253 sections 6 and 7.1), and tells
// whether no more bytes are needed: they are there, or it is no such packet.
func offered(p []byte) (ciphers []string, whole bool) {
	const kexInit, lists = 20, 3 // before that list: key exchanges and host keys
	if len(p) < 6 {
		return nil, false
	}
	size := binary.BigEndian.Uint32(p)
	if p[5] != kexInit || size < 2 || size > maxAhead {
		return nil, true
	}
	if len(p) < 4+int(size) {
		return nil, false
	}
	p = p[6:min(len(p), 4+int(size))]
	p = p[min(len(p), 16):] // the cookie
	for i := range lists {
		if len(p) < 4 {
			return nil, true
		}
		n := binary.BigEndian.Uint32(p)
		if p = p[4:]; uint64(n) > uint64(len(p)) {
			return nil, true
		}
		if i == lists-1 {
			return strings.Split(string(p[:n]), ","), true
		}
		p = p[n:]
	}
	return nil, true
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
	return c.out.Write(p)
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
