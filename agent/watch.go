package agent

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	watchEvery  = 250 * time.Millisecond
	linger      = 5 * time.Second
	lingerBytes = 64 << 20
)

// watcher notices peers that are gone, also while nothing is read from them: a session whose program does not read
// its input would otherwise outlive its bastion behind a full buffer.
type watcher struct {
	mu    sync.Mutex // guards conns
	conns map[*watched]func()
}

func newWatcher() *watcher { return &watcher{conns: map[*watched]func(){}} }

// add has gone called, once, when the peer of c is. The result ends the watch.
func (w *watcher) add(c *watched, gone func()) (stop func()) {
	if c == nil {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = gone
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, c)
	}
}

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for range tick.C { // goes on while sessions drain: their peers may still go
		w.look()
		if ctx.Err() != nil && w.idle() {
			return
		}
	}
}

func (w *watcher) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns) == 0
}

func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, gone := range w.conns {
		if c.peerGone() {
			delete(w.conns, c)
			gone()
		}
	}
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
		keepalive(t)
	}
	return &watched{Conn: c, release: func() { <-l.slots }}, nil
}

func (l *watchedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// keepalive has the kernel find out within half a minute that a peer is unreachable, data under way or not.
func keepalive(t *net.TCPConn) {
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3})
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 25_000)
		})
	}
}

// watched is a connection whose Close does not cut off what was written: a socket that is closed with unread input
// resets the connection, and what the peer has not read yet is lost.
type watched struct {
	net.Conn
	once    sync.Once
	release func()
}

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

func (c *watched) peerGone() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} // #nosec G115 -- a descriptor fits
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 {
			gone = fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
		}
	})
	return gone || err != nil
}
