package syntax

import (
	"slices"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// What a command's redirections open, and what its input is.

// redirects lists the files that are opened and what standard input becomes.
func (w *walker) redirects(list []*sh.Redirect, at place) ([]Redirect, input) {
	var out []Redirect
	in := input{}
	for _, r := range list {
		w.nested(r.Word, at)
		fd0 := r.N == nil || r.N.Value == "0"
		switch r.Op {
		case sh.Hdoc, sh.DashHdoc:
			if dollarQuoted(r.Word) { // to some shells the $ is part of it, so that the text ends elsewhere
				w.undecidable("where its here-document ends depends on the shell", at)
			}
			if w.endsBefore(r) {
				w.undecidable("where its here-document ends depends on the shell", at)
			}
			if r.Hdoc != nil {
				w.nested(r.Hdoc, at)
				w.literalQuotes(r.Hdoc.Parts, at)
			}
			if fd0 {
				in = w.hereDocument(r)
			}
			continue
		case sh.WordHdoc:
			if fd0 {
				in = input{kind: piped}
				word := w.word(r.Word)
				word.Split = false
				if text, ok := word.Known(); ok {
					in = input{kind: literal, code: []string{text + "\n"}}
				}
			}
			continue
		case sh.DplIn, sh.DplOut:
			if fileless(r) {
				if fd0 && r.Op == sh.DplIn {
					in = input{kind: piped}
				}
				continue
			}
		}
		for _, file := range w.expand(r.Word) {
			file.Split = false
			op := r.Op.String()
			if r.Op == sh.RdrInOut {
				out = append(out, Redirect{File: file, Op: "<"})
			}
			write := r.Op != sh.RdrIn && r.Op != sh.DplIn
			out = append(out, Redirect{Write: write, File: file, Op: op})
			if !write && fd0 || r.Op == sh.RdrInOut {
				in = input{kind: piped}
			}
		}
	}
	return out, in
}

// fileless says whether >& or <& copies or closes a descriptor instead of opening a file.
func fileless(r *sh.Redirect) bool {
	s := strings.TrimSuffix(r.Word.Lit(), "-")
	if s == "" && r.Word.Lit() != "-" {
		return r.Op == sh.DplIn // >&$x may be a file
	}
	for _, ch := range s {
		if ch < '0' || ch > '9' {
			return s == "p"
		}
	}
	return true
}

// endsBefore says whether a row within a here-document ends it: the parser passes one over in an expansion over several rows.
func (w *walker) endsBefore(r *sh.Redirect) bool {
	if r.Hdoc == nil {
		return false
	}
	end, known := w.word(r.Word).Known()
	from, to := r.Hdoc.Pos().Offset(), r.Hdoc.End().Offset()
	if !known || from > to || int(to) > len(w.text) { // #nosec G115 -- the text is short
		return false
	}
	rows := strings.Split(strings.TrimSuffix(w.text[from:to], "\n"), "\n")
	for _, row := range rows[:len(rows)-1] { // the last is the one that ends it
		if r.Op == sh.DashHdoc {
			row = strings.TrimLeft(row, "\t")
		}
		if row == end && end != "" {
			return true
		}
	}
	return false
}

func dollarQuoted(word *sh.Word) bool {
	return slices.ContainsFunc(word.Parts, func(p sh.WordPart) bool {
		switch p := p.(type) {
		case *sh.SglQuoted:
			return p.Dollar
		case *sh.DblQuoted:
			return p.Dollar
		case *sh.Lit:
			return strings.Contains(p.Value, "$")
		}
		return false
	})
}

// hereDocument is the input that a here-document gives. Where its delimiter is quoted its text stands as it is;
// otherwise $, ` and \ mean something in it.
func (w *walker) hereDocument(r *sh.Redirect) input {
	if r.Hdoc == nil {
		return input{kind: literal, code: []string{""}}
	}
	raw := r.Word.Lit() == "" || strings.Contains(r.Word.Lit(), `\`)
	b := wordBuilder{walker: w}
	for _, p := range r.Hdoc.Parts {
		if lit, ok := p.(*sh.Lit); ok && raw {
			b.text.WriteString(lit.Value)
			continue
		}
		b.part(p, true, false)
	}
	word := b.done()
	word.Split = false
	if text, ok := word.Known(); ok {
		return input{kind: literal, code: []string{text}}
	}
	return input{kind: piped}
}

// printed lists the texts that a statement prints, where it is an echo or printf of literals.
func (w *walker) printed(s *sh.Stmt) []string {
	call, ok := s.Cmd.(*sh.CallExpr)
	if !ok || len(call.Args) < 2 {
		return nil
	}
	var parts []string
	for _, a := range call.Args {
		for _, word := range w.expand(a) {
			text, ok := word.Known()
			if !ok {
				return nil
			}
			parts = append(parts, text)
		}
	}
	if parts[0] != "echo" && parts[0] != "printf" && parts[0] != "print" {
		return nil
	}
	parts = parts[1:]
	for len(parts) > 1 && len(parts[0]) > 1 && len(parts[0]) <= 3 && parts[0][0] == '-' {
		parts = parts[1:]
	}
	text := strings.Join(parts, " ")
	out := []string{text}
	if decoded, ok := decodeDollar(text, Bash); ok && decoded != text {
		out = append(out, decoded)
	}
	if len(parts) > 1 { // printf's format with its arguments
		out = append(out, strings.Join(parts[1:], " "), formatted(parts))
	}
	return out
}

// formatted fills printf's %s, near enough.
func formatted(parts []string) string {
	out, args := parts[0], parts[1:]
	for _, a := range args {
		if i := strings.Index(out, "%"); i >= 0 && i+1 < len(out) {
			out = out[:i] + a + out[i+2:]
		}
	}
	return strings.ReplaceAll(out, `\n`, "\n")
}
