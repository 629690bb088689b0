package files_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/internal/filewire"
)

// server is what is under test.
type server interface {
	Serve(context.Context, runtime.Container, files.Session) error
}

// everything permits everything.
func everything() filewire.Rules {
	all := []filewire.Rule{{Paths: []string{"/**"}}}
	return filewire.Rules{Upload: all, Download: all, Remove: all, Rename: all, Mkdir: all, Chmod: all}
}

// session is one session with its client's ends.
type session struct {
	in     io.WriteCloser
	out    io.Reader
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex
	events []filewire.Event
	read   sync.WaitGroup

	told map[string]int // of a kind and path: what last has gone past, for events come a little after what they tell of
}

func begin(t *testing.T, s server, c runtime.Container, user string, h filewire.Header) *session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	evR, evW := io.Pipe()
	x := &session{in: inW, out: outR, cancel: cancel, done: make(chan error, 1), told: map[string]int{}}
	go func() {
		err := s.Serve(ctx, c, files.Session{User: user, In: reading{inR}, Out: outW, Events: evW})
		_ = evW.Close()
		x.read.Wait()
		_ = outW.Close()
		_ = inR.Close()
		x.done <- err
	}()
	x.read.Go(func() {
		sc := bufio.NewScanner(evR)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var e filewire.Event
			if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
				t.Errorf("event %q: %v", sc.Text(), err)
			}
			x.mu.Lock()
			x.events = append(x.events, e)
			x.mu.Unlock()
		}
	})
	if err := filewire.WriteHeader(inW, h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.end(t) })
	return x
}

// end closes the client's side and returns how the session ended.
func (x *session) end(t *testing.T) error {
	t.Helper()
	_ = x.in.Close()
	select {
	case err := <-x.done:
		x.done <- err
		x.cancel()
		return err
	case <-time.After(30 * time.Second):
		x.cancel()
		t.Error("the session does not end")
		return errors.New("no end")
	}
}

func (x *session) all() []filewire.Event {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]filewire.Event(nil), x.events...)
}

// last returns the newest event of a type at a path that it has not returned before, waiting for it.
func (x *session) last(t *testing.T, kind, path string) filewire.Event {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		all := x.all()
		for i := len(all) - 1; i >= x.told[kind+path]; i-- {
			if all[i].Type == kind && all[i].Path == path {
				x.told[kind+path] = i + 1
				return all[i]
			}
		}
	}
	t.Fatalf("no event %s of %s in %+v", kind, path, x.all())
	return filewire.Event{}
}

// open begins an SFTP session and returns github.com/pkg/sftp's client on it.
func open(t *testing.T, s server, c runtime.Container, user string, rules filewire.Rules) (*session, *sftp.Client) {
	t.Helper()
	x := begin(t, s, c, user, filewire.Header{Protocol: filewire.SFTP, Rules: rules})
	client, err := sftp.NewClientPipe(x.out, x.in)
	if err != nil {
		t.Fatal(err, x.end(t), x.all())
	}
	t.Cleanup(func() { _ = client.Close() })
	return x, client
}

// reading is what a session reads.
type reading struct{ io.Reader }

func (r reading) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.Reader) }
