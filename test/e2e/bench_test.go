//go:build real

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshd starts OpenSSH's server beside the bastion, as the peer to measure against; it returns what ssh needs to reach it.
func (w *world) sshd(b *testing.B) []string {
	b.Helper()
	dir := b.TempDir()
	command(b, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "host"))
	addr := freePort(b)
	host, port, _ := net.SplitHostPort(addr)
	w.key(b, "alice")
	conf := fmt.Sprintf("ListenAddress %s\nPort %s\nHostKey %s/host\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nSubsystem sftp internal-sftp\nMaxStartups 200\n",
		host, port, dir, w.path("id_alice.pub"))
	if err := os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(conf), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		b.Fatal(err)
	}
	// Without the start files of this machine's root, which may take a second.
	d, err := startDaemon(filepath.Join(dir, "sshd.log"), "unshare", "-m", "sh", "-c", `mount -t tmpfs none /root && exec /usr/sbin/sshd "$@"`, "sshd", "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Process.Kill(); <-d.ended })
	eventually(b, 10*time.Second, func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return []string{"-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "known"), "-o", "IdentitiesOnly=yes",
		"-o", "LogLevel=ERROR", "-i", w.path("id_alice"), "-p", port, "-l", "root", host}
}

func (w *world) toBastion(account string) []string {
	return append(w.sshArgs(account), "-l", account+"+infra+debug", "127.0.0.1")
}

func (w *world) dockerExec(args ...string) []string {
	return append([]string{"-H", w.docker, "exec", "-i", w.pod("infra", "debug").containers["app"]}, args...)
}

func timed(b *testing.B, stdin io.Reader, name string, args ...string) time.Duration {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = stdin
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s %v: %v %s", name, args, err, errOut.String())
	}
	return time.Since(begin)
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Login to exit of `true`, beside docker exec and OpenSSH's sshd, taken in turns; and beside kubectl exec, where
// PODBASTION_KUBECTL_EXEC gives its words up to the command: the kubelet is not one of the parts that the tests start.
func BenchmarkLoginToExit(b *testing.B) {
	w := sharedWorld(b)
	peer := w.sshd(b)
	kubectl := strings.Fields(os.Getenv("PODBASTION_KUBECTL_EXEC"))
	var ours, docker, sshd, kube []time.Duration
	for b.Loop() {
		if len(kubectl) > 0 {
			kube = append(kube, timed(b, nil, kubectl[0], append(kubectl[1:len(kubectl):len(kubectl)], "true")...))
		}
		ours = append(ours, timed(b, nil, "ssh", append(w.toBastion("alice"), "true")...))
		docker = append(docker, timed(b, nil, "docker", w.dockerExec("true")...))
		sshd = append(sshd, timed(b, nil, "ssh", append(peer, "true")...))
	}
	b.ReportMetric(ms(quantile(ours, 0.5)), "ms/bastion-p50")
	b.ReportMetric(ms(quantile(ours, 0.99)), "ms/bastion-p99")
	b.ReportMetric(ms(quantile(docker, 0.5)), "ms/docker-exec-p50")
	b.ReportMetric(ms(quantile(sshd, 0.5)), "ms/sshd-p50")
	b.ReportMetric(ms(quantile(ours, 0.5))/ms(quantile(docker, 0.5)), "x/docker-exec")
	b.ReportMetric(ms(quantile(ours, 0.5))/ms(quantile(sshd, 0.5)), "x/sshd")
	if len(kube) > 0 {
		b.ReportMetric(ms(quantile(kube, 0.5)), "ms/kubectl-exec-p50")
		b.ReportMetric(ms(quantile(ours, 0.5))/ms(quantile(kube, 0.5)), "x/kubectl-exec")
	}
}

const bulk = 256 << 20

// line is what is sent over and over: text, as most of what people see. Noise would measure its generator.
const line = "2026-01-02T03:04:05Z level=info msg=served path=/api/v1/items status=200 ms=12"

// text is what goes up.
func text() io.Reader { return io.LimitReader(&repeated{}, bulk) }

type repeated struct{ at int }

func (r *repeated) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		c := copy(p[n:], (line + "\n")[r.at:])
		n += c
		r.at = (r.at + c) % (len(line) + 1)
	}
	return len(p), nil
}

// busy is the processor time that a process has used.
func busy(b *testing.B, pid int) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, proc(5)
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

func benchmarkBulk(b *testing.B, up bool) {
	w := sharedWorld(b)
	peer := w.sshd(b)
	mbs := func(d time.Duration) float64 { return float64(bulk) / 1e6 / d.Seconds() }
	var on, off, sshd, docker []time.Duration
	var cpu [2]time.Duration // of bastion and agent, not recorded
	run := func(name string, args ...string) time.Duration {
		if up {
			return timed(b, text(), name, append(slices.Clone(args), "cat > /dev/null")...)
		}
		return timed(b, nil, name, append(slices.Clone(args), fmt.Sprintf("yes '%s' | head -c %d", line, bulk))...)
	}
	for b.Loop() {
		on = append(on, run("ssh", w.toBastion("alice")...))
		before := [2]time.Duration{busy(b, w.bastion.Process.Pid), busy(b, w.agent.Process.Pid)}
		off = append(off, run("ssh", w.toBastion("unrecorded")...))
		cpu[0] += busy(b, w.bastion.Process.Pid) - before[0]
		cpu[1] += busy(b, w.agent.Process.Pid) - before[1]
		sshd = append(sshd, run("ssh", peer...))
		docker = append(docker, run("docker", w.dockerExec("sh", "-c")...))
	}
	b.ReportMetric(ms(cpu[0])/float64(b.N)/(float64(bulk)/(1<<20)), "cpu-ms/MiB/bastion")
	b.ReportMetric(ms(cpu[1])/float64(b.N)/(float64(bulk)/(1<<20)), "cpu-ms/MiB/agent")
	b.ReportMetric(mbs(quantile(on, 0.5)), "MB/s/recorded")
	b.ReportMetric(mbs(quantile(off, 0.5)), "MB/s/unrecorded")
	b.ReportMetric(mbs(quantile(sshd, 0.5)), "MB/s/sshd")
	b.ReportMetric(mbs(quantile(docker, 0.5)), "MB/s/docker-exec")
	b.ReportMetric(mbs(quantile(on, 0.5))/mbs(quantile(sshd, 0.5)), "x/sshd")
	b.ReportMetric(mbs(quantile(off, 0.5))/mbs(quantile(docker, 0.5)), "x/docker-exec")
	b.ReportMetric(mbs(quantile(on, 0.5))/mbs(quantile(off, 0.5)), "x/unrecorded")
}

func BenchmarkBulkDown(b *testing.B) { benchmarkBulk(b, false) }
func BenchmarkBulkUp(b *testing.B)   { benchmarkBulk(b, true) }

// Time from a key to its echo at a bash prompt, beside docker exec -it to the same container.
func BenchmarkKeystroke(b *testing.B) {
	w := sharedWorld(b)
	ours := openTerminal(b, exec.Command("ssh", append([]string{"-tt"}, w.toBastion("alice")...)...))
	id := w.pod("infra", "debug").containers["app"]
	docker := openTerminal(b, exec.Command("docker", "-H", w.docker, "exec", "-it", id, "bash"))
	ours.expect(prompt)
	docker.expect(prompt)
	var a, c []time.Duration
	n := 0
	for b.Loop() {
		a = append(a, echoTime(b, ours, n))
		c = append(c, echoTime(b, docker, n))
		n++
	}
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		b.ReportMetric(ms(quantile(a, q.q)), "ms/bastion-"+q.name)
		b.ReportMetric(ms(quantile(c, q.q)), "ms/docker-exec-"+q.name)
		b.ReportMetric(ms(quantile(a, q.q))-ms(quantile(c, q.q)), "ms/added-"+q.name)
	}
}

// echoTime types one key and waits for anything to come back. The line is cleared now and then so that it never wraps.
func echoTime(b *testing.B, x *terminal, n int) time.Duration {
	b.Helper()
	x.mu.Lock()
	before := x.out.Len()
	x.mu.Unlock()
	key := "a"
	if n%40 == 39 {
		key = "\x15"
	}
	begin := time.Now()
	x.send(key)
	for time.Since(begin) < 10*time.Second {
		x.mu.Lock()
		now := x.out.Len()
		x.mu.Unlock()
		if now > before {
			return time.Since(begin)
		}
		time.Sleep(20 * time.Microsecond)
	}
	b.Fatal("no echo")
	return 0
}

func (w *world) signer(b *testing.B, account string) ssh.Signer {
	b.Helper()
	w.key(b, account)
	s, err := readKey(w.path("id_" + account))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func readKey(file string) (ssh.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(data)
}

// dial logs in from the nth of a few loopback addresses, so that the bound on connections of one source is not met.
func (w *world) dial(b *testing.B, signer ssh.Signer, user string, n int) (*ssh.Client, error) {
	b.Helper()
	d := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n%100))}} // #nosec G115 -- fits
	raw, err := d.Dial("tcp", w.addr)
	if err != nil {
		return nil, err
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, w.addr, &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}) // #nosec G106 -- our own
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return ssh.NewClient(conn, chans, reqs), nil
}

func resident(b *testing.B, pid int) int {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kib
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// Resident memory of the bastion for each idle interactive session, one connection each.
func benchmarkIdle(b *testing.B, n int) {
	w := sharedWorld(b)
	signer := w.signer(b, "alice")
	before := resident(b, w.bastion.Process.Pid)
	for b.Loop() {
		clients := make([]*ssh.Client, n)
		gate := make(chan struct{}, 8)
		var all sync.WaitGroup
		for i := range n {
			gate <- struct{}{}
			all.Go(func() {
				defer func() { <-gate }()
				c, err := w.dial(b, signer, "alice+shop+tool-0", i)
				if err != nil {
					b.Error(err)
					return
				}
				clients[i] = c
				s, err := c.NewSession()
				if err != nil {
					b.Error(err)
					return
				}
				out, _ := s.StdoutPipe()
				if _, err := s.StdinPipe(); err != nil {
					b.Error(err)
				}
				if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
					b.Error(err)
				}
				if err := s.Shell(); err != nil {
					b.Error(err)
				}
				if _, err := out.Read(make([]byte, 100)); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
		time.Sleep(2 * time.Second) // the collector's turn
		b.ReportMetric(float64(resident(b, w.bastion.Process.Pid)-before)/float64(n), "KiB/session")
		for _, c := range clients {
			if c != nil {
				_ = c.Close()
			}
		}
	}
}

func BenchmarkIdle100(b *testing.B)  { benchmarkIdle(b, 100) }
func BenchmarkIdle1000(b *testing.B) { benchmarkIdle(b, 1000) }

// Logins a second, authentication included, from eight clients.
func BenchmarkLogins(b *testing.B) {
	w := sharedWorld(b)
	signer := w.signer(b, "alice")
	b.SetParallelism(4)
	b.ResetTimer() // the world has taken its time
	begin := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c, err := w.dial(b, signer, "alice+shop+tool-0", 0)
			if err != nil {
				b.Error(err)
				return
			}
			_ = c.Close()
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "logins/s")
}
