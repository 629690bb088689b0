package session_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/shell"

	"github.com/podbastion/podbastion/bastion/session"
)

func TestWords(t *testing.T) {
	for command, want := range map[string][]string{
		`/app --x`:             {"/app", "--x"},
		`  /app	"a  b" 'c"d' `: {"/app", "a  b", `c"d`},
		`/app a\ b '' "" x""y`: {"/app", "a b", "", "", "xy"},
		`/app "\$x \a \" \\"`:  {"/app", `$x \a " \`},
		"/app '$x|;'\na":       {"/app", "$x|;", "a"},
		"/app a#b c~d 'a\\b'":  {"/app", "a#b", "c~d", `a\b`},
		"/ap\\\np x":           {"/app", "x"},
	} {
		got, err := session.Words(command)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q %v, want %q", command, got, err, want)
		}
	}
	for _, command := range []string{"", "  ", `a "b`, `a 'b`, `a \`, "a | b", "a; b", "a && b", "a > b", "$x", "`a`", `"$x"`, "a *", "a ?", "[a]", "~", "#a", "(a)", "a{b,c}", "!a"} {
		if got, err := session.Words(command); err == nil {
			t.Errorf("%q: got %q, want an error", command, got)
		}
	}
}

// Whatever is taken means the same to a shell.
func FuzzWords(f *testing.F) {
	for _, s := range []string{`a "b c" 'd'`, `a\ b`, "a\\\nb", `"\$"`, "''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, command string) {
		got, err := session.Words(command)
		if err != nil || strings.ContainsAny(command, "\x00\r") {
			return
		}
		want, err := shell.Fields(command, func(string) string { return "" })
		if err != nil {
			return // the oracle takes less
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, the oracle says %q", command, got, want)
		}
	})
}

// The same against a real shell, for what is written above.
func TestWordsLikeSh(t *testing.T) {
	for _, command := range []string{`printf '%s|' "a  b" 'c"d' e\ f "" x""y "\$x \a"`, "printf '%s|' a#b \"c\\\nd\""} {
		words, err := session.Words(command)
		if err != nil {
			t.Fatal(err)
		}
		want, err := exec.Command("/bin/sh", "-c", command).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(words[0], words[1:]...).Output()
		if err != nil || string(got) != string(want) {
			t.Errorf("%q: %q, sh says %q (%v)", command, got, want, err)
		}
	}
}
