package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
)

// documented returns the commands section of a role that docs/commands.md shows. Pairs of changes are made to it.
func documented(t *testing.T, role string, changes ...string) *policy.Policy {
	t.Helper()
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "<!-- role: "+role+" -->\n```yaml\ncommands:\n")
	section, _, closed := strings.Cut(after, "```")
	if !ok || !closed {
		t.Fatalf("docs/commands.md has no role %s", role)
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(section, changes[i]) || !strings.Contains(after, changes[i+1]) {
			t.Fatalf("docs/commands.md does not say to change %q to %q", changes[i], changes[i+1])
		}
		section = strings.Replace(section, changes[i], changes[i+1], 1)
	}
	var lines []string
	for line := range strings.SplitSeq(section, "\n") {
		lines = append(lines, strings.TrimPrefix(line, "  "))
	}
	return policy.Compile(commands(t, strings.Join(lines, "\n")))
}

// What rsync 3.5's client starts on the far side for all of its options that leave the tree alone.
const rsyncSends = `-logDtpre.iLsfxCIvu
-vlogDtprze.iLsfxCIvu
-vvvlogDtpre.iLsfxCIvu
-qlogDtpre.iLsfxCIvu
-logDtpr
-de.LsfxCIvu
-de.LsfxCIvu --list-only
-rIe.iLsfxCIvu
-ltpre.iLsfxCIvu
-lHogDtpAXrSe.iLsfxCIvu --numeric-ids
-nlogDtpre.iLsfxCIvu
-ulogDtpre.iLsfxCIvu
-blogDtpre.iLsfxCIvu
-lWogDtprxxe.iLsfxCIvu
-lLogDtpre.iLsfxCIvu
-lkogDtpre.iLsfxCIvu
-lKogDtpre.iLsfxCIvu
-lmogDtpre.iLsfxCIvu
-lOogDtpre.iLsfxCIvu
-lJogDtpre.iLsfxCIvu
-lyogDtpre.iLsfxCIvu
-logDtUpre.iLsfxCIvu
-logDtprCe.iLsfxCIvu
-logDtprce.iLsfxCIvu
-logDtprRe.iLsfxCIvu
-logDtprRe.iLsfxCIvu --no-implied-dirs
-logDtpRe.LsfxCIvu --files-from=- --from0
-logDtpRe.LsfxCIvu --files-from /data/list
-Dre.iLsfxCIvu --no-specials
-re.iLsfxCIvu --specials
-logDtpre.iLsfxCIvu --append
-logDtpre.iLsfxCIvu --append --append
-logDtpre.iLsfxCIvu --inplace
-logDtpre.iLsfxCIvu --partial
-logDtpre.iLsfxCIvu --log-format=X --partial
-logDtpre.iLsfxCIvu --partial-dir .rsync-partial
-logDtpre.iLsfxCIvu --log-format=%i
-logDtprze.iLsfxCIvu --log-format=%i --delay-updates
-logDtprze.iLsfxCIvu --compress-level=3
-logDtprze.iLsfxCIvu --old-compress
-logDtpre.iLsfxCIvu --new-compress
-logDtpre.iLsfxCIvu --compress-choice=zstd
-logDtpre.iLsfxCIvu --skip-compress=gz
-logDtpre.iLsfxCIvu --checksum-choice=xxh64
-logDtpre.iLsfxCIvu --checksum-seed=3
-logDtpre.iLsfxCIvu --bwlimit=100
-logDtpre.iLsfxCIvu --timeout=5
-logDtpre.iLsfxCIvu --iconv=latin1
-logDtpre.iLsfxCIvu --modify-window=2
-logDtpre.iLsfxCIvu --max-delete=3 --min-size=1 --max-size=1048576
-logDtpre.iLsfxCIvu -B700
-logDtpre.iLsfxCIvu --delete
-logDtpre.iLsfxCIvu --delete-before
-logDtpre.iLsfxCIvu --delete-during
-logDtpre.iLsfxCIvu --delete-delay
-logDtpre.iLsfxCIvu --delete-after
-logDtpre.iLsfxCIvu --delete-excluded
-logDtpre.iLsfxCIvu --delete-missing-args
-logDtpre.iLsfxCIvu --ignore-missing-args
-logDtpre.iLsfxCIvu --existing
-logDtpre.iLsfxCIvu --ignore-existing
-logDtpre.iLsfxCIvu --ignore-errors
-logDtpre.iLsfxCIvu --force
-logDtpre.iLsfxCIvu --fsync
-logDtpre.iLsfxCIvu --size-only
-logDtpre.iLsfxCIvu --safe-links
-logDtpre.iLsfxCIvu --copy-unsafe-links
-logDtpre.iLsfxCIvu --mkpath
-logDtpre.iLsfxCIvu --preallocate
-logDtpre.iLsfxCIvu --open-noatime
-logDtpre.iLsfxCIvu --msgs2stderr
-logDtpre.iLsfxCIvu --usermap=\*:a --groupmap=\*:b
-vlogDtpre.iLsfxCIvu --stats`

// What leads out of the tree, runs something or removes what is downloaded.
const rsyncRefuses = `--daemon --config=/data/e.conf
--daemon
--da --conf=/data/e.conf
--config=/data/e.conf
--dparam=x
-T/etc
-T /data/t
-lT/etc
--temp-dir /etc
--temp-dir=/data/t
--log-file=/etc/x
--log-file=.profile
--log-file /data/l
-blogDtpre.iLsfxCIvu --backup-dir /etc
--backup-dir=/data/b
--suffix=/../../x
-M--daemon
-M --log-file=/etc/x
--remote-option=--daemon
--remove-source-files
--remove-sent-files
--copy-dest /x
--compare-dest=/data/x
--link-dest /data/x
--files-from /etc/shadow
--files-from=/etc/shadow
--partial-dir /etc
--partial-dir=../../etc
--write-devices
--copy-devices
--fake-super
--super
-slogDtpre.iLsfxCIvu
--secluded-args
--protect-args
--write-batch=/etc/x
--only-write-batch=x
--read-batch=/etc/x
--password-file=/etc/shadow
--exclude-from=/etc/shadow
--include-from=/etc/shadow
-f._/etc/shadow
--filter=._/etc/shadow
-e /data/x
--rsh=/data/x
--rsync-path=/data/x
--no-server`

func TestDocumentedRsync(t *testing.T) {
	both, down := documented(t, "rsync"), documented(t, "rsync", `regex: "rsync --server .*"`, `regex: "rsync --server --sender .*"`)
	facts := policy.Facts{Home: "/root", Dir: "/root"}
	check := func(p *policy.Policy, line string, want auth.Action) {
		t.Helper()
		if v := p.DecideExec(facts, line); v.Action != want {
			t.Errorf("%q gets %s (%s), want %s\n%s", line, v.Action, v.Reason, want, nodes(v))
		}
	}
	for options := range strings.SplitSeq(rsyncSends, "\n") {
		check(both, "rsync --server "+options+" . /data/x", auth.Allow)
		check(both, "rsync --server --sender "+options+" . /data/a\\ b /data/*", auth.Allow)
		check(down, "rsync --server --sender "+options+" . /data/x", auth.Allow)
		check(down, "rsync --server "+options+" . /data/x", auth.Deny)
		check(both, "rsync --server "+options+" . /etc", auth.Deny)
		check(both, "rsync --server "+options+" . .", auth.Deny)
		check(both, "rsync --server "+options+" .", auth.Deny)
	}
	for options := range strings.SplitSeq(rsyncRefuses, "\n") {
		for _, p := range []*policy.Policy{both, down} {
			check(p, "rsync --server "+options+" . /data/x", auth.Deny)
			check(p, "rsync --server --sender "+options+" . /data/x", auth.Deny)
			check(p, "rsync --server --sender -logDtpre.iLsfxCIvu . /data/x "+options, auth.Deny)
		}
	}
	check(both, "rsync --server --daemon --config=/data/e.conf .", auth.Deny)
}

// Ansible's become, with a password and without.
func TestDocumentedBecome(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	rule := func(mark string) string {
		_, after, ok := strings.Cut(string(text), "<!-- "+mark+" -->\n```yaml\n")
		section, _, closed := strings.Cut(after, "```")
		if !ok || !closed {
			t.Fatalf("docs/commands.md has no %s", mark)
		}
		return section
	}
	_, role, _ := strings.Cut(rule("role: ansible"), "commands:\n")
	p := policy.Compile(commands(t, strings.ReplaceAll(strings.TrimPrefix(role, "  "), "\n  ", "\n")+"  "+rule("rule: become")))
	const module = "/usr/bin/python3 /root/.ansible/tmp/ansible-tmp-1-2-3/AnsiballZ_ping.py"
	for line, want := range map[string]auth.Action{
		`/bin/sh -c 'sudo -H -S -n  -u root /bin/sh -c '"'"'echo BECOME-SUCCESS-abc ; ` + module + `'"'"' && sleep 0'`:                                           auth.Allow,
		`/bin/sh -c 'sudo -H -S  -p "[sudo via ansible, key=abcdef] password:" -u app /bin/sh -c '"'"'echo BECOME-SUCCESS-abc ; ` + module + `'"'"' && sleep 0'`: auth.Allow,
		`/bin/sh -c 'sudo -H -S -n  -u root /bin/sh -c '"'"'echo BECOME-SUCCESS-abc ; id'"'"' && sleep 0'`:                                                       auth.Deny,
		`/bin/sh -c 'sudo -H -S -n -u root /bin/sh && sleep 0'`:                                                                                                  auth.Deny,
		`/bin/sh -c 'sudo -H -S -n -u other /bin/sh -c "echo x"'`:                                                                                                auth.Deny,
		`sudo -i`:         auth.Deny,
		`sudo -n -u root`: auth.Allow, // which runs nothing
	} {
		if v := p.DecideExec(policy.Facts{Home: "/root", Dir: "/"}, line); v.Action != want {
			t.Errorf("%q gets %s (%s), want %s\n%s", line, v.Action, v.Reason, want, nodes(v))
		}
	}
}

func TestDocumentedRoles(t *testing.T) {
	const dir = "/root/.ansible/tmp/ansible-tmp-1764030000.1-22-33"
	for role, lines := range map[string]map[string]auth.Action{
		"ansible": {
			`/bin/sh -c 'echo ~ && sleep 0'`:                                               auth.Allow,
			`/bin/sh -c 'echo ~root && sleep 0'`:                                           auth.Allow,
			`/bin/sh -c 'echo "` + "`pwd`" + `" && sleep 0'`:                               auth.Allow,
			`/bin/sh -c '/usr/bin/python3 ` + dir + `/AnsiballZ_ping.py && sleep 0'`:       auth.Allow,
			`/bin/sh -c 'chmod u+x ` + dir + `/ ` + dir + `/AnsiballZ_ping.py && sleep 0'`: auth.Allow,
			`/bin/sh -c 'rm -f -r ` + dir + `/ > /dev/null 2>&1 && sleep 0'`:               auth.Allow,
			`/bin/sh -c 'echo PLATFORM; uname; echo FOUND; command -v '"'"'python3.12'"'"'; command -v '"'"'/usr/bin/python3'"'"'; echo ENDFOUND && sleep 0'`:                                                           auth.Allow,
			`/bin/sh -c '( umask 77 && mkdir -p "` + "` echo /root/.ansible/tmp `" + `"&& mkdir "` + "` echo " + dir + " `" + `" && echo ansible-tmp-1764030000.1-22-33="` + "` echo " + dir + " `" + `" ) && sleep 0'`: auth.Allow,
			`/bin/sh`:                    auth.Deny,
			`sh`:                         auth.Deny,
			`bash`:                       auth.Deny,
			`/bin/sh -c 'id && sleep 0'`: auth.Deny,
			`/bin/sh -c '/usr/bin/python3 && sleep 0'`:            auth.Deny,
			`/bin/sh -c 'python3 -c "import os"'`:                 auth.Deny,
			`/bin/sh -c '/usr/bin/python3 /tmp/x.py && sleep 0'`:  auth.Deny,
			`/bin/sh -c 'rm -f -r / > /dev/null 2>&1 && sleep 0'`: auth.Deny,
			`/bin/sh -c 'rm -rf ` + dir + `/../../../etc'`:        auth.Deny,
			`/bin/sh -c 'echo x > /etc/passwd'`:                   auth.Deny,
			`/bin/sh x.sh`:                                        auth.Deny,
			`echo 'id' | sh -c sh`:                                auth.Deny,
			`sh -c "$0"`:                                          auth.Deny,
			`ls /etc`:                                             auth.Deny,
			`ls ` + dir:                                           auth.Allow,
			`/tmp/sh -c 'echo ~ && sleep 0'`:                      auth.Deny,
			`/bin/sh -c -s 'echo ~ && sleep 0'`:                   auth.Deny, // dash goes on with its input
			`/bin/sh -c -i 'echo ~ && sleep 0'`:                   auth.Deny,
		},
		"rsync": {
			`rsync --server -vlogDtpre.iLsfxCIvu . /data/`:                     auth.Allow,
			`rsync --server --sender -vlogDtpre.iLsfxCIvu . /data/x`:           auth.Allow,
			`rsync --server -vlogDtpre.iLsfxCIvu --delete --partial . /data/y`: auth.Allow,
			`rsync --server -vlogDtpre.iLsfxCIvu . /etc/`:                      auth.Deny,
			`rsync --server -vlogDtpre.iLsfxCIvu . /data/../etc`:               auth.Deny,
			`rsync -a /data/ host:/`:                                           auth.Deny,
			`rsync --server . /data/; id`:                                      auth.Deny,
			`sh`:                                                               auth.Deny,
		},
		"backup": {
			`pg_dump --format=custom --dbname=shop`:               auth.Allow,
			`pg_dump --format=custom --dbname=shop_eu | gzip -9c`: auth.Allow,
			`pg_dump --format=custom --dbname=users`:              auth.Deny,
			`pg_dump --dbname=shop --file=/etc/x`:                 auth.Deny,
			`pg_dump --dbname=shop > /tmp/x`:                      auth.Deny,
			`gzip -c /etc/shadow -S x`:                            auth.Deny,
		},
		"oncall": {
			`ls`: auth.Allow, `rm x`: auth.Allow, `rm -rf /tmp/x`: auth.Allow, `rm -rf /srv`: auth.Deny, `rm -fr .`: auth.Deny, `find / -name x -delete`: auth.Deny,
			`find / -exec rm -rf {} +`: auth.Deny, `sudo reboot`: auth.Deny, `mkfs.ext4 /dev/sda`: auth.Deny, `vi /etc/hosts`: auth.Warn, `echo x >> /etc/hosts`: auth.Warn, `$x`: auth.Warn, `curl -s http://x | sh`: auth.Warn,
		},
	} {
		p := documented(t, role)
		for line, want := range lines {
			if v := p.DecideExec(policy.Facts{Home: "/root", Dir: "/"}, line); v.Action != want {
				t.Errorf("role %s: %q gets %s (%s), want %s\n%s", role, line, v.Action, v.Reason, want, nodes(v))
			}
		}
	}
}
