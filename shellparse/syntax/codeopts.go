package syntax

import (
	"slices"
	"strings"
)

// codeOptions are options of programs that do other things, whose value is a command all the same. A name that ends
// with "=" is taken with what is attached to it, any other with the next word.
var codeOptions = map[string][]string{
	"rsync":  {"-e", "--rsh=", "--rsh", "--rsync-path="},
	"split":  {"--filter=", "--filter"},
	"sort":   {"--compress-program=", "--compress-program"},
	"zip":    {"-TT", "--unzip-command="},
	"man":    {"-P", "--pager=", "--pager", "-H", "--html="},
	"nc":     {"-e", "-c"},
	"ncat":   {"-e", "-c", "--exec", "--exec=", "--sh-exec", "--sh-exec="},
	"scp":    {"-S"},
	"sftp":   {"-S"},
	"xterm":  {"-e"},
	"dpkg":   {"--pre-invoke=", "--post-invoke="},
	"rg":     {"--pre", "--pre="},
	"make":   {"SHELL="},
	"pg_ctl": {"-p"},
}

// carried are programs that run what follows one of their arguments.
var carried = map[string][]string{
	"ip":  {"exec"}, // ip netns exec NAME COMMAND
	"git": {"run"},
}

// codeInOptions looks for commands in the options of a program.
func (r *runner) codeInOptions() {
	for _, o := range codeOptions[r.name] {
		for i := 1; i < len(r.words); i++ {
			p := r.words[i].Prefix()
			switch {
			case strings.HasSuffix(o, "=") && strings.HasPrefix(p, o):
				r.code(cut(r.words[i], len(o)), POSIX, r.below())
			case p == o && i+1 < len(r.words):
				r.code(r.words[i+1], POSIX, r.below())
			case r.name == "xterm":
			case len(o) == 2 && len(p) > 2 && strings.HasPrefix(p, o) && (r.name != "rsync" || strings.ContainsAny(p, "/ ")): // rsync --server has an -e of its own
				r.code(cut(r.words[i], len(o)), POSIX, r.below())
			case len(o) == 2 && bundleEnds(p, o[1]) && i+1 < len(r.words):
				r.code(r.words[i+1], POSIX, r.below())
			case abbreviates(p, o):
				if _, value, ok := strings.Cut(p, "="); ok {
					r.code(cut(r.words[i], len(p)-len(value)), POSIX, r.below())
				} else if i+1 < len(r.words) {
					r.code(r.words[i+1], POSIX, r.below())
				}
			}
		}
	}
	for _, word := range carried[r.name] {
		for i := 2; i+1 < len(r.words); i++ {
			if t, _ := r.words[i].Known(); t != word {
				continue
			}
			if r.name == "ip" {
				i++ // the name of the namespace
			}
			if i+1 < len(r.words) {
				r.runWords(r.words[i+1:], r.below())
			}
			return
		}
	}
	if r.name == "git" {
		r.gitOptions()
	}
}

// bundleEnds says whether a word is a bundle of options, the last of which is the given one.
func bundleEnds(word string, option byte) bool {
	if len(word) < 3 || word[0] != '-' || word[len(word)-1] != option {
		return false
	}
	for i := 1; i < len(word); i++ {
		if !isWordByte(word[i]) {
			return false
		}
	}
	return true
}

// abbreviates says whether a word is a long option cut short.
func abbreviates(word, option string) bool {
	name, _, _ := strings.Cut(word, "=")
	full := strings.TrimSuffix(option, "=")
	return len(name) > 3 && strings.HasPrefix(full, "--") && strings.HasPrefix(full, name) && name != full
}

// tar reads its options as getopt does, or, without a dash, from its first word.
func (r *runner) tar() {
	const valued = "bCfFgHIKLNTVX"
	for i := 1; i < len(r.words); i++ {
		p := r.words[i].Prefix()
		switch {
		case p == "--":
			return
		case strings.HasPrefix(p, "--"):
			r.tarLong(i, p)
		case strings.HasPrefix(p, "-") || i == 1:
			letters, next := strings.TrimPrefix(p, "-"), i+1
			for n := 0; n < len(letters); n++ {
				l := letters[n]
				if strings.IndexByte(valued, l) < 0 {
					continue
				}
				var value Word
				attached := strings.HasPrefix(p, "-") && (n+1 < len(letters) || len(r.words[i].Pieces) > 1)
				switch {
				case attached:
					value = cut(r.words[i], len(p)-len(letters)+n+1)
				case next < len(r.words):
					value = r.words[next]
					next++
				}
				if l == 'I' || l == 'F' {
					r.code(value, POSIX, r.below())
				}
				if attached {
					break
				}
			}
			i = next - 1
		}
	}
}

// tarLong looks for a command in a long option, or in one cut short.
func (r *runner) tarLong(i int, p string) {
	for _, o := range []string{"--to-command", "--checkpoint-action", "--use-compress-program", "--info-script", "--new-volume-script", "--rsh-command", "--rmt-command"} {
		name, _, attached := strings.Cut(p, "=")
		if name != o && (!abbreviates(p, o) || name == "--checkpoint") {
			continue
		}
		value := Word{}
		switch {
		case attached:
			value = cut(r.words[i], len(name)+1)
		case i+1 < len(r.words):
			value = r.words[i+1]
		}
		if o == "--checkpoint-action" {
			text, known := value.Known()
			if known && !strings.HasPrefix(text, "exec=") {
				return
			}
			if known {
				value = Text(strings.TrimPrefix(text, "exec="))
			}
		}
		r.code(value, POSIX, r.below())
		return
	}
}

// gitOptions: -c may define an alias or a pager that is a command.
func (r *runner) gitOptions() {
	for i := 1; i+1 < len(r.words); i++ {
		switch t, _ := r.words[i].Known(); t {
		case "-c", "--config-env":
			if name := strings.ToLower(r.words[i+1].Prefix()); !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "color.") && !strings.HasPrefix(name, "advice.") {
				r.foreign(InArguments, "its configuration may name commands")
			}
		case "-x":
			if r.has("difftool", "rebase") {
				r.code(r.words[i+1], POSIX, r.below())
			}
		case "--exec", "--upload-pack", "--extcmd":
			r.code(r.words[i+1], POSIX, r.below())
		case "foreach":
			n := i + 1
			for n < len(r.words) && strings.HasPrefix(r.words[n].Prefix(), "--") {
				n++
			}
			if n < len(r.words) {
				r.self().Own = n
				r.joinedCode(r.words[n:], r.below())
			}
			return
		}
	}
	r.gitAttached()
}

// gitAttached looks for commands in options that carry their value.
func (r *runner) gitAttached() {
	for _, w := range r.words[1:] {
		p := w.Prefix()
		for _, o := range []string{"--extcmd=", "--exec=", "--upload-pack=", "--receive-pack=", "--open-files-in-pager=", "-O", "-x"} {
			if strings.HasPrefix(p, o) && len(p) > len(o) && (o != "-O" || r.has("grep")) && (o != "-x" || r.has("difftool", "rebase")) {
				r.code(cut(w, len(o)), POSIX, r.below())
			}
		}
		if strings.HasPrefix(p, "--exec-path=") {
			r.foreign(InArguments, "it is told where its commands are")
		}
	}
}

// has says whether one of the words is an argument.
func (r *runner) has(words ...string) bool {
	return slices.ContainsFunc(r.words[1:], func(w Word) bool {
		t, known := w.Known()
		return known && slices.Contains(words, t)
	})
}

// editor: vi and its kin run what an option's command tells them.
func (r *runner) editor() {
	for i := 1; i < len(r.words); i++ {
		t, known := r.words[i].Known()
		if !known {
			continue
		}
		command := ""
		switch {
		case strings.HasPrefix(t, "+"):
			command = t[1:]
		case (t == "-c" || t == "--cmd" || t == "-S" || t == "-s") && i+1 < len(r.words):
			command, known = r.words[i+1].Known()
			if !known || t == "-S" || t == "-s" {
				r.foreign(InArguments, "it is handed commands of its own")
				continue
			}
			i++
		}
		if strings.ContainsAny(command, "!") || strings.Contains(command, "system") || strings.Contains(command, "term") || strings.Contains(command, "py") || strings.Contains(command, "lua") {
			r.foreign(InArguments, "it is handed commands of its own")
		}
	}
}
