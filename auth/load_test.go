package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func keyLine(t testing.TB, b byte) string {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = b
	k, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

const goodHash = "$argon2id$v=19$m=19456,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"

func goodDocument(t testing.TB) string {
	return `# who may
authorities: ["` + keyLine(t, 9) + ` ca"]
accounts:
  - name: alice
    keys: ['from="10.0.0.0/8,!10.9.0.0/16",no-pty ` + keyLine(t, 1) + ` alice@laptop']
    totp: jbsw y3dp ehpk 3pxp jbsw y3dp ehpk 3pxp
    roles: [shop-dev, wide]
  - {name: robot, principals: [robot, ci], keys: ["` + keyLine(t, 2) + `"], roles: [wide]}
  - {name: pat, principals: [], password: "` + goodHash + `", roles: [wide]}
roles:
  shop-dev:
    targets:
      - {clusters: [prod], namespaces: [shop], pods: ["web-*"], selector: "tier in (web)", containers: ["*"]}
    user: "1000:1000"
    commands:
      mode: allowlist
      rules:
        - {id: look, action: allow, programs: [ls, cat, /usr/bin/tail]}
        - {id: no-big-vi, action: deny, programs: [vi, vim], fileLargerThan: 10MiB, message: "use less"}
        - {id: rm-rf, action: deny, programs: [rm], flags: [-r, -f], paths: ["/**"]}
        - {id: git, action: allow, programs: [git], arguments: [status, {regex: "v[0-9]+|x"}]}
        - {id: re, action: warn, regex: "a.*|b", anchored: false}
        - {id: re2, action: warn, regex: "a|b"}
    files: {upload: [{paths: ["/tmp/**"], maxSize: 100MiB}], download: [{paths: ["/**"]}], chmod: false}
    forward: {podPorts: [8080, "9000-9010"]}
    recording: on
    env: [FOO_*]
    limits: {sessions: 5, idle: 15m, duration: 8h, sourceAddresses: ["10.0.0.0/8", "2001:db8::/32"]}
  wide: {targets: [{namespaces: [dev, "test-?"]}]}
`
}

func load(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Load("roles.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLoad(t *testing.T) {
	d := load(t, goodDocument(t))
	alice, ok := d.Credentials("alice")
	if !ok || len(alice.Keys) != 1 || !alice.Keys[0].NoPTY || alice.Keys[0].NoForward || alice.Keys[0].Comment != "alice@laptop" {
		t.Fatalf("alice: %+v", alice)
	}
	if alice.TOTP != "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP" {
		t.Errorf("totp %q", alice.TOTP)
	}
	for addr, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.9.0.1": false, "192.0.2.1": false} {
		if got := alice.Keys[0].From.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("from %s: %v", addr, got)
		}
	}
	if fmt.Sprint(alice.Principals) != "[alice]" {
		t.Errorf("alice's principals: %v", alice.Principals)
	}
	if robot, _ := d.Credentials("robot"); fmt.Sprint(robot.Principals) != "[robot ci]" {
		t.Errorf("robot's principals: %v", robot.Principals)
	}
	if pat, _ := d.Credentials("pat"); len(pat.Principals) != 0 || pat.Password == nil || !d.UsesPasswords() {
		t.Errorf("pat: %+v", pat)
	}
	r := d.Roles()[0]
	if r.Name != "shop-dev" || r.User != "1000:1000" || r.Recording != RecordingOn || r.Limits.Sessions != 5 ||
		r.Limits.Idle != 15*time.Minute || r.Limits.Duration != 8*time.Hour {
		t.Errorf("role: %+v", r)
	}
	c := r.Commands
	if c.Mode != Allowlist || len(c.Rules) != 6 || c.Rules[1].FileLargerThan != 10485760 || c.Rules[0].FileLargerThan >= 0 || c.Rules[1].Message != "use less" {
		t.Errorf("commands: %+v", c)
	}
	if a := c.Rules[3].Arguments; !a[0].Match("status") || !a[1].Match("v12") || !a[1].Match("x") || a[1].Match("ax") || a[1].Match("xa") {
		t.Error("arguments do not match as a whole")
	}
	if !c.Rules[4].Regex.MatchString("zzb") || c.Rules[5].Regex.MatchString("ab") || c.Rules[5].Regex.MatchString("a\nb") || !c.Rules[5].Regex.MatchString("b") {
		t.Error("anchors")
	}
	if len(r.Files.Upload) != 1 || r.Files.Upload[0].MaxSize != 104857600 || r.Files.Download[0].MaxSize >= 0 || r.Files.Chmod != nil || r.Files.Remove != nil {
		t.Errorf("files: %+v", r.Files)
	}
	for port, want := range map[uint16]bool{8080: true, 9000: true, 9010: true, 9011: false, 0: false, 80: false} {
		if r.Forward.Allows(port) != want {
			t.Errorf("port %d", port)
		}
	}
	wide := d.Roles()[1]
	if wide.Recording != RecordingRequired || wide.Commands.Mode != Denylist || wide.Forward.Allows(8080) || wide.Files.Download != nil {
		t.Errorf("defaults: %+v", wide)
	}
	for name, want := range map[string]bool{"LANG": true, "LC_ALL": true, "FOO_X": false, "LD_PRELOAD": false, "": false, "LC_A=B": false} {
		if wide.PermitsEnv(name) != want {
			t.Errorf("env %s", name)
		}
	}
}

func TestPermits(t *testing.T) {
	d := load(t, goodDocument(t))
	inside, outside := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.1")
	web := Resource{Cluster: "prod", Namespace: "shop", Pod: "web-1", Container: "app", Labels: map[string]string{"tier": "web"}}
	with := func(f func(*Resource)) Resource { r := web; f(&r); return r }
	tests := []struct {
		name string
		from netip.Addr
		r    Resource
		role string
	}{
		{"all match", inside, web, "shop-dev"},
		{"other source", outside, web, ""},
		{"other cluster", inside, with(func(r *Resource) { r.Cluster = "test" }), ""},
		{"other namespace", inside, with(func(r *Resource) { r.Namespace = "shop2" }), ""},
		{"other pod", inside, with(func(r *Resource) { r.Pod = "db-0" }), ""},
		{"pod prefix only", inside, with(func(r *Resource) { r.Pod = "xweb-0" }), ""},
		{"label missing", inside, with(func(r *Resource) { r.Labels = nil }), ""},
		{"label differs", inside, with(func(r *Resource) { r.Labels = map[string]string{"tier": "db"} }), ""},
		{"second role", outside, with(func(r *Resource) { r.Namespace = "test-1" }), "wide"},
		{"? is one character", outside, with(func(r *Resource) { r.Namespace = "test-12" }), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := d.Access("alice", tt.from)
			if err != nil {
				t.Fatal(err)
			}
			role, ok := a.Permits(tt.r)
			if ok != (tt.role != "") || ok && role.Name != tt.role {
				t.Fatalf("got %v %v", role, ok)
			}
		})
	}
	if _, err := d.Access("nobody", inside); !errors.Is(err, ErrUnknownAccount) {
		t.Errorf("unknown account: %v", err)
	}
	only := load(t, strings.Replace(goodDocument(t), "roles: [shop-dev, wide]", "roles: [shop-dev]", 1))
	if _, err := only.Access("alice", outside); !errors.Is(err, ErrSourceAddress) {
		t.Errorf("source: %v", err)
	}
	if a, err := only.Access("alice", netip.MustParseAddr("::ffff:10.0.0.1")); err != nil || len(a.Roles()) != 1 || a.Account() != "alice" {
		t.Errorf("mapped address: %v", err)
	}
}

// dsaLine was made by ssh-keygen -t dsa.
const dsaLine = "ssh-dss AAAAB3NzaC1kc3MAAACBAPi+0dhSPJouFAsff21ic4mjBLRDEbs98ZgRgSRMDctEQpWppMu1qJEuvjxbS6JgFIRBEUE4zjTxrwGmkYCbctmf2XAaIZ5bXuJfLcOewPVSA7rA27V0P/fiDFzbFyuceWTnU00povzJrJoUkaGPJQrlphN2Py/CYHixZtjLjF/rAAAAFQDSfnad+97Mhv9e7emnWQtTBD4OzQAAAIBDheZyysKmxN2xIUP099mCZQqlg7zRryiEBiifqGyA0T13LbrtuzbG8s5WJXve6chPrIN0WK4uUrdsq1J7iRJarRyrsFM5iNtAyEf5hF4aH45RrRANAFOEtUUOlf7878AjTFxq9OFIiFxn7wgG1PbVlfM1y1DoFbh7wlpJRf6wgAAAAIBmULhN9cS5u2/zDFKd6Gfqm2KeURoXm/ZC8hqgjNLNsqhuykUoUl5YCtbCupR1P8DXhYvM19RdPw3GN6RsKfs4QL5//OU9Jf9PJvN1ZknLxkKgo9lkEEdEtqZeb2RJ6b8Hpgs/zqgsLC3IlEohXhJoy28w1AsFhZCoBkJHIV8rHw=="

func weakLine(t testing.TB) string {
	t.Helper()
	k := &rsa.PublicKey{E: 65537}
	small, err := rand.Prime(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	k.N = small
	p, err := ssh.NewPublicKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p)))
}

// Each bad document must be refused at exactly that place, with words that help.
func TestLoadErrors(t *testing.T) {
	weak := weakLine(t)
	base := "roles: {r: {targets: [{namespaces: [a]}]}}\n"
	acc := "accounts: [{name: a, keys: ['" + keyLine(t, 1) + "'], roles: [r]}]\n"
	rule := func(s string) string {
		return acc + "roles:\n  r:\n    targets: [{namespaces: [a]}]\n    commands:\n      mode: denylist\n      rules:\n        - " + s + "\n"
	}
	role := func(s string) string { return acc + "roles:\n  r:\n    targets: [{namespaces: [a]}]\n    " + s + "\n" }
	account := func(s string) string { return base + "accounts:\n  - name: a\n    roles: [r]\n    " + s + "\n" }
	key := func(s string) string { return account("keys:\n      - '" + s + "'") }
	tests := []struct{ name, text, place, words string }{
		{"empty", "", "1:1", "empty"},
		{"comment only", "# hi\n", "1:1", "empty"},
		{"not YAML", "accounts: [\n", "", "not YAML"},
		{"a tab", "accounts:\n\t- a\n", "2:1", "not YAML"},
		{"a list", "- a\n", "1:1", "want a mapping"},
		{"two documents", base + acc + "---\na: b\n", "", "second YAML document"},
		{"NUL", "a: \x00", "1:1", "NUL"},
		{"unknown key", base + acc + "acounts: []\n", "3:1", `did you mean "accounts"`},
		{"duplicate key", base + base + acc, "2:1", `"roles" of the document is there already, in line 1`},
		{"alias", "x: &a [b]\ny: *a\n", "1:4", "anchors"},
		{"bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "2:8", "aliases"},
		{"merge", base + acc + "<<: {accounts: []}\n", "3:1", "a key of the document"},
		{"tag", base + "accounts: !!set {}\n", "2:11", "tags"},
		{"deep", "a: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "1:20", "nested"},
		{"no accounts", base, "1:1", `"accounts" is missing`},
		{"no roles", acc, "1:1", `"roles" is missing`},
		{"unknown role", "accounts:\n  - name: a\n    keys: ['" + keyLine(t, 1) + "']\n    roles: [shop-def]\nroles:\n  shop-dev: {targets: [{namespaces: [a]}]}\n", "4:13", `did you mean "shop-dev"`},
		{"role twice", base + "accounts:\n  - {name: a, keys: ['" + keyLine(t, 1) + "'], roles: [r, r]}\n", "3:118", "already"},
		{"no role", base + "accounts:\n  - {name: a, keys: ['" + keyLine(t, 1) + "']}\n", "3:5", `no "roles"`},
		{"duplicate account", base + "accounts:\n  - {name: a, keys: ['" + keyLine(t, 1) + "'], roles: [r]}\n  - {name: a, keys: ['" + keyLine(t, 2) + "'], roles: [r]}\n", "4:12", "already"},
		{"account name", base + "accounts:\n  - {name: a+b, keys: ['" + keyLine(t, 1) + "'], roles: [r]}\n", "3:12", "letters, digits"},
		{"nothing to log in with", base + "accounts:\n  - {name: a, roles: [r]}\n", "3:5", "nothing to log in with"},
		{"number for name", base + "accounts:\n  - {name: 12, keys: ['" + keyLine(t, 1) + "'], roles: [r]}\n", "3:12", "in quotes"},
		{"null keys", account("keys:"), "5:10", "want a list"},
		{"empty keys", account("keys: []"), "5:11", "empty list"},
		{"not a key", key("hello"), "6:9", "authorized_keys"},
		{"weak RSA", key(weak), "6:9", "2048"},
		{"DSA", key(dsaLine), "6:9", "ssh-dss"},
		{"no touch", key("no-touch-required " + keyLine(t, 1)), "6:9", "touch"},
		{"unknown option", key(`environment="A=b" ` + keyLine(t, 1)), "6:9", "not supported"},
		{"from a name", key(`from="*.example.org" ` + keyLine(t, 1)), "6:9", "not an address or network"},
		{"from nobody", key(`from="!10.0.0.0/8" ` + keyLine(t, 1)), "6:9", "permits nobody"},
		{"local expiry", key(`expiry-time="20300101" ` + keyLine(t, 1)), "6:9", "UTC"},
		{"two keys in one", account("keys: [\"" + keyLine(t, 1) + "\\n" + keyLine(t, 2) + "\"]"), "5:12", "one key"},
		{"principals without authorities", key(keyLine(t, 1)) + "    principals: [x]\n", "7:17", "no authorities"},
		{"plain password", account("password: hunter2"), "5:15", "hash-password"},
		{"bcrypt", account("password: '$2y$10$abcdefghijklmnopqrstuv'"), "5:15", "argon2id"},
		{"cheap hash", account("password: '$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA'"), "5:15", "out of bounds"},
		{"hash that eats the machine", account("password: '$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA'"), "5:15", "out of bounds"},
		{"totp", account("totp: '!!'"), "5:11", "base32"},
		{"short totp", account("totp: JBSWY3DPEHPK3PXP"), "5:11", "want 16"},
		{"no target", acc + "roles: {r: {user: x}}\n", "2:12", `no "targets"`},
		{"empty target", acc + "roles: {r: {targets: [{}]}}\n", "2:23", "is empty"},
		{"bad glob", acc + "roles: {r: {targets: [{pods: ['web-[']}]}}\n", "2:31", "unclosed ["},
		{"bad selector", acc + "roles: {r: {targets: [{selector: 'a in'}]}}\n", "2:34", "label selector"},
		{"empty selector", acc + "roles: {r: {targets: [{selector: ''}]}}\n", "2:34", "empty"},
		{"recording", role("recording: requird"), "5:16", `did you mean "required"`},
		{"duration", role("limits: {idle: 15}"), "5:20", "15m"},
		{"sessions", role("limits: {sessions: -1}"), "5:24", "whole number"},
		{"CIDR", role("limits: {sourceAddresses: [10.0.0.1/8]}"), "5:32", "did you mean 10.0.0.0/8"},
		{"CIDR of nothing", role("limits: {sourceAddresses: [10.0.0.0/99]}"), "5:32", "10.0.0.0/8"},
		{"port 0", role("forward: {podPorts: [0]}"), "5:26", "8080"},
		{"port range", role("forward: {podPorts: [9-8]}"), "5:26", "range"},
		{"forward true", role("forward: true"), "5:14", "want a mapping"},
		{"user", role("user: 'root; id'"), "5:11", "uid"},
		{"relative path", role("files: {upload: [{paths: [tmp]}]}"), "5:31", "absolute"},
		{"path with dots", role("files: {upload: [{paths: [/tmp/../etc]}]}"), "5:31", "/etc"},
		{"path with half **", role("files: {upload: [{paths: [/tmp/a**]}]}"), "5:31", "whole path components"},
		{"size", role("files: {upload: [{paths: [/tmp], maxSize: big}]}"), "5:47", "10MiB"},
		{"size overflows", role("files: {upload: [{paths: [/tmp], maxSize: 99999999TiB}]}"), "5:47", "10MiB"},
		{"size on remove", role("files: {remove: [{paths: [/tmp], maxSize: 1}]}"), "5:38", "no key"},
		{"file kind", role("files: {uplaod: []}"), "5:13", `did you mean "upload"`},
		{"no mode", role("commands: {rules: [{id: a, action: deny, programs: [rm]}]}"), "5:15", `no "mode"`},
		{"mode", role("commands: {mode: allow}"), "5:22", "allowlist"},
		{"regex", rule("{id: a, action: deny, regex: '('}"), "8:40", "RE2"},
		{"regex breaks out", rule("{id: a, action: deny, regex: 'a)|(?:b'}"), "8:40", "RE2"},
		{"anchored", rule("{id: a, action: deny, programs: [rm], anchored: false}"), "8:59", "without regex"},
		{"action", rule("{id: a, action: dney, programs: [rm]}"), "8:27", `did you mean "deny"`},
		{"no id", rule("{action: deny, programs: [rm]}"), "8:11", `no "id"`},
		{"same id", rule("{id: a, action: deny, programs: [rm]}\n        - {id: a, action: deny, programs: [rm]}"), "9:11", "in line 8"},
		{"no condition", rule("{id: a, action: deny}"), "8:11", "no condition"},
		{"program with arguments", rule("{id: a, action: deny, programs: ['rm -rf']}"), "8:44", "without arguments"},
		{"flag", rule("{id: a, action: deny, flags: [r]}"), "8:41", "-r"},
		{"message in colour", rule(`{id: a, action: deny, programs: [rm], message: "\e[31m"}`), "8:58", "control"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load("roles.yaml", []byte(tt.text))
			var le *LoadError
			if !errors.As(err, &le) {
				t.Fatalf("got %v", err)
			}
			for _, line := range strings.Split(err.Error(), "\n") {
				if strings.HasPrefix(line, "roles.yaml:"+tt.place) && strings.Contains(line, tt.words) {
					return
				}
			}
			t.Fatalf("want %s … %s, got\n%v", tt.place, tt.words, err)
		})
	}
}

func TestLoadReportsAllAndIsBounded(t *testing.T) {
	_, err := Load("r", []byte("a: 1\nb: 2\nc: 3\n"))
	if n := strings.Count(err.Error(), "has no key"); n != 3 {
		t.Errorf("%d of 3 unknown keys: %v", n, err)
	}
	_, err = Load("r", []byte(strings.Repeat("- x\n", 3)+"accounts: a"))
	if err == nil {
		t.Error("accepted nonsense")
	}
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	_, err = Load("r", []byte(b.String()))
	var le *LoadError
	if !errors.As(err, &le) || len(le.Problems) != 50 || !le.More {
		t.Errorf("not bounded: %d problems", len(le.Problems))
	}
	if _, err = Load("r", make([]byte, 4<<20+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("huge file: %v", err)
	}
}

// A password in the place of its hash must not travel on in an error.
func TestLoadErrorsKeepSecrets(t *testing.T) {
	_, err := Load("r", []byte("accounts: [{name: a, password: hunter2, totp: hunter3!, roles: [r]}]\nroles: {r: {targets: [{pods: [a]}]}}\n"))
	if err == nil || strings.Contains(err.Error(), "hunter") {
		t.Fatalf("got %v", err)
	}
}

func TestReport(t *testing.T) {
	var b strings.Builder
	if err := load(t, goodDocument(t)).WriteReport(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"account alice: keys 1, certificates for alice, one-time code required; roles shop-dev, wide",
		"role shop-dev: targets 1, commands allowlist with 6 rules, recording on, files upload+download, forward 8080,9000-9010",
		"warning: account pat can log in with a password alone"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
