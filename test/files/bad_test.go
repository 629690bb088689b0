//go:build real

package files_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/podbastion/podbastion/audit"
)

// inside is a path of a container as this machine's root sees it.
func (w *world) inside(t testing.TB, pod, path string) string {
	t.Helper()
	return "/proc/" + w.docker(t, "inspect", "-f", "{{.State.Pid}}", w.pods[pod]) + "/root" + path
}

// client is a client that runs, in a process group of its own.
type client struct {
	*exec.Cmd
	out   bytes.Buffer
	ended chan struct{}
}

func (w *world) start(t testing.TB, name string, args ...string) *client {
	t.Helper()
	c := &client{Cmd: exec.Command(name, args...), ended: make(chan struct{})}
	c.Stdout, c.Stderr, c.Dir = &c.out, &c.out, w.dir
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, c.Start())
	go func() { _ = c.Wait(); close(c.ended) }()
	t.Cleanup(func() { c.signal(syscall.SIGKILL); <-c.ended })
	return c
}

func (c *client) signal(s syscall.Signal) { _ = syscall.Kill(-c.Process.Pid, s) }

// failed waits for the client's end, which must not be a good one.
func (c *client) failed(t testing.TB) {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(time.Minute):
		t.Fatalf("the client does not end; it said %s", c.out.String())
	}
	if c.ProcessState.Success() {
		t.Errorf("the client ends well: %s", c.out.String())
	}
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// holds tells whether a file has more than so many bytes.
func holds(path string, more int64) func() bool {
	return func() bool {
		st, err := os.Stat(path)
		return err == nil && st.Size() > more
	}
}

// partial waits for the event of a transfer that was not whole. It returns the events that tell so of the path.
func (w *world) partial(t testing.TB, kind audit.Type, path, reason string) (all []audit.Event) {
	t.Helper()
	w.log.find(t, fmt.Sprintf("%s of %s is partial: %s", kind, path, reason), func(e audit.Event) bool {
		return e.Type == kind && e.Path == path && e.Outcome == "partial" && e.SHA256 == "" && strings.Contains(e.Reason, reason)
	})
	for _, e := range w.log.all() {
		if e.Path != path || e.Type != kind {
			continue
		}
		if e.Outcome == "complete" {
			t.Errorf("%s is told as complete, too", path)
		}
		all = append(all, e)
	}
	return all
}

// slow has OpenSSH's clients take a second for a MiB.
var slow = []string{"-l", "8192"}

var bothProtocols = map[string][]string{"sftp": nil, "scp": {"-O"}}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod(t, "full", "podbastion/static:test", "--tmpfs", "/small:size=2m")
	w.serve(t)
	big := w.path("big")
	w.ok(t, "", "sh", "-c", "head -c 5000000 /dev/urandom > "+big)
	for name, option := range bothProtocols {
		to := "/small/" + name
		out, code := w.run(t, "", "scp", append(append(w.options(), option...), big, "alice+full@127.0.0.1:"+to)...)
		if code == 0 || !strings.Contains(out, "no space left on device") {
			t.Errorf("%s: %d %s", name, code, out)
		}
		w.partial(t, audit.FileWrite, to, "no space left on device")
		w.ok(t, "rm "+to+"\n", "sftp", append(w.options("-b", "-"), "alice+full@127.0.0.1")...)
	}
	out, code := w.run(t, "", "curl", "-sS", "--insecure", "--user", "alice+full:", "--key", w.path("id"), "--pubkey", w.path("id.pub"), "-T", big, "sftp://127.0.0.1:"+w.port+"/small/curl")
	if code == 0 {
		t.Errorf("curl: %s", out)
	}
	w.partial(t, audit.FileWrite, "/small/curl", "")
}

func TestChangedWhileRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod(t, "bash", "podbastion/bash:test")
	w.serve(t)
	for name, option := range bothProtocols {
		for change, size := range map[string]int64{"grown": 9 << 20, "cut": 2 << 20} {
			t.Run(name+" "+change, func(t *testing.T) {
				t.Parallel()
				path := "/" + name + "-" + change
				file, got := w.inside(t, "bash", path), w.path(name+change)
				whole := "6000000"
				if change == "cut" {
					whole = "40000000" // more than can be on the way when it is cut
				}
				w.ok(t, "", "sh", "-c", "head -c "+whole+" /dev/urandom > "+file)
				c := w.start(t, "scp", append(append(w.options(slow...), option...), "alice+bash@127.0.0.1:"+path, got)...)
				until(t, "the download is under way", holds(got, 200<<10))
				must(t, os.Truncate(file, size))
				if change == "cut" && name == "scp" {
					c.failed(t) // it was promised more
				} else {
					<-c.ended // how long the file was is not in SFTP
				}
				w.log.find(t, path+" is not told as whole", func(e audit.Event) bool {
					return e.Type == audit.FileRead && e.Path == path && e.Outcome == "partial" && e.Reason != ""
				})
			})
		}
	}
}

func TestContainerDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name := range bothProtocols {
		w.pod(t, name, "podbastion/bash:test")
	}
	w.serve(t)
	big := w.path("big")
	w.ok(t, "", "sh", "-c", "head -c 60000000 /dev/urandom > "+big)
	for name, option := range bothProtocols {
		w.docker(t, "cp", big, w.pods[name]+":/down")
		at := "alice+" + name + "@127.0.0.1:"
		up := w.start(t, "scp", append(append(w.options(slow...), option...), big, at+"/up")...)
		down := w.start(t, "scp", append(append(w.options(slow...), option...), at+"/down", w.path("down-"+name))...)
		until(t, "the upload is under way", holds(w.inside(t, name, "/up"), 500<<10))
		until(t, "the download is under way", holds(w.path("down-"+name), 500<<10))
		w.docker(t, "kill", w.pods[name])
		up.failed(t)
		down.failed(t)
		for _, c := range []*client{up, down} {
			if !strings.Contains(c.out.String(), "the container ended") && !strings.Contains(c.out.String(), "the container has ended") {
				t.Errorf("%s does not say why: %s", name, c.out.String())
			}
		}
	}
	for _, e := range append(w.partial(t, audit.FileWrite, "/up", ""), w.partial(t, audit.FileRead, "/down", "")...) {
		if e.Bytes == nil || *e.Bytes < 500<<10 || e.Seconds <= 0 {
			t.Errorf("how far it got is not told: %+v", e)
		}
	}
}

func TestClientStops(t *testing.T) {
	w := newWorld(t)
	w.pod(t, "bash", "podbastion/bash:test")
	w.serve(t)
	must(t, os.WriteFile(w.inside(t, "bash", "/down"), nil, 0o644))
	must(t, os.Truncate(w.inside(t, "bash", "/down"), 1<<30))
	for name, option := range bothProtocols {
		got := w.path("got-" + name)
		c := w.start(t, "scp", append(append(w.options("-l", "80000"), option...), "alice+bash@127.0.0.1:/down", got)...)
		until(t, "the download is under way", holds(got, 5<<20))
		pids := helpers()
		if len(pids) != 1 {
			t.Fatalf("%d helpers", len(pids))
		}
		before := memory(os.Getpid(), "VmRSS")
		c.signal(syscall.SIGSTOP)
		// All that there is between the file and the client is full now, and nothing more is taken.
		read := still(t, "the download", func() int64 { return passed(pids[0]) })
		st, err := os.Stat(got)
		must(t, err)
		if held := read - st.Size(); held < 0 || held > 32<<20 {
			t.Errorf("%s: %d bytes are held for a client that takes none", name, held)
		}
		if n := memory(pids[0], "VmHWM"); n == 0 || n > 64<<20 {
			t.Errorf("%s: the helper has had %d bytes of memory", name, n)
		}
		if n := memory(os.Getpid(), "VmRSS"); n > before+64<<20 {
			t.Errorf("%s: bastion and agent have grown from %d to %d bytes", name, before, n)
		}
		c.signal(syscall.SIGKILL)
		c.failed(t)
		until(t, "the helper ended", func() bool { return len(helpers()) == 0 })
		w.log.find(t, name+" session's end", func(e audit.Event) bool { return e.Type == audit.SessionEnd && e.Kind == name })
	}
	w.partial(t, audit.FileRead, "/down", "")
}

// A role that permits less ends the transfers under it, one that permits more does not.
func TestRulesTakenAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod(t, "static", "podbastion/static:test", "--tmpfs", "/tmp")
	w.serve(t)
	w.ok(t, "", "scp", append(w.options("-r"), w.tree(t, "in", 0, plain...), "alice+static@127.0.0.1:/tmp/out")...)
	text, err := os.ReadFile(w.path("roles.yaml"))
	must(t, err)
	reload := func(from, to string) {
		t.Helper()
		changed := strings.ReplaceAll(string(text), from, to)
		if changed == string(text) {
			t.Fatal("nothing changes")
		}
		must(t, os.WriteFile(w.path("roles.yaml"), []byte(changed), 0o600))
		must(t, w.roles.Reload())
		w.sessions.Revalidate()
	}
	c := w.start(t, "scp", append(w.options(slow...), "mover+static@127.0.0.1:/tmp/out/big", w.path("got"))...)
	until(t, "the download is under way", holds(w.path("got"), 100<<10))
	reload(`download: [{paths: ["/tmp/out/**"]}]`, `download: [{paths: ["/tmp/out/**"]}, {paths: ["/etc/**"]}]`)
	now, err := os.Stat(w.path("got"))
	must(t, err)
	until(t, "the download goes on", holds(w.path("got"), now.Size()))
	reload(`download: [{paths: ["/tmp/out/**"]}]`, `download: [{paths: ["/tmp/out/small"]}]`)
	c.failed(t)
	if !strings.Contains(c.out.String(), "your access to this pod has ended") {
		t.Error(c.out.String())
	}
	w.partial(t, audit.FileRead, "/tmp/out/big", "")
}

// helpers are the processes that serve files for this bastion.
func helpers() []int {
	var found []int
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range all {
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) < 2 || f[0] == "Z" || f[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if line, _ := os.ReadFile(name); bytes.Contains(line, []byte("files-serve")) {
			found = append(found, pid)
		}
	}
	return found
}

// passed is how many bytes a process has read in all (proc_pid_io(5)).
func passed(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "rchar:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// still waits until a number has not changed for two seconds, and returns it.
func still(t testing.TB, what string, number func() int64) int64 {
	t.Helper()
	last, since := number(), time.Now()
	until(t, what+" stands still", func() bool {
		if n := number(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
	if last == 0 {
		t.Fatal(what + ": nothing passed")
	}
	return last
}

// memory is what a process has in memory, or had at most, in bytes.
func memory(pid int, field string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// peaks runs a transfer and returns the most memory that its helper had, and that this process had: bastion and agent.
func peaks(t testing.TB, transfer func()) (helper, both int64) {
	t.Helper()
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			both = max(both, memory(os.Getpid(), "VmRSS"))
			for _, pid := range helpers() {
				helper = max(helper, memory(pid, "VmHWM"))
			}
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	transfer()
	close(stop)
	work.Wait()
	return helper, both
}

// The memory of helper, agent and bastion does not grow with the file. The benchmark does the same with more than 4 GiB.
func TestMemoryIsFlat(t *testing.T) {
	w := newWorld(t)
	w.pod(t, "bash", "podbastion/bash:test")
	w.serve(t)
	const small, large = 32 << 20, 256 << 20
	for name, option := range bothProtocols {
		var helper, both [2]int64
		for i, size := range []int64{small, large} {
			must(t, os.WriteFile(w.path("sparse"), nil, 0o600))
			must(t, os.Truncate(w.path("sparse"), size))
			helper[i], both[i] = peaks(t, func() {
				w.ok(t, "", "scp", append(append(w.options(), option...), w.path("sparse"), "alice+bash@127.0.0.1:/sparse")...)
				w.ok(t, "", "scp", append(append(w.options(), option...), "alice+bash@127.0.0.1:/sparse", "/dev/null")...)
			})
		}
		t.Logf("%s: helper %d and %d MiB, bastion and agent %d and %d MiB", name, helper[0]>>20, helper[1]>>20, both[0]>>20, both[1]>>20)
		if helper[0] == 0 || helper[1] > helper[0]+16<<20 {
			t.Errorf("%s: the helper grows with the file", name)
		}
		if both[1] > both[0]+64<<20 {
			t.Errorf("%s: bastion and agent grow with the file", name)
		}
	}
}
