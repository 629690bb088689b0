//go:build real

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/screen"
)

// The bars of the generated run.
const (
	typedLines    = 2000 // at least, as the shells tell it
	mostInexact   = 0.001
	mostFalseDeny = 0.001
	atOnce        = 6 // sittings side by side
	typingSpace   = "typing"
)

// sitting is one session of the generated run: a shell of a user of its own, a role, a pace.
type sitting struct {
	name, shell, mode, style string
	slow                     bool
	acts                     int

	truth  []string         // the lines, as the shell itself tells them
	events []map[string]any // the audit log's commands
	forbid int              // acts that held a line that may not run
	sat    bool
	ended  string // why the session ended before its time
}

// TestGeneratedRun types a generated run of lines with OpenSSH's client into real shells in containers, and compares
// the audit log with what the shells themselves say that they were given.
func TestGeneratedRun(t *testing.T) {
	var sittings []*sitting
	for _, shell := range []string{"bash", "zsh", "fish", "ash"} {
		for _, mode := range []string{"allowlist", "denylist"} {
			for _, slow := range []bool{true, false} {
				n := len(sittings)
				sittings = append(sittings, &sitting{name: fmt.Sprintf("t%02d", n), shell: shell, mode: mode, slow: slow, acts: actsOf(slow), style: []string{"debian", "fancy"}[n/2%2]})
			}
		}
	}
	secret := fmt.Sprintf("Zq9-%08x", rand.Uint32())
	w, folder := typingWorld(t, sittings, secret)
	t.Run("sittings", func(t *testing.T) {
		var wg sync.WaitGroup
		seats := make(chan struct{}, atOnce)
		for i, s := range sittings {
			wg.Go(func() {
				seats <- struct{}{}
				defer func() { <-seats }()
				t.Run(fmt.Sprintf("%s-%s-%s", s.shell, s.mode, map[bool]string{true: "slow", false: "burst"}[s.slow]), func(t *testing.T) {
					s.sat = true
					s.sit(t, w, folder, secret, uint64(i))
				})
			})
		}
		wg.Wait()
	})
	var sum tally
	for _, s := range sittings {
		if !s.sat {
			continue
		}
		s.truth = s.told(t, w, folder)
		s.events = w.events(t, func(e map[string]any) bool { return e["type"] == "command" && e["account"] == s.name })
		sum.add(t, s)
	}
	made, _ := filepath.Glob(filepath.Join(folder, "denied-*"))
	leaks := leaksIn(t, w.dir, secret)
	t.Logf("%d lines by the shells' own word, %d exact, %d not; %d events; %d forbidden acts, %d denials, %d false denials, %d executed; %d not sure; secret in %d files",
		sum.lines, sum.exact, sum.inexact, sum.events, sum.forbidden, sum.denials, sum.falseDenials, len(made), sum.unsure, len(leaks))
	if sum.lines < typedLines {
		t.Errorf("%d lines, want at least %d", sum.lines, typedLines)
	}
	if float64(sum.inexact) > mostInexact*float64(sum.lines) {
		t.Errorf("%d of %d lines are not exact", sum.inexact, sum.lines)
	}
	if float64(sum.falseDenials) > mostFalseDeny*float64(sum.lines) {
		t.Errorf("%d of %d lines were denied that may run", sum.falseDenials, sum.lines)
	}
	if len(made) > 0 {
		t.Errorf("denied lines ran: %v", made)
	}
	if sum.denials < sum.forbidden {
		t.Errorf("%d denials of %d forbidden acts", sum.denials, sum.forbidden)
	}
	if len(leaks) > 0 {
		t.Errorf("the secret is in %v", leaks)
	}
}

// actsOf is how much a sitting does.
func actsOf(slow bool) int {
	if slow {
		return 68
	}
	return 72
}

// typingWorld has a container with bash, zsh and fish and one with ash, and a user, a role and an account for each
// sitting. The secret is everybody's password. The folder is seen by the shells and by the test.
func typingWorld(t *testing.T, sittings []*sitting, secret string) (*world, string) {
	t.Helper()
	const space = typingSpace
	c := openCluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	folder := t.TempDir()
	check(os.Chmod(folder, 0o777))
	check(c.namespace(ctx, space))
	check(c.clear(ctx, space))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = c.clear(ctx, space)
	})
	mount := []string{"-e", "LANG=C.UTF-8", "-v", folder + ":" + folder}
	big, err := c.run(ctx, podSpec{namespace: space, name: "big", containers: []containerSpec{{name: "app", image: "podbastion/bash:test", args: mount}}})
	check(err)
	small, err := c.run(ctx, podSpec{namespace: space, name: "small", containers: []containerSpec{{name: "app", image: "podbastion/ash:test", args: mount}}})
	check(err)
	var accounts, roles, inBig, inSmall strings.Builder
	hash := strings.TrimSpace(command(t, "openssl", "passwd", "-6", secret))
	fmt.Fprintf(&inBig, "sed -i '/^root:/d' /etc/shadow; echo 'root:%s:20000::::::' >>/etc/shadow\n", hash)
	for i, s := range sittings {
		fmt.Fprintf(&accounts, "  - {name: %s, keys: [\"KEY_%[1]s\"], roles: [%[1]s]}\n", s.name)
		rule := "{id: forbidden, action: deny, programs: [touch], message: \"files are made elsewhere\"}"
		if s.mode == "allowlist" {
			rule = "{id: permitted, action: allow, programs: [" + programs + "]}"
		}
		fmt.Fprintf(&roles, "  %s:\n    targets: [{namespaces: [%s]}]\n    user: %[1]s\n    commands: {mode: %[3]s, rules: [%[4]s]}\n", s.name, space, s.mode, rule)
		in, shell, file := &inBig, "/usr/bin/"+s.shell, map[string]string{"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}[s.shell]
		if s.shell == "ash" {
			in, shell, file = &inSmall, "/bin/ash", ".profile"
		}
		fmt.Fprintf(in, "echo '%s:x:%d:%[2]d::/home/%[1]s:%[3]s' >>/etc/passwd; h=/home/%[1]s; mkdir -p $h/.config/fish; cp /etc/skel/.* $h/ 2>/dev/null; cat >>$h/%[4]s <<'EOF'\n%[5]s\nEOF\nchown -R %[2]d:%[2]d $h\n",
			s.name, 2000+i, shell, file, s.rc(folder))
		if in == &inBig {
			fmt.Fprintf(in, "echo '%s ALL=(ALL) ALL' >>/etc/sudoers; echo '%[1]s:%[2]s:20000::::::' >>/etc/shadow\n", s.name, hash)
		}
	}
	for id, script := range map[string]string{big.containers["app"]: inBig.String(), small.containers["app"]: inSmall.String()} {
		_, err := c.engine("exec", "--user", "0", id, "sh", "-c", script)
		check(err)
	}
	dir, err := os.MkdirTemp("", "podbastion-typing")
	check(err)
	w := newWorldBefore(t, dir, c, "accounts:\n"+accounts.String()+"roles:\n"+roles.String())
	t.Cleanup(func() {
		w.close()
		if t.Failed() {
			t.Logf("see %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return w, folder
}

// rc is the shell's configuration: its prompt, and what makes the shell tell each line that it was given.
func (s *sitting) rc(folder string) string {
	file := s.file(folder)
	fancy := s.style == "fancy"
	switch s.shell {
	case "bash":
		rc := "HISTCONTROL= HISTSIZE=100000 HISTFILESIZE=100000 HISTTIMEFORMAT='%s ' HISTFILE=" + file + "; shopt -s lithist; PROMPT_COMMAND='history -a'"
		if fancy {
			rc += `; PS1='\[\e[1;32m\]\u@\h\[\e[0m\] \[\e7\e[60C[on the right]\e8\]\w\n❯ '`
		}
		return rc
	case "zsh":
		rc := "setopt interactive_comments; HISTSIZE=10000; zshaddhistory() { print -rN -- \"${1%$'\\n'}\" >>" + file + " }; autoload -Uz compinit; compinit -u"
		if fancy {
			rc += "; setopt prompt_subst; PROMPT='%F{green}%n@%m%f %~\n%# ' RPROMPT='%F{blue}[%*]%f'"
		}
		return rc
	case "fish":
		rc := "function __truth --on-event fish_preexec; printf '%s\\0' $argv[1] >>" + file + "; end; set -g fish_greeting"
		if fancy {
			rc += "; function fish_right_prompt; date +%H:%M:%S; end"
		}
		return rc
	}
	rc := ""
	if fancy {
		rc += `PS1='\033[1;35m\w\033[0m\n$ '`
	}
	return rc
}

func (s *sitting) file(folder string) string { return filepath.Join(folder, "lines-"+s.name) }

// remember takes what of a shown history is new since the last time that it was shown.
func (s *sitting) remember(t *testing.T, shown string) {
	var lines []string
	shown = regexp.MustCompile(`\^\[\[\d+;\d+R`).ReplaceAllString(shown, "") // the desk's answer to a prompt that a burst had left behind
	for _, l := range regexp.MustCompile(`(?m)^ {1,3}\d+ (.*?)\r*$`).FindAllStringSubmatch(shown, -1) {
		lines = append(lines, l[1])
	}
	for i := min(len(lines), len(s.truth)); i > 0; i-- {
		if slices.Equal(lines[:i], s.truth[len(s.truth)-i:]) {
			s.truth = append(s.truth, lines[i:]...)
			return
		}
	}
	if len(s.truth) > 0 {
		t.Errorf("more lines than the history holds: %q", lines)
	}
	s.truth = append(s.truth, lines...)
}

// told reads what the shell wrote down.
func (s *sitting) told(t *testing.T, w *world, folder string) []string {
	t.Helper()
	if s.shell == "ash" {
		return append(s.truth, "exit")
	}
	data, err := os.ReadFile(s.file(folder))
	if err == nil {
		err = os.WriteFile(w.path("told-"+s.name), data, 0o600)
	}
	if err != nil {
		t.Errorf("%s: %v; it ended: %s", s.name, err, s.ended)
	}
	var lines []string
	if s.shell == "bash" {
		stamps := regexp.MustCompile(`(?m)^#\d{10}\n`)
		for _, l := range stamps.Split(string(data), -1)[1:] {
			lines = append(lines, strings.TrimRight(l, "\n")) // one with a heredoc has an end more
		}
		return lines
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// sit does the acts of one session.
func (s *sitting) sit(t *testing.T, w *world, folder, secret string, seed uint64) {
	w.starting.Lock() // an engine that starts many at once keeps all of them waiting
	started := sync.OnceFunc(w.starting.Unlock)
	defer started()
	pod := "big"
	if s.shell == "ash" {
		pod = "small"
	}
	w.key(t, s.name)
	cmd := exec.Command("ssh", append(w.sshArgs(s.name), "-tt", "-l", s.name+"+"+typingSpace+"+"+pod, "127.0.0.1")...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	term, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Error(err)
		return
	}
	d := &desk{tty: term, done: make(chan struct{}), slow: s.slow, seen: screen.New(tty.Size{Cols: 80, Rows: 24}, screen.Options{})}
	go d.read()
	defer func() {
		_ = cmd.Process.Kill() // which ends reading, too
		<-d.done
		_ = term.Close()
		_ = cmd.Wait()
		_ = os.WriteFile(w.path("typed-"+s.name), []byte(strings.ReplaceAll(strings.Join(d.log, "\n"), secret, "SECRET")), 0o600) // it helps, if it can be written
	}()
	if err := d.until(regexp.MustCompile(`[#$%>❯] `), 2*time.Minute); err != nil {
		t.Errorf("no prompt: %v", err)
		return
	}
	started()
	d.quiet()
	who := &typist{r: rand.New(rand.NewPCG(20261125, seed)), shell: s.shell, mode: s.mode, folder: folder, secret: secret}
	for i := range s.acts {
		a := who.next()
		if a.denied {
			s.forbid++
		}
		if err := d.do(a); err != nil {
			s.ended = err.Error()
			t.Errorf("%s %q: %v; screen %q", a.kind, a.steps, err, d.since())
			return
		}
		if s.shell == "ash" { // this one tells its history to its terminal only, and has a short one
			if err := d.do(act{kind: "history", steps: []typing{{keys: fmt.Sprintf("history; echo th''at was all of %d%s", i, enter)}, {shown: fmt.Sprintf(`that was all of %d\r`, i)}}}); err != nil {
				s.ended = err.Error()
				t.Errorf("%v; screen %q", err, d.since())
				return
			}
			s.remember(t, d.since())
		}
	}
	d.still(2*time.Second, time.Minute) // what was typed ahead runs
	_ = d.do(one("end", "exit"+enter))  // seen below
	select {
	case <-d.done:
	case <-time.After(time.Minute):
		t.Errorf("it does not end; screen %q", d.since())
	}
}

// desk is the terminal that one person sits at. It answers when it is asked where the cursor is.
type desk struct {
	tty  *os.File
	slow bool
	done chan struct{}

	mu   sync.Mutex
	out  []byte
	at   time.Time // of the newest output
	from int       // where the act began
	log  []string
	seen *screen.Screen
}

func (d *desk) read() {
	defer close(d.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := d.tty.Read(buf)
		d.mu.Lock()
		d.out, d.at = append(d.out, buf[:n]...), time.Now()
		d.mu.Unlock()
		if err != nil {
			return
		}
		for rest := buf[:n]; len(rest) > 0; {
			upTo := bytes.Index(rest, []byte("\x1b[6n")) + 1
			asked := upTo > 0
			if !asked {
				upTo = len(rest)
			}
			d.mu.Lock()
			_, _ = d.seen.Write(rest[:upTo]) // it never fails
			top, col := d.seen.Cursor().Line-d.seen.FirstLine(), d.seen.Cursor().Col
			d.mu.Unlock()
			if rest = rest[upTo:]; asked {
				_, _ = fmt.Fprintf(d.tty, "\x1b[%d;%dR", top+1, col+1) // the reading fails then, too
			}
		}
	}
}

func (d *desk) since() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.out[d.from:])
}

// quiet waits as a person does who looks at the screen: until nothing more comes.
func (d *desk) quiet() { d.still(80*time.Millisecond, 5*time.Second) }

// still waits until nothing has come for a while.
func (d *desk) still(while, limit time.Duration) {
	for began := time.Now(); time.Since(began) < limit; time.Sleep(10 * time.Millisecond) {
		d.mu.Lock()
		still := time.Since(d.at)
		d.mu.Unlock()
		if still > while && time.Since(began) > while {
			return
		}
	}
}

var (
	prompted = regexp.MustCompile(`[#$%>❯] $`)
	asking   = regexp.MustCompile(`(Secret|[Pp]assword.*|asked): ?$`)
)

// prompt waits until the cursor stands behind a prompt. What was recalled may be a program that asks: it is interrupted.
func (d *desk) prompt() error {
	began := time.Now()
	waited := began // since the last interrupt
	for asks := false; time.Since(began) < 2*time.Minute; {
		if d.quiet(); time.Since(waited) > 30*time.Second || asks && time.Since(waited) > 3*time.Second {
			waited = time.Now()
			if _, err := d.tty.WriteString("\x03"); err != nil {
				return err
			}
		}
		d.mu.Lock()
		at := d.seen.Cursor()
		var row []byte
		for col := range at.Col {
			row = d.seen.AppendCell(row, d.seen.Cell(screen.Pos{Line: at.Line, Col: col}))
		}
		d.mu.Unlock()
		if prompted.Match(row) {
			return nil
		}
		asks = asking.Match(row)
		select {
		case <-d.done:
			return fmt.Errorf("the session ended")
		default:
		}
	}
	return fmt.Errorf("there is no prompt")
}

func (d *desk) until(shown *regexp.Regexp, limit time.Duration) error {
	for began := time.Now(); !shown.MatchString(d.since()); time.Sleep(10 * time.Millisecond) {
		select {
		case <-d.done:
			return fmt.Errorf("the session ended")
		default:
		}
		if time.Since(began) > limit {
			return fmt.Errorf("%q is not shown", shown)
		}
	}
	return nil
}

func (d *desk) do(a act) error {
	if err := d.prompt(); err != nil {
		return err
	}
	d.mu.Lock()
	d.from = len(d.out)
	d.mu.Unlock()
	defer func() {
		d.log = append(d.log, fmt.Sprintf("%s %s %q\n    %q", time.Now().UTC().Format("15:04:05.000"), a.kind, a.steps, d.since()))
	}()
	for _, s := range a.steps {
		if s.shown != "" {
			if err := d.until(regexp.MustCompile(s.shown), time.Minute); err != nil {
				return err
			}
			d.quiet()
		}
		keys := []string{s.keys}
		if d.slow && a.kind != "pasted" && a.kind != "burst" {
			keys = keysOf(s.keys)
		}
		for _, k := range keys {
			if _, err := d.tty.WriteString(k); err != nil {
				return err
			}
			if len(keys) > 1 {
				time.Sleep(4 * time.Millisecond)
			}
		}
		d.quiet()
	}
	return nil
}

var escaped = regexp.MustCompile(`^\x1b(\[[0-9;]*[~A-Za-z]|.)`)

// keysOf cuts text into what single keys send.
func keysOf(text string) []string {
	var keys []string
	for text != "" {
		n := len(escaped.FindString(text))
		if n == 0 {
			_, n = utf8.DecodeRuneInString(text)
		}
		keys, text = append(keys, text[:n]), text[n:]
	}
	return keys
}

// leaksIn are the files under a folder that hold a text.
func leaksIn(t *testing.T, folder, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err == nil && bytes.Contains(data, []byte(text)) {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
