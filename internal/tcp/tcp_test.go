package tcp_test

import (
	"net"
	"testing"
	"time"

	"github.com/podbastion/podbastion/internal/tcp"
)

func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestEnded(t *testing.T) {
	near, far := pair(t)
	if tcp.Ended(near) || tcp.Silent(near) {
		t.Error("a peer that is there counts as gone")
	}
	if _, err := far.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	for end := time.Now().Add(5 * time.Second); !tcp.Ended(near); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the peer's end is not seen behind unread data")
		}
	}
	_ = near.Close()
	if !tcp.Ended(near) {
		t.Error("our own end is not seen")
	}
}

// A peer that lives and does not read is not silent, however long it lasts: its kernel answers.
func TestNotReadingIsNotSilent(t *testing.T) {
	near, _ := pair(t)
	_ = near.SetWriteDeadline(time.Now().Add(4 * time.Second))
	for {
		if _, err := near.Write(make([]byte, 1<<20)); err != nil {
			break // full
		}
	}
	if tcp.Ended(near) || tcp.Silent(near) {
		t.Error("it counts as gone")
	}
}
