package sshd_test

import (
	"context"
	"io"
	"runtime"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
	"github.com/podbastion/podbastion/internal/tty"
)

// quiet is a process that says hello and then nothing, until it is closed.
type quiet struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func newQuiet() *quiet {
	q := &quiet{}
	q.r, q.w = io.Pipe()
	go func() { _, _ = q.w.Write([]byte("hello")) }()
	return q
}

func (q *quiet) Stdin() io.WriteCloser                { return nopWriteCloser{} }
func (q *quiet) Stdout() io.Reader                    { return q.r }
func (q *quiet) Stderr() io.Reader                    { return nil }
func (q *quiet) Resize(tty.Size) error                { return nil }
func (q *quiet) Signal(context.Context, string) error { return nil }
func (q *quiet) Wait() (bridge.Exit, error)           { return bridge.Exit{}, nil }
func (q *quiet) Close() error                         { return q.w.Close() }

func used() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// An idle interactive session, its client in the same process included, stays well below the budget of 512 KiB.
func TestIdleSessionMemory(t *testing.T) {
	const sessions, budget = 200, 512 << 10
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, func(o *sshd.Options, so *session.Options) {
		o.Limits.MaxConnections, o.Limits.MaxPerSource, o.Limits.MaxUnauthenticated, so.Max = 1000, 1000, 1000, 1000
	})
	b.bridge.exec = func(bridge.Start) (bridge.Process, error) { return newQuiet(), nil }
	before := used()
	for range sessions {
		x := shell(t, b.login(t, "alice+web-0", ssh.PublicKeys(key)))
		x.sees(t, "hello")
	}
	each := (used() - before) / sessions
	t.Logf("%d KiB for each session and its client", each>>10)
	if each > budget {
		t.Errorf("%d KiB, want at most %d", each>>10, budget>>10)
	}
}
