package syntax

import (
	"slices"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// call adds a simple command and what it carries.
func (w *walker) call(cmd *sh.CallExpr, redirs []*sh.Redirect, at *place) {
	var words []Word
	for _, a := range cmd.Args {
		w.nested(a, *at)
		words = append(words, w.expand(a)...)
	}
	if w.dialect == Zsh && len(words) > 0 && extended(cmd.Args[0]) {
		words[0] = unknown(words[0].String())
	}
	assigns := w.assignments(cmd.Assigns, *at, len(cmd.Args) == 0)
	for _, a := range cmd.Assigns {
		w.remember(a, at, len(cmd.Args) == 0)
	}
	redirects, in := w.redirects(redirs, *at)
	inner := *at
	if in.kind != inherited {
		inner.input = in
	}
	if len(words) > 0 || len(assigns) > 0 || len(redirects) > 0 {
		w.run(Command{Words: words, Assigns: assigns, Redirects: redirects, Source: w.source(cmd, redirs)}, inner)
	}
	w.suggest(words, inner)
	at.moved = at.dirs
	w.changeDir(words, at)
	w.learnLocal(words, at)
	if w.calls(words) {
		at.dirs = []string{Anywhere}
		at.moved, at.facts = at.dirs, nil
		w.script.Forgets = true
	}
}

// extended says whether a program's name has what is a pattern in it to zsh's option extended_glob.
func extended(word *sh.Word) bool {
	for i, p := range word.Parts {
		lit, ok := p.(*sh.Lit)
		if !ok {
			continue
		}
		for j := 0; j < len(lit.Value); j++ {
			switch ch := lit.Value[j]; {
			case ch == '\\':
				j++
			case ch == '^' || ch == '#' || ch == '~' && i+j > 0:
				return true
			}
		}
	}
	return false
}

// learnLocal notes what local NAME=1 gives a variable, where the grammar does not know local.
func (w *walker) learnLocal(words []Word, at *place) {
	if len(words) == 0 {
		return
	}
	if name, _ := words[0].Known(); name != "local" && name != "export" && name != "readonly" {
		return
	}
	for _, word := range words[1:] {
		text, _ := word.Known()
		if name, value, ok := strings.Cut(text, "="); ok && sh.ValidName(name) && IsNumber(value) {
			at.learn(name, false)
		}
	}
}

// calls says whether a command runs a function, an alias or other code in this shell, which may leave another
// directory and other values behind.
func (w *walker) calls(words []Word) bool {
	if len(words) == 0 {
		return false
	}
	name, known := words[0].Known()
	switch name {
	case "command", "builtin":
		return w.calls(words[1:])
	case "eval", "source", ".", "trap":
		return true
	}
	if !known || w.session != nil && w.session(name) {
		return true
	}
	return slices.ContainsFunc(w.script.Defines, func(d Definition) bool { return d.Name == name || d.Name == "" })
}

// sets notes that a variable is set which says where the shell is or whose it is, or which holds aliases or functions.
func (c *collector) sets(name string) {
	switch name {
	case "BASH_ALIASES", "aliases", "functions", "galiases", "saliases":
		c.define(Definition{Gone: true}, place{certain: true})
	case "HOME", "PWD", "OLDPWD":
		c.strays, c.script.Strays = true, true
	}
}

// declare adds declare, export and their kin, which the grammar knows.
func (w *walker) declare(cmd *sh.DeclClause, redirs []*sh.Redirect, at *place) {
	c := Command{Words: []Word{Text(cmd.Variant.Value)}}
	for _, a := range cmd.Args {
		w.nested(a, *at)
		if a.Naked && a.Name == nil {
			c.Words = append(c.Words, w.expand(a.Value)...)
			continue
		}
		if a.Naked {
			c.Words = append(c.Words, Text(a.Name.Value))
			if declares(c.Words, 'A') {
				at.learn(a.Name.Value, true)
			}
			if a.Index != nil {
				w.subscript(a.Name.Value, a.Index, at)
			}
			continue
		}
		if declares(c.Words, 'A') {
			at.learn(a.Name.Value, true)
		}
		c.Assigns = append(c.Assigns, w.assignment(a, *at, true)...)
		w.remember(a, at, !declares(c.Words, 'A'))
	}
	c.Redirects, _ = w.redirects(redirs, *at)
	w.declared(&c, *at)
	c.Own = len(c.Words)
	c.Source = w.source(cmd, redirs)
	w.add(c, *at)
	w.evaluatedWords(c.Words, *at)
}

// declares says whether options among words name an attribute.
func declares(words []Word, attribute byte) bool {
	return slices.ContainsFunc(words[1:], func(w Word) bool {
		p := w.Prefix()
		return strings.HasPrefix(p, "-") && strings.IndexByte(p, attribute) > 0
	})
}

// declared adds the assignments that only show at run time: export "$x" may be any.
func (c *collector) declared(cmd *Command, at place) {
	switch program, _ := cmd.Program(); {
	case program == "export" || program == "readonly":
	case program == "nameref" || program == "integer" || program == "float" || declares(cmd.Words, 'n') || declares(cmd.Words, 'i') ||
		c.dialect != Bash && (declares(cmd.Words, 'E') || declares(cmd.Words, 'F')):
		// From now on what is assigned to it is an expression, or a name.
		cmd.Code = "what is assigned to such a variable is evaluated"
	}
	if c.dialect != Bash && declares(cmd.Words, 'T') {
		c.spoil("") // it ties a variable to another
	}
	for _, word := range cmd.Words[1:] {
		if strings.HasPrefix(word.Prefix(), "-") {
			continue
		}
		if word.HasUnknown() {
			name, _, _ := strings.Cut(word.Prefix(), "=")
			c.spoil(name)
			c.sets(name)
			c.named(Text(name), at)
			cmd.Assigns = append(cmd.Assigns, Assignment{Value: word})
			continue
		}
		name, value, ok := strings.Cut(word.Prefix(), "=")
		name = strings.TrimSuffix(name, "+")
		c.named(Text(name), at)
		if ok {
			if !IsNumber(value) {
				c.spoil(name)
			}
			c.sets(name)
			cmd.Assigns = append(cmd.Assigns, Assignment{Name: name, Value: Text(value)})
		}
	}
}

func (w *walker) assignments(list []*sh.Assign, at place, stay bool) []Assignment {
	var out []Assignment
	for _, a := range list {
		w.nested(a, at)
		out = append(out, w.assignment(a, at, stay)...)
	}
	return out
}

// assignment reads NAME=value or NAME=(values). Values that stay are remembered for the rest of the text.
func (w *walker) assignment(a *sh.Assign, at place, stay bool) []Assignment {
	var values []Word
	switch {
	case a.Array != nil:
		for _, e := range a.Array.Elems {
			if e.Value != nil {
				values = append(values, w.expand(e.Value)...)
			}
		}
		if len(values) > 1 { // ${a[@]} is all of them
			values = append([]Word{joined(values)}, values...)
		}
	case a.Value != nil:
		values = append(values, w.word(a.Value))
	default:
		values = append(values, Word{})
	}
	w.sets(a.Name.Value)
	var out []Assignment
	for _, v := range values {
		v.Split = false // a value is never split
		if text, ok := v.Known(); ok && stay && !a.Append {
			w.value(a.Name.Value, text)
		}
		if a.Append {
			v.Pieces = append([]Piece{{Kind: Unknown, Text: "$" + a.Name.Value}}, v.Pieces...)
		}
		one := Assignment{Name: a.Name.Value, Value: v}
		w.assigned(one, at)
		if text, ok := v.Known(); ok && strings.Contains(text, "[") {
			w.evaluated(text, at)
		}
		out = append(out, one)
	}
	return out
}

func joined(words []Word) Word {
	var out Word
	for i, word := range words {
		if i > 0 {
			out.Pieces = append(out.Pieces, Piece{Text: " "})
		}
		out.Pieces = append(out.Pieces, word.Pieces...)
	}
	return out
}

// value remembers what a variable may be.
func (c *collector) value(name, text string) {
	if c.values == nil {
		c.values = make(map[string][]string)
	}
	if v := c.values[name]; len(v) < maxValues && !slices.Contains(v, text) {
		c.values[name] = append(v, text)
	}
}

// commandVariables hold a command that some program runs.
var commandVariables = []string{"BROWSER", "EDITOR", "FCEDIT", "GIT_ASKPASS", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_SEQUENCE_EDITOR", "GIT_SSH", "GIT_SSH_COMMAND",
	"LESSOPEN", "LESSCLOSE", "MANPAGER", "NULLCMD", "PAGER", "READNULLCMD", "RSYNC_CONNECT_PROG", "RSYNC_RSH", "SYSTEMD_EDITOR", "SYSTEMD_PAGER", "VISUAL"}

// assigned looks into values that a shell runs as code.
func (c *collector) assigned(a Assignment, at place) {
	switch a.Name {
	case "PROMPT_COMMAND", "PS0", "PS1", "PS2", "PS3", "PS4", "ENV", "BASH_ENV":
	case "PROMPT", "PROMPT2", "PROMPT3", "PROMPT4", "RPROMPT", "RPROMPT2", "RPS1", "RPS2", "SPROMPT", "prompt": // zsh's
	default:
		if Number(a.Name) { // zsh and the kinds of ksh take its value for an expression
			if text, ok := a.Value.Known(); ok {
				c.expression(text, at)
			} else {
				c.spoil(a.Name)
			}
			return
		}
		if slices.Contains(commandVariables, a.Name) {
			if text, ok := a.Value.Known(); ok {
				at.possible = true
				at.via = append(slices.Clone(at.via), a.Name)
				_ = c.codeAt(strings.TrimLeft(text, "|-"), POSIX, at) // a guess that cannot be read is none
			}
			return
		}
		if program, ok := optionVariables[a.Name]; ok {
			c.options(program, a, at)
			return
		}
		if !strings.HasPrefix(a.Name, "BASH_FUNC_") {
			return
		}
	}
	text, ok := a.Value.Known()
	if strings.HasPrefix(a.Name, "BASH_FUNC_") {
		if !ok || c.codeAt("f "+text, Bash, at) != nil {
			c.undecidable("it is a function that only shows at run time", at)
		}
		return
	}
	if !ok || !strings.HasPrefix(a.Name, "PROMPT_COMMAND") && !strings.ContainsAny(text, "$`") {
		return // that the variable is set is judged by itself
	}
	at.via = append(slices.Clone(at.via), a.Name)
	at.input, at.certain = input{}, false
	if a.Name != "PROMPT_COMMAND" {
		text = ": \"" + strings.ReplaceAll(text, `"`, `\"`) + "\""
	}
	if err := c.codeAt(text, c.dialect, at); err != nil {
		c.add(Command{Code: "its code cannot be read"}, at)
	}
}

// optionVariables hold options that a program takes before those that it is given.
var optionVariables = map[string]string{"LESS": "less", "MAKEFLAGS": "make", "NODE_OPTIONS": "node", "PERL5OPT": "perl", "RUBYOPT": "ruby", "TAR_OPTIONS": "tar", "ZIPOPT": "zip"}

// options looks for commands in a variable's options: what they run may be denied, and code makes the variable undecidable.
func (c *collector) options(program string, a Assignment, at place) {
	text, ok := a.Value.Known()
	if !ok {
		return // that it is set is judged by itself
	}
	at.possible = true
	at.via = append(slices.Clone(at.via), a.Name)
	first, undecided := len(c.script.Commands), at
	undecided.possible = false
	words := []Word{Text(program)}
	for _, field := range strings.Fields(strings.ReplaceAll(text, `\ `, " ")) {
		words = append(words, Text(field))
	}
	if split, readable := splitString(text); readable {
		words = append(words[:1], split...)
	}
	c.run(Command{Words: words}, at)
	for i, cmd := range c.script.Commands[first:] {
		if i > 0 || cmd.Code != "" && (cmd.CodeIn == InArguments || !cmd.Input) {
			c.undecidable("the options in "+a.Name+" hold code", undecided)
			return
		}
	}
}

// suggest adds the commands that words become if their variables hold what the text itself puts into them.
func (c *collector) suggest(words []Word, at place) {
	if !slices.ContainsFunc(words, Word.HasUnknown) {
		return
	}
	at.possible = true
	for k := range maxValues {
		out, used, more := c.substitute(words, k)
		if used && len(out) > 0 {
			c.run(Command{Words: out}, at)
		}
		if !more {
			return
		}
	}
}

// substitute puts the k-th of the values that variables may have into words.
func (c *collector) substitute(words []Word, k int) (out []Word, used, more bool) {
	for _, w := range words {
		cur := Word{Quoted: w.Quoted}
		for _, p := range w.Pieces {
			values := c.values[strings.TrimPrefix(p.Text, "$")]
			if p.Kind == Unknown && p.Text == "$IFS" && len(values) == 0 {
				values = []string{" "}
			}
			if p.Kind != Unknown || len(values) == 0 {
				cur.Pieces = append(cur.Pieces, p)
				cur.Split = cur.Split || p.Kind != Literal && w.Split
				continue
			}
			used = true
			more = more || k+1 < len(values)
			value := values[min(k, len(values)-1)]
			if !w.Split {
				cur.Pieces = append(cur.Pieces, Piece{Text: value})
				continue
			}
			for i, field := range splitFields(value) {
				if i > 0 && len(cur.Pieces) > 0 {
					out = append(out, cur)
					cur = Word{}
				}
				if field != "" {
					cur.Pieces = append(cur.Pieces, Piece{Text: field})
				}
			}
		}
		if len(cur.Pieces) > 0 || len(w.Pieces) == 0 {
			out = append(out, cur)
		}
	}
	return out, used, more
}

// splitFields splits at blanks; blanks at the ends leave an empty field there.
func splitFields(s string) []string {
	out := strings.Fields(s)
	const blanks = " \t\n"
	if s != "" && strings.IndexByte(blanks, s[0]) >= 0 {
		out = append([]string{""}, out...)
	}
	if s != "" && strings.IndexByte(blanks, s[len(s)-1]) >= 0 {
		out = append(out, "")
	}
	return out
}

// changeDir follows cd.
func (w *walker) changeDir(words []Word, at *place) {
	if len(words) == 0 {
		return
	}
	switch name, _ := words[0].Known(); name {
	case "builtin", "command":
		w.changeDir(words[1:], at)
		return
	case "cd", "chdir":
	case "pushd", "popd":
		at.moved = []string{Anywhere}
		at.dirs = at.moved
		return
	default:
		return
	}
	args := words[1:]
	for len(args) > 0 {
		if s, ok := args[0].Known(); !ok || s != "-P" && s != "-L" && s != "-e" && s != "-@" && s != "--" {
			break
		}
		args = args[1:]
	}
	at.moved = w.cdTo(args, at.dirs)
	if len(args) == 0 && w.strays {
		at.moved = []string{Anywhere}
	}
	at.dirs = union(at.dirs, at.moved)
}

func (w *walker) cdTo(args []Word, dirs []string) []string {
	if _, set := w.values["HOME"]; set && len(args) == 0 {
		return []string{Anywhere}
	}
	return moveTo(args, dirs)
}

func moveTo(args []Word, dirs []string) []string {
	if len(args) == 0 {
		return []string{"~"}
	}
	text, ok := args[0].Known()
	switch {
	case len(args) > 1:
		return []string{Anywhere}
	case ok && strings.HasPrefix(text, "/"):
		return []string{text}
	case ok && text != "-" && text != "":
		var out []string
		for _, d := range dirs {
			if d == Anywhere {
				return []string{Anywhere}
			}
			out = append(out, d+"/"+text)
		}
		return out
	case !ok && len(args[0].Pieces) > 0 && args[0].Pieces[0].Kind == Home:
		rest := Word{Pieces: args[0].Pieces[1:]}
		if t, ok := rest.Known(); ok && (t == "" || t[0] == '/') {
			return []string{"~" + t}
		}
	}
	return []string{Anywhere}
}

// source is the text of a simple command.
func (w *walker) source(n sh.Node, redirs []*sh.Redirect) string {
	from, to := n.Pos().Offset(), n.End().Offset()
	for _, r := range redirs {
		from = min(from, r.Pos().Offset())
		to = max(to, r.Word.End().Offset())
	}
	if from > to || int(to) > len(w.text) {
		return ""
	}
	return w.text[from:to]
}
