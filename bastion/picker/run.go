package picker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/podbastion/podbastion/internal/tty"
)

// ErrCancelled is returned when somebody leaves without a choice.
var ErrCancelled = errors.New("picker: left without a choice")

// settleAfter is how long a lone Escape may still become the beginning of a sequence.
const settleAfter = 100 * time.Millisecond

// Choice is what was chosen. Rest is what was typed ahead for whatever comes next.
type Choice struct {
	Index int
	Rest  []byte
}

// Run shows the picker on a terminal in raw mode until something is chosen. It reads only while it waits for keys, so
// that after a choice nothing that was meant for the session is lost. When it ends otherwise a read may still be under
// way; it ends when the caller closes rw. A closed resizes is no news.
func Run(ctx context.Context, rw io.ReadWriter, size tty.Size, resizes <-chan tty.Size, title string, items []Item) (Choice, error) {
	m := New(title, items, size)
	if _, err := io.WriteString(rw, enterScreen); err != nil {
		return Choice{}, fmt.Errorf("picker: %w", err)
	}
	choice, err := choose(ctx, rw, m, resizes)
	if _, werr := io.WriteString(rw, leaveScreen); werr != nil && err == nil {
		err = fmt.Errorf("picker: %w", werr)
	}
	return choice, err
}

type typed struct {
	keys []byte
	err  error
}

func choose(ctx context.Context, rw io.ReadWriter, m *Model, resizes <-chan tty.Size) (Choice, error) {
	keys := make(chan typed, 1) // room for the one read that may be under way
	read := func() {
		buf := make([]byte, 1024)
		n, err := rw.Read(buf)
		keys <- typed{buf[:n], err}
	}
	reading := false
	for {
		if _, err := rw.Write(m.Screen()); err != nil {
			return Choice{}, fmt.Errorf("picker: %w", err)
		}
		if !reading {
			reading = true
			go read()
		}
		var settled <-chan time.Time
		if m.Waiting() {
			settled = time.After(settleAfter)
		}
		out, rest := Choosing, []byte(nil)
		select {
		case k := <-keys:
			reading = false
			out, rest = m.Keys(k.keys)
			if k.err != nil && out == Choosing {
				return Choice{}, fmt.Errorf("picker: %w", k.err)
			}
		case size, ok := <-resizes:
			if !ok {
				resizes = nil
				continue
			}
			m.Resize(size)
		case <-settled:
			out = m.Settle()
		case <-ctx.Done():
			return Choice{}, fmt.Errorf("picker: %w", context.Cause(ctx))
		}
		switch out {
		case Chosen:
			return Choice{Index: m.Choice(), Rest: rest}, nil
		case Cancelled:
			return Choice{}, ErrCancelled
		}
	}
}
