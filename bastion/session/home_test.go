package session

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/bastion/bridge"
)

func TestTildes(t *testing.T) {
	for in, want := range map[string]string{
		"echo ~alice+web && sleep 0":       "echo /home/a && sleep 0",
		"/bin/sh -c 'echo ~alice+web/x'":   "/bin/sh -c 'echo /home/a/x'",
		"mkdir \"` echo ~alice+web/.t `\"": "mkdir \"` echo /home/a/.t `\"",
		"~alice+web":                       "/home/a",
		"x~alice+web":                      "x~alice+web",
		"~alice+web2":                      "~alice+web2",
		"~alice+web-1/x ~alice+web":        "~alice+web-1/x /home/a",
		"echo ~ ~root":                     "echo ~ ~root",
		"":                                 "",
	} {
		if got := tildes(in, "alice+web", "/home/a"); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	for _, home := range []string{"", "relative", "/a b", "/$(x)", "/a'b"} {
		if got := tildes("echo ~u", "u", home); got != "echo ~u" {
			t.Errorf("home %q: %q", home, got)
		}
	}
}

func TestFromHome(t *testing.T) {
	home := t.TempDir()
	for _, shell := range []string{"/bin/sh", "/bin/bash"} {
		f := bridge.Facts{Home: home, WorkDir: "/", Shells: []string{"/usr/bin/fish", "/bin/zsh", shell}}
		argv := fromHome([]string{shell, "-c", `printf '%s|%s|%s' "$PWD" "$0" "$#"; exit 3`}, f)
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env, cmd.Dir = []string{"HOME=" + home}, "/"
		out, _ := cmd.Output()
		if want := home + "|" + shell + "|0"; string(out) != want || cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("%s: %q, exit %d, want %q", shell, out, cmd.ProcessState.ExitCode(), want)
		}
		cmd = exec.Command(argv[0], argv[1:]...)
		cmd.Env, cmd.Dir = []string{"HOME=/no-such-home"}, "/usr"
		if out, _ := cmd.CombinedOutput(); !strings.HasPrefix(string(out), "/usr|") {
			t.Errorf("%s without a home: %q", shell, out)
		}
	}
	as := []string{"/usr/bin/fish", "-l"}
	for _, f := range []bridge.Facts{
		{Home: "/", WorkDir: "/app", Shells: []string{"/bin/sh"}}, {Home: "/app", WorkDir: "/app", Shells: []string{"/bin/sh"}}, {},
		{Home: "/root", Shells: []string{"/usr/bin/fish", "/bin/rbash"}},
	} {
		if argv := fromHome(as, f); !slices.Equal(argv, as) {
			t.Errorf("%+v: %q", f, argv)
		}
	}
}
