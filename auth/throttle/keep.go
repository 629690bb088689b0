package throttle

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/podbastion/podbastion/internal/journal"
)

// Books as the file names them. A line is: BOOK ACCOUNT SOURCE LEVEL AT LOCKED, or "seed HEX", the first one. Times are
// in milliseconds since 1970.
const (
	seedLine      = "seed"
	sourcesBook   = "s"
	pairsBook     = "p"
	accountsBook  = "a"
	trustedBook   = "t"
	forgottenBook = "f" // a pair whose failures a login took back
)

// Keep reads the books from a file, and keeps them there from then on: the program's sudden end forgets nothing of them.
// failed is told, once in a row, when the file cannot be written; the books are then kept in memory only.
func (t *Throttle) Keep(path string, failed func(error)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, seeded := t.options.Clock(), false
	j, err := journal.Open(path, func(line string) {
		if text, ok := strings.CutPrefix(line, seedLine+" "); ok {
			if b, err := hex.DecodeString(text); err == nil && len(b) == len(t.seed) {
				seeded = true
				copy(t.seed[:], b)
			}
			return
		}
		t.restore(strings.Fields(line), now)
	})
	if err != nil {
		return err
	}
	t.journal, t.failing = j, failed
	if seeded {
		return nil
	}
	_, _ = rand.Read(t.seed[:]) // never fails; see crypto/rand
	return j.Rewrite(t.snapshot)
}

// Close closes the file.
func (t *Throttle) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.journal == nil {
		return nil
	}
	j := t.journal
	t.journal = nil
	return j.Close()
}

// restore takes a line; what it cannot be is left out.
func (t *Throttle) restore(f []string, now time.Time) {
	if len(f) != 6 {
		return
	}
	account, err1 := strconv.ParseUint(f[1], 16, 64)
	source, err2 := netip.ParsePrefix(f[2])
	if f[2] == "-" {
		source, err2 = netip.Prefix{}, nil
	}
	level, err3 := strconv.ParseFloat(f[3], 64)
	at, err4 := strconv.ParseInt(f[4], 10, 64)
	locked, err5 := strconv.ParseInt(f[5], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || err5 != nil || !(level >= 0 && level <= maxLevel) {
		return
	}
	k, r := key{account, source}, &record{level: level, at: time.UnixMilli(at)}
	if locked != 0 {
		r.locked = time.UnixMilli(locked)
	}
	if latest := now.Add(t.options.Lockout); r.locked.After(latest) || r.at.After(latest) {
		r.locked, r.at = latest, latest // the clock was wrong, then or now
	}
	switch f[0] {
	case sourcesBook:
		t.sources.put(k, r)
	case pairsBook:
		t.pairs.put(k, r)
	case accountsBook:
		t.accounts.put(k, r)
	case trustedBook:
		t.trusted.put(k, r.at)
	case forgottenBook:
		t.pairs.drop(k)
	}
}

// maxLevel is more than any record can hold: at its lockout a record stops counting, and accounts are slow to fade.
const maxLevel = 1e9

func appendLine(b []byte, book string, k key, r *record) []byte {
	b = append(append(b, book...), ' ')
	b = append(strconv.AppendUint(b, k.account, 16), ' ')
	if k.source.IsValid() {
		b = k.source.AppendTo(b)
	} else {
		b = append(b, '-')
	}
	b = append(strconv.AppendFloat(append(b, ' '), r.level, 'g', 6, 64), ' ')
	b = append(strconv.AppendInt(b, r.at.UnixMilli(), 10), ' ')
	if r.locked.IsZero() {
		return append(b, '0', '\n')
	}
	return append(strconv.AppendInt(b, r.locked.UnixMilli(), 10), '\n')
}

// keep appends lines, in one write.
func (t *Throttle) keep(lines []byte) {
	if t.journal == nil || len(lines) == 0 {
		return
	}
	err := t.journal.Append(lines)
	if err == nil && t.journal.Grown() {
		err = t.journal.Rewrite(t.snapshot)
	}
	if err != nil && !t.broken && t.failing != nil {
		t.failing(err)
	}
	t.broken = err != nil
}

// snapshot writes all that still matters, what was not used for longest first.
func (t *Throttle) snapshot(w *bufio.Writer) {
	now := t.options.Clock()
	_, _ = w.WriteString(seedLine + " " + hex.EncodeToString(t.seed[:]) + "\n") // w keeps its first error
	for book, l := range map[string]*lru[*record]{sourcesBook: t.sources, pairsBook: t.pairs, accountsBook: t.accounts} {
		for e := l.order.Back(); e != nil; e = e.Prev() {
			x := e.Value.(*entry[*record])
			if x.value.fade(now); x.value.level > 0 || now.Before(x.value.locked) {
				_, _ = w.Write(appendLine(nil, book, x.key, x.value))
			}
		}
	}
	for e := t.trusted.order.Back(); e != nil; e = e.Prev() {
		if x := e.Value.(*entry[time.Time]); now.Sub(x.value) < t.options.Trust {
			_, _ = w.Write(appendLine(nil, trustedBook, x.key, &record{at: x.value}))
		}
	}
}
