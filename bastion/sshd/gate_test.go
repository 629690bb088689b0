package sshd

import (
	"fmt"
	"net"
	"net/netip"
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
	if c, _ := enter("[2001:db8::9]:1"); c == nil || c.network != throttle.Source(netip.MustParseAddr("2001:db8::1")) {
		t.Error("addresses of one /64 are not one source")
	}
	if len(g.waiting) != 10 {
		t.Errorf("%d wait, want 10", len(g.waiting))
	}
}

// However many sources hold a place each, a newcomer gets the oldest one's.
func TestManySourcesPushOutTheOldest(t *testing.T) {
	v4 := func(i int) string { return fmt.Sprintf("192.0.2.%d:1", i+1) }
	site := func(i int) string { return fmt.Sprintf("[2001:db8:1:%x::1]:1", i) } // one /48
	for name, c := range map[string]struct {
		held     func(i int) string
		newcomer string
		oldest   int // that goes; -1: the newcomer is turned away
	}{
		"other addresses":          {v4, "198.51.100.1:1", 0},
		"one of them again":        {v4, v4(3), -1}, // it has its place
		"one site, from elsewhere": {site, "198.51.100.1:1", 0},
		"one site, a new source":   {site, site(77), 0},
		"one site, in a crowd": {func(i int) string { // the others are more sources, but of one site
			if i < 4 {
				return v4(i)
			}
			return site(i)
		}, "[2001:db8:2::1]:1", 4},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(Limits{MaxConnections: 1000, MaxPerSource: 1000, MaxUnauthenticated: 10, LoginGrace: time.Minute},
				throttle.New(throttle.Options{}), NewMetrics(prometheus.NewRegistry()))
			var held []*from
			for i := range 10 {
				raw := &from{addr: c.held(i), closed: make(chan struct{})}
				if in, _ := g.enter(raw); in == nil {
					t.Fatal("turned away below the limit")
				}
				held = append(held, raw)
			}
			in, _ := g.enter(&from{addr: c.newcomer, closed: make(chan struct{})})
			if (in == nil) != (c.oldest < 0) {
				t.Fatalf("let in: %v", in != nil)
			}
			if c.oldest < 0 {
				return
			}
			select {
			case <-held[c.oldest].closed:
			case <-time.After(5 * time.Second):
				t.Errorf("%s was not pushed out", held[c.oldest].addr)
			}
		})
	}
}
