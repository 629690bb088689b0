// Package runtimetest is the one conformance suite of runtime.Runtime: every implementation runs it.
package runtimetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/internal/tty"
)

// Subject is a runtime with a container that has a POSIX shell, and how to find its other containers.
type Subject struct {
	Runtime runtime.Runtime
	Shell   runtime.Key // a container with /bin/sh
	UID     string      // of its pod
}

const patience = 60 * time.Second

// Run holds the runtime to its interface's documentation.
func Run(t *testing.T, s Subject) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c := find(ctx, t, s)
	t.Run("exit codes", func(t *testing.T) { exitCodes(ctx, t, s.Runtime, c) })
	t.Run("streams apart", func(t *testing.T) { streams(ctx, t, s.Runtime, c) })
	t.Run("signals", func(t *testing.T) { signals(ctx, t, s.Runtime, c) })
	t.Run("terminal size", func(t *testing.T) { sizes(ctx, t, s.Runtime, c) })
	t.Run("a terminal outlives its input", func(t *testing.T) { endOfInput(ctx, t, s.Runtime, c) })
	t.Run("bulk both ways", func(t *testing.T) { bulk(ctx, t, s.Runtime, c) })
	t.Run("missing program", func(t *testing.T) { missing(ctx, t, s.Runtime, c) })
	t.Run("bytes that are no text", func(t *testing.T) { notText(ctx, t, s.Runtime, c) })
	t.Run("the whole tree ends", func(t *testing.T) { tree(ctx, t, s.Runtime, c) })
	t.Run("there is time to put away", func(t *testing.T) { putAway(ctx, t, s.Runtime, c) })
	t.Run("a child keeps the terminal", func(t *testing.T) { heldTerminal(ctx, t, s.Runtime, c) })
	t.Run("many at once", func(t *testing.T) { many(ctx, t, s.Runtime, c) })
}

func find(ctx context.Context, t *testing.T, s Subject) runtime.Container {
	t.Helper()
	for {
		if c, ok := s.Runtime.Find(s.Shell); ok {
			if c.UID != s.UID || c.Key != s.Shell {
				t.Fatalf("found %+v, want UID %s", c, s.UID)
			}
			if _, ok := s.Runtime.Find(runtime.Key{Namespace: s.Shell.Namespace, Pod: s.Shell.Pod, Container: "no-such"}); ok {
				t.Fatal("found a container that does not exist")
			}
			return c
		}
		select {
		case <-ctx.Done():
			t.Fatalf("container %s was not found: %v", s.Shell, s.Runtime.Ready())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

type result struct {
	out, err string
	exit     runtime.Exit
}

func start(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container, tty bool, size tty.Size, argv ...string) (runtime.Process, string) {
	t.Helper()
	session := rand.Text()
	p, err := r.Exec(ctx, c, runtime.Spec{Session: session, Argv: argv, Env: []string{"TERM=xterm", "PS1=$ "}, TTY: tty, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	return p, session
}

// run executes a script and returns all of its output.
func run(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container, script string, stdin io.Reader) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, _ := start(ctx, t, r, c, false, tty.Size{}, "/bin/sh", "-c", script)
	return collect(ctx, t, p, stdin)
}

func collect(ctx context.Context, t *testing.T, p runtime.Process, stdin io.Reader) result {
	t.Helper()
	var out, errOut bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(&out, p.Stdout()) })
	if p.Stderr() != nil {
		wg.Go(func() { _, _ = io.Copy(&errOut, p.Stderr()) })
	}
	wg.Go(func() {
		if stdin != nil {
			_, _ = io.Copy(p.Stdin(), stdin)
		}
		_ = p.Stdin().Close()
	})
	exit, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return result{out.String(), errOut.String(), exit}
}

func exitCodes(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	for _, code := range []int{0, 1, 2, 126, 127, 130, 137, 255} {
		if got := run(ctx, t, r, c, fmt.Sprintf("exit %d", code), nil).exit; got.Code != code || got.Signal != "" {
			t.Errorf("exit %d: got %+v", code, got)
		}
	}
}

func streams(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	got := run(ctx, t, r, c, `cat; echo bad >&2; exit 3`, strings.NewReader("good"))
	if got.out != "good" || got.err != "bad\n" || got.exit.Code != 3 {
		t.Errorf("got %+v", got)
	}
}

func signals(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	for name, code := range map[string]int{"KILL": 137, "TERM": 143, "SEGV": 139} {
		got := run(ctx, t, r, c, "kill -"+name+" $$", nil).exit
		if got.Code != code {
			t.Errorf("%s: got %+v, want code %d", name, got, code)
		}
		if got.Signal != "" && got.Signal != name {
			t.Errorf("%s: the kernel's word is %q", name, got.Signal)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, _ := start(ctx, t, r, c, false, tty.Size{}, "/bin/sh", "-c", `trap 'echo got; exit 7' USR1; echo ready; while :; do sleep 0.05; done`)
	line := make([]byte, 6)
	if _, err := io.ReadFull(p.Stdout(), line); err != nil || string(line) != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	sig, err := proc.SignalByName("USR1")
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.SignalGroup(p.ID(), sig); err != nil {
		t.Fatal(err)
	}
	if got := collect(ctx, t, p, nil); got.out != "got\n" || got.exit.Code != 7 {
		t.Errorf("after USR1: %+v", got)
	}
}

func sizes(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, _ := start(ctx, t, r, c, true, tty.Size{Cols: 101, Rows: 37}, "/bin/sh", "-c",
		`while s=$(stty size 2>/dev/null); [ "${s:-0 0}" = "0 0" ]; do :; done; stty size; read x; stty size; exit 5`)
	rd := newLines(p.Stdout())
	if got := rd.next(t); got != "37 101" {
		t.Errorf("first size: %q", got)
	}
	if err := p.Resize(tty.Size{Cols: 64, Rows: 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stdin().Write([]byte("\r")); err != nil {
		t.Fatal(err)
	}
	rd.next(t) // the echo
	if got := rd.next(t); got != "20 64" {
		t.Errorf("second size: %q", got)
	}
	go rd.drain()
	if exit, err := p.Wait(ctx); err != nil || exit.Code != 5 {
		t.Errorf("%+v %v", exit, err)
	}
}

// endOfInput is ssh -tt … </dev/null: whoever has no more to type still gets everything, late or at once.
func endOfInput(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, pause := range []string{"0", "0.3"} {
		p, _ := start(ctx, t, r, c, true, noSize, "/bin/sh", "-c", "sleep "+pause+"; echo one; sleep "+pause+"; echo two; exit 4")
		if got := collect(ctx, t, p, nil); got.out != "one\r\ntwo\r\n" || got.exit.Code != 4 {
			t.Errorf("sleeping %s: got %+v", pause, got)
		}
	}
}

func bulk(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	data := make([]byte, 32<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	got := run(ctx, t, r, c, "cat", bytes.NewReader(data))
	if sha256.Sum256([]byte(got.out)) != sha256.Sum256(data) {
		t.Errorf("%d of %d bytes came back, or others", len(got.out), len(data))
	}
}

func missing(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	for argv, code := range map[string]int{"/no/such/program": 127, "no-such-program": 127, "/etc/passwd": 126} {
		p, err := r.Exec(ctx, c, runtime.Spec{Session: rand.Text(), Argv: []string{argv}})
		var start *runtime.StartError
		if !errors.As(err, &start) {
			if p != nil {
				_ = p.Kill(ctx)
			}
			t.Errorf("%s: got %v, want a StartError", argv, err)
			continue
		}
		if start.Code != code {
			t.Errorf("%s: code %d, want %d (%v)", argv, start.Code, code, start.Err)
		}
	}
}

// notText: a program gets the bytes that were meant for it, or is not started; a variable is so or is not there.
func notText(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const want = "caf\xe9"
	spec := runtime.Spec{Session: rand.Text(), Argv: []string{"/bin/sh", "-c", `printf %s "$1"`, "sh", want}}
	var start *runtime.StartError
	switch p, err := r.Exec(ctx, c, spec); {
	case errors.As(err, &start):
		if start.Code != 126 || !strings.Contains(start.Error(), "UTF-8") {
			t.Errorf("an argument: %+v", start)
		}
	case err != nil:
		t.Fatal(err)
	default:
		if got := collect(ctx, t, p, nil); got.out != want {
			t.Errorf("an argument: got %+v", got)
		}
	}
	p, err := r.Exec(ctx, c, runtime.Spec{Session: rand.Text(), Env: []string{"LC_X=" + want}, Argv: []string{"/bin/sh", "-c", `printf %s "${LC_X-none}"`}})
	if err != nil {
		t.Fatal(err)
	}
	if got := collect(ctx, t, p, nil); got.out != want && got.out != "none" {
		t.Errorf("a variable: got %+v", got)
	}
}

func tree(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, tty := range []bool{false, true} {
		bystander, otherSession := start(ctx, t, r, c, false, noSize, "/bin/sh", "-c", "echo up; sleep 300")
		if _, err := io.ReadFull(bystander.Stdout(), make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		p, session := start(ctx, t, r, c, tty, noSize, "/bin/sh", "-c",
			`trap '' HUP TERM; sleep 300 & nohup sleep 300 >/dev/null 2>&1 & setsid sleep 300 & (setsid sh -c 'trap "" HUP; sleep 300; sleep 300' &) ; echo up; sleep 300; sleep 300`)
		rd := newLines(p.Stdout())
		rd.next(t)
		go rd.drain()
		for n := 0; n < 5; n = len(proc.Tree(session, p.ID())) { // the last of them may still be on its way
			if ctx.Err() != nil {
				t.Fatalf("tty %v: only %d processes are known", tty, n)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := p.Kill(ctx); err != nil {
			t.Error(err)
		}
		if left := proc.Tree(session, p.ID()); len(left) > 0 {
			t.Errorf("tty %v: left behind: %+v", tty, left)
		}
		if _, err := p.Wait(ctx); err != nil && ctx.Err() != nil {
			t.Errorf("Wait after Kill: %v", err)
		}
		if len(proc.Tree(otherSession, bystander.ID())) == 0 {
			t.Error("another session was ended too")
		}
		if err := bystander.Kill(ctx); err != nil {
			t.Error(err)
		}
		if _, err := bystander.Wait(ctx); err != nil && ctx.Err() != nil {
			t.Error(err)
		}
	}
}

// putAway has a program that is ended take its time to end by itself, as rsync does to keep the part that it has.
func putAway(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	file := "/tmp/put-away-" + rand.Text()
	p, _ := start(ctx, t, r, c, false, noSize, "/bin/sh", "-c", `trap '(trap "" HUP; exec sleep 0.8); echo kept >'`+file+`'; exit' HUP; echo up; while :; do sleep 0.1; done`)
	if _, err := io.ReadFull(p.Stdout(), make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(ctx); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(ctx); err != nil && ctx.Err() != nil {
		t.Error(err)
	}
	if got := run(ctx, t, r, c, "cat "+file+"; rm "+file, nil); got.out != "kept\n" {
		t.Errorf("%q was put away: %s", got.out, got.err)
	}
}

func heldTerminal(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, _ := start(ctx, t, r, c, true, noSize, "/bin/sh", "-c", `trap '' HUP; sleep 300 & exit 4`)
	go func() { _, _ = io.Copy(io.Discard, p.Stdout()) }()
	if exit, err := p.Wait(ctx); err != nil || exit.Code != 4 {
		t.Errorf("got %+v, %v", exit, err)
	}
	if err := p.Kill(ctx); err != nil {
		t.Error(err)
	}
}

func many(ctx context.Context, t *testing.T, r runtime.Runtime, c runtime.Container) {
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			want := fmt.Sprintf("session %d\n", i)
			if got := run(ctx, t, r, c, "cat; exit "+fmt.Sprint(i), strings.NewReader(want)); got.out != want || got.exit.Code != i {
				t.Errorf("%d: %+v", i, got)
			}
		})
	}
	wg.Wait()
}

var noSize = tty.Size{Cols: 80, Rows: 24}

// lines reads a terminal's output line by line.
type lines struct {
	r   io.Reader
	buf []byte
}

func newLines(r io.Reader) *lines { return &lines{r: r} }

func (l *lines) next(t *testing.T) string {
	t.Helper()
	for {
		if i := bytes.IndexByte(l.buf, '\n'); i >= 0 {
			line := strings.TrimRight(string(l.buf[:i]), "\r")
			l.buf = l.buf[i+1:]
			return line
		}
		chunk := make([]byte, 4096)
		n, err := l.r.Read(chunk)
		l.buf = append(l.buf, chunk[:n]...)
		if err != nil && n == 0 {
			t.Fatalf("output ended at %q: %v", l.buf, err)
		}
	}
}

func (l *lines) drain() { _, _ = io.Copy(io.Discard, l.r) }

// Docker returns where the tests' Docker Engine listens; it fails the test where there is none.
func Docker(t testing.TB) string {
	t.Helper()
	host := os.Getenv("PODBASTION_DOCKER")
	if host == "" {
		t.Fatal("no Docker Engine to test with: run `make test`, or `eval \"$(test/real/real.sh up)\"` first")
	}
	return host
}

// CLI runs the docker command against an engine and returns what it prints. What it says besides is none of that:
// `docker run -d` may complain while it tells the id.
func CLI(t testing.TB, host string, args ...string) string {
	t.Helper()
	var said strings.Builder
	cmd := exec.Command("docker", append([]string{"-H", host}, args...)...) // #nosec G204 -- a test's own
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %q: %v: %s", args, err, said.String())
	}
	return strings.TrimSpace(string(out))
}
