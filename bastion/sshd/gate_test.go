package sshd

import (
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podbastion/podbastion/auth/throttle"
)

// from is a connection that says where it comes from.
type from struct {
	net.Conn
	addr   string
	closed chan struct{}
}

func (f *from) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", f.addr)
	return a
}
func (f *from) SetDeadline(time.Time) error { return nil }
func (f *from) Close() error                { close(f.closed); return nil }

// Half-open connections from one place push out their own kind, never a newcomer from elsewhere.
func TestFloodPushesOutItself(t *testing.T) {
	g := newGate(Limits{MaxConnections: 1000, MaxPerSource: 1000, MaxUnauthenticated: 10, LoginGrace: time.Minute},
		throttle.New(throttle.Options{}), NewMetrics(prometheus.NewRegistry()))
	enter := func(addr string) (*conn, *from) {
		raw := &from{addr: addr, closed: make(chan struct{})}
		c, _ := g.enter(raw)
		return c, raw
	}
	_, oldest := enter("192.0.2.1:1")
	for range 9 {
		if c, _ := enter("192.0.2.1:1"); c == nil {
			t.Fatal("turned away below the limit")
		}
	}
	if c, _ := enter("192.0.2.1:1"); c != nil {
		t.Fatal("the flood grew beyond the limit")
	}
	for _, addr := range []string{"192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8:0:0:ffff::1]:1"} {
		c, _ := enter(addr)
		if c == nil {
			t.Fatalf("%s was turned away", addr)
		}
	}
	select {
	case <-oldest.closed:
	case <-time.After(5 * time.Second):
		t.Fatal("the oldest of the flood was not pushed out")
	}
	if n := len(g.waiting[throttle.Source(addrPort(&net.TCPAddr{IP: net.ParseIP("2001:db8::9")}).Addr())]); n != 2 {
		t.Errorf("addresses of one /64 count as %d, want 2 in one", n)
	}
	if g.waits != 10 {
		t.Errorf("%d wait, want 10", g.waits)
	}
}
