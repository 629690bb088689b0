package sshd

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// What comes late is not written behind a channel's end, and a writer that waits does not hold the end back.
func TestLockedEnds(t *testing.T) {
	var out bytes.Buffer
	l := &locked{w: &out}
	ends := 0
	l.mu.Lock() // a writer waits
	l.end(func() { ends++ })
	l.mu.Unlock()
	if _, err := l.Write([]byte("x")); err != nil || ends != 0 {
		t.Error(err, ends)
	}
	l.end(func() { ends++ })
	if _, err := l.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) || out.String() != "x" || ends != 1 {
		t.Error(err, out.String(), ends)
	}
}
