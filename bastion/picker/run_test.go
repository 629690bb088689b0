package picker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/bastion/picker"
	"github.com/podbastion/podbastion/internal/tty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// terminal is the user's side of a picker: what is typed and what was shown so far.
type terminal struct {
	net.Conn
	mu   sync.Mutex // guards seen
	seen strings.Builder
	done chan struct{}
}

func start(t *testing.T, ctx context.Context, resizes <-chan tty.Size) (*terminal, net.Conn, chan error, *picker.Choice) {
	t.Helper()
	ours, theirs := net.Pipe()
	term := &terminal{Conn: ours, done: make(chan struct{})}
	go func() {
		defer close(term.done)
		buf := make([]byte, 4096)
		for {
			n, err := ours.Read(buf)
			term.mu.Lock()
			term.seen.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { ours.Close(); theirs.Close(); <-term.done })
	ended, choice := make(chan error, 1), &picker.Choice{}
	go func() {
		var err error
		*choice, err = picker.Run(ctx, theirs, tty.Size{Cols: 40, Rows: 10}, resizes, "pods", numbered(50))
		ended <- err
	}()
	return term, theirs, ended, choice
}

// has waits until the terminal was shown something.
func (x *terminal) has(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		x.mu.Lock()
		ok := strings.Contains(x.seen.String(), text)
		x.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q was not shown", text)
		}
	}
}

func (x *terminal) types(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(x, keys); err != nil {
		t.Fatal(err)
	}
}

func result(t *testing.T, ended chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(5 * time.Second):
		t.Fatal("the picker does not end")
		return nil
	}
}

func TestRun(t *testing.T) {
	resizes := make(chan tty.Size)
	term, wire, ended, choice := start(t, context.Background(), resizes)
	term.has(t, "\x1b[?1049h")
	term.has(t, "pods (50 of 50)")
	resizes <- tty.Size{Cols: 40, Rows: 6}
	close(resizes)
	term.types(t, "pod-4")
	term.has(t, "(11 of 50)")
	term.types(t, "\x1b")
	term.types(t, "[B\recho")
	if err := result(t, ended); err != nil || choice.Index != 40 || string(choice.Rest) != "echo" {
		t.Fatalf("choice %+v, %v; want 40 and what was typed after", *choice, err)
	}
	term.has(t, "\x1b[?1049l")
	// What is typed from now on is the session's.
	got := make(chan string, 1)
	go func() {
		buf := make([]byte, 10)
		n, _ := wire.Read(buf)
		got <- string(buf[:n])
	}()
	term.types(t, " hi\r")
	if s := <-got; s != " hi\r" {
		t.Errorf("the session gets %q", s)
	}
}

func TestRunEnds(t *testing.T) {
	t.Run("escape", func(t *testing.T) {
		term, _, ended, _ := start(t, context.Background(), nil)
		term.types(t, "\x1b")
		if err := result(t, ended); !errors.Is(err, picker.ErrCancelled) {
			t.Errorf("%v", err)
		}
		term.has(t, "\x1b[?1049l")
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		term, _, ended, _ := start(t, ctx, nil)
		term.has(t, "pods")
		why := errors.New("draining")
		cancel(why)
		if err := result(t, ended); !errors.Is(err, why) {
			t.Errorf("%v", err)
		}
		term.has(t, "\x1b[?1049l")
	})
	t.Run("gone", func(t *testing.T) {
		term, _, ended, _ := start(t, context.Background(), nil)
		term.has(t, "pods")
		term.Close()
		if err := result(t, ended); err == nil || errors.Is(err, picker.ErrCancelled) {
			t.Errorf("%v", err)
		}
	})
}
