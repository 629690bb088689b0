package guard

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// maxDefined bounds the aliases and functions that are remembered; what is defined beyond that is not known.
const maxDefined = 256

// Judge decides commands by a role's rules, with what one session has defined so far. It is safe for concurrent use.
type Judge struct {
	Rules func() *policy.Policy // the rules in force now
	Home  string
	Size  func(ctx context.Context, file string) int64 // policy.Missing, policy.Unknown; nil: never known

	mu      sync.Mutex
	defined map[string]syntax.Definition
	strayed bool // a line has set HOME, so that what ~ means is not known any more
	numbers []string
	spoilt  map[string]bool // variables that were once given something else than a number
	blurred bool            // another shell, or a line that is not certain, may have set any variable, for good
}

// Decide judges a command. Without a trustworthy line nothing is permitted for want of evidence: what only seems
// permitted is treated as unseen, and what either reading of it would be denied for is denied.
func (j *Judge) Decide(ctx context.Context, c Command) Verdict {
	dialect, _ := syntax.DialectOf(c.Shell)
	l := policy.Line{Text: c.Line, Before: strings.TrimSuffix(c.Before, "\n"), Dialect: dialect, Unseen: c.Unseen, Unsure: c.Unsure, Continues: true}
	v := j.judge(ctx, l, c.Directory)
	if (c.Unsure || c.Unseen) && c.Typed != "" && v.Action != auth.Deny {
		l.Text, l.Unseen = c.Typed, false
		if w := j.judge(ctx, l, c.Directory); w.Action == auth.Deny && w.Rule != "" {
			w.Confidence = policy.Low
			return verdict(c.Before+c.Typed, w)
		}
	}
	if c.Unsure && v.Action == auth.Allow && c.Line != "" {
		u := j.Rules().Decide(policy.Line{Unseen: true}, policy.Facts{})
		v.Action, v.Rule, v.Message, v.Reason, v.Confidence = u.Action, u.Rule, u.Message, "it is not certain what line was submitted", policy.Low
	}
	return verdict(c.Before+c.Line, v)
}

// Exec judges an exec request's command.
func (j *Judge) Exec(ctx context.Context, command, shell string) Verdict {
	dialect, _ := syntax.DialectOf(shell)
	return verdict(command, j.judge(ctx, policy.Line{Text: command, Dialect: dialect, Exec: true}, ""))
}

func (j *Judge) judge(ctx context.Context, l policy.Line, dir string) policy.Verdict {
	rules := j.Rules()
	j.mu.Lock()
	facts := policy.Facts{Dir: dir, Home: j.Home, Defined: maps.Clone(j.defined), Numbers: slices.Clone(j.numbers)}
	if j.strayed {
		facts.Home = ""
	}
	j.mu.Unlock()
	v := rules.Decide(l, facts)
	for range 4 { // a size may bring up the next rule, which needs another
		if len(v.Needs) == 0 || j.Size == nil {
			break
		}
		if facts.Sizes == nil {
			facts.Sizes = map[string]int64{}
		}
		for _, file := range v.Needs {
			facts.Sizes[file] = j.Size(ctx, file)
		}
		v = rules.Decide(l, facts)
	}
	return v
}

var takesOver = regexp.MustCompile(`\b(exec|source|eval|enable|builtin|command)\b|(^|[;&|\s])\.\s`)

func verdict(text string, v policy.Verdict) Verdict {
	return Verdict{
		Action: v.Action, Rule: v.Rule, Message: v.Message, Reason: v.Reason, Sure: v.Confidence == policy.High,
		Incomplete: v.Incomplete, StartsShell: v.StartsShell, Shell: v.Shell, Strays: v.Strays, Tampers: v.Tampers, Replaces: v.StartsShell || takesOver.MatchString(text), Defines: v.Defines,
		Numbers: v.Numbers, Spoils: v.Spoils, Forgets: v.Forgets,
	}
}

// Ran keeps what a command that was let run has defined.
func (j *Judge) Ran(v Verdict) {
	if v.Incomplete || v.Action == auth.Deny {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.strayed = j.strayed || v.Strays
	j.count(v)
	if j.defined == nil {
		j.defined = map[string]syntax.Definition{}
	}
	for _, d := range v.Defines {
		if _, known := j.defined[d.Name]; known || len(j.defined) < maxDefined {
			j.defined[d.Name] = d
		}
	}
	if v.StartsShell { // which has others
		for name, d := range j.defined {
			d.Unsure = true
			j.defined[name] = d
		}
	}
}

// count follows which variables hold numbers. A line may be interrupted before it has set one to something else, and
// what was once made read-only keeps its value: a variable that was given anything else is never believed again.
func (j *Judge) count(v Verdict) {
	for _, name := range v.Spoils {
		if j.spoilt == nil {
			j.spoilt = map[string]bool{}
		}
		j.spoilt[name] = true
	}
	j.blurred = j.blurred || v.Replaces || !v.Sure || slices.Contains(v.Spoils, "") || len(j.spoilt) > maxDefined
	if j.blurred || v.Forgets {
		j.numbers = nil
	}
	if j.blurred {
		j.spoilt = nil
		return
	}
	if !v.Forgets && len(j.numbers) < maxDefined {
		j.numbers = append(j.numbers, v.Numbers...)
	}
	slices.Sort(j.numbers)
	j.numbers = slices.DeleteFunc(slices.Compact(j.numbers), func(name string) bool { return j.spoilt[name] })
}
