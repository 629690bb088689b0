// Package cast records sessions as asciicast v2 files (https://docs.asciinema.org/manual/asciicast/v2/), which
// `asciinema play` plays unchanged. It takes what the client was shown, resizes and markers; it is never given what
// the client typed. Once an event was taken it reaches the kernel within a second, so that a recording is readable up
// to the last second when the process is killed. It refuses to know who records whom and why.
//
// An idle recorder holds an open file and a few hundred bytes: buffers are lent while there is something in them.
package cast

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/podbastion/podbastion/internal/tty"
)

const (
	flushInterval = 500 * time.Millisecond // half of what is promised
	flushBytes    = 32 << 10               // a buffer that holds more is written out at once
	maxEvent      = 16 << 10               // bytes of output in one event
	maxLabel      = 1 << 10                // bytes of a marker's label or of the title
)

// ErrClosed is what a recorder answers after Close.
var ErrClosed = errors.New("cast: recording is closed")

// Header begins a recording.
type Header struct {
	Size  tty.Size // zero, without a terminal, is recorded as 80 × 24
	Time  time.Time
	Term  string // TERM of the client
	Shell string // path of the shell, if there is one
	Title string // shown by players
	Plain bool   // output without a terminal: each line feed is recorded with the carriage return that a terminal adds
}

// Summary tells what a closed recording holds.
type Summary struct {
	Path   string
	Bytes  int64
	SHA256 string // in hexadecimal
}

// Recorder writes one recording. It is safe for concurrent use. After an error it takes nothing more: the error stays,
// and the file ends with the last event that was written whole.
type Recorder struct {
	path  string
	plain bool
	now   func() time.Duration // since the start

	mu     sync.Mutex // guards all below
	file   *os.File
	timer  *time.Timer
	buffer *[]byte // whole lines not yet written; nil when there are none
	parts  [2]part // of the output's characters, and of the errors'
	bytes  int64
	sum    hash.Hash
	err    error
	closed bool
}

// part is the beginning of a character whose end has not come yet. Each stream has its own: who writes to both may do
// so between two bytes of a character.
type part struct {
	bytes [utf8.UTFMax]byte
	n     int
}

var sessionName = regexp.MustCompile(`\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\z`)

// Path is where the recording of a session belongs: DIR/YYYY-MM-DD/SESSION.cast, by the UTC day of its start. It makes
// the folder.
func Path(dir string, start time.Time, session string) (string, error) {
	if !sessionName.MatchString(session) {
		return "", fmt.Errorf("cast: session %q cannot name a file", session)
	}
	day := filepath.Join(dir, start.UTC().Format("2006-01-02"))
	if err := os.MkdirAll(day, 0o700); err != nil {
		return "", fmt.Errorf("cast: cannot make the folder of recordings: %w", err)
	}
	return filepath.Join(day, session+".cast"), nil
}

// Create begins a recording in a new file, which only its owner may read. The header is written before it returns, so
// that a disk that takes nothing is known before a session begins.
func Create(path string, h Header) (*Recorder, error) {
	start := time.Now()
	return create(path, h, func() time.Duration { return time.Since(start) })
}

func create(path string, h Header, now func() time.Duration) (*Recorder, error) {
	line, err := h.line()
	if err != nil {
		return nil, fmt.Errorf("cast: cannot write header: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cast: cannot begin a recording: %w", err)
	}
	r := &Recorder{path: path, plain: h.Plain, now: now, file: f, sum: sha256.New()}
	r.timer = time.AfterFunc(time.Hour, r.tick)
	r.timer.Stop()
	r.buffer = buffers.Get().(*[]byte)
	*r.buffer = append(*r.buffer, line...)
	if err := r.flush(); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return r, nil
}

// Output records what was sent to the client. A character whose bytes have not all come yet waits for the rest; bytes
// that are not UTF-8 are recorded as U+FFFD, one for each.
func (r *Recorder) Output(p []byte) error { return r.record(p, &r.parts[0]) }

// Errors records what was sent to the client as standard error, where that is apart from the output. asciicast knows one
// stream of both.
func (r *Recorder) Errors(p []byte) error { return r.record(p, &r.parts[1]) }

func (r *Recorder) record(p []byte, carry *part) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(); err != nil {
		return err
	}
	for len(p) > 0 {
		n := min(len(p), maxEvent)
		if err := r.output(p[:n], carry); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// output records at most one event.
func (r *Recorder) output(p []byte, carry *part) error {
	var head [2 * utf8.UTFMax]byte
	first, used := carry.join(head[:], p)
	p = p[used:]
	if tail := unfinished(p); tail > 0 {
		carry.n = copy(carry.bytes[:], p[len(p)-tail:])
		p = p[:len(p)-tail]
	}
	if len(first)+len(p) == 0 {
		return nil
	}
	r.begin('o')
	*r.buffer = appendEscaped(*r.buffer, first, r.plain)
	*r.buffer = appendEscaped(*r.buffer, p, r.plain)
	return r.end()
}

// join returns, in head, the characters that begin in bytes carried over and now have an end, and how much of p
// they took. What has none yet stays carried.
func (c *part) join(head, p []byte) (first []byte, used int) {
	n := copy(head, c.bytes[:c.n])
	n += copy(head[n:], p)
	i := 0
	for i < c.n {
		if !utf8.FullRune(head[i:n]) { // fewer than four bytes, so they hold all of p
			c.n = copy(c.bytes[:], head[i:n])
			return head[:i], len(p)
		}
		_, width := utf8.DecodeRune(head[i:n])
		i += width
	}
	used = i - c.n
	c.n = 0
	return head[:i], used
}

// unfinished counts the bytes at the end that may begin a character whose rest is yet to come.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// Resize records that the terminal has a new size.
func (r *Recorder) Resize(size tty.Size) error {
	return r.add('r', func(b []byte) []byte {
		b = strconv.AppendUint(b, uint64(size.Cols), 10)
		b = append(b, 'x')
		return strconv.AppendUint(b, uint64(size.Rows), 10)
	})
}

// Marker records a point to jump to. Control characters in the label are made visible, as players print it.
func (r *Recorder) Marker(label string) error {
	label = printable(label, maxLabel)
	return r.add('m', func(b []byte) []byte { return appendEscaped(b, []byte(label), false) })
}

func (r *Recorder) add(code byte, data func([]byte) []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(); err != nil {
		return err
	}
	r.begin(code)
	*r.buffer = data(*r.buffer)
	return r.end()
}

// Err is what stopped the recording, if anything did. It is also seen by whoever records next.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close writes what is left and closes the file. The summary tells what is in it, whether or not there was an error.
func (r *Recorder) Close() (Summary, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return Summary{}, ErrClosed
	}
	for _, left := range r.parts {
		if left.n > 0 && r.err == nil {
			r.begin('o')
			*r.buffer = appendEscaped(*r.buffer, left.bytes[:left.n], r.plain)
			_ = r.end() // remembered in r.err
		}
	}
	_ = r.flush() // remembered in r.err
	r.closed = true
	r.timer.Stop()
	if err := r.file.Close(); err != nil && r.err == nil {
		r.err = fmt.Errorf("cast: cannot close %s: %w", r.path, err)
	}
	return Summary{Path: r.path, Bytes: r.bytes, SHA256: hex.EncodeToString(r.sum.Sum(nil))}, r.err
}

func (r *Recorder) usable() error {
	if r.closed {
		return ErrClosed
	}
	return r.err
}

// begin starts an event's line; end finishes it.
func (r *Recorder) begin(code byte) {
	if r.buffer == nil {
		r.buffer = buffers.Get().(*[]byte)
		r.timer.Reset(flushInterval)
	}
	b := append(*r.buffer, '[')
	b = strconv.AppendFloat(b, r.now().Seconds(), 'f', 6, 64)
	*r.buffer = append(b, ',', ' ', '"', code, '"', ',', ' ', '"')
}

func (r *Recorder) end() error {
	*r.buffer = append(*r.buffer, "\"]\n"...)
	if len(*r.buffer) >= flushBytes {
		return r.flush()
	}
	return nil
}

// tick is the timer's.
func (r *Recorder) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		_ = r.flush() // remembered in r.err
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// flush hands what is in the buffer to the kernel and gives the buffer back.
func (r *Recorder) flush() error {
	if r.buffer == nil || r.err != nil {
		return r.err
	}
	b := *r.buffer
	if _, err := r.file.Write(b); err != nil {
		r.err = fmt.Errorf("cast: cannot write recording: %w", err)
		if err := r.file.Truncate(r.bytes); err != nil { // half a line would make the file unreadable
			r.err = fmt.Errorf("%w; nor cut it back to its last whole event: %w", r.err, err)
		}
	} else {
		r.bytes += int64(len(b))
		r.sum.Write(b)
	}
	*r.buffer = b[:0]
	buffers.Put(r.buffer)
	r.buffer = nil
	r.timer.Stop()
	return r.err
}
