package policy_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/podbastion/podbastion/auth/policy"
)

// manyRules is a deny list of n rules, a tenth of them without a program or with a glob.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("mode: allowlist\nrules:\n")
	for i := range n - 1 {
		switch i % 20 {
		case 0:
			fmt.Fprintf(&b, "  - {id: r%d, action: deny, programs: [\"tool%d-*\"]}\n", i, i)
		case 1:
			fmt.Fprintf(&b, "  - {id: r%d, action: deny, regex: 'deploy%d (prod|stage) .*'}\n", i, i)
		case 2:
			fmt.Fprintf(&b, "  - {id: r%d, action: deny, programs: [rm, cp, mv], paths: [\"/srv/%d/**\"]}\n", i, i)
		case 3:
			fmt.Fprintf(&b, "  - {id: r%d, action: deny, programs: [git], arguments: [\"push%d\"]}\n", i, i)
		default:
			fmt.Fprintf(&b, "  - {id: r%d, action: allow, programs: [prog%d, other%d]}\n", i, i, i)
		}
	}
	b.WriteString("  - {id: last, action: allow, programs: [ls, cat, grep, head, sort, sudo, rm, git, find, xargs]}\n")
	return b.String()
}

func BenchmarkDecide(b *testing.B) {
	lines := map[string]string{
		"simple":   `ls -la /var/log`,
		"pipeline": `cat /var/log/app.log | grep -v "GET /health" | sort | head -n 20`,
		"wrapped":  `sudo -u app find /srv -name '*.log' -exec rm -f {} +`,
	}
	for _, n := range []int{10, 100, 1000} {
		p := policy.Compile(commands(b, manyRules(n)))
		for name, line := range lines {
			b.Run(fmt.Sprintf("rules=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				began := cpuTime(b)
				for b.Loop() {
					p.Decide(policy.Line{Text: line}, policy.Facts{Dir: "/srv"})
				}
				b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	c := commands(b, manyRules(1000))
	for b.Loop() {
		policy.Compile(c)
	}
}

// cpuTime is what the process has used, in nanoseconds: on a busy machine the clock on the wall tells little.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
