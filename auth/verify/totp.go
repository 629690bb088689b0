package verify

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/podbastion/podbastion/auth"
)

// Parameters of RFC 6238 that every authenticator application knows.
const (
	totpPeriod = 30 * time.Second
	totpSkew   = 1 // steps before and after, for clocks that differ
	totpDigits = otp.DigitsSix
)

// used is the newest time step whose code an account has logged in with, under that secret.
type used struct {
	secret string
	step   int64
}

// Code checks a one-time code of the account's. A code is good once, and so is every older one: after a login the next
// code has to be waited for. What was used is on the disk before the code counts, where Keep was called. The same work is done for accounts that do not exist or have no secret.
func (v *Verifier) Code(account auth.Account, code string) error {
	credentials, known := v.source.Current().Credentials(account)
	secret := decoySecret()
	armed := known && credentials.TOTP != ""
	if armed {
		secret = credentials.TOTP
	}
	step, ok, err := matchCode(secret, code, v.clock())
	switch {
	case !known:
		return auth.ErrUnknownAccount
	case err != nil:
		return fmt.Errorf("%w: %w", auth.ErrWrongCode, err)
	case !armed:
		return fmt.Errorf("%w: the account has no secret", auth.ErrWrongCode)
	case !ok:
		return auth.ErrWrongCode
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.spent(account, used{secret, step}) {
		return fmt.Errorf("%w: used before", auth.ErrWrongCode)
	}
	if err := v.keep(account, used{secret, step}); err != nil {
		return fmt.Errorf("%w: it cannot be remembered: %w", auth.ErrWrongCode, err)
	}
	v.codes[account] = used{secret: secret, step: step}
	return nil
}

// matchCode looks at every step within the skew, whichever matches, and returns the newest that does.
func matchCode(secret, code string, now time.Time) (step int64, ok bool, err error) {
	code = strings.ReplaceAll(code, " ", "")
	current := now.Unix() / int64(totpPeriod/time.Second)
	for s := current - totpSkew; s <= current+totpSkew; s++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(s), hotp.ValidateOpts{Digits: totpDigits, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok, nil
}

// decoySecret stands in where there is none. It is drawn each time, so that no code can be learnt for it.
func decoySecret() string {
	var b [20]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}
