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
	"readonly", "repeat", "return", "set", "shift", "suspend", "test", "times", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "wait"}

// free says whether a command needs no rule.
func free(c *syntax.Command) bool {
	name, ok := c.Program()
	if !ok || c.Outside {
		return false
	}
	// exec alone only opens the files of its redirections, which are judged by themselves.
	return slices.Contains(freeBuiltins, name) || name == "exec" && len(c.Words) == 1
}

// steering are variables that decide which programs run, make a program run others, or say where it finds what it
// obeys. HOME also decides what ~ is.
var steering = []string{
	"*_functions", "AWKLIBPATH", "AWKPATH", "BASHOPTS", "BASH_ALIASES", "BASH_CMDS", "BASH_ENV", "BASH_FUNC_*", "BROWSER", "BUNDLE_GEMFILE", "CDPATH",
	"CURL_HOME", "DIRSTACK", "DYLD_*", "EDITOR", "ENV", "EXINIT", "FCEDIT", "FPATH", "GCONV_PATH", "GEM_HOME", "GEM_PATH", "GIT_*", "GLIBC_TUNABLES",
	"GUILE_LOAD_*", "HISTCHARS", "HISTFILE", "HOME", "INPUTRC", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JULIA_DEPOT_PATH", "JULIA_LOAD_PATH", "KUBE_EDITOR",
	"LD_*", "LESSCLOSE", "LESSKEY*", "LESSOPEN", "LOCPATH", "LUA_*", "MAKEFLAGS", "MANOPT", "MANPAGER", "MANROFFOPT", "NODE_OPTIONS", "NODE_PATH",
	"NODE_REPL_EXTERNAL_MODULE", "NULLCMD", "OLDPWD", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES", "PAGER", "PATH", "PERL5*", "PERLDB*",
	"PERLLIB", "PHPRC", "PHP_INI_SCAN_DIR", "POSTEDIT", "PROMPT", "PROMPT[2-4]", "PROMPT_COMMAND", "PSQLRC", "PSQL_*", "PS[0-9]", "PWD", "PYTHON*",
	"READNULLCMD", "RPROMPT", "RPROMPT2", "RPS[12]", "RSYNC_CONNECT_PROG", "RSYNC_RSH", "RUBY*", "R_ENVIRON*", "R_PROFILE*", "SCREENRC", "SHELL", "SHELLOPTS", "SPROMPT",
	"SSH_ASKPASS", "SUDO_*", "SYSTEMD_EDITOR", "SYSTEMD_PAGER", "TAR_OPTIONS", "TCLLIBPATH", "VIM", "VIMINIT", "VIMRUNTIME", "VISUAL", "WGETRC",
	"XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "ZDOTDIR", "_JAVA_OPTIONS", "aliases", "commands", "dis_*", "fish_*", "fpath", "functions", "galiases", "histchars",
	"path", "prompt", "saliases",
}

func steers(name string) bool {
	name, _, _ = strings.Cut(name, "[")
	for _, p := range steering {
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}
