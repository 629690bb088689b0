package syntax

import (
	"slices"
	"strings"
)

// Programs that make commands of what they read or find.

func (r *runner) xargs() {
	g := grammar{short: "0optrxJ:R:S:a:d:E:e::I:i::L:l::n:P:s:", long: []string{"null", "arg-file=", "delimiter=", "eof", "replace", "max-lines", "max-args=",
		"interactive", "max-procs=", "no-run-if-empty", "max-chars=", "verbose", "exit", "open-tty", "process-slot-var=", "show-limits"}}
	p := g.parse(r.words[1:])
	n := 1 + p.rest
	if !p.clear {
		r.hidden("its options are not understood")
		r.guess(r.words[min(n, len(r.words)):])
	}
	r.self().Own = min(n, len(r.words))
	if n >= len(r.words) {
		return // echo
	}
	words := slices.Clone(r.words[n:])
	mark, replaces := "", false
	if v, ok := p.value("-I", "-J", "-i", "--replace"); ok {
		mark, _ = v.Known()
		replaces = true
		if mark == "" {
			mark = "{}"
		}
	}
	for i := range words {
		if text, ok := words[i].Known(); ok && replaces && strings.Contains(text, mark) {
			words[i] = unknown(text)
			words[i].Split = false
		}
	}
	if !replaces {
		words = append(words, unknown("…"))
	}
	at := r.below()
	at.input = input{kind: piped} // /dev/null, or the terminal with -o
	r.runWords(words, at)
	if at.input.kind = piped; replaces {
		for _, text := range r.at.input.code { // echo rm | xargs -I{} {} F
			r.guessInput(strings.TrimSpace(text), mark, n)
		}
		return
	}
	for _, text := range r.at.input.code { // echo F | xargs rm; echo rm F | xargs env
		words := slices.Clone(r.words[n:])
		for _, f := range strings.Fields(text) {
			words = append(words, Text(f))
		}
		at.possible = true
		r.runWords(words, at)
	}
}

func (r *runner) guessInput(text, mark string, n int) {
	at := r.below()
	at.possible = true
	words := slices.Clone(r.words[n:])
	for i := range words {
		if t, ok := words[i].Known(); ok {
			words[i] = Text(strings.ReplaceAll(t, mark, text))
		}
	}
	r.runWords(words, at)
}

func (r *runner) find() {
	found := r.found()
	for i := 1; i < len(r.words); i++ {
		text, _ := r.words[i].Known()
		switch text {
		case "-exec", "-execdir", "-ok", "-okdir":
			end := i + 1
			for end < len(r.words) {
				t, _ := r.words[end].Known()
				if t == ";" || t == "+" && end > i+2 && isBraces(r.words[end-1]) {
					break
				}
				end++
			}
			at, prefix := r.below(), found
			if strings.HasSuffix(text, "dir") {
				at.dirs = []string{Anywhere}
				prefix = "./" // but for some finds
			}
			words := slices.Clone(r.words[i+1 : end])
			for j := range words {
				t, ok := words[j].Known()
				before, _, braces := strings.Cut(t, "{}")
				if !ok || !braces {
					continue
				}
				words[j] = Word{Pieces: []Piece{{Kind: Unknown, Text: t}}}
				if before += prefix; before != "" && prefix == found {
					words[j] = Word{Pieces: []Piece{{Text: before}, {Kind: Unknown, Text: "{}…"}}}
				}
			}
			if len(words) > 0 {
				r.runWords(words, at)
			}
			i = end
		case "-fprint", "-fprint0", "-fls", "-fprintf":
			if i+1 < len(r.words) {
				r.self().Redirects = append(r.self().Redirects, Redirect{Write: true, File: r.words[i+1], Op: text + " "})
			}
		}
	}
}

// found is what all that find finds begins with: the directory where it begins.
func (r *runner) found() string {
	var from []string
	for _, w := range r.words[1:] {
		text, known := w.Known()
		if !known {
			return ""
		}
		if strings.HasPrefix(text, "-") || text == "(" || text == "!" {
			break
		}
		from = append(from, text)
	}
	switch len(from) {
	case 0:
		return "."
	case 1:
		return from[0]
	}
	return ""
}

func isBraces(w Word) bool {
	t, _ := w.Known()
	return strings.Contains(t, "{}")
}

func (r *runner) parallel() {
	end := len(r.words)
	for i, w := range r.words {
		if t, _ := w.Known(); strings.HasPrefix(t, ":::") || strings.HasPrefix(t, "::::") {
			end = i
			break
		}
	}
	g := grammar{short: "0kmXtvuqNj:P:I:a:d:n:L:l:s:S:C:E:D:", long: []string{"jobs=", "keep-order", "bar", "dry-run", "delay=", "timeout=", "retries=", "halt=", "joblog=", "line-buffer", "no-notice", "will-cite", "tag", "colsep=", "pipe", "eta", "progress"}}
	p := g.parse(r.words[1:end])
	n := 1 + p.rest
	if !p.clear {
		r.hidden("its options are not understood")
	}
	if n < end {
		r.self().Own = n
		text, known := joined(r.words[n:end]).Known()
		if known && strings.ContainsAny(text, " ;|&<>$`'\"\\") && n+1 == end { // a line for a shell
			if err := r.codeAt(strings.ReplaceAll(text, "{}", "$1")+rest(POSIX), POSIX, r.below()); err != nil {
				r.hidden("its code cannot be read")
			}
			return
		}
		if known && strings.HasPrefix(text, "{") {
			r.hidden("its arguments are commands")
		}
		words := append(slices.Clone(r.words[n:end]), unknown("…"))
		r.runWords(words, r.below())
		return
	}
	r.hidden("its arguments are commands")
	at := r.below()
	at.possible = true
	for _, w := range r.words[end:] {
		if t, ok := w.Known(); ok {
			_ = r.codeAt(t, POSIX, at) // a guess that cannot be read is none
		}
	}
}
