package sshd

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	glider "github.com/gliderlabs/ssh"

	"github.com/podbastion/podbastion/auth/throttle"
	"github.com/podbastion/podbastion/internal/tcp"
)

// gate lets connections in, within the limits, and knows those that are there.
type gate struct {
	limits   Limits
	throttle *throttle.Throttle
	metrics  *Metrics

	mu      sync.Mutex // guards below
	conns   map[*conn]struct{}
	sources map[netip.Prefix]int
	waiting []*conn    // not logged in yet, the oldest first
	gone    *sync.Cond // a connection went
}

func newGate(l Limits, t *throttle.Throttle, m *Metrics) *gate {
	g := &gate{limits: l, throttle: t, metrics: m, conns: map[*conn]struct{}{}, sources: map[netip.Prefix]int{}}
	g.gone = sync.NewCond(&g.mu)
	return g
}

// listen returns a listener that hands out only what the gate lets in. It closes the rest at once, so that no client
// can keep others from being accepted.
func (g *gate) listen(ln net.Listener) net.Listener { return &gateListener{ln, g} }

type gateListener struct {
	net.Listener
	gate *gate
}

func (l *gateListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, why := l.gate.enter(raw)
		if c != nil {
			return c, nil
		}
		l.gate.metrics.turnedAway.WithLabelValues(why).Inc()
		if t, ok := raw.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // leaves nothing in the kernel
		}
		_ = raw.Close()
	}
}

func (g *gate) enter(raw net.Conn) (*conn, string) {
	bulk := tcp.NewBulk(raw)
	c := &conn{Conn: bulk, out: tcp.NewJoined(bulk), gate: g, source: addrPort(raw.RemoteAddr())}
	c.books = g.throttle.Connection(c.source.Addr())
	c.network = throttle.Source(c.source.Addr())
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.conns) >= g.limits.MaxConnections:
		return nil, "connections"
	case g.sources[c.network] >= g.limits.MaxPerSource:
		return nil, "source"
	case len(g.waiting) >= g.limits.MaxUnauthenticated && !g.makeRoom(c):
		return nil, "unauthenticated"
	}
	g.conns[c] = struct{}{}
	g.sources[c.network]++
	g.waiting = append(g.waiting, c)
	g.metrics.connections.Inc()
	c.deadline = time.Now().Add(g.limits.LoginGrace)
	_ = raw.SetDeadline(c.deadline) // a connection that is broken shows it at the first read
	return c, ""
}

// makeRoom ends a connection that has not logged in: the oldest of the source that has most of them, which on a tie is the
// oldest of all, so that no number of sources holds all places for long. Who has one IPv6 network has thousands of
// sources, so networks are compared first. A newcomer of the greatest pushes out its own kind or nobody: so a flood from
// one place harms nobody but itself. It is called with the lock held.
func (g *gate) makeRoom(newcomer *conn) bool {
	networks, sources, most := map[netip.Prefix]int{}, map[netip.Prefix]int{}, 0
	for _, c := range g.waiting {
		networks[wide(c.network)]++
		sources[c.network]++
		most = max(most, networks[wide(c.network)])
	}
	own := networks[wide(newcomer.network)] == most
	var victim *conn
	for _, c := range g.waiting {
		if own && wide(c.network) != wide(newcomer.network) || networks[wide(c.network)] < most {
			continue
		}
		if victim == nil || sources[c.network] > sources[victim.network] {
			victim = c
		}
	}
	if victim == nil || own && sources[newcomer.network] >= sources[victim.network] {
		return false
	}
	g.settled(victim)
	g.metrics.turnedAway.WithLabelValues("unauthenticated").Inc()
	go func() { _ = victim.Close() }() // it takes the lock
	return true
}

// wide is the network that a source lies in: an IPv6 /48, as one site has it; an IPv4 address stands for itself.
func wide(source netip.Prefix) netip.Prefix {
	const site = 48
	if source.Addr().Is4() || source.Bits() <= site {
		return source
	}
	return netip.PrefixFrom(source.Addr(), site).Masked()
}

// settled takes a connection from those that have not logged in. It is called with the lock held.
func (g *gate) settled(c *conn) {
	if i := slices.Index(g.waiting, c); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
}

func (g *gate) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.conns[c]; !ok {
		return
	}
	delete(g.conns, c)
	if g.sources[c.network]--; g.sources[c.network] <= 0 {
		delete(g.sources, c.network)
	}
	g.settled(c)
	g.metrics.connections.Dec()
	g.gone.Broadcast()
}

func (g *gate) closeAll() {
	g.mu.Lock()
	all := make([]*conn, 0, len(g.conns))
	for c := range g.conns {
		all = append(all, c)
	}
	g.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// busy tells whether any connection has an open channel.
func (g *gate) busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		if c.channels.Load() > 0 {
			return true
		}
	}
	return false
}

func (g *gate) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.conns) > 0 {
		g.gone.Wait()
	}
}

// conn is one client's connection.
type conn struct {
	net.Conn
	out     *tcp.Joined // what the library writes
	gate    *gate
	source  netip.AddrPort
	network netip.Prefix
	books   *throttle.Connection

	deadline   time.Time    // of the login
	client     introduction // what the client says of itself
	ahead      []byte       // what was read before the library reads
	introduced bool         // our line was sent; the library is about to send it too

	loginAt  time.Time // set before the first channel
	closed   sync.Once
	heard    atomic.Int64 // when the last byte came, in nanoseconds
	alive    sync.Once    // starts the keepalive
	inUse    atomic.Bool  // keepalives have taken over
	channels atomic.Int32
	first    atomic.Bool // a session was opened already
	noMore   atomic.Bool // the client promised to open no more sessions
	notes    notes
}

// login counts the connection as logged in, and gives it the time to hear of that. A client may ask for nothing for as long
// as it likes (ssh -N -L, until the forward is used), so that soon keepalives take over.
func (c *conn) login(ctx glider.Context) {
	c.gate.mu.Lock()
	c.loginAt = time.Now()
	c.gate.settled(c)
	c.gate.mu.Unlock()
	grace := c.gate.limits.LoginGrace
	_ = c.Conn.SetDeadline(time.Now().Add(grace))
	time.AfterFunc(min(grace/2, c.gate.limits.KeepaliveInterval), func() {
		if ctx.Value(glider.ContextKeyConn) != nil { // else the deadline stands
			c.used(ctx)
		}
	})
}

// used lifts the deadline: from now on, keepalives tell whether the client is there.
func (c *conn) used(ctx glider.Context) {
	c.alive.Do(func() {
		c.inUse.Store(true)
		_ = c.Conn.SetDeadline(time.Time{})
		c.keepalive(ctx)
	})
}

// note remembers that something was heard of the client.
func (c *conn) note() { c.heard.Store(time.Now().UnixNano()) }

func (c *conn) Close() error {
	err := c.out.Close()
	c.closed.Do(func() {
		c.gate.leave(c)
		c.books.Close()
	})
	return err
}

// SetDeadline does nothing: the library above would lift the deadlines that are set here.
func (c *conn) SetDeadline(time.Time) error { return nil }

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
}
