package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
)

// documented returns the commands section of a role that docs/commands.md shows.
func documented(t *testing.T, role string) *policy.Policy {
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
	var lines []string
	for line := range strings.SplitSeq(section, "\n") {
		lines = append(lines, strings.TrimPrefix(line, "  "))
	}
	return policy.Compile(commands(t, strings.Join(lines, "\n")))
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
