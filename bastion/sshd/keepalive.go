package sshd

import (
	"time"

	glider "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"
)

// keepalive asks a silent client whether it is there, and ends the connection when nothing is heard of it for long
// enough. Any byte counts, the answer to the question too.
func (c *conn) keepalive(ctx glider.Context) {
	sshConn, ok := ctx.Value(glider.ContextKeyConn).(ssh.Conn)
	if !ok {
		return
	}
	interval, misses := c.gate.limits.KeepaliveInterval, c.gate.limits.KeepaliveMisses
	asked := make(chan struct{}, 1)
	go func() { // asks; a question can block when the client reads nothing
		for {
			select {
			case <-asked:
				if _, _, err := sshConn.SendRequest("keepalive@openssh.com", true, nil); err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { // watches
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			silent := time.Since(time.Unix(0, c.heard.Load()))
			switch {
			case silent >= interval*time.Duration(misses+1):
				_ = c.Close()
				return
			case silent >= interval:
				select {
				case asked <- struct{}{}:
				default: // the last question is still on its way
				}
			}
		}
	}()
}
