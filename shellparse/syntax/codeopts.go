package syntax

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// codeOptions are options of programs that do other things, whose value is a command all the same. A "?" at the end
// says that the value, if there is one, is in the same word.
var codeOptions = map[string][]string{
	"tar":     {"--to-command", "--use-compress-program", "-I", "--info-script", "-F", "--new-volume-script", "--rsh-command", "--rmt-command"},
	"rsync":   {"-e", "--rsh", "--rsync-path"},
	"split":   {"--filter"},
	"sort":    {"--compress-program"},
	"zip":     {"--unzip-command"},
	"man":     {"-P", "--pager", "-H?", "--html"},
	"nc":      {"-e", "-c"},
	"ncat":    {"-e", "-c", "--exec", "--sh-exec"},
	"scp":     {"-S", "-D"},
	"sftp":    {"-S", "-D"},
	"npm":     {"-c", "--call"},
	"npx":     {"-c", "--call"},
	"xterm":   {"-e"},
	"dpkg":    {"--pre-invoke", "--post-invoke"},
	"rg":      {"--pre"},
	"pg_ctl":  {"-p"},
	"cpio":    {"--rsh-command"},
	"tcpdump": {"-z"},
	"make":    nil,
	"git":     nil,
	// git's, by its own command.
	"git rebase":        {"-x", "--exec"},
	"git difftool":      {"-x", "--extcmd"},
	"git clone":         {"-u", "--upload-pack"},
	"git fetch":         {"--upload-pack"},
	"git pull":          {"--upload-pack"},
	"git ls-remote":     {"--upload-pack", "--exec"},
	"git push":          {"--receive-pack", "--exec"},
	"git archive":       {"--exec"},
	"git grep":          {"-O?", "--open-files-in-pager?"},
	"git filter-branch": {"--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter", "--parent-filter", "--tag-name-filter"},
}

// valuedLetters are the letters of such programs that take a value. Programs that are not here do not bundle them.
var valuedLetters = map[string]string{"tar": "fbCgNTVXKLHIF", "rsync": "fBTMe", "nc": "iIOPpqsTVWwXxec", "ncat": "gGimopswxec", "scp": "cDFiJloPXS", "sftp": "BbcDFiJloPRXS", "man": "CRLmMSsePrEpH",
	"tcpdump": "BcCDEFGijmMQrsTVwWyzZ", "git grep": "ABCefmO", "git difftool": "tx", "git clone": "bcjou", "git rebase": "CsXx"}

// codeInOptions looks for commands in the options of a program.
func (r *runner) codeInOptions() {
	program := r.name
	if program == "git" {
		program = r.gitOptions()
	}
	for _, o := range codeOptions[program] {
		o, attached := strings.CutSuffix(o, "?")
		for i := 1; i < len(r.words); i++ {
			var next Word
			if !attached && i+1 < len(r.words) {
				next = r.words[i+1]
			}
			if value, ok := optionValue(program, o, r.words[i], next); ok && (o != "-e" || !rsyncVersion(value)) {
				r.code(value, POSIX, r.below())
			}
		}
	}
	switch r.name {
	case "zip":
		r.zipOptions()
	case "tar":
		r.tarOptions()
	case "rsync":
		for _, w := range r.words[1:] {
			if t, _ := w.Known(); t == "--daemon" {
				r.foreign(InFile, "its configuration may name commands")
			}
		}
	case "make":
		r.makeOptions()
	}
}

// makeOptions: a makefile's text among the options, one that somebody prints, and values that are expanded as such a
// text is.
func (r *runner) makeOptions() {
	const makefile = "it is handed a makefile's text"
	for i := 1; i < len(r.words); i++ {
		p := r.words[i].Prefix()
		name, value, assigned := strings.Cut(p, "=")
		switch {
		case strings.HasPrefix(p, "--") && len(name) > 3 && strings.HasPrefix("--eval", name), strings.HasPrefix(p, "-E"):
			r.foreign(InArguments, makefile)
		case p == "-f" && i+1 < len(r.words):
			r.makefile(r.words[i+1])
		case strings.HasPrefix(p, "-f"):
			r.makefile(cut(r.words[i], 2))
		case assigned && strings.HasPrefix(p, "--") && len(name) > 3 && (strings.HasPrefix("--file", name) || strings.HasPrefix("--makefile", name)):
			r.makefile(cut(r.words[i], len(name)+1))
		case strings.HasPrefix(p, "SHELL="):
			r.code(cut(r.words[i], len("SHELL=")), POSIX, r.below())
		case assigned && strings.Contains(value, "$"):
			r.foreign(InArguments, makefile)
		}
	}
}

func (r *runner) makefile(file Word) {
	if text, known := file.Known(); known && text == "-" || printedFile(file) {
		r.hidden("its makefile is what somebody prints")
	}
}

// printedFile says whether a file is what another command prints, or the program's input.
func printedFile(file Word) bool {
	if text, known := file.Known(); known {
		return isTerminal(text) || strings.HasPrefix(path.Clean(text), "/dev/fd/")
	}
	return slices.ContainsFunc(file.Pieces, func(p Piece) bool { return p.Kind == Unknown && p.Text == "<(…)" })
}

// zipOptions: -TT COMMAND, also behind other letters.
func (r *runner) zipOptions() {
	for i := 1; i < len(r.words); i++ {
		p := r.words[i].Prefix()
		at := strings.Index(p, "TT")
		if !strings.HasPrefix(p, "-") || strings.HasPrefix(p, "--") || at < 0 {
			continue
		}
		switch value := cut(r.words[i], at+2); {
		case len(value.Pieces) > 0:
			r.code(value, POSIX, r.below())
		case i+1 < len(r.words):
			r.code(r.words[i+1], POSIX, r.below())
		}
	}
}

// rsyncVersion tells what a client says of itself to rsync --server with the letter that otherwise names its shell.
func rsyncVersion(value Word) bool {
	text, known := value.Known()
	return known && strings.HasPrefix(strings.TrimLeft(text, "0123456789"), ".") && !strings.ContainsAny(text, "/ ")
}

// optionValue returns the value of a program's option if word gives it.
func optionValue(program, option string, word, next Word) (Word, bool) {
	p := word.Prefix()
	name, _, attached := strings.Cut(p, "=")
	switch {
	case strings.HasPrefix(option, "--"):
		if len(name) < 4 || !strings.HasPrefix(option, name) {
			return Word{}, false
		}
		if attached {
			return cut(word, len(name)+1), true
		}
		return next, len(next.Pieces) > 0
	case len(option) > 2 || valuedLetters[program] == "" || !strings.HasPrefix(p, "-") || strings.HasPrefix(p, "--"):
		return next, p == option && len(next.Pieces) > 0
	}
	for i := 1; i < len(p); i++ {
		switch {
		case p[i] != option[1] && strings.IndexByte(valuedLetters[program], p[i]) >= 0:
			return Word{}, false
		case p[i] != option[1]:
			continue
		case i+1 < len(p) || len(word.Pieces) > 1:
			return cut(word, i+1), true
		}
		return next, len(next.Pieces) > 0
	}
	return Word{}, false
}

// tarOptions: actions at checkpoints, and letters without a dash, whose values follow in their order.
func (r *runner) tarOptions() {
	for i := 1; i < len(r.words); i++ {
		name, value, attached := strings.Cut(r.words[i].Prefix(), "=")
		if len(name) <= len("--checkpoint") || !strings.HasPrefix("--checkpoint-action", name) {
			continue
		}
		var w Word
		switch {
		case attached:
			w = cut(r.words[i], len(name)+1)
		case i+1 < len(r.words):
			w, value = r.words[i+1], r.words[i+1].Prefix()
		}
		if strings.HasPrefix(value, "exec=") {
			r.code(cut(w, len("exec=")), POSIX, r.below())
		}
	}
	if len(r.words) < 2 || strings.HasPrefix(r.words[1].Prefix(), "-") {
		return
	}
	next := 2
	letters, _ := r.words[1].Known()
	for _, l := range letters {
		command := l == 'I' || l == 'F'
		if command && next < len(r.words) {
			r.code(r.words[next], POSIX, r.below())
		}
		if command || strings.ContainsRune(valuedLetters["tar"], l) {
			next++
		}
	}
}

// gitOptions: -c may define an alias or a pager that is a command, and ext:: is a command that stands for a remote. It
// returns which of git's own commands is called.
func (r *runner) gitOptions() string {
	program := r.name
	for i := 1; i < len(r.words) && program == r.name; i++ {
		switch t, _ := r.words[i].Known(); {
		case t == "-C" || t == "-c" || t == "--git-dir" || t == "--work-tree" || t == "--namespace" || t == "--config-env":
			i++
		case t != "" && t[0] != '-':
			program += " " + t
		}
	}
	for i := 2; i+1 < len(r.words); i++ {
		switch t, _ := r.words[i].Known(); {
		case program == "git bisect" && t == "run":
			r.runWords(r.words[i+1:], r.below())
			return program
		case program == "git submodule" && t == "foreach":
			r.joinedCode(r.words[i+1:], r.below())
			return program
		}
	}
	for i := 1; i < len(r.words); i++ {
		t, _ := r.words[i].Known()
		name, given := "", false
		switch {
		case (t == "-c" || t == "--config-env" || t == "--config") && i+1 < len(r.words):
			name, given = r.words[i+1].Prefix(), true
		case strings.HasPrefix(t, "-c") && strings.Contains(t, "."):
			name, given = t[2:], true
		case strings.HasPrefix(t, "--config-env="), strings.HasPrefix(t, "--config="):
			_, name, given = strings.Cut(t, "=")
		case strings.HasPrefix(t, "--exec-path="):
			r.foreign(InArguments, "it takes its programs from elsewhere")
		case strings.HasPrefix(t, "ext::"):
			r.foreign(InArguments, "a command stands for a remote")
		}
		name = strings.ToLower(name)
		if given && !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "color.") && !strings.HasPrefix(name, "advice.") {
			r.foreign(InArguments, "its configuration may name commands")
		}
	}
	return program
}

// ip runs what follows netns exec NAME, or vrf exec NAME; each word may be abbreviated. With -all there is no name.
func (r *runner) ip() {
	all := false
	for i := 1; i+1 < len(r.words); i++ {
		object, _ := r.words[i].Known()
		verb, _ := r.words[i+1].Known()
		all = all || len(object) > 1 && strings.HasPrefix("-all", object)
		isObject := len(object) > 2 && strings.HasPrefix("netns", object) || object != "" && strings.HasPrefix("vrf", object)
		if !isObject || verb == "" || !strings.HasPrefix("exec", verb) {
			continue
		}
		first := i + 3
		if all {
			first--
		}
		r.self().Own = min(first, len(r.words))
		if first < len(r.words) {
			r.runWords(r.words[first:], r.below())
		}
		return
	}
	for _, w := range r.words[1:] {
		if t, _ := w.Known(); len(t) > 1 && strings.HasPrefix("-batch", t) {
			r.foreign(InFile, "its commands are in a file")
		}
	}
}

// editorRuns knows the commands of vi and its kin that run others, or text that is put together: all of them may be cut short.
var editorRuns = regexp.MustCompile(`!|system|term|py|lua|\b(cal|eval|exe|fu|job|l?make?|l?mak|mz|norm|perl|ru|rub|ruby|so|source|tcl)|\bso\b|\bl?gr|\bset?l?\s+(\S+\s+)*(sh|shell|mp|makeprg|gp|grepprg|ep|equalprg|fp|formatprg|kp|keywordprg|\w*expr|\w*func)\b`)

// editor: vi and its kin run what an option's command tells them.
func (r *runner) editor() {
	if r.name == "ex" || slices.ContainsFunc(r.words, func(w Word) bool { t, _ := w.Known(); return t == "-e" || t == "-es" || t == "-s" || t == "-E" }) {
		r.scripted("!", "sy", "so", "exe", "py", "lua", "te")
	}
	for i := 1; i < len(r.words); i++ {
		t, known := r.words[i].Known()
		if !known {
			continue
		}
		last := ""
		if len(t) > 1 && t[0] == '-' && t[1] != '-' {
			last = t[len(t)-1:]
		}
		command := ""
		switch {
		case strings.HasPrefix(t, "+"):
			command = t[1:]
		case i+1 >= len(r.words):
		case t == "-u":
			if file, _ := r.words[i+1].Known(); file != "NONE" && file != "NORC" && file != "DEFAULTS" {
				r.foreign(InFile, "its commands are in a file")
			}
			i++
		case t == "-S" || t == "-s" && r.name != "ex":
			r.foreign(InArguments, "it is handed commands of its own")
		case last == "c" || t == "--cmd": // also -sc
			if command, known = r.words[i+1].Known(); !known {
				r.foreign(InArguments, "it is handed commands of its own")
			}
			i++
		}
		if editorRuns.MatchString(command) {
			r.foreign(InArguments, "it is handed commands of its own")
		}
	}
}
