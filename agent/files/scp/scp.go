// Package scp is the remote side of the old scp protocol, as scp -O, PuTTY's pscp and libssh2 speak it: a source
// (scp -f) that sends files and a sink (scp -t) that takes them. The protocol has no standard; what is here follows
// what OpenSSH's scp sends and takes. Names that come over the wire are names, never paths: a slash, "..", or a control
// character in one is refused, and none with a control character is sent. It knows neither policy nor file system.
package scp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/internal/filewire"
)

const (
	maxLine  = 8 << 10 // a control line holds at most a name of 255 bytes and some numbers; a message may be longer
	maxDepth = 512     // directories in directories
	bufSize  = 256 << 10
)

// Errors that end a session.
var (
	ErrFailed   = errors.New("scp: not everything was copied") // the client has been told what was not
	ErrProtocol = errors.New("scp: the client does not speak scp")
)

// Serve serves one scp command. It returns nil when everything was copied.
func Serve(ctx context.Context, in io.Reader, out io.Writer, files *access.Files, c filewire.Copy) error {
	p := &peer{ctx: ctx, r: bufio.NewReaderSize(in, 64<<10), w: bufio.NewWriterSize(out, bufSize+1024), buf: make([]byte, bufSize)}
	var err error
	if c.Sink {
		err = (&sink{peer: p, files: files, opts: c}).run()
	} else {
		err = (&source{peer: p, files: files, opts: c}).run()
	}
	if flushErr := p.w.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("scp: %w", flushErr)
	}
	if err == nil && p.errors > 0 {
		err = ErrFailed
	}
	return err
}

// peer is the other side, and what was said to it.
type peer struct {
	ctx    context.Context
	r      *bufio.Reader
	w      *bufio.Writer
	buf    []byte
	errors int
}

// ok answers that all is well.
func (p *peer) ok() error {
	_ = p.w.WriteByte(0) // Flush tells
	return p.w.Flush()
}

// warn tells the peer's user of something that was not done, and goes on.
func (p *peer) warn(name string, err error) error {
	p.errors++
	fmt.Fprintf(p.w, "\x01scp: %s: %s\n", clean(name), clean(err.Error()))
	return p.w.Flush()
}

// controls tells whether a name has characters that act on the other side's terminal, or end the line.
func controls(name string) bool { return strings.ContainsFunc(name, control) }

func control(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// clean keeps terminals and the line safe.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if control(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// line reads one control line, without its end.
func (p *peer) line() (string, error) {
	if err := p.ctx.Err(); err != nil {
		return "", err
	}
	var b []byte
	for {
		c, err := p.r.ReadByte()
		if err != nil {
			if len(b) > 0 {
				return "", fmt.Errorf("%w: a line ends early", ErrProtocol)
			}
			return "", err
		}
		if c == '\n' {
			return string(b), nil
		}
		if b = append(b, c); len(b) > maxLine {
			return "", fmt.Errorf("%w: a line is too long", ErrProtocol)
		}
	}
}

// answer reads what the peer says to what was sent. failed means that it did not take it, and why is on its screen.
func (p *peer) answer() (failed bool, err error) {
	if err := p.w.Flush(); err != nil {
		return false, err
	}
	c, err := p.r.ReadByte()
	if err != nil {
		return false, fmt.Errorf("scp: the client is gone: %w", err)
	}
	switch c {
	case 0:
		return false, nil
	case 1, 2:
		if _, err := p.line(); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		p.errors++
		if c == 2 {
			return false, ErrFailed
		}
		return true, nil
	}
	return false, fmt.Errorf("%w: it answers %q", ErrProtocol, c)
}
