// Command summary reads `go test -json` on its standard input, writes what failed and one line a package, and closes
// with the tests that took longest and the number of tests. It fails when a test failed, when none ran, and when one was
// skipped: nothing is left out quietly.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
	// ImportPath is set instead of Package for what the compiler says.
	ImportPath string
}

type key struct{ pkg, test string }

type report struct {
	out                     io.Writer
	output                  map[key][]string
	passed, failed, skipped int
	packagesFailed          int
	slow                    []slow
}

// slow is a test that the others wait for.
type slow struct {
	key
	seconds float64
}

// What is listed of slow tests.
const (
	slowSeconds = 15
	slowMost    = 20
)

func main() {
	r := report{out: os.Stdout, output: map[key][]string{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(1)
	}
	os.Exit(r.close())
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprint(r.out, string(line)) // not from a test: show it as it is
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.output[k] = append(r.output[k], e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		r.end(k, e)
	}
}

func (r *report) end(k key, e event) {
	if k.test == "" {
		switch e.Action {
		case "fail":
			r.packagesFailed++
			fmt.Fprintf(r.out, "FAIL  %s  %.1fs\n%s", k.pkg, e.Elapsed, strings.Join(r.output[k], ""))
			r.unfinished(k.pkg)
		case "pass":
			fmt.Fprintf(r.out, "ok    %s  %.1fs\n", k.pkg, e.Elapsed)
		}
		delete(r.output, k)
		return
	}
	if e.Elapsed >= slowSeconds && !strings.Contains(k.test, "/") {
		r.slow = append(r.slow, slow{k, e.Elapsed})
	}
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped++
		fmt.Fprintf(r.out, "--- SKIP %s %s\n%s", k.pkg, k.test, strings.Join(r.output[k], ""))
	case "fail":
		r.failed++
		fmt.Fprintf(r.out, "--- FAIL %s %s (%.1fs)\n%s", k.pkg, k.test, e.Elapsed, strings.Join(r.output[k], ""))
	}
	delete(r.output, k)
}

// unfinished shows what a package that crashed or ran out of time was at.
func (r *report) unfinished(pkg string) {
	var names []string
	for k := range r.output {
		if k.pkg == pkg && k.test != "" {
			names = append(names, k.test)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		k := key{pkg, n}
		fmt.Fprintf(r.out, "--- UNFINISHED %s %s\n%s", pkg, n, strings.Join(r.output[k], ""))
		delete(r.output, k)
	}
}

func (r *report) close() int {
	slices.SortFunc(r.slow, func(a, b slow) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, s := range r.slow[:min(len(r.slow), slowMost)] {
		fmt.Fprintf(r.out, "slow  %s %s  %.0fs\n", s.pkg, s.test, s.seconds)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	if r.failed > 0 || r.packagesFailed > 0 || r.skipped > 0 || r.passed == 0 {
		return 1
	}
	return 0
}
