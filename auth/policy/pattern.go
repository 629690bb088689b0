package policy

import "strings"

// A pattern is a glob, or a text with marks, as a list of steps that consume characters.
type pattern []step

type step struct {
	kind stepKind
	char rune
}

type stepKind uint8

const (
	char     stepKind = iota // exactly char
	oneName                  // one character other than a slash
	runName                  // any run of those
	runAny                   // any run at all
	deep                     // nothing, or a slash and any run
	deepRest                 // second half of deep: the run behind its slash
)

// pathGlob reads a rule's path pattern, as glob.ParsePath does.
func pathGlob(s string) pattern {
	if s == "/**" {
		return pattern{{kind: char, char: '/'}, {kind: runAny}}
	}
	var out pattern
	for s != "" {
		switch {
		case s == "/**" || strings.HasPrefix(s, "/**/"):
			out = append(out, step{kind: deep}, step{kind: deepRest})
			s = s[3:]
		default:
			var one step
			one, s = globStep(s)
			out = append(out, one)
		}
	}
	return out
}

// globStep reads one step of a glob. A class counts as any one character: it is only ever asked what may match.
func globStep(s string) (step, string) {
	switch s[0] {
	case '*':
		return step{kind: runName}, s[1:]
	case '?':
		return step{kind: oneName}, s[1:]
	case '[':
		i := 1
		if i < len(s) && (s[i] == '!' || s[i] == '^') {
			i++
		}
		for first := true; i < len(s) && (first || s[i] != ']'); first = false {
			if s[i] == '\\' {
				i++
			}
			i++
		}
		return step{kind: oneName}, s[min(i+1, len(s)):]
	case '\\':
		s = s[1:]
	}
	for i, r := range s {
		if i > 0 {
			return step{kind: char, char: []rune(s[:i])[0]}, s[i:]
		}
		_ = r
	}
	return step{kind: char, char: []rune(s)[0]}, ""
}

// nameGlob reads a program's pattern: * may hold slashes where the pattern has some.
func nameGlob(s string) pattern {
	var out pattern
	for s != "" {
		var one step
		one, s = globStep(s)
		if one.kind == runName {
			one.kind = runAny
		}
		out = append(out, one)
	}
	return out
}

// marked reads a text with marks.
func marked(s string) pattern {
	var out pattern
	for _, r := range s {
		switch r {
		case markAny:
			out = append(out, step{kind: runAny})
		case markStar:
			out = append(out, step{kind: runName})
		case markOne:
			out = append(out, step{kind: oneName})
		default:
			out = append(out, step{kind: char, char: r})
		}
	}
	return out
}

// maxSteps bounds what patterns are compared at all: beyond it they are taken to overlap.
const maxSteps = 1 << 20

// free lists the states that are reached from i without consuming anything.
func (p pattern) free(i int, visit func(int)) {
	visit(i)
	for i < len(p) {
		switch p[i].kind {
		case runName, runAny, deepRest:
			i++
		case deep:
			i += 2
		default:
			return
		}
		visit(i)
	}
}

// consumes says what class of characters state i takes, and where it is then.
func (p pattern) consumes(i int) (class step, next int) {
	switch s := p[i]; s.kind {
	case char, oneName:
		return s, i + 1
	case runName:
		return step{kind: oneName}, i
	case deep:
		return step{kind: char, char: '/'}, i + 1
	default:
		return step{kind: runAny}, i
	}
}

// meet says whether two classes have a character in common.
func meet(a, b step) bool {
	if a.kind == runAny || b.kind == runAny {
		return true
	}
	if a.kind == oneName {
		a, b = b, a
	}
	switch {
	case a.kind == oneName:
		return true
	case b.kind == oneName:
		return a.char != '/'
	}
	return a.char == b.char
}

// overlap says whether some text matches both patterns.
func overlap(a, b pattern) bool {
	if (len(a)+1)*(len(b)+1) > maxSteps {
		return true
	}
	width := len(b) + 1
	seen := make([]bool, (len(a)+1)*width)
	var work []int
	reach := func(i, j int) {
		a.free(i, func(i int) {
			b.free(j, func(j int) {
				if at := i*width + j; !seen[at] {
					seen[at] = true
					work = append(work, at)
				}
			})
		})
	}
	reach(0, 0)
	for len(work) > 0 {
		at := work[len(work)-1]
		work = work[:len(work)-1]
		i, j := at/width, at%width
		if i == len(a) && j == len(b) {
			return true
		}
		if i == len(a) || j == len(b) {
			continue
		}
		ca, ni := a.consumes(i)
		cb, nj := b.consumes(j)
		if meet(ca, cb) {
			reach(ni, nj)
		}
	}
	return false
}

// contains says whether, for certain, every text that matches small matches big too. It may say no wrongly.
func contains(big, small pattern) bool {
	if (len(big)+1)*(len(small)+1) > maxSteps {
		return false
	}
	states := make(map[int]bool)
	big.free(0, func(i int) { states[i] = true })
	for _, s := range small {
		next := make(map[int]bool)
		for i := range states {
			if i == len(big) {
				continue
			}
			class, to := big.consumes(i)
			runs := to == i // a state that takes any number of them
			switch s.kind {
			case char:
				if meet(class, s) {
					big.free(to, func(i int) { next[i] = true })
				}
			case oneName:
				if class.kind == oneName || class.kind == runAny {
					big.free(to, func(i int) { next[i] = true })
				}
			case runName:
				if runs && (class.kind == oneName || class.kind == runAny) {
					big.free(to, func(i int) { next[i] = true })
				}
			default:
				if runs && class.kind == runAny {
					big.free(to, func(i int) { next[i] = true })
				}
			}
		}
		states = next
	}
	return states[len(big)]
}

// mayBe says whether an unknown program name may match a rule's program pattern.
func (n name) mayBe(glob string) answer {
	var b strings.Builder
	for _, p := range n.word.Pieces {
		switch p.Kind {
		case 0:
			b.WriteString(p.Text)
		default:
			b.WriteRune(markAny)
		}
	}
	mine := b.String()
	if n.word.Split && !strings.HasSuffix(mine, string(rune(markAny))) {
		mine += string(rune(markAny))
	}
	if overlap(nameGlob(glob), marked(mine)) || overlap(nameGlob("*/"+glob), marked(mine)) {
		return perhaps
	}
	return no
}
