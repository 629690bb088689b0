//go:build real

package log

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/audit"
)

// A file system that is really full: events are refused, nothing is torn, and once there is room the log goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatalf("cannot mount a small tmpfs: %v; this test needs root", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.jsonl")
	l := open(t, path)
	e := audit.Event{Type: audit.Command, Line: strings.Repeat("x", 3000)}
	accepted, refused := 0, 0
	for refused < 5 {
		switch err := l.Append(context.Background(), e); {
		case err == nil:
			accepted++
		case errors.Is(err, unix.ENOSPC):
			refused++
			if !errors.Is(l.Err(), unix.ENOSPC) {
				t.Fatalf("health: %v", l.Err())
			}
		default:
			t.Fatal(err)
		}
	}
	if got := len(chain(t, path)); got != accepted {
		t.Fatalf("%d lines, %d accepted", got, accepted)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); l.Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still refusing: %v", l.Err())
		}
	}
	add(t, l, e)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	events := chain(t, path)
	if len(events) != accepted+2 || events[accepted]["type"] != "log.resume" {
		t.Fatalf("%d lines, %d accepted before", len(events), accepted)
	}
	if reason := events[accepted]["reason"].(string); !strings.HasPrefix(reason, "5 events were refused") || !strings.Contains(reason, "no space left on device") {
		t.Errorf("reason %q", reason)
	}
}
