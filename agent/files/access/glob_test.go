package access_test

import (
	"os"
	"slices"
	"testing"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/internal/filewire"
)

func TestGlobTilde(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	const users = "root:x:0:0::/:/bin/sh\napp:x:1:1::/srv/[app]:/bin/sh\nodd:x:2:2::relative:/bin/sh\n"
	if err := os.WriteFile(dir+"/etc/passwd", []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := tree.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := access.New(root, "/home/me", filewire.Rules{Upload: []filewire.Rule{{Paths: []string{"/**"}}}}, func(filewire.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"~": "/home/me", "~/x": "/home/me/x", "~app": "/srv/[app]", "~app/x/y": "/srv/[app]/x/y", "~root": "/", "~root/x": "/x",
		"~odd/x": "~odd/x", "~nobody/x": "~nobody/x", `\~app/x`: "~app/x", "x~app": "x~app", "~app2/x": "~app2/x",
	} {
		if got, err := f.Glob(pattern); err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%q stands for %q, %v; want %q", pattern, got, err, want)
		}
	}
}
