package policy

import (
	"slices"
	"strings"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// finish sets right what a program's own grammar says otherwise than options and operands do.
func (r *wordReader) finish(words []syntax.Word) {
	program := r.program
	here := syntax.Text(".")
	unknown := syntax.Word{Pieces: []syntax.Piece{{Kind: syntax.Unknown}}}
	r.operands = slices.DeleteFunc(r.operands, func(w syntax.Word) bool {
		text, known := w.Known()
		return known && (text == "-" && !slices.Contains(namers, program) || strings.HasPrefix(text, "+") && slices.Contains(starters, program))
	})
	switch program {
	case "git":
		if r.dir == nil {
			r.files = append(r.files, here)
		}
	case "rsync":
		if r.server && len(r.operands) > 1 && r.operands[0].Prefix() == "." {
			r.operands = r.operands[1:] // it stands for nothing; alone it is the current directory
		}
	case "tar":
		if len(r.operands) > 0 && !strings.HasPrefix(words[0].Prefix(), "-") { // tar xzf FILE
			r.operands = r.operands[1:]
			for _, l := range words[0].Prefix() {
				r.letter(byte(l))
				if k := r.letters[byte(l)]; k != nothing && len(r.operands) > 0 {
					r.value(r.operands[0], k)
					r.operands = r.operands[1:]
				}
			}
		}
		switch {
		case !r.given("x"):
		case r.given("P"): // names of the archive may be absolute
			r.files = append(r.files, unknown)
		case !r.given("CO"):
			r.files = append(r.files, here)
		}
	case "unzip":
		if !r.given("dlptvZz") {
			r.files = append(r.files, here)
		}
		r.operands = r.operands[:min(1, len(r.operands))] // then come names in the archive
	case "wget":
		if !r.given("OP") {
			r.files = append(r.files, here)
		}
	case "curl":
		if r.given("OJ") {
			r.files = append(r.files, here)
		}
		for _, w := range r.operands {
			if p := w.Prefix(); len(p) > 7 && strings.EqualFold(p[:7], "file://") {
				r.files = append(r.files, after(w, 7))
			}
		}
	case "split", "csplit":
		if len(r.operands) < 2 {
			r.files = append(r.files, here)
		}
	case "find":
		r.find(words)
	}
}

// namers are programs to which - is a name like any other; to others it is standard input.
var namers = []string{"rm", "rmdir", "mv", "cp", "ln", "touch", "mkdir", "chmod", "chown", "chgrp", "install", "truncate", "shred"}

// starters are programs to which +text says where to begin.
var starters = []string{"less", "more", "vi", "vim", "nvim", "view", "nano", "tail"}

// find takes paths up to the first word of its expression, in which few words are files.
func (r *wordReader) find(words []syntax.Word) {
	r.operands, r.files = nil, nil
	for len(words) > 0 && strings.HasPrefix(words[0].Prefix(), "-") && strings.Contains(" -H -L -P -D -O0 -O1 -O2 -O3 ", " "+words[0].Prefix()+" ") {
		n := 1
		if words[0].Prefix() == "-D" {
			n = 2
		}
		words = words[min(n, len(words)):]
	}
	paths := true
	for i, w := range words {
		p := w.Prefix()
		if paths = paths && !strings.HasPrefix(p, "-") && p != "(" && p != "!"; paths {
			r.operands = append(r.operands, w)
			continue
		}
		if i == 0 {
			continue
		}
		switch before := words[i-1].Prefix(); {
		case strings.HasPrefix(before, "-newer") || before == "-anewer" || before == "-cnewer" || before == "-samefile" || before == "-files0-from":
			r.files = append(r.files, w)
		case w.HasUnknown() && !strings.HasPrefix(before, "-") && !w.Quoted: // it may be anything
			r.files = append(r.files, w)
		}
	}
}
