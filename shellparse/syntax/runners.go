package syntax

import (
	"slices"
	"strings"
)

func (r *runner) env() {
	g := grammar{short: "0iva:u:C:S:", long: []string{"ignore-environment", "null", "argv0=", "unset=", "chdir=", "split-string=", "debug", "block-signal",
		"default-signal", "ignore-signal", "list-signal-handling"}}
	p := g.parse(r.words[1:])
	if s, ok := p.value("-S", "--split-string"); ok {
		text, known := s.Known()
		split, readable := splitString(text)
		if !known || !readable {
			r.hidden("its code is only known at run time")
			return
		}
		if dir, ok := p.value("-C", "--chdir"); ok {
			r.at.dirs = moveTo([]Word{dir}, r.at.dirs)
		}
		words := slices.Concat(r.words[:1], split, r.words[min(1+p.rest, len(r.words)):])
		at := r.below()
		r.runWords(words, at)
		r.suggest(words, at)
		return
	}
	r.wrapped(wrapper{grammar: g, assigns: true, chdir: []string{"-C", "--chdir"}})
}

// splitString splits what env -S is given: blanks part words, quotes and backslashes are a shell's but for the letters
// that stand for blanks, and ${NAME} is all that it substitutes.
func splitString(s string) (words []Word, ok bool) {
	b := wordBuilder{}
	quote, begun := byte(0), false
	end := func() {
		if begun {
			words = append(words, b.done())
		}
		b, begun = wordBuilder{}, false
	}
	for i := 0; i < len(s); i++ {
		ch := s[i]
		blank := strings.IndexByte(" \t\n\v\f\r", ch) >= 0
		switch {
		case blank && quote == 0:
			end()
			continue
		case ch == '#' && !begun:
			return words, true
		case (ch == '"' || ch == '\'') && (quote == 0 || quote == ch):
			quote, begun = ch-quote, true
			continue
		case ch == '$' && quote != '\'':
			name, _, closed := strings.Cut(s[i+1:], "}")
			if !closed || !strings.HasPrefix(name, "{") {
				return nil, false
			}
			b.piece(Unknown, "$"+name[1:])
			i += len(name) + 1
		case ch == '\\' && i+1 < len(s) && (quote != '\'' || s[i+1] == '\'' || s[i+1] == '\\'):
			i++
			plain := strings.IndexByte(`fnrtv#$"'\`, s[i])
			switch {
			case s[i] == 'c' && quote == 0:
				end()
				return words, true
			case s[i] == '_' && quote == 0:
				end()
				continue
			case s[i] == '_':
				b.text.WriteByte(' ')
			case plain < 0:
				return nil, false
			default:
				b.text.WriteByte("\f\n\r\t\v#$\"'\\"[plain])
			}
		default:
			b.text.WriteByte(ch)
		}
		begun = true
	}
	end()
	return words, quote == 0
}

func (r *runner) su() {
	g := grammar{short: "fhlmpPVw:c:C:g:G:s:T:u:", long: []string{"command=", "session-command=", "fast", "group=", "supp-group=", "login", "preserve-environment",
		"pty", "shell=", "user=", "whitelist-environment=", "no-pty"}}
	p := g.parse(r.words[1:])
	n := 1 + p.rest
	if !p.clear {
		r.hidden("its options are not understood")
	}
	if _, ok := p.value("-u", "--user"); ok && r.name == "runuser" {
		r.inner(n)
		return
	}
	// Options may also follow the user: su postgres -c CODE. A lone dash asks for a login shell.
	rest := r.words[min(n, len(r.words)):]
	if len(rest) > 0 {
		if t, _ := rest[0].Known(); t == "-" {
			rest = rest[1:]
		}
	}
	more := parsed{}
	if len(rest) > 0 {
		more = g.parse(rest[1:])
	}
	ran := false
	for _, o := range append(p.options, more.options...) {
		switch o.name {
		case "-c", "-C", "--command", "--session-command":
			r.code(o.value, POSIX, r.below())
			ran = true
		case "-s", "--shell":
			if shell, ok := o.value.Known(); !ok {
				r.hidden("its shell is only known at run time")
			} else if _, isShell := DialectOf(shell); !isShell {
				r.runWords([]Word{o.value, unknown("…")}, r.below())
			}
		}
	}
	switch {
	case ran:
	case len(more.options) > 0 && !more.clear || len(rest) > 1+more.rest:
		r.hidden("it hands arguments to a shell")
	default:
		r.startShell()
	}
}

func (r *runner) scriptProgram() {
	g := grammar{short: "aefqtVc:E:I:O:B:T:m:o:", long: []string{"append", "command=", "return", "flush", "force", "quiet", "timing", "log-in=", "log-out=", "log-io=", "log-timing="}}
	p := g.parse(r.words[1:])
	n := 1 + p.rest
	if n < len(r.words) { // FILE, which it writes; options may follow
		r.self().Redirects = append(r.self().Redirects, Redirect{Write: true, File: r.words[n], Op: "script "})
		more := g.parse(r.words[n+1:])
		p.options = append(p.options, more.options...)
		p.clear = p.clear && more.clear
	}
	if !p.clear {
		r.hidden("its options are not understood")
	}
	if c, ok := p.value("-c", "--command"); ok {
		r.code(c, POSIX, r.below())
		return
	}
	r.startShell()
}

// multiplexer starts shells or goes back to some. Most of its words can be commands for them, each in a way of its own.
func (r *runner) multiplexer() {
	value := false
	for _, w := range r.words[1:] {
		switch text, known := w.Known(); {
		case known && value:
			value = false
		case known && r.name == "tmux" && (text == "-s" || text == "-n"):
			value = true
		case !known:
			r.hidden("its arguments are only known at run time")
		default:
			switch text {
			case "-t", "-S", "-L":
				value = true
			case "attach", "attach-session", "a", "new", "new-session", "ls", "list-sessions", "-ls", "-list", "-r", "-x", "-d", "-dr", "-D", "-R", "-RR", "-U", "-u", "-2":
			default:
				r.foreign(InArguments, "it may be handed commands for its shells")
			}
		}
	}
	r.startShell()
}

func (r *runner) flock() {
	g := grammar{short: "eFnosuxhVw:E:c:", long: []string{"exclusive", "shared", "unlock", "nonblock", "nb", "wait=", "timeout=", "conflict-exit-code=", "close", "no-fork", "verbose", "command="}}
	p := g.parse(r.words[1:])
	n := 1 + p.rest
	if !p.clear {
		r.hidden("its options are not understood")
		r.guess(r.words[min(n, len(r.words)):])
	}
	if c, ok := p.value("-c", "--command"); ok {
		r.code(c, POSIX, r.below())
		return
	}
	if n+1 < len(r.words) {
		if t, _ := r.words[n+1].Known(); t == "-c" || t == "--command" {
			if n+2 < len(r.words) {
				r.code(r.words[n+2], POSIX, r.below())
			}
			return
		}
		r.inner(n + 1)
	}
}

func (r *runner) ssh() {
	g := grammar{short: "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"}
	p := g.parse(r.words[1:])
	n := 1 + p.rest
	if !p.clear {
		r.hidden("its options are not understood")
	}
	for _, o := range p.options {
		switch {
		case o.name == "-o":
			r.sshSetting(o.value)
		case o.name == "-F" && printedFile(o.value):
			r.hidden("its settings are what somebody prints")
		}
	}
	if n < len(r.words) { // options may follow the host
		more := g.parse(r.words[n+1:])
		n += 1 + more.rest
	}
	r.self().Own = min(n, len(r.words))
	if n < len(r.words) {
		r.joinedCode(r.words[n:], r.below())
		return
	}
	r.startShell()
}

// sshSetting looks for a command in a setting of ssh.
func (r *runner) sshSetting(w Word) {
	v, known := w.Known()
	if !known {
		r.hidden("its settings are only known at run time")
		return
	}
	v = strings.TrimLeft(v, " \t\f\r\"")
	key := v[:strings.IndexAny(v+"=", "= \t\f\r\"")]
	switch strings.ToLower(key) {
	case "proxycommand", "localcommand", "knownhostscommand":
		r.code(Text(strings.TrimLeft(v[len(key):], "= \t\f\r\"")), POSIX, r.below())
	}
}

// copier is scp or sftp, which take ssh's settings.
func (r *runner) copier() {
	r.codeInOptions()
	for i := 1; i < len(r.words); i++ {
		switch p := r.words[i].Prefix(); {
		case p == "-o" && i+1 < len(r.words):
			r.sshSetting(r.words[i+1])
		case strings.HasPrefix(p, "-o"):
			r.sshSetting(cut(r.words[i], 2))
		}
	}
}

// sudoEdit writes the files that it names.
func (r *runner) sudoEdit() {
	p := wrappers["sudo"].parse(r.words[1:])
	for _, w := range r.words[min(1+p.rest, len(r.words)):] {
		w.Split = false
		r.self().Redirects = append(r.self().Redirects, Redirect{Write: true, File: w, Op: "sudo -e "})
	}
}

// emulate is zsh's: -c takes code.
func (r *runner) emulate() {
	r.define(Definition{Gone: true}, r.at)
	for i, w := range r.words {
		if p := w.Prefix(); i > 0 && strings.HasPrefix(p, "-") && strings.HasSuffix(p, "c") && i+1 < len(r.words) {
			at := r.below()
			at.outside = false
			r.code(r.words[i+1], r.dialect, at)
			return
		}
	}
}

// argparse is fish's: a specification's part behind ! is code.
func (r *runner) argparse() {
	for _, w := range r.words[1:] {
		text, known := w.Known()
		if !known {
			r.hidden("its specifications are only known at run time")
		}
		if text == "--" {
			return
		}
		if _, code, ok := strings.Cut(text, "!"); ok {
			at := r.below()
			at.outside = false
			r.code(Text(code), Fish, at)
		}
	}
}

func (r *runner) setarch() {
	n := 1
	if len(r.words) > 1 {
		if t, ok := r.words[1].Known(); ok && !strings.HasPrefix(t, "-") {
			n = 2
		}
	}
	p := setarch.parse(r.words[n:])
	if !p.clear {
		r.hidden("its options are not understood")
	}
	if n += p.rest; n >= len(r.words) {
		r.startShell()
		return
	}
	r.inner(n)
}

// multicall runs the program that its first argument names.
func (r *runner) multicall() {
	if len(r.words) < 2 {
		return
	}
	if strings.HasPrefix(r.words[1].Prefix(), "--") {
		return
	}
	r.self().Own = 1
	at := r.below()
	r.runWords(r.words[1:], at)
}

// lineEditor: ed runs what follows a ! among its commands.
func (r *runner) lineEditor() { r.scripted("!") }

// scripted is a program that runs others when its input tells it to, by one of these marks.
func (r *runner) scripted(marks ...string) {
	if r.at.input.kind == inherited {
		return
	}
	marked := len(r.at.input.code) == 0
	for _, text := range r.at.input.code {
		for _, m := range marks {
			marked = marked || strings.Contains(text, m)
		}
	}
	if marked {
		r.hidden("its input may tell it to run commands")
	}
}

// pager: less is told by +COMMAND what to begin with.
func (r *runner) pager() {
	for _, w := range r.words[1:] {
		if p := w.Prefix(); strings.HasPrefix(p, "+") && strings.ContainsAny(p, "!|#v") {
			r.foreign(InArguments, "it is handed commands of its own")
		}
	}
}

func (r *runner) gdb() {
	r.scripted("!", "sh", "py", "pi", "gu", "so", "ma", "pip", "|", "run", "r ")
	for i := 1; i < len(r.words); i++ {
		t, _ := r.words[i].Known()
		switch t {
		case "--args", "-args":
			r.inner(i + 1)
			return
		}
		name, _, _ := strings.Cut(strings.TrimLeft(t, "-"), "=")
		switch name {
		case "ex", "iex", "x", "ix", "command", "eval-command", "init-command", "init-eval-command":
			if t[0] == '-' {
				r.foreign(InArguments, "it runs a script of its own")
			}
		}
	}
}

// capsh hands what follows -- or == to a shell.
func (r *runner) capsh() {
	for i, w := range r.words {
		if t, _ := w.Known(); t == "--" || t == "==" {
			r.self().Own = i + 1
			r.runWords(append([]Word{Text("bash")}, r.words[i+1:]...), r.below())
			return
		}
	}
}

func (r *runner) startDaemon() {
	g := grammar{short: "SKHVn:p:u:Us:R:I:N:mbCotvqPx:a:c:g:r:d:k:O:i", long: []string{"start", "stop", "status", "exec=", "startas=", "name=", "pidfile=", "user=", "chuid=", "group=", "chroot=", "chdir=", "background",
		"make-pidfile", "oknodo", "test", "quiet", "verbose", "retry=", "signal=", "output=", "no-close", "umask=", "nicelevel="}}
	p := g.parse(r.words[1:])
	if !p.clear {
		r.hidden("its options are not understood")
	}
	program, ok := p.value("-a", "--startas")
	if !ok {
		program, ok = p.value("-x", "--exec")
	}
	if ok && !p.has("-K", "--stop", "--status") {
		r.self().Own = min(1+p.rest, len(r.words))
		r.runWords(append([]Word{program}, r.words[r.self().Own:]...), r.below())
	}
}

// perf runs what follows the options of some of its commands, whose values are no programs.
func (r *runner) perf() {
	if len(r.words) < 3 {
		return
	}
	switch t, _ := r.words[1].Known(); t {
	case "record", "stat", "trace", "bench", "mem", "kmem", "lock", "sched", "ftrace", "c2c":
		for _, w := range r.words[2:] {
			if !strings.HasPrefix(w.Prefix(), "-") {
				r.hidden("it may run its arguments")
				r.guess(r.words[2:])
				return
			}
		}
	}
}

func (r *runner) socat() {
	for _, w := range r.words[1:] {
		p := w.Prefix()
		for _, part := range strings.Split(p, "!!") {
			kind, rest, ok := strings.Cut(part, ":")
			switch kind = strings.ToUpper(kind); {
			case !ok || kind != "EXEC" && kind != "SYSTEM" && kind != "SHELL":
			case len(w.Pieces) > 1:
				r.hidden("its code is only known at run time")
			default:
				rest, _, _ = strings.Cut(rest, ",") // its options
				r.code(Text(rest), POSIX, r.below())
			}
		}
	}
}

// enable -f loads a builtin from a file.
func (r *runner) enable() {
	for _, w := range r.words[1:] {
		if p := w.Prefix(); strings.HasPrefix(p, "-") && strings.Contains(p, "f") {
			r.foreign(InFile, "it loads a builtin from a file")
		}
	}
}

// fc runs earlier lines, but for -l.
func (r *runner) fc() {
	for _, w := range r.words[1:] {
		if p := w.Prefix(); strings.HasPrefix(p, "-") && strings.Contains(p, "l") {
			return
		}
	}
	r.hidden("it refers to an earlier line")
}

func (r *runner) later() {
	if r.name == "crontab" && len(r.words) > 1 {
		if t, _ := r.words[len(r.words)-1].Known(); t == "-l" {
			return
		}
	}
	r.hidden("it runs commands later")
}
