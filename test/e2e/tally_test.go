//go:build real

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// tally sums up how the audit log compares with the shells' own word.
type tally struct {
	lines, exact, inexact, events, forbidden, denials, falseDenials, unsure int
}

func (sum *tally) add(t *testing.T, s *sitting) {
	t.Helper()
	var ran []string          // what the log says that was let run
	begun := map[string]int{} // what was let run of lines that were then denied
	denials := 0
	for i, e := range s.events {
		line := fmt.Sprint(e["line"])
		if e["line"] == nil {
			line = ""
		}
		sum.events++
		if e["verdict"] == "deny" {
			denials++
			if at := strings.LastIndexByte(line, '\n'); at >= 0 {
				begun[line[:at]]++
			}
			if !strings.Contains(line, "denied-") && !closes(line) {
				sum.falseDenials++
				t.Logf("%s, %s, %s: false denial of %q: %v", s.name, s.shell, s.mode, line, e)
			}
			continue
		}
		if e["confidence"] != "high" {
			sum.unsure++
			t.Logf("%s, %s, %s: not sure of %q: %v %v", s.name, s.shell, s.mode, line, e["witness"], e["reason"])
		}
		if line == "" && e["verdict"] == "warn" {
			continue // an answer to a shell without a gate, whose echo was off
		}
		if i+1 < len(s.events) {
			if next := fmt.Sprint(s.events[i+1]["line"]); strings.HasPrefix(next, line+"\n") && (!s.byRows() || s.events[i+1]["verdict"] == "deny") {
				continue // the next one has it in it, or it went with the next one
			}
		}
		ran = append(ran, line)
	}
	var truth []string
	for _, l := range s.truth {
		if begun[l]--; begun[l] < 0 && strings.TrimSpace(l) != "" { // zsh remembers what it had of a line that was then interrupted
			truth = append(truth, l)
		}
	}
	if s.byRows() {
		truth, ran = rows(truth), rows(ran)
	}
	if s.shell == "ash" { // its history has no line twice in a row
		ran = collapse(ran)
	}
	matched := common(truth, ran)
	missed, extra := len(truth)-len(matched), len(ran)-len(matched)
	if missed+extra > 0 {
		show(t, s, truth, ran, matched)
	}
	sum.lines += len(truth)
	sum.exact += len(matched)
	sum.inexact += max(missed, extra)
	sum.forbidden += s.forbid
	sum.denials += denials
	t.Logf("%s, %s, %s, %s, slow %v: %d lines, %d missed, %d extra, %d forbidden acts, %d denials", s.name, s.shell, s.mode, s.style, s.slow, len(truth), missed, extra, s.forbid, denials)
}

// closes tells that a line is the end of a construct: what is left of one that was denied.
func closes(line string) bool { return line == "}" || line == "done" || line == "end" }

// byRows tells that the shell's history may hold the lines of one construct one by one.
func (s *sitting) byRows() bool { return s.shell == "bash" || s.shell == "ash" }

// rows are the lines one by one, of which each begins with those that it continues. Bash's history joins what a
// backslash continues.
func rows(lines []string) []string {
	var out []string
	before := ""
	for _, l := range lines {
		fresh := l
		if before != "" {
			fresh = strings.TrimPrefix(l, before+"\n")
		}
		before = l
		for _, row := range strings.Split(fresh, "\n") {
			if n := len(out); n > 0 && strings.HasSuffix(out[n-1], "\\") && !strings.HasSuffix(out[n-1], "\\\\") {
				out[n-1] = strings.TrimSuffix(out[n-1], "\\") + row
				continue
			}
			out = append(out, row)
		}
	}
	return out
}

func collapse(lines []string) []string {
	var out []string
	for i, l := range lines {
		if i == 0 || l != lines[i-1] {
			out = append(out, l)
		}
	}
	return out
}

// common is the longest common subsequence, as pairs of positions.
func common(a, b []string) [][2]int {
	best := make([][]int, len(a)+1)
	for i := range best {
		best[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if best[i][j] = max(best[i+1][j], best[i][j+1]); a[i] == b[j] {
				best[i][j] = best[i+1][j+1] + 1
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case best[i+1][j] >= best[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// show prints the places where the log and the shell differ.
func show(t *testing.T, s *sitting, truth, ran []string, matched [][2]int) {
	i, j := 0, 0
	for _, m := range append(matched, [2]int{len(truth), len(ran)}) {
		if i < m[0] || j < m[1] {
			t.Logf("%s, %s, %s, slow %v: the shell says %q, the log %q", s.name, s.shell, s.mode, s.slow, truth[i:m[0]], ran[j:m[1]])
		}
		i, j = m[0]+1, m[1]+1
	}
}
