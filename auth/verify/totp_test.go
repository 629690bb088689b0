package verify

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
)

const (
	withCode    = `{name: alice, password: "` + cheapHash + `", totp: ` + rfcSecret + `, roles: [wide]}`
	withoutCode = `{name: bob, password: "` + cheapHash + `", roles: [wide]}`
)

// The table of RFC 6238, appendix B, for SHA-1; its codes have eight digits, the last six of which are ours.
func TestCodeOfRFC6238(t *testing.T) {
	for seconds, code := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924",
		2000000000: "279037", 20000000000: "353130"} {
		v := verifierOf(t, time.Unix(seconds, 0), nil, withCode)
		if err := v.Code("alice", code); err != nil {
			t.Errorf("at %d: %v", seconds, err)
		}
	}
}

func TestCode(t *testing.T) {
	// 050471 belongs to the step that holds the second 1111111111, which begins at 1111111110.
	const code, begins = "050471", int64(1111111110)
	tests := []struct {
		name    string
		account auth.Account
		at      int64
		code    string
		want    error
	}{
		{"with a space", "alice", begins, "050 471", nil},
		{"clock of the account's a step slow", "alice", begins + 59, code, nil},
		{"two steps slow", "alice", begins + 60, code, auth.ErrWrongCode},
		{"a step fast", "alice", begins - 30, code, nil},
		{"two steps fast", "alice", begins - 31, code, auth.ErrWrongCode},
		{"wrong", "alice", begins, "050472", auth.ErrWrongCode},
		{"empty", "alice", begins, "", auth.ErrWrongCode},
		{"short", "alice", begins, "50471", auth.ErrWrongCode},
		{"long", "alice", begins, "0050471", auth.ErrWrongCode},
		{"account without one", "bob", begins, code, auth.ErrWrongCode},
		{"no such account", "nobody", begins, code, auth.ErrUnknownAccount},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := verifierOf(t, time.Unix(tt.at, 0), nil, withCode, withoutCode)
			if err := v.Code(tt.account, tt.code); !errors.Is(err, tt.want) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestCodeIsGoodOnce(t *testing.T) {
	now := time.Unix(1111111109, 0)
	v := verifierOf(t, now, nil, withCode)
	v.clock = func() time.Time { return now }
	if err := v.Code("alice", "081804"); err != nil {
		t.Fatal(err)
	}
	if err := v.Code("alice", "081804"); !errors.Is(err, auth.ErrWrongCode) {
		t.Fatalf("used twice: %v", err)
	}
	now = now.Add(2 * time.Second)
	if err := v.Code("alice", "050471"); err != nil {
		t.Fatalf("the next one: %v", err)
	}
	if err := v.Code("alice", "081804"); !errors.Is(err, auth.ErrWrongCode) {
		t.Fatalf("an older one, still within the skew: %v", err)
	}
}

func TestCodeIsGoodOnceAmongMany(t *testing.T) {
	v := verifierOf(t, time.Unix(59, 0), nil, withCode)
	var accepted atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if v.Code("alice", "287082") == nil {
				accepted.Add(1)
			}
		})
	}
	all.Wait()
	if n := accepted.Load(); n != 1 {
		t.Errorf("accepted %d times", n)
	}
}

// A new secret starts anew: what was used of the old one says nothing about it.
func TestCodeAfterANewSecret(t *testing.T) {
	v := verifierOf(t, time.Unix(1234567890, 0), nil, withCode)
	v.codes["alice"] = used{secret: "another", step: 1 << 40}
	if err := v.Code("alice", "005924"); err != nil {
		t.Fatal(err)
	}
}

func TestSecondFactor(t *testing.T) {
	v := verifierOf(t, noon, nil, withCode, withoutCode)
	for account, want := range map[auth.Account]bool{"alice": true, "bob": false, "nobody": false} {
		if got := v.SecondFactor(account); got != want {
			t.Errorf("%s: %v", fmt.Sprint(account), got)
		}
	}
}
