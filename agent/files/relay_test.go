package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent/runtime/proc"
)

// frames keeps what was written, each write apart.
type frames struct {
	mu   sync.Mutex
	list []string
}

func (f *frames) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, string(p))
	return len(p), nil
}

func (f *frames) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.list...)
}

func TestRelay(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := logrus.New()
	log.SetOutput(&said)
	got := &frames{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := (&Confined{log: log}).relay(got, r); err != nil {
			t.Error(err)
		}
		_ = r.Close()
	}()
	write := func(s string) {
		if _, err := w.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"a":1}` + "\n" + `{"a":2}` + "\n" + `{"a":`)
	for deadline := time.Now().Add(10 * time.Second); len(got.all()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an event waits for the next")
		}
	}
	if all := got.all(); all[0] != "{\"a\":1}\n{\"a\":2}\n" {
		t.Errorf("%q", all)
	}
	write("3}\npanic: x\n" + strings.Repeat("y", 3*maxLine) + "\n" + `{"a":4}` + "\ncut")
	_ = w.Close()
	<-done
	if all := strings.Join(got.all(), ""); all != "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n" {
		t.Errorf("%.200q", all)
	}
	for _, text := range []string{"panic: x", "yyy", "cut"} {
		if !strings.Contains(said.String(), text) {
			t.Errorf("%q is not logged: %.300s", text, said.String())
		}
	}
}

// An event that cannot be passed on ends the session: the events before it are passed on all the same.
func TestRelayLosesNothing(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	for name, text := range map[string]string{
		"too long":       `{"a":"` + strings.Repeat("y", maxLine) + `"}` + "\n" + `{"a":2}` + "\n",
		"not understood": "{half}\n" + `{"a":2}` + "\n",
		"cut off":        `{"a":`,
	} {
		got := &frames{}
		err := (&Confined{log: log}).relay(got, strings.NewReader(`{"a":1}`+"\n"+text))
		if !errors.Is(err, errEvents) {
			t.Errorf("%s: %v", name, err)
		}
		if all := strings.Join(got.all(), ""); !strings.HasPrefix(all, `{"a":1}`) {
			t.Errorf("%s: %.200q was passed on", name, all)
		}
	}
	gone, w := io.Pipe()
	_ = gone.Close()
	if err := (&Confined{log: log}).relay(w, strings.NewReader(`{"a":1}`+"\n")); err == nil {
		t.Error("nobody takes the events, and no error")
	}
}

// attended runs a shell script in a helper's place until it ends, and what is not nil of its streams' other ends.
func attended(ctx context.Context, t *testing.T, script string, grace time.Duration, out, events io.Writer) error {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	container, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script)
	helper, err := launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	client, clientEnd := io.Pipe()
	defer func() { _ = clientEnd.Close(); container.Close() }()
	c := &Confined{log: log, grace: grace}
	return c.attend(ctx, cmd.Process, cmd.Wait, container, Session{In: reading{client}, Out: out, Events: events}, helper)
}

// writerFunc is a writer.
type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// A session that is ended from outside leaves its helper a moment to tell how far it got, and no more than that.
func TestEndIsTold(t *testing.T) {
	why := errors.New("ended from outside")
	for name, x := range map[string]struct {
		script string
		told   bool
	}{
		"waiting for the client":      {`trap '' TERM; echo '{"ready":1}' >&2; cat >/dev/null; echo '{"far":5}' >&2`, true},
		"the client takes no more":    {`trap '' TERM; echo '{"ready":1}' >&2; head -c 8000000 /dev/zero; cat >/dev/null; echo '{"far":5}' >&2`, true},
		"it is asked to end":          {`trap 'echo "{\"far\":5}" >&2; exit' TERM; echo '{"ready":1}' >&2; while :; do sleep 0.01; done`, true},
		"it does not see the end":     {`trap '' TERM; echo '{"ready":1}' >&2; exec sleep 60`, false},
		"it does something else then": {`trap '' TERM; echo '{"ready":1}' >&2; cat >/dev/null; exec sleep 60`, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			got := &frames{}
			gone := make(chan struct{})
			stuck := writerFunc(func([]byte) (int, error) { <-gone; return 0, io.ErrClosedPipe }) // until the connection is cut
			events := writerFunc(func(p []byte) (int, error) {
				if bytes.Contains(p, []byte("ready")) {
					cancel(why)
				}
				return got.Write(p)
			})
			time.AfterFunc(2*time.Second, func() { close(gone) })
			grace := 10 * time.Second // on a busy machine
			if !x.told {
				grace = 100 * time.Millisecond
			}
			began := time.Now()
			if err := attended(ctx, t, x.script, grace, stuck, events); !errors.Is(err, why) {
				t.Error(err)
			}
			if time.Since(began) > 20*time.Second {
				t.Error("the helper was left alone")
			}
			if all := strings.Join(got.all(), ""); strings.Contains(all, "far") != x.told {
				t.Errorf("%q was told", all)
			}
		})
	}
}

// reading is what a session reads.
type reading struct{ io.Reader }

func (r reading) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.Reader) }
