package auth

import (
	"strings"
	"testing"
)

func TestHashPassword(t *testing.T) {
	a, err := HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	b, err := HashPassword("correct horse")
	if err != nil || a == b {
		t.Fatalf("the salt is not random: %v", err)
	}
	h, err := ParsePasswordHash(a)
	if err != nil {
		t.Fatal(err)
	}
	if !h.Matches("correct horse") || h.Matches("correct horsf") || h.Matches("") || h.Matches(strings.Repeat("x", 5000)) {
		t.Error("matches the wrong password, or not the right one")
	}
	for _, bad := range []string{"", strings.Repeat("x", 2000)} {
		if _, err := HashPassword(bad); err == nil {
			t.Errorf("hashed %d bytes", len(bad))
		}
	}
	for _, bad := range []string{"", "$", a + "$", a + "=", strings.Replace(a, "v=19", "v=16", 1), strings.Replace(a, "argon2id", "argon2i", 1),
		strings.Replace(a, "p=4", "p=0", 1), strings.Replace(a, "p=4", "p=4,x=1", 1), strings.Replace(a, "t=3", "t=+3", 1), strings.Replace(a, "m=65536", "m=4294967295", 1)} {
		if _, err := ParsePasswordHash(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
