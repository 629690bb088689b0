// Package throttle slows down and locks out whoever keeps failing to log in. It counts failures by source (an IPv4
// address, an IPv6 /64), by account, and by account and source together. It refuses to know what a credential is.
//
//   - A source that fails a lot, with whatever accounts, waits longer and longer and is then locked out for a while.
//   - A source that fails a lot with one account is locked out of that account, sooner.
//   - An account that fails a lot, from wherever, is slow for sources that it has not logged in from lately; it is never
//     locked out as a whole. So a stranger locks an account out for the stranger's own source and for nobody else's.
//   - A source that the account has logged in from lately is not held to what others at the same source did, such as
//     colleagues behind one address, only to its failures with this account.
//
// Failures fade with time. A login takes back the failures of that account from that source, but no others, so that
// nobody cleans up after guessing with an account of his own. Names that do not exist are treated like those that do,
// and nothing here is told to clients: a lockout is auth.ErrLockedOut in the log and an ordinary refusal outside.
//
// # What counts as a failure
//
// Agents offer key after key until one fits, and a key cannot be guessed: all wrong keys of one connection count as
// one failure, when the connection ends without a login. Passwords and one-time codes can be guessed: each counts, at
// once and before it is checked, so that many connections at the same time gain nothing; a login takes it back.
// Connection keeps these books for one connection.
//
// The books are in memory. Keep has them in a file as well, so that a restart forgets nothing.
package throttle

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/journal"
)

// Options of a Throttle; zero values are the defaults.
type Options struct {
	Clock   func() time.Time // default time.Now
	Lockout time.Duration    // how long a lockout lasts; default 15 minutes
	MaxWait time.Duration    // the longest wait before an attempt; default 5 seconds
	Trust   time.Duration    // how long a login makes its source known to the account; default 30 days
	Entries int              // how much each of the books holds at most; the longest unused goes first; default 65,536
}

// The measures: how many failures are free of a wait, and how many lock out. One failure is forgotten every fade.
const (
	freeOfSource, lockOfSource = 10, 50
	freeOfPair, lockOfPair     = 3, 10
	freeOfAccount              = 10
	fade                       = 2 * time.Minute
	firstWait                  = 250 * time.Millisecond
)

// key of a book. Names are hashed with a secret seed, so that a long one takes no more room than a short one.
type key struct {
	account uint64
	source  netip.Prefix
}

// record of failures.
type record struct {
	level  float64   // failures not yet forgotten
	at     time.Time // when level was right
	locked time.Time // until then nothing is accepted
}

// Throttle keeps the books. It is safe for concurrent use.
type Throttle struct {
	options Options

	mu       sync.Mutex // guards all below
	seed     [16]byte
	journal  *journal.Journal // nil: the books are in memory only
	failing  func(error)
	broken   bool // the newest change is not in the journal
	sources  *lru[*record]
	pairs    *lru[*record]
	accounts *lru[*record]
	trusted  *lru[time.Time] // pairs and their last login; only logins write to it, so that attackers cannot flood it
}

// New returns a throttle with empty books.
func New(o Options) *Throttle {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Lockout <= 0 {
		o.Lockout = 15 * time.Minute
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 5 * time.Second
	}
	if o.Trust <= 0 {
		o.Trust = 30 * 24 * time.Hour
	}
	if o.Entries <= 0 {
		o.Entries = 1 << 16
	}
	t := &Throttle{
		options: o,
		sources: newLRU[*record](o.Entries), pairs: newLRU[*record](o.Entries), accounts: newLRU[*record](o.Entries), trusted: newLRU[time.Time](o.Entries),
	}
	_, _ = rand.Read(t.seed[:]) // never fails; see crypto/rand
	return t
}

// Source is what failures of an address are counted under.
func Source(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // of the zero address: the zero prefix, which is a source like any other
	return p
}

// Check says how long an attempt has to wait before it is judged, or wraps auth.ErrLockedOut when it is not to be
// judged at all. It changes nothing.
func (t *Throttle) Check(account auth.Account, source netip.Addr) (wait time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.check(account, source)
}

// Failed counts a failure. During a lockout nothing more is counted: knocking on does not prolong it, and a robot with
// an old key does not lock its neighbours out.
func (t *Throttle) Failed(account auth.Account, source netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed(account, source)
}

// Succeeded takes back the account's failures from that source, and makes the source known to the account. It is for
// complete logins only: after all factors.
func (t *Throttle) Succeeded(account auth.Account, source netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.options.Clock()
	a, s, pair := t.keys(account, source)
	t.trusted.put(pair, now)
	lines := appendLine(nil, trustedBook, pair, &record{at: now})
	defer func() { t.keep(lines) }()
	p, ok := t.pairs.get(pair)
	if !ok {
		return
	}
	p.fade(now)
	lessen := func(book *lru[*record], name string, k key) {
		if r, ok := book.get(k); ok {
			r.fade(now)
			r.level = max(0, r.level-p.level)
			lines = appendLine(lines, name, k, r)
		}
	}
	lessen(t.sources, sourcesBook, s)
	lessen(t.accounts, accountsBook, a)
	t.pairs.drop(pair)
	lines = appendLine(lines, forgottenBook, pair, &record{at: now})
}

func (t *Throttle) keys(account auth.Account, source netip.Addr) (a, s, pair key) {
	sum := sha256.Sum256(append(t.seed[:len(t.seed):len(t.seed)], account...))
	h, p := binary.BigEndian.Uint64(sum[:]), Source(source)
	return key{account: h}, key{source: p}, key{account: h, source: p}
}

func (t *Throttle) check(account auth.Account, source netip.Addr) (time.Duration, error) {
	now := t.options.Clock()
	a, s, pair := t.keys(account, source)
	login, known := t.trusted.get(pair)
	known = known && now.Sub(login) < t.options.Trust
	var wait time.Duration
	look := func(book *lru[*record], k key, free float64, what string) error {
		r, ok := book.get(k)
		if !ok {
			return nil
		}
		if now.Before(r.locked) {
			return fmt.Errorf("%w: %s, until %s", auth.ErrLockedOut, what, r.locked.UTC().Format(time.RFC3339))
		}
		r.fade(now)
		wait = max(wait, t.wait(r.level-free))
		return nil
	}
	if err := look(t.pairs, pair, freeOfPair, "the account from this source"); err != nil {
		return 0, err
	}
	if known {
		return wait, nil
	}
	if err := look(t.sources, s, freeOfSource, "the source"); err != nil {
		return 0, err
	}
	return wait, look(t.accounts, a, freeOfAccount, "the account")
}

// wait doubles with each failure that is not free.
func (t *Throttle) wait(above float64) time.Duration {
	wait := firstWait
	for ; above >= 2 && wait < t.options.MaxWait; above-- {
		wait *= 2
	}
	if above < 1 {
		return 0
	}
	return min(wait, t.options.MaxWait)
}

func (t *Throttle) failed(account auth.Account, source netip.Addr) {
	now := t.options.Clock()
	a, s, pair := t.keys(account, source)
	if r, ok := t.pairs.get(pair); ok && now.Before(r.locked) {
		return
	}
	var lines []byte
	count := func(book *lru[*record], name string, k key, lock float64) {
		r, ok := book.get(k)
		if !ok {
			r = &record{at: now}
			book.put(k, r)
		}
		if now.Before(r.locked) {
			return
		}
		r.fade(now)
		r.level++
		if lock > 0 && r.level > lock-0.5 {
			r.locked = now.Add(t.options.Lockout)
			r.level = lock / 2 // what is held against it once the lockout is over; it begins to fade then
			r.at = r.locked
		}
		lines = appendLine(lines, name, k, r)
	}
	count(t.pairs, pairsBook, pair, lockOfPair)
	count(t.sources, sourcesBook, s, lockOfSource)
	count(t.accounts, accountsBook, a, 0)
	t.keep(lines)
}

// fade forgets what is old enough.
func (r *record) fade(now time.Time) {
	if d := now.Sub(r.at); d > 0 {
		r.level = max(0, r.level-float64(d)/float64(fade))
		r.at = now
	}
}
