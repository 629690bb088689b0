package syntax

import (
	"slices"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// evaluating are builtins whose arguments may be names with a subscript: what stands in it is run, however it was quoted.
var evaluating = []string{"test", "[", "let", "unset", "read", "getopts", "mapfile", "readarray", "wait", "printf", "declare", "typeset", "local", "export", "readonly"}

// evaluated looks into a text that a shell evaluates once more: a[$(rm x)] in arithmetic, as a variable's name or as the
// value of one that arithmetic reads later, and a=($(rm x)) given to declare.
func (c *collector) evaluated(text string, at place) {
	i := strings.IndexAny(text, "[(")
	if i < 0 || !strings.Contains(text[i:], "$(") && !strings.Contains(text[i:], "`") && !strings.Contains(text[i:], "@P}") {
		return
	}
	at.via = append(slices.Clone(at.via), "evaluation")
	at.input, at.certain = input{}, false
	if err := c.codeAt(`: "`+strings.ReplaceAll(text, `"`, `\"`)+`"`, c.dialect, at); err != nil {
		c.add(Command{Code: "what it evaluates cannot be read"}, at)
	}
}

// evaluatedWords does so for a builtin's arguments.
func (c *collector) evaluatedWords(words []Word, at place) {
	name, _ := words[0].Known()
	if !slices.Contains(evaluating, name) {
		return
	}
	args := words[1:]
	if name == "printf" { // -v NAME; the rest is text
		if len(args) == 0 || !strings.HasPrefix(args[0].Prefix(), "-v") {
			return
		}
		args = args[:min(2, len(args))]
	}
	for _, w := range args {
		if text, known := w.Known(); known {
			c.evaluated(text, at)
		}
	}
}

// arithmetic does so for what is quoted in an arithmetic expression.
func (w *walker) arithmetic(n sh.Node, at place) {
	sh.Walk(n, func(n sh.Node) bool {
		switch n := n.(type) {
		case *sh.Word:
			if text, known := w.word(n).Known(); known {
				w.evaluated(text, at)
			}
		case *sh.CmdSubst, *sh.ProcSubst:
			return false // walked by themselves
		}
		return true
	})
}

// test does so for the operands of [[ ]] that are names or numbers.
func (w *walker) test(n sh.Node, at place) {
	operand := func(x sh.TestExpr) {
		if word, ok := x.(*sh.Word); ok {
			if text, known := w.word(word).Known(); known {
				w.evaluated(text, at)
			}
		}
	}
	sh.Walk(n, func(n sh.Node) bool {
		switch n := n.(type) {
		case *sh.UnaryTest:
			if n.Op == sh.TsVarSet || n.Op == sh.TsRefVar {
				operand(n.X)
			}
		case *sh.BinaryTest:
			switch n.Op {
			case sh.TsEql, sh.TsNeq, sh.TsLeq, sh.TsGeq, sh.TsLss, sh.TsGtr:
				operand(n.X)
				operand(n.Y)
			}
		case *sh.CmdSubst, *sh.ProcSubst:
			return false
		}
		return true
	})
}
