// Package tcp tells whether the other end of a TCP connection is still there, also while nothing is read from it or
// much waits to be written, and moves much through one in few system calls. It never ends a connection by itself.
//
// TCP_USER_TIMEOUT is not the means: it also ends connections whose peer lives and merely does not read for a while,
// as behind `ssh … | less`.
package tcp

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unanswered is after how many retransmissions or probes without an answer a peer counts as gone. They double their
// distance from 0.2 s on: about 13 s in a near network.
const unanswered = 6

// Keepalive has the kernel end an idle connection within about 15 seconds when its peer does not answer.
func Keepalive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 2 * time.Second, Count: 4}
}

// Ended reports whether the peer has closed or reset the connection.
func Ended(c syscall.Conn) bool {
	ended := false
	err := control(c, func(fd int) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} // #nosec G115 -- a descriptor fits
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 {
			ended = fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
		}
	})
	return ended || err != nil
}

// Silent reports whether the peer no longer answers what is sent to it.
func Silent(c syscall.Conn) bool {
	silent := false
	err := control(c, func(fd int) {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			silent = info.Retransmits >= unanswered || info.Probes >= unanswered
		}
	})
	return silent || err != nil
}

// Acknowledge has what was received acknowledged now. The kernel puts that off for 40 ms in the hope of something to
// send, and a peer that gathers small writes (Nagle) waits for it.
func Acknowledge(c syscall.Conn) {
	_ = control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // without it the peer waits, no more
	})
}

func control(c syscall.Conn, f func(fd int)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}
