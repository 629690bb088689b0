package guard

import (
	"context"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
)

// What earlier lines of a session have surely made a number may stand in arithmetic; what they may have made something
// else may not, whatever came between.
func TestNumbersOfASession(t *testing.T) {
	for _, c := range []struct {
		lines  []string
		denied bool // the last one
	}{
		{[]string{"i=0", "echo $((i+1))"}, false},
		{[]string{"i=0; echo $i", "let i=i+1", "((i++))", "i=$((i*2))", "echo $((i)) ${x:i}"}, false},
		{[]string{"x=5 y=0x10", "echo", "[[ x -gt y ]]"}, false},
		{[]string{"i=0", "a[$i]=x"}, false},
		{[]string{"i=0", "for i in 1 2; do echo; done", "((i))"}, false},
		{[]string{"n=5", "f() { echo $((n+1)); }", "f"}, false},
		{[]string{"n=5; f() { echo $((n+1)); }; f"}, false},
		{[]string{"((i))"}, true},
		{[]string{"i=x", "((i))"}, true},
		{[]string{"i=x", "i=0", "((i))"}, true}, // it may not have been run to its end
		{[]string{"readonly i=x", "i=0", "((i))"}, true},
		{[]string{"i=0", "read i", "((i))"}, true},
		{[]string{"i=0", "i=$(cat f)", "((i))"}, true},
		{[]string{"i=0", "for i in a b; do echo; done", "((i))"}, true},
		{[]string{"i=0", ": ${i:=x}", "((i))"}, true},
		{[]string{"i=0", "i+=x", "((i))"}, true},
		{[]string{"i=0", "i=(x)", "((i))"}, true},
		{[]string{"i=0", "i[0]=x", "((i))"}, true},
		{[]string{"i=0", "declare i=x", "((i))"}, true},
		{[]string{"i=0", "printf -v i x", "((i))"}, true},
		{[]string{"i=0", "f() { i=x; }", "f", "((i))"}, true},
		{[]string{"f() { i=x; }", "i=0", "f", "((i))"}, true},
		{[]string{"alias g='read i'", "i=0", "g", "((i))"}, true},
		{[]string{"i=0", "bash", "((i))"}, true},
		{[]string{"bash", "i=0", "((i))"}, true},
		{[]string{"i=0", "eval true", "((i))"}, true},
		{[]string{"sleep 1; i=0", "((i))"}, true},
		{[]string{"i=0 true", "((i))"}, true},
		{[]string{"(i=0)", "((i))"}, true},
		{[]string{"i=0 &", "((i))"}, true},
		{[]string{"i=0 | true", "((i))"}, true},
		{[]string{"i=$((1/0))", "((i))"}, true},
		{[]string{"LC_X=0", "((LC_X))"}, true}, // what a client may send
		{[]string{"n=5", "g() { echo $((n)); }", "f() { n=x; g; }"}, true},
		{[]string{"n=5", "f() { n=x; echo $((n)); }"}, true},
	} {
		j := rules(t, auth.Allowlist, auth.Allow, "echo", "sleep", "cat", "bash", "eval", "printf", "alias", "true")
		for i, line := range c.lines {
			v := j.Decide(context.Background(), Command{Line: line, Shell: "bash", Sure: true})
			if last := i == len(c.lines)-1; (v.Action == auth.Deny) != (last && c.denied) {
				t.Errorf("%s: %q gets %s: %s", strings.Join(c.lines, " ⏎ "), line, v.Action, v.Reason)
			}
			j.Ran(v)
		}
	}
	j := rules(t, auth.Allowlist, auth.Allow, "echo")
	j.Ran(j.Decide(context.Background(), Command{Line: "i=0", Shell: "bash", Unsure: true}))
	if v := j.Decide(context.Background(), Command{Line: "((i))", Shell: "bash", Sure: true}); v.Action != auth.Deny {
		t.Error("a line that is not certain makes a number")
	}
}
