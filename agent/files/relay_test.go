package files

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
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
