package syntax

import (
	"cmp"
	"slices"
	"strings"
)

// interpreter is a language other than the shell's: its code is not read here.
type interpreter struct {
	code     string   // letters of the options that take code
	stops    string   // letters of options that take a value, so that what follows in the word is none
	file     string   // letters of options whose value is the file that is run
	attached string   // letters of options whose value, if they have one, is in the same word
	extra    string   // letters of the options that run more than a file: modules, or what is typed
	long     []string // long options that take code
	longMore []string // long options that run more than a file
}

func interpreterOf(name string) (interpreter, bool) {
	base := strings.TrimRight(name, "0123456789.")
	switch base {
	case "python", "pypy", "python3", "python2":
		return interpreter{code: "c", stops: "mWX", extra: "im"}, true
	case "perl":
		return interpreter{code: "eE", stops: "I", attached: "imMxCDF", extra: "dmMS"}, true
	case "ruby":
		return interpreter{code: "e", stops: "IrCEX", attached: "xFi", extra: "rS"}, true
	case "node", "nodejs":
		return interpreter{code: "ep", stops: "rC", extra: "ir", long: []string{"--eval", "--print"},
			longMore: []string{"--interactive", "--require", "--import", "--loader", "--experimental-loader", "--inspect", "--inspect-brk", "--inspect-wait", "--inspect-port", "--run", "--env-file"}}, true
	case "php":
		return interpreter{code: "rBRE", stops: "cdztS", file: "fF", extra: "acdzS", long: []string{"--run", "--process-begin", "--process-code", "--process-end"},
			longMore: []string{"--interactive", "--define", "--php-ini", "--zend-extension", "--server"}}, true
	case "lua", "luajit":
		return interpreter{code: "e", stops: "lj", extra: "ilj"}, true
	case "tclsh", "wish", "expect":
		return interpreter{code: "c", stops: "D", file: "f", extra: "idD"}, true
	case "julia":
		return interpreter{code: "eE", stops: "LJCHpt", extra: "iL", long: []string{"--eval", "--print"}, longMore: []string{"--load", "--sysimage"}}, true
	case "guile":
		return interpreter{code: "ce", stops: "lLCx", file: "s", extra: "lLCi"}, true
	case "R":
		return interpreter{code: "e", stops: "gd", file: "f", extra: "d", longMore: []string{"--interactive", "--debugger"}}, true
	case "Rscript", "groovy", "scala", "erl", "elixir", "ocaml", "osascript":
		return interpreter{code: "e", extra: "isr", long: []string{"--eval"}}, true
	}
	return interpreter{}, false
}

func (r *runner) interpreter(in interpreter) {
	r.self().Interpreter = true
	i := 1
	for ; i < len(r.words); i++ {
		text, known := r.words[i].Known()
		if !known {
			if p := r.words[i].Prefix(); p == "" && r.words[i].HasUnknown() || strings.HasPrefix(p, "-") {
				r.hidden("its arguments are only known at run time")
			}
			return
		}
		if text == "-" || len(text) < 2 || text[0] != '-' {
			break
		}
		name, _, _ := strings.Cut(text, "=")
		if slices.Contains(in.long, name) {
			r.foreign(InArguments, "it is handed code of another language")
			return
		}
		if strings.HasPrefix(text, "--") {
			r.self().Extra = r.self().Extra || slices.Contains(in.longMore, name)
			if strings.Contains(text, "data:") || i+1 < len(r.words) && strings.HasPrefix(r.words[i+1].Prefix(), "data:") { // a module whose text it is
				r.foreign(InArguments, "it is handed code of another language")
			}
			continue
		}
		more, done := r.interpreterOptions(in, text)
		if done {
			return
		}
		i += more
	}
	if i < len(r.words) {
		if t, _ := r.words[i].Known(); t != "-" && !isTerminal(t) {
			return // a script, as good as any other program
		}
	}
	r.self().Input = true
	if r.at.input.kind != inherited {
		r.hidden("it is handed code of another language")
	}
}

// interpreterOptions reads a word of one-letter options. It says how many of the next words are values, and whether
// what follows is nothing to the interpreter.
func (r *runner) interpreterOptions(in interpreter, text string) (more int, done bool) {
	for j, ch := range text[1:] {
		r.self().Extra = r.self().Extra || strings.ContainsRune(in.extra, ch)
		switch {
		case strings.ContainsRune(in.code, ch):
			r.foreign(InArguments, "it is handed code of another language")
			return 0, true
		case ch == 'm' && r.isPython():
			r.module(text[j+2:])
			return 0, true
		case strings.ContainsRune(in.file, ch): // the next word is what it runs
			return 0, j < len(text)-2
		case strings.ContainsRune(in.attached, ch):
			if (ch == 'm' || ch == 'M') && strings.ContainsAny(text, " ;({'\"") { // perl: use MODULE, as it stands
				r.foreign(InArguments, "it is handed code of another language")
			}
			return 0, false
		case strings.ContainsRune(in.stops, ch):
			if j == len(text)-2 {
				return 1, false
			}
			return 0, false
		}
	}
	return 0, false
}

// module: what Python's -m names may itself take code.
func (r *runner) module(attached string) {
	words := r.words
	if attached == "" {
		i := slices.IndexFunc(words, func(w Word) bool { t, _ := w.Known(); return t == "timeit" || t == "pdb" })
		if i < 0 {
			return
		}
		attached, words = words[i].String(), words[i:]
	}
	takes := attached == "pdb" && slices.ContainsFunc(words[1:], func(w Word) bool { return strings.HasPrefix(w.Prefix(), "-c") || strings.HasPrefix(w.Prefix(), "--c") })
	if takes || attached == "timeit" {
		r.foreign(InArguments, "it is handed code of another language")
	}
}

func (r *runner) isPython() bool { return strings.HasPrefix(r.name, "py") }

// awk looks for what its program runs.
func (r *runner) awk() {
	i := 1
	for ; i < len(r.words); i++ {
		text, known := r.words[i].Known()
		if !known {
			if strings.HasPrefix(r.words[i].Prefix(), "-v") || strings.HasPrefix(r.words[i].Prefix(), "-F") {
				continue
			}
			r.hidden("its program is only known at run time")
			return
		}
		if text == "--" {
			i++
			break
		}
		if len(text) < 2 || text[0] != '-' {
			break
		}
		switch {
		case strings.HasPrefix(text, "-f") || strings.HasPrefix(text, "--file") || strings.HasPrefix(text, "-i") || strings.HasPrefix(text, "-E") || strings.HasPrefix(text, "-l") ||
			strings.HasPrefix(text, "-W") || strings.HasPrefix(text, "--exec") || strings.HasPrefix(text, "--include") || strings.HasPrefix(text, "--load"):
			r.foreign(InFile, "its program is in a file")
			return
		case text == "-v" || text == "-F":
			i++
		case text == "-e" || strings.HasPrefix(text, "--source"):
			r.hidden("its options are not understood")
		}
	}
	if i >= len(r.words) {
		return
	}
	text, known := r.words[i].Known()
	if !known {
		r.hidden("its program is only known at run time")
		return
	}
	r.awkProgram(text)
}

// awkProgram finds system(), pipes and output files in a program's text.
func (r *runner) awkProgram(text string) {
	printing, depth := false, 0
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '"':
			_, n := awkString(text[i:])
			if n == 0 {
				r.hidden("its program cannot be read")
				return
			}
			i += n - 1
		case ch == '/' && awkRegexAhead(text[:i]):
			for i++; i < len(text) && text[i] != '/'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case ch == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
			printing = false
		case ch == '(':
			depth++
		case ch == ')':
			depth--
		case ch == ';' || ch == '\n' || ch == '}' || ch == '{':
			printing, depth = false, 0
		case ch == '|' && i+1 < len(text) && text[i+1] == '|':
			i++
		case ch == '|':
			r.awkCode(strings.TrimLeft(strings.TrimLeft(text[i+1:], "& "), " "), cmp.Or(lastString(text[:i]), " "))
		case ch == '>' && printing && depth <= 0:
			rest := strings.TrimLeft(text[i+1:], "> \t")
			file := unknown("…")
			if s, n := awkString(rest); n > 0 {
				file = Text(s)
			}
			file.Split = false
			r.self().Redirects = append(r.self().Redirects, Redirect{Write: true, File: file, Op: "awk >"})
		case isWordByte(ch):
			n := i
			for n < len(text) && isWordByte(text[n]) {
				n++
			}
			switch word := text[i:n]; word {
			case "print", "printf":
				printing, depth = true, 0
			case "getline":
				r.awkReads(text[n:])
			case "ARGV":
				r.self().Redirects = append(r.self().Redirects, Redirect{File: unknown("…"), Op: "awk <"})
			case "system":
				r.awkCode(strings.TrimLeft(text[n:], " \t("), "")
			}
			i = n - 1
		case ch == '@':
			r.hidden("its program loads or calls what is not shown")
		}
	}
}

// awkReads notes the file of getline < FILE.
func (r *runner) awkReads(text string) {
	end := strings.IndexAny(text, ";}\n)")
	if end < 0 {
		end = len(text)
	}
	i := strings.IndexByte(text[:end], '<')
	if i < 0 {
		return
	}
	file := unknown("…")
	if s, n := awkString(strings.TrimLeft(text[i+1:], " \t")); n > 0 {
		file = Text(s)
	}
	r.self().Redirects = append(r.self().Redirects, Redirect{File: file, Op: "awk <"})
}

// awkCode takes the string literal at the start of text, or the one before a pipe into getline, as shell code.
func (r *runner) awkCode(text, before string) {
	printed := before
	if strings.HasPrefix(text, "getline") {
		printed = ""
		text = `"` + before + `")`
		if before == " " {
			text = "?"
		}
	}
	s, n := awkString(text)
	rest := strings.TrimLeft(text[n:], " \t")
	if n == 0 {
		r.hidden("its program runs a command that is only known at run time")
		return
	}
	if rest != "" && strings.IndexByte(");}\n", rest[0]) < 0 {
		r.hidden("its program runs a command that is only known at run time")
		at := r.below()
		at.possible = true
		_ = r.codeAt(s, POSIX, at) // a guess that cannot be read is none
		return
	}
	at := r.below()
	if printed != "" { // a shell reads what is printed
		at.input = input{kind: piped, code: []string{printed}}
	}
	r.code(Text(s), POSIX, at)
}

func lastString(text string) string {
	text = strings.TrimRight(text, " \t")
	if !strings.HasSuffix(text, `"`) {
		return ""
	}
	i := strings.LastIndexByte(text[:len(text)-1], '"')
	if i < 0 || strings.Contains(text[i:], `\`) {
		return ""
	}
	return text[i+1 : len(text)-1]
}

// awkString decodes the string literal that text begins with; its length is 0 when there is none.
func awkString(text string) (string, int) {
	if text == "" || text[0] != '"' {
		return "", 0
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			s, _ := decodeDollar(text[1:i], Bash)
			return s, i + 1
		}
	}
	return "", 0
}

// awkRegexAhead says whether a slash behind that text begins an expression rather than divides.
func awkRegexAhead(before string) bool {
	before = strings.TrimRight(before, " \t")
	if before == "" || strings.IndexByte("({,;!~&|\n}+-*%^<>=?:[", before[len(before)-1]) >= 0 {
		return true
	}
	word := before[strings.LastIndexFunc(before, func(c rune) bool { return c > 127 || !isWordByte(byte(c)) })+1:]
	switch word {
	case "print", "printf", "return", "case", "in", "getline", "else", "do":
		return true
	}
	return false
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
