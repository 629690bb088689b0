//go:build real

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

func TestExitCodes(t *testing.T) {
	w := sharedWorld(t)
	for _, p := range []string{"shop+tool-0", "infra+debug"} {
		for _, code := range []int{0, 1, 2, 127, 130, 255} {
			got := w.ssh(t, "alice+"+p, nil, fmt.Sprintf("exit %d", code))
			if got.code != code {
				t.Errorf("%s: exit %d came back as %d (%s)", p, code, got.code, got.stderr)
			}
		}
		if got := w.ssh(t, "alice+"+p, nil, "no-such-program"); got.code != 127 {
			t.Errorf("%s: a program that is not there: code %d, stderr %q", p, got.code, got.stderr)
		}
	}
}

// A killed process is told as shells tell it: 128 and the signal's number.
func TestKilledProcess(t *testing.T) {
	w := sharedWorld(t)
	if got := w.ssh(t, "alice+infra+debug", nil, "kill -KILL $$"); got.code != 137 {
		t.Errorf("code %d, want 137; stderr %q", got.code, got.stderr)
	}
}

func TestAddressForms(t *testing.T) {
	w := sharedWorld(t)
	debug, tool := w.pod("infra", "debug"), w.pod("shop", "tool-0")
	for _, tc := range []struct{ address, want string }{
		{"debug", "infra/debug/app"},
		{"infra+debug", "infra/debug/app"},
		{"main+infra+debug", "infra/debug/app"},
		{debug.ip, "infra/debug/app"},
		{"infra+debug~app", "infra/debug/app"},
		{"shop+tool-0", "shop/tool-0/app"},
		{tool.ip, "shop/tool-0/app"},
		{"shop+web", "shop/web-6d4b75cb6d-new/app"},                    // a Deployment: its newest ready pod
		{"shop+web~side", "shop/web-6d4b75cb6d-new/side"},              // a container by name
		{"shop+app=web,generation=old", "shop/web-6d4b75cb6d-old/app"}, // a selector
		{"shop+annotated", "shop/annotated/second"},                    // kubectl.kubernetes.io/default-container
	} {
		got := w.ssh(t, "alice+"+tc.address, nil, "cat /whoami")
		if got.code != 0 || strings.TrimSpace(got.stdout) != tc.want {
			t.Errorf("%s: got %q (code %d, %s), want %s", tc.address, got.stdout, got.code, got.stderr, tc.want)
		}
	}
}

// Not permitted and not found read the same; only the audit log tells them apart.
func TestHiddenPods(t *testing.T) {
	w := sharedWorld(t)
	absent := w.ssh(t, "bob+infra+nothing", nil, "true")
	hidden := w.ssh(t, "bob+infra+debug", nil, "true")
	if absent.code == 0 || hidden.code == 0 {
		t.Fatalf("codes %d and %d", absent.code, hidden.code)
	}
	if a, b := strings.ReplaceAll(absent.stderr, "nothing", "X"), strings.ReplaceAll(hidden.stderr, "debug", "X"); a != b {
		t.Errorf("the texts differ:\n%s\n%s", a, b)
	}
	reasons := map[string]bool{}
	for _, e := range w.events(t, func(e map[string]any) bool { return e["account"] == "bob" && e["type"] == "session.reject" }) {
		reasons[fmt.Sprint(e["reason"])] = true
	}
	if len(reasons) < 2 {
		t.Errorf("the audit log does not tell them apart: %v", reasons)
	}
	if got := w.ssh(t, "bob+shop+web~side", nil, "true"); got.code == 0 {
		t.Error("a container that the role does not name was entered")
	}
}

func TestMalformedAddress(t *testing.T) {
	w := sharedWorld(t)
	got := w.ssh(t, "alice+a+b+c+d", nil, "true")
	if got.code == 0 || !strings.Contains(got.stderr, "account+") {
		t.Errorf("code %d, stderr %q: want a word on what is wrong, with an example", got.code, got.stderr)
	}
}

func TestStderrApart(t *testing.T) {
	w := sharedWorld(t)
	got := w.ssh(t, "alice+infra+debug", nil, "printf 'a\\nb'; printf 'x\\ny' >&2")
	if got.stdout != "a\nb" || got.stderr != "x\ny" {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
}

func TestLargeStreams(t *testing.T) {
	w := sharedWorld(t)
	const size = 256 << 20
	source := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), size) }
	h := sha256.New()
	if _, err := io.Copy(h, source()); err != nil {
		t.Fatal(err)
	}
	want := hex.EncodeToString(h.Sum(nil))
	got := w.ssh(t, "alice+infra+debug", source(), "cat > /tmp/big && sha256sum /tmp/big")
	if got.code != 0 || !strings.HasPrefix(got.stdout, want) {
		t.Fatalf("up: code %d, %q, %q; want %s", got.code, got.stdout, got.stderr, want)
	}
	back := sha256.New()
	code := w.sshTo(t, "alice+infra+debug", back, "cat /tmp/big; rm /tmp/big")
	if sum := hex.EncodeToString(back.Sum(nil)); code != 0 || sum != want {
		t.Errorf("down: code %d, %s, want %s", code, sum, want)
	}
}

func TestNoShell(t *testing.T) {
	w := sharedWorld(t)
	if got := w.ssh(t, "alice+infra+bare", nil, "/static echo 'a  b' c"); got.code != 0 || got.stdout != "a  b c\n" {
		t.Errorf("a program that is there: code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
	if got := w.ssh(t, "alice+infra+bare", nil, "/static exit 9"); got.code != 9 {
		t.Errorf("its exit code: %d", got.code)
	}
	if got := w.ssh(t, "alice+infra+bare", nil, "-tt"); got.code != 127 || !strings.Contains(got.stdout+got.stderr, "no shell") {
		t.Errorf("a shell: code %d, %q %q", got.code, got.stdout, got.stderr)
	}
}

func TestTenAtOnceAndOneConnection(t *testing.T) {
	w := sharedWorld(t)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			got := w.ssh(t, "alice+infra+debug", strings.NewReader(fmt.Sprint("n", i)), "cat; exit 3")
			if got.code != 3 || got.stdout != fmt.Sprint("n", i) {
				t.Errorf("%d: %+v", i, got)
			}
		})
	}
	all.Wait()
	control := "ControlPath=" + w.path("ctl")
	argv := append(w.sshArgs("alice"), "-l", "alice+infra+debug", "-o", control, "-o", "ControlMaster=yes", "-N", "-f", "127.0.0.1")
	if got := runClient(t, nil, "ssh", argv...); got.code != 0 {
		t.Fatalf("the master: %+v", got)
	}
	defer func() {
		runClient(t, nil, "ssh", append(w.sshArgs("alice"), "-l", "alice+infra+debug", "-o", control, "-O", "exit", "127.0.0.1")...)
	}()
	for i := range 10 {
		all.Go(func() {
			got := w.ssh(t, "alice+infra+debug", nil, "-o", control, fmt.Sprintf("echo %d; exit %d", i, i))
			if got.code != i || got.stdout != fmt.Sprintln(i) {
				t.Errorf("over the master, %d: %+v", i, got)
			}
		})
	}
	all.Wait()
}
