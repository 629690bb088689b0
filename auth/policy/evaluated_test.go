package policy_test

import (
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// evaluated are lines in which a shell runs what a value, a subscript or a name's operand holds, with no program but
// what is free under any allowlist.
var evaluated = map[syntax.Dialect][]string{
	syntax.Bash: {
		`a='x[$(touch F)]'; : $((a))`,
		`a='x[$(touch F)]'; ((a))`,
		`a='x[$(touch F)]'; [[ a -eq 1 ]]`,
		`a='x[$(touch F)]'; let a`,
		`a='x[$(touch F)]'; : ${PATH:a}`,
		`a='x[$(touch F)]'; b[a]=1`,
		`a='x[$(touch F)]'; declare -i b=a`,
		`a='x[$(touch F)]'; for ((i=a;0;)); do :; done`,
		`a='x[$(touch F)]'; for ((i=0;a;)); do :; done`,
		`a='x[$(touch F)]'; : $(($a))`,
		`a='x[$(touch F)]'; : ${b[a]}`,
		`a='x[$(touch F)]'; : ${#b[a]}`,
		`a='x[$(touch F)]'; b=([a]=1)`,
		`a='x[$(touch F)]'; : $((1 ? a : 0))`,
		`a='x[$(touch F)]'; : $((b=a))`,
		`a='x[$(touch F)]'; : $((b+=a))`,
		`a='x[$(touch F)]'; [[ $a -gt 1 ]]`,
		`a=1; for k in 1 2; do : $((a)); a='x[$(touch F)]'; done`,
		`a=1; a='x[$(touch F)]' eval ': $((a))'`,
		`for a in 1 'x[$(touch F)]'; do : $((a)); done`,
		`read a <<<'x[$(touch F)]'; : $((a))`,
		`a=1; read a <<<'x[$(touch F)]'; : $((a))`,
		`a=1; printf -v a %s 'x[$(touch F)]'; : $((a))`,
		`f() { a='x[$(touch F)]'; }; a=1; f; : $((a))`,
		`: ${a:='x[$(touch F)]'}; : $((a))`,
		`test -v 'a[$(touch F)]'`,
		`[ -v 'a[$(touch F)]' ]`,
		`[[ -v 'a[$(touch F)]' ]]`,
		`read 'a[$(touch F)]'<<<x`,
		`declare 'a[$(touch F)]=1'`,
		`export 'a[$(touch F)]=1'`,
		`readonly 'a[$(touch F)]=1'`,
		`f() { local 'a[$(touch F)]=1'; }; f`,
		`declare -n r='a[$(touch F)]'; : $r`,
		`r='a[$(touch F)]'; : ${!r}`,
		`set -- 'a[$(touch F)]'; (( $1 ))`,
		`x='$(touch F)'; : ${x@P}`,
		`declare -n r=PS4; r='$(touch F)'; set -x; :`,
		`declare -n r; r='a[$(touch F)]'; : $r`,
		`jobs -x touch F`,
		`BASH_CMDS[ls]=/bin/touch; ls F`,
		`declare 'BASH_CMDS[ls]=/bin/touch'; ls F`,
		`declare BASH_CMDS[ls]=/bin/touch; ls F`,
		`read 'BASH_CMDS[ls]' <<< /bin/touch; ls F`,
		`printf -v 'BASH_CMDS[ls]' /bin/touch; ls F`,
		`printf -v 'a[$(touch F)]' x`,
		`sleep 0 & wait -n -p 'a[$(touch F)]'`,
		`unset 'a[$(touch F)]'`,
		`a=(1); unset 'a[$(touch F)]'`,
		`getopts a 'b[$(touch F)]' -a`,
		`mapfile 'a[$(touch F)]' < /dev/null`,
		`let 'a[$(touch F)]=1'`,
		`let "a[\$(touch F)]=1"`,
		`mapfile -C 'touch F' -c 1 < x`,
		`readarray -C 'touch F' -c 1 < x`,
		`compgen -C 'touch F' x`,
		`builtin let 'a[$(touch F)]=1'`,
		`command let 'a[$(touch F)]=1'`,
		`builtin declare -i b='a[$(touch F)]'`,
		`a='x[$(touch F)]'; : $[a]`,
		`a='x[$(touch F)]'; : "$((a))"`,
		`a='x[$(touch F)]'; b=$((a))`,
		`a='x[$(touch F)]'; b=(1 2); : ${b[@]:a}`,
		`a='x[$(touch F)]'; case $((a)) in 1) ;; esac`,
		`a='x[$(touch F)]'; test $((a)) = 1`,
		`a='x[$(touch F)]' && : $((a))`,
		`a=('x[$(touch F)]'); : $((a[0]))`,
		`a[0]='x[$(touch F)]'; : $((a[0]))`,
		`a=1; a+='+x[$(touch F)]'; : $((a))`,
		`: $(( $(printf %s 'x[$(touch F)]') ))`,
		`SECONDS='x[$(touch F)]'; : $((SECONDS))`,
		`unset RANDOM; RANDOM='x[$(touch F)]'; : $((RANDOM))`,
		`exec {a[$(touch F)]}>/dev/null`,
		`declare -ia b; b[0]='a[$(touch F)]'`,
		`a=1; select a in 'x[$(touch F)]'; do : $((a)); done <<< 1`,
		`if false; then a=1; fi; : $((a))`,
		`false && a=1; : $((a))`,
		`a=1 | :; : $((a))`,
		`(a=1); : $((a))`,
		`_=0; : 'x[$(touch F)]'; ((_))`,
		`BASH_REMATCH=0; [[ 'x[$(touch F)]' =~ .* ]]; ((BASH_REMATCH))`,
		`OPTARG=0; getopts a: o -a 'x[$(touch F)]'; ((OPTARG))`,
		`REPLY=0; read <<<'x[$(touch F)]'; ((REPLY))`,
		`MAPFILE=0; mapfile <<<'x[$(touch F)]'; ((MAPFILE))`,
		`a=0; printf -va %s 'x[$(touch F)]'; ((a))`,
		`a=0; b=-va; printf $b 'x[$(touch F)]'; ((a))`,
		`a=0; compgen -V a -W 'x[$(touch F)]'; ((a))`,
	},
	syntax.Zsh: {
		`let 'a[$(touch F)]=1'`,
		`: ${(e):-'$(touch F)'}`,
		`: *(e:'touch F':)`,
		`: **/*(.e:'touch F':)`,
		`ls *(oe:'touch F':)`,
		`functions[ls]='touch F'; ls`,
		`commands[ls]=/bin/touch; ls F`,
		`aliases[ls]='touch F'; eval ls`,
		`dis_functions[x]='touch F'`,
		`shift 'a[$(touch F)]'`,
		`exit 'a[$(touch F)]'`,
		`a='x[$(touch F)]'; : $[a]`,
		`a='x[$(touch F)]'; : $b[a]`,
		`SECONDS='x[$(touch F)]'`,
		`typeset -F b='x[$(touch F)]'`,
		`integer b='x[$(touch F)]'`,
		`setopt promptsubst; x='$(touch F)'; : ${(%)x}`,
		`unset 'a[$(touch F)]'`,
		`set -A 'a[$(touch F)]' 1`,
		`coproc touch F`,
		`a=0; print -v a 'x[$(touch F)]'; ((a))`,
		`a=0; vared a; ((a))`,
		`a=0; typeset -T a b; b=('x[$(touch F)]'); ((a))`,
		`match=0; [[ 'x[$(touch F)]' =~ '(.*)' ]]; ((match))`,
		`/bin/(touch|x) F`,
		`/bin/touch(N) F`,
	},
	syntax.Mksh: {
		`shift 'a[$(touch F)]'`,
		`set -- 1; a='b[$(touch F)]'; shift a`,
		`unset 'a[$(touch F)]'`,
		`getopts a 'b[$(touch F)]' -a`,
		`[ 'a[$(touch F)]' -eq 1 ]`,
		`typeset -i b='a[$(touch F)]'`,
		`nameref r='a[$(touch F)]'; : $r`,
		`OPTIND='a[$(touch F)]'`,
		`ulimit -n 'a[$(touch F)]'`,
		`set -A 'a[$(touch F)]' 1`,
		`a='x[$(touch F)]'; : ${PATH:a}`,
	},
}

func TestEvaluated(t *testing.T) {
	allowlist, denylist := policy.Compile(commands(t, "mode: allowlist\nrules: [{id: ls, action: allow, programs: [ls, eval, printf, print, vared, mapfile, readarray, compgen]}]")), policy.Compile(commands(t, with))
	for dialect, lines := range evaluated {
		for _, line := range lines {
			l := policy.Line{Text: line, Dialect: dialect}
			if v := allowlist.Decide(l, policy.Facts{}); v.Action != auth.Deny {
				t.Errorf("%s, allowlist: %q gets %s (%s)", dialect, line, v.Action, v.Reason)
			}
			if v := denylist.Decide(l, policy.Facts{}); v.Action == auth.Allow {
				t.Logf("%s, denylist: %q gets %s (%s)\n%s", dialect, line, v.Action, v.Reason, nodes(v))
				t.Fail()
			}
		}
	}
}

// The same with values that the line itself shows to be harmless.
var harmlessValues = []string{
	`i=0; i=$((i+1))`,
	`i=0; while true; do i=$((i+1)); ls $i; done`,
	`for i in 1 2 3; do ls $((i*2)); done`,
	`for i in {1..5}; do ls $((i*2)); done`,
	`ls $((2+3))`,
	`arr[0]=x`,
	`arr=(a b c); ls ${arr[0]} "${arr[@]}"`,
	`arr=(a b c); i=1; ls ${arr[$i]} ${arr[i]}`,
	`arr=(a b c); for i in 0 1 2; do ls ${arr[$i]}; done`,
	`for ((i=0; i<3; i++)); do ls $i; done`,
	`x=1; y=2; ls $((x + y))`,
	`x=1; ((x++))`,
	`i=0; ((i++)); ls $i; [[ $i -gt 0 ]]`,
	`declare -A m; m[a]=1; ls "${m[a]}"`,
	`declare -A m=([a]=1 [b]=2); for k in "${!m[@]}"; do ls $k ${m[$k]}; done`,
	`ls ${!BASH*}`,
	`ls ${x:0:5} ${x: -3}`,
	`x=abc; ls ${x:1}`,
	`[[ $# -gt 0 ]]`,
	`[[ $? -eq 0 ]]`,
	`ls $((RANDOM % 10))`,
	`s=$SECONDS; ls $((SECONDS))`,
	`unset 'arr[0]'`,
	`unset x`,
	`let x=1+2`,
	`x=1; let x++`,
	`test -v FOO`,
	`n=5; while ((n > 0)); do ls; ((n--)); done`,
	`n=5; while [ $n -gt 0 ]; do ls; n=$((n-1)); done`,
	`[ "$x" -gt 5 ]`,
	`read x`,
	`read -r a b c`,
	`export A=1`,
	`declare -x A=1`,
	`typeset -r A=1`,
	`local_x=1; if [[ $local_x -eq 1 ]]; then ls; fi`,
	`f() { local i=0; i=$((i+1)); ls; }; f`,
	`PS1='\u@\h:\w\$ '`,
	`PROMPT='%n@%m %~ %# '`,
	`COLUMNS=200 ls`,
	`OPTIND=1`,
	`SECONDS=0`,
	`x=(1 2 3); ls $((x[0] + 1)) ${#x[@]}`,
	`ls ${x:-5}`,
	`ls ${a[@]:1}`,
	`a=(1 2 3); ls ${a[@]:1:2} ${a[-1]}`,
	`getopts ab: opt`,
	`shift`,
	`shift 2`,
	`exit 1`,
	`cd /tmp && ls`,
	`HISTSIZE=1000`,
	`x=10#08; ls $((x))`,
	`x=5; y=$((x*2)); z=$((y+1)); ls $z`,
}

func TestHarmlessValues(t *testing.T) {
	p := policy.Compile(commands(t, "mode: allowlist\nrules: [{id: ls, action: allow, programs: [ls]}]"))
	for _, line := range harmlessValues {
		if v := p.Decide(policy.Line{Text: line}, policy.Facts{}); v.Action != auth.Allow || v.Confidence != policy.High {
			t.Errorf("%q gets %s, confidence %s: %s", line, v.Action, v.Confidence, v.Reason)
		}
	}
}
