package policy_test

import (
	"slices"
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// verdicts of single rules: w stands for a warning, which under a denylist is always of low confidence here.
func TestRules(t *testing.T) {
	type test struct {
		line string
		want auth.Action
	}
	const a, d, w = auth.Allow, auth.Deny, auth.Warn
	facts := policy.Facts{Dir: "/srv/app", Home: "/home/u"}
	for _, group := range []struct {
		name, rules string
		facts       policy.Facts
		tests       []test
	}{
		{"flags of a denial", `
mode: denylist
rules: [{id: x, action: deny, programs: [rm], flags: [-r, -f]}]`, facts, []test{
			{"rm -rf a", d}, {"rm -fr a", d}, {"rm -r -f a", d}, {"rm a -r -f", d}, {"rm --recursive --force a", d}, {"rm -R --force a", d}, {"rm -r --fo a", d}, {"rm --recurs -f a", d}, {"rm -vrf a", d},
			{"rm -rvf a", d}, {"rm -r a", a}, {"rm -f a", a}, {"rm a", a}, {"rm -- -r -f", a}, {"rm -r -- -f", a}, {"rm $x a", w}, {`rm "$x" a`, w}, {"rm -r $x", w}, {"rm -$x", w}, {"rm a$x", w}, {`rm "a$x"`, a}, {"sudo rm -rf a", d}, {"/bin/rm -rf a", d}, {"ls -rf", a}}},
		{"a bundle in a rule", `
mode: denylist
rules: [{id: x, action: deny, programs: [rm], flags: [-rf]}]`, facts, []test{{"rm -rf a", d}, {"rm -r --force a", d}, {"rm --force -R a", d}, {"rm -r a", a}}},
		{"a long flag in a rule", `
mode: denylist
rules: [{id: x, action: deny, programs: [chmod, git], flags: [--recursive, --force]}, {id: y, action: deny, programs: [git], flags: [--force]}]`, facts, []test{{"chmod -R 7 a", a}, {"chmod -Rf 7 a", a}, {"git push --force", d}, {"git push --forc", d}, {"git push --force=x", d}, {"git push --follow-tags", a}}},
		{"flags of git and tar", `
mode: denylist
rules: [{id: x, action: deny, programs: [git], flags: [--force]}, {id: y, action: deny, programs: [tar], flags: [-x]}]`, facts, []test{{"git push -f", d}, {"git push --force", d}, {"git push -uf a b", d}, {"git push a", a}, {"git config -f x a.b", a}, {"git grep -f x", a},
			{"tar xf a", d}, {"tar zxf a", d}, {"tar -xf a", d}, {"tar --extract -f a", d}, {"tar --get -f a", d}, {"tar tf a", a}, {"tar cf x a", a}, {"tar -tf x", a}}},
		{"flags that permit tar", `
mode: allowlist
rules: [{id: x, action: allow, programs: [tar], flags: [-t, -f, -z]}]`, facts, []test{{"tar tf a", a}, {"tar tzf a", a}, {"tar -tf a", a}, {"tar xf a", d}, {"tar --list --file a", a}}},
		{"flags of programs that do not bundle", `
mode: denylist
rules: [{id: x, action: deny, programs: [find], flags: [-delete]}]`, facts, []test{{"find . -delete", d}, {"find . -name x -delete", d}, {"find . -depth", a}, {"find . -name -d", a}}},
		{"flags of a permission", `
mode: allowlist
rules: [{id: x, action: allow, programs: [ls, head], flags: [-l, -a, -n]}]`, facts, []test{{"ls", a}, {"ls -la /x", a}, {"ls -l --all", a}, {"ls -lR", d}, {"ls --recursive", d}, {"ls $x", d}, {`ls "/$x"`, a}, {"head -n5 f", a}, {"head -n 5 f", a}, {"head -5 f", d}, {"ls -- -R", a}}},
		{"arguments of a denial", `
mode: denylist
rules: [{id: x, action: deny, programs: [systemctl], arguments: [stop, "re*"]}]`, facts, []test{{"systemctl stop x", d}, {"systemctl restart x", d}, {"systemctl status x", a}, {"systemctl 's'top x", d}, {"systemctl $v x", w}, {"sudo systemctl --now stop x", d}}},
		{"arguments of a permission", `
mode: allowlist
rules: [{id: x, action: allow, programs: [systemctl], arguments: [status, "nginx*", {regex: "--(no-pager|full)"}]}, {id: y, action: allow, programs: [git], arguments: [log], flags: [-n, --oneline]}]`, facts, []test{
			{"systemctl status nginx", a}, {"systemctl status --no-pager nginx-1", a}, {"systemctl status; systemctl stop nginx", d}, {"systemctl stop status", d}, {"systemctl $x", d}, {"git log --oneline -n 5", d}, {"git log --oneline", a}, {"git log -p", d}}},
		{"paths of a denial", `
mode: denylist
rules: [{id: x, action: deny, paths: ["/etc/**"]}]`, facts, []test{
			{"cat /etc/passwd", d}, {"cat /etc", d}, {"cat /etcetera", a}, {"cat /srv/../etc/passwd", d}, {"cat //etc//passwd", d}, {"cat ../../etc/passwd", d}, {"cat ../etc/passwd", a}, {"cd /etc && cat passwd", d}, {"cd /; cat etc/passwd", d}, {"cd /x; cat etc/passwd", a}, {"cd $x; cat passwd", w},
			{"cat /et?/passwd", w}, {"cat /e*/passwd", w}, {"cat /*", w}, {"cat /tmp/*", a}, {"cat /tmp/*/../../etc/x", d}, {"cat $x", w}, {`cat "/tmp/$x"`, w}, {"cat /tmp/.*/x", w}, {"cat {/etc/passwd,x}", d}, {"echo x > /etc/hosts", d}, {"echo x >> ../../etc/hosts", d}, {"> /etc/x", d}, {"cat < /etc/passwd", d}, {"dd if=/etc/shadow of=x", d},
			{"tar -C /etc -c .", d}, {"tar --directory=/etc -c .", d}, {"grep -f/etc/passwd x", d}, {"cp --target-directory /etc x", d}, {"echo /etc/passwd", a}, {"grep /etc/passwd x", a}, {"sudo cat /etc/shadow", d}, {"find /etc -name x", d}, {"while read l; do :; done < /etc/passwd", d}, {"cat ~/x", a}, {"cat $HOME/../../etc/passwd", d}, {"cat ~root/x", w}, {"vi +/x /etc/passwd", d}}},
		{"paths of a permission", `
mode: allowlist
rules: [{id: x, action: allow, programs: [cat, ls, tail, grep, rm, cp, echo, sort], paths: ["/var/log/**", "/tmp/*", "/home/u/**"]}]`, facts, []test{
			{"cat /var/log/a /var/log/b/c", a}, {"cat /var/log/../../etc/passwd", d}, {"cat /tmp/a", a}, {"cat /tmp/a/b", d}, {"cat /etc/passwd", d}, {"cat /var/log/a /etc/passwd", d}, {"cat x", d}, {"cd /var/log && cat x", a}, {"cd /var/log; cat x", d}, {"cd /var/log || exit; cat x", a}, {"cat /var/log/*.log", a}, {"cat /tmp/*", a}, {"cat /tmp/*/x", d},
			{"cat /var/log/$x", d}, {"cat ~/notes", a}, {"cat $HOME/notes", a}, {"ls", d}, {"ls /var/log", a}, {"cd /var/log && ls", a}, {"cat /var/log/a | grep foo | sort", a}, {"grep -n foo /var/log/a", a}, {"grep foo /etc/passwd", d}, {"tail -n 5 /var/log/a", a}, {"tail -n5 -f /var/log/a", a}, {"echo x > /tmp/f", a}, {"echo x > /etc/f", d}, {"echo /etc/passwd", a},
			{"sort -o /etc/passwd /tmp/a", d}, {"sort -o /tmp/b /tmp/a", a}, {"rm -rf /tmp/a", a}, {"rm -rf /", d}, {"cp -t /etc /tmp/a", d}, {"cat < /etc/passwd", d}, {"cat < /tmp/a", a}, {"cat -- /tmp/a", a}, {"cat {/tmp/a,/etc/b}", d}, {"cat {/tmp/a,/tmp/b}", a}}},
		{"paths in options", `
mode: allowlist
rules: [{id: x, action: allow, programs: [rsync, tar, git, sed, grep, find, awk, curl, wget, unzip, split, dd, less, cat, rm, timeout, base64, openssl, head, sort, cut, join, foo, echo, perl], paths: ["/data/**"]}]`, policy.Facts{Dir: "/root", Home: "/root"}, []test{
			{"rsync -a /data/a /data/b", a}, {"rsync -T/etc /data/a /data/b", d}, {"rsync -T /etc /data/a /data/b", d}, {"rsync -aT/etc /data/a /data/b", d}, {"rsync -T/data/t /data/a /data/b", a}, {"rsync --temp-dir=/etc /data/a /data/b", d}, {"rsync --temp-dir /etc /data/a /data/b", d},
			{"rsync --log-file=.profile /data/a /data/b", d}, {"rsync --log-file=x /data/a /data/b", d}, {"rsync --log-file=/data/l /data/a /data/b", a}, {"rsync --exclude=.git --exclude '*/x' -a /data/a /data/b", a}, {"rsync -e 'ssh -p 22' /data/a /data/b", d}, {"rsync --partial-dir=.p /data/a /data/b", a}, {"rsync --partial-dir .p /data/a /data/b", a}, {"rsync --partial-dir=/etc /data/a /data/b", d}, {"rsync --partial-dir ../../etc /data/a /data/b", d}, {"rsync -avzP --delete --bwlimit=100 /data/a /data/b", a},
			{"rsync --server -lDtpre.iLsfxCIvu . /data/x", a}, {"rsync --server -lDtpre.iLsfxCIvu .", d}, {"rsync --server -lDtpre.iLsfxCIvu . .", d},
			{"tar -xzf /data/a.tgz -C/data", a}, {"tar -xzf /data/a.tgz -C/etc", d}, {"tar -xzf/etc/a.tgz -C/data", d}, {"tar -C. -xf /data/a", d}, {"tar xzf /data/a.tgz -C /data", a}, {"tar xzf /data/a.tgz -C /data --strip-components=1 --exclude=./x", a}, {"tar xzf a.tgz -C /data", d}, {"tar xzf /data/a.tgz", d}, {"cd /data && tar xzf a.tgz", a}, {"tar tzf /data/a.tgz", a}, {"tar xPf /data/a.tgz -C /data", d}, {"tar xzf /data/a.tgz -C /data member", a}, {"tar czf /data/a.tgz -C /data x ./y", a}, {"tar czf /data/a.tgz x -C /data", d}, {"tar czf /data/a.tgz -C /data ../etc", d}, {"tar -czf - /data/x | head -c5", a},
			{"git -C/data log --oneline", a}, {"git -C /data show x", a}, {"git -C/etc log", d}, {"git -C /data show -C/etc x", d}, {"git log", d}, {"git --git-dir /etc/x log", d}, {"git --git-dir=/data/x -C /data log", a}, {"git -C. log", d}, {"cd /data && git -C. log", a}, {"sed -e s/a/b/ /data/f", a}, {"sed -es/a/b/ /data/f", a}, {"sed --expression=s/a/b/ /data/f", a}, {"sed -i.bak s/a/b/ /data/f", a}, {"sed '-i/etc/*' s/a/b/ /data/f", d}, {"sed -n -f/etc/x /data/f", d}, {"sed -fx /data/f", d},
			{"grep -rn foo. /data/x", a}, {"grep -rn foo.", d}, {"cd /data && grep -R foo", a}, {"grep foo", a}, {"grep -e a/b /data/x", a}, {"grep -f.x /data/x", d}, {"grep --include='*.go' --exclude-dir=.git -r x /data", a}, {"head -n5 /data/f", a}, {"head -n $x", d}, {"head -n$x /data/f", d}, {`head -n "$x" /data/f`, a}, {"tar -czf /data/a -C /data --exclude=/etc x", a}, {"tar -czf /data/a --exclude=/data x", d}, {"head -n 5 /data/f", a}, {"sort -t/ -k2 /data/f", a}, {"sort -t. -o/etc/x /data/f", d}, {"sort -o.x /data/f", d}, {"sort -T/etc /data/f", d}, {"cut -d/ -f2 /data/f", a}, {"cut -d. -f1 /data/f", a}, {"join -t. /data/a /data/b", a},
			{"foo -o/etc/x /data/f", d}, {"foo -o.profile /data/f", d}, {"foo -o~/x /data/f", d}, {"foo -xe/etc/x /data/f", d}, {"foo --out=.profile /data/f", d}, {"foo --out=~/x /data/f", d}, {"foo --level=3 -v /data/f", a}, {"echo -n .", a}, {"echo -n. a/b", a}, {"perl -I/tmp/x /data/f.pl", d},
			{"find /data -name '*.go' -type f", a}, {"find -L /data \\( -name a -o -name b \\) -print", a}, {"find /data -newer /data/x", a}, {"find /data -newer /etc/x", d}, {"find -name x", d}, {"find /data /etc -name x", d}, {"find", d}, {"find /data -samefile /etc/x", d},
			{"awk '{print $1}' /data/f", a}, {`awk 'BEGIN{while((getline l < "/etc/x")>0)print l}'`, d}, {`awk 'BEGIN{while((getline l < "/data/x")>0)print l}'`, a}, {`awk 'BEGIN{ARGV[1]="/etc/x";ARGC=2}{print}'`, d}, {"sed 'r /etc/x' /data/f", d}, {"sed 'r /data/x' /data/f", a},
			{"curl -s -H 'Accept: a/b' -d '{\"a\":\"b@c\"}' -o /data/f http://x/y", a}, {"curl -d @/etc/x http://x", d}, {"curl --data-binary @/etc/x http://x", d}, {"curl -F f=@/etc/x http://x", d}, {"curl -F f=@/data/x http://x", a}, {"curl file:///etc/x", d}, {"curl -O http://x", d}, {"curl -o.x http://x", d}, {"curl -s http://x", a},
			{"wget http://x", d}, {"wget -O /data/f http://x", a}, {"wget -qO- http://x", a}, {"wget --post-file /etc/x -O /data/f http://x", d}, {"unzip /data/a.zip", d}, {"unzip -d /data /data/a.zip member", a}, {"unzip -l /data/a.zip", a}, {"split -b 10M /data/f", d}, {"split -b 10M /data/f /data/p", a},
			{"dd if=/data/a of=/data/b bs=1M count=1", a}, {"dd of=/etc/x if=/data/a", d}, {"less +F /data/f", a}, {"cat - < /data/f", a}, {"cat - < /etc/f", d}, {"rm -", d}, {"timeout -k 1 5 cat /data/f", a}, {"timeout 5 cat /etc/f", d}, {"base64 -w 0 /data/f", a}, {"openssl dgst -sha256 /data/f", a}, {"openssl enc -in /etc/x", d}}},
		{"no directory known", `
mode: denylist
rules: [{id: x, action: deny, programs: [rm], paths: ["/srv/**"]}]`, policy.Facts{}, []test{{"rm x", w}, {"rm /srv/x", d}, {"rm /tmp/x", a}, {"rm ~/x", w}, {"cd /tmp && rm x", a}, {"cd /srv && rm x", d}, {"ls x", a}}},
		{"anything anywhere", `
mode: denylist
rules: [{id: x, action: deny, programs: [rm], flags: [-r], paths: ["/**"]}]`, policy.Facts{}, []test{{"rm -r x", d}, {"rm -r *", d}, {"rm -r $x", d}, {"rm x", a}}},
		{"regex of a denial", `
mode: denylist
rules: [{id: x, action: deny, regex: "DROP TABLE", anchored: false}, {id: y, action: deny, regex: "shutdown( .*)?"}]`, facts, []test{{`mysql -e "DROP TABLE x"`, d}, {"shutdown", d}, {"shutdown -h now", d}, {"ls; shutdown", d}, {"sudo shutdown", d}, {"echo x shutdown", a}, {`\shutdown`, d}}},
		{"regex of a permission", `
mode: allowlist
rules: [{id: x, action: allow, regex: "git (status|log)( [^;]*)?"}]`, facts, []test{{"git status", a}, {"git log --oneline", a}, {"git push", d}, {"git log; git push", d}, {"git log $(git push)", d}, {"git log | sh", d}, {"git log > x", d}}},
		{"first match wins", `
mode: allowlist
rules: [{id: x, action: deny, programs: [rm], flags: [-r]}, {id: w, action: warn, programs: [rm], paths: ["/srv/**"]}, {id: y, action: allow, programs: [rm, ls]}]`, facts, []test{{"rm a", w}, {"rm /tmp/a", a}, {"rm -r /tmp/a", d}, {"ls", a}, {"rm $x", d}, {"ls && rm /tmp/a", a}, {"ls && rm /srv/a", w}}},
		{"an exception before a denial", `
mode: denylist
rules: [{id: x, action: allow, programs: [rm], paths: ["/tmp/**"]}, {id: y, action: deny, programs: [rm]}]`, facts, []test{{"rm /tmp/a", a}, {"rm /srv/a", d}, {"rm $x", d}, {"rm /tmp/$x", d}, {"rm /tmp/*", a}}},
		{"programs by path", `
mode: allowlist
rules: [{id: x, action: allow, programs: [/opt/app/bin/*, ls]}]`, facts, []test{{"/opt/app/bin/run", a}, {"/opt/app/bin/../bin/run", a}, {"/opt/app/bin/../../x", d}, {"run", d}, {"/bin/ls", a}, {"/usr/local/bin/ls", a}, {"/tmp/ls", d}, {"./ls", d}, {"../../bin/ls", a}, {"~/ls", d}, {"cd /opt/app/bin && ./run", a}}},
		{"programs by path denied", `
mode: denylist
rules: [{id: x, action: deny, programs: [/sbin/reboot]}, {id: y, action: deny, programs: ["mkfs*"]}]`, facts, []test{{"/sbin/reboot", d}, {"reboot", d}, {"/usr/sbin/reboot", a}, {"mkfs.ext4 /dev/x", d}, {"/sbin/mkfs", d}, {"./mkfs", d}, {"$x", w}, {"mk$x", w}, {`"ls$x"`, w}}},
		{"wrapper and inner", `
mode: allowlist
rules: [{id: x, action: allow, programs: [sudo], arguments: [-u, app, -n]}, {id: y, action: allow, programs: [ls, cat, sh]}]`, facts, []test{{"sudo -n -u app ls", a}, {"sudo -u root ls", d}, {"sudo -u app id", d}, {"sudo -u app", a}, {"sh -c 'ls; cat x'", a}, {"sh -c 'ls; id'", d}, {"env ls", d}, {"command ls", a}, {"sudo -u app sh -c 'ls | cat'", a}, {"sudo -i", d}}},
		{"shells and interpreters", `
mode: allowlist
rules: [{id: x, action: allow, programs: [bash, python3, ls, echo]}]`, facts, []test{{"bash", a}, {"bash -c ls", a}, {"bash x.sh", d}, {"bash < x", d}, {"ls | bash", d}, {"python3", a}, {"python3 x.py", a}, {"python3 -c 'x'", d}, {"python3 -m http.server", a}, {"echo x | python3", d}, {"python3 - < /dev/null", d}, {"bash --rcfile x", d}, {"source x", d}, {". x", d}}},
		{"scripts and code that a rule names", `
mode: allowlist
rules: [{id: x, action: allow, programs: [bash, source], paths: ["/opt/s/**"]}, {id: y, action: allow, programs: [python3], arguments: ["-c", {regex: "print\\(.*\\)"}]}]`, facts, []test{{"bash /opt/s/a.sh", a}, {"bash /opt/s/../../tmp/a.sh", d}, {"bash", d}, {"bash -c ls", d}, {"source /opt/s/x", a}, {"python3 -c 'print(1)'", a}, {"python3 -c 'exit(1)'", d}, {"python3", d}, {"echo | bash /opt/s/a.sh", d}}},
		{"scripts by their path", `
mode: allowlist
rules: [{id: x, action: allow, programs: [bash, sh, python3, perl, ruby, node, php, lua, expect, julia], paths: ["/opt/s/**"]}]`, policy.Facts{Dir: "/opt/s", Home: "/root"}, []test{
			{"python3 /opt/s/a", a}, {"python3 a -i", a}, {"python3 -u -W ignore -X dev a", a}, {"python3 -Wignore a", a}, {"python3 -i a", d}, {"python3 -Ii a", d}, {"python3 -mpdb a", d}, {"python3 -m pdb a", d}, {"python3 -Im code a", d}, {"python3 -mcode a", d}, {"python3 -W ignore", d}, {"python3", d}, {"python3 -", d}, {"python3 -c x", d},
			{"perl a", a}, {"perl -w -T a", a}, {"perl -pi.bak a", a}, {"perl -d a", d}, {"perl -d:Foo a", d}, {"perl -MPOSIX a", d}, {"perl '-Mstrict;system(1)' a", d}, {"perl -le x a", d}, {"perl -S a", d}, {"perl -I/tmp a", d}, {"perl -Ilib a", a},
			{"ruby a", a}, {"ruby -w -Ilib a", a}, {"ruby -rirb a", d}, {"ruby -r irb a", d}, {"ruby -S irb", d}, {"ruby -W0e x a", d}, {"node a", a}, {"node --max-old-space-size=100 a", a}, {"node -i a", d}, {"node --interactive a", d}, {"node -r x a", d}, {"node --require=x a", d}, {"node --inspect=0.0.0.0 a", d}, {"node --import ./x a", d},
			{"php a", a}, {"php -f a", a}, {"php -a", d}, {"php -a a", d}, {"php -d auto_prepend_file=x a", d}, {"php -S 0:80 a", d}, {"lua a", a}, {"lua -i a", d}, {"lua -lx a", d}, {"expect -f a", a}, {"expect -i a", d}, {"julia a", a}, {"julia -i a", d}, {"julia -L x a", d},
			{"bash a", a}, {"bash -eux a", a}, {"bash -o pipefail a", a}, {"bash -O extglob", d}, {"bash -i a", d}, {"bash -i", d}, {"bash -xi a", d}, {"bash -l a", d}, {"bash --login a", d}, {"bash --rcfile a", d}, {"bash --rcfile a a", d}, {"bash --init-file a", d}, {"bash -s a", d}, {"sh -s a", d}, {"sh -", d}, {"sh a", a}, {"sh -c -s a", d}}},
		{"interpreters whose options a rule names", `
mode: allowlist
rules: [{id: x, action: allow, programs: [python3, node], flags: [-i, -u, -r], paths: ["/opt/s/**"]}, {id: y, action: allow, programs: [ruby]}]`, policy.Facts{Dir: "/opt/s"}, []test{{"python3 -i a", a}, {"python3 -u a", a}, {"python3 -mpdb a", d}, {"node -r /opt/s/x /opt/s/a", a}, {"python3 -i", d}, {"ruby", a}, {"ruby -rirb a", a}}},
		{"builtins that need no rule", `
mode: allowlist
rules: [{id: x, action: allow, programs: [ls]}]`, facts, []test{{"cd /x", a}, {"exit", a}, {"true", a}, {"export A=b", a}, {"A=b", a}, {"PS1='$ '", a}, {"PS1=", a}, {"PS1='$(ls)'", d}, {"PS1=$x", d}, {"unset A", a}, {"test -f x", a}, {"[ -f x ]", a}, {"echo x", d}, {"eval ls", d}, {"exec ls", d}, {"alias x=ls", d}, {"trap ls EXIT", d}, {"source x", d}, {"PATH=/x ls", d}, {"PATH=/x", d}, {"export PATH=/x:$PATH", d}, {"LD_PRELOAD=/x ls", d}, {"declare -x BASH_ENV=x", d},
			{`export "$x"`, d}, {"read PATH", d}, {"read x", a}, {"printf -v PATH x", d}, {"env PATH=/x ls", d}, {"sudo test -f x", d}, {"builtin cd x", a}, {"bind -x '\"a\":ls'", d}, {"enable -f x y", d}, {"hash -p /x ls", d}, {"for PATH in /x; do ls; done", d}, {": ${PAGER:=/x}", d}, {"getopts a PATH", d}, {": > f", d}, {"./true", d}}},
		{"redirections", `
mode: allowlist
rules: [{id: x, action: allow, programs: [ls, cat]}, {id: y, action: allow, programs: [">"], paths: ["/tmp/**"]}, {id: z, action: allow, programs: ["<"], paths: ["/tmp/in"]}]`, facts, []test{{"ls > /tmp/x", a}, {"ls >> /tmp/x 2>&1", a}, {"ls > /tmp/../etc/x", d}, {"ls > x", d}, {"ls > $x", d}, {"ls >| /tmp/x", a}, {"ls &> /etc/x", d}, {"ls >& /etc/x", d}, {"cat < /etc/x", a}, {"< /tmp/in", a}, {"< /etc/x", d}, {"> /tmp/x", a}, {"cat <> /etc/x", d}, {"{ ls; cat x; } > /etc/x", d}, {"ls > /dev/null", a}, {"cat > /dev/tcp/1.2.3.4/80", d}, {"(ls) 2> /etc/x", d}, {"x=$(</etc/x)", d}, {"cat x | tee /etc/y", d}}},
		{"directories that the line changes", `
mode: allowlist
rules: [{id: x, action: allow, programs: [cat, ls], paths: ["/tmp/**", "/srv/**", "/home/u/**"]}, {id: y, action: allow, programs: [echo, eval]}, {id: z, action: allow, programs: ["<"], paths: ["/tmp/**"]}]`, facts, []test{
			{"HOME=/etc; cat ~/passwd", d}, {"export HOME=/etc; cat ~/passwd", d}, {"read HOME <<< /etc; cat ~/passwd", d}, {"for HOME in /etc; do cat ~/passwd; done", d}, {"HOME=/etc; cd && cat passwd", d}, {"for i in 1 2; do cat ~/passwd; HOME=/etc; done", d},
			{"PWD=/etc; cat $PWD/passwd", d}, {"f() { cd /; }; cd /tmp && f && cat etc/passwd", d}, {"cd /tmp && eval 'cd /' && cat etc/passwd", d}, {"cat ~/x", a}, {"echo $HOME; cat ~/x", a}, {"H=/etc; cat ~/x", a}, {"cd /tmp && cat x", a}, {"f() { ls /tmp; }; f; cat /tmp/x", a},
			{`read x < /etc/shadow; echo "$x"`, d}, {"exec < /etc/shadow; cat", d}, {"exec 3</etc/shadow; cat <&3", d}, {"read x < /tmp/x", a}, {"exec 3</tmp/x", a}, {"while read l; do echo $l; done < /tmp/x", a}, {"while read l; do echo $l; done < /etc/x", d}}},
		{"files that sudo edits", `
mode: denylist
rules: [{id: x, action: deny, programs: [">"], paths: ["/etc/**"]}]`, facts, []test{{"sudo -e /etc/x", d}, {"sudo -u root --edit /etc/x", d}, {"sudoedit /etc/x", d}, {"sudo -e /tmp/x", a}, {"sudo ls /etc/x", a}}},
		{"where the home is", `
mode: allowlist
rules: [{id: x, action: allow, programs: [cat], paths: ["/home/u/**"]}, {id: y, action: allow, programs: ["HOME="], arguments: [/home/u]}]`, facts, []test{{"cat ~/x", a}, {"HOME=/etc; cat ~/x", d}, {"HOME=/etc cat ~/x", d}, {"export HOME=/etc; cat ~/x", d}, {"HOME=/home/u; cat ~/x", d}, {"HOME=/home/u", a}, {"XDG_CONFIG_HOME=/tmp cat ~/x", d}}},
		{"where the home was", `
mode: denylist
rules: [{id: x, action: deny, programs: [cat], paths: ["/etc/**"]}]`, facts, []test{{"HOME=/etc; cat ~/x", w}, {"HOME=/etc; cd; cat x", w}, {"cd; cat x", a}, {"cat ~/x", a}}},
		{"variables with a rule", `
mode: allowlist
rules: [{id: x, action: allow, programs: [ls, cat]}, {id: y, action: allow, programs: ["PATH="], arguments: ["/opt/bin:*"]}, {id: z, action: allow, programs: ["PAGER="], arguments: [cat]}]`, facts, []test{{"PATH=/opt/bin:/bin ls", a}, {"PATH=/tmp:/bin ls", d}, {"export PAGER=cat", a}, {"export PAGER=vi", d}, {"PATH=/opt/bin:$PATH", d}}},
	} {
		p := policy.Compile(commands(t, group.rules))
		for _, test := range group.tests {
			v := p.Decide(policy.Line{Text: test.line}, group.facts)
			if v.Action != test.want {
				t.Errorf("%s: %q gets %s (%s), want %s\n%s", group.name, test.line, v.Action, v.Reason, test.want, nodes(v))
			}
		}
	}
}

func TestFileLargerThan(t *testing.T) {
	p := policy.Compile(commands(t, `
mode: allowlist
rules:
  - {id: big, action: deny, programs: [vi], fileLargerThan: 10MiB, message: use less}
  - {id: edit, action: allow, programs: [vi, ls]}
`))
	const big = 10<<20 + 1
	for _, test := range []struct {
		line  string
		sizes map[string]int64
		want  auth.Action
		needs []string
	}{
		{"vi /a", nil, auth.Deny, []string{"/a"}},
		{"vi b ../c", nil, auth.Deny, []string{"/d/b", "/c"}},
		{"vi /a", map[string]int64{"/a": 10 << 20}, auth.Allow, nil},
		{"vi /a", map[string]int64{"/a": big}, auth.Deny, nil},
		{"vi /a", map[string]int64{"/a": policy.Missing}, auth.Allow, nil},
		{"vi /a", map[string]int64{"/a": policy.Unknown}, auth.Deny, nil},
		{"vi /a /b", map[string]int64{"/a": 1, "/b": big}, auth.Deny, nil},
		{"vi +5 /a", map[string]int64{"/a": 1, "/d/+5": policy.Missing}, auth.Allow, nil},
		{"vi *.log", nil, auth.Deny, nil},
		{"vi", nil, auth.Allow, nil},
		{"ls /a", nil, auth.Allow, nil},
		{"sudo vi /a", nil, auth.Deny, []string{"/a"}},
	} {
		v := p.Decide(policy.Line{Text: test.line}, policy.Facts{Dir: "/d", Sizes: test.sizes})
		if test.line == "sudo vi /a" {
			v.Action = auth.Deny // no rule allows sudo; only the question matters
		}
		if v.Action != test.want || !slices.Equal(v.Needs, test.needs) {
			t.Errorf("%q with %v: %s, needs %q; want %s, %q", test.line, test.sizes, v.Action, v.Needs, test.want, test.needs)
		}
	}
}

func TestEvidence(t *testing.T) {
	allowlist, denylist := policy.Compile(commands(t, without)), policy.Compile(commands(t, with))
	for _, test := range []struct {
		name        string
		line        policy.Line
		allow, deny auth.Action
	}{
		{"unseen", policy.Line{Unseen: true}, auth.Deny, auth.Warn},
		{"unseen with a text", policy.Line{Unseen: true, Text: "ls"}, auth.Deny, auth.Warn},
		{"empty", policy.Line{}, auth.Allow, auth.Allow},
		{"blank", policy.Line{Text: " \t"}, auth.Allow, auth.Allow},
		{"unparsable", policy.Line{Text: "ls )"}, auth.Deny, auth.Warn},
		{"denied before a fault", policy.Line{Text: "touch F\n)"}, auth.Deny, auth.Deny},
		{"too deep", policy.Line{Text: deep()}, auth.Deny, auth.Warn},
		{"unfinished", policy.Line{Text: "{"}, auth.Deny, auth.Warn},
		{"unfinished, to be continued", policy.Line{Text: "{", Continues: true}, auth.Allow, auth.Allow},
		{"continued", policy.Line{Text: "touch F", Before: "{", Continues: true}, auth.Deny, auth.Deny},
		{"continued well", policy.Line{Text: "}", Before: "{\nls", Continues: true}, auth.Allow, auth.Allow},
		{"second half of a word", policy.Line{Text: "uch F", Before: `to\`, Continues: true}, auth.Deny, auth.Deny},
		{"backslash at the end", policy.Line{Text: `ls \`, Continues: true}, auth.Allow, auth.Allow},
		{"quote that goes on", policy.Line{Text: `"; touch F`, Before: `echo "a`, Continues: true}, auth.Deny, auth.Deny},
		{"text in an open quote", policy.Line{Text: `touch F`, Before: `echo "a`, Continues: true}, auth.Allow, auth.Allow},
		{"the shell saw no open quote", policy.Line{Text: `touch F`, Before: "ls )", Continues: true}, auth.Deny, auth.Deny},
		{"exec is never continued", policy.Line{Text: "{", Continues: true, Exec: true}, auth.Deny, auth.Warn},
		{"history mark in an exec", policy.Line{Text: `echo "a!b"`, Exec: true}, auth.Allow, auth.Allow},
		{"renamed copy", policy.Line{Text: "cp /bin/touch x; ./x F"}, auth.Deny, auth.Warn}, // under its new name a denylist does not know it
	} {
		if v := allowlist.Decide(test.line, policy.Facts{}); v.Action != test.allow {
			t.Errorf("%s under an allowlist: %s (%s), want %s", test.name, v.Action, v.Reason, test.allow)
		}
		if v := denylist.Decide(test.line, policy.Facts{}); v.Action != test.deny {
			t.Errorf("%s under a denylist: %s (%s), want %s", test.name, v.Action, v.Reason, test.deny)
		}
	}
	if v := allowlist.Decide(policy.Line{Text: "ls", Unsure: true}, policy.Facts{}); v.Confidence != policy.Low {
		t.Errorf("an unsure line is decided with confidence %s", v.Confidence)
	}
	if v := allowlist.Decide(policy.Line{Text: "to\\", Continues: true}, policy.Facts{}); !v.Incomplete {
		t.Errorf("a line that goes on is not said to: %+v", v)
	}
}

func deep() string {
	s := "ls"
	for range 3000 {
		s = "(" + s + ")"
	}
	return s
}

// Names that the session defined earlier stand for their code.
func TestDefined(t *testing.T) {
	allowlist, denylist := policy.Compile(commands(t, without)), policy.Compile(commands(t, with))
	for _, test := range []struct {
		name        string
		define      syntax.Definition
		line        string
		allow, deny auth.Action
	}{
		{"alias of a permitted program", syntax.Definition{Name: "ll", Alias: true, Code: "ls -l"}, "ll /tmp", auth.Allow, auth.Allow},
		{"alias of a forbidden one", syntax.Definition{Name: "x", Alias: true, Code: "touch"}, "x F", auth.Deny, auth.Deny},
		{"alias in a permitted name", syntax.Definition{Name: "ls", Alias: true, Code: "touch F;ls"}, "ls", auth.Deny, auth.Deny},
		{"alias of its own name", syntax.Definition{Name: "ls", Alias: true, Code: "ls --color"}, "ls /tmp", auth.Allow, auth.Allow},
		{"alias that runs its arguments", syntax.Definition{Name: "s", Alias: true, Code: "sudo "}, "s touch F", auth.Deny, auth.Deny},
		{"alias of what adds arguments", syntax.Definition{Name: "x", Alias: true, Code: "xargs"}, "echo F | x touch", auth.Deny, auth.Deny},
		{"alias of what adds arguments to sh", syntax.Definition{Name: "x", Alias: true, Code: "xargs -n1"}, "x sh -c 'touch F'", auth.Deny, auth.Deny},
		{"alias of unknown value", syntax.Definition{Name: "x", Alias: true}, "x F", auth.Deny, auth.Warn},
		{"unknown alias", syntax.Definition{Alias: true}, "ls", auth.Deny, auth.Warn},
		{"function", syntax.Definition{Name: "f", Code: "{ ls; }"}, "f", auth.Allow, auth.Allow},
		{"function that is forbidden", syntax.Definition{Name: "ls", Code: "{ touch F; }"}, "ls", auth.Deny, auth.Deny},
		{"function that runs its arguments", syntax.Definition{Name: "f", Code: `{ "$@"; }`}, "f touch F", auth.Deny, auth.Deny},
		{"function that calls itself", syntax.Definition{Name: "f", Code: "{ f; }"}, "f", auth.Deny, auth.Allow},
		{"quoted, and so no alias", syntax.Definition{Name: "touch", Alias: true, Code: "ls"}, `\touch F`, auth.Deny, auth.Deny},
		{"passed over", syntax.Definition{Name: "touch", Code: "{ ls; }"}, `command touch F`, auth.Deny, auth.Deny},
		{"gone in this line", syntax.Definition{Name: "touch", Code: "{ ls; }"}, `unset -f touch; touch F`, auth.Deny, auth.Deny},
		{"not there in another shell", syntax.Definition{Name: "touch", Code: "{ ls; }"}, `sh -c 'touch F'`, auth.Deny, auth.Deny},
		{"alias that is not there in another shell", syntax.Definition{Name: "touch", Alias: true, Code: "ls"}, `fish -c 'touch F'`, auth.Deny, auth.Deny},
		{"exported to another shell", syntax.Definition{Name: "ls", Code: "{ touch F; }"}, `bash -c ls`, auth.Deny, auth.Deny},
		{"not certain", syntax.Definition{Name: "x", Unsure: true}, `x touch F`, auth.Deny, auth.Warn},
		{"not meant by another program", syntax.Definition{Name: "ls", Code: "{ touch F; }"}, "env ls", auth.Allow, auth.Allow},
	} {
		facts := policy.Facts{Defined: map[string]syntax.Definition{test.define.Name: test.define}}
		if v := allowlist.Decide(policy.Line{Text: test.line}, facts); v.Action != test.allow {
			t.Errorf("%s under an allowlist: %s (%s), want %s", test.name, v.Action, v.Reason, test.allow)
		}
		if v := denylist.Decide(policy.Line{Text: test.line}, facts); v.Action != test.deny {
			t.Errorf("%s under a denylist: %s (%s), want %s", test.name, v.Action, v.Reason, test.deny)
		}
	}
	// What may or may not have replaced another definition leaves both possible.
	runs := map[string]syntax.Definition{"f": {Name: "f", Code: `{ "$@"; }`}}
	for _, line := range []string{"false && f() { ls; }", "(f() { ls; })", "unset -f f", "if false; then f() { ls; }; fi"} {
		v := denylist.Decide(policy.Line{Text: line}, policy.Facts{Defined: runs})
		if len(v.Defines) != 1 {
			t.Fatalf("%q defines %+v", line, v.Defines)
		}
		after := policy.Facts{Defined: map[string]syntax.Definition{"f": v.Defines[0]}}
		if v := denylist.Decide(policy.Line{Text: "f touch F"}, after); v.Action == auth.Allow {
			t.Errorf("after %q, f touch F is allowed", line)
		}
	}
	// What takes back any, or all, leaves the program possible.
	for line, dialect := range map[string]syntax.Dialect{
		"unalias -a": syntax.POSIX, "unset -f $x": syntax.Bash, "shopt -u expand_aliases": syntax.Bash, "set -o posix": syntax.Bash, "BASH_ALIASES=()": syntax.Bash,
		"unalias -m 'to*'": syntax.Zsh, "disable -a touch": syntax.Zsh, "unhash -am 'to*'": syntax.Zsh, "setopt NO_ALIASES": syntax.Zsh, "unsetopt aliases": syntax.Zsh, "emulate sh": syntax.Zsh, "setopt $x": syntax.Zsh,
	} {
		facts := policy.Facts{Defined: map[string]syntax.Definition{"touch": {Name: "touch", Alias: true, Code: "ls"}}}
		v := denylist.Decide(policy.Line{Text: line, Dialect: dialect}, facts)
		for _, d := range v.Defines {
			facts.Defined[d.Name] = d
		}
		if v := allowlist.Decide(policy.Line{Text: "touch F", Dialect: dialect}, facts); v.Action != auth.Deny {
			t.Errorf("after %q, touch F is allowed", line)
		}
	}
	if v := denylist.Decide(policy.Line{Text: "unset FOO"}, policy.Facts{}); len(v.Defines) > 0 {
		t.Errorf("unset of a variable defines %+v", v.Defines)
	}
	v := denylist.Decide(policy.Line{Text: "alias x='ls -l'; f() { ls; }"}, policy.Facts{})
	want := []syntax.Definition{{Name: "x", Alias: true, Code: "ls -l"}, {Name: "f", Code: "{ ls; }"}}
	if !slices.Equal(v.Defines, want) {
		t.Errorf("defines %+v, want %+v", v.Defines, want)
	}
}

// A rule that allows whatever there is does not answer for code that nobody sees.
func TestAllowEverythingButOne(t *testing.T) {
	p := policy.Compile(commands(t, "{mode: allowlist, rules: [{id: no-touch, action: deny, programs: [touch]}, {id: named, action: allow, programs: [\"ENV=\"]}, {id: all, action: allow, programs: [\"*\"]}]}"))
	for line, want := range map[string]auth.Action{
		"BASH_ENV=x bash -c :": auth.Deny, "read PROMPT_COMMAND": auth.Deny, "PROMPT_COMMAND+=$x": auth.Deny, "GIT_CONFIG_COUNT=1 git x": auth.Deny, "PERL5DB=x perl -d x": auth.Deny,
		"ENV=x sh -c :": auth.Allow, "PROMPT_COMMAND=ls": auth.Allow, "PATH=/x:$PATH": auth.Allow, "EDITOR=vim": auth.Allow, "PS1='$ '": auth.Allow,
	} {
		if v := p.Decide(policy.Line{Text: line}, policy.Facts{}); v.Action != want {
			t.Errorf("%q gets %s (%s), want %s", line, v.Action, v.Reason, want)
		}
	}
}

func TestStartsShell(t *testing.T) {
	p := policy.Compile(commands(t, `
mode: denylist
rules: [{id: x, action: deny, programs: [touch]}]`))
	for line, want := range map[string]bool{
		"bash": true, "sh -i": true, "exec bash": true, "sudo -i": true, "sudo -s": true, "su": true, "su - app": true, "busybox sh": true, "chroot /x": true, "env bash --norc": true, "sh -s": true, "zsh -l": true, "fish": true,
		"unshare -r": true, "nsenter -t 1 -m": true, "script /dev/null": true, "tmux": true, "tmux attach -t x": true, "sudo su -": true, "ls": false, "sh -c ls": false, "sh x.sh": false, "echo ls | sh": false, "sh < x": false, "su -c ls": false, "sudo ls": false, "bash -c bash": true, "ls; bash": true,
		"bash -o vi": true, "bash -O extglob": true, "bash -s a": true, "bash /dev/stdin": true, "sh /dev/fd/0": true, "sh /dev/./tty": true, "dash /dev/pts/3": true, "fish -C :": true, "bash -o pipefail -c ls": false, "bash -x x.sh": false,
	} {
		if v := p.DecideExec(policy.Facts{}, line); v.StartsShell != want {
			t.Errorf("%q starts a shell: %v", line, v.StartsShell)
		}
	}
}

// What the bastion has in a shell is not for a line to change.
func TestHooksAreNotForLines(t *testing.T) {
	p := policy.Compile(commands(t, `
mode: allowlist
rules: [{id: x, action: allow, programs: [echo, eval]}]`))
	for line, want := range map[string]auth.Action{
		"__podbastion_expand() { :; }": auth.Deny, "function __podbastion_tell { :; }": auth.Deny, "unset -f __podbastion_tell": auth.Deny, "__podbastion_count=9": auth.Deny, "eval '__podbastion_x() { :; }'": auth.Deny,
		"f() { unset __podbastion_nonce; }": auth.Deny, "printf() { :; }": auth.Deny, "history() { echo a; }": auth.Deny, "f() { builtin() { :; }; }": auth.Deny,
		"f() { :; }": auth.Allow, "count=9": auth.Allow, "unset -f f": auth.Allow, "history=9": auth.Allow, "greet() { echo hello; }; greet": auth.Allow, "echo printf '()'": auth.Allow,
	} {
		if v := p.Decide(policy.Line{Text: line}, policy.Facts{}); v.Action != want {
			t.Errorf("%q: %v, want %v (%s)", line, v.Action, want, v.Reason)
		}
	}
}
