package syntax

import (
	"strings"
)

// wrappers are the programs that run the command which follows their options and operands, with the options of their
// GNU, BSD and busybox makes taken together.
var wrappers = map[string]wrapper{
	"sudo": {grammar: grammar{short: "ABbEeHhKklNnPSsViva:C:c:D:g:p:R:r:t:T:U:u:", long: []string{"askpass", "auth-type=", "background",
		"bell", "close-from=", "login-class=", "chdir=", "preserve-env", "edit", "group=", "set-home", "help", "host=", "login", "remove-timestamp",
		"reset-timestamp", "list", "non-interactive", "preserve-groups", "prompt=", "chroot=", "role=", "stdin", "shell", "type=",
		"command-timeout=", "other-user=", "user=", "version", "validate", "no-update"}},
		assigns: true, shell: []string{"-s", "--shell", "-i", "--login"}, noRun: []string{"-e", "--edit", "-l", "--list", "-V", "-v", "-K"}, chdir: []string{"-D", "--chdir"}},
	"doas":  {grammar: grammar{short: "Lnsa:C:u:"}, shell: []string{"-s"}, noRun: []string{"-C"}},
	"nohup": {}, "cttyhack": {}, "setsid": {grammar: grammar{short: "cfw", long: []string{"ctty", "fork", "wait"}}},
	"nice":   {grammar: grammar{short: "n:0123456789", long: []string{"adjustment="}}},
	"ionice": {grammar: grammar{short: "c:n:p:P:u:t", long: []string{"class=", "classdata=", "pid=", "pgid=", "uid=", "ignore"}}, noRun: []string{"-p", "-P", "-u", "--pid", "--pgid", "--uid"}},
	"time":   {grammar: grammar{short: "apvqhlf:o:V", long: []string{"append", "portability", "verbose", "quiet", "format=", "output=", "help", "version"}}},
	"timeout": {grammar: grammar{short: "fpvk:s:t:", long: []string{"foreground", "preserve-status", "verbose", "kill-after=", "signal="}},
		operands: 1},
	"stdbuf":  {grammar: grammar{short: "i:o:e:", long: []string{"input=", "output=", "error="}}},
	"chroot":  {grammar: grammar{short: "G:g:u:n", long: []string{"groups=", "userspec=", "skip-chdir"}}, operands: 1, always: true},
	"command": {grammar: grammar{short: "pvV"}, noRun: []string{"-v", "-V"}},
	"repeat":  {operands: 1},
	"coproc":  {}, // in zsh, and in sh's grammar
	"builtin": {}, "noglob": {}, "nocorrect": {}, "-": {},
	"exec": {grammar: grammar{short: "cla:"}},
	"watch": {grammar: grammar{short: "bcCdegprtTwxn:q:s:", long: []string{"beep", "color", "no-color", "differences", "errexit", "chgexit",
		"equexit=", "interval=", "precise", "no-rerun", "no-title", "no-wrap", "exec", "shotsdir="}}, joined: true},
	"strace": {grammar: grammar{short: "ACcDdfFhiknNqrtTvVwxyYzZa:b:e:E:I:o:O:p:P:s:S:u:U:X:", long: []string{"follow-forks", "output=", "trace=", "attach=", "summary", "summary-only"}}},
	"ltrace": {grammar: grammar{short: "bcCfhiLrStTVa:A:D:e:F:l:n:o:p:s:u:w:x:X:"}},
	"chrt": {grammar: grammar{short: "abdfhimoprRvVD:P:T:", long: []string{"batch", "deadline", "fifo", "idle", "other", "rr", "all-tasks", "pid", "max", "reset-on-fork"}},
		operands: 1, noRun: []string{"-p", "--pid", "-m", "--max"}},
	"taskset":   {grammar: grammar{short: "acphV", long: []string{"all-tasks", "cpu-list", "pid"}}, operands: 1, noRun: []string{"-p", "--pid"}},
	"linux64":   setarch,
	"linux32":   setarch,
	"i386":      setarch,
	"x86_64":    setarch,
	"uname26":   setarch,
	"unshare":   {grammar: grammar{short: "imnpuUCTfrchVG:S:R:w:", long: unshareLong}, always: true, chdir: []string{"-w", "--wd"}},
	"nsenter":   {grammar: grammar{short: "aheFVZcm::u::i::n::p::U::C::T::r::w::t:G:S:W:", long: nsenterLong}, always: true},
	"setpriv":   {grammar: grammar{short: "dhV", long: []string{"ambient-caps=", "bounding-set=", "clear-groups", "dump", "euid=", "egid=", "groups=", "inh-caps=", "init-groups", "keep-groups", "list-caps", "no-new-privs", "pdeathsig=", "regid=", "reset-env", "reuid=", "rgid=", "ruid=", "securebits=", "selinux-label=", "apparmor-profile="}}},
	"prlimit":   {grammar: grammar{short: "c::d::e::f::i::l::m::n::q::r::s::t::u::v::x::y::ho:p:V", long: []string{"pid=", "nofile=", "nproc=", "core=", "as=", "cpu=", "data=", "fsize=", "stack=", "rss=", "memlock=", "output=", "raw", "noheadings", "verbose"}}, noRun: []string{"-p", "--pid"}},
	"cpulimit":  {grammar: grammar{short: "l:fkbimsvzp:e:P:"}},
	"catchsegv": {}, "fakeroot": {grammar: grammar{short: "hvul:s:i:b:", long: []string{"lib=", "faked=", "unknown-is-real"}}},
	"valgrind":         {dashes: true},
	"eatmydata":        {},
	"firejail":         {dashes: true, always: true},
	"runcon":           {grammar: grammar{short: "ct:u:r:l:", long: []string{"compute", "type=", "user=", "role=", "range="}}},
	"numactl":          {grammar: grammar{short: "asHi:N:C:p:m:lL:o:w:", long: []string{"all", "show", "hardware", "interleave=", "cpunodebind=", "physcpubind=", "preferred=", "membind=", "localalloc", "balancing", "preferred-many="}}},
	"s6-setuidgid":     {operands: 1},
	"s6-envdir":        {operands: 1},
	"entr":             {grammar: grammar{short: "acdnprsxz"}, joinedIf: []string{"-s"}},
	"unbuffer":         {grammar: grammar{short: "p"}},
	"dumb-init":        {grammar: grammar{short: "chvVr:", long: []string{"single-child", "verbose", "rewrite="}}},
	"tini":             {grammar: grammar{short: "gswvhp:e:l"}},
	"gosu":             {operands: 1},
	"su-exec":          {operands: 1},
	"chpst":            {grammar: grammar{short: "vP012u:U:b:e:/:n:l:L:m:d:o:p:f:c:r:t:"}},
	"softlimit":        {grammar: grammar{short: "a:c:d:f:l:m:o:p:r:s:t:"}},
	"envdir":           {operands: 1},
	"setuidgid":        {operands: 1},
	"proot":            {grammar: grammar{short: "0r:b:w:q:k:R:S:v:"}, always: true},
	"bwrap":            {grammar: grammar{long: []string{"unshare-all", "share-net", "die-with-parent", "proc=", "dev=", "tmpfs=", "chdir=", "new-session"}}, always: true},
	"systemd-run":      {grammar: grammar{short: "GPtdqrSH:M:p:u:E:", long: []string{"scope", "user", "system", "unit=", "property=", "pty", "pipe", "wait", "quiet", "collect", "slice=", "uid=", "gid=", "shell"}}, shell: []string{"-S", "--shell"}},
	"systemd-cat":      {grammar: grammar{short: "t:p:", long: []string{"identifier=", "priority="}}},
	"pkexec":           {grammar: grammar{long: []string{"user=", "disable-internal-agent", "keep-cwd"}}, always: true},
	"dbus-run-session": {grammar: grammar{long: []string{"config-file=", "dbus-daemon="}}},
	"ssh-agent":        {grammar: grammar{short: "acDdkst:a:E:P:O:"}},
	"rlwrap":           {grammar: grammar{short: "aAcCeiIlnNorRsStvwz:b:f:H:p:P:q:"}},
	"torsocks":         {}, "proxychains": {grammar: grammar{short: "qf:"}}, "proxychains4": {grammar: grammar{short: "qf:"}},
}

var setarch = wrapper{grammar: grammar{short: "vhVBFILRSTXZ3p", long: []string{"32bit", "fdpic-funcptrs", "short-inode", "addr-compat-layout", "addr-no-randomize",
	"whole-seconds", "sticky-timeouts", "read-implies-exec", "mmap-page-zero", "3gb", "4gb", "uname-2.6", "verbose", "list"}}, always: true}

var unshareLong = []string{"ipc", "mount", "net", "pid", "uts", "user", "cgroup", "time", "fork", "kill-child", "mount-proc", "map-root-user",
	"map-current-user", "map-auto", "map-user=", "map-group=", "map-users=", "map-groups=", "keep-caps", "propagation=", "setgroups=", "root=", "wd=", "setuid=", "setgid=", "monotonic=", "boottime="}

var nsenterLong = []string{"all", "target=", "mount", "uts", "ipc", "net", "pid", "user", "cgroup", "time", "setuid=", "setgid=", "root", "wd", "wdns=",
	"env", "no-fork", "follow-context", "preserve-credentials", "user-parent", "join-cgroup"}

// method returns how the command's program runs others, nil if it does not.
func (r *runner) method() func() {
	switch r.name {
	case "env":
		return r.env
	case "xargs":
		return r.xargs
	case "find":
		return r.find
	case "eval":
		return r.eval
	case "source", ".":
		return r.source
	case "trap":
		return r.trap
	case "alias":
		return r.alias
	case "su", "runuser":
		return r.su
	case "script":
		return r.scriptProgram
	case "tmux", "screen", "byobu", "dtach", "abduco", "zellij", "shpool":
		return r.multiplexer
	case "flock":
		return r.flock
	case "ssh":
		return r.ssh
	case "setarch":
		return r.setarch
	case "busybox", "toybox":
		return r.multicall
	case "parallel":
		return r.parallel
	case "capsh":
		return r.capsh
	case "start-stop-daemon":
		return r.startDaemon
	case "perf":
		return r.perf
	case "socat":
		return r.socat
	case "enable":
		return r.enable
	case "fc":
		return r.fc
	case "gdb":
		return r.gdb
	case "sed", "gsed":
		return r.sed
	case "less":
		return r.pager
	case "ed", "red":
		return r.lineEditor
	case "vi", "vim", "nvim", "ex", "view", "vimdiff", "rvim":
		return r.editor
	case "awk", "gawk", "mawk", "nawk":
		return r.awk
	case "ip":
		return r.ip
	case "hash":
		return r.hash
	case "complete", "compgen":
		r.setters()
		return r.complete
	case "mapfile", "readarray":
		return r.mapfile
	case "bind":
		return r.bind
	case "bindkey":
		return r.bindkey
	case "print":
		r.setters()
		return r.zshPrint
	case "zstyle":
		r.setters()
		return r.zstyle
	case "zpty":
		r.setters()
		return r.zpty
	case "autoload":
		return r.autoload
	case "foreach":
		return r.foreach
	case "sched":
		return r.sched
	case "zargs":
		return r.zargs
	case "zmv", "zcp", "zln":
		return r.zmv
	case "zle":
		return r.zle
	case "printf":
		return r.printfBuiltin
	case "vared", "getln", "sysread", "sysopen", "syserror", "strftime", "zformat", "zparseopts", "zregexparse", "zstat", "stat", "zselect", "zsocket", "zcurses", "ztie", "private":
		return r.setters
	case "unalias", "unset", "unfunction", "unhash", "functions", "disable":
		return r.forget
	case "setopt", "unsetopt", "shopt":
		return r.options
	case "read":
		return r.read
	case "getopts":
		return r.getopts
	case "let":
		return r.let
	case "shift", "exit", "return", "break", "continue", "ulimit":
		return r.counted
	case "test", "[":
		return r.test
	case "wait":
		return r.wait
	case "jobs":
		return r.jobs
	case "export", "declare", "typeset", "local", "readonly", "nameref", "integer", "float":
		return r.declareLike
	case "at", "batch", "crontab":
		return r.later
	}
	switch r.name {
	case "scp", "sftp":
		return r.copier
	case "sudoedit":
		return r.sudoEdit
	case "emulate":
		return r.emulate
	case "argparse":
		return r.argparse
	}
	switch {
	case r.dialect == Fish && r.name == "commandline":
		return r.commandline
	case r.name == "r" && (r.dialect == Zsh || r.dialect == Mksh):
		return r.fc
	case strings.HasPrefix(r.name, "zf_"): // zsh's own forms of rm, ln and their kin
		return func() { r.runWords(append([]Word{Text(r.name[3:])}, r.words[1:]...), r.below()) }
	}
	if r.dialect == Fish && r.name == "set" {
		return r.fishSet
	}
	if r.name == "set" {
		return r.set
	}
	if _, ok := codeOptions[r.name]; ok {
		return r.codeInOptions
	}
	if w, ok := wrappers[r.name]; ok {
		return func() {
			if r.name == "watch" {
				w.joined = !w.parse(r.words[1:]).has("-x", "--exec")
			}
			r.wrapped(w)
			switch r.name {
			case "sudo":
				if w.parse(r.words[1:]).has("-e", "--edit") {
					r.sudoEdit()
				}
			case "command", "builtin", "coproc", "exec", "noglob", "nocorrect", "repeat", "-":
				r.markShellOwn()
			}
		}
	}
	if _, ok := DialectOf(r.name); ok {
		return r.shell
	}
	if strings.HasPrefix(r.name, "ld-") && strings.Contains(r.name, ".so") || r.name == "ld.so" {
		return func() {
			r.wrapped(wrapper{grammar: grammar{long: []string{"library-path=", "inhibit-rpath=", "audit=", "preload=", "argv0=", "inhibit-cache", "list", "verify",
				"list-tunables", "list-diagnostics", "help", "version"}}, noRun: []string{"--list", "--verify", "--list-tunables", "--list-diagnostics", "--help", "--version"}})
		}
	}
	if i, ok := interpreterOf(r.name); ok {
		return func() { r.interpreter(i) }
	}
	return nil
}
