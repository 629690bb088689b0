package auth

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// watched starts Run on a file and returns channels of the changes and of the reload events.
func watched(t *testing.T, path string) (*Source, <-chan [2]*Document, <-chan Reload) {
	t.Helper()
	changes, events := make(chan [2]*Document, 16), make(chan Reload, 16)
	s, err := NewSource(path, func(r Reload) { events <- r })
	if err != nil {
		t.Fatal(err)
	}
	s.Subscribe(func(old, new *Document) { changes <- [2]*Document{old, new} })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }() // it ends with the context, without an error
	t.Cleanup(func() { cancel(); <-done })
	return s, changes, events
}

func receive[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("no %s within a minute", what)
	}
	return v
}

func TestRunSeesChangesAndKeepsTheOldOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roles.yaml")
	good := goodDocument(t)
	write(t, path, good)
	s, changes, events := watched(t, path)
	first := s.Current()

	write(t, path, "accounts: [")
	if e := receive(t, events, "refusal"); e.Err == nil {
		t.Fatal("a broken document was taken")
	}
	if s.Current() != first {
		t.Fatal("the old document was dropped")
	}

	write(t, path, strings.ReplaceAll(good, "alice", "alina"))
	c := receive(t, changes, "change")
	if _, ok := c[1].Credentials("alina"); c[0] != first || c[1] != s.Current() || !ok {
		t.Fatal("subscriber saw other documents")
	}
	if e := receive(t, events, "acceptance"); e.Err != nil || e.Hash != s.Current().Hash() {
		t.Fatalf("event %+v", e)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, events, "missing file"); !errors.Is(e.Err, os.ErrNotExist) {
		t.Fatalf("event %+v", e)
	}
	if _, ok := s.Current().Credentials("alina"); !ok {
		t.Fatal("a missing file dropped the document")
	}
}

// Kubernetes mounts a ConfigMap as links to links and swaps the one in the middle.
func TestRunSeesConfigMapSwap(t *testing.T) {
	dir := t.TempDir()
	good := goodDocument(t)
	for version, text := range map[string]string{"..v1": good, "..v2": strings.ReplaceAll(good, "alice", "alina")} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "roles.yaml"), text)
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link("..data/roles.yaml", "roles.yaml")
	s, changes, _ := watched(t, filepath.Join(dir, "roles.yaml"))
	link("..v2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	receive(t, changes, "change")
	if _, ok := s.Current().Credentials("alina"); !ok {
		t.Fatal("old document still in force")
	}
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roles.yaml")
	good := goodDocument(t)
	write(t, path, good)
	s, err := NewSource(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	cancel := s.Subscribe(func(_, _ *Document) { calls++ })
	if err := s.Reload(); err != nil || calls != 0 {
		t.Fatalf("unchanged: %v, %d calls", err, calls)
	}
	write(t, path, good+"# changed\n")
	if err := s.Reload(); err != nil || calls != 1 {
		t.Fatalf("changed: %v, %d calls", err, calls)
	}
	cancel()
	write(t, path, good+"# again\n")
	if err := s.Reload(); err != nil || calls != 1 {
		t.Fatalf("after cancel: %v, %d calls", err, calls)
	}
	write(t, path, "x: y\n")
	old := s.Current()
	var le *LoadError
	if err := s.Reload(); !errors.As(err, &le) || s.Current() != old {
		t.Fatalf("broken: %v", err)
	}
	if _, err := NewSource(t.TempDir(), nil); err == nil {
		t.Fatal("a directory is no document")
	}
}
