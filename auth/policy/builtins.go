package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// freeBuiltins of a shell need no rule under an allowlist: they read and write no file and start nothing.
var freeBuiltins = []string{":", "[", "[[", "bg", "break", "builtin", "cd", "chdir", "command", "continue", "declare", "dirs", "disown", "exit",
	"export", "false", "fg", "getopts", "help", "jobs", "let", "local", "logout", "nocorrect", "noglob", "popd", "pushd", "pwd", "read",
	"readonly", "return", "set", "shift", "suspend", "test", "times", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "wait"}

// free says whether a command needs no rule.
func free(c *syntax.Command) bool {
	name, ok := c.Program()
	if !ok || c.Outside {
		return false
	}
	// exec alone only opens the files of its redirections, which are judged by themselves.
	return slices.Contains(freeBuiltins, name) || name == "exec" && len(c.Words) == 1
}

// steering are variables that decide which programs run, or make a program run others.
var steering = []string{"BASH_ENV", "BASH_FUNC_*", "BROWSER", "CDPATH", "DYLD_*", "EDITOR", "ENV", "FCEDIT", "FPATH", "GCONV_PATH", "GIT_*", "HISTFILE",
	"BASH_ALIASES", "BASH_CMDS", "DIRSTACK", "EXINIT", "INPUTRC", "JAVA_TOOL_OPTIONS", "LD_*", "LESSCLOSE", "LESSOPEN", "LOCPATH", "MANPAGER", "NODE_OPTIONS", "NODE_PATH", "NULLCMD", "PAGER", "PATH",
	"MAKEFLAGS", "OLDPWD", "PERL5*", "PERLLIB", "POSTEDIT", "PROMPT", "PROMPT[2-4]", "PROMPT_COMMAND", "PS[0-9]", "PWD", "PYTHON*", "READNULLCMD", "RPROMPT", "RPROMPT2", "RPS[12]", "RSYNC_RSH", "RUBY*", "SHELL", "SHELLOPTS", "BASHOPTS", "SUDO_*",
	"SYSTEMD_EDITOR", "SYSTEMD_PAGER", "TAR_OPTIONS", "SPROMPT", "VIMINIT", "VISUAL", "ZDOTDIR", "_JAVA_OPTIONS", "precmd_functions", "preexec_functions", "chpwd_functions", "path", "fpath", "fish_*",
	"aliases", "commands", "dis_*", "functions", "galiases", "prompt", "saliases", "*_functions"}

func steers(name string) bool {
	name, _, _ = strings.Cut(name, "[")
	for _, p := range steering {
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}
