//go:build real

package files_test

import (
	"os"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/audit"
)

func TestRolesAndEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod(t, "static", "podbastion/static:test", "--tmpfs", "/tmp")
	w.serve(t)
	w.ok(t, "", "scp", append(w.options("-r"), w.tree(t, "in", 0, plain...), "alice+static@127.0.0.1:/tmp/in")...)
	w.ok(t, "", "scp", append(w.options("-r"), w.path("in"), "alice+static@127.0.0.1:/tmp/out")...)
	small, big := w.file(t, "small", "small file"), w.path("in/big") // 3 MiB
	for _, proto := range [][]string{nil, {"-O"}} {
		scp := func(from, to string) (string, int) {
			t.Helper()
			return w.run(t, "", "scp", append(append(w.options(), proto...), from, to)...)
		}
		at := "mover+static@127.0.0.1:"
		if out, code := scp(small, at+"/tmp/in/s"); code != 0 {
			t.Errorf("%v: upload: %d %s", proto, code, out)
		}
		if out, code := scp(at+"/tmp/out/script", w.path("got")); code != 0 {
			t.Errorf("%v: download: %d %s", proto, code, out)
		}
		for _, x := range [][2]string{{small, at + "/tmp/out/s"}, {small, at + "/x"}, {at + "/tmp/in/script", w.path("no")}, {at + "/etc/hostname", w.path("no")}} {
			if out, code := scp(x[0], x[1]); code == 0 || !strings.Contains(out, "your role does not permit") {
				t.Errorf("%v %v: %d %s", proto, x, code, out)
			}
		}
		if out, code := scp(big, at+"/tmp/in/b"); code == 0 || !strings.Contains(out, "1048576 bytes") {
			t.Errorf("%v: a file that is too large: %d %s", proto, code, out)
		}
		if out, code := scp("nofiles+static@127.0.0.1:/tmp/out/script", w.path("no")); code == 0 || !strings.Contains(out, "does not permit to copy files") {
			t.Errorf("%v: %d %s", proto, code, out)
		}
		if _, err := os.Stat(w.path("no")); err == nil {
			t.Error("something was fetched all the same")
		}
	}
	want := strings.Fields(w.ok(t, "", "sha256sum", small))[0]
	for _, kind := range []string{"sftp", "scp"} {
		w.log.find(t, kind+" upload", func(e audit.Event) bool {
			return e.Type == audit.FileWrite && e.Kind == kind && e.Path == "/tmp/in/s" && e.SHA256 == want && e.Outcome == "complete" && *e.Bytes == 10 && e.Account == "mover"
		})
		w.log.find(t, kind+" upload that was too large", func(e audit.Event) bool {
			return e.Type == audit.FileWrite && e.Kind == kind && e.Path == "/tmp/in/b" && e.SHA256 == "" && e.Outcome == "partial"
		})
		w.log.find(t, kind+" download that was refused", func(e audit.Event) bool {
			return e.Type == audit.FileRead && e.Kind == kind && e.Path == "/etc/hostname" && e.Outcome == "denied"
		})
	}
}
