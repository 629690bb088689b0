//go:build real

package files_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/podbastion/podbastion/audit"
)

// bench is a world with a pod that sees a folder of this machine's disk as /disk, beside OpenSSH's server with its own
// sftp-server on the same disk.
type bench struct {
	*world
	disk   string
	peer   []string // what scp needs to reach that server
	server int      // its process
}

func newBench(b *testing.B) *bench {
	b.Helper()
	w := newWorld(b)
	disk := b.TempDir()
	must(b, os.Chmod(disk, 0o755))
	w.pod(b, "bash", "podbastion/bash:test", "-v", disk+":/disk")
	w.serve(b)
	peer, server := w.sshd(b)
	return &bench{world: w, disk: disk, peer: peer, server: server}
}

// sshd starts OpenSSH's server on this machine, and returns what scp needs to reach it and its process.
func (w *world) sshd(t testing.TB) ([]string, int) {
	t.Helper()
	w.ok(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.path("host"))
	must(t, os.MkdirAll("/run/sshd", 0o755))
	port := strings.TrimSpace(w.ok(t, "", "python3", "-c", `import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])`))
	conf := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
		port, w.path("host"), w.path("id.pub"))
	// Without the start files of this machine's root, which may take a second.
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount -t tmpfs none /root && exec /usr/sbin/sshd "$@"`, "sshd", "-D", "-f", w.file(t, "sshd.conf", conf))
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	args := w.options()
	args[1] = "Port=" + port
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, code := w.run(t, "", "ssh", append(slices.Clone(args), "root@127.0.0.1", "true")...); code == 0 {
			return args, cmd.Process.Pid
		}
		if time.Now().After(deadline) {
			t.Fatal("OpenSSH's server does not answer")
		}
	}
}

// cost is what a transfer took.
type cost struct {
	wall time.Duration
	cpu  time.Duration // of the server's side: it tells more than the other where others use the machine, too
}

// timed tells what a client took, and what serving it took of processor time, by used.
func (w *world) timed(t testing.TB, used func(client time.Duration) time.Duration, name string, args ...string) cost {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = w.dir, append(os.Environ(), "HOME="+w.dir)
	before, began := used(0), time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	wall := time.Since(began)
	w.log.find(t, "the transfer's session is over", func(audit.Event) bool { return len(helpers()) == 0 }) // its time counts
	return cost{wall, used(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()) - before}
}

// usedHere is what bastion and agent, which are this process, and helpers have used.
func usedHere(client time.Duration) time.Duration {
	sum := -client // it is a child, too
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// usedBy is what a process and those of its children that have ended have used.
func usedBy(pid int) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(text), ") ")
		var sum time.Duration
		for _, f := range strings.Fields(rest)[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.Atoi(f)
			sum += time.Duration(n) * 10 * time.Millisecond
		}
		return sum
	}
}

func usedNothing(time.Duration) time.Duration { return 0 }

func median(costs []cost, of func(cost) time.Duration) float64 {
	d := make([]time.Duration, len(costs))
	for i, c := range costs {
		d[i] = of(c)
	}
	slices.Sort(d)
	return d[len(d)/2].Seconds()
}

func wall(c cost) time.Duration { return c.wall }
func cpu(c cost) time.Duration  { return c.cpu }

// report compares medians of what was taken in turns.
func report(b *testing.B, ours, sshd, docker []cost) {
	b.Helper()
	b.ReportMetric(median(ours, wall), "s/bastion")
	b.ReportMetric(median(sshd, wall), "s/sshd")
	b.ReportMetric(median(sshd, wall)/median(ours, wall), "x/sshd")
	if c := median(ours, cpu); c > 0 {
		b.ReportMetric(c, "cpu-s/bastion")
		b.ReportMetric(median(sshd, cpu), "cpu-s/sshd")
	}
	if len(docker) > 0 {
		b.ReportMetric(median(docker, wall), "s/docker-cp")
		b.ReportMetric(median(docker, wall)/median(ours, wall), "x/docker-cp")
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
		scp := func(b *testing.B, used func(time.Duration) time.Duration, to []string, from, dest string) cost {
			return w.timed(b, used, "scp", append(append(slices.Clone(to), p.options...), from, dest)...)
		}
		b.Run(p.name+"/up", func(b *testing.B) {
			var ours, sshd, docker []cost
			for b.Loop() {
				ours = append(ours, scp(b, usedHere, w.options(), w.path("gig"), "alice+bash@127.0.0.1:/disk/gig"))
				sshd = append(sshd, scp(b, usedBy(w.server), w.peer, w.path("gig"), "root@127.0.0.1:"+w.disk+"/gig2"))
				docker = append(docker, w.timed(b, usedNothing, "docker", "-H", w.host, "cp", w.path("gig"), w.pods["bash"]+":/disk/gig3"))
			}
			w.ok(b, "", "cmp", w.path("gig"), w.disk+"/gig")
			report(b, ours, sshd, docker)
		})
		b.Run(p.name+"/down", func(b *testing.B) {
			var ours, sshd, docker []cost
			for b.Loop() {
				ours = append(ours, scp(b, usedHere, w.options(), "alice+bash@127.0.0.1:/disk/gig", w.path("got")))
				sshd = append(sshd, scp(b, usedBy(w.server), w.peer, "root@127.0.0.1:"+w.disk+"/gig", w.path("got2")))
				docker = append(docker, w.timed(b, usedNothing, "docker", "-H", w.host, "cp", w.pods["bash"]+":/disk/gig", w.path("got3")))
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

// smallFiles is how many, ten thousand where nobody asks for fewer.
func smallFiles(b *testing.B) int {
	text := os.Getenv("FILES_SMALL")
	if text == "" {
		return 10_000
	}
	n, err := strconv.Atoi(text)
	must(b, err)
	return n
}

// Ten thousand files of 1,000 bytes each way.
func BenchmarkTransferSmall(b *testing.B) {
	w := newBench(b)
	must(b, os.Mkdir(w.path("small"), 0o755))
	for i := range smallFiles(b) {
		must(b, os.WriteFile(filepath.Join(w.path("small"), fmt.Sprintf("%05d", i)), []byte(strings.Repeat("x", 1000)), 0o644))
	}
	scp := func(b *testing.B, options []string, used func(time.Duration) time.Duration, to []string, from, dest string) cost {
		return w.timed(b, used, "scp", append(append(append(slices.Clone(to), options...), "-r"), from, dest)...)
	}
	for _, p := range protocols {
		b.Run(p.name+"/up", func(b *testing.B) {
			var ours, sshd, docker []cost
			for n := 0; b.Loop(); n++ {
				to := func(who string) string { return fmt.Sprintf("/%s-%s-%d", p.name, who, n) }
				ours = append(ours, scp(b, p.options, usedHere, w.options(), w.path("small"), "alice+bash@127.0.0.1:/disk"+to("a")))
				sshd = append(sshd, scp(b, p.options, usedBy(w.server), w.peer, w.path("small"), "root@127.0.0.1:"+w.disk+to("b")))
				docker = append(docker, w.timed(b, usedNothing, "docker", "-H", w.host, "cp", w.path("small"), w.pods["bash"]+":/disk"+to("c")))
			}
			w.ok(b, "", "diff", "-r", w.path("small"), w.disk+fmt.Sprintf("/%s-a-0", p.name))
			report(b, ours, sshd, docker)
		})
		b.Run(p.name+"/down", func(b *testing.B) {
			var ours, sshd, docker []cost
			for n := 0; b.Loop(); n++ {
				to := func(who string) string { return w.path(fmt.Sprintf("down-%s-%s-%d", p.name, who, n)) }
				ours = append(ours, scp(b, p.options, usedHere, w.options(), "alice+bash@127.0.0.1:/disk/"+p.name+"-a-0", to("a")))
				sshd = append(sshd, scp(b, p.options, usedBy(w.server), w.peer, "root@127.0.0.1:"+w.disk+"/"+p.name+"-a-0", to("b")))
				docker = append(docker, w.timed(b, usedNothing, "docker", "-H", w.host, "cp", w.pods["bash"]+":/disk/"+p.name+"-a-0", to("c")))
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
			var ours, sshd []cost
			play := func(inventory string, n int) cost {
				began := time.Now()
				w.ansible(b, "smart", pipelining, "ansible-playbook", "-i", w.path(inventory), w.path("play.yaml"), "-e", fmt.Sprintf("dir=/tmp/t%s%d fetched=%s", pipelining, n, w.path("fetched")))
				return cost{wall: time.Since(began)}
			}
			for n := 0; b.Loop(); n++ {
				ours = append(ours, play("ours", n))
				sshd = append(sshd, play("peers", n))
			}
			report(b, ours, sshd, nil)
		})
	}
}
