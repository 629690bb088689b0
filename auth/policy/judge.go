package policy

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// subject is what rules are held against: a command, or what stands for a redirection or an assignment.
type subject struct {
	*judge
	cmd    *syntax.Command
	words  []syntax.Word
	own    int // words that are its own
	name   name
	text   string
	source string
	files  []syntax.Redirect // that it opens

	gotPaths bool
	allPaths []pathPattern
}

// hook is in the names of all that the bastion has in a shell, and hooks are builtins that it uses there: a function of
// such a name would take the builtin's place.
const hook = "__podbastion"

var hooks = []string{"bind", "bindkey", "builtin", "command", "commandline", "emulate", "history", "local", "printf", "read", "zle"}

// command judges one command with its redirections and assignments.
func (j *judge) command(c *syntax.Command) {
	if c.Possible {
		j.possible(c)
		return
	}
	var covering *rule
	switch {
	case len(c.Words) > 0:
		covering = j.words(c)
	case c.Code != "":
		j.add(j.undecided(Node{Text: cmp.Or(c.String(), "…"), Via: c.Via, Function: c.Function}, c.Code))
	}
	for _, a := range c.Assigns {
		if strings.Contains(a.Name, hook) {
			j.tampers = true
			j.add(j.undecided(Node{Text: a.Name + "="}, "it changes what tells the bastion of lines"))
		}
		j.assignment(c, a)
	}
	for _, w := range c.Words {
		if strings.Contains(w.String(), hook) {
			j.tampers = true
			j.add(j.undecided(Node{Text: c.String(), Via: c.Via, Function: c.Function}, "it may change what tells the bastion of lines"))
			break
		}
	}
	for _, r := range c.Redirects {
		j.redirect(c, r, covering)
	}
	if c.Shell {
		j.starts(c)
	}
}

// starts notes which shell reads what comes next. What it is by the text of several, or of none, is read as sh's,
// which may be any.
func (j *judge) starts(c *syntax.Command) {
	name, _ := c.Program()
	name = path.Base(name)
	if _, ok := syntax.DialectOf(name); !ok || j.shell != "" && j.shell != name {
		name = "sh"
	}
	j.shell = name
}

func (j *judge) subject(c *syntax.Command) *subject {
	return &subject{judge: j, cmd: c, words: c.Words, own: c.Own, text: c.String(), source: c.Source, files: c.Redirects, name: j.nameOf(c)}
}

// pseudo is the subject of a redirection or an assignment: a program that no shell could run, with one argument.
func (j *judge) pseudo(c *syntax.Command, program string, argument syntax.Word, text string) *subject {
	return &subject{judge: j, cmd: c, words: []syntax.Word{syntax.Text(program), argument}, own: 2, text: text,
		name: name{text: program, base: program}}
}

func (j *judge) node(s *subject) Node {
	return Node{Text: s.text, Via: s.cmd.Via, Function: s.cmd.Function, Possible: s.cmd.Possible, Sure: true}
}

// ruled is a node that a rule decides.
func ruled(n Node, r *rule) Node {
	n.Action, n.Rule, n.Message, n.Reason = r.Action, r.ID, r.Message, "rule "+r.ID
	return n
}

// words judges a command's program and arguments, and returns the rule that allows it.
func (j *judge) words(c *syntax.Command) *rule {
	s := j.subject(c)
	n := j.node(s)
	d, defined := j.definition(c)
	if defined {
		j.expanded(c, d)
	}
	r, maybe := j.first(s)
	if defined && !d.Unsure && (r == nil || r.Action == auth.Allow) {
		return nil // it is surely not the program of that name; a rule against that name is heeded all the same
	}
	switch {
	case r != nil:
		n = ruled(n, r)
	case s.name.open:
		n = j.undecided(n, "which program it runs only shows at run time")
		if id := j.firstDenial(); id != "" && j.mode == auth.Denylist {
			n.Reason += "; it may be one that rule " + id + " denies"
		}
	case j.mode == auth.Denylist:
		n.Action, n.Reason = auth.Allow, "no rule matches"
		if r := j.renames(s); r != nil {
			n.Action, n.Rule, n.Message, n.Sure = auth.Warn, r.ID, r.Message, false
			n.Reason = "it may give another name to what rule " + r.ID + " is about"
		}
	case free(c):
		n.Action, n.Reason = auth.Allow, "changes nothing but the shell itself"
	default:
		n.Action, n.Reason = auth.Deny, "no rule allows it"
	}
	n = j.weigh(n, maybe)
	if c.Code != "" && n.Action != auth.Deny {
		answered := r != nil && r.answersForCode(c.CodeIn) && j.mode == auth.Allowlist
		if !answered {
			n = j.undecided(n, c.Code)
		}
	}
	j.add(n)
	if r != nil && n.Action == auth.Allow {
		return r
	}
	return nil
}

// copiers are programs that can give another name to a program.
var copiers = []string{"cp", "mv", "ln", "link", "install"}

// renames returns the rule against a program that a command copies or moves: under its new name no rule would know it.
func (j *judge) renames(s *subject) *rule {
	if !slices.Contains(copiers, s.name.base) {
		return nil
	}
	for _, w := range s.words[1:] {
		text, known := w.Known()
		if !known {
			continue
		}
		for _, r := range j.named[path.Base(text)] {
			if r.Action == auth.Deny {
				return r
			}
		}
	}
	return nil
}

// weigh takes a rule into account that matches or not, for all that can be known.
func (j *judge) weigh(n Node, maybe *rule) Node {
	if maybe == nil {
		return n
	}
	action := auth.Warn
	if j.mode == auth.Allowlist {
		action = maybe.Action
	}
	if severity(action) <= severity(n.Action) {
		return n
	}
	n.Action, n.Rule, n.Message, n.Sure = action, maybe.ID, maybe.Message, false
	n.Reason = "it may be what rule " + maybe.ID + " is about"
	return n
}

// first returns the first rule that matches for certain, and the gravest of those before it that may match.
func (j *judge) first(s *subject) (sure, maybe *rule) {
	named, open := j.candidates(s.name), j.open
	for len(named) > 0 || len(open) > 0 {
		var r *rule
		if len(open) == 0 || len(named) > 0 && named[0].index < open[0].index {
			r, named = named[0], named[1:]
		} else {
			r, open = open[0], open[1:]
		}
		if r.far(s) {
			continue
		}
		switch r.match(s) {
		case yes:
			return r, maybe
		case perhaps:
			if r.Action != auth.Allow && (maybe == nil || severity(r.Action) > severity(maybe.Action)) {
				maybe = r
			}
		}
	}
	return nil, maybe
}

// candidates lists the rules that the index by name holds for a program.
func (j *judge) candidates(n name) []*rule {
	if n.open {
		return j.closed
	}
	return j.named[n.base]
}

// possible judges a command that only runs if a value turns out to be what the text suggests: it may be denied for
// that, and is otherwise of no account.
func (j *judge) possible(c *syntax.Command) {
	if len(c.Words) == 0 {
		return
	}
	if d, ok := j.definition(c); ok && !d.Alias {
		return // the call that it is a reading of is looked into itself
	}
	s := j.subject(c)
	r, _ := j.first(s)
	switch {
	case r != nil && r.Action != auth.Allow:
		j.add(ruled(j.node(s), r))
	case r == nil && j.mode == auth.Allowlist && !s.name.open && !free(c) && len(c.Via) > 0:
		j.add(j.undecided(j.node(s), "it may run this, which no rule allows"))
	}
}

// definition returns what a name stands for when the session or the line has given it a meaning of its own.
func (j *judge) definition(c *syntax.Command) (syntax.Definition, bool) {
	name, ok := c.Program()
	if !ok || c.Outside || c.Plain || slices.Contains(j.calls, name) { // an alias does not expand within itself
		return syntax.Definition{}, false
	}
	d, found := j.earlier(name)
	d.Unsure = d.Unsure || c.Other
	for _, next := range j.defines {
		if (next.Name == name || next.Name == "") && next.At <= j.index {
			d = over(d, found, next)
			// An alias holds from the next line on, and only some shells mind them in what is not typed.
			d.Unsure = d.Unsure || next.Alias || c.Other
			found = true
		}
	}
	switch {
	case !found || d.Gone && d.Code == "" && !d.Unsure:
		return d, false
	case d.Alias && c.Words[0].Quoted:
		return d, false // \ls is never an alias
	}
	return d, true
}

// earlier is what the session made of a name before this line.
func (j *judge) earlier(name string) (syntax.Definition, bool) {
	d, ok := j.facts.Defined[name]
	if !ok {
		d, ok = j.facts.Defined[""] // one whose name is not known may be any
		d.Unsure = true
	}
	return d, ok
}

// over is what a name stands for after a further definition. Where it is not certain which of two holds, its code is
// not known.
func over(d syntax.Definition, found bool, next syntax.Definition) syntax.Definition {
	switch {
	case next.Gone && !found:
		return next
	case next.Gone || found && next.Unsure:
		return syntax.Definition{Name: next.Name, Alias: d.Alias && next.Alias, Unsure: true}
	}
	return next
}

// lasting lists the line's definitions as the session shall remember them: one for each name.
func (j *judge) lasting() []syntax.Definition {
	var out []syntax.Definition
	for _, next := range j.defines {
		if next.Gone && next.Name == "" { // any of them may be
			for i := range out {
				out[i] = over(out[i], true, syntax.Definition{Name: out[i].Name, Unsure: true})
			}
			for name, d := range j.facts.Defined {
				if !slices.ContainsFunc(out, func(o syntax.Definition) bool { return o.Name == name }) {
					out = append(out, over(d, true, syntax.Definition{Name: name, Alias: d.Alias, Unsure: true}))
				}
			}
			continue
		}
		i := slices.IndexFunc(out, func(d syntax.Definition) bool { return d.Name == next.Name })
		var d syntax.Definition
		found := i >= 0
		if found {
			d = out[i]
		} else {
			d, found = j.facts.Defined[next.Name]
		}
		if next.Gone && !found {
			continue
		}
		d = over(d, found, next)
		d.At = 0
		if i >= 0 {
			out[i] = d
		} else {
			out = append(out, d)
		}
	}
	return out
}

// maxCalls is how deep aliases and functions may call each other.
const maxCalls = 20

// expanded judges what a call of an alias or a function runs, in place of the program of that name.
func (j *judge) expanded(c *syntax.Command, d syntax.Definition) {
	what := "a function"
	if d.Alias {
		what = "an alias"
	}
	n := Node{Text: c.String(), Via: c.Via, Function: c.Function, Sure: true, Action: auth.Allow, Reason: "it is " + what + "; what it runs follows"}
	if len(j.calls) > maxCalls || len(j.nodes) > maxNodes {
		j.add(j.undecided(n, "aliases and functions call each other too deeply"))
		return
	}
	s, err := syntax.Expand(d, c, j.line.Dialect, j.numbers)
	if err != nil {
		j.add(j.undecided(n, "it is "+what+" here, and what that runs is not known"))
		return
	}
	j.add(n)
	j.calls = append(j.calls, d.Name)
	for i := range s.Commands {
		j.command(&s.Commands[i])
	}
	j.calls = j.calls[:len(j.calls)-1]
}

// maxNodes bounds a verdict.
const maxNodes = 10_000

// assignment judges a variable that decides which programs run or what they do. It is held against the rules as the
// program NAME= with the value as its argument.
func (j *judge) assignment(c *syntax.Command, a syntax.Assignment) {
	if a.Name != "" && !steers(a.Name) && !miscounts(a) || plainPrompt(a) {
		return
	}
	program := a.Name + "="
	if a.Name == "" {
		program = "…="
	}
	s := j.pseudo(c, program, a.Value, program+a.Value.String())
	n := j.node(s)
	r, maybe := j.first(s)
	code := carries(a.Name) || isPrompt(a.Name) && !a.Value.IsKnown()
	if code && r != nil && r.Action == auth.Allow && !slices.Contains(r.names, program) && !r.answersForCode(syntax.InArguments) {
		r = nil // it allows whatever there is, and does not answer for code that it does not see
	}
	switch {
	case r != nil:
		n = ruled(n, r)
	case a.Name == "":
		n = j.undecided(n, "which variable it sets only shows at run time")
	case code:
		n = j.undecided(n, a.Name+" holds commands, or names a file of them")
	case j.mode == auth.Denylist:
		n.Action, n.Reason = auth.Allow, "no rule matches"
	default:
		n.Action, n.Reason = auth.Deny, a.Name+" decides what runs, and no rule allows to set it"
	}
	j.add(j.weigh(n, maybe))
}

// carries says whether a variable holds code that some program runs and that is not read here.
func carries(name string) bool {
	switch name {
	case "BASH_ENV", "ENV", "EXINIT", "FPATH", "INPUTRC", "fish_function_path", "fpath", "histchars", "HISTCHARS", "MAKEFLAGS", "PERL5DB", "PYTHONSTARTUP", "VIMINIT":
		return true
	}
	return strings.HasPrefix(name, "GIT_CONFIG")
}

// miscounts says whether an assignment gives a variable something else than a number that shells' arithmetic takes for one.
func miscounts(a syntax.Assignment) bool {
	if !syntax.Number(a.Name) {
		return false
	}
	text, known := a.Value.Known()
	return !known || !syntax.IsNumber(text)
}

// isPrompt says whether what a variable holds is run, or substituted in, when a shell shows its prompt.
func isPrompt(name string) bool {
	return len(name) == 3 && strings.HasPrefix(name, "PS") || strings.Contains(name, "PROMPT") || strings.HasPrefix(name, "RPS") || name == "prompt"
}

// plainPrompt says whether an assignment sets a prompt that runs nothing when it is shown.
func plainPrompt(a syntax.Assignment) bool {
	text, known := a.Value.Known()
	return isPrompt(a.Name) && !strings.HasPrefix(a.Name, "PROMPT_COMMAND") && known && !strings.Contains(text, "`") && !strings.Contains(text, "$(") && !strings.Contains(text, "${")
}

// harmlessFiles may be written and read by anybody.
var harmlessFiles = []string{"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/stdin", "/dev/tty", "/dev/zero", "/dev/full"}

func harmless(file syntax.Word) bool {
	text, known := file.Known()
	return known && slices.Contains(harmlessFiles, text)
}

// redirect judges a file that is opened. It is held against the rules as the program > (or <) with the file as its
// argument; a rule that allows the command for certain paths covers its redirections to them too.
func (j *judge) redirect(c *syntax.Command, r syntax.Redirect, covering *rule) {
	if harmless(r.File) {
		return
	}
	if !r.Write && len(c.Words) > 0 && (covering != nil || j.mode == auth.Denylist || !free(c)) {
		return // read by the command, among whose paths it counts
	}
	op := "<"
	if r.Write {
		op = ">"
	}
	s := j.pseudo(c, op, r.File, r.Op+r.File.String())
	n := j.node(s)
	rule, maybe := j.first(s)
	switch {
	case rule != nil:
		n = ruled(n, rule)
	case covering != nil && len(covering.Paths) > 0 && covering.covers(s):
		n.Action, n.Rule, n.Reason = auth.Allow, covering.ID, "rule "+covering.ID+" names its path"
	case j.mode == auth.Denylist:
		n.Action, n.Reason = auth.Allow, "no rule matches"
	case r.Write:
		n.Action, n.Reason = auth.Deny, "it writes a file, and no rule with the program > allows that"
	default:
		n.Action, n.Reason = auth.Deny, "it reads a file, and no rule with the program < allows that"
	}
	j.add(j.weigh(n, maybe))
}

// name is a program as it was called.
type name struct {
	text string // as far as it is known
	base string // without directories
	word syntax.Word
	open bool     // not all of it is known
	abs  []string // the absolute paths that it may stand for when it has a slash; empty when the directory is unknown
}

func (j *judge) nameOf(c *syntax.Command) name {
	text, ok := c.Program()
	if !ok {
		return name{text: c.Words[0].String(), word: c.Words[0], open: true}
	}
	n := name{text: text, base: path.Base(text)}
	if strings.Contains(text, "/") {
		for _, p := range j.resolve(c.Words[0], c.Dirs) {
			s, exact := p.exact()
			if !exact {
				n.abs = nil
				return n
			}
			n.abs = append(n.abs, s)
		}
	}
	return n
}
