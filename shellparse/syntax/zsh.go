package syntax

import "strings"

// What zsh's own builtins, and the functions that come with it, run.

// zshPrint: with -P its words are prompts, in which substitutions run if the option prompt_subst is set.
func (r *runner) zshPrint() {
	p := grammar{short: "abcC:Df:ilmnNoOpPrRsSu:v:x:X:z"}.parse(r.words[1:])
	if !p.has("-P") {
		return
	}
	for _, w := range r.words[min(1+p.rest, len(r.words)):] {
		text, known := w.Known()
		switch {
		case !known:
			r.hidden("its prompt is only known at run time")
		case strings.ContainsAny(text, "$`"):
			at := r.at
			at.input, at.certain = input{}, false
			if err := r.codeAt(`: "`+strings.ReplaceAll(text, `"`, `\"`)+`"`, Zsh, at); err != nil {
				r.hidden("its prompt cannot be read")
			}
		}
	}
}

// zstyle -e: the values are code.
func (r *runner) zstyle() {
	if len(r.words) > 4 {
		if t, known := r.words[1].Known(); !known || strings.HasPrefix(t, "-") && strings.Contains(t, "e") {
			r.shellCode(4)
		}
	}
}

// zpty [-be] NAME CODE…
func (r *runner) zpty() {
	p := grammar{short: "bedLrwnt"}.parse(r.words[1:])
	if !p.has("-d", "-L", "-r", "-w", "-n", "-t") {
		r.shellCode(2 + p.rest)
	}
}

// sched TIME CODE…
func (r *runner) sched() {
	p := grammar{short: "o"}.parse(r.words[1:])
	if t, _ := r.words[min(1, len(r.words)-1)].Known(); strings.HasPrefix(t, "-") && !p.has("-o") {
		return // takes one back
	}
	r.shellCode(2 + p.rest)
}

// shellCode joins the words from index n on to code of this shell.
func (r *runner) shellCode(n int) {
	if n >= len(r.words) {
		return
	}
	at := r.below()
	at.outside = false
	r.self().Own = n
	word := joined(r.words[n:])
	for _, w := range r.words[n:] {
		word.Split = word.Split || w.Split
	}
	r.code(word, r.dialect, at)
}

// autoload names functions whose code is in files.
func (r *runner) autoload() {
	for _, w := range r.words[1:] {
		if name, known := w.Known(); !known || !strings.HasPrefix(name, "-") && !strings.HasPrefix(name, "+") {
			r.define(Definition{Name: name[strings.LastIndexByte(name, '/')+1:]}, r.at)
		}
	}
}

// foreach NAME (WORDS) COMMAND: the parser takes the whole for one command.
func (r *runner) foreach() {
	r.hidden("it is a loop")
	r.guess(r.words[min(2, len(r.words)):])
}

// zargs [OPTIONS] [--] ARGUMENTS -- COMMAND…
func (r *runner) zargs() {
	r.hidden("its arguments are a command")
	for i, w := range r.words {
		if t, _ := w.Known(); t == "--" {
			r.guess(r.words[i+1:])
		}
	}
}

// zmv: -p and -P name a program, and what it renames to is expanded once more.
func (r *runner) zmv() {
	p := grammar{short: "finqQsvwWCLMo:p:P:"}.parse(r.words[1:])
	if program, ok := p.value("-p", "-P"); ok {
		r.runWords([]Word{program, unknown("…")}, r.below())
	}
	for _, w := range r.words[1:] {
		if strings.Contains(w.String(), "$(") || strings.Contains(w.String(), "`") || w.HasText() {
			r.hidden("it expands its arguments once more")
		}
	}
}
