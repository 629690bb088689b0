package syntax

import (
	"regexp"
	"slices"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// Arithmetic reads a variable's value as an expression again, and a subscript in that may hold a substitution: with
// a='x[$(cmd)]' the shell runs cmd for $((a)), [[ a -eq 1 ]], ${b:a} and ${b[a]}. So what stands in arithmetic must be a
// number, or a name to which the text has surely given one, and never anything else.

// fact is what the text has surely said of a variable before this place.
type fact struct {
	name  string
	assoc bool // its subscripts are text; else its values are numbers
	next  *fact
}

func (p *place) knows(name string, assoc bool) bool {
	for f := p.facts; f != nil; f = f.next {
		if f.name == name && f.assoc == assoc {
			return true
		}
	}
	return false
}

func (p *place) learn(name string, assoc bool) {
	if itself(name) {
		return
	}
	p.facts = &fact{name: name, assoc: assoc, next: p.facts}
}

// known has a text begin with what the session knows.
func (c *collector) known(at *place) {
	for _, name := range c.numbers {
		at.learn(name, false)
	}
}

// first notes the numbers that a line begins by giving variables: nothing can come between, or end it before. What a
// client may have set before the shell began has no name like that.
func (w *walker) first(list []*sh.Stmt) {
	for _, s := range list {
		call, ok := s.Cmd.(*sh.CallExpr)
		if !ok || len(call.Args) > 0 || len(s.Redirs) > 0 || s.Background || s.Coprocess || s.Disown || s.Negated {
			return
		}
		for _, a := range call.Assigns {
			if a.Append || a.Naked || a.Index != nil || a.Array != nil || a.Value == nil || a.Value.Lit() == "" || !IsNumber(a.Value.Lit()) {
				return
			}
			if name := a.Name.Value; !itself(name) && strings.ToUpper(name) != name && !slices.Contains(w.script.Numbers, name) {
				w.script.Numbers = append(w.script.Numbers, name)
			}
		}
	}
}

// lasting tells what of the variables is left for the lines that follow.
func (c *collector) lasting() {
	for name := range c.spoilt {
		c.script.Spoils = append(c.script.Spoils, name)
	}
	c.script.Numbers = slices.DeleteFunc(c.script.Numbers, func(name string) bool { return c.spoilt[name] || c.spoilt[""] })
}

// itself says whether a shell gives a variable values of its own: $_ is the newest command's last word, whatever it was
// set to.
func itself(name string) bool {
	for _, prefix := range []string{"BASH", "COMP", "READLINE", "DIR", "FUNC", "MAPFILE", "func", "hist"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains(selfSet, name)
}

var selfSet = []string{"_", "ARGC", "ARGV0", "BUFFER", "COPROC", "CUTBUFFER", "ERRNO", "LBUFFER", "MATCH", "OLDPWD", "OPTARG", "PIPESTATUS", "POSTDISPLAY", "PREBUFFER", "PREDISPLAY", "PWD", "RBUFFER", "REPLY",
	"argv", "buffer", "dirstack", "jobtexts", "keymaps", "match", "mbegin", "mend", "options", "parameters", "pipestatus", "reply", "status", "words"}

// spoil notes that a variable may hold other than numbers, at some time while the text runs. With no name it may be any.
func (c *collector) spoil(name string) {
	if c.spoilt == nil {
		c.spoilt = make(map[string]bool)
	}
	c.spoilt[name] = true
}

// counts says whether a variable surely holds a number. That it is never given anything else shows at the end.
func (c *collector) counts(name string, at *place) bool {
	if Number(name) {
		return !c.spoilt[name]
	}
	if !at.knows(name, false) {
		return false
	}
	if c.relied == nil {
		c.relied = make(map[string]place)
	}
	if _, ok := c.relied[name]; !ok {
		c.relied[name] = *at
	}
	return true
}

// relyOn adds what was taken for a number and turned out to be more.
func (c *collector) relyOn() {
	for name, at := range c.relied {
		if c.spoilt[name] || c.spoilt[""] {
			c.undecidable("the value of "+name+", which arithmetic reads, only shows at run time", at)
			return
		}
	}
}

// numberVariables are numbers by themselves. To set one to anything else is up to the rules, see Number.
var numberVariables = []string{"?", "#", "$", "!", "BASHPID", "COLUMNS", "EGID", "EPOCHSECONDS", "EUID", "GID", "HISTCMD", "HISTSIZE", "LINENO", "LINES", "OPTIND", "PPID",
	"RANDOM", "SAVEHIST", "SECONDS", "SHLVL", "SRANDOM", "TMOUT", "UID"}

// Number says whether a shell's arithmetic relies on a variable to be a number, or takes what it is set to for an expression.
func Number(name string) bool { return slices.Contains(numberVariables, name) }

// IsNumber says whether a text is a number, or nothing, in arithmetic.
func IsNumber(s string) bool {
	s = strings.TrimLeft(s, "+-")
	if s == "" {
		return true
	}
	return s[0] >= '0' && s[0] <= '9' && digits(s)
}

// digits says whether a text can stand in a number: 0x1f, 16#ff, 1.5.
func digits(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) && s[i] != '#' && s[i] != '.' {
			return false
		}
	}
	return true
}

// undecidable adds something that may run anything.
func (c *collector) undecidable(why string, at place) {
	if n := len(c.script.Commands); n > 0 && c.script.Commands[n-1].Code == why && len(c.script.Commands[n-1].Words) == 0 {
		return
	}
	c.add(Command{Code: why}, at)
}

// number says whether a word can only be a number. A lone name is one to arithmetic.
func (w *walker) number(parts []sh.WordPart, at *place) bool {
	for i, p := range parts {
		ok := false
		switch p := p.(type) {
		case *sh.Lit:
			ok = IsNumber(p.Value) // behind what may be empty, letters would be a name
		case *sh.SglQuoted:
			ok = i == 0 && IsNumber(p.Value)
		case *sh.DblQuoted:
			ok = w.number(p.Parts, at)
		case *sh.ArithmExp:
			ok = true
		case *sh.CmdSubst:
			ok = w.printsNumbers(p.Stmts)
		case *sh.ParamExp:
			name, simple := simpleParameter(p)
			ok = simple && w.counts(name, at) || p.Length || p.Param != nil && p.Index != nil && !p.Excl && p.Exp == nil && p.Repl == nil && p.Flags == nil && w.counts(p.Param.Value, at)
		}
		if !ok {
			return false
		}
	}
	return true
}

// printsNumbers says whether a substitution's commands print numbers and nothing else. A program of the same name that
// printed something else would have been run already.
func (w *walker) printsNumbers(list []*sh.Stmt) bool {
	if len(list) != 1 {
		return false
	}
	s := list[0]
	for {
		b, ok := s.Cmd.(*sh.BinaryCmd)
		if !ok || b.Op != sh.Pipe || len(s.Redirs) > 0 || s.Background {
			break
		}
		s = b.Y
	}
	call, ok := s.Cmd.(*sh.CallExpr)
	if !ok || s.Background || s.Coprocess || len(call.Assigns) > 0 || len(call.Args) == 0 {
		return false
	}
	for _, r := range s.Redirs {
		if r.Op != sh.RdrIn {
			return false
		}
	}
	var words []string
	for _, arg := range call.Args {
		text, known := w.word(arg).Known()
		if !known {
			return false
		}
		words = append(words, text)
	}
	name, words := words[0], words[1:]
	redefined := func(d Definition) bool { return d.Name == name || d.Name == "" }
	if w.session != nil && w.session(name) || slices.ContainsFunc(w.script.Defines, redefined) {
		return false
	}
	switch name {
	case "seq":
		return len(words) > 0 && !slices.ContainsFunc(words, func(s string) bool { return s != "-w" && (s == "" || !IsNumber(s)) })
	case "wc":
		return len(words) == 1 && slices.Contains([]string{"-l", "-w", "-c", "-m"}, words[0])
	case "date":
		for len(words) > 1 && (words[0] == "-u" || strings.HasPrefix(words[0], "--date=")) {
			words = words[1:]
		}
		if len(words) == 3 && words[0] == "-d" {
			words = words[2:]
		}
		return len(words) == 1 && slices.Contains([]string{"+%s", "+%Y", "+%m", "+%d", "+%H", "+%M", "+%S", "+%j", "+%u", "+%Y%m%d"}, words[0])
	case "id":
		return len(words) == 1 && (words[0] == "-u" || words[0] == "-g")
	case "nproc":
		return len(words) == 0
	}
	return false
}

const openArithmetic = "its arithmetic reads a value that only shows at run time, and would run what is in that"

// arith judges an expression.
func (w *walker) arith(x sh.ArithmExpr, at *place) {
	switch x := x.(type) {
	case *sh.BinaryArithm:
		w.arith(x.Y, at)
		if left, ok := x.X.(*sh.Word); ok && x.Op == sh.Assgn {
			if name := left.Lit(); sh.ValidName(name) {
				at.learn(name, false)
				return
			}
		}
		w.arith(x.X, at)
	case *sh.UnaryArithm:
		w.arith(x.X, at)
	case *sh.ParenArithm:
		w.arith(x.X, at)
	case *sh.FlagsArithm:
		if x.X != nil {
			w.arith(x.X, at)
		}
	case *sh.Word:
		if len(x.Parts) == 1 {
			switch p := x.Parts[0].(type) {
			case *sh.Lit:
				if sh.ValidName(p.Value) && w.counts(p.Value, at) {
					return
				}
			case *sh.SglQuoted:
				w.expression(p.Value, *at)
				return
			case *sh.ParamExp:
				if p.Short && p.Index != nil && !p.Dollar.IsValid() && p.Param != nil && w.counts(p.Param.Value, at) {
					return
				}
			}
		}
		if !w.number(x.Parts, at) {
			w.undecidable(openArithmetic, *at)
		}
	}
}

// expression judges a text that a builtin takes for arithmetic.
func (c *collector) expression(text string, at place) {
	if IsNumber(strings.TrimSpace(text)) {
		return
	}
	dialect := c.dialect
	if dialect == POSIX || dialect == Fish {
		dialect = Bash
	}
	if err := c.codeAt("(("+text+"))", dialect, at); err != nil {
		c.undecidable(openArithmetic, at)
	}
}

// subscript judges what stands between the brackets behind a variable's name.
func (w *walker) subscript(name string, x sh.ArithmExpr, at *place) {
	if word, ok := x.(*sh.Word); ok && (word.Lit() == "@" || word.Lit() == "*") || at.knows(name, true) {
		return
	}
	if f, ok := x.(*sh.FlagsArithm); ok && strings.ContainsAny(f.Flags.Value, "rRiIkK") {
		return // zsh looks for a value there
	}
	w.arith(x, at)
}

// named judges an operand that is a variable's name, perhaps with a subscript that the builtin itself evaluates.
func (c *collector) named(word Word, at place) {
	text, known := word.Known()
	name, sub, has := strings.Cut(text, "[")
	switch {
	case !known:
		c.undecidable("which variable it means only shows at run time", at)
		return
	case !has:
		return
	}
	sub = strings.TrimSuffix(sub, "]")
	switch {
	case sub == "@" || sub == "*":
	case at.knows(name, true):
		if strings.ContainsAny(sub, "$`") {
			c.undecidable(openArithmetic, at)
		}
	default:
		c.expression(sub, at)
	}
}

// remember notes what an assignment makes of a variable.
func (w *walker) remember(a *sh.Assign, at *place, stays bool) {
	if a.Name == nil || a.Naked {
		return
	}
	numbers := true
	if a.Value != nil {
		numbers = w.number(a.Value.Parts, at)
	}
	if a.Array != nil {
		for _, e := range a.Array.Elems {
			if e.Index != nil {
				w.subscript(a.Name.Value, e.Index, at)
			}
			for _, word := range w.expandSource(e.Value) {
				numbers = numbers && w.number(word.Parts, at)
			}
		}
	}
	if a.Index != nil {
		w.subscript(a.Name.Value, a.Index, at)
	}
	switch {
	case !numbers:
		w.spoil(a.Name.Value)
	case stays && a.Index == nil && !a.Append:
		at.learn(a.Name.Value, false)
	}
}

// expandSource lists the words that a word's braces stand for.
func (w *walker) expandSource(word *sh.Word) []*sh.Word {
	if word == nil {
		return nil
	}
	if countBraces(word) == 0 || countBraces(word) > maxNestedBraces {
		return []*sh.Word{word}
	}
	split := &sh.Word{Parts: slices.Clone(word.Parts)}
	if !sh.SplitBraces(split) {
		return []*sh.Word{word}
	}
	if out := braces(split, maxBraces, false); len(out) > 0 {
		return out
	}
	return []*sh.Word{word}
}

// expansion judges what in a parameter's expansion runs its value.
func (w *walker) expansion(p *sh.ParamExp, at *place) {
	name := ""
	if p.Param != nil {
		name = p.Param.Value
	}
	const runs = "it runs, or looks up, what a value holds"
	switch {
	case p.Exp != nil && p.Exp.Op == sh.OtherParamOps && p.Exp.Word != nil && strings.Contains(p.Exp.Word.Lit(), "P"):
		w.undecidable(runs, *at)
	case p.Flags != nil && strings.ContainsAny(p.Flags.Value, "eP%"):
		w.undecidable(runs, *at)
	case p.Excl && p.Names == 0:
		if word, ok := p.Index.(*sh.Word); !ok || word.Lit() != "@" && word.Lit() != "*" {
			w.undecidable(runs, *at)
		}
	}
	if p.Index != nil {
		w.subscript(name, p.Index, at)
	}
	if p.Slice != nil {
		for _, x := range []sh.ArithmExpr{p.Slice.Offset, p.Slice.Length} {
			if x != nil {
				w.arith(x, at)
			}
		}
	}
}

// comparison judges the arithmetic of [[ ]].
func (w *walker) comparison(x sh.Node, at *place) {
	switch x := x.(type) {
	case *sh.BinaryTest:
		switch x.Op {
		case sh.TsEql, sh.TsNeq, sh.TsLeq, sh.TsGeq, sh.TsLss, sh.TsGtr:
			for _, side := range []sh.TestExpr{x.X, x.Y} {
				if word, ok := side.(*sh.Word); ok {
					w.arith(word, at)
				}
			}
		}
	case *sh.UnaryTest:
		if word, ok := x.X.(*sh.Word); ok && (x.Op == sh.TsVarSet || x.Op == sh.TsRefVar) {
			w.named(w.word(word), *at)
		}
	}
}

// zshWord judges what the grammar leaves as text and zsh does not: $[…], and *(e:code:) or *(+function), qualifiers at
// the end of a word that run code for every file.
func (w *walker) zshWord(word *sh.Word, at place) {
	if w.dialect != Zsh {
		return
	}
	for i, p := range word.Parts {
		lit, ok := p.(*sh.Lit)
		if !ok {
			continue
		}
		open := strings.IndexByte(lit.Value, '(')
		switch {
		case i > 0 && lit.Value != "" && lit.Value[0] == '[' && foreignDollar(word.Parts[i-1]):
			w.undecidable(openArithmetic, at)
		case open >= 0 && (strings.ContainsAny(lit.Value[open:], "$`") || i == len(word.Parts)-1 && mayRun(lit.Value[open:])):
			w.undecidable("its pattern may run code", at)
		}
	}
}

// compared are qualifiers that look at a size or a time: L+10, mh+1.
var compared = regexp.MustCompile(`[Lamc][A-Za-z]?\+`)

// mayRun says whether the last parentheses of a pattern may have a qualifier that runs code. What has alternatives is no
// qualifier but for (#q…).
func mayRun(s string) bool {
	if strings.Contains(s, "|") && !strings.Contains(s, "#q") && strings.Count(s, "(") == 1 {
		return false
	}
	return strings.ContainsAny(compared.ReplaceAllString(s, ""), "e+")
}

func foreignDollar(p sh.WordPart) bool {
	lit, ok := p.(*sh.Lit)
	return ok && strings.HasSuffix(lit.Value, "$")
}
