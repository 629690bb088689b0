package line

import (
	"path"
	"strings"
)

// shells is what is known of the shells of a session by their prompts, and of the program that was started last. It is
// only as good as evidence from a screen can be: an agent's word goes before it.
type shells struct {
	prompts   []knownPrompt // newest last
	pasting   bool          // some shell here asks for bracketed pastes
	modal     bool          // the shell that was seen last announces its editor
	last      string        // the newest command line
	container string        // the terminal multiplexer that was started
	fresh     bool          // a shell was started and its prompt was not seen yet
	inside    bool          // the newest line was a further line of a command: nothing of it has run if another one follows
}

// editorKind is how an editor announces that it reads: not at all, by switching modes, bracketed paste among them.
type editorKind uint8

const (
	silent editorKind = iota
	modal
	pasting
)

type knownPrompt struct {
	text  string
	modal bool
}

const maxPrompts = 16

func (s *shells) known(left string, modal bool) bool {
	for _, p := range s.prompts {
		if p.modal == modal && alike(p.text, left) == len(left) {
			return true
		}
	}
	return false
}

// prompted tells that the shells that announce their editor were seen to show a prompt, always.
func (s *shells) prompted() bool {
	return s.modal && !s.fresh && !s.sets() && !reads(s.last) && !s.known("", true)
}

// alike tells how many bytes at the start of a text are the same prompt: what it counts (the time, lines, jobs, what the
// last command returned) may have changed. It is -1 where the text does not begin with it.
func alike(prompt, text string) int {
	i, j := 0, 0
	for i < len(prompt) {
		if j == len(text) {
			return -1
		}
		if digit(prompt[i]) && digit(text[j]) {
			i, j = digits(prompt, i), digits(text, j)
			continue
		}
		if prompt[i] != text[j] {
			return -1
		}
		i, j = i+1, j+1
	}
	return j
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

func digits(s string, i int) int {
	for i < len(s) && digit(s[i]) {
		i++
	}
	return i
}

// prefix finds the longest known prompt at the start of a text that has more.
func (s *shells) prefix(text string, modal bool) (string, bool) {
	best := 0
	for _, p := range s.prompts {
		if n := alike(p.text, text); p.modal == modal && n > best && n < len(text) {
			best = n
		}
	}
	return text[:best], best > 0
}

// suffix cuts off what a program left before the prompt when it ended without a new line.
func (s *shells) suffix(left string) string {
	for i := range left {
		for _, p := range s.prompts {
			if n := alike(p.text, left[i:]); !p.modal && n > 0 && n == len(left)-i {
				return left[i:]
			}
		}
	}
	return left
}

// split cuts a row at a known prompt: at its start, or, where no editor announces itself, behind what was echoed before it.
func (s *shells) split(row string, modal bool) (prompt, rest string, ok bool) {
	for _, p := range s.prompts {
		if n := alike(strings.TrimRight(p.text, " "), row); p.modal == modal && n == len(row) {
			return row, "", true // a row's blanks at the end do not count
		}
	}
	if p, ok := s.prefix(row, modal); ok {
		return p, row[len(p):], true
	}
	if modal {
		return "", "", false
	}
	for i := range row {
		for _, p := range s.prompts {
			if n := alike(p.text, row[i:]); !p.modal && n > 0 {
				return row[i : i+n], row[i+n:], true
			}
		}
	}
	return "", "", false
}

func (s *shells) learn(text string, modal bool) {
	for i, p := range s.prompts {
		if p.modal == modal && alike(p.text, text) == len(text) {
			p.text = text
			s.prompts = append(append(s.prompts[:i:i], s.prompts[i+1:]...), p)
			s.modal = modal
			return
		}
	}
	if len(s.prompts) == maxPrompts {
		s.prompts = append([]knownPrompt(nil), s.prompts[1:]...)
	}
	s.prompts = append(s.prompts, knownPrompt{text, modal})
	s.modal = modal
}

// continuation tells the prompts that shells show inside an unfinished command.
func continuation(p string) bool {
	t := strings.TrimSpace(p)
	if t == ">" {
		return true
	}
	if !strings.HasSuffix(t, ">") {
		return false
	}
	for _, w := range strings.Fields(strings.TrimSuffix(t, ">")) {
		switch w {
		case "quote", "dquote", "bquote", "heredoc", "for", "while", "until", "if", "then", "else", "elif", "elif-then",
			"case", "select", "function", "subsh", "cursh", "cmdsubst", "cmdand", "cmdor", "pipe", "braceparam", "array", "mathsubst", "math", "repeat", "foreach", "errpipe", "always", "cond":
		default:
			return false
		}
	}
	return true
}

// isShell tells whether a line read behind this prompt went to a shell, and learns the prompt.
func (s *shells) isShell(prompt string, ed editorKind) bool {
	ok := s.looksShell(prompt, ed)
	modal := ed != silent
	s.pasting = s.pasting || ok && ed == pasting
	if ok {
		s.inside = continuation(prompt)
	}
	if ok && !continuation(prompt) || ok && len(s.prompts) == 0 {
		s.learn(prompt, modal)
		s.fresh = false
	}
	return ok
}

func (s *shells) looksShell(prompt string, ed editorKind) bool {
	modal := ed != silent
	first := len(s.prompts) == 0
	switch {
	case first, s.known(prompt, modal), s.fresh:
		return true
	case s.inside && continuation(prompt):
		return true
	case reads(s.last):
		return false
	case modal:
		return ed == pasting || !s.pasting
	case s.modal:
		return false
	case continuation(prompt):
		return true
	}
	return s.changes() && similarEnd(prompt, s.prompts)
}

// changes tells that the newest command may have changed the prompt.
func (s *shells) changes() bool {
	p := program(s.last)
	return s.moves() || s.sets() || p == "exit" || p == "logout"
}

// moves tells that it may have gone to another directory, which many prompts show.
func (s *shells) moves() bool {
	switch program(s.last) {
	case "cd", "pushd", "popd":
		return true
	}
	return strings.Contains(s.last, "cd ")
}

// sets tells that it may have set the prompt to anything.
func (s *shells) sets() bool {
	switch program(s.last) {
	case "export", ".", "source", "set", "unset", "eval", "PS1":
		return true
	}
	return strings.Contains(s.last, "PS1=")
}

func similarEnd(p string, known []knownPrompt) bool {
	t := strings.TrimRight(p, " ")
	if t == "" {
		return false
	}
	for _, k := range known {
		u := strings.TrimRight(k.text, " ")
		if u != "" && u[len(u)-1] == t[len(t)-1] {
			return true
		}
	}
	return strings.ContainsRune("$#%>", rune(t[len(t)-1]))
}

// ran notes a command line that a shell accepted.
func (s *shells) ran(text string) {
	s.last = text
	if startsShell(text) {
		s.fresh = true
	}
	switch p := program(text); p {
	case "tmux", "screen", "byobu", "zellij", "dtach", "abduco":
		s.container = p
		s.fresh = true
	}
}

// words splits roughly: enough to know a program's name.
func words(text string) []string {
	if i := strings.LastIndexAny(text, ";|&"); i >= 0 && i+1 < len(text) {
		text = text[i+1:]
	}
	f := strings.Fields(text)
	for len(f) > 0 {
		w := path.Base(f[0])
		switch {
		case strings.Contains(f[0], "=") && !strings.HasPrefix(f[0], "="):
			if len(f) == 1 {
				return []string{strings.SplitN(f[0], "=", 2)[0]}
			}
			f = f[1:]
		case w == "sudo" || w == "doas" || w == "env" || w == "exec" || w == "command" || w == "nohup" || w == "nice" || w == "time" || w == "setsid" || w == "busybox" || w == "stdbuf" || w == "builtin":
			if len(f) == 1 {
				return f
			}
			if w == "sudo" && (f[1] == "-i" || f[1] == "-s" || f[1] == "su") {
				return []string{"su"}
			}
			f = f[1:]
			for len(f) > 1 && strings.HasPrefix(f[0], "-") {
				f = f[1:]
			}
		default:
			return f
		}
	}
	return f
}

func program(text string) string {
	f := words(text)
	if len(f) == 0 {
		return ""
	}
	return path.Base(f[0])
}

// startsShell tells that a command line starts an interactive shell.
func startsShell(text string) bool {
	f := words(text)
	if len(f) == 0 {
		return false
	}
	switch path.Base(f[0]) {
	case "sh", "bash", "dash", "ash", "zsh", "fish", "ksh", "ksh93", "mksh", "rbash", "static-sh":
		for i := 1; i < len(f); i++ {
			a := f[i]
			switch {
			case a == "--rcfile" || a == "--init-file" || a == "-o" || a == "+o" || a == "-O":
				i++
			case strings.HasPrefix(a, "--"), a == "-":
			case strings.HasPrefix(a, "-"), strings.HasPrefix(a, "+"):
				if strings.Contains(a, "c") {
					return false
				}
			default:
				return false
			}
		}
		return true
	case "su", "login", "ssh", "chroot", "nsenter", "unshare", "newgrp", "sg", "script", "telnet", "mosh", "runuser", "machinectl":
		return !strings.Contains(text, " -c ")
	case "docker", "podman", "kubectl", "crictl", "nerdctl":
		return strings.Contains(text, "exec") || strings.Contains(text, "run")
	}
	return false
}

// reads tells the programs that are known to read lines themselves.
func reads(text string) bool {
	p := program(text)
	switch p {
	case "python", "bc", "dc", "sqlite3", "psql", "mysql", "mariadb", "node", "irb", "lua", "php", "perl", "gdb", "ghci",
		"ftp", "sftp", "redis-cli", "mongo", "mongosh", "vared", "read", "ed", "tclsh", "erl", "iex", "scala", "jshell", "R",
		"octave", "gnuplot", "nslookup", "fdisk", "parted", "gdisk":
		return true
	}
	return strings.HasPrefix(p, "python") || strings.HasPrefix(p, "lua5") || strings.HasPrefix(p, "ruby")
}
