package guard

import (
	"context"
	"testing"
	"time"
)

// Behind Flush the shell's input may be closed: a line is still on its way while it is judged and remembered, when its
// key is not held any more and the gate was heard.
func TestFlushWaitsForTheVerdict(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup setup
	}{
		{"gate", setup{gate: true, node: true}},
		{"screen", setup{node: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, goes := make(chan struct{}), make(chan struct{})
			c.setup.record = func(Command) error {
				at <- struct{}{}
				<-goes
				return nil
			}
			w := newWorld(t, c.setup)
			w.prompt()
			for _, name := range []string{"one", "two"} { // a gate that was heard before tells of Enter itself
				w.keys(": >" + name + "\r")
				<-at
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				w.guard.Flush(ctx)
				if ctx.Err() == nil {
					t.Errorf("%s: nothing is on its way", name)
				}
				cancel()
				goes <- struct{}{}
				w.guard.Flush(t.Context())
				w.wait("file", func() bool { return w.exists(name) })
			}
		})
	}
}
