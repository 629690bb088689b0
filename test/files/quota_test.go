//go:build real

package files_test

import (
	"os"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/audit"
)

// quota makes a file system with a quota of 2 MiB on a folder of it, and returns that folder. It is btrfs because every
// kernel that has btrfs has its quotas, while those of ext4, XFS and tmpfs are options that many kernels are built without.
func (w *world) quota(t testing.TB) string {
	t.Helper()
	at, image := w.path("quota"), w.path("quota.img")
	must(t, os.Mkdir(at, 0o755))
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 256<<20))
	w.ok(t, "", "mkfs.btrfs", "-q", image)
	w.ok(t, "", "mount", "-o", "loop", image, at)
	t.Cleanup(func() { w.ok(t, "", "umount", "-l", at) }) // the container's own mount of it goes with the container
	w.ok(t, "", "btrfs", "quota", "enable", at)
	w.ok(t, "", "btrfs", "subvolume", "create", at+"/limited")
	w.ok(t, "", "btrfs", "qgroup", "limit", "2M", at+"/limited")
	must(t, os.Chmod(at+"/limited", 0o777)) // #nosec G302 -- any user of the container is to meet the quota
	return at + "/limited"
}

// TestQuota has uploads meet a quota, while there is room on the disk.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited := w.quota(t)
	w.pod(t, "root", "podbastion/static:test", "-v", limited+":/limited")
	w.pod(t, "user", "podbastion/bash:test", "--user", "1000:1000", "-v", limited+":/limited")
	w.serve(t)
	big, small := w.path("big"), w.path("small")
	w.ok(t, "", "sh", "-c", "head -c 8000000 /dev/urandom > "+big+"; head -c 1000 /dev/urandom > "+small)
	for pod := range w.pods {
		for name, option := range bothProtocols {
			to := "/limited/" + pod + "-" + name
			at := "alice+" + pod + "@127.0.0.1"
			w.ok(t, "", "scp", append(append(w.options(), option...), small, at+":"+to+"-fits")...)
			out, code := w.run(t, "", "scp", append(append(w.options(), option...), big, at+":"+to)...)
			if code == 0 || !strings.Contains(out, "quota exceeded") {
				t.Errorf("%s into %s: exit %d: %s", name, pod, code, out)
			}
			w.partial(t, audit.FileWrite, to, "quota exceeded")
			w.ok(t, "", "cmp", small, limited+"/"+pod+"-"+name+"-fits")
			w.ok(t, "rm "+to+"\nrm "+to+"-fits\n", "sftp", append(w.options("-b", "-"), at)...)
			w.ok(t, "", "btrfs", "filesystem", "sync", limited)
		}
	}
}
