package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/filewire"
)

// memory is a sink that keeps what it was given.
type memory struct {
	mu   sync.Mutex
	list []audit.Event
}

func (m *memory) Append(_ context.Context, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, e)
	return nil
}

// told runs an agent's lines through a session.
func told(t *testing.T, src io.Reader) ([]audit.Event, error) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	sink := &memory{}
	r := &run{
		service: &Service{o: Options{Audit: sink, Log: log}}, login: Login{Principal: &auth.Principal{}}, client: Client{Stderr: &bytes.Buffer{}},
	}
	err := r.fileEvents(src, false)
	return sink.list, err
}

// An event that is lost would let a client do things unseen: the session ends, and what was open is told.
func TestEventsAreNotLost(t *testing.T) {
	const begun = `{"type":"open","id":7,"kind":"file.write","path":"/f"}` + "\n"
	long := fmt.Sprintf(`{"type":"file.link","path":"/l","newPath":"%s","outcome":"complete"}`+"\n", strings.Repeat("x", 200_000))
	for name, text := range map[string]string{"too long": long, "not understood": "{half}\n", "no event": "panic: x\n"} {
		events, err := told(t, strings.NewReader(begun+text+`{"type":"file.write","id":7,"path":"/f","outcome":"complete"}`+"\n"))
		var end *End
		if !errors.As(err, &end) || !strings.Contains(end.Reason, "events are not understood") || end.Text == "" {
			t.Errorf("%s: the session goes on: %v", name, err)
		}
		if len(events) != 1 || events[0].Path != "/f" || events[0].Outcome != filewire.Partial || events[0].Seconds <= 0 {
			t.Errorf("%s: %+v", name, events)
		}
	}
	broken := io.MultiReader(strings.NewReader(begun+`{"type":"fi`), iotest.ErrReader(errors.New("lost")))
	if events, err := told(t, broken); err != nil || len(events) != 1 || events[0].Outcome != filewire.Partial {
		t.Errorf("a broken connection, which the process tells: %v, %+v", err, events)
	}
}
