package syntax

import (
	"strconv"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// Expand takes apart what a call of an alias or a function runs. The call is a command whose program is its name. It
// fails as Parse does, and with ErrUnparsable when the code is not known. Numbers are variables that hold numbers then.
func Expand(d Definition, call *Command, dialect Dialect, numbers []string) (*Script, error) {
	if d.Code == "" || len(d.Code) > MaxText {
		return nil, ErrUnparsable
	}
	c := &collector{dialect: dialect, numbers: numbers}
	at := place{dirs: call.Dirs, moved: call.Dirs, via: append(append([]string(nil), call.Via...), d.Name)}
	c.known(&at)
	if call.Fed {
		at.input.kind = piped
	}
	code := d.Code
	if d.Alias {
		code += written(call.Words[1:], dialect)
	} else {
		at.function = d.Name
		c.parameters(call.Words[1:])
	}
	if err := c.codeAt(code, dialect, at); err != nil {
		return nil, err
	}
	c.relyOn()
	return &c.script, c.err
}

// parameters notes what $1, $2 and $@ are.
func (c *collector) parameters(words []Word) {
	all := ""
	for i, w := range words {
		text, ok := w.Known()
		if !ok {
			return
		}
		c.value(strconv.Itoa(i+1), text)
		all += " " + text
	}
	if all != "" {
		c.value("@", all[1:])
		c.value("*", all[1:])
	}
}

// hole stands for what follows an alias while it is defined. It is a word like any other: each call is judged with its
// own words, among which one may be code.
const hole = "\ue900"

// fill puts a word in the place of the holes of the commands from index n on.
func (c *collector) fill(n int, word Word) {
	for i := n; i < len(c.script.Commands); i++ {
		cmd := &c.script.Commands[i]
		last := len(cmd.Words) - 1
		if last < 0 {
			continue
		}
		if t, ok := cmd.Words[last].Known(); ok && t == hole {
			cmd.Words = append(cmd.Words[:last:last], word)
			cmd.Source = ""
		}
	}
}

// rest is the source of words that are not known.
func rest(dialect Dialect) string {
	if dialect == Zsh {
		return " ${=unknown_}" // which is split there
	}
	return " $unknown_"
}

// written is the source of a call's words, to stand behind an alias.
func written(words []Word, dialect Dialect) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteByte(' ')
		if len(w.Pieces) == 0 {
			b.WriteString("''")
		}
		for i, p := range w.Pieces {
			name, variable := strings.CutPrefix(p.Text, "$")
			switch {
			case p.Kind == Literal && !w.Quoted && !strings.ContainsFunc(p.Text, needsQuotes):
				b.WriteString(p.Text)
			case p.Kind == Literal && dialect == Fish:
				b.WriteString("'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(p.Text) + "'")
			case p.Kind == Literal:
				b.WriteString("'" + strings.ReplaceAll(p.Text, "'", `'\''`) + "'")
			case p.Kind == Star:
				b.WriteByte('*')
			case p.Kind == One:
				b.WriteByte('?')
			case i == 0 && p.Kind == Home:
				b.WriteByte('~')
			case i == 0 && p.Kind == WorkDir:
				b.WriteString(`"$PWD"`)
			case w.Split && (!variable || !sh.ValidName(name)):
				b.WriteString(rest(dialect)[1:])
			case w.Split:
				b.WriteString("$" + name + `""`) // so that no letter of what follows belongs to the name
			case variable && sh.ValidName(name):
				b.WriteString(`"$` + name + `"`)
			default:
				b.WriteString(`"$unknown_"`)
			}
		}
	}
	return b.String()
}

func needsQuotes(c rune) bool {
	return c > 127 || !isWordByte(byte(c)) && strings.IndexByte("-+=./,:@%", byte(c)) < 0
}
