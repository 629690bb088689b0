package verify

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/journal"
)

// Keep reads which codes were used from a file, and keeps them there from then on: no restart makes a code good again.
// A line is: ACCOUNT SECRET STEP, the first two as hashes.
func (v *Verifier) Keep(path string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	j, err := journal.Open(path, func(line string) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return
		}
		if step, err := strconv.ParseInt(f[2], 10, 64); err == nil {
			v.kept[f[0]] = keptCode{f[1], step}
		}
	})
	if err != nil {
		return err
	}
	v.journal = j
	return j.Rewrite(v.snapshot)
}

// Close closes the file.
func (v *Verifier) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.journal == nil {
		return nil
	}
	j := v.journal
	v.journal = nil
	return j.Close()
}

// keptCode is used as the file has it.
type keptCode struct {
	secret string
	step   int64
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// spent tells whether the account has used that step's code, or a newer one; mu is locked.
func (v *Verifier) spent(account auth.Account, u used) bool {
	last, ok := v.codes[account]
	if ok && last.secret == u.secret && u.step <= last.step {
		return true
	}
	before, ok := v.kept[hashed(string(account))]
	return ok && before.secret == hashed(u.secret) && u.step <= before.step
}

// keep has a used code on the disk; mu is locked.
func (v *Verifier) keep(account auth.Account, u used) error {
	if v.journal == nil {
		return nil
	}
	a, c := hashed(string(account)), keptCode{hashed(u.secret), u.step}
	if err := v.journal.Append(codeLine(a, c)); err != nil {
		return err
	}
	if err := v.journal.Sync(); err != nil {
		return err
	}
	v.kept[a] = c
	if v.journal.Grown() {
		return v.journal.Rewrite(v.snapshot)
	}
	return nil
}

func codeLine(account string, c keptCode) []byte {
	return []byte(account + " " + c.secret + " " + strconv.FormatInt(c.step, 10) + "\n")
}

// snapshot writes, and keeps, what could still be used a second time.
func (v *Verifier) snapshot(w *bufio.Writer) {
	oldest := v.clock().Unix()/int64(totpPeriod/time.Second) - totpSkew
	for a, c := range v.kept {
		if c.step < oldest {
			delete(v.kept, a)
			continue
		}
		_, _ = w.Write(codeLine(a, c)) // w keeps its first error
	}
}
