package policy_test

import (
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// everyday is an allowlist as an operator would write it.
const everyday = `
mode: allowlist
rules:
  - {id: rm-tmp, action: allow, programs: [rm, mkdir, touch], paths: ["/tmp/**"]}
  - {id: rm, action: deny, programs: [rm]}
  - {id: tools, action: allow, programs: [ls, cat, tail, head, grep, egrep, ps, top, df, du, less, sed, awk, cut, sort, uniq, wc, tr, find, xargs, echo, printf, date, id, whoami, hostname, uname,
      env, printenv, which, file, stat, diff, curl, ping, dig, ss, netstat, ip, free, uptime, jq, kubectl, git, tar, gzip, zcat, systemctl, journalctl, python3, java, node, vi, vim, nano, man,
      sleep, watch, time, timeout, nohup, nice, sudo, kill, mysql, psql, redis-cli, tee, basename, dirname, realpath, readlink, md5sum, sha256sum, seq, yes, clear, history, dmesg, lsof, mount, nc, make, go, npm, cp, mv, chmod, alias, rsync, socat, parallel, valgrind, fc, enable, gdb, tcpdump, numactl, zstd, ssh, su, bash, tmux]}
  - {id: write, action: allow, programs: [">"], paths: ["/tmp/**"]}
`

var ordinary = []string{
	`ls`, `ls -la`, `ls -la /var/log`, `ls --color=auto -lh *.log`, `ll() { ls -l "$@"; }; ll /tmp`, `cd /var/log && ls -lt | head`, `cd`, `cd -`, `pwd`, `exit`, `exit 0`, `logout`,
	`true`, `:`, `export LANG=C`, `export FOO="a b" BAR=baz`, `unset FOO`, `FOO=bar env`, `LANG=C sort /etc/passwd`, `set -x`, `set +x`, `umask 022`, `type ls`, `jobs`, `fg`, `bg %1`, `wait`,
	`cat /etc/os-release`, `cat a.txt b.txt | sort | uniq -c | sort -rn | head -n 20`, `tail -f /var/log/app.log`, `tail -n 100 -f app.log | grep --line-buffered ERROR`,
	`grep -rn "foo bar" src/`, `grep -E 'a|b' x`, `grep -c '^$' f`, `grep '!' f`, `grep 'it''s' f`, `grep "it's" f`, `egrep -v '^#|^$' /etc/ssh/sshd_config`,
	`ps aux`, `ps -ef | grep [n]ginx`, `ps aux --sort=-%mem | awk '{print $2, $4, $11}' | head`, `top -b -n1`, `df -h`, `du -sh * | sort -h`, `free -m`, `uptime`,
	`sed -n '1,20p' f`, `sed 's/a/b/g' f`, `sed -i 's/x/y/' /tmp/f`, `awk -F: '{print $1}' /etc/passwd`, `awk '$3 > 100 {print $0}' f`, `awk '{s+=$1} END {print s}' f`, `awk 'NR==1 || /x|y/' f`, `awk '!seen[$0]++' f`,
	`cut -d: -f1 /etc/passwd`, `tr a-z A-Z < f`, `wc -l < /etc/passwd`, `wc -l *.go`, `find . -name '*.go' -type f`, `find / -xdev -size +100M 2>/dev/null`, `find . -name x -exec grep -l foo {} +`, `find . -print0 | xargs -0 grep foo`,
	`xargs -n1 echo`, `echo hello world`, `echo "$HOME"`, `echo $?`, `echo $$`, `echo "a;b|c&d"`, `echo 'rm -rf /'`, `echo done > /tmp/x`, `echo x >> /tmp/x`, `echo x | tee /tmp/y`, `printf '%s\n' a b`, `echo hello!`, `echo "Hello, World!"`,
	`date +%Y-%m-%d`, `date -d yesterday`, `echo $(date)`, "echo `date`", `x=$(date +%s)`, `x=1; y=2; echo $((x + y))`, `x=1; ((x++))`, `let x=1+2`, `test -f /etc/passwd && echo yes`, `[ -d /tmp ] || echo no`, `[[ $x == y* ]] && echo match`,
	`for i in 1 2 3; do echo $i; done`, `for f in *.log; do wc -l "$f"; done`, `for ((i=0; i<3; i++)); do echo $i; done`, `while true; do date; sleep 1; done`, `while read -r l; do echo "$l"; done`, `if [ -f x ]; then cat x; else echo none; fi`,
	`case $x in a) echo 1;; *) echo 2;; esac`, `ls && echo ok || echo fail`, `(cd /tmp; ls)`, `{ ls; date; } | cat`, `! grep -q x f`, `time ls`, `time -p ls`, `sleep 5 &`, `nohup sleep 100 > /tmp/log 2>&1 &`, `timeout 5 curl -s http://localhost:8080/health`,
	`curl -s -H 'Accept: application/json' "http://localhost:8080/api?x=1&y=2" | jq '.items[] | .name'`, `curl -o /dev/null -w '%{http_code}\n' http://x/`, `ping -c 3 8.8.8.8`, `ss -ltnp`, `ip a`, `kubectl get pods -n shop -o wide`,
	`git log --oneline -5`, `git diff HEAD~1`, `git show HEAD@{1}`, `git stash list | head -1`, `tar tzf x.tgz`, `systemctl status nginx`, `journalctl -u nginx --since "1 hour ago"`, `python3`, `python3 app.py --port 80`, `java -jar app.jar`, `vi f`, `vim +10 f`,
	`sudo systemctl restart nginx`, `sudo -u postgres psql -c 'select 1'`, `kill -9 1234`, `kill %1`, `mysql -e 'select * from t where a > 1; select 2'`, `psql -c "select count(*) from \"t\""`, `mysql <<EOF
select 1;
EOF`, `cat <<'EOF'
$(not run) rm -rf /
EOF`, `cat > /tmp/f <<EOF
hello $USER
EOF`, `cat <<< "$x"`, `diff <(ls /a) <(ls /b)`, `ls 2>&1`, `ls >/dev/null 2>&1`, `ls &>/dev/null`, `ls > /dev/null`, `ls 2>/dev/stderr`, `exec 2>&1 || true`,
	`rm -rf /tmp/x`, `rm /tmp/a /tmp/b`, `rm -f -- /tmp/-x`, `rm /tmp/*.log`, `mkdir -p /tmp/a/b`, `mkdir /tmp/{a,b,c}`, `cd /tmp && rm -f x`, `ls ~`, `ls ~/.ssh`, `cat "$HOME/.bashrc"`, `ls /proc/$$/fd`, `cp a{,.bak}`, `mv a b`, `chmod 644 f`, `echo {1..5}`, `ls # a comment`, `# only a comment`,
	`ls;`, `ls ; `, `  ls  `, "ls\t-l", `echo a\ b`, `echo "日本語" ✓`, `ls caf\é`, `echo 👍🏽`, `make -j4 2>&1 | tee /tmp/build.log`, `go test ./...`, `npm run build --silent`, `watch -n1 date`, `watch 'ps aux | head'`, `history | grep ssh`, `man ls`, `command -v git`, `command ls`, `\ls`, `"ls"`, `/bin/ls`, `/usr/bin/env ls`,
	`tar czf x.tgz dir`, `tar -xzf x.tgz -C dir`, `tar xf x --exclude foo`, `tar -cf x --checkpoint=100 --checkpoint-action=dot y`, `git clean -fdx`, `git submodule update --init`, `git log -x`, `sed -n -e '1p' -e '$p' f`, `sed -i.bak 's/a/b/' f`, `sed 's/a/b/' f -n`,
	`nc -zv host 80`, `man -k x`, `awk '{print $1 | "sort"}' f`, `make -j4 all`, `git -C /srv push origin main`, `sed -e '/x/a\' -e 'hello' f`, `find . -name x | xargs tar -cf x`,
	`alias ll='ls -l'`, `alias py=python3`, `alias sr='sed -n'`, `alias a='awk -F:'`, `alias r='read i'`, `alias p=printf`, `alias ex=export`, `f() { ls -l; date; }; f`, `function g { echo $1; }; g x`, `env | sort`, `env -u X ls`, `nice -n 10 gzip f`, `read -p "Name: " n`, `printf -v x %s y`, `declare -A m; m[a]=1; echo "${m[a]}"`, `a=(1 2 3); echo ${#a[@]}`, `echo ${x:-default} ${y%.*} ${z//a/b}`, `IFS= read -r l`,
	`[ "$x" = 'a[b]' ]`, `[[ $x =~ ^[a-z]+$ ]]`, `x='a[1]'; echo "$x"`, `declare -a 'a=(1 2)'`, `x='[$(date)]'`, `printf '%s [$(touch F)]' y`, `grep 'a[$(touch F)]' f`, `[ "${#a[@]}" -gt 2 ]`, `echo ${x@Q} ${x@U}`,
	`git push -u origin main`, `git clean -xdf`, `git cherry-pick -x abc`, `git add -u`, `git status -uno`, `git commit -m 'x: y'`, `git -C /srv log -c`, `git grep -n -O foo`, `git grep -nE foo`, `git diff --output-indicator-new=+`, `git -c user.name=x commit`, `git fetch -u origin`, `git archive --format=tar HEAD | tar x`, `git bisect start`,
	`tar czf /tmp/a.tgz d`, `tar -xzf a.tgz -C /tmp`, `tar --checkpoint=100 -cf a d`, `tar -I zstd -cf a d`, `tar -cvf Incoming.tar d`, `tar --to-stdout -xf a`, `tar cf - d`, `rsync -avz --delete a/ b/`, `rsync -ave ssh a host:b`, `rsync --remove-source-files a b`, `ip -br a`, `ip -s link`, `ip netns list`, `ip route get 1.1.1.1`, `sort -k2 -t: f`, `man -k ls`, `nc -zv host 443`, `nc -lvp 80`,
	`sed -n -e p f`, `sed s/a/b/ f -n`, `sed -i.bak s/a/b/ f`, `sed '/x/r f' g`, `vim -u NONE f`, `vi -R f`, `socat - TCP:host:80`, `valgrind --leak-check=full ls`, `parallel -j2 echo {} ::: a b`, `parallel 'echo {} | cat' ::: a`, `fc -l`, `enable -n test`, `enable`, `gdb -p 1`, `tcpdump -nni eth0 port 80`,
	`echo "${x:-'none'} ${x%'}'} ${x//'"'/\\\"} ${x#'$'}"`, "ls '# a' \\\n-l", "echo a#b \\\n# c\nls", "ls # a \\ b\nls", `sed 's/\[/x/;s/[]/]/y/;s/[^,]*,//;s/\[ERROR\]//' f`, `f() { printf '%s' "$1"; }; f x | cat`, "cat <<EOF\n$(date\n)${x:-EOF}\n EOF\nEOF\nls", `[[ $x == @(a|$y)* ]]`, `export LESS=-R`, `ssh host 'cd /srv && ls'`, `su -c 'cd /srv && ls'`, `bash -n script.sh`, `tmux new -s work`, `ls $(( ($(date -d tomorrow +%s) - $(date -u +%s)) / 3600 ))`, `less +G f`, `less +/foo f`, `make CC=gcc -f x.mk all`, `vim -c 'set nu' f`, `vim +/foo f`, `nohup java -jar a.jar > /dev/null &`, `ssh -o StrictHostKeyChecking=no h ls`, `gdb -p 1 -batch`, `numactl -N 0 ls`, `gdb --batch /bin/x core`,
}

func TestOrdinary(t *testing.T) {
	p := policy.Compile(commands(t, everyday))
	for _, line := range ordinary {
		if v := p.Decide(policy.Line{Text: line}, policy.Facts{Home: "/home/u"}); v.Action != auth.Allow {
			t.Errorf("%q gets %s: %s, rule %q\n%s", line, v.Action, v.Reason, v.Rule, nodes(v))
		} else if v.Confidence != policy.High {
			t.Errorf("%q is allowed with confidence %s", line, v.Confidence)
		}
	}
}

// What zsh takes otherwise than other shells.
func TestOrdinaryZsh(t *testing.T) {
	p := policy.Compile(commands(t, everyday))
	for _, line := range []string{
		`ls *(.Lm+10)`, `ls *(mh-1)`, `ls (one|two)`, `repeat 3 echo x`, `alias -g L='| less'`, `alias -g NE='2>/dev/null'`, `alias -s txt=less`, `git show HEAD^`,
		`PROMPT='%n@%m %~ %# '`,
	} {
		if v := p.Decide(policy.Line{Text: line, Dialect: syntax.Zsh}, policy.Facts{}); v.Action != auth.Allow {
			t.Errorf("%q gets %s: %s, rule %q\n%s", line, v.Action, v.Reason, v.Rule, nodes(v))
		}
	}
}

// A rule about flags is not about what find finds, which begins with where it looks.
func TestFoundFilesAreNoFlags(t *testing.T) {
	p := policy.Compile(commands(t, "{mode: denylist, rules: [{id: x, action: deny, programs: [rm], flags: [-r, -f], paths: [/etc/**]}]}"))
	for line, want := range map[string]auth.Action{
		`find . -name '*.pyc' -exec rm {} +`: auth.Allow, `find -exec rm {} +`: auth.Allow, `find /etc -exec rm -rf {} +`: auth.Warn, `find "$x" -exec rm {} +`: auth.Warn, `find a -b -exec rm -rf {} \;`: auth.Warn,
	} {
		if v := p.Decide(policy.Line{Text: line}, policy.Facts{Dir: "/srv"}); v.Action != want {
			t.Errorf("%q gets %s (%s), want %s", line, v.Action, v.Reason, want)
		}
	}
}

// The shell may turn out to be dash or ash, by whose grammar the line counts as well.
func TestOrdinaryPOSIX(t *testing.T) {
	p := policy.Compile(commands(t, everyday))
	for _, line := range ordinary {
		if line == `x=1; ((x++))` {
			continue // two subshells with a program x++ there
		}
		if _, err := syntax.Parse(line, syntax.POSIX); err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if v := p.Decide(policy.Line{Text: line, Dialect: syntax.POSIX}, policy.Facts{Home: "/home/u"}); v.Action != auth.Allow {
			t.Errorf("%q gets %s: %s, rule %q\n%s", line, v.Action, v.Reason, v.Rule, nodes(v))
		}
	}
}

// What is typed in zsh counts with and without comments. In a command that is requested there are some.
func TestComments(t *testing.T) {
	p := policy.Compile(commands(t, everyday))
	for line, want := range map[string]auth.Action{
		`ls # a comment`: auth.Allow, `# only a comment`: auth.Allow, "# one\nls # two": auth.Allow, strings.Repeat("ls # a\n", 100): auth.Allow, `ls '# no' "#" a#b $# ${#x}`: auth.Allow, `ls # a; id # b`: auth.Allow,
		`ls # a; reboot`: auth.Deny, `# reboot`: auth.Allow, `#reboot; reboot`: auth.Deny, `ls # a \`: auth.Deny, `ls # don't`: auth.Deny,
	} {
		if v := p.Decide(policy.Line{Text: line, Dialect: syntax.Zsh}, policy.Facts{}); v.Action != want {
			t.Errorf("%q gets %s (%s), want %s\n%s", line, v.Action, v.Reason, want, nodes(v))
		}
		if v := p.Decide(policy.Line{Text: line, Dialect: syntax.Zsh, Exec: true}, policy.Facts{}); v.Action != auth.Allow && !strings.Contains(line, "\\") {
			t.Errorf("requested: %q gets %s (%s)", line, v.Action, v.Reason)
		}
	}
}

func nodes(v policy.Verdict) string {
	out := ""
	for _, n := range v.Nodes {
		out += "    " + string(n.Action) + " " + n.Text + ": " + n.Reason + "\n"
	}
	return out
}
