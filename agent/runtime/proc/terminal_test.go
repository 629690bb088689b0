package proc

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// started runs a program on a terminal of its own and waits until it is as wanted.
func started(t *testing.T, keys string, wanted func(Terminal) bool, argv ...string) ID {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Wait(), terminal.Close()
	})
	go func() { _, _ = io.Copy(io.Discard, terminal) }()
	if _, err := io.WriteString(terminal, keys); err != nil {
		t.Fatal(err)
	}
	id := Identify(cmd.Process.Pid)
	becomes(t, id, wanted)
	return id
}

func becomes(t *testing.T, id ID, wanted func(Terminal) bool) {
	t.Helper()
	var s Terminal
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var err error
		if s, err = ReadTerminal(id); err == nil && wanted(s) {
			return
		}
	}
	t.Fatalf("it is %+v", s)
}

// Who has the foreground and how keys are taken are of one moment: where it has moved since the process was looked at,
// all is read anew.
func TestLookIsOfOneMoment(t *testing.T) {
	id := started(t, "sleep 60\r", func(s Terminal) bool { return s.Command == "sleep" }, "/bin/bash", "--norc")
	f, err := openTerminal(id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, err := id.Stat()
	if err != nil {
		t.Fatal(err)
	}
	program := before.TPGID
	before.TPGID = before.Group // as it was when the shell still had it
	s, err := look(f, id.PID, before)
	if err != nil {
		t.Fatal(err)
	}
	if s.Foreground != program || s.Command != "sleep" || s.Shell || !s.Canonical {
		t.Errorf("it is told of two moments: %+v", s.Terminal)
	}
}

// A shell that starts one short program after the other changes how keys are taken for a few milliseconds. That is no
// error: what it comes to is told.
func TestLookWaitsForAShellToSettle(t *testing.T) {
	id := started(t, "", func(s Terminal) bool { return s.Reading }, "/bin/cat")
	f, err := openTerminal(id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 100 {
		began, moving := time.Now(), make(chan struct{})
		go func() {
			defer close(moving)
			for time.Since(began) < 4*time.Millisecond {
				flipEcho(t, f)
			}
		}()
		_, err := ReadTerminal(id)
		<-moving
		if err != nil {
			t.Fatal(err)
		}
	}
}

func flipEcho(t *testing.T, f *os.File) {
	err := control(f, func(fd int) error {
		settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		settings.Lflag ^= unix.ECHO
		return unix.IoctlSetTermios(fd, unix.TCSETS, settings)
	})
	if err != nil {
		t.Error(err)
	}
}

// A line editor takes the terminal and then waits for keys: it is never told as one that waits for the kernel's lines.
func TestWaitsInItsOwnMode(t *testing.T) {
	told, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer tell.Close()
	cmd := exec.Command("python3", "-c", "import os, termios, tty\nold = termios.tcgetattr(0)\n"+
		"while os.read(3, 1):\n tty.setcbreak(0, termios.TCSANOW)\n os.read(0, 1)\n termios.tcsetattr(0, termios.TCSANOW, old)\n os.write(1, b'!')\n")
	cmd.ExtraFiles = []*os.File{told}
	terminal, err := pty.Start(cmd)
	_ = told.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Wait(), terminal.Close()
	}()
	id := Identify(cmd.Process.Pid)
	for range 100 {
		if _, err := tell.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(10 * time.Second)
		for reads := false; !reads; {
			s, err := ReadTerminal(id)
			if time.Now().After(end) {
				t.Fatalf("it does not wait: %+v, %v", s, err)
			}
			if reads = s.Reading; err == nil && reads && s.Canonical {
				t.Fatalf("it is told of two moments: %+v", s)
			}
		}
		if _, err := terminal.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		for seen := make([]byte, 1); seen[0] != '!'; {
			if _, err := terminal.Read(seen); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A shell that was stopped and goes on, as in a container that was paused, waits for keys as before: the kernel says
// that it goes on waiting, and not for what.
func TestReadsAfterAStop(t *testing.T) {
	for name, argv := range map[string][]string{"ash": {"/bin/busybox", "ash"}, "bash": {"/bin/bash", "--norc"}, "dash": {"/bin/dash"}, "sleep": {"/bin/sleep", "60"}} {
		t.Run(name, func(t *testing.T) {
			wanted := func(s Terminal) bool { return s.Reading == (name != "sleep") && s.Command == name }
			id := started(t, "", wanted, argv...)
			if err := unix.Kill(id.PID, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			is := func(state byte) bool {
				st, err := id.Stat()
				if err != nil {
					t.Fatal(err)
				}
				return st.State == state
			}
			for !is('T') {
				time.Sleep(time.Millisecond)
			}
			if err := unix.Kill(id.PID, unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			for !is('S') {
				time.Sleep(time.Millisecond)
			}
			becomes(t, id, wanted)
		})
	}
}

// A process that we start ourselves has what we have open until it executes its program: it is no writer.
func TestAloneWhileWeStartOthers(t *testing.T) {
	id := started(t, "", func(s Terminal) bool { return s.Reading }, "/bin/bash", "--norc")
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = exec.Command("/bin/true").Run()
			}
		}
	})
	defer work.Wait()
	defer close(stop)
	for range 100 {
		if alone, err := Alone(id); !alone || err != nil {
			t.Fatalf("%v, %v", alone, err)
		}
	}
}
