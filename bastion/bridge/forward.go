package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion/bridge/spdy"
	"github.com/podbastion/podbastion/bastion/target"
)

const forwardProtocol = "portforward.k8s.io"

// Forward connects to a port inside the target's pod. The result has CloseWrite, too; its Read ends with io.EOF when
// the other side ended its direction.
func (b *Bridge) Forward(ctx context.Context, session, account string, t target.Target, port uint16) (io.ReadWriteCloser, error) {
	g := grantFor(grant.Forward, session, account, t)
	g.Ports = []uint16{port}
	conn, err := b.upgrade(ctx, t, "/portForward/"+string(t.Namespace)+"/"+t.Pod, g, forwardProtocol)
	if err != nil {
		return nil, err
	}
	p := strconv.Itoa(int(port))
	streams, err := conn.Open(
		map[string]string{"streamtype": "error", "port": p, "requestid": "0"},
		map[string]string{"streamtype": "data", "port": p, "requestid": "0"},
	)
	if err != nil {
		conn.unwatch()
		conn.Close()
		return nil, &LostError{err.Error()}
	}
	f := &forward{conn: conn, data: streams[1], over: make(chan struct{}), told: make(chan struct{})}
	_ = streams[0].CloseWrite() // nothing is said there by us; a broken connection shows at once
	go f.serve()
	go f.listen(streams[0])
	return f, nil
}

// forward is one forwarded connection. Its two goroutines end with the connection.
type forward struct {
	conn *link
	data *spdy.Stream
	over chan struct{} // closed when the connection is over
	told chan struct{} // closed when reason is final
	// reason is what the agent said against it, if anything.
	reason string
	once   sync.Once

	ended, done atomic.Bool // the other side ended its direction; we ended ours
}

func (f *forward) serve() {
	defer close(f.over)
	f.conn.Serve()
}

func (f *forward) listen(s *spdy.Stream) {
	defer close(f.told)
	text, _ := io.ReadAll(io.LimitReader(s, 4<<10)) // however it ends, what was said counts
	f.reason = string(text)
}

func (f *forward) Read(p []byte) (int, error) {
	n, err := f.data.Read(p)
	if errors.Is(err, io.EOF) {
		f.ended.Store(true)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	select { // the reason stands before the reset on the wire
	case <-f.told:
	case <-time.After(time.Second):
	}
	return n, f.problem(err)
}

func (f *forward) problem(err error) error {
	select {
	case <-f.told:
		if f.reason != "" {
			return fmt.Errorf("bridge: forward: %q", f.reason)
		}
	default:
	}
	return fmt.Errorf("bridge: forward: %w", err)
}

func (f *forward) Write(p []byte) (int, error) {
	n, err := f.data.Write(p)
	if err != nil {
		err = f.problem(err)
	}
	return n, err
}

// CloseWrite ends our direction.
func (f *forward) CloseWrite() error {
	f.done.Store(true)
	return f.data.CloseWrite()
}

// Close ends both directions. What is on the way is dropped, unless both have ended.
func (f *forward) Close() error {
	f.once.Do(func() {
		if f.ended.Load() && f.done.Load() {
			f.conn.Close()
		} else {
			f.conn.abort()
		}
		<-f.over
		<-f.told
	})
	return nil
}
