package syntax

import (
	"errors"
	"slices"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// collector gathers a script's commands.
type collector struct {
	dialect Dialect
	top     bool
	script  Script
	words   int
	read    int // bytes of code
	depth   int
	err     error
	values  map[string][]string // what variables may hold, as far as the text itself says
	spoilt  map[string]bool     // variables that may hold other than numbers
	relied  map[string]place    // where variables were taken for numbers
	session func(string) bool   // says whether a name has been given another meaning before; nil for none
	numbers []string            // variables that hold numbers when the text begins
	strays  bool                // HOME or PWD is set, so that ~ and $PWD may be anything
}

// place is where a command stands.
type place struct {
	via      []string
	dirs     []string // that it may run in
	moved    []string // the same if the last command went well
	function string
	input    input
	possible bool
	certain  bool // what it defines holds for what follows
	outside  bool // run by a program, not by a shell
	other    bool // run by another shell
	facts    *fact
}

// input is what a command's standard input is.
type input struct {
	kind inputKind
	code []string // literal texts that it may be
}

type inputKind uint8

const (
	inherited inputKind = iota
	piped               // another command's output, or a file
	literal             // exactly code[0]
)

func (c *collector) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// code adds the commands of a text. Every grammar that the text may be read by has its say; one must be able to.
func (c *collector) code(text string, dialect Dialect) error {
	at := place{dirs: []string{Here}, moved: []string{Here}, certain: true}
	c.known(&at)
	return c.codeAt(text, dialect, at)
}

func (c *collector) codeAt(text string, dialect Dialect, at place) error {
	if strings.ContainsAny(text, "\x00\r") {
		return ErrUnparsable // the parser skips them, shells do not
	}
	if c.depth++; c.depth > maxDepth {
		return ErrTooDeep
	}
	defer func() { c.depth-- }()
	if c.read += len(text); c.read > maxCode {
		c.fail(ErrTooMany)
	}
	if c.err != nil {
		return c.err
	}
	at.other = at.other || at.outside
	at.outside = false // it is a shell that reads code
	if dialect == Fish {
		return c.fish(text, at)
	}
	if strings.Contains(text, "$\\\n") { // which is one with what begins the next row, and to the parser is not
		c.undecidable("a $ goes on in the next row", at)
	}
	var first error
	good := false
	start := len(c.script.Commands)
	for _, lang := range variants(text, dialect) {
		f, err := parseFile(text, lang)
		if err != nil {
			if first == nil || errors.Is(err, ErrTooDeep) {
				first = err
			}
			continue
		}
		w := walker{collector: c, lang: lang, text: text}
		if c.top && c.depth == 1 {
			w.first(f.Stmts)
		}
		inner := at
		second := len(c.script.Commands)
		w.stmts(f.Stmts, &inner)
		if good && alike(c.script.Commands[start:second], c.script.Commands[second:]) {
			c.script.Commands = c.script.Commands[:second]
		}
		good = true
	}
	if good && errors.Is(first, ErrIncomplete) {
		c.undecidable("whether the command is finished depends on the shell", at)
	}
	if good && !errors.Is(first, ErrTooDeep) {
		return nil
	}
	return first
}

// alike says whether two readings found the same commands.
func alike(a, b []Command) bool {
	return slices.EqualFunc(a, b, func(x, y Command) bool {
		return x.Code == y.Code && x.Possible == y.Possible && x.Shell == y.Shell && slices.Equal(x.Dirs, y.Dirs) && x.String() == y.String()
	})
}

// walker goes through the tree of one reading.
type walker struct {
	*collector
	lang  sh.LangVariant
	text  string
	level int
}

func (w *walker) stmts(list []*sh.Stmt, at *place) {
	for _, s := range list {
		w.stmt(s, at)
	}
}

// apart walks statements that may run or not: what they do to the directory is only a possibility afterwards.
func (w *walker) apart(list []*sh.Stmt, at *place) {
	before, certain, facts := at.dirs, at.certain, at.facts
	at.certain = false
	w.stmts(list, at)
	at.certain, at.facts = certain, facts
	at.dirs = union(before, at.dirs)
	at.moved = at.dirs
}

// within walks statements of a shell of their own.
func (w *walker) within(list []*sh.Stmt, at place) {
	at.certain = false
	w.stmts(list, &at)
}

func (w *walker) stmt(s *sh.Stmt, at *place) {
	if w.err != nil || s == nil {
		return
	}
	if w.level++; w.level > 10*maxDepth {
		w.fail(ErrTooDeep)
	}
	defer func() { w.level-- }()
	if s.Background || s.Coprocess || s.Disown {
		own := *at
		own.certain = false
		at = &own
	}
	switch cmd := s.Cmd.(type) {
	case *sh.CallExpr:
		w.call(cmd, s.Redirs, at)
		return
	case *sh.DeclClause:
		w.declare(cmd, s.Redirs, at)
		at.moved = at.dirs
		return
	}
	redirects, in := w.redirects(s.Redirs, *at)
	if len(redirects) > 0 {
		w.add(Command{Redirects: redirects}, *at)
	}
	body := *at
	if in.kind != inherited {
		body.input = in
	}
	w.compound(s.Cmd, &body)
	at.dirs, at.moved, at.facts = body.dirs, body.moved, body.facts
}

func (w *walker) compound(cmd sh.Command, at *place) {
	switch cmd := cmd.(type) {
	case *sh.BinaryCmd:
		w.binary(cmd, at)
	case *sh.Block:
		w.stmts(cmd.Stmts, at)
	case *sh.Subshell:
		w.within(cmd.Stmts, *at)
		at.moved = at.dirs
	case *sh.IfClause:
		w.ifClause(cmd, at)
	case *sh.WhileClause:
		w.loop(at, func() { w.stmts(cmd.Cond, at); w.apart(cmd.Do, at) })
	case *sh.ForClause:
		w.forClause(cmd, at)
	case *sh.CaseClause:
		w.nested(cmd.Word, *at)
		for _, item := range cmd.Items {
			for _, p := range item.Patterns {
				w.nested(p, *at)
			}
			w.apart(item.Stmts, at)
		}
	case *sh.FuncDecl:
		w.function(cmd, *at)
	case *sh.TimeClause:
		if cmd.Stmt != nil {
			w.stmt(timed(cmd.Stmt), at)
		}
	case *sh.CoprocClause:
		own := *at
		own.input, own.certain = input{kind: piped}, false
		w.stmt(cmd.Stmt, &own)
	case *sh.TestClause:
		w.nested(cmd.X, *at)
		w.test(cmd.X, *at)
	case *sh.ArithmCmd:
		w.nested(cmd.X, *at)
		w.arithmetic(cmd.X, *at)
		w.arith(cmd.X, at)
	case *sh.LetClause:
		for _, x := range cmd.Exprs {
			w.nested(x, *at)
			w.arithmetic(x, *at)
			w.arith(x, at)
		}
	case nil:
	default:
		w.fail(ErrUnparsable)
	}
}

// timed takes off the -- that may stand between time and what it times: to the parser that is the program.
func timed(s *sh.Stmt) *sh.Stmt {
	out := *s
	switch cmd := s.Cmd.(type) {
	case *sh.BinaryCmd:
		left := *cmd
		left.X = timed(cmd.X)
		out.Cmd = &left
	case *sh.CallExpr:
		if len(cmd.Assigns) > 0 || len(cmd.Args) < 2 || cmd.Args[0].Lit() != "--" {
			return s
		}
		rest := *cmd
		for rest.Args = cmd.Args[1:]; len(rest.Args) > 1 && rest.Args[0].Lit() == "!"; {
			rest.Args = rest.Args[1:]
		}
		out.Cmd = &rest
	}
	return &out
}

// binary walks pipelines and and-or lists, which the parser nests to the left, as deep as they are long.
func (w *walker) binary(cmd *sh.BinaryCmd, at *place) {
	type part struct {
		op   sh.BinCmdOperator
		stmt *sh.Stmt
	}
	parts := []part{{cmd.Op, cmd.Y}}
	left := cmd.X
	for {
		b, ok := left.Cmd.(*sh.BinaryCmd)
		if !ok || len(left.Redirs) > 0 || pipes(b.Op) != pipes(cmd.Op) {
			break
		}
		parts = append(parts, part{b.Op, b.Y})
		left = b.X
	}
	slices.Reverse(parts)
	if pipes(cmd.Op) {
		first := *at
		first.certain = false
		w.stmt(left, &first)
		before := left
		for _, p := range parts {
			next := *at
			next.certain = false
			next.input = input{kind: piped, code: w.printed(before)}
			w.stmt(p.stmt, &next)
			before = p.stmt
		}
		return
	}
	w.stmt(left, at)
	facts := at.facts // of those that ran if this one does
	for _, p := range parts {
		right := *at
		right.certain = false
		if p.op == sh.AndStmt {
			right.dirs = at.moved // it only runs where the cd before it went well
			right.facts = facts
		}
		w.stmt(p.stmt, &right)
		facts = at.facts
		switch {
		case p.op == sh.AndStmt:
			facts = right.facts
			at.moved = right.moved
			at.dirs = union(at.dirs, right.dirs)
		case leaves(p.stmt):
			at.dirs = at.moved // cd DIR || exit
		default:
			at.moved = union(at.moved, right.moved)
			at.dirs = union(at.dirs, right.dirs)
		}
	}
}

// leaves says whether a statement ends the shell or function.
func leaves(s *sh.Stmt) bool {
	call, ok := s.Cmd.(*sh.CallExpr)
	if !ok || len(call.Args) == 0 || s.Background {
		return false
	}
	name := call.Args[0].Lit()
	return name == "exit" || name == "return"
}

func pipes(op sh.BinCmdOperator) bool { return op == sh.Pipe || op == sh.PipeAll }

func (w *walker) ifClause(cmd *sh.IfClause, at *place) {
	for ; cmd != nil; cmd = cmd.Else {
		w.stmts(cmd.Cond, at)
		w.apart(cmd.Then, at)
	}
}

// loop walks a body that may run again in the directory that it leaves behind.
func (w *walker) loop(at *place, body func()) {
	before := at.dirs
	body()
	if !slices.Equal(before, at.dirs) {
		at.dirs = []string{Anywhere}
		body()
	}
}

func (w *walker) forClause(cmd *sh.ForClause, at *place) {
	switch loop := cmd.Loop.(type) {
	case *sh.WordIter:
		numbers := true
		for _, item := range loop.Items {
			w.nested(item, *at)
			for _, word := range w.expandSource(item) {
				numbers = numbers && w.number(word.Parts, at)
			}
			for _, word := range w.expand(item) {
				if text, ok := word.Known(); ok {
					w.value(loop.Name.Value, text)
				}
			}
		}
		w.add(Command{Assigns: []Assignment{{Name: loop.Name.Value, Value: unknown("…")}}}, *at)
		w.sets(loop.Name.Value)
		if numbers && len(loop.Items) > 0 && !cmd.Select {
			inner := *at
			inner.learn(loop.Name.Value, false)
			defer func(before *fact) { at.facts = before }(at.facts)
			at.facts = inner.facts
		} else {
			w.spoil(loop.Name.Value)
		}
	case *sh.CStyleLoop:
		w.nested(loop, *at)
		w.arithmetic(loop, *at)
		for _, x := range []sh.ArithmExpr{loop.Init, loop.Cond, loop.Post} {
			if x != nil {
				w.arith(x, at)
			}
		}
	}
	w.loop(at, func() { w.apart(cmd.Do, at) })
}

// function walks the body of a function: it is judged where it is defined.
func (w *walker) function(cmd *sh.FuncDecl, at place) {
	names := cmd.Names
	if cmd.Name != nil {
		names = append(names, cmd.Name)
	}
	body := at
	body.input, body.certain = input{}, false
	for _, n := range names {
		w.define(Definition{Name: n.Value, Code: w.source(cmd.Body, nil)}, at)
		body.function = n.Value
	}
	if len(names) > 0 {
		body.dirs = []string{Anywhere}
	}
	w.stmt(cmd.Body, &body)
}

func (c *collector) define(d Definition, at place) {
	d.Unsure, d.At = !at.certain, len(c.script.Commands)
	if c.words++; c.words > maxWords {
		c.fail(ErrTooMany)
	}
	c.script.Defines = append(c.script.Defines, d)
}

// nested walks the substitutions inside a word, an arithmetic expression or a test.
func (w *walker) nested(n sh.Node, at place) {
	sh.Walk(n, func(n sh.Node) bool {
		switch n := n.(type) {
		case *sh.CmdSubst:
			in := at
			in.input = input{}
			w.within(n.Stmts, in)
			return false
		case *sh.ProcSubst:
			in := at
			if n.Op != sh.CmdIn {
				in.input = input{kind: piped}
			}
			w.within(n.Stmts, in)
			return false
		case *sh.DblQuoted:
			w.literalQuotes(n.Parts, at)
		case *sh.ExtGlob: // the parser leaves what stands in it as text
			if n.Pattern != nil && strings.ContainsAny(n.Pattern.Value, "$`") {
				in := at
				in.input, in.certain = input{}, false
				if strings.ContainsAny(n.Pattern.Value, `"'\`) || w.codeAt(`: "`+n.Pattern.Value+`"`, w.dialect, in) != nil {
					w.undecidable("its pattern may run code", at)
				}
			}
		case *sh.Word:
			w.zshWord(n, at)
		case *sh.ArithmExp:
			w.arithmetic(n.X, at)
			w.arith(n.X, &at)
		case *sh.BinaryTest, *sh.UnaryTest:
			w.comparison(n, &at)
		case *sh.ParamExp:
			w.expansion(n, &at)
			if n.Param != nil && n.Exp != nil && (n.Exp.Op == sh.AssignUnset || n.Exp.Op == sh.AssignUnsetOrNull) {
				w.add(Command{Assigns: []Assignment{{Name: n.Param.Value, Value: unknown("…")}}}, at)
				w.sets(n.Param.Value)
				w.spoil(n.Param.Value)
				if n.Exp.Word != nil {
					w.arithmetic(n.Exp.Word, at) // for whatever reads the variable later
				}
			}
		}
		return true
	})
}

// literalQuotes judges the single quotes of a ${x-'…'} in double quotes or in a here-document. Shells take them for text
// there, in which $(…) runs, } and " end what they end; the parser takes them for quotes.
func (w *walker) literalQuotes(parts []sh.WordPart, at place) {
	for _, part := range parts {
		p, ok := part.(*sh.ParamExp)
		if !ok {
			continue
		}
		if p.NestedParam != nil {
			w.literalQuotes([]sh.WordPart{p.NestedParam}, at)
		}
		var word *sh.Word
		switch {
		case p.Exp != nil && p.Exp.Op != sh.RemSmallPrefix && p.Exp.Op != sh.RemLargePrefix && p.Exp.Op != sh.RemSmallSuffix && p.Exp.Op != sh.RemLargeSuffix:
			word = p.Exp.Word
		case p.Repl != nil && w.dialect == Zsh:
			word = p.Repl.With
		}
		if word == nil {
			continue
		}
		w.literalQuotes(word.Parts, at)
		for _, inner := range word.Parts {
			q, ok := inner.(*sh.SglQuoted)
			if !ok || !strings.ContainsAny(q.Value, "}\"$`") {
				continue
			}
			in := at
			in.input, in.certain = input{}, false
			if strings.ContainsAny(q.Value, "}\"") || w.codeAt(`: "`+q.Value+`"`, w.dialect, in) != nil {
				w.undecidable("where its quotes end depends on the shell", at)
			}
		}
	}
}

// union joins two sets of directories; more than four are anywhere.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, d := range b {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	if len(out) > 4 {
		return []string{Anywhere}
	}
	return out
}

// add takes a command into the list, once.
func (c *collector) add(cmd Command, at place) {
	cmd.Via, cmd.Dirs, cmd.Function = at.via, at.dirs, at.function
	cmd.Possible = cmd.Possible || at.possible
	cmd.Outside, cmd.Other, cmd.Fed = at.outside, at.other, at.input.kind != inherited
	if c.words += 1 + len(cmd.Words); c.words > maxWords || len(c.script.Commands) >= maxCommands {
		c.fail(ErrTooMany)
	}
	c.script.Commands = append(c.script.Commands, cmd)
}
