package agent

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/podbastion/podbastion/internal/tcp"
)

const (
	watchEvery  = 250 * time.Millisecond
	silentEvery = 8 // looks for peers that do not answer, every so many of the others
	linger      = 5 * time.Second
	lingerBytes = 64 << 20
)

// watcher notices peers that are gone, also while nothing is read from them: a session whose program does not read
// its input would otherwise outlive its bastion behind a full buffer.
type watcher struct {
	mu    sync.Mutex // guards all below
	tasks map[*task]struct{}
}

// task is what has to end when a peer is gone.
type task struct {
	conn *watched
	gone func()
}

func newWatcher() *watcher { return &watcher{tasks: map[*task]struct{}{}} }

// add has gone called, once, when the peer of c is. The result ends the watch.
func (w *watcher) add(c *watched, gone func()) (stop func()) {
	if c == nil {
		return func() {}
	}
	t := &task{c, gone}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks[t] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.tasks, t)
	}
}

// run looks until ctx has ended and nothing is watched any more: peers may go while sessions drain.
func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		if w.look(i%silentEvery == 0) == 0 && ctx.Err() != nil {
			return
		}
		<-tick.C
	}
}

func (w *watcher) look(silent bool) (left int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.tasks {
		c, ok := t.conn.Conn.(syscall.Conn)
		if ok && (tcp.Ended(c) || silent && tcp.Silent(c)) {
			delete(w.tasks, t)
			t.gone()
		}
	}
	return len(w.tasks)
}

// listen wraps a listener so that its connections can be watched and are bounded in number.
func (w *watcher) listen(ln net.Listener, most int) net.Listener {
	return &watchedListener{Listener: ln, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

type watchedListener struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *watchedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(tcp.Keepalive())
	}
	return &watched{Conn: c, bulk: tcp.NewBulk(c), release: func() { <-l.slots }}, nil
}

func (l *watchedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// watched is a connection whose Close does not cut off what was written: a socket that is closed with unread input
// resets the connection, and what the peer has not read yet is lost.
type watched struct {
	net.Conn
	bulk    *tcp.Bulk // all reads and writes go through it
	once    sync.Once
	release func()
}

func (c *watched) Read(p []byte) (int, error)  { return c.bulk.Read(p) }
func (c *watched) Write(p []byte) (int, error) { return c.bulk.Write(p) }

func (c *watched) Close() error {
	var err error
	c.once.Do(func() {
		defer c.release()
		if t, ok := c.Conn.(*net.TCPConn); ok && t.CloseWrite() == nil {
			_ = t.SetReadDeadline(time.Now().Add(linger))
			_, _ = io.CopyN(io.Discard, t, lingerBytes)
		}
		err = c.Conn.Close()
	})
	return err
}

// cut ends the connection whatever is under way.
func (c *watched) cut() { _ = c.Conn.Close() }
