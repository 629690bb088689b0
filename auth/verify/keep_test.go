package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
)

// again is a new verifier on the same file, as after the sudden end of a program: nothing was closed.
func again(t *testing.T, path string, now time.Time, accounts ...string) *Verifier {
	t.Helper()
	v := verifierOf(t, now, nil, accounts...)
	if err := v.Keep(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func TestRestartDoesNotRenewCodes(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "codes"), time.Unix(1111111109, 0)
	if err := again(t, path, now, withCode).Code("alice", "081804"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := again(t, path, now, withCode).Code("alice", "081804"); !errors.Is(err, auth.ErrWrongCode) {
			t.Fatalf("used again after a restart: %v", err)
		}
	}
	if err := again(t, path, now.Add(2*time.Second), withCode).Code("alice", "050471"); err != nil {
		t.Errorf("the next one: %v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 || len(data) > 1000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	again(t, path, now.Add(5*time.Minute), withCode)
	if data, err = os.ReadFile(path); err != nil || len(data) != 0 {
		t.Errorf("old codes are kept: %q %v", data, err)
	}
}

// A code that cannot be remembered is none.
func TestCodeNeedsItsFile(t *testing.T) {
	v := again(t, filepath.Join(t.TempDir(), "codes"), time.Unix(1111111109, 0), withCode)
	_ = v.journal.Close()
	if err := v.Code("alice", "081804"); !errors.Is(err, auth.ErrWrongCode) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// What is too old to be used is not kept from one start to the next.
func TestOldCodesAreForgotten(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "codes"), time.Unix(1111111109, 0)
	v := again(t, path, now, withCode)
	var lines []byte
	for i := range int64(10000) {
		lines = append(lines, codeLine(hashed(fmt.Sprint("account-", i)), keptCode{hashed(rfcSecret), 37037036 - 9998 + i})...)
	}
	if err := v.journal.Append(lines); err != nil {
		t.Fatal(err)
	}
	if v = again(t, path, now, withCode); len(v.kept) != 3 { // now, the step before, and one that is still to come
		t.Errorf("%d are kept", len(v.kept))
	}
}
