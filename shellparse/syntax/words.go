package syntax

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	sh "mvdan.cc/sh/v3/syntax"
)

// maxBraces is how many words a brace expansion may turn into before it counts as unknown.
const maxBraces = 1000

func unknown(source string) Word {
	return Word{Pieces: []Piece{{Kind: Unknown, Text: source}}, Split: true}
}

// expand turns a word of the tree into the words that the shell makes of it.
func (w *walker) expand(word *sh.Word) []Word {
	switch n := countBraces(word); {
	case n > maxNestedBraces || w.dialect == Zsh && !balanced(word):
		return []Word{unknown("{…}")}
	case n == 0:
		return []Word{w.word(word)}
	}
	split := &sh.Word{Parts: slices.Clone(word.Parts)}
	if !sh.SplitBraces(split) {
		return []Word{w.word(word)}
	}
	var out []Word
	for _, alternative := range braces(split, maxBraces, false) {
		out = append(out, w.word(alternative))
	}
	if len(out) == 0 || len(out) > maxBraces || w.lang == sh.LangPOSIX && w.dialect == POSIX {
		// Too many; or a shell that may expand braces or not: the other reading has them expanded.
		if w.lang == sh.LangPOSIX {
			return []Word{w.word(word)}
		}
		return []Word{unknown(w.word(word).String())}
	}
	return out
}

// maxNestedBraces is how many braces a word may open before it counts as unknown: taking unclosed ones apart takes
// the parser time that grows with their square or worse.
const maxNestedBraces = 30

// balanced says whether a word closes every brace that it opens: shells differ in what they make of one that does not.
func balanced(word *sh.Word) bool {
	n := 0
	for _, p := range word.Parts {
		if l, ok := p.(*sh.Lit); ok {
			n += strings.Count(l.Value, "{") - strings.Count(l.Value, "}")
		}
	}
	return n == 0
}

func countBraces(word *sh.Word) int {
	n := 0
	for _, p := range word.Parts {
		if l, ok := p.(*sh.Lit); ok {
			n += strings.Count(l.Value, "{")
		}
	}
	return n
}

// braces lists the words that a word with brace expressions stands for; nil when they are too many. The last of the
// expressions varies fastest, in fish the first.
func braces(word *sh.Word, limit int, fish bool) []*sh.Word {
	out := []*sh.Word{{}}
	for _, part := range word.Parts {
		b, ok := part.(*sh.BraceExp)
		if !ok {
			for _, o := range out {
				o.Parts = append(o.Parts, part)
			}
			continue
		}
		alternatives := braceElements(b, limit, fish)
		if len(alternatives) == 0 || len(alternatives)*len(out) > limit {
			return nil
		}
		var next []*sh.Word
		join := func(o, a *sh.Word) { next = append(next, &sh.Word{Parts: slices.Concat(o.Parts, a.Parts)}) }
		if fish {
			each(alternatives, out, func(a, o *sh.Word) { join(o, a) })
		} else {
			each(out, alternatives, join)
		}
		out = next
	}
	return out
}

// each goes through all pairs, the second of a pair varying fastest.
func each(first, second []*sh.Word, do func(a, b *sh.Word)) {
	for _, a := range first {
		for _, b := range second {
			do(a, b)
		}
	}
}

func braceElements(b *sh.BraceExp, limit int, fish bool) []*sh.Word {
	var out []*sh.Word
	if !b.Sequence {
		for _, e := range b.Elems {
			inner := braces(e, limit, fish)
			if inner == nil {
				return nil
			}
			out = append(out, inner...)
		}
		return out
	}
	from, to := b.Elems[0].Lit(), b.Elems[1].Lit()
	step := 1
	if len(b.Elems) > 2 {
		n, err := strconv.Atoi(b.Elems[2].Lit())
		if err != nil {
			return nil
		}
		step = max(n, -n, 1)
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	chars := err1 != nil || err2 != nil
	if chars {
		if len(from) != 1 || len(to) != 1 {
			return nil
		}
		first, last = int(from[0]), int(to[0])
	}
	if n := max(last, first) - min(last, first); n < 0 || n/step > limit {
		return nil
	}
	width := 0
	if !chars && (zeroPadded(from) || zeroPadded(to)) {
		width = max(len(from), len(to))
	}
	if last < first {
		step = -step
	}
	for n := first; step > 0 && n <= last || step < 0 && n >= last; n += step {
		text := strconv.Itoa(n)
		if chars {
			text = string(rune(n))
		}
		for len(text) < width {
			text = "0" + text
		}
		out = append(out, &sh.Word{Parts: []sh.WordPart{&sh.SglQuoted{Value: text}}})
	}
	return out
}

func zeroPadded(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return len(s) > 1 && s[0] == '0'
}

// word removes the quoting of one word.
func (w *walker) word(word *sh.Word) Word {
	b := wordBuilder{walker: w}
	b.parts(word.Parts, false)
	return b.done()
}

// wordBuilder puts a word together out of pieces.
type wordBuilder struct {
	*walker
	text strings.Builder // literal text that is not a piece yet
	word Word
}

func (b *wordBuilder) piece(k Kind, text string) {
	b.flush()
	b.word.Pieces = append(b.word.Pieces, Piece{Kind: k, Text: text})
}

func (b *wordBuilder) flush() {
	if b.text.Len() > 0 {
		b.word.Pieces = append(b.word.Pieces, Piece{Kind: Literal, Text: b.text.String()})
		b.text.Reset()
	}
}

func (b *wordBuilder) done() Word {
	b.flush()
	return b.word
}

func (b *wordBuilder) parts(parts []sh.WordPart, quoted bool) {
	for i, part := range parts {
		if b.foreign(parts[i:]) {
			b.piece(Unknown, "$…")
			b.word.Split = b.word.Split || !quoted
			continue
		}
		b.part(part, quoted, i == 0 && !quoted)
	}
}

func (b *wordBuilder) part(part sh.WordPart, quoted, first bool) {
	switch p := part.(type) {
	case *sh.Lit:
		if quoted {
			b.doubleQuoted(p.Value)
		} else {
			b.bare(p.Value, first)
		}
	case *sh.SglQuoted:
		b.word.Quoted = true
		if !p.Dollar {
			b.text.WriteString(p.Value)
			return
		}
		text, ok := decodeDollar(p.Value, b.dialect)
		if !ok {
			b.piece(Unknown, "$'"+p.Value+"'")
			return
		}
		b.text.WriteString(text)
	case *sh.DblQuoted:
		b.word.Quoted = true
		if p.Dollar { // translated by the locale's catalogue
			b.piece(Unknown, `$"…"`)
			return
		}
		b.parts(p.Parts, true)
	case *sh.ParamExp:
		b.parameter(p, quoted, first)
	case *sh.ExtGlob:
		b.piece(Star, p.Op.String()+p.Pattern.Value+")")
	case *sh.ProcSubst:
		b.piece(Unknown, "<(…)") // /dev/fd/N
	case *sh.ArithmExp:
		b.piece(Unknown, "$((…))")
		b.word.Split = b.word.Split || !quoted
	default:
		b.piece(Unknown, "$(…)")
		b.word.Split = b.word.Split || !quoted
	}
}

// parameter adds $NAME and its kin.
func (b *wordBuilder) parameter(p *sh.ParamExp, quoted, first bool) {
	name, simple := simpleParameter(p)
	_, set := b.values[name]
	switch {
	case simple && name == "HOME" && first && !set && !b.strays:
		b.piece(Home, "$HOME")
		return
	case simple && name == "PWD" && first && !set && !b.strays:
		b.piece(WorkDir, "$PWD")
		return
	}
	shown := "${…}"
	if simple {
		shown = "$" + name
	}
	b.piece(Unknown, shown)
	if !quoted && b.dialect != Zsh || name == "@" || p.Index != nil || p.Excl || b.dialect == Zsh && !simple {
		b.word.Split = true
	}
}

func simpleParameter(p *sh.ParamExp) (string, bool) {
	if p.Param == nil || p.Flags != nil || p.Excl || p.Length || p.Width || p.IsSet || p.NestedParam != nil || p.Index != nil ||
		len(p.Modifiers) > 0 || p.Slice != nil || p.Repl != nil || p.Names != 0 || p.Exp != nil {
		return "", false
	}
	return p.Param.Value, true
}

// bare adds unquoted text: backslashes go, globs and a leading tilde are marked.
func (b *wordBuilder) bare(s string, first bool) {
	if first && s != "" && s[0] == '~' {
		name, _, _ := strings.Cut(s, "/")
		switch {
		case name == "~" && !b.strays:
			b.piece(Home, "~")
		case name == "~+" && !b.strays:
			b.piece(WorkDir, name)
		default:
			b.piece(Unknown, name)
		}
		s = s[len(name):]
	}
	if first && s != "" && s[0] == '=' && b.dialect == Zsh {
		b.piece(Unknown, "=") // =ls is the path of ls
		s = s[1:]
	}
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '\\' && i+1 < len(s):
			b.word.Quoted = true
			if i++; s[i] != '\n' {
				b.text.WriteByte(s[i])
			}
		case ch == '(' && b.dialect == Zsh: // a group, or qualifiers
			b.glob(Unknown, s[i:])
			return
		case ch == '*':
			b.glob(Star, "*")
		case ch == '?':
			b.glob(One, "?")
		case ch == '[':
			if n := classLength(s[i:]); n > 0 {
				b.glob(One, s[i:i+n])
				i += n - 1
				continue
			}
			b.text.WriteByte(ch)
		case ch == '!' && b.top && b.depth == 1 && (b.dialect == Bash || b.dialect == Zsh) && historyMark(s[i+1:]):
			b.script.History = true
			b.text.WriteByte(ch)
		default:
			b.text.WriteByte(ch)
		}
	}
}

func (b *wordBuilder) glob(k Kind, text string) {
	b.piece(k, text)
	b.word.Split = true
}

// classLength is the length of a bracket expression at the start of s, or 0.
func classLength(s string) int {
	i := 1
	if i < len(s) && (s[i] == '!' || s[i] == '^') {
		i++
	}
	if i < len(s) && s[i] == ']' {
		i++
	}
	if n := strings.IndexByte(s[min(i, len(s)):], ']'); n >= 0 {
		return i + n + 1
	}
	return 0
}

// historyMark says whether what follows a ! makes it a reference to an earlier line.
func historyMark(after string) bool {
	if after == "" {
		return false
	}
	switch after[0] {
	case ' ', '\t', '\n', '=', '(', '"':
		return false
	}
	return true
}

func (b *wordBuilder) doubleQuoted(s string) {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			i++
			if s[i] == '\n' {
				continue
			}
			b.text.WriteByte(s[i])
			continue
		}
		if s[i] == '!' && b.top && b.depth == 1 && (b.dialect == Bash || b.dialect == Zsh) && (i == 0 || s[i-1] != '\\') && historyMark(s[i+1:]) {
			b.script.History = true
		}
		b.text.WriteByte(s[i])
	}
}

// foreign says whether a $ that the parser took for text, and what follows it, are more to some shell. zsh and, where the
// locale has one byte a letter, bash count letters outside ASCII as part of a name; zsh knows $=, $^, $~ and $+, also
// before no name, and like others $[…]. And every shell takes a $ and a name together that end of one row and begin
// the next, with a backslash between them.
func (b *wordBuilder) foreign(parts []sh.WordPart) bool {
	if len(parts) < 2 {
		return false
	}
	dollar, ok := parts[0].(*sh.Lit)
	if !ok || dollar.Value != "$" {
		return false
	}
	if dollar.End().Offset()-dollar.Pos().Offset() > 1 {
		return true
	}
	after, ok := parts[1].(*sh.Lit)
	if !ok || after.Value == "" {
		return false
	}
	next := after.Value[0]
	return next >= utf8.RuneSelf || next == '[' || b.dialect == Zsh && strings.IndexByte("=^~+", next) >= 0
}

// decodeDollar decodes what stands in $'…'. A backslash before a character that needs none stays in bash and goes in zsh
// and the kinds of ksh.
func decodeDollar(s string, dialect Dialect) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if plain := strings.IndexByte(`abeEfnrtv\'"?`, s[i]); plain >= 0 {
			b.WriteByte("\a\b\x1b\x1b\f\n\r\t\v\\'\"?"[plain])
			continue
		}
		var n int
		switch s[i] {
		case 'x':
			n = number(&b, s[i+1:], 16, 2, false)
		case 'u':
			n = number(&b, s[i+1:], 16, 4, true)
		case 'U':
			n = number(&b, s[i+1:], 16, 8, true)
		case 'c':
			if i+1 >= len(s) {
				return "", false
			}
			b.WriteByte(s[i+1] & 0x1f)
			n = 1
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n = number(&b, s[i:], 8, 3, false) - 1
		default:
			switch dialect {
			case Zsh:
			case Bash:
				b.WriteByte('\\')
			default:
				return "", false
			}
			b.WriteByte(s[i])
			continue
		}
		if n < 0 {
			return "", false
		}
		i += n
	}
	// bash ends the string at a NUL, other shells do not: nobody writes one in good faith.
	return b.String(), !strings.ContainsRune(b.String(), 0)
}

// number decodes up to max digits at the start of s and returns how many there were, or -1.
func number(b *strings.Builder, s string, base, most int, char bool) int {
	n := 0
	for n < len(s) && n < most {
		if _, err := strconv.ParseUint(s[n:n+1], base, 8); err != nil {
			break
		}
		n++
	}
	v, err := strconv.ParseUint(s[:n], base, 32)
	switch {
	case err != nil || char && v > utf8.MaxRune:
		return -1
	case char:
		b.WriteRune(rune(v))
	default:
		b.WriteByte(byte(v))
	}
	return n
}
