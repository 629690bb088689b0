//go:build real

package cast

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/podbastion/podbastion/internal/tty"
)

const scene = "$ ls\r\n\x1b[1;34mconf.d\x1b[0m  été 漢字 😀\r\n$ "

func recorded(t *testing.T) string {
	path := record(t, Header{Size: tty.Size{Cols: 100, Rows: 30}, Time: time.Now(), Term: "xterm", Shell: "/bin/sh", Title: "a session"}, func(r *Recorder) {
		for _, b := range []byte(scene) {
			must(t, r.Output([]byte{b}))
		}
		must(t, r.Marker("ls"))
		must(t, r.Resize(tty.Size{Cols: 120, Rows: 40}))
		must(t, r.Output([]byte("end\r\n")))
	})
	return path
}

// asciinema runs the program on a terminal of its own, which it insists on, and returns what that showed.
func asciinema(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("asciinema")
	if err != nil {
		t.Fatalf("%v: apt-get install asciinema", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(cmd.Environ(), "ASCIINEMA_CONFIG_HOME="+t.TempDir(), "LANG=C.UTF-8", "TERM=xterm")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 120, Rows: 40})
	must(t, err)
	defer func() { _ = terminal.Close() }()
	var out bytes.Buffer
	_, _ = io.Copy(&out, terminal) // ends with EIO once the player has ended
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return out.String()
}

func TestAsciinemaPlaysRecordings(t *testing.T) {
	path := recorded(t)
	for _, args := range [][]string{{"cat", path}, {"play", "-s", "100", path}} {
		if out := asciinema(t, args...); !strings.Contains(out, scene+"end\r\n") {
			t.Errorf("%s shows %q", args[0], out)
		}
	}
}
