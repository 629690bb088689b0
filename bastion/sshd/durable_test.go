package sshd_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
)

// slowDisk is a sink whose disk is released, or fails, by hand.
type slowDisk struct {
	mu      sync.Mutex
	begun   []audit.Type
	release chan struct{}
	fails   audit.Type
}

func (s *slowDisk) Append(ctx context.Context, e audit.Event) error { return s.Begin(ctx, e)() }

func (s *slowDisk) Begin(_ context.Context, e audit.Event) func() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = append(s.begun, e.Type)
	return func() error {
		<-s.release
		if e.Type == s.fails {
			return errors.New("the disk is full")
		}
		return nil
	}
}

func (s *slowDisk) has() []audit.Type {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.begun)
}

// A command's event and its session's start are under way together; nothing runs before both are durable.
func TestOneWaitBeforeACommand(t *testing.T) {
	for _, fails := range []audit.Type{"", audit.Command, audit.SessionStart} {
		t.Run(string(fails), func(t *testing.T) {
			disk := &slowDisk{release: make(chan struct{}), fails: fails}
			key, line := newKey(t)
			b := start(t, aliceWith(line)+"\nroles:\n  dev: {targets: [{namespaces: [shop]}]}\n", func(_ *sshd.Options, o *session.Options) {
				o.Audit, o.Recordings = disk, &folder{dir: t.TempDir()}
			})
			ran := make(chan struct{}, 1)
			b.bridge.exec = func(bridge.Start) (bridge.Process, error) {
				ran <- struct{}{}
				return nil, bridge.ErrUnreachable
			}
			s, err := b.login(t, "alice+web-0", ssh.PublicKeys(key)).NewSession()
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Run("true") }()
			want := []audit.Type{audit.Command, audit.SessionStart}
			eventually(t, func() bool { return slices.Equal(disk.has(), want) }, func() string { return "not both are under way" })
			select {
			case <-ran:
				t.Fatal("it ran before its events were durable")
			case <-time.After(50 * time.Millisecond):
			}
			close(disk.release)
			if err := <-ended; err == nil {
				t.Error("it ended well")
			}
			if n := len(ran); n != 1 && fails == "" || n != 0 && fails != "" {
				t.Errorf("it was started %d times", n)
			}
		})
	}
}
