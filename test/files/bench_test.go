//go:build real

package files_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// bench is a world with a pod that sees a folder of this machine's disk as /disk, beside OpenSSH's server with its own
// sftp-server on the same disk.
type bench struct {
	*world
	disk string
	peer []string // what scp needs to reach that server
}

func newBench(b *testing.B) *bench {
	b.Helper()
	w := newWorld(b)
	disk := b.TempDir()
	must(b, os.Chmod(disk, 0o755))
	w.pod(b, "bash", "podbastion/bash:test", "-v", disk+":/disk")
	w.serve(b)
	return &bench{world: w, disk: disk, peer: w.sshd(b)}
}

// sshd starts OpenSSH's server on this machine.
func (w *world) sshd(t testing.TB) []string {
	t.Helper()
	w.ok(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.path("host"))
	must(t, os.MkdirAll("/run/sshd", 0o755))
	port := strings.TrimSpace(w.ok(t, "", "python3", "-c", `import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])`))
	conf := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
		port, w.path("host"), w.path("id.pub"))
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-f", w.file(t, "sshd.conf", conf))
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	args := w.options()
	args[1] = "Port=" + port
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, code := w.run(t, "", "ssh", append(slices.Clone(args), "root@127.0.0.1", "true")...); code == 0 {
			return args
		}
		if time.Now().After(deadline) {
			t.Fatal("OpenSSH's server does not answer")
		}
	}
}

// timed returns how long a client took.
func (w *world) timed(t testing.TB, name string, args ...string) time.Duration {
	t.Helper()
	began := time.Now()
	w.ok(t, "", name, args...)
	return time.Since(began)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// report compares medians of what was taken in turns.
func report(b *testing.B, ours, sshd, docker []time.Duration) {
	b.Helper()
	b.ReportMetric(median(ours).Seconds(), "s/bastion")
	b.ReportMetric(median(sshd).Seconds(), "s/sshd")
	b.ReportMetric(median(sshd).Seconds()/median(ours).Seconds(), "x/sshd")
	if len(docker) > 0 {
		b.ReportMetric(median(docker).Seconds(), "s/docker-cp")
		b.ReportMetric(median(docker).Seconds()/median(ours).Seconds(), "x/docker-cp")
	}
	b.ReportMetric(0, "ns/op")
}

var protocols = []struct {
	name    string
	options []string
}{{"sftp", nil}, {"scp", []string{"-O"}}}

const bulk = 1 << 30

// One GiB each way. x/sshd is how many times as fast as OpenSSH's server.
func BenchmarkTransferBulk(b *testing.B) {
	w := newBench(b)
	w.ok(b, "", "sh", "-c", fmt.Sprintf("head -c %d /dev/urandom > %s", bulk, w.path("gig")))
	for _, p := range protocols {
		scp := func(b *testing.B, to []string, from, dest string) time.Duration {
			return w.timed(b, "scp", append(append(slices.Clone(to), p.options...), from, dest)...)
		}
		b.Run(p.name+"/up", func(b *testing.B) {
			var ours, sshd, docker []time.Duration
			for b.Loop() {
				ours = append(ours, scp(b, w.options(), w.path("gig"), "alice+bash@127.0.0.1:/disk/gig"))
				sshd = append(sshd, scp(b, w.peer, w.path("gig"), "root@127.0.0.1:"+w.disk+"/gig2"))
				docker = append(docker, w.timed(b, "docker", "-H", w.host, "cp", w.path("gig"), w.pods["bash"]+":/disk/gig3"))
			}
			w.ok(b, "", "cmp", w.path("gig"), w.disk+"/gig")
			report(b, ours, sshd, docker)
		})
		b.Run(p.name+"/down", func(b *testing.B) {
			var ours, sshd, docker []time.Duration
			for b.Loop() {
				ours = append(ours, scp(b, w.options(), "alice+bash@127.0.0.1:/disk/gig", w.path("got")))
				sshd = append(sshd, scp(b, w.peer, "root@127.0.0.1:"+w.disk+"/gig", w.path("got2")))
				docker = append(docker, w.timed(b, "docker", "-H", w.host, "cp", w.pods["bash"]+":/disk/gig", w.path("got3")))
			}
			w.ok(b, "", "cmp", w.path("gig"), w.path("got"))
			report(b, ours, sshd, docker)
		})
	}
}

// The most memory of the helper, and of bastion and agent in this one process, in MiB, while sparse files go up and down.
func BenchmarkTransferMemory(b *testing.B) {
	w := newBench(b)
	for _, p := range protocols {
		for name, size := range map[string]int64{"1GiB": 1 << 30, "5GiB": 5 << 30} {
			b.Run(p.name+"/"+name, func(b *testing.B) {
				must(b, os.WriteFile(w.path("sparse"), nil, 0o600))
				must(b, os.Truncate(w.path("sparse"), size))
				var helper, both int64
				for b.Loop() {
					helper, both = peaks(b, func() {
						w.ok(b, "", "scp", append(append(w.options(), p.options...), w.path("sparse"), "alice+bash@127.0.0.1:/disk/sparse")...)
						w.ok(b, "", "scp", append(append(w.options(), p.options...), "alice+bash@127.0.0.1:/disk/sparse", "/dev/null")...)
					})
				}
				if st, err := os.Stat(w.disk + "/sparse"); err != nil || st.Size() != size {
					b.Errorf("%v, %v", st, err)
				}
				must(b, os.Remove(w.disk+"/sparse"))
				b.ReportMetric(float64(helper>>20), "MiB/helper")
				b.ReportMetric(float64(both>>20), "MiB/bastion+agent")
			})
		}
	}
}

const smallFiles = 10_000

// Ten thousand files of 1,000 bytes each way.
func BenchmarkTransferSmall(b *testing.B) {
	w := newBench(b)
	must(b, os.Mkdir(w.path("small"), 0o755))
	for i := range smallFiles {
		must(b, os.WriteFile(filepath.Join(w.path("small"), fmt.Sprintf("%05d", i)), []byte(strings.Repeat("x", 1000)), 0o644))
	}
	scp := func(b *testing.B, options, to []string, from, dest string) time.Duration {
		return w.timed(b, "scp", append(append(append(slices.Clone(to), options...), "-r"), from, dest)...)
	}
	for _, p := range protocols {
		b.Run(p.name+"/up", func(b *testing.B) {
			var ours, sshd, docker []time.Duration
			for n := 0; b.Loop(); n++ {
				to := func(who string) string { return fmt.Sprintf("/%s-%s-%d", p.name, who, n) }
				ours = append(ours, scp(b, p.options, w.options(), w.path("small"), "alice+bash@127.0.0.1:/disk"+to("a")))
				sshd = append(sshd, scp(b, p.options, w.peer, w.path("small"), "root@127.0.0.1:"+w.disk+to("b")))
				docker = append(docker, w.timed(b, "docker", "-H", w.host, "cp", w.path("small"), w.pods["bash"]+":/disk"+to("c")))
			}
			w.ok(b, "", "diff", "-r", w.path("small"), w.disk+fmt.Sprintf("/%s-a-0", p.name))
			report(b, ours, sshd, docker)
		})
		b.Run(p.name+"/down", func(b *testing.B) {
			var ours, sshd, docker []time.Duration
			for n := 0; b.Loop(); n++ {
				to := func(who string) string { return w.path(fmt.Sprintf("down-%s-%s-%d", p.name, who, n)) }
				ours = append(ours, scp(b, p.options, w.options(), "alice+bash@127.0.0.1:/disk/"+p.name+"-a-0", to("a")))
				sshd = append(sshd, scp(b, p.options, w.peer, "root@127.0.0.1:"+w.disk+"/"+p.name+"-a-0", to("b")))
				docker = append(docker, w.timed(b, "docker", "-H", w.host, "cp", w.pods["bash"]+":/disk/"+p.name+"-a-0", to("c")))
			}
			w.ok(b, "", "diff", "-r", w.path("small"), w.path(fmt.Sprintf("down-%s-a-0", p.name)))
			report(b, ours, sshd, docker)
		})
	}
}

// Ansible's playbook of the tests over three pods, beside the same over OpenSSH's server in three containers.
func BenchmarkTransferAnsible(b *testing.B) {
	w := newWorld(b)
	w.at = "127.0.0.2"
	for i := range 3 {
		w.pod(b, fmt.Sprintf("p%d", i), "podbastion/ansible:test")
		w.pod(b, fmt.Sprintf("sshd%d", i), "podbastion/ansible:test", "--network", "bridge")
	}
	w.serve(b)
	variables, _ := w.ansibleFiles(b)
	ours, peers := "[pods]\n", "[pods]\n"
	for i := range 3 {
		id := w.pods[fmt.Sprintf("sshd%d", i)]
		start := "mkdir -p /run/sshd /home/dev/.ssh; cat > /home/dev/.ssh/authorized_keys; chown -R dev /home/dev/.ssh; chmod 700 /home/dev/.ssh; ssh-keygen -A; exec /usr/sbin/sshd"
		key, err := os.ReadFile(w.path("id.pub"))
		must(b, err)
		w.ok(b, string(key), "docker", "-H", w.host, "exec", "-i", id, "sh", "-ec", start)
		ours += fmt.Sprintf("p%d ansible_user=dev+p%d ansible_host=%s ansible_port=%s\n", i, i, w.at, w.port)
		peers += fmt.Sprintf("p%d ansible_user=dev ansible_host=%s\n", i, w.docker(b, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id))
	}
	w.file(b, "ours", ours+variables)
	w.file(b, "peers", peers+variables)
	for _, pipelining := range []string{"False", "True"} {
		b.Run("pipelining="+pipelining, func(b *testing.B) {
			var ours, sshd []time.Duration
			play := func(inventory string, n int) time.Duration {
				began := time.Now()
				w.ansible(b, "smart", pipelining, "ansible-playbook", "-i", w.path(inventory), w.path("play.yaml"), "-e", fmt.Sprintf("dir=/tmp/t%s%d fetched=%s", pipelining, n, w.path("fetched")))
				return time.Since(began)
			}
			for n := 0; b.Loop(); n++ {
				ours = append(ours, play("ours", n))
				sshd = append(sshd, play("peers", n))
			}
			report(b, ours, sshd, nil)
		})
	}
}
