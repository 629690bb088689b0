package guard

import (
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/auth/policy"
)

// A line that is not certain is denied when either reading of it would be, and else only warned of.
func TestEitherReadingDenies(t *testing.T) {
	j := rules(t, auth.Denylist, auth.Deny, "touch")
	for _, tt := range []struct {
		name string
		c    Command
		want auth.Action
		rule string
	}{
		{"the keys", Command{Line: "host:~# touch F", Unsure: true, Typed: "touch F"}, auth.Deny, "rule"},
		{"the screen", Command{Line: "touch F", Unsure: true, Typed: "echo F"}, auth.Deny, "rule"},
		{"keys without echo", Command{Unseen: true, Typed: "touch F"}, auth.Deny, "rule"},
		{"neither", Command{Line: "host:~# echo F", Unsure: true, Typed: "echo F"}, auth.Warn, ""},
		{"a certain line", Command{Line: "echo F", Sure: true, Typed: "touch F"}, auth.Allow, ""},
	} {
		tt.c.Shell, tt.c.Witness = "bash", Screen
		v := j.Decide(t.Context(), tt.c)
		if v.Action != tt.want || tt.want == auth.Deny && v.Rule != tt.rule || v.Sure && tt.c.Unsure {
			t.Errorf("%s: %+v, want %s by %q", tt.name, v, tt.want, tt.rule)
		}
	}
}

// What ~ means is not known any more once a line has set HOME.
func TestHomeThatMoved(t *testing.T) {
	etc, err := glob.ParsePath("/etc/**")
	if err != nil {
		t.Fatal(err)
	}
	p := policy.Compile(&auth.Commands{Mode: auth.Denylist, Rules: []auth.Rule{{ID: "etc", Action: auth.Deny, Paths: []glob.Path{etc}, FileLargerThan: -1}}})
	j := &Judge{Home: "/home/u", Rules: func() *policy.Policy { return p }}
	cat := Command{Line: "cat ~/passwd", Shell: "bash"}
	if v := j.Decide(t.Context(), cat); v.Action != auth.Allow {
		t.Fatalf("before: %s", v.Action)
	}
	j.Ran(j.Decide(t.Context(), Command{Line: "HOME=/srv", Shell: "bash"}))
	if v := j.Decide(t.Context(), cat); v.Action == auth.Allow {
		t.Errorf("after HOME=/srv %q gets %s", cat.Line, v.Action)
	}
}

// In a shell that the session starts its aliases and functions need not be there.
func TestDefinedInAnotherShell(t *testing.T) {
	j := rules(t, auth.Allowlist, auth.Allow, "ls", "sh", "exec")
	decide := func(line string) auth.Action {
		t.Helper()
		v := j.Decide(t.Context(), Command{Line: line, Shell: "bash"})
		j.Ran(v)
		return v.Action
	}
	decide("touch() { ls; }")
	if got := decide("touch F"); got != auth.Allow {
		t.Fatalf("the function: %s", got)
	}
	decide("exec sh")
	if got := decide("touch F"); got != auth.Deny {
		t.Errorf("in another shell: %s", got)
	}
}
