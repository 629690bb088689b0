package syntax

import (
	"slices"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

func (r *runner) eval() {
	words := r.words[1:]
	if len(words) > 0 {
		if t, _ := words[0].Known(); t == "--" {
			words = words[1:]
		}
	}
	at := r.at
	at.via, at.certain = append(slices.Clone(at.via), "eval"), false
	word := joined(words)
	for _, w := range words {
		word.Split = word.Split || w.Split
	}
	r.self().Own = 1
	r.code(word, r.dialect, at)
}

func (r *runner) source() {
	if len(r.words) < 2 && r.dialect != Fish {
		return
	}
	if t, _ := r.words[min(1, len(r.words)-1)].Known(); t == "/dev/stdin" || r.dialect == Fish && (len(r.words) < 2 || t == "-") {
		r.startShell()
		r.self().Shell = false
		if r.at.input.kind == inherited {
			r.hidden("its commands come from the terminal")
		}
		return
	}
	r.foreign(InFile, "its commands are in a file")
}

func (r *runner) trap() {
	i := 1
	for ; i < len(r.words); i++ {
		t, ok := r.words[i].Known()
		if !ok || t == "-" || !strings.HasPrefix(t, "-") {
			break
		}
		if t == "--" {
			i++
			break
		}
	}
	if i >= len(r.words) || i+1 >= len(r.words) && r.dialect != Zsh {
		return // a list, or a reset
	}
	if t, ok := r.words[i].Known(); ok && (t == "-" || t == "") {
		return
	}
	at := r.at
	at.via, at.certain = append(slices.Clone(at.via), "trap"), false
	at.input = input{}
	at.dirs = []string{Anywhere}
	r.code(r.words[i], r.dialect, at)
}

// alias defines names; their values are judged as the commands that they begin.
func (r *runner) alias() {
	if name, ok := r.words[min(1, len(r.words)-1)].Known(); ok && r.dialect == Fish && len(r.words) > 2 && !strings.Contains(name, "=") {
		r.words = []Word{r.words[0], glued(Text(name+"="), joined(r.words[2:]))}
	}
	anywhere := false // an alias that stands for any word of a line
	for _, w := range r.words[1:] {
		text, ok := w.Known()
		if strings.HasPrefix(text, "-") && r.dialect == Zsh {
			anywhere = anywhere || strings.Contains(text, "g")
			continue
		}
		if !ok {
			if !strings.HasPrefix(w.Prefix(), "-") {
				r.define(Definition{Alias: true}, r.at)
				r.hidden("what it defines is only known at run time")
			}
			continue
		}
		name, value, isDefinition := strings.Cut(text, "=")
		if !isDefinition {
			continue
		}
		r.define(Definition{Name: name, Alias: true, Code: value}, r.at)
		at := r.at
		at.via, at.certain = append(slices.Clone(at.via), "alias"), false
		at.dirs = []string{Anywhere}
		at.input = input{kind: piped}
		if strings.TrimSpace(value) == "" {
			continue
		}
		if anywhere {
			if strings.IndexAny(strings.TrimLeft(value, " 12"), "|<>&;") == 0 {
				value = ": " + value
			} else {
				r.hidden("it may stand for an argument of any command")
			}
			r.code(Text(value+rest(r.dialect)), r.dialect, at) // what follows it in a line is not seen there
			continue
		}
		r.code(Text(value+" "+hole), r.dialect, at)
		r.fill(r.index+1, unknown("…"))
	}
}

func (r *runner) hash() {
	if r.dialect == Zsh {
		for _, w := range r.words[1:] { // hash NAME=PROGRAM
			name, target, ok := strings.Cut(w.Prefix(), "=")
			if _, known := w.Known(); !known {
				r.hidden("what it names is only known at run time")
			}
			if ok {
				r.define(Definition{Name: name, Alias: true, Code: target}, r.at)
				r.runWords([]Word{Text(target), unknown("…")}, r.below())
			}
		}
	}
	g := grammar{short: "lrdtp:"}
	p := g.parse(r.words[1:])
	if target, ok := p.value("-p"); ok || !p.clear {
		for _, w := range r.words[min(1+p.rest, len(r.words)):] {
			name, _ := w.Known()
			code, _ := target.Known()
			r.define(Definition{Name: name, Alias: true, Code: code}, r.at)
		}
		if t, known := target.Known(); known {
			r.runWords([]Word{Text(t), unknown("…")}, r.below())
		} else {
			r.hidden("what it names is only known at run time")
		}
	}
}

func (r *runner) complete() {
	if r.dialect == Fish {
		r.completeFish()
		return
	}
	for i, w := range r.words {
		if t, _ := w.Known(); (t == "-C" || t == "-F") && i+1 < len(r.words) {
			r.code(r.words[i+1], r.dialect, r.below())
		}
		if text, _ := w.Known(); text == "-W" && i+1 < len(r.words) { // a list that is expanded
			if list, known := r.words[i+1].Known(); known {
				r.evaluated("("+list+")", r.at)
			}
		}
	}
}

// completeFish: a condition is code, and what is offered or completed is expanded.
func (r *runner) completeFish() {
	p := grammar{short: "c:p:us:l:o:a:fFrxkd:w:n:eC::h", long: []string{"command=", "path=", "short-option=", "long-option=", "old-option=", "arguments=", "no-files", "force-files", "require-parameter", "exclusive",
		"keep-order", "description=", "wraps=", "condition=", "erase", "do-complete", "escape", "help"}}.parse(r.words[1:])
	if !p.clear {
		r.hidden("its options are not understood")
	}
	at := r.below()
	at.outside = false
	for _, o := range p.options {
		switch o.name {
		case "-n", "--condition":
			r.code(o.value, Fish, at)
		case "-a", "--arguments", "-C", "--do-complete":
			r.code(glued(Text(": "), o.value), Fish, at)
		}
	}
	for _, w := range r.words[min(1+p.rest, len(r.words)):] {
		if p.has("-C", "--do-complete") {
			r.code(glued(Text(": "), w), Fish, at)
		}
	}
	for _, w := range r.words[min(2+p.rest, len(r.words)):] { // options may follow the command
		if strings.HasPrefix(w.Prefix(), "-") {
			r.words = r.words[1+p.rest:]
			r.completeFish()
			return
		}
	}
}

func (r *runner) mapfile() {
	p := grammar{short: "d:n:O:s:tu:C:c:"}.parse(r.words[1:])
	if c, ok := p.value("-C"); ok {
		r.code(c, r.dialect, r.below())
	}
	for _, w := range r.words[min(1+p.rest, len(r.words)):] {
		r.assignedName(w)
	}
}

// printfBuiltin: -v NAME, or -vNAME, sets a variable, whichever that is where the first word only shows at run time.
func (r *runner) printfBuiltin() {
	if len(r.words) < 2 {
		return
	}
	first := r.words[1]
	switch t, _ := first.Known(); {
	case t == "-v" && len(r.words) > 2:
		r.assignedName(r.words[2])
	case strings.HasPrefix(first.Prefix(), "-v"):
		r.assignedName(cut(first, 2))
	case first.Prefix() == "-" || first.Prefix() == "" && first.HasUnknown():
		name, variable := strings.CutPrefix(first.Pieces[0].Text, "$")
		if first.Prefix() != "" || !variable || !r.counts(name, &r.at) {
			r.spoil("")
			if r.dialect == Bash || r.dialect == POSIX { // -v NAME[SUBSCRIPT]
				r.hidden("its first word may name a variable")
			}
		}
	}
}

// setters are builtins of zsh and bash that give variables values, by operands and options of many forms: what of their
// words may be a variable's name counts as one.
func (r *runner) setters() {
	for _, w := range r.words[1:] {
		text, _ := w.Known()
		for _, name := range []string{text, text[min(2, len(text)):], text[strings.IndexByte(text, '=')+1:]} {
			if sh.ValidName(name) {
				r.spoil(name)
			}
		}
	}
}

func (r *runner) read() {
	p := grammar{short: "ersa:d:i:n:N:p:t:u:"}.parse(r.words[1:])
	if a, ok := p.value("-a"); ok {
		r.assignedName(a)
	}
	for _, w := range r.words[min(1+p.rest, len(r.words)):] {
		r.assignedName(w)
	}
}

// getopts sets the variable that its second operand names.
func (r *runner) getopts() {
	if len(r.words) > 2 {
		r.assignedName(r.words[2])
	}
}

// assignedName notes that a variable is set to what only shows at run time.
func (r *runner) assignedName(w Word) {
	r.named(w, r.at)
	name, _ := w.Known()
	name, _, _ = strings.Cut(name, "[")
	r.spoil(name)
	r.sets(name)
	r.self().Assigns = append(r.self().Assigns, Assignment{Name: name, Value: unknown("…")})
}

func (r *runner) declareLike() {
	cmd := *r.self() // its address moves
	r.declared(&cmd, r.at)
	*r.self() = cmd
}

// let takes its operands for arithmetic.
func (r *runner) let() {
	for _, w := range r.words[1:] {
		r.evaluates(w)
	}
}

// evaluates judges an operand that the builtin takes for arithmetic.
func (r *runner) evaluates(w Word) {
	if text, known := w.Known(); known {
		r.expression(text, r.at)
		return
	}
	for _, p := range w.Pieces {
		name, variable := strings.CutPrefix(p.Text, "$")
		if p.Kind == Literal && !digits(p.Text) || p.Kind != Literal && (!variable || !r.counts(name, &r.at)) {
			r.hidden(openArithmetic)
			return
		}
	}
}

// counted are builtins that take an operand for arithmetic, in zsh and the kinds of ksh.
func (r *runner) counted() {
	if r.dialect != Zsh && r.dialect != Mksh {
		return
	}
	for _, w := range r.words[1:] {
		if t, _ := w.Known(); r.name == "ulimit" && (t == "unlimited" || len(t) > 1 && t[0] == '-' && !strings.Contains(t, "[")) {
			continue
		}
		r.evaluates(w)
	}
}

// test: -v takes a variable's name, and the kinds of ksh compare expressions.
func (r *runner) test() {
	for i, w := range r.words {
		switch t, _ := w.Known(); t {
		case "-v", "-R":
			if i+1 < len(r.words) {
				r.named(r.words[i+1], r.at)
			}
		case "-eq", "-ne", "-lt", "-le", "-gt", "-ge":
			if r.dialect == Mksh && i > 1 && i+1 < len(r.words) {
				r.evaluates(r.words[i-1])
				r.evaluates(r.words[i+1])
			}
		}
	}
}

// wait: -p names the variable that gets the process's number.
func (r *runner) wait() {
	p := grammar{short: "fnp:"}.parse(r.words[1:])
	if v, ok := p.value("-p"); ok {
		r.assignedName(v)
	}
}

// jobs: -x runs a command.
func (r *runner) jobs() {
	for i, w := range r.words {
		if t, known := w.Known(); !known || t == "-x" {
			r.inner(i + 1)
			r.markShellOwn()
			return
		}
	}
}

// set: -A NAME sets an array in zsh and the kinds of ksh.
func (r *runner) set() {
	for i, w := range r.words {
		if t, _ := w.Known(); t == "posix" && i > 1 {
			r.define(Definition{Gone: true}, r.at)
		}
	}
	if len(r.words) > 2 {
		if t, _ := r.words[1].Known(); t == "-A" || t == "+A" {
			r.assignedName(r.words[2])
		}
	}
}

func glued(a, b Word) Word {
	return Word{Pieces: slices.Concat(a.Pieces, b.Pieces), Split: a.Split || b.Split}
}

// fishSet is fish's assignment: set [-options] NAME VALUE…
func (r *runner) fishSet() {
	i := 1
	for ; i < len(r.words) && strings.HasPrefix(r.words[i].Prefix(), "-"); i++ {
		if t, _ := r.words[i].Known(); t == "-q" || t == "-S" || t == "-n" || t == "--query" || t == "--show" || t == "--names" {
			return
		}
	}
	if i >= len(r.words) {
		return
	}
	name, _ := r.words[i].Known()
	for _, w := range r.words[i+1:] {
		if text, ok := w.Known(); ok {
			r.value(name, text)
		}
	}
	r.sets(name)
	a := Assignment{Name: name, Value: joined(r.words[i+1:])}
	r.assigned(a, r.below())
	r.self().Assigns = append(r.self().Assigns, a)
}

// options: with some a name does not stand any more for what the session made of it.
func (r *runner) options() {
	for _, w := range r.words[1:] {
		if t, known := w.Known(); !known || strings.Contains(strings.ToLower(strings.ReplaceAll(t, "_", "")), "alias") || t == "posix" {
			r.define(Definition{Gone: true}, r.at)
			return
		}
	}
}

// markShellOwn says that what the builtin runs is looked up by the shell itself.
func (r *runner) markShellOwn() {
	for i := r.index + 1; i < len(r.script.Commands); i++ {
		if len(r.script.Commands[i].Via) == len(r.at.via)+1 {
			r.script.Commands[i].Outside = r.at.outside
			r.script.Commands[i].Plain = true
		}
	}
}

// forget notes the names that stand for themselves again. -a means all, -m those that a pattern matches.
func (r *runner) forget() {
	for _, w := range r.words[1:] {
		if p := w.Prefix(); strings.HasPrefix(p, "-") && strings.ContainsAny(p, "am") {
			r.define(Definition{Gone: true}, r.at)
			return
		}
	}
	for _, w := range r.words[1:] {
		if name, ok := w.Known(); !ok || name != "" && name[0] != '-' {
			if r.name == "unset" {
				r.named(w, r.at)
				r.spoil(name)
			}
			r.define(Definition{Name: name, Gone: true}, r.at)
		}
	}
}
