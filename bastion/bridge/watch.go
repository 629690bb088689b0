package bridge

import (
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/podbastion/podbastion/bastion/bridge/spdy"
	"github.com/podbastion/podbastion/internal/tcp"
)

// watchEvery is how often connections are looked at for agents that no longer answer.
const watchEvery = 2 * time.Second

// watch ends connections whose agent does not answer: without it a node that is cut off while data is on the way to it
// would be waited for as long as the kernel tries, a quarter of an hour. Its goroutine lives while there are any.
type watch struct {
	mu    sync.Mutex // guards all below
	conns map[int]watched
	last  int
	idle  chan struct{} // closed when conns becomes empty
}

type watched struct {
	conn syscall.Conn
	end  func()
}

// add watches a connection; end is called at most once, and the result ends the watch.
func (w *watch) add(c net.Conn, end func()) (stop func()) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conns) == 0 {
		w.conns, w.idle = map[int]watched{}, make(chan struct{})
		go w.run(w.idle)
	}
	w.last++
	key := w.last
	w.conns[key] = watched{sc, end}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.drop(key)
	}
}

// drop forgets a connection; mu is held.
func (w *watch) drop(key int) {
	if _, ok := w.conns[key]; !ok {
		return
	}
	delete(w.conns, key)
	if len(w.conns) == 0 {
		close(w.idle)
	}
}

func (w *watch) run(idle <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-idle:
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, c := range w.conns {
		if tcp.Silent(c.conn) {
			w.drop(key)
			c.end()
		}
	}
}

// link is a connection that is watched while it is served.
type link struct {
	*spdy.Conn
	raw     net.Conn
	unwatch func()
}

// abort ends the connection and drops what is still on the way. An orderly end would stand behind that: an agent whose
// side is full would not hear of it for minutes.
func (l *link) abort() {
	c := l.raw
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		_ = t.SetLinger(0) // closed already, if it fails
	}
	l.Close()
}

// Serve receives until the connection is over.
func (l *link) Serve() {
	defer l.unwatch()
	_ = l.Conn.Serve() // whoever reads a stream is told why
}
