package throttle

import (
	"net/netip"
	"sync"
	"time"

	"github.com/podbastion/podbastion/auth"
)

// Connection keeps the books of one connection's attempts to log in; see the package's text for what counts. It is
// safe for concurrent use.
type Connection struct {
	throttle *Throttle
	source   netip.Addr

	mu      sync.Mutex
	account auth.Account // that keys were offered for; guarded by mu
	offered bool         // and have not been counted; guarded by mu
}

// Connection begins the books of a connection from that address.
func (t *Throttle) Connection(source netip.Addr) *Connection {
	return &Connection{throttle: t, source: source}
}

// Key is asked before a public key or certificate is judged, with the answers of Check. However many are offered, they
// count as one failure, at Close, or when the client goes on with another account, and only the first of them waits.
func (c *Connection) Key(account auth.Account) (wait time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offered && c.account == account {
		_, err = c.throttle.Check(account, c.source)
		return 0, err
	}
	if c.offered {
		c.throttle.Failed(c.account, c.source)
	}
	c.account, c.offered = account, true
	return c.throttle.Check(account, c.source)
}

// Guess is asked before a password or one-time code is judged, with the answers of Check. It counts a failure at once
// unless the attempt is locked out anyway.
func (c *Connection) Guess(account auth.Account) (wait time.Duration, err error) {
	t := c.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait, err = t.check(account, c.source); err == nil {
		t.failed(account, c.source)
	}
	return wait, err
}

// Succeeded is told of a complete login.
func (c *Connection) Succeeded(account auth.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offered && c.account != account {
		c.throttle.Failed(c.account, c.source)
	}
	c.offered = false
	c.throttle.Succeeded(account, c.source)
}

// Close counts the keys that led to no login. It may be called more than once.
func (c *Connection) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offered {
		c.throttle.Failed(c.account, c.source)
	}
	c.offered = false
}
