package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/internal/cli"
)

const explainRoles = `
accounts:
  - {name: alice, keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER"], roles: [dev, ops]}
roles:
  dev:
    targets: [{clusters: [prod], namespaces: [shop], pods: ["web-*"], selector: "tier in (web)"}]
    commands:
      mode: allowlist
      rules:
        - {id: look, action: allow, programs: [ls, cat]}
        - {id: big, action: deny, programs: [vi], fileLargerThan: 1MiB, message: "use less"}
        - {id: edit, action: allow, programs: [vi]}
    forward: {podPorts: [8080]}
    files: {upload: [{paths: ["/tmp/**"], maxSize: 1MiB}], download: [{paths: ["/srv/out/**"]}]}
  ops:
    targets: [{namespaces: [ops]}]
    commands:
      mode: denylist
      rules:
        - {id: no-rm, action: deny, programs: [rm], flags: [-rf], paths: ["/srv/**"], message: "ask first"}
    limits: {sourceAddresses: ["10.0.0.0/8"]}
`

func TestExplain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roles.yaml")
	if err := os.WriteFile(file, []byte(explainRoles), 0o600); err != nil {
		t.Fatal(err)
	}
	web := []string{"--target", "prod/shop/web-1", "--labels", "tier=web"}
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"allowed", append(web, "ls /tmp | cat"), cli.OK, []string{"allow  ls /tmp  rule look", "allow  cat      rule look", "verdict: allow, confidence high"}},
		{"denied", append(web, "ls; rm -rf /srv"), cli.StatusDenied, []string{"deny   rm -rf /srv  no rule allows it", "verdict: deny, confidence high: no rule allows it"}},
		{"words instead of one quoted command", append(web, "cat", "-n", "/etc/passwd"), cli.OK, []string{"cat -n /etc/passwd"}},
		{"undecided", append(web, "cat $(cat x) && $y"), cli.StatusDenied, []string{"deny   $y", "confidence low"}},
		{"size needed", append(web, "vi /var/log/a.log"), cli.StatusDenied, []string{"depends on the size of /var/log/a.log", "message to the user: use less"}},
		{"size small", append(append([]string{"--size", "/var/log/a.log=10"}, web...), "vi /var/log/a.log"), cli.OK, []string{"rule edit"}},
		{"size large", append(append([]string{"--size", "/var/log/a.log=9999999"}, web...), "vi /var/log/a.log"), cli.StatusDenied, []string{"rule big", "use less"}},
		{"file missing", append(append([]string{"--size", "/a="}, web...), "vi /a"), cli.OK, []string{"rule edit"}},
		{"relative to the directory", []string{"--target", "x/ops/a", "--cwd", "/srv/data", "rm -fr x"}, cli.StatusDenied, []string{"deny  rm -fr x  rule no-rm", "ask first"}},
		{"wrapper", []string{"--target", "x/ops/a", "sudo rm --recursive --force /srv/x"}, cli.StatusDenied, []string{"(run by sudo) rule no-rm"}},
		{"starts a shell", []string{"--target", "x/ops/a", "--exec", "bash"}, cli.OK, []string{"starts a shell"}},
		{"control characters", []string{"--target", "x/ops/a", "echo '\x1b[31m'"}, cli.OK, []string{`echo \x1b[31m`}},
		{"scp up", append(web, "scp -t /tmp/x"), cli.OK, []string{"a file transfer", "files: upload /tmp/**, up to 1048576 bytes", "upload of /tmp/x: permitted, up to 1048576 bytes", "verdict: allow"}},
		{"scp up, as an exec request", append([]string{"--exec"}, append(web, "scp -r -t /tmp")...), cli.OK, []string{"upload of /tmp: permitted", "verdict: allow"}},
		{"scp up to elsewhere", append(web, "scp -t /etc/x"), cli.StatusDenied, []string{"upload of /etc/x: not permitted", "verdict: deny"}},
		{"scp down", append(web, "scp -f /srv"), cli.OK, []string{"download of /srv: not permitted but, if it is a directory, some of what is in it"}},
		{"scp down from elsewhere", append(web, "scp -f /tmp/x"), cli.StatusDenied, []string{"download of /tmp/x: not permitted"}},
		{"scp relative to the home", append([]string{"--home", "/tmp"}, append(web, "scp -t x")...), cli.OK, []string{"upload of x: permitted"}},
		{"scp relative to the unknown", append(web, "scp -t ~/x"), cli.OK, []string{"depends on the path"}},
		{"scp with what is no transfer", append(web, "scp -t /tmp/x; id"), cli.StatusDenied, []string{"no rule allows it"}},
		{"scp under a role without files", []string{"--target", "x/ops/a", "scp -t /tmp/x"}, cli.StatusDenied, []string{"does not permit to copy files"}},
		{"sftp", append(web, "/usr/lib/openssh/sftp-server"), cli.OK, []string{"files: upload", "verdict: allow"}},
		{"sftp as a subsystem", append([]string{"--subsystem", "sftp"}, web...), cli.OK, []string{"files: download /srv/out/**", "verdict: allow"}},
		{"sftp under a role without files", []string{"--subsystem", "sftp", "--target", "x/ops/a"}, cli.StatusDenied, []string{"verdict: deny"}},
		{"another subsystem", append([]string{"--subsystem", "x"}, web...), cli.StatusUsage, nil},
		{"no command", web, cli.OK, []string{"role dev", "clusters prod, namespaces shop, pods web-*", "selector tier in (web)", "what no rule matches is denied", "deny   big   programs vi; files over 1048576 bytes", "ports 8080 to 8080"}},
		{"no target", nil, cli.OK, []string{"role dev", "role ops", "from 10.0.0.0/8"}},
		{"from elsewhere", []string{"--from", "192.0.2.1"}, cli.OK, []string{"role dev"}},
		{"target of a role that the address may not use", []string{"--from", "192.0.2.1", "--target", "x/ops/a", "ls"}, cli.StatusUnknown, nil},
		{"label missing", []string{"--target", "prod/shop/web-1", "ls"}, cli.StatusUnknown, nil},
		{"another namespace", []string{"--target", "prod/other/web-1", "ls"}, cli.StatusUnknown, nil},
		{"bad target", []string{"--target", "web-1", "ls"}, cli.StatusUsage, nil},
		{"bad shell", []string{"--shell", "python", "ls"}, cli.StatusUsage, nil},
		{"bad flag", []string{"--nope"}, cli.StatusUsage, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			args := append([]string{"explain", "--roles", file, "--as", "alice"}, test.args...)
			if code := program().Run(context.Background(), args, &out, &errOut); code != test.code {
				t.Errorf("exit status %d, want %d\n%s%s", code, test.code, &out, &errOut)
			}
			for _, w := range test.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("output lacks %q:\n%s", w, &out)
				}
			}
			if test.name == "from elsewhere" && strings.Contains(out.String(), "role ops") {
				t.Errorf("a role that the address may not use is shown:\n%s", &out)
			}
			if strings.ContainsRune(out.String(), '\x1b') {
				t.Errorf("a control character reached the terminal: %q", &out)
			}
		})
	}
	var out bytes.Buffer
	if code := program().Run(context.Background(), []string{"explain", "--roles", file, "--as", "bob", "ls"}, &out, &out); code != cli.StatusUnknown {
		t.Errorf("unknown account: exit status %d\n%s", code, &out)
	}
	if code := program().Run(context.Background(), []string{"explain", "--roles", file + ".none", "--as", "bob", "ls"}, &out, &out); code != cli.StatusFailure {
		t.Errorf("no document: exit status %d\n%s", code, &out)
	}
	if err := os.WriteFile(file, []byte("roles: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := program().Run(context.Background(), []string{"explain", "--roles", file, "--as", "alice", "ls"}, &out, &out); code != cli.StatusConfig {
		t.Errorf("bad document: exit status %d\n%s", code, &out)
	}
}
