//go:build real

package policy_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// carriers run the command that stands at % in one way or another; %q is the command as one quoted word.
var carriers = []string{
	"%", "%", "(%)", "{ %; }", "! %", "true && %", "false || %", "true; %", "true | %", "% &\nwait", "if true; then %; fi", "if %; then :; fi", "while %; do break; done", "for i in 1; do %; done", "case a in a) %;; esac",
	"f() { %; }; f", "echo $(%)", "echo \"$(%)\"", "x=$(%)", "echo `%`", "eval %q", "sh -c %q", "env sh -c %q", "nohup sh -c %q", "timeout 5 sh -c %q", "sh <<'EOF'\n%\nEOF", "cat <<EOF\n$(%)\nEOF", "trap %q EXIT", "echo %q | sh", "printf '%%s\\n' %q | sh",
	"find . -maxdepth 0 -exec sh -c %q \\;", "echo x | xargs -n1 sh -c %q", "xargs -I{} sh -c %q <<'EOF'\nx\nEOF", "awk 'BEGIN{exit}' && %", "c=%q; eval \"$c\"", "c=%q; sh -c \"$c\"", "set -- a; %", ": ${x:=$(%)}", "echo $(( $(%) 1 ))", "cd . && %", "exec 3>&1; %", "# no\n%", "echo 'a\nb'; %",
	"command -p true; %", "nice -n 1 sh -c %q", "setsid -w sh -c %q", "stdbuf -o0 sh -c %q", "busybox sh -c %q", "sh -ec %q", "sh -c 'eval \"$1\"' _ %q", "alias zz=%q", "g() { eval \"$1\"; }; g %q", "a=1 b=2 sh -c %q", ">/dev/null %", "% 2>&1 | cat", "until %; do break; done",
}

var programs = []string{"touch F", `\touch F`, "to''uch F", `"touch" F`, "tou\\\nch F", "/bin/touch F", "/bin/../bin/touch F", "t=touch; $t F", "command touch F", "env touch F", "nohup touch F", "echo F | xargs touch", "busybox touch F", "find . -maxdepth 0 -exec touch F \\;", "awk 'BEGIN{system(\"touch F\")}'", "touch -- F", "A=b touch F"}

// TestCompositionsAgainstShells nests ways of running a command at random, has the real shell run them, and asks of
// each that did run the denied program whether the policy said so. The shell is the oracle.
func TestCompositionsAgainstShells(t *testing.T) {
	denylist, allowlist := policy.Compile(commands(t, with)), policy.Compile(commands(t, without))
	random := rand.New(rand.NewPCG(3, 4)) // the same lines in every run
	for dialect, shell := range map[syntax.Dialect][]string{syntax.Bash: {"bash", "-c"}, syntax.POSIX: {"dash", "-c"}, syntax.Zsh: {"zsh", "-fc"}, syntax.Mksh: {"mksh", "-c"}} {
		ran, certain := 0, 0
		for range 150 {
			line := programs[random.IntN(len(programs))]
			for range 1 + random.IntN(3) {
				carrier := carriers[random.IntN(len(carriers))]
				quoted := "'" + strings.ReplaceAll(line, "'", `'\''`) + "'"
				line = strings.NewReplacer("%%", "%", "%q", quoted, "%", line).Replace(carrier)
			}
			if !executes(t, shell, line) {
				continue
			}
			ran++
			if v := allowlist.Decide(policy.Line{Text: line, Dialect: dialect, Exec: true}, policy.Facts{}); v.Action != auth.Deny {
				t.Errorf("%s: an allowlist without touch lets it run: %q", dialect, line)
			}
			v := denylist.Decide(policy.Line{Text: line, Dialect: dialect, Exec: true}, policy.Facts{})
			switch {
			case v.Action == auth.Deny:
				certain++
			case v.Action == auth.Allow || v.Confidence != policy.Low:
				t.Errorf("%s: a denylist with touch lets it run without a word: %q\n%s", dialect, line, nodes(v))
			}
		}
		t.Logf("%s: %d ran touch; %d of them denied for certain", dialect, ran, certain)
		if ran < 50 {
			t.Errorf("%s: only %d lines ran touch", dialect, ran)
		}
	}
}

// executes says whether the line makes the file F.
func executes(t *testing.T, shell []string, line string) bool {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell[0], append(shell[1:], line)...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	_ = cmd.Run() // what it ends with does not matter
	_, err := os.Stat(filepath.Join(dir, "F"))
	return err == nil
}
