package syntax

import (
	"strings"
)

// codeOptions are options of programs that do other things, whose value is a command all the same. A name that ends
// with "=" is taken with what is attached to it, any other with the next word.
var codeOptions = map[string][]string{
	"tar":    {"--to-command=", "--to-command", "--checkpoint-action=exec=", "--use-compress-program=", "--use-compress-program", "-I", "--info-script=", "--info-script", "-F", "--new-volume-script=", "--rsh-command="},
	"rsync":  {"-e", "--rsh=", "--rsh", "--rsync-path="},
	"split":  {"--filter=", "--filter"},
	"sort":   {"--compress-program=", "--compress-program"},
	"zip":    {"-TT", "--unzip-command="},
	"man":    {"-P", "--pager=", "--pager", "-H"},
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
	"git": {"run", "foreach"},
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
			case len(o) == 2 && len(p) > 2 && strings.HasPrefix(p, o) && strings.ContainsAny(p, "/ "):
				r.code(cut(r.words[i], len(o)), POSIX, r.below())
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

// gitOptions: -c may define an alias or a pager that is a command.
func (r *runner) gitOptions() {
	for i := 1; i+1 < len(r.words); i++ {
		switch t, _ := r.words[i].Known(); t {
		case "-c", "--config-env":
			if name := strings.ToLower(r.words[i+1].Prefix()); !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "color.") && !strings.HasPrefix(name, "advice.") {
				r.foreign(InArguments, "its configuration may name commands")
			}
		case "-x", "--exec", "--upload-pack":
			r.code(r.words[i+1], POSIX, r.below())
		}
	}
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
