package syntax_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// Text of the largest size in shapes that make a careless parser recurse, multiply or start over.
func TestBounded(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	shapes := []string{"(", "$(", "`", "\\`", "{ ", "{a,", "{a,b}", "{1..9}", "a;", "a|", "a&&", "<<a ", "<<a\n", "$((", "$((!", "- ", "[[ ! ", "[[ a && ", "if ", "while ", "case x in a) ", "f(){ ", "${a:-", "\"$(", "a=(", "a[", "<(",
		"sudo ", "env ", "sh -c ", "find -exec ", "xargs ", "time ", "! ", "coproc ", "eval ", "timeout 1 ", "alias a=", "a=b ", "$a ", "$a", "x=1;", "$x$y", "echo a|", "cd a;", "cd a&&", "*", "?", "[a", "\\", "'", "\"", "~", "$'\\x", "!", "^a",
		"echo $x | sh;", "for x in a; do ", "a\n", "#", "\t", "function f ", "let ", "awk '{", "su -c ", "watch ", "trap 'a' ", "begin;", "and ", "(ls)", "é", "parallel ::: ", "case a in ", "printf %s ", "a\\\n", "${", "$[", "@(", ">a ", "2>&1 "}
	for _, dialect := range []syntax.Dialect{syntax.Bash, syntax.POSIX, syntax.Mksh, syntax.Zsh, syntax.Fish} {
		size := 8 << 10
		if dialect == syntax.Bash {
			size = syntax.MaxText
		}
		for _, shape := range shapes {
			text := strings.Repeat(shape, size/len(shape))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := spent(t)
			_, err := syntax.Parse(text, dialect)
			took := spent(t) - began
			runtime.ReadMemStats(&after)
			if took > 5*time.Second || after.TotalAlloc-before.TotalAlloc > 1<<30 {
				t.Errorf("%s, %q over and over: %s, %d MiB, %v", dialect, shape, took, (after.TotalAlloc-before.TotalAlloc)>>20, err)
			}
		}
	}
	if _, err := syntax.Parse(strings.Repeat("a", syntax.MaxText+1), syntax.Bash); !errors.Is(err, syntax.ErrTooLong) {
		t.Errorf("text over the limit: %v", err)
	}
}

// spent is this thread's processor time: a clock on the wall would measure the machine's other work.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
