package throttle

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
)

var (
	home     = netip.MustParseAddr("192.0.2.10")
	stranger = netip.MustParseAddr("198.51.100.66")
)

// clocked returns a throttle and its clock.
func clocked(o Options) (*Throttle, *time.Time) {
	now := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	o.Clock = func() time.Time { return now }
	return New(o), &now
}

func fail(t *Throttle, n int, account auth.Account, source netip.Addr) {
	for range n {
		t.Failed(account, source)
	}
}

func expect(t *testing.T, th *Throttle, account auth.Account, source netip.Addr, wait time.Duration, want error) {
	t.Helper()
	if got, err := th.Check(account, source); got != wait || !errors.Is(err, want) {
		t.Errorf("%s from %s: wait %s, %v; want %s, %v", account, source, got, err, wait, want)
	}
}

func TestWaitsGrowThenLock(t *testing.T) {
	th, now := clocked(Options{})
	// Three are free; then a quarter of a second, doubling, up to five; the tenth locks out.
	for i, wait := range []time.Duration{0, 0, 0, 0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second} {
		if got, err := th.Check("alice", home); got != wait || err != nil {
			t.Fatalf("after %d failures: %s, %v", i, got, err)
		}
		th.Failed("alice", home)
	}
	expect(t, th, "alice", home, 0, auth.ErrLockedOut)
	expect(t, th, "bob", home, 0, nil)
	*now = now.Add(15*time.Minute - time.Second)
	fail(th, 5, "alice", home) // does not make it longer
	expect(t, th, "alice", home, 0, auth.ErrLockedOut)
	*now = now.Add(time.Second)
	if _, err := th.Check("alice", home); err != nil {
		t.Errorf("still locked out: %v", err)
	}
	*now = now.Add(time.Hour)
	expect(t, th, "alice", home, 0, nil) // forgotten
}

func TestAfterALockoutTheNextComesSooner(t *testing.T) {
	th, now := clocked(Options{})
	fail(th, 10, "alice", home)
	*now = now.Add(15 * time.Minute)
	fail(th, 5, "alice", home)
	expect(t, th, "alice", home, 0, auth.ErrLockedOut)
}

func TestSourceIsLockedOutWhateverTheAccount(t *testing.T) {
	th, _ := clocked(Options{})
	for i := range 49 {
		th.Failed(auth.Account(fmt.Sprint("user", i)), stranger)
	}
	expect(t, th, "fresh", stranger, 5*time.Second, nil)
	th.Failed("user49", stranger)
	expect(t, th, "fresh", stranger, 0, auth.ErrLockedOut)
	expect(t, th, "fresh", home, 0, nil)
}

// The point of it all: strangers cannot shut the owner out.
func TestStrangersDoNotLockTheOwnerOut(t *testing.T) {
	th, now := clocked(Options{})
	th.Succeeded("alice", home)
	*now = now.Add(24 * time.Hour)
	for i := range 200 {
		fail(th, 50, "alice", netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	expect(t, th, "alice", home, 0, nil)
	// From an address that is new to the account it is slow, not shut.
	expect(t, th, "alice", netip.MustParseAddr("192.0.2.11"), 5*time.Second, nil)
	expect(t, th, "bob", netip.MustParseAddr("192.0.2.11"), 0, nil)
	*now = now.Add(30 * 24 * time.Hour) // the login was too long ago, and the failures are forgotten
	for i := range 4 {
		fail(th, 5, "alice", netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	expect(t, th, "alice", home, 5*time.Second, nil)
}

// Somebody behind the same address is not made to pay for a colleague's failures with other accounts.
func TestKnownSourceIsNotHeldToItsNeighbours(t *testing.T) {
	th, _ := clocked(Options{})
	th.Succeeded("alice", home)
	for i := range 60 {
		th.Failed(auth.Account(fmt.Sprint("user", i)), home)
	}
	expect(t, th, "bob", home, 0, auth.ErrLockedOut)
	expect(t, th, "alice", home, 0, nil)
	fail(th, 10, "alice", home)
	expect(t, th, "alice", home, 0, auth.ErrLockedOut)
}

func TestLoginTakesBackOnlyItsOwn(t *testing.T) {
	th, _ := clocked(Options{})
	for i := range 5 {
		fail(th, 8, auth.Account(fmt.Sprint("victim", i)), stranger)
	}
	fail(th, 9, "mallory", stranger)
	th.Succeeded("mallory", stranger)
	for i := range 9 { // were the victim's failures gone too, this would not do
		th.Failed(auth.Account(fmt.Sprint(i)), stranger)
	}
	expect(t, th, "fresh", stranger, 5*time.Second, nil)
	th.Failed("x", stranger)
	expect(t, th, "fresh", stranger, 0, auth.ErrLockedOut)
	expect(t, th, "mallory", stranger, 0, nil)
	expect(t, th, "victim0", stranger, 0, auth.ErrLockedOut)
}

// A robot that goes on and on with an old key does not lock its neighbours out.
func TestKnockingOnCountsNothing(t *testing.T) {
	th, now := clocked(Options{})
	for range 24 * 60 * 6 { // every ten seconds, a whole day
		th.Failed("robot", home)
		*now = now.Add(10 * time.Second)
	}
	expect(t, th, "robot", home, 0, auth.ErrLockedOut)
	if _, err := th.Check("alice", home); err != nil {
		t.Error(err)
	}
	if _, err := th.Check("robot", stranger); err != nil {
		t.Error(err)
	}
}

func TestOnlyTheFirstKeyWaits(t *testing.T) {
	th, _ := clocked(Options{})
	fail(th, 9, "alice", home)
	c := th.Connection(home)
	for i := range 3 {
		if wait, err := c.Key("alice"); err != nil || (wait > 0) != (i == 0) {
			t.Errorf("key %d: %s, %v", i, wait, err)
		}
	}
}

func TestSource(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.10": "192.0.2.10/32", "::ffff:192.0.2.10": "192.0.2.10/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Source(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
	th, _ := clocked(Options{})
	fail(th, 10, "alice", netip.MustParseAddr("2001:db8:1:2::1"))
	expect(t, th, "alice", netip.MustParseAddr("2001:db8:1:2:ffff::9"), 0, auth.ErrLockedOut)
	expect(t, th, "alice", netip.MustParseAddr("2001:db8:1:3::1"), 0, nil)
	fail(th, 10, "alice", netip.Addr{}) // no address is an address too
	expect(t, th, "alice", netip.Addr{}, 0, auth.ErrLockedOut)
}

func TestMemoryIsBounded(t *testing.T) {
	th, _ := clocked(Options{Entries: 1000})
	th.Succeeded("alice", home)
	long := strings.Repeat("x", 1<<12)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	for i := range 20_000 {
		th.Failed(auth.Account(fmt.Sprint(long, i)), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	runtime.GC()
	runtime.ReadMemStats(&m)
	if grown := int64(m.HeapAlloc) - int64(before); grown > 2<<20 {
		t.Errorf("%d bytes for three books of 1,000 entries", grown)
	}
	if n := len(th.sources.byKey) + th.pairs.order.Len() + len(th.accounts.byKey); n != 3000 {
		t.Errorf("%d entries", n)
	}
	if _, ok := th.trusted.get(key{}); ok || th.trusted.order.Len() != 1 {
		t.Error("failures pushed a login out")
	}
	fail(th, 60, "bob", home)
	expect(t, th, "alice", home, 0, nil)
}

func TestRefusalDoesNotSayWhetherTheAccountExists(t *testing.T) {
	th, _ := clocked(Options{})
	th.Succeeded("alice", home)
	fail(th, 10, "alice", stranger)
	fail(th, 10, "nobody", stranger)
	_, a := th.Check("alice", stranger)
	_, b := th.Check("nobody", stranger)
	if a == nil || b == nil || a.Error() != b.Error() {
		t.Errorf("%v, %v", a, b)
	}
}

func TestConnectionCountsKeysOnce(t *testing.T) {
	th, _ := clocked(Options{})
	for range 9 {
		c := th.Connection(home)
		for range 20 {
			if _, err := c.Key("alice"); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		c.Close()
	}
	expect(t, th, "alice", home, 5*time.Second, nil)
	c := th.Connection(home)
	_, _ = c.Key("alice") // the wait is not of interest here
	c.Close()
	expect(t, th, "alice", home, 0, auth.ErrLockedOut)
}

func TestConnectionThatLogsInCountsNothing(t *testing.T) {
	th, _ := clocked(Options{})
	for range 100 {
		c := th.Connection(home)
		for range 5 {
			if wait, err := c.Key("alice"); wait != 0 || err != nil {
				t.Fatal(wait, err)
			}
		}
		if wait, err := c.Guess("alice"); wait != 0 || err != nil { // a one-time code
			t.Fatal(wait, err)
		}
		c.Succeeded("alice")
		c.Close()
	}
	if len(th.pairs.byKey) != 0 {
		t.Error("failures are left")
	}
}

func TestConnectionThatChangesItsAccount(t *testing.T) {
	th, _ := clocked(Options{})
	c := th.Connection(stranger)
	for i := range 10 {
		_, _ = c.Key("alice") // the waits are not of interest here
		_, _ = c.Key(auth.Account(fmt.Sprint("user", i)))
	}
	expect(t, th, "alice", stranger, 0, auth.ErrLockedOut)
	_, _ = c.Key("victim")
	c.Succeeded("mallory")
	_, _, pair := th.keys("victim", stranger)
	if _, ok := th.pairs.get(pair); !ok {
		t.Error("a login washed off a failure with another account")
	}
}

// Guesses are counted before they are judged: trying many at the same time gains nothing.
func TestGuessesAtTheSameTime(t *testing.T) {
	th, _ := clocked(Options{})
	var judged atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := th.Connection(stranger).Guess("alice"); err == nil {
				judged.Add(1)
			}
		})
	}
	all.Wait()
	if n := judged.Load(); n != 10 {
		t.Errorf("%d guesses were let through", n)
	}
}
