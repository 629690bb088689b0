// Package policy decides whether a command line may run under a role's command rules. It is a pure function of the
// line, of what is known about where it runs, and of the rules: it reads no file and asks nobody. Where a decision
// hangs on a file's size it says which, so that the caller can find out and decide again.
//
// It does not know how a line was seen, nor what a program does once it runs: a program that an account may run can
// run others.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// Confidence says how sure a verdict is of what would have run.
type Confidence string

const (
	High Confidence = "high"
	Low  Confidence = "low" // some of it only shows at run time
)

// Line is what is to be judged.
type Line struct {
	Text    string
	Dialect syntax.Dialect // of the shell that reads it; empty is bash
	// Unseen says that there is no trustworthy text: something is submitted, but nobody can say what.
	Unseen bool
	// Unsure says that the text may not be quite what the shell gets.
	Unsure bool
	// Exec says that the text was not typed at a prompt, so that no shell replaces !! in it.
	Exec bool
	// Before is what was submitted already of the command that Text goes on with: lines that the shell asks to be
	// continued. They are judged together.
	Before string
	// Continues promises that, after a verdict that says Incomplete, the next line comes with this one in Before.
	// Without that promise an unfinished command is undecided.
	Continues bool
}

// Facts are what is known about the place where the line runs.
type Facts struct {
	Dir     string                       // working directory; empty when it is not known
	Home    string                       // home directory; empty when it is not known
	Sizes   map[string]int64             // of files, by cleaned absolute path; Missing and Unknown are possible
	Defined map[string]syntax.Definition // aliases and functions that the session defined
	Numbers []string                     // variables that surely hold numbers, since the session gave them some
}

// Sizes of files that have none.
const (
	Missing int64 = -1 // there is no such file
	Unknown int64 = -2 // it was asked for and cannot be told
)

// Verdict is what shall become of a line.
type Verdict struct {
	Action     auth.Action
	Rule       string // id of the rule that decided; empty when the mode or the lack of evidence did
	Message    string // the rule's message to the user
	Reason     string // why, for the log and for the user
	Confidence Confidence
	Nodes      []Node
	Needs      []string // paths whose size would change the verdict; until it is known they count as too large
	// StartsShell says that the line starts a shell that reads further commands from the session.
	StartsShell bool
	Shell       string              // with StartsShell: its name, "sh" where the line does not tell which one
	Defines     []syntax.Definition // names that the line defines, to be kept in Facts.Defined once it has run
	Strays      bool                // it sets HOME or PWD, so that Facts.Home is not known once it has run
	Tampers     bool                // it may change what tells the bastion of lines
	Numbers     []string            // variables that it gives numbers, see Facts.Numbers
	Spoils      []string            // variables that may not hold numbers once it has run, whatever comes later
	Forgets     bool                // it runs code of the session, which may set any variable
	Err         error               // why the text could not be taken apart
	// Incomplete says that nothing of the command runs yet, since the shell will ask for more of it.
	Incomplete bool
}

// Node is the verdict on one simple command, redirection or assignment of the line.
type Node struct {
	Text     string   // as it is understood, for people
	Via      []string // wrappers that run it, outermost first
	Function string   // whose body it is in
	Possible bool     // may or may not run
	Action   auth.Action
	Rule     string
	Message  string
	Reason   string
	Sure     bool
}

// Policy is a role's command rules, ready to decide. It is safe for use from anywhere at any time.
type Policy struct {
	mode   auth.Mode
	rules  []*rule
	named  map[string][]*rule // rules by literal program name, in order
	open   []*rule            // rules that the index does not hold, in order
	closed []*rule            // the others, in order
}

// Compile prepares rules. They must not change afterwards.
func Compile(c *auth.Commands) *Policy {
	p := &Policy{mode: c.Mode, named: make(map[string][]*rule)}
	for i := range c.Rules {
		r := newRule(&c.Rules[i], i)
		p.rules = append(p.rules, r)
		if r.open {
			p.open = append(p.open, r)
		} else {
			p.closed = append(p.closed, r)
		}
		for _, name := range r.names {
			p.named[name] = append(p.named[name], r)
		}
	}
	return p
}

// Decide judges a line by rules that were not compiled before.
func Decide(line Line, facts Facts, rules *auth.Commands) Verdict {
	return Compile(rules).Decide(line, facts)
}

// Decide judges a line.
func (p *Policy) Decide(line Line, facts Facts) (v Verdict) {
	defer func() {
		// The line was chosen by whoever typed it, and the parser is large: should it fail on one, that line is
		// undecided, and the other sessions go on.
		if fault := recover(); fault != nil {
			v = p.unsure("the line cannot be taken apart", fmt.Errorf("policy: %v", fault))
		}
	}()
	if line.Unseen {
		return p.unsure("the line that was submitted could not be seen", nil)
	}
	if strings.TrimSpace(line.Text) == "" {
		return Verdict{Action: auth.Allow, Confidence: confidence(!line.Unsure), Reason: "nothing runs"}
	}
	dialect := line.Dialect
	if dialect == "" {
		dialect = syntax.Bash
	}
	line.Dialect = dialect
	text := line.Text
	if line.Before != "" {
		text = line.Before + "\n" + text
	}
	session := syntax.Session{Numbers: facts.Numbers, Typed: !line.Exec, Defined: func(name string) bool {
		_, ok := facts.Defined[name]
		_, any := facts.Defined[""]
		return ok || any
	}}
	script, err := syntax.ParseIn(text, dialect, session)
	incomplete := errors.Is(err, syntax.ErrIncomplete) && line.Continues && !line.Exec
	if err != nil && (script == nil || p.mode == auth.Allowlist && !incomplete) {
		return p.unsure("the line cannot be taken apart: "+strings.TrimPrefix(err.Error(), "syntax: "), err)
	}
	numbers := slices.DeleteFunc(slices.Concat(facts.Numbers, script.Numbers), func(name string) bool {
		return slices.Contains(script.Spoils, name) || slices.Contains(script.Spoils, "")
	})
	j := &judge{Policy: p, line: line, facts: facts, numbers: numbers, sure: !line.Unsure}
	j.nodes = make([]Node, 0, len(script.Commands)+1)
	j.script(script)
	if err != nil && !incomplete && line.Before != "" {
		// The lines before it may not have been what they seemed: then this one stands alone.
		if alone, err := syntax.ParseIn(line.Text, dialect, session); err == nil {
			j.script(alone)
		}
	}
	v = j.verdict()
	v.Strays, v.Spoils, v.Forgets, v.Tampers = script.Strays, script.Spoils, script.Forgets, j.tampers
	if err == nil && !script.History {
		v.Numbers = script.Numbers
	}
	v.Err, v.Incomplete = err, incomplete
	if err != nil && !incomplete && v.Action != auth.Deny {
		u := p.unsure("the line cannot be taken apart: "+strings.TrimPrefix(err.Error(), "syntax: "), err)
		u.Nodes = v.Nodes
		return u
	}
	return v
}

// DecideExec judges an exec request, whose arguments are joined and given to sh -c as OpenSSH does.
func (p *Policy) DecideExec(facts Facts, argv ...string) Verdict {
	return p.Decide(Line{Text: strings.Join(argv, " "), Dialect: syntax.POSIX, Exec: true}, facts)
}

// unsure is the verdict for want of evidence.
func (p *Policy) unsure(reason string, err error) Verdict {
	v := Verdict{Action: auth.Warn, Reason: reason, Confidence: Low, Err: err}
	if p.mode == auth.Allowlist {
		v.Action = auth.Deny
	} else if id := p.firstDenial(); id != "" {
		v.Reason += "; it may be what rule " + id + " denies"
	}
	return v
}

func (p *Policy) firstDenial() string {
	for _, r := range p.rules {
		if r.Action == auth.Deny {
			return r.ID
		}
	}
	return ""
}

func confidence(sure bool) Confidence {
	if sure {
		return High
	}
	return Low
}

// judge decides one line.
type judge struct {
	*Policy
	line    Line
	facts   Facts
	numbers []string            // variables that hold numbers when the line calls what is defined
	defines []syntax.Definition // of the line
	index   int                 // of the command that is being judged, in the line's script
	calls   []string            // of aliases and functions, that are being looked into
	nodes   []Node
	needs   []string
	shell   string // that the line starts, to read further commands
	sure    bool
	tampers bool
}

// script judges all the commands of a script.
func (j *judge) script(s *syntax.Script) {
	j.defines = append(j.defines, s.Defines...)
	for _, d := range s.Defines {
		if strings.Contains(d.Name, hook) || !d.Alias && !d.Gone && slices.Contains(hooks, d.Name) {
			j.tampers = true
			j.add(j.undecided(Node{Text: d.Name + "()"}, "it changes what tells the bastion of lines"))
		}
	}
	if s.History && !j.line.Exec {
		j.add(j.undecided(Node{Text: j.line.Text}, "it refers to an earlier line"))
	}
	for i := range s.Commands {
		j.index = i
		j.command(&s.Commands[i])
	}
}

func (j *judge) add(n Node) { j.nodes = append(j.nodes, n) }

// undecided is the verdict on a node that cannot be known.
func (j *judge) undecided(n Node, why string) Node {
	n.Sure, n.Rule, n.Message = false, "", ""
	n.Reason = why
	n.Action = auth.Warn
	if j.mode == auth.Allowlist {
		n.Action = auth.Deny
	}
	return n
}

// verdict puts the nodes together: the worst of them counts, the first where several are as bad.
func (j *judge) verdict() Verdict {
	v := Verdict{Action: auth.Allow, Nodes: j.nodes, Needs: j.needs, StartsShell: j.shell != "", Shell: j.shell, Defines: j.lasting()}
	worst := -1
	for i, n := range j.nodes {
		if worst < 0 || severity(n.Action) > severity(j.nodes[worst].Action) {
			worst = i
		}
		j.sure = j.sure && n.Sure
	}
	if worst >= 0 {
		n := j.nodes[worst]
		v.Action, v.Rule, v.Message, v.Reason = n.Action, n.Rule, n.Message, n.Reason
		if n.Action == auth.Deny && n.Sure && !j.line.Unsure {
			j.sure = true // whatever the rest is
		}
	}
	v.Confidence = confidence(j.sure)
	return v
}

func severity(a auth.Action) int {
	switch a {
	case auth.Deny:
		return 2
	case auth.Warn:
		return 1
	}
	return 0
}
