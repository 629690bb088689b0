//go:build real

package screen

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/internal/tty"
)

// tmux is a terminal that shows what is written to it and can be asked what it shows.
type tmux struct {
	t      *testing.T
	socket string
	fifo   *os.File
	mark   int
	dir    string
}

func startTmux(t *testing.T, size tty.Size) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("tmux is not installed: apt-get install tmux")
	}
	m := &tmux{t: t, dir: t.TempDir()}
	m.socket = filepath.Join(m.dir, "s")
	out := filepath.Join(m.dir, "in")
	if err := exec.Command("mkfifo", out).Run(); err != nil {
		t.Fatal(err)
	}
	m.run("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(size.Cols), "-y", fmt.Sprint(size.Rows),
		fmt.Sprintf("stty raw -echo; exec cat %s", out), ";", "set", "-g", "status", "off", ";",
		"set", "-g", "window-size", "manual", ";", "resize-window", "-x", fmt.Sprint(size.Cols), "-y", fmt.Sprint(size.Rows))
	f, err := os.OpenFile(out, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.fifo = f
	t.Cleanup(func() {
		_ = f.Close()
		_ = m.command("kill-server").Run() // ended with its last window
	})
	return m
}

func (m *tmux) command(args ...string) *exec.Cmd {
	c := exec.Command("tmux", append([]string{"-u", "-S", m.socket}, args...)...)
	c.Env = append(os.Environ(), "TMUX=", "LC_ALL=C.UTF-8")
	return c
}

func (m *tmux) run(args ...string) string {
	m.t.Helper()
	out, err := m.command(args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// write sends bytes and waits until tmux has taken them: a title set behind them shows that.
func (m *tmux) write(s string) {
	m.t.Helper()
	m.mark++
	title := fmt.Sprintf("m%d", m.mark)
	if _, err := fmt.Fprintf(m.fifo, "%s\x1b]2;%s\x1b\\", s, title); err != nil {
		m.t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for strings.TrimSpace(m.run("display-message", "-p", "#{pane_title}")) != title {
		if time.Now().After(deadline) {
			m.t.Fatalf("tmux did not take %q", s)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (m *tmux) rows(n int) []string {
	m.t.Helper()
	out := strings.Split(strings.TrimSuffix(m.run("capture-pane", "-p"), "\n"), "\n")
	for i := range out {
		out[i] = strings.TrimRight(out[i], " ")
	}
	for len(out) < n {
		out = append(out, "")
	}
	return out[:n]
}

func (m *tmux) cursor() (x, y int) {
	m.t.Helper()
	if _, err := fmt.Sscan(m.run("display-message", "-p", "#{cursor_x} #{cursor_y}"), &x, &y); err != nil {
		m.t.Fatal(err)
	}
	return x, y
}

// compare shows the same bytes to both and tells how they differ; nothing when they do not.
func (m *tmux) compare(size tty.Size, in string) string {
	m.t.Helper()
	const reset = "\x1b[?1049l\x1bc\x1b[2J\x1b[H\x1b7"
	m.write(reset + in)
	s := New(size, Options{})
	_, _ = s.Write([]byte(reset + in))
	got, want := rows(s), m.rows(int(size.Rows))
	if !slices.Equal(got, want) {
		return fmt.Sprintf("got\n%q\nwant\n%q", got, want)
	}
	x, y := m.cursor()
	if c := s.Cursor(); min(c.Col, s.Columns()-1) != min(x, s.Columns()-1) || c.Line-s.FirstLine() != y {
		return fmt.Sprintf("got cursor %d,%d want %d,%d", c.Col, c.Line-s.FirstLine(), x, y)
	}
	return ""
}

var token = regexp.MustCompile(`\x1b\[\?1049h(?s:.*?)\x1b\[\?1049l|\x1b\[\d+G(?:\x08+|\x1b\[[0-9;]*[A-Za-z@])|\x1b\[[0-9;?]*[a-zA-Z@` + "`" + `]|\x1b[^\[]|(?s:.)`)

// shrink makes a stream that shows a difference as short as it can.
func shrink(in string, differs func(string) bool) string {
	parts := token.FindAllString(in, -1)
	for size := len(parts) / 2; size >= 1; size /= 2 {
		for i := 0; i+size <= len(parts); {
			rest := append(append([]string(nil), parts[:i]...), parts[i+size:]...)
			if differs(strings.Join(rest, "")) {
				parts = rest
				continue
			}
			i += size
		}
	}
	return strings.Join(parts, "")
}

func TestAgainstTmux(t *testing.T) {
	for _, size := range []tty.Size{{Cols: 80, Rows: 24}, {Cols: 20, Rows: 6}, {Cols: 9, Rows: 4}} {
		m := startTmux(t, size)
		bad := 0
		for seed := range uint64(60) {
			rnd := rand.New(rand.NewPCG(seed, uint64(size.Cols)))
			// What is saved on one screen and restored on the other differs from terminal to terminal.
			f := features{wide: seed%5 < 2, region: seed%3 == 0, nel: true, eraseAbove: true, wipe: true, tabs: true, rep: true, alt: seed%2 == 0, save: seed%2 == 1}
			in := stream(rnd, size, f, 3+rnd.IntN(50))
			if m.compare(size, in) == "" {
				continue
			}
			in = shrink(in, func(s string) bool { return m.compare(size, s) != "" })
			t.Errorf("seed %d of %v: %q\n%s", seed, size, in, m.compare(size, in))
			if bad++; bad > 1 {
				break
			}
		}
	}
}

func TestResizeAgainstTmux(t *testing.T) {
	from := tty.Size{Cols: 40, Rows: 10}
	m := startTmux(t, from)
	bad := 0
	for seed := range uint64(80) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		m.run("resize-window", "-x", "40", "-y", "10")
		const reset = "\x1bc\x1b[2J\x1b[3J\x1b[H"
		m.write(reset)
		m.run("clear-history")
		in := stream(rnd, from, features{wide: seed%2 == 0}, 3+rnd.IntN(25))
		m.write(in)
		s := New(from, Options{})
		_, _ = s.Write([]byte(reset + in))
		to := tty.Size{Cols: uint16(8 + rnd.IntN(60)), Rows: 10}
		m.run("resize-window", "-x", fmt.Sprint(to.Cols), "-y", fmt.Sprint(to.Rows))
		s.Resize(to)
		got, want := rows(s), m.rows(int(to.Rows))
		x, y := m.cursor()
		c := s.Cursor()
		// How much of the scrollback comes back is a matter of taste: rows are compared from the cursor's on.
		at := c.Line - s.FirstLine()
		differ := c.Col <= s.Used(c.Line) && min(c.Col, s.Columns()-1) != min(x, s.Columns()-1)
		for i := range got {
			if k := i - at + y; k >= 0 && k < len(want) && got[i] != want[k] {
				differ = true
			}
		}
		if differ {
			t.Errorf("seed %d: %q then %v\n got %d,%d\n%s\nwant %d,%d\n%s", seed, in, to,
				c.Col, at, strings.Join(got, "\n"), x, y, strings.Join(want, "\n"))
			if bad++; bad > 2 {
				return
			}
		}
	}
}
