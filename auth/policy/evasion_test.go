package policy_test

import (
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// without permits what runs other programs, and not touch.
const without = `
mode: allowlist
rules:
  - {id: tools, action: allow, programs: [awk, base64, bash, busybox, cat, chmod, cp, doas, echo, env, find, flock, ls, nice, nohup, nsenter, parallel, perl, printf, python3,
      screen, script, setsid, sh, ssh, tmux, stdbuf, strace, su, sudo, tee, time, timeout, unshare, watch, xargs, alias, eval, exec, trap, source, hash, complete, mapfile, coproc, chroot, git, tar, sed]}
`

// with forbids touch and nothing else.
const with = `
mode: denylist
rules:
  - {id: no-touch, action: deny, programs: [touch], message: "not here"}
`

// evasion is a line that would run touch. Where the text alone cannot tell that it does, a denylist may let it run
// with a warning and low confidence; an allowlist never does.
type evasion struct {
	name    string
	line    string
	dialect syntax.Dialect
	hidden  bool
}

var evasions = []evasion{
	{name: "plain", line: `touch F`},
	{name: "backslash", line: `\touch F`},
	{name: "quotes inside", line: `to''uch F`},
	{name: "double quotes", line: `"touch" F`},
	{name: "dollar quote", line: `$'\x74ouch' F`},
	{name: "dollar quote octal", line: `$'\164\157uch' F`},
	{name: "dollar quote unicode", line: `$'\u0074ouch' F`},
	{name: "IFS", line: `touch${IFS}F`},
	{name: "IFS short", line: `touch$IFS''F`},
	{name: "brace expansion", line: `{touch,F}`},
	{name: "brace expansion of the name", line: `t{ouch,} F`},
	{name: "brace sequence", line: `{t..t}ouch F`},
	{name: "variable", line: `a=touch; $a F`},
	{name: "variable with argument", line: `a='touch F'; $a`},
	{name: "variable in parts", line: `a=to; b=uch; $a$b F`},
	{name: "array", line: `a=(touch F); "${a[@]}"`, hidden: true},
	{name: "export then use", line: `export a=touch; $a F`},
	{name: "loop variable", line: `for c in touch; do $c F; done`},
	{name: "default value", line: `${x:-touch} F`, hidden: true},
	{name: "indirect", line: `b=touch; a=b; ${!a} F`, hidden: true},
	{name: "substring", line: `a=xtouch; ${a#x} F`, hidden: true},
	{name: "name from a command", line: `$(echo touch) F`, hidden: true},
	{name: "name from backquotes", line: "`echo touch` F", hidden: true},
	{name: "glob as the name", line: `/bin/touc? F`, hidden: true},
	{name: "class as the name", line: `/bin/t[o]uch F`, hidden: true},
	{name: "eval", line: `eval touch F`},
	{name: "eval in parts", line: `eval "to""uch" F`},
	{name: "eval of a variable", line: `x=touch; eval "$x F"`, hidden: true},
	{name: "sh -c", line: `sh -c 'touch F'`},
	{name: "bash -lc", line: `bash -lc "touch F"`},
	{name: "sh -c with an argument", line: `sh -c '"$0" F' touch`, hidden: true},
	{name: "sh -c within sh -c", line: `sh -c "sh -c 'touch F'"`},
	{name: "pipe to sh", line: `echo 'touch F' | sh`},
	{name: "pipe to bash -s", line: `printf 'touch F\n' | bash -s`},
	{name: "pipe to a dash that has code", line: `echo 'touch F' | sh -c -s ls`, dialect: syntax.POSIX},
	{name: "printf with parts", line: `printf '%s %s' touch F | sh`},
	{name: "pipe through cat", line: `echo 'touch F' | cat | sh`, hidden: true},
	{name: "base64", line: `echo dG91Y2ggRg== | base64 -d | sh`, hidden: true},
	{name: "here-document to sh", line: "sh <<EOF\ntouch F\nEOF"},
	{name: "here-document to cat to sh", line: "cat <<EOF | sh\ntouch F\nEOF", hidden: true},
	{name: "quoted here-document to sh", line: "bash <<'EOF'\ntouch F\nEOF"},
	{name: "here-document with tabs", line: "sh <<-EOF\n\ttouch F\n\tEOF"},
	{name: "here-string", line: `bash <<< 'touch F'`},
	{name: "substitution in a here-document", line: "cat <<EOF\n$(touch F)\nEOF"},
	{name: "process substitution", line: `cat <(touch F)`},
	{name: "output process substitution", line: `echo x > >(touch F)`},
	{name: "source of a substitution", line: `source <(echo touch F)`, hidden: true},
	{name: "find -exec", line: `find . -exec touch F \;`},
	{name: "find -exec +", line: `find . -exec touch {} +`},
	{name: "find -execdir", line: `find . -execdir touch F ';'`},
	{name: "find -ok", line: `find . -ok touch F \;`},
	{name: "find -exec sh", line: `find . -exec sh -c 'touch F' \;`},
	{name: "xargs", line: `echo F | xargs touch`},
	{name: "xargs with options", line: `echo F | xargs -n 1 -P2 touch`},
	{name: "xargs -I", line: `echo F | xargs -I{} touch {}`},
	{name: "xargs takes the name", line: `echo touch F | xargs env`},
	{name: "xargs -I takes the name", line: `echo touch | xargs -I{} {} F`},
	{name: "xargs sh", line: `echo 'touch F' | xargs -I{} sh -c '{}'`, hidden: true},
	{name: "env", line: `env touch F`},
	{name: "env with an assignment", line: `env A=b touch F`},
	{name: "env -S", line: `env -S 'touch F'`},
	{name: "env -S with an escaped blank", line: `env -S 'touch\_F'`},
	{name: "env -S with quotes inside", line: `env -S "to'uc'h F"`},
	{name: "env -S with an escaped quote", line: `env -S 'sh -c "touch \"F\""'`},
	{name: "env -S with a variable", line: `X=touch env -S '${X} F'`, hidden: true},
	{name: "env -S: a word goes on in the next", line: `env -S'touch' F`},
	{name: "env -i -u", line: `env -i -u X touch F`},
	{name: "sudo", line: `sudo -n -u root touch F`},
	{name: "sudo sh", line: `sudo sh -c 'touch F'`},
	{name: "doas", line: `doas touch F`},
	{name: "nohup", line: `nohup touch F &`},
	{name: "nice", line: `nice -n 5 touch F`},
	{name: "nice old", line: `nice -5 touch F`},
	{name: "timeout", line: `timeout -s KILL 5 touch F`},
	{name: "stdbuf", line: `stdbuf -o0 touch F`},
	{name: "setsid", line: `setsid touch F`},
	{name: "time keyword", line: `time touch F`},
	{name: "time with dashes", line: `time -- touch F`},
	{name: "time with dashes in a pipeline", line: `time -p -- touch F | cat`},
	{name: "time program", line: `\time -p touch F`},
	{name: "command", line: `command touch F`},
	{name: "builtin command", line: `builtin command touch F`},
	{name: "exec", line: `exec touch F`},
	{name: "exec -a", line: `exec -a ls touch F`},
	{name: "chain", line: `sudo env nohup nice timeout 5 touch F`},
	{name: "watch", line: `watch -n 1 touch F`},
	{name: "flock", line: `flock /tmp/l touch F`},
	{name: "flock -c", line: `flock /tmp/l -c 'touch F'`},
	{name: "su -c", line: `su -c 'touch F'`},
	{name: "su user -c", line: `su postgres -c 'touch F'`},
	{name: "su - user -c", line: `su - postgres -c "touch F"`},
	{name: "tmux new", line: `tmux new 'touch F'`, hidden: true},
	{name: "screen", line: `screen -dm touch F`, hidden: true},
	{name: "script -c", line: `script -qc 'touch F' /dev/null`},
	{name: "ssh", line: `ssh host touch F`},
	{name: "strace", line: `strace -f touch F`},
	{name: "unshare", line: `unshare -r touch F`},
	{name: "nsenter", line: `nsenter -t 1 -m touch F`},
	{name: "chroot", line: `chroot / touch F`},
	{name: "parallel", line: `parallel touch ::: F`},
	{name: "parallel alone", line: `parallel ::: 'touch F'`},
	{name: "busybox", line: `busybox touch F`},
	{name: "busybox sh", line: `busybox sh -c 'touch F'`},
	{name: "awk system", line: `awk 'BEGIN{system("touch F")}'`},
	{name: "awk system joined", line: `awk 'BEGIN{system("to" "uch F")}'`, hidden: true},
	{name: "awk pipe", line: `awk 'BEGIN{print "x" | "touch F"}'`},
	{name: "awk getline", line: `awk 'BEGIN{"touch F" | getline x}'`},
	{name: "sed e", line: `sed '1e touch F' /etc/passwd`},
	{name: "sed e behind others", line: `sed -n -e 's/a/b/;/x/{p;d}' -e '$!N;2e touch F' x`},
	{name: "sed s///e", line: `echo x | sed 's/.*/touch F/e'`},
	{name: "sed of a variable", line: `sed "$x" /etc/passwd`, hidden: true},
	{name: "sed with a variable in it", line: `sed "s/a/$x/" /etc/passwd`, hidden: true},
	{name: "tar to a command", line: `tar xf x --to-command='touch F'`},
	{name: "tar checkpoint", line: `tar cf x y --checkpoint=1 --checkpoint-action=exec='touch F'`},
	{name: "tar compressor", line: `tar -I 'touch F' -cf x y`},
	{name: "git alias", line: `git -c alias.x='!touch F' x`, hidden: true},
	{name: "git attached configuration", line: `git -ccore.pager='touch F' log`, hidden: true},
	{name: "git programs from elsewhere", line: `git --exec-path=/tmp/x status`, hidden: true},
	{name: "git rebase --exec=", line: `git rebase --exec='touch F' HEAD~1`},
	{name: "git clone -u", line: `git clone -u 'touch F' x`},
	{name: "git grep -O", line: `git grep -O'touch F' x`},
	{name: "git filter-branch", line: `git filter-branch --tree-filter 'touch F'`},
	{name: "git submodule foreach", line: `git submodule foreach 'touch F'`},
	{name: "git ext::", line: `git ls-remote 'ext::sh -c touch% F'`, hidden: true},
	{name: "tar to a command, abbreviated", line: `tar --to-c='touch F' -xf x`},
	{name: "tar checkpoint, abbreviated", line: `tar --checkpoint=1 --checkpoint-act exec='touch F' -xf x`},
	{name: "tar compressor in a bundle", line: `tar -cvI 'touch F' -f x y`},
	{name: "tar compressor without a dash", line: `tar cIf 'touch F' x y`},
	{name: "sed: options behind a file", line: `sed p x -e '1e touch F'`},
	{name: "strace to a command", line: `strace -o '|touch F' ls`},
	{name: "parallel with a line", line: `parallel 'touch {}' ::: F`},
	{name: "perl: -l before -e", line: `perl -le 'system "touch F"'`, hidden: true},
	{name: "perl: a module that is none", line: `perl '-Mstrict;system("touch F")' x.pl`, hidden: true},
	{name: "git bisect", line: `git bisect run touch F`},
	{name: "perl", line: `perl -e 'system "touch F"'`, hidden: true},
	{name: "python", line: `python3 -c 'import os; os.system("touch F")'`, hidden: true},
	{name: "python here-document", line: "python3 <<EOF\nopen('F','w')\nEOF", hidden: true},
	{name: "path with dots", line: `/bin/../bin/touch F`},
	{name: "path with slashes", line: `//usr//bin/./touch F`},
	{name: "loader", line: `/lib64/ld-linux-x86-64.so.2 /bin/touch F`},
	{name: "group", line: `{ touch F; }`},
	{name: "group over three lines", line: "{\ntouch F\n}"},
	{name: "subshell", line: `(touch F)`},
	{name: "substitution", line: `echo $(touch F)`},
	{name: "backquotes", line: "echo `touch F`"},
	{name: "nested backquotes", line: "echo `echo \\`touch F\\``"},
	{name: "substitution in quotes", line: `echo "a $(touch F) b"`},
	{name: "substitution in arithmetic", line: `echo $(( $(touch F) + 1 ))`},
	{name: "substitution in a default", line: `echo ${x:-$(touch F)}`},
	{name: "substitution in an assignment", line: `x=$(touch F)`},
	{name: "substitution in an array", line: `x=(a $(touch F))`},
	{name: "substitution in an index", line: `x[$(touch F)]=1`},
	{name: "substitution in a redirection", line: `echo > $(touch F)`},
	{name: "subscript in a quoted test", line: `[[ -v 'a[$(touch F)]' ]]`},
	{name: "subscript in a quoted comparison", line: `[[ 1 -lt 'a[$(touch F)]' ]]`},
	{name: "subscript given to test", line: "test -v 'a[`touch F`]'"},
	{name: "subscript given to let", line: `let 'a[$(touch F)]=1'`},
	{name: "subscript that let unquotes", line: `let "a['\$(touch F)']=1"`},
	{name: "subscript in quoted arithmetic", line: `(( 'a[$(touch F)]' ))`},
	{name: "subscript in an expansion", line: `echo $(('a[$(touch F)]'))`},
	{name: "subscript in a loop", line: `for ((i='a[$(touch F)]';;)); do break; done`},
	{name: "subscript of a later variable", line: `x='a[$(touch F)]'; echo $((x))`},
	{name: "subscript of a default", line: `: ${x:='a[$(touch F)]'}; echo $((x))`},
	{name: "subscript given to declare", line: `declare 'a[$(touch F)]=1'`},
	{name: "subscript of a reference", line: `declare -n r='a[$(touch F)]'; echo $r`},
	{name: "subscript given to unset", line: `unset 'a[$(touch F)]'`},
	{name: "subscript given to read", line: `read 'a[$(touch F)]' <<< 1`},
	{name: "subscript given to printf", line: `printf -v 'a[$(touch F)]' x`},
	{name: "array given to declare", line: `declare -a 'a=($(touch F))'`},
	{name: "variable as a prompt", line: `x='$(touch F)'; : ${x@P}`, hidden: true},
	{name: "zsh: variable as code", line: `x='$(touch F)'; : ${(e)x}`, dialect: syntax.Zsh, hidden: true},
	{name: "substitution in case", line: `case $(touch F) in a) ;; esac`},
	{name: "substitution in a test", line: `[[ -n $(touch F) ]]`},
	{name: "and", line: `true && touch F`},
	{name: "or", line: `false || touch F`},
	{name: "background", line: `true & touch F`},
	{name: "pipe", line: `true | touch F`},
	{name: "negated", line: `! touch F`},
	{name: "newline", line: "true\ntouch F"},
	{name: "if", line: `if true; then touch F; fi`},
	{name: "if condition", line: `if touch F; then true; fi`},
	{name: "elif", line: `if false; then true; elif touch F; then true; fi`},
	{name: "else", line: `if false; then true; else touch F; fi`},
	{name: "while", line: `while touch F; do break; done`},
	{name: "until", line: `until false; do touch F; break; done`},
	{name: "for", line: `for i in 1; do touch F; done`},
	{name: "c-style for", line: `for ((i=0;i<1;i++)); do touch F; done`},
	{name: "case", line: `case a in a) touch F;; esac`},
	{name: "select", line: `select x in a; do touch F; done`},
	{name: "coproc", line: `coproc touch F`},
	{name: "function", line: `f() { touch F; }; f`},
	{name: "function that runs its arguments", line: `f() { "$@"; }; f touch F`},
	{name: "function with $1", line: `f() { $1 F; }; f touch`},
	{name: "function keyword", line: `function f { touch F; }; f`},
	{name: "function in the name of another", line: `ls() { touch F; }; ls`},
	{name: "alias", line: "alias x=touch\nx F"},
	{name: "alias in the name of another", line: "alias ls='touch F;ls'\nls"},
	{name: "alias that is not there yet", line: `alias touch=ls; touch F`},
	{name: "function that is not there", line: `false && touch() { ls; }; touch F`},
	{name: "function that is gone", line: `touch() { ls; }; unset -f touch; touch F`},
	{name: "function of a subshell", line: `(touch() { ls; }); touch F`},
	{name: "function of a pipeline", line: `true | touch() { ls; }; touch F`},
	{name: "function of another shell", line: `sh -c 'touch() { ls; }'; touch F`},
	{name: "function that comes later", line: `touch F; touch() { ls; }`},
	{name: "function passed over", line: `touch() { ls; }; command touch F`},
	{name: "alias passed over", line: `alias touch=ls; \touch F`},
	{name: "fish function that is not there", line: `false; and function touch; ls; end; touch F`, dialect: syntax.Fish},
	{name: "trap", line: `trap 'touch F' EXIT`},
	{name: "PROMPT_COMMAND", line: `PROMPT_COMMAND='touch F'`},
	{name: "PS1", line: `PS1='$(touch F)'`},
	{name: "hash -p", line: `hash -p /bin/touch ls; ls F`},
	{name: "complete -C", line: `complete -C 'touch F' ls`},
	{name: "mapfile -C", line: `mapfile -C 'touch F' -c 1 x < /etc/passwd`},
	{name: "backslash-newline in the word", line: "to\\\nuch F"},
	{name: "open quote over lines", line: "echo 'a\nb'; touch F"},
	{name: "quote that closes late", line: "echo \"a\n\"; touch F"},
	{name: "assignment in front", line: `A=b touch F`},
	{name: "redirection in front", line: `>/dev/null touch F`},
	{name: "comment that is none", line: `echo a#b; touch F`},
	{name: "keyword as an argument", line: `echo do; touch F`},
	{name: "history", line: `!!`, hidden: true},
	{name: "history by word", line: `!tou`, hidden: true},
	{name: "history substitution", line: `^ls^touch`, hidden: true},
	{name: "dash: dollar quote is none", line: `$'touch' F`, dialect: syntax.POSIX},
	{name: "ash: dollar quote", line: `$'\x74ouch' F`, dialect: syntax.POSIX},
	{name: "sh that is bash: braces", line: `{touch,F}`, dialect: syntax.POSIX},
	{name: "sh that is bash: &>", line: `true &>/dev/null; touch F`, dialect: syntax.POSIX},
	{name: "dash: & and >", line: `touch F &>/dev/null`, dialect: syntax.POSIX},
	{name: "mksh substitution", line: `echo ${ touch F;}`, dialect: syntax.Mksh},
	{name: "zsh: command of an alias expansion", line: `=touch F`, dialect: syntax.Zsh, hidden: true},
	{name: "zsh: noglob", line: `noglob touch F`, dialect: syntax.Zsh},
	{name: "zsh: repeat", line: `repeat 2 touch F`, dialect: syntax.Zsh},
	{name: "zsh: anonymous function", line: `() { touch F; }`, dialect: syntax.Zsh},
	{name: "zsh: a letter outside ASCII is part of a name", line: "$é''touch F", dialect: syntax.Zsh, hidden: true},
	{name: "zsh: flags before no name", line: `$=''touch F`, dialect: syntax.Zsh, hidden: true},
	{name: "zsh: a backslash that the quote drops", line: `$'t\ouch' F`, dialect: syntax.Zsh},
	{name: "ksh: a backslash that the quote drops", line: `$'t\ouch' F`, dialect: syntax.POSIX, hidden: true},
	{name: "a dollar at the end of its row", line: "touch$\\\n'' F", hidden: true},
	{name: "fish: a comment that hides a quote", line: "echo a\\ #'\ntouch F\n'", dialect: syntax.Fish, hidden: true},
	{name: "fish: brackets that hide a quote", line: "echo a[ #']; touch F", dialect: syntax.Fish, hidden: true},
	{name: "fish: space of another script", line: "\u3000touch F", dialect: syntax.Fish},
	{name: "fish: a vertical tab", line: "true; \vtouch F", dialect: syntax.Fish},
	{name: "fish: a carriage return", line: "env\rtouch\rF", dialect: syntax.Fish, hidden: true},
	{name: "fish substitution", line: `echo (touch F)`, dialect: syntax.Fish},
	{name: "fish quoted substitution", line: `echo "$(touch F)"`, dialect: syntax.Fish},
	{name: "fish escape", line: `\x74ouch F`, dialect: syntax.Fish},
	{name: "fish variable", line: `set a touch; $a F`, dialect: syntax.Fish},
	{name: "fish and", line: `true; and touch F`, dialect: syntax.Fish},
	{name: "fish block", line: `begin; touch F; end`, dialect: syntax.Fish},
	{name: "fish if", line: `if true; touch F; end`, dialect: syntax.Fish},
	{name: "fish function", line: `function f; touch $argv; end; f F`, dialect: syntax.Fish},
	{name: "fish eval", line: `eval touch F`, dialect: syntax.Fish},
	{name: "fish alias", line: `alias x touch; x F`, dialect: syntax.Fish},
	{name: "a bundle that ends in c", line: `sh -oc errexit 'touch F'`},
	{name: "tar: a bundle", line: `tar -cI 'touch F' -f x y`},
	{name: "tar: no dash", line: `tar cIf 'touch F' x y`},
	{name: "tar: an option cut short", line: `tar xf x --to-comm='touch F'`},
	{name: "tar: a checkpoint cut short", line: `tar cf x y --checkpoint=1 --checkpoint-act=exec='touch F'`},
	{name: "tar: a checkpoint in two words", line: `tar cf x y --checkpoint=1 --checkpoint-action exec='touch F'`},
	{name: "tar: a compressor cut short", line: `tar --use-compress='touch F' -cf x y`},
	{name: "awk to a shell", line: `awk 'BEGIN{print "touch F" | "sh"}'`},
	{name: "sed: a command behind v", line: `sed 'v 4.2;e touch F' x`},
	{name: "sed: a script behind a file", line: `sed 'a\' -e 'e touch F' x`},
	{name: "sed: a script over two options", line: `sed -e 's/x/y\' -e '/;e touch F' x`, hidden: true},
	{name: "VIMINIT", line: `VIMINIT='!touch F' vi`, hidden: true},
	{name: "EXINIT", line: `EXINIT='!touch F' vi`, hidden: true},
	{name: "a function in the environment", line: `env 'BASH_FUNC_ls%%=() { touch F; }' bash -c ls`},
	{name: "BASH_ENV", line: `BASH_ENV=e bash -c :`, hidden: true},
	{name: "MAKEFLAGS", line: `MAKEFLAGS='--eval=$(shell touch F)' make`, hidden: true},
	{name: "GIT_PAGER", line: `GIT_PAGER='touch F' git log`},
	{name: "GIT_SSH_COMMAND by env", line: `env GIT_SSH_COMMAND='touch F' git fetch`},
	{name: "parallel: a command in one word", line: `parallel 'touch {}' ::: F`},
	{name: "rsync: a bundle", line: `rsync -ave 'touch F' a h:b`},
	{name: "scp: ProxyCommand", line: `scp -o ProxyCommand='touch F' a h:b`},
	{name: "scp: ProxyCommand attached", line: `scp '-oProxyCommand=touch F' a h:b`},
	{name: "git submodule foreach", line: `git submodule foreach 'touch F'`},
	{name: "git grep -O", line: `git grep -Otouch x`},
	{name: "git difftool", line: `git difftool --extcmd='touch F'`},
	{name: "git --exec-path", line: `git --exec-path=/tmp x`, hidden: true},
	{name: "man --html", line: `man --html='touch F' ls`},
	{name: "man -H", line: `man -Htouch ls`},
	{name: "fish: source of a pipe", line: `echo touch F | source`, dialect: syntax.Fish},
	{name: "fish: argparse", line: `argparse 'x=!touch F' -- -x1`, dialect: syntax.Fish},
	{name: "zsh: coproc", line: `coproc touch F`, dialect: syntax.Zsh},
	{name: "zsh: a group in the name", line: `/bin/(touch|x) F`, dialect: syntax.Zsh, hidden: true},
	{name: "zsh: qualifiers on the name", line: `/bin/touch(N) F`, dialect: syntax.Zsh, hidden: true},
	{name: "zsh: emulate", line: `emulate sh -c 'touch F'`, dialect: syntax.Zsh},
	{name: "zsh: hash", line: `hash ls=/bin/touch; ls F`, dialect: syntax.Zsh},
	{name: "dash: a dollar in the end of a here-document", line: "ls <<$'E'\n$E\ntouch F\nE", dialect: syntax.POSIX},
	{name: "ksh: a dollar in the end of a here-document", line: "ls <<$'E'\n$(touch F)\nE", dialect: syntax.Mksh, hidden: true},
	{name: "dash: a backslash in a quote", line: `echo $'\'; touch F #'`, dialect: syntax.POSIX},
	{name: "dash: a quote that bash has closed", line: `echo $'a\''`, dialect: syntax.POSIX, hidden: true},
	{name: "unparsable", line: `echo ) touch F`, hidden: true},
	{name: "carriage return", line: "echo \\\r\ntouch F", hidden: true},
	{name: "nul", line: "to\x00uch F", hidden: true},
	{name: "invalid UTF-8", line: "touch\xff F", hidden: true},
}

// runners are programs whose options or operands are a command.
var runners = []string{
	`rsync -ave 'touch F' a h:b`, `rsync --rsync-path 'touch F' a h:b`, `sort --compress-prog touch x`, `ip -all netns exec touch F`, `ip netns e x touch F`, `ip vrf exec x touch F`, `socat - EXEC:'touch F'`, `socat - SYSTEM:'touch F'`, `valgrind -q touch F`,
	`cpio --rsh-command='touch F'`, `tcpdump -z touch -w x`, `s6-setuidgid x touch F`, `runcon -t x touch F`, `entr -c touch F`, `entr -s 'touch F'`, `numactl -N 0 touch F`, `capsh --print -- -c 'touch F'`, `start-stop-daemon -S -x /bin/touch -- F`,
	`start-stop-daemon --start --startas /bin/touch`, `compgen -W '$(touch F)'`, `man --html='touch F' ls`, `tar --rmt-command='touch F' -cf h:a x`,
}

func TestRunners(t *testing.T) {
	allowlist := policy.Compile(commands(t, `
mode: allowlist
rules: [{id: no-touch, action: deny, programs: [touch]}, {id: all, action: allow, programs: ["*"]}]`))
	for _, line := range runners {
		if v := allowlist.Decide(policy.Line{Text: line}, policy.Facts{}); v.Action != auth.Deny || v.Rule != "no-touch" {
			t.Errorf("%q gets %s (%s)", line, v.Action, v.Reason)
		}
	}
	for _, line := range []string{`enable -f /tmp/x.so x`, `perf record -g touch F`, `fc -s`, `fc -e vi`, `ex -sc '!touch F'`, `vim -u x.vim`, `gdb --eval-command='shell touch F'`, `gdb -iex '!touch F'`, `ip -batch x`, `rsync --daemon`} {
		if v := allowlist.Decide(policy.Line{Text: line}, policy.Facts{}); v.Action != auth.Deny {
			t.Errorf("%q gets %s (%s)", line, v.Action, v.Reason)
		}
	}
}

func TestEvasions(t *testing.T) {
	allowlist, denylist := policy.Compile(commands(t, without)), policy.Compile(commands(t, with))
	for _, e := range evasions {
		t.Run(e.name, func(t *testing.T) {
			line := policy.Line{Text: e.line, Dialect: e.dialect}
			if v := allowlist.Decide(line, policy.Facts{}); v.Action != auth.Deny {
				t.Errorf("allowlist without touch: %q gets %s (%s)", e.line, v.Action, v.Reason)
			}
			v := denylist.Decide(line, policy.Facts{})
			switch {
			case v.Action == auth.Deny && v.Rule == "no-touch" && v.Message == "not here":
			case e.hidden && v.Action == auth.Warn && v.Confidence == policy.Low:
			default:
				t.Errorf("denylist with touch: %q gets %s by rule %q (%s), confidence %s", e.line, v.Action, v.Rule, v.Reason, v.Confidence)
			}
		})
	}
}
