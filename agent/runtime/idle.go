package runtime

import (
	"context"
	"io"
	"sync"
	"time"
)

// Idle is a reader that knows how long its source was waited for. It tells output that is still under way behind a
// slow client from a terminal that a forgotten child keeps open.
type Idle struct {
	R io.Reader

	mu     sync.Mutex // guards all below
	waited time.Duration
	since  time.Time // of the Read that waits now; zero: none
}

// Read reads from R.
func (i *Idle) Read(p []byte) (int, error) {
	i.mu.Lock()
	i.since = time.Now()
	i.mu.Unlock()
	n, err := i.R.Read(p)
	i.mu.Lock()
	i.waited += time.Since(i.since)
	i.since = time.Time{}
	i.mu.Unlock()
	return n, err
}

func (i *Idle) sum() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.since.IsZero() {
		return i.waited
	}
	return i.waited + time.Since(i.since)
}

// Await returns when ended is closed, ctx is done, or the source was waited for as long as limit from now on.
func (i *Idle) Await(ctx context.Context, ended <-chan struct{}, limit time.Duration) {
	tick := time.NewTicker(limit / 20)
	defer tick.Stop()
	for start := i.sum(); i.sum()-start < limit; {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
