package syntax

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fishReader takes fish's language apart. Fish has no grammar in the parser that the other shells share; what matters
// here is where commands begin, what their words are, and whether the text is finished. Blocks are not nested into a
// tree: a keyword in front of a command is taken off, and what follows is a command like any other.
type fishReader struct {
	*collector
	text   string
	pos    int
	at     place
	open   int    // blocks that no end has closed yet
	nested byte   // what ends this reader: ")" of a substitution, "}" of a block, or 0
	fn     string // the function whose body this is
	fnOpen int    // open when it began
	fnFrom int
}

// fish adds the commands of a text in fish's language.
func (c *collector) fish(text string, at place) error {
	r := &fishReader{collector: c, text: text, at: at}
	if err := r.statements(); err != nil {
		return err
	}
	if r.pos < len(r.text) {
		return ErrUnparsable
	}
	if r.open > 0 {
		return ErrIncomplete
	}
	return nil
}

// fishStatement is a command while it is read.
type fishStatement struct {
	words     []Word
	redirects []Redirect
	input     input
	begin     int
	end       int
	follows   bool // an else stands before it
	depends   bool // it may not run: and, or, a pipe
}

func (r *fishReader) statements() error {
	var st fishStatement
	feed := input{}
	for r.err == nil {
		r.blanks()
		if r.pos >= len(r.text) {
			if r.nested != 0 {
				return ErrIncomplete
			}
			return r.command(&st, feed)
		}
		ch := r.text[r.pos]
		switch {
		case ch == r.nested && (ch == ')' || len(st.words) == 0):
			r.pos++
			return r.command(&st, feed)
		case ch == '#':
			for r.pos < len(r.text) && r.text[r.pos] != '\n' {
				r.pos++
			}
		case ch == '<' || ch == '>' || r.redirectAhead():
			if err := r.redirect(&st); err != nil {
				return err
			}
			st.end = r.pos
		case ch == ';' || ch == '\n' || ch == '&':
			if err := r.command(&st, feed); err != nil {
				return err
			}
			st, feed = fishStatement{depends: ch == '&'}, input{}
			r.pos++
		case ch == '|':
			r.pos++
			if strings.HasPrefix(r.text[r.pos:], "|") {
				r.pos++
				if err := r.command(&st, feed); err != nil {
					return err
				}
				st, feed = fishStatement{depends: true}, input{}
				continue
			}
			next := input{kind: piped, code: fishPrinted(st.words)}
			if err := r.command(&st, feed); err != nil {
				return err
			}
			st, feed = fishStatement{depends: true}, next
		case ch == ')':
			return ErrUnparsable
		case ch == '{' && len(st.words) == 0 && r.pos+1 < len(r.text) && strings.IndexByte(" \t\n;", r.text[r.pos+1]) >= 0:
			r.pos++
			if err := r.inside('}', r.at, input{}); err != nil {
				return err
			}
		default:
			if len(st.words) == 0 {
				st.begin = r.pos
			}
			words, err := r.word()
			if err != nil {
				return err
			}
			st.words = append(st.words, words...)
			st.end = r.pos
			r.keyword(&st)
		}
	}
	return r.err
}

// inside reads a substitution or a block from here to its end.
func (r *fishReader) inside(end byte, at place, in input) error {
	if r.depth++; r.depth > maxDepth {
		return ErrTooDeep
	}
	defer func() { r.depth-- }()
	at.input, at.certain = in, false
	inner := &fishReader{collector: r.collector, text: r.text, pos: r.pos, at: at, nested: end}
	err := inner.statements()
	r.pos = inner.pos
	if err == nil && inner.open > 0 {
		err = ErrUnparsable
	}
	return err
}

// blanks skips what stands before a word: in front of one fish takes all of Unicode's space for it, behind one it does not.
func (r *fishReader) blanks() {
	for r.pos < len(r.text) {
		ch, size := utf8.DecodeRuneInString(r.text[r.pos:])
		switch {
		case ch != '\n' && unicode.IsSpace(ch):
			r.pos += size
		case strings.HasPrefix(r.text[r.pos:], "\\\n"):
			r.pos += 2
		default:
			return
		}
	}
}

// keyword takes the keywords that begin a command off it.
func (r *fishReader) keyword(st *fishStatement) {
	if len(st.words) != 1 || st.words[0].Quoted {
		return
	}
	switch text, _ := st.words[0].Known(); text {
	case "if", "while", "begin":
		if !st.follows {
			r.open++
		}
		st.follows = false
	case "else":
		st.follows = true // else if opens nothing more
	case "and", "or", "not", "!", "time":
		st.depends = true
	default:
		return
	}
	st.words = nil
}

// command takes a finished statement.
func (r *fishReader) command(st *fishStatement, in input) error {
	if len(st.words) == 0 && len(st.redirects) == 0 {
		return nil
	}
	at := r.at
	at.function = r.fn
	at.certain = at.certain && r.open == 0 && !st.depends
	if in.kind != inherited {
		at.input = in
	}
	if st.input.kind != inherited {
		at.input = st.input
	}
	name := ""
	if len(st.words) > 0 && !st.words[0].Quoted {
		name, _ = st.words[0].Known()
	}
	switch name {
	case "end":
		r.end()
		st.words = nil
	case "for":
		r.open++
		r.forLoop(st.words[1:])
		st.words = nil
	case "switch":
		r.open++
		st.words = nil
	case "case":
		st.words = nil
	case "function":
		r.open++
		r.function(st.words[1:], at)
		st.words = nil
	}
	var assigns []Assignment
	for len(st.words) > 1 && isAssignment(st.words[0]) {
		n, _, _ := strings.Cut(st.words[0].Prefix(), "=")
		assigns = append(assigns, Assignment{Name: n, Value: cut(st.words[0], len(n)+1)})
		st.words = st.words[1:]
	}
	if len(st.words) == 0 {
		if len(st.redirects) > 0 {
			r.add(Command{Redirects: st.redirects}, at)
		}
		return r.err
	}
	r.run(Command{Words: st.words, Redirects: st.redirects, Assigns: assigns, Source: r.text[st.begin:st.end]}, at)
	r.suggest(st.words, at)
	moved := r.at
	w := walker{collector: r.collector}
	w.changeDir(st.words, &moved)
	r.at.dirs = union(r.at.dirs, moved.dirs)
	return r.err
}

func isAssignment(w Word) bool {
	name, _, ok := strings.Cut(w.Prefix(), "=")
	return ok && name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}

// cut is a word without its first n bytes, which are literal.
func cut(w Word, n int) Word {
	out := Word{Pieces: slices.Clone(w.Pieces), Quoted: w.Quoted}
	for n > 0 && len(out.Pieces) > 0 {
		text := out.Pieces[0].Text
		if n < len(text) {
			out.Pieces[0].Text = text[n:]
			break
		}
		n -= len(text)
		out.Pieces = out.Pieces[1:]
	}
	return out
}

func (r *fishReader) end() {
	r.open--
	if r.fn != "" && r.open == r.fnOpen {
		body := strings.TrimSuffix(strings.TrimRight(r.text[r.fnFrom:r.pos], "; \n"), "end")
		for i := range r.script.Defines {
			if r.script.Defines[i].Name == r.fn {
				r.script.Defines[i].Code = body
			}
		}
		r.fn = ""
	}
	if r.open < 0 {
		r.fail(ErrUnparsable)
	}
}

func (r *fishReader) forLoop(words []Word) {
	if len(words) < 2 {
		return
	}
	name, _ := words[0].Known()
	for _, w := range words[2:] {
		if text, ok := w.Known(); ok {
			r.value(name, text)
		}
	}
	r.add(Command{Assigns: []Assignment{{Name: name, Value: unknown("…")}}}, r.at)
}

// function notes a definition; its body is what follows, up to its end.
func (r *fishReader) function(words []Word, at place) {
	if len(words) == 0 {
		return
	}
	name, _ := words[0].Known()
	r.define(Definition{Name: name}, at)
	if r.fn == "" {
		r.fn, r.fnOpen, r.fnFrom = name, r.open-1, min(r.pos+1, len(r.text))
	}
}

// redirectAhead says whether a descriptor number or & stands in front of a redirection.
func (r *fishReader) redirectAhead() bool {
	if strings.HasPrefix(r.text[r.pos:], "&>") {
		return true
	}
	i := r.pos
	for i < len(r.text) && r.text[i] >= '0' && r.text[i] <= '9' {
		i++
	}
	return i > r.pos && i < len(r.text) && (r.text[i] == '>' || r.text[i] == '<')
}

func (r *fishReader) redirect(st *fishStatement) error {
	from := r.pos
	for r.pos < len(r.text) && r.text[r.pos] >= '0' && r.text[r.pos] <= '9' {
		r.pos++
	}
	if r.pos < len(r.text) && r.text[r.pos] == '&' {
		r.pos++
	}
	write := r.text[r.pos] == '>'
	for r.pos < len(r.text) && strings.IndexByte("<>?|", r.text[r.pos]) >= 0 {
		if r.text[r.pos] == '|' {
			return nil // 2>| pipes that descriptor
		}
		r.pos++
	}
	op := r.text[from:r.pos]
	if r.pos < len(r.text) && r.text[r.pos] == '&' {
		r.pos++
		for r.pos < len(r.text) && (r.text[r.pos] >= '0' && r.text[r.pos] <= '9' || r.text[r.pos] == '-') {
			r.pos++
		}
		return nil
	}
	r.blanks()
	if r.pos >= len(r.text) {
		return ErrIncomplete
	}
	words, err := r.word()
	if err != nil {
		return err
	}
	for _, w := range words {
		w.Split = false
		st.redirects = append(st.redirects, Redirect{Write: write, File: w, Op: op})
	}
	if !write {
		st.input = input{kind: piped}
	}
	return nil
}

// fishPrinted lists the texts that a command prints.
func fishPrinted(words []Word) []string {
	if len(words) < 2 {
		return nil
	}
	name, _ := words[0].Known()
	if name != "echo" && name != "printf" {
		return nil
	}
	text, ok := joined(words[1:]).Known()
	if !ok {
		return nil
	}
	return []string{text}
}
