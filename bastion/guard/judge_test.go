package guard

import (
	"testing"

	"github.com/podbastion/podbastion/auth"
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
