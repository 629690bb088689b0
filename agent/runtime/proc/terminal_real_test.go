//go:build real

package proc

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/creack/pty"
)

// What a bash starts is a shell that reads commands here, or a program.
func TestWhoReads(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "editor")
	data, err := os.ReadFile("/bin/bash")
	if err == nil {
		err = os.WriteFile(copied, data, 0o755) // #nosec G306 -- to be run
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("read x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, shell := range map[string]bool{
		"bash --norc": true, "bash -o vi": true, "bash -O extglob": true, "bash -Oo extglob vi": true, "bash --rcfile /dev/null": true, "bash -s a": true, "bash --norc -ic bash": true, "bash -i /dev/tty": true,
		"bash /dev/stdin": true, "sh /dev/fd/0": true, "dash /dev/tty": true, "bash -c '. /dev/tty'": true, "sh -c 'sh /dev/stdin; :'": true, "ln -s /dev/tty " + file + ".t; sh " + file + ".t": true,
		"dash -o vi": true, "dash +m": true, "zsh -f -o vi": true, "zsh -fovi": true, "fish -C :": true, "mksh -o vi": true, "busybox sh -o vi": true, copied: true, "exec " + copied: true, "/lib64/ld-linux-x86-64.so.2 /bin/bash --norc": true,
		"bash -c 'read x'": false, "bash -c 'read -e x'": false, "bash -o pipefail -c 'read x'": false, "bash " + file: false, "bash -i -c 'read x </dev/tty'": false, "dash " + file: false, "dash -c 'read x </dev/tty'": false, "zsh -fc 'read x'": false,
		"zsh -f " + file: false, "zsh -fc 'vared -c x'": false, "fish -c 'read x'": false, "mksh " + file: false, "busybox sh " + file: false, "busybox sh -c 'read x'": false, "vim": false, "less /etc/passwd": false, "more /etc/services": false, "python3": false, "sqlite3": false,
		"top": false, "cat": false, "bc": false, "ed": false, "mc": false, "nano": false, "busybox vi": false, "perl -de1": false, "sh -c 'vim; :'": false, "sh -c 'cat; :'": false,
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("/bin/bash", "--norc")
			cmd.Env = []string{"HOME=" + t.TempDir(), "TERM=xterm", "PATH=" + os.Getenv("PATH")}
			terminal, err := pty.Start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			id := Identify(cmd.Process.Pid)
			defer func() { // more would turn round and round when only its terminal went away
				if err := new(Ender).EndTree(context.Background(), t.Name(), id, 0); err != nil {
					t.Error(err)
				}
				_, _ = cmd.Wait(), terminal.Close()
			}()
			go func() { _, _ = io.Copy(io.Discard, terminal) }()
			if _, err := io.WriteString(terminal, line+"; exit\r"); err != nil {
				t.Fatal(err)
			}
			var s Terminal
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				if s, err = ReadTerminal(id); err != nil {
					t.Fatalf("%v: has it ended, or is it not installed?", err)
				}
				is := s.Nested && !s.Scripted
				if s.Reading && is == shell && (shell || s.Command != "bash" || s.Scripted) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("a shell: %v; %+v", is, s)
				}
			}
		})
	}
}
