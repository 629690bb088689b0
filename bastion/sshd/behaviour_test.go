package sshd_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/tty"
)

// buffer can be read while it is written to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// has waits until the text is there.
func (b *buffer) has(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() bool { return strings.Contains(b.String(), text) }, func() string { return fmt.Sprintf("no %q in %q", text, b.String()) })
}

func eventually(t *testing.T, ok func() bool, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(why())
		}
	}
}

// terminal is a shell with a terminal.
type terminal struct {
	s           *ssh.Session
	in          io.WriteCloser
	out, errOut buffer
}

func shell(t *testing.T, c *ssh.Client) *terminal {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{s: s}
	s.Stdout, s.Stderr = &x.out, &x.errOut
	if x.in, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm-256color", 33, 101, ssh.TerminalModes{ssh.ECHO: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return x
}

func (x *terminal) types(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(x.in, text); err != nil {
		t.Fatal(err)
	}
}

// sees waits until the terminal shows the text.
func (x *terminal) sees(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() bool { return strings.Contains(x.out.String(), text) },
		func() string { return fmt.Sprintf("no %q in %q, errors %q", text, x.out.String(), x.errOut.String()) })
}

// ends waits for the session's end, and returns its status.
func (x *terminal) ends(t *testing.T) int {
	t.Helper()
	ended := make(chan int, 1)
	go func() { ended <- status(x.s.Wait()) }()
	select {
	case got := <-ended:
		return got
	case <-time.After(15 * time.Second):
		t.Fatalf("it goes on: %q, errors %q", x.out.String(), x.errOut.String())
		return -1
	}
}

func status(err error) int {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitStatus()
	}
	return -1
}

func alice(t *testing.T, tune func(*sshd.Options, *session.Options)) (*bed, *ssh.Client) {
	t.Helper()
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, tune)
	return b, b.login(t, "alice+web-0", ssh.PublicKeys(key))
}

func TestTerminal(t *testing.T) {
	b, c := alice(t, nil)
	x := shell(t, c)
	x.types(t, "stty size; echo term=$TERM user=$USER home=$HOME shell=$SHELL\n")
	x.sees(t, "33 101\r\nterm=xterm-256color user=root home=/ shell=/bin/sh\r\n")
	if err := x.s.WindowChange(44, 122); err != nil {
		t.Fatal(err)
	}
	b.events.wait(t, "started", func(e audit.Event) bool { return e.Type == audit.SessionStart && e.TTY && e.Kind == "shell" })
	eventually(t, func() bool {
		x.types(t, "stty size\n")
		time.Sleep(20 * time.Millisecond)
		return strings.Contains(x.out.String(), "44 122\r\n")
	},
		func() string { return x.out.String() })
	x.types(t, "exit 3\n")
	if got := status(x.s.Wait()); got != 3 {
		t.Errorf("exit %d, want 3", got)
	}
	s := b.bridge.last(t)
	if s.Size != (tty.Size{Cols: 101, Rows: 33}) || !bytes.Equal(s.Modes[:5], []byte{53, 0, 0, 0, 1}) || s.Argv[0] != "/bin/sh" || s.Argv[1] != "-l" {
		t.Errorf("started %+v", s)
	}
	end := b.events.wait(t, "end", func(e audit.Event) bool { return e.Type == audit.SessionEnd })
	if *end.Exit != 3 || end.Reason != "exit" || *end.BytesIn == 0 || *end.BytesOut == 0 || end.Target.UID != "uid-1" || end.Seconds <= 0 {
		t.Errorf("end %+v", end)
	}
}

func TestSignals(t *testing.T) {
	_, c := alice(t, nil)
	for _, test := range []struct {
		send func(*ssh.Session) error
		exit int
	}{
		{func(s *ssh.Session) error { return s.Signal(ssh.SIGTERM) }, 143},
		{func(s *ssh.Session) error { _, err := s.SendRequest("break", true, []byte{0, 0, 0, 0}); return err }, 130},
	} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var out buffer
		s.Stdout = &out
		if err := s.Start("echo ready; exec sleep 100"); err != nil {
			t.Fatal(err)
		}
		out.has(t, "ready")
		if err := test.send(s); err != nil {
			t.Fatal(err)
		}
		err = s.Wait()
		var exit *ssh.ExitError
		if !errors.As(err, &exit) || exit.ExitStatus() != test.exit || exit.Signal() == "" {
			t.Errorf("ended with %v, want %d and a signal", err, test.exit)
		}
	}
}

func TestEnvironment(t *testing.T) {
	b, c := alice(t, func(_ *sshd.Options, o *session.Options) {
		g, err := glob.ParseName("LC_*")
		if err != nil {
			t.Fatal(err)
		}
		o.Env = []glob.Name{g}
	})
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"LC_ALL": "C", "APP_X": "a b", "LD_PRELOAD": "/evil.so", "OTHER": "1", "BASH_ENV": "/evil"} {
		_ = s.Setenv(name, value)
	}
	out, err := s.Output("env")
	if err != nil {
		t.Fatal(err)
	}
	got := "\n" + string(out)
	for _, want := range []string{"\nLC_ALL=C\n", "\nAPP_X=a b\n", "\nSSH_CONNECTION=127.0.0.1 ", "\nSSH_CLIENT=127.0.0.1 "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	for _, bad := range []string{"LD_PRELOAD", "OTHER", "BASH_ENV"} {
		if strings.Contains(got, bad) {
			t.Errorf("%s got in", bad)
		}
	}
	_ = b
}

// many writes n bytes that are easy to get wrong.
type many struct{ left, at int }

func (m *many) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), m.left)
	for i := range n {
		p[i] = byte((m.at + i) * 7 >> 3)
	}
	m.left, m.at = m.left-n, m.at+n
	return n, nil
}

func TestBulkBothWays(t *testing.T) {
	const size = 64 << 20
	want := sha256.New()
	if _, err := io.Copy(want, &many{left: size}); err != nil {
		t.Fatal(err)
	}
	_, c := alice(t, nil)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	got := sha256.New()
	s.Stdin, s.Stdout = &many{left: size}, got
	if err := s.Run("cat"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		t.Error("the bytes that came back differ")
	}
}

func TestClientGoneEndsProcess(t *testing.T) {
	b, c := alice(t, nil)
	marker := filepath.Join(t.TempDir(), "pid")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("trap '' HUP TERM; echo $$ > " + marker + "; while :; do sleep 0.1; done"); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, func() bool {
		text, _ := os.ReadFile(marker)
		n, _ := fmt.Sscan(string(text), &pid)
		return n == 1
	}, func() string { return "did not start" })
	_ = c.Close()
	eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, func() string { return "the process lives on" })
	end := b.events.wait(t, "end", func(e audit.Event) bool { return e.Type == audit.SessionEnd })
	if *end.Exit != 255 || end.Reason != "client: disconnected" {
		t.Errorf("end %+v", end)
	}
}

func TestRefusals(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	texts := map[string]bool{}
	for _, test := range []struct {
		user, command, text string
		reason              error
		exit                int
	}{
		{user: "alice+vault-0", command: "id", text: "there is no such pod", reason: auth.ErrTargetNotPermitted, exit: 255},
		{user: "alice+nothing", command: "id", text: "there is no such pod", reason: auth.ErrTargetNotFound, exit: 255},
		{user: "alice++web", command: "id", text: "for example", exit: 255},
		{user: "alice~tools", command: "id", text: "for example", exit: 255},
		{user: "alice:x", command: "id", text: "for example", exit: 255},
		{user: "alice/x", command: "id", text: "for example", exit: 255},
		{user: "alice x", command: "id", text: "for example", exit: 255},
		{user: "alice", command: "id", text: "names no pod", exit: 255},
	} {
		out, errOut, exit := run(t, b.login(t, test.user, ssh.PublicKeys(key)), test.command, "")
		if out != "" || exit != test.exit || !strings.Contains(errOut, test.text) || !strings.HasPrefix(errOut, "bastion: ") {
			t.Errorf("%s: %q %q %d", test.user, out, errOut, exit)
		}
		if test.reason != nil {
			texts[errOut] = true
			b.events.wait(t, test.user, func(e audit.Event) bool {
				return e.Type == audit.SessionReject && e.Address == test.user && e.Reason == test.reason.Error()
			})
		}
	}
	if len(texts) != 1 {
		t.Errorf("what is not there and what is not permitted differ: %v", texts)
	}
	if out, _, exit := run(t, b.login(t, "alice", ssh.PublicKeys(key)), "pods", ""); out != "alice+main+shop+web-0\n" || exit != 0 {
		t.Errorf("pods: %q %d", out, exit)
	}
}

// A list that is cut says so, and what pods are called never reaches a terminal raw.
func TestLists(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	var many []*target.Pod
	for i := range 10001 {
		many = append(many, pod("shop", "web-"+itoa(i), "uid-"+itoa(i)))
	}
	c := b.login(t, "alice", ssh.PublicKeys(key))
	b.pods.set(many[:1000]...)
	if out, errOut, _ := run(t, c, "pods", ""); strings.Count(out, "\n") != 1000 || errOut != "" {
		t.Errorf("%d of 1000 pods, %q", strings.Count(out, "\n"), errOut)
	}
	b.pods.set(many...)
	if out, errOut, _ := run(t, c, "pods", ""); strings.Count(out, "\n") != 1000 || !strings.Contains(errOut, "these are the first 1000") {
		t.Errorf("%d pods, %q", strings.Count(out, "\n"), errOut)
	}
	x := shell(t, c)
	x.sees(t, "Which pod? These are the first 10000; name the others (10000 of 10000)")

	evil := pod("shop", "web-0", "uid-e")
	evil.Cluster = "far\x1b[2J"
	b.pods.set(pod("shop", "web-0", "uid-0"), evil, pod("shop", "a\x1b[2J", "uid-f"))
	if out, _, _ := run(t, c, "pods", ""); !strings.Contains(out, "web-0\n") || !strings.Contains(out, `a\x1b[2J`) || strings.Contains(out, "\x1b") {
		t.Errorf("pods: %q", out)
	}
	if _, errOut, _ := run(t, b.login(t, "alice+web-0", ssh.PublicKeys(key)), "id", ""); !strings.Contains(errOut, `far\x1b[2J`) || strings.Contains(errOut, "\x1b") {
		t.Errorf("candidates: %q", errOut)
	}
}

func TestPicker(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	b.pods.set(pod("shop", "web-0", "uid-1"), pod("shop", "web-1", "uid-3"), pod("bank", "vault-0", "uid-2"))
	x := shell(t, b.login(t, "alice", ssh.PublicKeys(key)))
	x.sees(t, "web-1")
	if strings.Contains(x.out.String(), "vault") {
		t.Error("the picker shows what alice may not reach")
	}
	if err := x.s.WindowChange(44, 122); err != nil {
		t.Fatal(err)
	}
	x.types(t, "web-1\recho in; stty size\n")
	x.sees(t, "in\r\n44 122\r\n")
	if s := b.bridge.last(t); s.Target.UID != "uid-3" {
		t.Errorf("went to %+v", s.Target)
	}
	x.types(t, "exit 4\n")
	if got := status(x.s.Wait()); got != 4 {
		t.Errorf("exit %d", got)
	}
	x = shell(t, b.login(t, "alice", ssh.PublicKeys(key)))
	x.sees(t, "web-1")
	x.types(t, "\x03")
	if got := status(x.s.Wait()); got != 130 {
		t.Errorf("left with %d", got)
	}
}

func TestNoShell(t *testing.T) {
	b, c := alice(t, nil)
	b.bridge.facts.Shell, b.bridge.facts.Shells = "", nil
	x := shell(t, c)
	if got := status(x.s.Wait()); got != 127 || !strings.Contains(x.errOut.String(), "no shell") {
		t.Errorf("shell: %d %q", got, x.errOut.String())
	}
	if out, _, exit := run(t, c, `/usr/bin/printf '%s|' "a  b" c\ d`, ""); out != "a  b|c d|" || exit != 0 {
		t.Errorf("program: %q %d", out, exit)
	}
	if _, errOut, exit := run(t, c, `echo a | cat`, ""); exit != 127 || !strings.Contains(errOut, "need a shell") {
		t.Errorf("pipe: %q %d", errOut, exit)
	}
}

func write(t *testing.T, b *bed, roles string) {
	t.Helper()
	if err := os.WriteFile(b.roles, []byte(roles), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.source.Reload(); err != nil {
		t.Fatal(err)
	}
	b.sessions.Revalidate()
}

func TestReloadEndsWhatIsNotPermitted(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	c := b.login(t, "alice+web-0", ssh.PublicKeys(key))
	x := shell(t, c)
	x.types(t, "echo rea''dy\n")
	x.sees(t, "ready")
	write(t, b, aliceWith(line)+strings.Replace(rolesHead, "recording: off", "recording: off\n    limits: {sessions: 9}", 1))
	x.types(t, "echo sti''ll\n")
	x.sees(t, "still")
	write(t, b, aliceWith(line)+strings.Replace(rolesHead, "[shop]", "[bank]", 1))
	if got := status(x.s.Wait()); got != 255 || !strings.Contains(x.errOut.String(), "your access to this pod has ended") {
		t.Errorf("%d %q", got, x.errOut.String())
	}
	_, other := newKey(t)
	write(t, b, aliceWith(other)+rolesHead)
	if _, errOut, exit := run(t, c, "id", ""); exit != 255 || !strings.Contains(errOut, "your access has ended") {
		t.Errorf("a login whose key was taken away: %q %d", errOut, exit)
	}
}

func TestPodReplaced(t *testing.T) {
	b, c := alice(t, nil)
	x := shell(t, c)
	x.types(t, "echo rea''dy\n")
	x.sees(t, "ready")
	b.pods.set(pod("shop", "web-0", "uid-9"))
	b.sessions.Revalidate()
	if got := status(x.s.Wait()); got != 255 || !strings.Contains(x.errOut.String(), "the pod is gone") {
		t.Errorf("%d %q", got, x.errOut.String())
	}
}

func TestLimits(t *testing.T) {
	key, line := newKey(t)
	for name, limits := range map[string]string{"duration": "duration: 1s", "idle": "idle: 1s"} {
		b := start(t, aliceWith(line)+strings.Replace(rolesHead, "recording: off", "recording: off\n    limits: {"+limits+"}", 1), nil)
		x := shell(t, b.login(t, "alice+web-0", ssh.PublicKeys(key)))
		if got := status(x.s.Wait()); got != 255 || !strings.Contains(x.errOut.String(), " 1s") {
			t.Errorf("%s: %d %q", name, got, x.errOut.String())
		}
		b.events.wait(t, name, func(e audit.Event) bool { return e.Type == audit.LimitHit && e.Reason == name })
	}
	b := start(t, aliceWith(line)+strings.Replace(rolesHead, "recording: off", "recording: off\n    limits: {sessions: 1}", 1), nil)
	c := b.login(t, "alice+web-0", ssh.PublicKeys(key))
	x := shell(t, c)
	x.types(t, "echo rea''dy\n")
	x.sees(t, "ready")
	if _, errOut, exit := run(t, c, "id", ""); exit != 255 || !strings.Contains(errOut, "you have 1 sessions open") {
		t.Errorf("second session: %q %d", errOut, exit)
	}
	x.types(t, "exit\n")
	if err := x.s.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool { _, _, exit := run(t, c, "true", ""); return exit == 0 }, func() string { return "the place was not freed" })
}

func TestDrain(t *testing.T) {
	b, c := alice(t, nil)
	x := shell(t, c)
	x.types(t, "echo rea''dy\n")
	x.sees(t, "ready")
	ctx, cancel := contextWithTimeout(500 * time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() { b.sessions.Drain(ctx); close(done) }()
	x.errOut.has(t, "the bastion is being stopped; this session ends in")
	if _, errOut, exit := run(t, c, "true", ""); exit != 255 || !strings.Contains(errOut, "being stopped") {
		t.Errorf("a new session while draining: %q %d", errOut, exit)
	}
	x.types(t, "echo sti''ll\n")
	x.sees(t, "still")
	if got := status(x.s.Wait()); got != 255 {
		t.Errorf("exit %d", got)
	}
	<-done
}

// Who is choosing is told, and gets the screen back at once: no choice could lead anywhere any more.
func TestDrainEndsPickers(t *testing.T) {
	key, line := newKey(t)
	b := start(t, aliceWith(line)+rolesHead, nil)
	x := shell(t, b.login(t, "alice", ssh.PublicKeys(key)))
	x.sees(t, "web-0")
	if n := b.sessions.Live(); n != 0 {
		t.Errorf("a picker counts as %d sessions", n)
	}
	ctx, cancel := contextWithTimeout(time.Minute)
	defer cancel()
	b.sessions.Drain(ctx)
	if got := x.ends(t); got != 255 || !strings.HasSuffix(x.out.String(), "\x1b[?1049l") || !strings.Contains(x.errOut.String(), "being stopped") {
		t.Errorf("%d, %q, errors %q", got, x.out.String(), x.errOut.String())
	}
}

// lost is a process whose node goes after some output.
type lost struct{ *io.PipeReader }

func (lost) Stdin() io.WriteCloser { return nopWriteCloser{} }
func (l lost) Stdout() io.Reader   { return l.PipeReader }
func (lost) Stderr() io.Reader     { return strings.NewReader("") }
func (lost) Resize(tty.Size) error { return nil }
func (lost) Wait() (bridge.Exit, error) {
	return bridge.Exit{}, &bridge.LostError{Reason: "the agent's connection ended\x1b[2J"}
}

type nopWriteCloser struct{}

func (nopWriteCloser) Write(p []byte) (int, error) { return len(p), nil }
func (nopWriteCloser) Close() error                { return nil }

func TestLostIsNeverSuccess(t *testing.T) {
	b, c := alice(t, nil)
	b.bridge.exec = func(bridge.Start) (bridge.Process, error) {
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, "half")
			_ = w.CloseWithError(&bridge.LostError{Reason: "cut"})
		}()
		return lostProcess{lost{r}}, nil
	}
	out, errOut, exit := run(t, c, "long", "")
	if out != "half" || exit != 255 || !strings.Contains(errOut, `the agent's connection ended\x1b[2J`) {
		t.Errorf("%q %q %d", out, errOut, exit)
	}
	b.bridge.exec = func(bridge.Start) (bridge.Process, error) { return nil, bridge.ErrUnreachable }
	if _, errOut, exit := run(t, c, "long", ""); exit != 255 || !strings.Contains(errOut, "does not answer") {
		t.Errorf("%q %d", errOut, exit)
	}
}
