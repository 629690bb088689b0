package reaper_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/agent/reaper"
	"github.com/podbastion/podbastion/agent/runtime/proc"
)

// TestMain makes the test's program a reaper, and an agent that starts one: it says its reaper's sessions are open and
// waits to be killed.
func TestMain(m *testing.M) {
	reaper.Main()
	if len(os.Args) > 2 && os.Args[1] == "pretend-agent" {
		pretendAgent(os.Args[2:])
	}
	goleak.VerifyTestMain(m)
}

func pretendAgent(sessions []string) {
	r, err := reaper.Start(os.Getenv("OPEN_SESSIONS"), func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		panic(err)
	}
	for _, s := range sessions {
		name, pid, _ := strings.Cut(s, "=")
		n, _ := strconv.Atoi(pid)
		done := r.Watch(name, proc.Identify(n))
		if strings.HasPrefix(name, "closed-") {
			done()
		}
	}
	fmt.Println("ready")
	select {}
}

// begin starts processes as a session has them: some that ignore hang-ups, and one that left its parent.
func begin(t *testing.T, session string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `trap '' HUP TERM; (setsid sleep 300 &) ; sleep 300 & echo up; sleep 300; sleep 300`)
	cmd.Env = append(os.Environ(), proc.Marker+"="+session)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q %v", line, err)
	}
	return cmd
}

func TestAgentKilled(t *testing.T) {
	left, closed, other := "left-"+rand.Text(), "closed-"+rand.Text(), "other-"+rand.Text()
	cmds := map[string]*exec.Cmd{}
	for _, s := range []string{left, closed, other} {
		cmds[s] = begin(t, s)
	}
	agent := exec.Command("/proc/self/exe", "pretend-agent",
		fmt.Sprintf("%s=%d", left, cmds[left].Process.Pid), fmt.Sprintf("%s=%d", closed, cmds[closed].Process.Pid))
	agent.Stderr = os.Stderr
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	go func() { _ = cmds[left].Wait() }()
	for end := time.Now().Add(20 * time.Second); len(proc.Tree(left, proc.ID{})) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("left behind: %+v", proc.Tree(left, proc.ID{}))
		}
	}
	for _, s := range []string{closed, other} {
		if len(proc.Tree(s, proc.ID{})) < 4 {
			t.Errorf("%s was ended too", s)
		}
		if err := new(proc.Ender).EndTree(t.Context(), s, proc.Identify(cmds[s].Process.Pid), 0); err != nil {
			t.Error(err)
		}
		_ = cmds[s].Wait()
	}
}

// Agent and reaper are killed together, as with their container: the next agent ends what they left.
func TestBothKilled(t *testing.T) {
	left, closed, later := "left-"+rand.Text(), "closed-"+rand.Text(), "later-"+rand.Text()
	cmds := map[string]*exec.Cmd{}
	for _, s := range []string{left, closed, later} {
		cmds[s] = begin(t, s)
		defer func() {
			_ = new(proc.Ender).EndTree(context.Background(), s, proc.ID{}, 0)
			_ = cmds[s].Wait()
		}()
	}
	file := filepath.Join(t.TempDir(), "open")
	agent := exec.Command("/proc/self/exe", "pretend-agent",
		fmt.Sprintf("%s=%d", left, cmds[left].Process.Pid), fmt.Sprintf("%s=%d", closed, cmds[closed].Process.Pid))
	agent.Env = append(os.Environ(), "OPEN_SESSIONS="+file)
	agent.Stderr = os.Stderr
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	reapers := childrenOf(t, agent.Process.Pid)
	if len(reapers) != 1 {
		t.Fatalf("reapers: %v", reapers)
	}
	for _, pid := range []int{agent.Process.Pid, reapers[0]} { // stopped first, so that neither sees the other's end
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range []int{reapers[0], agent.Process.Pid} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	_ = agent.Wait()
	if n := len(proc.Tree(left, proc.ID{})); n < 4 {
		t.Fatalf("only %d processes are left, so there is nothing to see", n)
	}
	for range 2 { // the second time there is nothing to do
		r, err := reaper.Start(file, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		if got := proc.Tree(left, proc.ID{}); len(got) > 0 {
			t.Errorf("left behind: %+v", got)
		}
		if len(proc.Tree(closed, proc.ID{})) < 4 {
			t.Error("what a session that had ended left on purpose was ended too")
		}
		r.Watch(later, proc.Identify(cmds[later].Process.Pid))()
		r.Close()
		if len(proc.Tree(later, proc.ID{})) < 4 {
			t.Error("a session that was over was ended")
		}
	}
}

func TestReaperKilled(t *testing.T) {
	r, err := reaper.Start("", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	session := "replaced-" + rand.Text()
	cmd := begin(t, session)
	defer func() {
		_ = new(proc.Ender).EndTree(context.Background(), session, proc.ID{}, 0) // where the test failed
		_ = cmd.Wait()
	}()
	r.Watch(session, proc.Identify(cmd.Process.Pid))
	first := children(t)
	if len(first) != 1 {
		t.Fatalf("reapers: %v", first)
	}
	if err := syscall.Kill(first[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for syscall.Kill(first[0], 0) == nil { // until it is reaped
		time.Sleep(5 * time.Millisecond)
	}
	r.Watch("another-"+rand.Text(), proc.ID{})()
	if now := children(t); len(now) != 1 {
		t.Fatalf("reapers: %v", now)
	}
	r.Close() // as if the agent had died
	if left := proc.Tree(session, proc.ID{}); len(left) > 0 {
		t.Errorf("the new reaper did not know of the session: %+v", left)
	}
}

// children returns the reapers among this process's children.
func children(t *testing.T) []int { return childrenOf(t, os.Getpid()) }

func childrenOf(t *testing.T, parent int) []int {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, task := range tasks {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, task.Name()))
		for _, f := range strings.Fields(string(data)) {
			line, _ := os.ReadFile("/proc/" + f + "/cmdline")
			if strings.Contains(string(line), "\x00"+reaper.Command+"\x00") {
				pid, _ := strconv.Atoi(f)
				out = append(out, pid)
			}
		}
	}
	return out
}
