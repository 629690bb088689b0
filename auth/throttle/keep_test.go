package throttle

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
)

// again is a new throttle on the same file and clock, as after the sudden end of a program: nothing was closed.
func again(t *testing.T, path string, now *time.Time, entries int) *Throttle {
	t.Helper()
	th := New(Options{Clock: func() time.Time { return *now }, Entries: entries})
	if err := th.Keep(path, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = th.Close() })
	return th
}

func TestRestartForgetsNothing(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "failures"), new(time.Time)
	*now = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	th := again(t, path, now, 0)
	th.Succeeded("bob", home)
	fail(th, 10, "alice", home) // locks her out from there
	fail(th, 5, "bob", stranger)
	fail(th, 60, "carol", netip.MustParseAddr("203.0.113.7"))
	for range 2 {
		th = again(t, path, now, 0)
		expect(t, th, "alice", home, 0, auth.ErrLockedOut)
		expect(t, th, "bob", stranger, 500*time.Millisecond, nil)
		expect(t, th, "bob", home, 0, nil)
	}
	*now = now.Add(15 * time.Minute)
	th = again(t, path, now, 0)
	if _, err := th.Check("alice", home); err != nil {
		t.Errorf("after the lockout: %v", err)
	}
	// A source that the account logged in from stays its own, whatever others did there.
	for i := range 60 {
		th.Failed(auth.Account(fmt.Sprint("somebody", i)), home)
	}
	th = again(t, path, now, 0)
	expect(t, th, "dave", home, 0, auth.ErrLockedOut)
	expect(t, th, "bob", home, 0, nil)
	// What a login took back stays taken back.
	fail(th, 3, "bob", stranger)
	th.Succeeded("bob", stranger)
	expect(t, again(t, path, now, 0), "bob", stranger, 0, nil)
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte("alice")) {
		t.Errorf("names are in the file (%v):\n%s", err, data)
	}
}

func TestFileIsBounded(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "failures"), new(time.Time)
	*now = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	th := again(t, path, now, 100)
	for i := range 30000 {
		th.Failed(auth.Account(fmt.Sprint("somebody", i)), netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}))
	}
	fail(th, 10, "alice", home)
	info, err := os.Stat(path)
	if err != nil || info.Size() > 600<<10 {
		t.Errorf("%v bytes, %v", info.Size(), err)
	}
	expect(t, again(t, path, now, 100), "alice", home, 0, auth.ErrLockedOut)
}

func TestNonsenseInTheFile(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "failures"), new(time.Time)
	*now = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	th := again(t, path, now, 0)
	fail(th, 10, "alice", home)
	far := now.Add(1000 * time.Hour).UnixMilli()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(f, "\n\nx y z\np zz 1.2.3.4/32 1 1 1\np 1 1.2.3.4/32 NaN 1 1\np 1 1.2.3.4/32 -5 1 1\ns 0 198.51.100.66/32 3 %d %d\nhalf a li", far, far)
	_ = f.Close()
	th = again(t, path, now, 0)
	expect(t, th, "alice", home, 0, auth.ErrLockedOut)
	// A lockout that a wrong clock wrote lasts no longer than one can.
	expect(t, th, "bob", stranger, 0, auth.ErrLockedOut)
	*now = now.Add(15*time.Minute + time.Second)
	if _, err := th.Check("bob", stranger); err != nil {
		t.Error(err)
	}
}

// A disk that fails is told of once, and the books go on in memory.
func TestFileFails(t *testing.T) {
	th, _ := clocked(Options{})
	var told []error
	if err := th.Keep(filepath.Join(t.TempDir(), "failures"), func(err error) { told = append(told, err) }); err != nil {
		t.Fatal(err)
	}
	_ = th.journal.Close()
	fail(th, 10, "alice", home)
	expect(t, th, "alice", home, 0, auth.ErrLockedOut)
	if len(told) != 1 || !errors.Is(told[0], os.ErrClosed) {
		t.Errorf("told %v", told)
	}
}
