//go:build real

package files_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// peer is an OpenSSH server with its own sftp-server on this machine.
func (w *world) peer(t testing.TB) []string {
	t.Helper()
	w.ok(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.path("host"))
	must(t, os.MkdirAll("/run/sshd", 0o755))
	port := "0"
	for p := 23000; p < 24000; p++ {
		if err := exec.Command("sh", "-c", fmt.Sprintf("! ss -ltn | grep -q ':%d '", p)).Run(); err == nil {
			port = fmt.Sprint(p)
			break
		}
	}
	conf := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
		port, w.path("host"), w.path("id.pub"))
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-f", w.file(t, "sshd.conf", conf))
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 100 {
		if exec.Command("sh", "-c", "ss -ltn | grep -q 127.0.0.1:"+port).Run() == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	args := w.options()
	args[1] = "Port=" + port
	return args
}

// timed returns how long a client took.
func (w *world) timed(t testing.TB, name string, args ...string) time.Duration {
	t.Helper()
	began := time.Now()
	w.ok(t, "", name, args...)
	return time.Since(began)
}

// best runs a thing three times and takes the shortest.
func best(f func() time.Duration) time.Duration {
	out := time.Duration(1 << 62)
	for range 3 {
		out = min(out, f())
	}
	return out
}

// TestSpeed measures against OpenSSH's server and prints the ratios. It is no part of the ordinary run.
func TestSpeed(t *testing.T) {
	if os.Getenv("PODBASTION_BENCH") == "" {
		return
	}
	w := newWorld(t)
	disk, err := os.MkdirTemp("", "files-bench")
	must(t, err)
	defer os.RemoveAll(disk)
	w.pod(t, "bash", "podbastion/bash:test", "-v", disk+":/disk")
	w.serve(t)
	peer := w.peer(t)
	size, small := 1<<30, 10_000
	if os.Getenv("PODBASTION_BENCH") == "small" {
		size, small = 1<<28, 2_000
	}
	w.ok(t, "", "sh", "-c", fmt.Sprintf("head -c %d /dev/urandom > %s", size, w.path("gig")))
	must(t, os.Mkdir(w.path("small"), 0o755))
	for i := range small {
		must(t, os.WriteFile(fmt.Sprintf("%s/%05d", w.path("small"), i), []byte(strings.Repeat("x", 1000)), 0o644))
	}
	for _, x := range []struct {
		name string
		opts []string
	}{{"sftp", nil}, {"scp -O", []string{"-O"}}} {
		up := func(args []string, to string) func() time.Duration {
			return func() time.Duration {
				return w.timed(t, "scp", append(append(append([]string{}, args...), x.opts...), w.path("gig"), to)...)
			}
		}
		down := func(args []string, from string) func() time.Duration {
			return func() time.Duration {
				return w.timed(t, "scp", append(append(append([]string{}, args...), x.opts...), from, w.path("got"))...)
			}
		}
		ours, theirs := "alice+bash@127.0.0.1:/disk/gig", "root@127.0.0.1:"+filepath.Join(disk, "gig2")
		a, b := best(up(w.options(), ours)), best(up(peer, theirs))
		fmt.Printf("%-7s bulk up     %6.2fs  sshd %6.2fs  ratio %.2f\n", x.name, a.Seconds(), b.Seconds(), b.Seconds()/a.Seconds())
		a, b = best(down(w.options(), ours)), best(down(peer, theirs))
		fmt.Printf("%-7s bulk down   %6.2fs  sshd %6.2fs  ratio %.2f\n", x.name, a.Seconds(), b.Seconds(), b.Seconds()/a.Seconds())
		args := append(append([]string{"-r"}, x.opts...), w.path("small"))
		a = w.timed(t, "scp", append(append(w.options(), args...), "alice+bash@127.0.0.1:/disk/s1"+x.name[:3])...)
		b = w.timed(t, "scp", append(append(peer, args...), "root@127.0.0.1:"+disk+"/s2"+x.name[:3])...)
		fmt.Printf("%-7s small up    %6.2fs  sshd %6.2fs  ratio %.2f\n", x.name, a.Seconds(), b.Seconds(), b.Seconds()/a.Seconds())
	}
}
