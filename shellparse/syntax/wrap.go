package syntax

import (
	"path"
	"slices"
	"strings"
)

// run adds a command and everything that it runs itself.
func (c *collector) run(cmd Command, at place) {
	if c.err != nil {
		return
	}
	if c.depth++; c.depth > maxDepth {
		c.fail(ErrTooDeep)
	}
	defer func() { c.depth-- }()
	cmd.Own = len(cmd.Words)
	i := len(c.script.Commands)
	c.add(cmd, at)
	if len(cmd.Words) == 0 || c.err != nil {
		return
	}
	name, ok := cmd.Words[0].Known()
	if !ok {
		return // undecided, whatever follows
	}
	c.evaluatedWords(cmd.Words, at)
	if file := path.Clean(name); strings.HasPrefix(file, "/proc/") && !strings.Contains(file, "/root/") && !strings.Contains(file, "/cwd/") || strings.HasPrefix(file, "/dev/fd/") {
		c.script.Commands[i].Code = "it is a file that some process has open"
	}
	r := &runner{collector: c, index: i, at: at, name: path.Base(name), words: cmd.Words}
	if unwrap := r.method(); unwrap != nil {
		unwrap()
	}
}

// runner takes one command apart that runs others.
type runner struct {
	*collector
	index int // of the command in the script: its address moves
	at    place
	name  string
	words []Word
}

func (r *runner) self() *Command { return &r.script.Commands[r.index] }

// hidden notes that the command runs what the text does not show.
func (r *runner) hidden(why string) {
	if r.self().Code == "" {
		r.self().Code = why
	}
}

// foreign notes that the command runs code which its arguments hold or name, and which is not read here.
func (r *runner) foreign(in CodePlace, why string) {
	if r.self().Code == "" {
		r.self().CodeIn = in
	}
	r.hidden(why)
}

// below is the place of what the command runs.
func (r *runner) below() place {
	at := r.at
	at.via = append(slices.Clone(at.via), r.name)
	at.outside, at.certain, at.facts = true, false, nil
	return at
}

// inner runs the words from index n on as a command of its own.
func (r *runner) inner(n int) {
	r.self().Own = min(n, len(r.words))
	if n < len(r.words) {
		r.runWords(r.words[n:], r.below())
	}
}

// runWords runs words as a command; a first word that may be none or several cannot be known.
func (r *runner) runWords(words []Word, at place) {
	r.run(Command{Words: words}, at)
}

// guess adds every tail of words as a possible command: somewhere in there one begins.
func (r *runner) guess(words []Word) {
	at := r.below()
	at.possible = true
	for i := range words {
		if i > 20 {
			return
		}
		if _, ok := words[i].Known(); ok {
			r.runWords(words[i:], at)
		}
	}
}

// code runs a word as shell code.
func (r *runner) code(word Word, dialect Dialect, at place) {
	text, ok := word.Known()
	if !ok {
		r.hidden("its code is only known at run time")
		return
	}
	if err := r.codeAt(text, dialect, at); err != nil {
		r.hidden("its code cannot be read: " + strings.TrimPrefix(err.Error(), "syntax: "))
	}
}

// joinedCode runs words as the code that they make when joined with spaces.
func (r *runner) joinedCode(words []Word, at place) {
	word := joined(words)
	for _, w := range words {
		word.Split = word.Split || w.Split
	}
	r.code(word, POSIX, at)
}

// wrapper is a program that runs the command that follows its options and operands.
type wrapper struct {
	grammar
	operands int      // words before the command
	assigns  bool     // NAME=value before the command
	noRun    []string // options with which it runs nothing
	shell    []string // options with which it starts a shell when no command follows
	always   bool     // it starts a shell when no command follows
	chdir    []string // options that say where the command runs
	code     []string // options whose value is shell code
	joinedIf []string // options with which they are
	dashes   bool     // options are not known, but their values are in the same word
	joined   bool     // the words are joined and given to a shell
}

func (r *runner) wrapped(w wrapper) {
	p := w.parse(r.words[1:])
	if w.dashes {
		p = parsed{clear: true}
		for p.rest+1 < len(r.words) && strings.HasPrefix(r.words[p.rest+1].Prefix(), "-") {
			p.rest++
		}
	}
	n := 1 + p.rest
	if !p.clear {
		r.hidden("its options are not understood")
		r.guess(r.words[n:])
	}
	for _, o := range p.options {
		if text := o.value.Prefix(); r.name == "strace" && (o.name == "-o" || o.name == "--output") && text != "" && strings.IndexByte("|!", text[0]) >= 0 {
			r.code(cut(o.value, 1), POSIX, r.below())
		}
	}
	for _, o := range p.options {
		if slices.Contains(w.code, o.name) {
			r.code(o.value, POSIX, r.below())
		}
	}
	if p.has(w.code...) || p.has(w.noRun...) {
		return
	}
	if dir, ok := p.value(w.chdir...); ok {
		r.at.dirs = moveTo([]Word{dir}, r.at.dirs)
	}
	if w.assigns {
		n = r.takeAssignments(n)
	}
	for range w.operands {
		if n < len(r.words) && r.words[n].Split {
			r.hidden("an operand may be several words")
		}
		n++
	}
	if w.assigns && w.operands > 0 {
		n = r.takeAssignments(n)
	}
	switch {
	case n >= len(r.words):
		if w.always || p.has(w.shell...) {
			r.startShell()
		}
	case w.joined || p.has(w.joinedIf...):
		r.self().Own = n
		r.joinedCode(r.words[n:], r.below())
	default:
		r.inner(n)
	}
}

// takeAssignments moves NAME=value words into the command's assignments and returns the index behind them.
func (r *runner) takeAssignments(n int) int {
	for ; n < len(r.words); n++ {
		name, rest, ok := strings.Cut(r.words[n].Prefix(), "=")
		if !ok || name == "" {
			break
		}
		value := Word{Pieces: slices.Clone(r.words[n].Pieces[1:])}
		if rest != "" {
			value.Pieces = append([]Piece{{Text: rest}}, value.Pieces...)
		}
		a := Assignment{Name: name, Value: value}
		r.assigned(a, r.below())
		r.self().Assigns = append(r.self().Assigns, a)
	}
	return n
}

func (r *runner) startShell() {
	r.self().Input = true
	switch r.at.input.kind {
	case inherited:
		r.self().Shell = true
	case literal:
		r.code(Text(r.at.input.code[0]), r.shellDialect(), r.below())
	case piped:
		r.hidden("its commands come from a pipe or a file")
		at := r.below()
		at.possible = true
		at.input = input{}
		for _, text := range r.at.input.code {
			_ = r.codeAt(text, r.shellDialect(), at) // a guess that cannot be read is none
		}
	}
}

func (r *runner) shellDialect() Dialect {
	if r.name == "source" || r.name == "." {
		return r.dialect
	}
	if d, ok := DialectOf(r.name); ok {
		return d
	}
	return POSIX
}

// shell takes apart sh, bash and their kin.
func (r *runner) shell() {
	r.self().Interpreter = true
	if r.name == "fish" {
		r.fishShell()
		return
	}
	hasCode, fromInput, checks, i := false, false, false, 1
	for ; i < len(r.words); i++ {
		text, known := r.words[i].Known()
		if !known {
			if p := r.words[i].Prefix(); p == "" && r.words[i].HasUnknown() || strings.HasPrefix(p, "-") {
				r.hidden("its arguments are only known at run time")
				return
			}
			break
		}
		if text == "--" || text == "-" {
			i++
			break
		}
		if len(text) < 2 || text[0] != '-' && text[0] != '+' {
			break
		}
		if strings.HasPrefix(text, "--") {
			name, _, attached := strings.Cut(text, "=")
			switch name {
			case "--rcfile", "--init-file":
				r.self().Extra = true
				r.foreign(InFile, "it reads commands from a file at its start")
				if !attached {
					i++
				}
			case "--login", "--interactive", "--debugger":
				r.self().Extra = true
			}
			continue
		}
		if text[0] == '-' && strings.Contains(text, "c") {
			hasCode = true
		}
		if text[0] == '-' && strings.Contains(text, "s") {
			fromInput = true
		}
		checks = text[0] == '-' && (checks || strings.Contains(text, "n") && !strings.Contains(text, "i"))
		if text[0] == '-' && strings.ContainsAny(text, "il") { // it reads the user's files first
			r.self().Extra = true
		}
		i += strings.Count(text, "o") + strings.Count(text, "O") // each takes a word: -oc errexit CODE
	}
	switch {
	case hasCode && i < len(r.words):
		r.code(r.words[i], r.shellDialect(), r.below())
		if fromInput && r.shellDialect() == POSIX { // dash goes on with its input
			r.startShell()
		}
	case hasCode:
	case checks && i < len(r.words) && !fromInput: // -n FILE: it is read and not run
	default:
		r.shellFile(i, fromInput)
	}
}

// shellFile is a shell that was handed no code: it runs a file or its input.
func (r *runner) shellFile(i int, fromInput bool) {
	if i < len(r.words) && !fromInput {
		if text, _ := r.words[i].Known(); !isTerminal(text) {
			r.foreign(InFile, "its commands are in a file")
			return
		}
	}
	r.startShell()
}

var fishOptions = grammar{short: "c:C:d:D:f:hilnNo:Pp:v", long: []string{"command=", "init-command=", "debug=", "debug-output=", "debug-stack-frames=", "features=", "help",
	"interactive", "login", "no-config", "no-execute", "print-debug-categories", "print-rusage-self", "private", "profile=", "profile-startup=", "version"}}

// fishShell takes fish apart, which runs every -c and -C that it is given.
func (r *runner) fishShell() {
	p := fishOptions.parse(r.words[1:])
	if !p.clear {
		r.hidden("its options are not understood")
	}
	if p.has("-i", "--interactive", "-l", "--login") {
		r.self().Extra = true
	}
	for _, o := range p.options {
		switch o.name {
		case "-c", "--command", "-C", "--init-command":
			r.code(o.value, Fish, r.below())
		}
	}
	if !p.has("-c", "--command") {
		r.shellFile(1+p.rest, false)
	}
}

// isTerminal tells that a file is the session's terminal, or what stands for it.
func isTerminal(file string) bool {
	file = path.Clean(file)
	switch file {
	case "/dev/stdin", "/dev/tty", "/dev/fd/0", "/proc/self/fd/0", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2":
		return true
	}
	return strings.HasPrefix(file, "/dev/pts/")
}
