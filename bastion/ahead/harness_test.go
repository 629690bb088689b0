package ahead_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/sftp"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/bastion/ahead"
	"github.com/podbastion/podbastion/internal/filewire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func packet(kind byte, parts ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, p := range parts {
		switch v := p.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(v))
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case []byte:
			b = append(b, v...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// session is a client's with agent/files/sftp, with or without a Front in between.
type session struct {
	t      testing.TB
	dir    string
	to     io.WriteCloser
	from   io.Reader
	front  *ahead.Front
	id     int
	closed func() error // ends it and waits

	mu     sync.Mutex
	events []filewire.Event
	asked  []byte // what the server was asked
}

type tap struct {
	io.WriteCloser
	s *session
}

func (w tap) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	w.s.asked = append(w.s.asked, p...)
	w.s.mu.Unlock()
	return w.WriteCloser.Write(p)
}

// secret is what the requests have that are made by a Front.
const secret = "#SECRET"

// openSSH and asSFTP are how a client begins to which something may be promised.
const openSSH = "SSH-2.0-OpenSSH_9.2"

var asSFTP = [][]byte{packet(extended, 0, "limits@openssh.com"), packet(realpath, 0, ".")}

// begin starts a session in a folder with some files, where it may write what a glob says; chunk bounds what either side hands over at once.
func begin(t testing.TB, writes string, front bool, chunk int) *session {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "in")
	for name, text := range map[string]string{"f": "content", "g": "gee", "d/x": strings.Repeat("x", 20<<10), "big": strings.Repeat("b", 100<<10), "empty": ""} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	s := &session{t: t, dir: dir}
	root, err := tree.Open(dir, "")
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	everywhere, some := []filewire.Rule{{Paths: []string{"/**"}}}, []filewire.Rule{{Paths: []string{writes}}}
	rules := filewire.Rules{Upload: some, Download: everywhere, Remove: some, Rename: some, Mkdir: some, Chmod: some}
	files, err := access.New(root, "/", rules, func(e filewire.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e.Seconds, e.ID = 0, 0
		s.events = append(s.events, e)
	})
	must(t, err)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	var work sync.WaitGroup
	var failed error
	work.Go(func() {
		failed = sftp.Serve(context.Background(), inR, outW, files, secret)
		_ = inR.CloseWithError(errors.New("the server has ended"))
		_ = outW.Close()
	})
	server := tap{inW, s}
	s.to, s.from = server, outR
	if front {
		askR, askW := io.Pipe()
		answerR, answerW := io.Pipe()
		s.front = ahead.New(server, answerW, openSSH, secret)
		work.Go(func() {
			_ = pump(askR, chunk, s.front.FromClient)
			_ = s.front.End()
			_ = inW.Close()
			_ = askR.Close()
		})
		work.Go(func() {
			_ = pump(outR, chunk, s.front.FromServer)
			s.front.Close()
			_ = answerW.Close()
		})
		s.to, s.from = askW, answerR
	}
	s.closed = sync.OnceValue(func() error {
		_ = s.to.Close()
		_, _ = io.Copy(io.Discard, s.from)
		work.Wait()
		return failed
	})
	t.Cleanup(func() { _ = s.closed() })
	return s
}

func pump(r io.Reader, chunk int, to func([]byte) error) error {
	buf := make([]byte, chunk)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := to(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) send(p []byte) {
	s.t.Helper()
	if _, err := s.to.Write(p); err != nil {
		s.t.Fatal(err)
	}
}

// receive returns the next answer's body, from its type on.
func (s *session) receive() []byte {
	s.t.Helper()
	var size [4]byte
	_, err := io.ReadFull(s.from, size[:])
	must(s.t, err)
	p := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(s.from, p)
	must(s.t, err)
	return p
}

// ask sends a request and returns its answer as text, without the id: it must be the next one.
func (s *session) ask(kind byte, parts ...any) string {
	s.t.Helper()
	s.id++
	s.send(packet(kind, append([]any{s.id}, parts...)...))
	p := s.receive()
	if got := binary.BigEndian.Uint32(p[1:]); got != uint32(s.id) {
		s.t.Fatalf("an answer to request %d, want %d", got, s.id)
	}
	switch p[0] {
	case 101:
		n := binary.BigEndian.Uint32(p[9:])
		return fmt.Sprintf("status %d %s", binary.BigEndian.Uint32(p[5:]), p[13:13+n])
	case 102:
		return string(p[9:])
	case 103:
		return "data " + string(p[9:])
	}
	return fmt.Sprintf("type %d", p[0])
}

func (s *session) init() {
	s.t.Helper()
	s.send(packet(1, 3))
	if p := s.receive(); p[0] != 2 {
		s.t.Fatalf("the first answer has type %d", p[0])
	}
	for _, p := range asSFTP {
		s.send(p)
		s.receive()
	}
}

// told are the events, without announcements, once the session is over.
func (s *session) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range s.events {
		if e.Type == filewire.Open || e.Type == filewire.Notice {
			continue
		}
		n := int64(-1)
		if e.Bytes != nil {
			n = *e.Bytes
		}
		out = append(out, fmt.Sprintf("%s %s %d %s %s %.8s", e.Type, e.Path, n, e.Outcome, e.Reason, e.SHA256))
	}
	slices.Sort(out) // what is left open has no order
	return out
}

// requests names what the server was asked.
func (s *session) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := map[byte]string{1: "init", 3: "open", 4: "close", 5: "read", 6: "write", 8: "fstat", 9: "setstat", 10: "fsetstat", 13: "remove", 16: "realpath", 17: "stat"}
	var out []string
	for b := s.asked; len(b) >= 4; {
		n := binary.BigEndian.Uint32(b)
		p := b[4 : 4+n]
		b = b[4+n:]
		name := names[p[0]]
		if p[0] == 200 {
			name, _, _ = strings.Cut(string(p[9:9+binary.BigEndian.Uint32(p[5:])]), "@")
		}
		out = append(out, name)
	}
	return out
}
