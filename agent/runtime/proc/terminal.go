package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is the state of a terminal that a session runs on.
type Terminal struct {
	Echo        bool   `json:"echo"`
	Canonical   bool   `json:"canonical"`
	Foreground  int    `json:"foreground"`      // process group; 0 when the terminal has none
	Shell       bool   `json:"shellForeground"` // the group is the executed program's own, or led by a known shell
	Nested      bool   `json:"nested"`          // it is a shell, but not the executed program
	Scripted    bool   `json:"scripted"`        // it is a shell that was given -c or a file, and does not read its commands here
	Reading     bool   `json:"reading"`         // a process of the group is blocked reading the terminal
	UnreadInput int    `json:"unreadInput"`     // bytes; in canonical mode those of complete lines
	Command     string `json:"command"`         // program of the group's leader
	Busybox     bool   `json:"busybox"`         // which is busybox, called so
	Directory   string `json:"directory"`       // its working directory, as the container names it
	Unsure      bool   `json:"unsure"`          // a shell may read the keys: which of several terminals gets them cannot be told
	leader      int
}

// maxGroup bounds how many processes are looked at for one answer.
const maxGroup = 256

// ReadTerminal reads the state of the terminal that is the standard input of a session's first process; where a program
// relays the keys to a terminal of its own, of that one. It costs a few dozen reads in /proc and stops nothing.
func ReadTerminal(root ID) (Terminal, error) {
	f, err := openTerminal(root)
	if err != nil {
		return Terminal{}, err
	}
	defer f.Close()
	st, err := root.Stat()
	if err != nil {
		return Terminal{}, fmt.Errorf("proc: %w", err)
	}
	s, err := look(f, root.PID, st)
	if err != nil {
		return Terminal{}, err
	}
	if s.Foreground > 0 && st.Group == s.Foreground {
		s.Nested = s.Shell && !isShell(s.Command) // a shell by another name has taken its place
		s.Shell = true
	}
	return s.innermost(maxRelays)
}

// Leader is the process that Command names; the zero ID if it is gone.
func (t *Terminal) Leader() ID { return Identify(t.leader) }

// sight is what one look at a terminal showed.
type sight struct {
	Terminal
	info    os.FileInfo
	members []int // of the foreground group, the leader first
	above   []uint64
	moves   bool // how keys are taken has changed meanwhile
}

// How often a terminal is looked at whose foreground moves. A shell that runs one short program after the other moves it
// a few times; so each look but the first few waits twice as long as the one before, 31 ms in all.
const (
	maxLooks  = 8
	soonLooks = 3
	lookPause = time.Millisecond
)

var errMoves = errors.New("proc: the terminal's foreground does not stay")

// look reads one terminal, in whose foreground a group of root and its descendants is; of is a process that has it. Who has
// the foreground, how keys are taken and whether they are waited for are read one after the other: where one of the first
// two has changed meanwhile they do not belong together.
func look(f *os.File, root int, of Stat) (*sight, error) {
	pause := lookPause
	for n := range maxLooks {
		if n >= soonLooks {
			time.Sleep(pause)
			pause *= 2
		}
		s, err := glance(f, root, of.TPGID)
		now, gone := ReadStat(of.PID)
		if err != nil || gone != nil || now.TPGID == of.TPGID && !s.moves {
			return s, err
		}
		of = now
	}
	return nil, errMoves
}

func glance(f *os.File, root, foreground int) (*sight, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	s := &sight{info: info}
	if err := s.readDevice(f); err != nil || foreground <= 0 {
		return s, err
	}
	s.Foreground = foreground
	s.members = group(root, foreground)
	leader := foreground
	if len(s.members) > 0 {
		leader = s.members[0] // the first one may have ended, as in `true | cat`
	} else {
		s.members = []int{leader}
	}
	who, by, err := reader(s.members, info)
	if err != nil {
		return s, err
	}
	s.Reading = by != nil
	s.Command, s.Shell, s.Scripted = s.shell(leader, by)
	if who > 0 && who != leader && (!s.Shell || s.Scripted) { // a shell without job control may be in another's group
		if name, shell, scripted := s.shell(who, by); shell && !scripted {
			s.Command, s.Shell, s.Scripted, leader = name, true, false, who
		}
	}
	s.Nested = s.Shell
	s.Busybox = executable(leader) == "busybox"
	s.Directory, _ = os.Readlink(file(leader, "cwd")) // it may end meanwhile
	s.leader = leader
	now := sight{}
	if err := now.readDevice(f); err != nil {
		return s, err
	}
	s.moves = now.Echo != s.Echo || now.Canonical != s.Canonical
	return s, nil
}

// shell names what a process executes and tells whether that is a shell, and one that takes its commands elsewhere than
// from the terminal. A shell that has the terminal for its commands, and no program that is known, ignores the signals
// that would stop it there; that shows one under another name. A script's own reading is of its standard input.
func (s *sight) shell(pid int, by *read) (name string, shell, scripted bool) {
	name, args := program(pid)
	stays := ignoresStop(pid)
	if !isShell(name) {
		return name, stays && !multiplexes(name) && !embeds(name), false
	}
	code, operand := script(name, args)
	scripted = code || operand && (!stays || name == "fish") // fish ignores them always
	if by != nil && by.pid == pid && by.plain && by.fd != 0 && s.Canonical {
		scripted = false
	}
	return name, true, scripted
}

// read is how a process waits for a terminal's keys.
type read struct {
	pid, fd int
	plain   bool // by read(2)
}

// reader is the first of some processes that is blocked reading the terminal.
func reader(pids []int, terminal os.FileInfo) (int, *read, error) {
	for _, pid := range pids {
		if by, err := reads(pid, terminal); by != nil || err != nil {
			return pid, by, err
		}
	}
	return 0, nil, nil
}

func anyReads(pids []int, terminal os.FileInfo) (bool, error) {
	_, by, err := reader(pids, terminal)
	return by != nil, err
}

func (t *Terminal) readDevice(f *os.File) error {
	return control(f, func(fd int) error {
		settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return fmt.Errorf("proc: standard input is no terminal: %w", err)
		}
		t.Echo, t.Canonical = settings.Lflag&unix.ECHO != 0, settings.Lflag&unix.ICANON != 0
		if t.UnreadInput, err = unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil {
			return fmt.Errorf("proc: %w", err)
		}
		return nil
	})
}

func file(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// group returns the members of a process group among root and its descendants, the leader first if it lives.
func group(root, pgid int) []int {
	var members []int
	queue := []int{root}
	for i := 0; i < len(queue) && i < maxGroup; i++ {
		st, err := ReadStat(queue[i])
		if err != nil {
			continue
		}
		if st.Group == pgid && st.State != 'Z' {
			members = append(members, st.PID)
			if st.PID == pgid {
				members[0], members[len(members)-1] = members[len(members)-1], members[0]
			}
		}
		queue = append(queue, children(queue[i])...)
	}
	return members
}

func children(pid int) []int {
	name := file(pid, "task/"+strconv.Itoa(pid)+"/children")
	data, err := readSome(name)
	if len(data) == someSize {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range strings.Fields(string(data)) {
		if n, err := strconv.Atoi(f); err == nil && len(out) < maxGroup {
			out = append(out, n)
		}
	}
	return out
}

// executable is the name of the file that a process executes; empty where there is none to be seen.
func executable(pid int) string {
	exe, err := os.Readlink(file(pid, "exe"))
	if err != nil {
		return ""
	}
	return path.Base(strings.TrimSuffix(exe, " (deleted)"))
}

// program names what a process executes, and its arguments. Multi-call binaries are named by what they were called as.
func program(pid int) (name string, args []string) {
	if name = executable(pid); name == "" {
		return "", nil
	}
	line, _ := readSome(file(pid, "cmdline"))
	args = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	if name == "busybox" || name == "toybox" {
		called := strings.TrimPrefix(path.Base(args[0]), "-")
		if called == name && len(args) > 1 {
			args = args[1:]
			called = args[0]
		}
		name = called
	}
	return name, args[1:]
}

// valued are the letters of shells' options that take a value; o where nothing is said.
var valued = map[string]string{"bash": "oO", "rbash": "oO", "fish": "CdDfop", "ksh": "oRT", "ksh93": "oR", "mksh": "oT", "lksh": "oT", "csh": "", "tcsh": ""}

// script tells what a shell's arguments say of where its commands come from: code of an option, or a file.
func script(name string, args []string) (code, operand bool) {
	letters, known := valued[name]
	if !known {
		letters = "o"
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-" || a == "--":
			return false, i+1 < len(args) && !isInput(args[i+1])
		case len(a) < 2 || a[0] != '-' && a[0] != '+':
			return false, !isInput(a)
		case strings.HasPrefix(a, "--"):
			switch a {
			case "--rcfile", "--init-file", "--init-command", "--debug", "--debug-output", "--debug-stack-frames", "--features", "--profile", "--profile-startup", "--emulate":
				i++
			}
			if a == "--command" || strings.HasPrefix(a, "--command=") {
				return true, false
			}
			continue
		}
		skip := 0
		for j, c := range a[1:] {
			switch {
			case strings.ContainsRune(letters, c):
				if skip++; name != "bash" && name != "rbash" && name != "dash" && j+2 < len(a) {
					skip = 0 // it is attached
				}
			case c == 'c' && a[0] == '-':
				return true, false
			case c == 's' && a[0] == '-' && name != "fish": // the operands are the shell's parameters
				return false, false
			default:
				continue
			}
			if skip == 0 {
				break
			}
		}
		i += skip
	}
	return false, false
}

// isInput tells that a file is the terminal, by one of the names that everybody knows.
func isInput(name string) bool {
	switch path.Clean(name) {
	case "/dev/stdin", "/dev/tty", "/dev/fd/0", "/proc/self/fd/0", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2":
		return true
	}
	return strings.HasPrefix(path.Clean(name), "/dev/pts/")
}

// ignoresStop tells that a process ignores the signals that stop who reads or writes a terminal in the background, as
// shells with job control do.
func ignoresStop(pid int) bool {
	status, err := readSome(file(pid, "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if bits, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			mask, _ := strconv.ParseUint(strings.TrimSpace(bits), 16, 64)
			const stops = 1<<(unix.SIGTSTP-1) | 1<<(unix.SIGTTOU-1)
			return mask&stops == stops
		}
	}
	return false
}

func isShell(name string) bool {
	switch strings.TrimPrefix(name, "-") {
	case "sh", "bash", "rbash", "dash", "ash", "hush", "zsh", "rzsh", "fish", "ksh", "ksh93", "rksh", "mksh", "lksh", "pdksh", "oksh", "loksh",
		"yash", "posh", "csh", "tcsh", "elvish", "nu", "xonsh", "rc", "es", "pwsh", "osh", "oil", "ysh":
		return true
	}
	return false
}

const someSize = 4 << 10

// readSome reads the first 4 KiB of a file in /proc, with as few calls of the kernel as that takes: it is what most of a
// look at a terminal costs.
func readSome(name string) ([]byte, error) {
	fd, err := retried(func() (int, error) { return unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, someSize)
	n, err := retried(func() (int, error) { return unix.Read(fd, buf) })
	switch {
	case err != nil:
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	case n == 0:
		return nil, io.EOF
	}
	return buf[:n], nil
}

// retried calls the kernel again where a signal came between.
func retried(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// reads tells how a thread of a process is blocked reading the terminal; nil where none is. One that is gone does not.
func reads(pid int, terminal os.FileInfo) (*read, error) {
	by, err := threadReads(pid, pid, terminal)
	if by != nil || err != nil {
		return by, err
	}
	tasks, _ := names(file(pid, "task"), maxGroup) // none, where it has ended
	for _, name := range tasks {
		if task, err := strconv.Atoi(name); err == nil && task != pid {
			if by, err := threadReads(pid, task, terminal); by != nil || err != nil {
				return by, err
			}
		}
	}
	return nil, nil
}

// names lists at most so many entries of a folder.
func names(dir string, most int) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.Readdirnames(most)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return list, err
}

func threadReads(pid, task int, terminal os.FileInfo) (*read, error) {
	data, err := readSome(file(pid, "task/"+strconv.Itoa(task)+"/syscall"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("proc: what process %d waits for cannot be read: %w", pid, err)
	}
	f := strings.Fields(string(data)) // number, six arguments in hexadecimal, stack and program counter; or "running"
	if len(f) < 9 {
		return nil, nil
	}
	number, _ := strconv.ParseInt(f[0], 10, 64) // -1: blocked, but not in a system call
	if number < 0 {
		return nil, nil
	}
	var args [3]uint64
	for i := range args {
		args[i], _ = strconv.ParseUint(strings.TrimPrefix(f[1+i], "0x"), 16, 64)
	}
	for _, fd := range waitsFor(pid, number, args) {
		if isTerminal(pid, fd, terminal) {
			return &read{pid: pid, fd: fd, plain: waits[number] == waitRead}, nil
		}
	}
	return nil, nil
}

// waitsFor returns the descriptors that a blocked system call wants to read from.
func waitsFor(pid int, number int64, args [3]uint64) []int {
	kind := waits[number]
	if kind == waitAgain && args[1] <= maxPolled {
		kind = waitPoll // other calls that go on have a large number there, or nothing to be read at the address
	}
	switch kind {
	case waitRead:
		return []int{int(int32(args[0]))} // #nosec G115 -- a descriptor is an int
	case waitPoll: // struct pollfd[]: int fd; short events, revents
		n := min(args[1], 1024)
		var out []int
		for p := memory(pid, args[0], 8*n); len(p) >= 8; p = p[8:] {
			if p[4]&unix.POLLIN != 0 {
				out = append(out, int(int32(uint32(p[0])|uint32(p[1])<<8|uint32(p[2])<<16|uint32(p[3])<<24))) // #nosec G115
			}
		}
		return out
	case waitSelect: // number of descriptors, set to read
		n := min(args[0], 1024)
		var out []int
		for i, b := range memory(pid, args[1], (n+63)/64*8) {
			for bit := range 8 {
				if fd := 8*i + bit; b&(1<<bit) != 0 && uint64(fd) < n { // #nosec G115 -- small
					out = append(out, fd)
				}
			}
		}
		return out
	case waitEpoll: // fdinfo of the epoll descriptor lists "tfd: N events: HEX …"
		data, _ := readSome(file(pid, "fdinfo/"+strconv.FormatUint(args[0], 10)))
		var out []int
		for _, line := range bytes.Split(data, []byte("\n")) {
			f := strings.Fields(string(line))
			if len(f) >= 4 && f[0] == "tfd:" {
				events, _ := strconv.ParseUint(f[3], 16, 64)
				if fd, err := strconv.Atoi(f[1]); err == nil && events&unix.EPOLLIN != 0 {
					out = append(out, fd)
				}
			}
		}
		return out
	}
	return nil
}

// What the blocking system calls' arguments mean.
const (
	waitRead = iota + 1
	waitPoll
	waitSelect
	waitEpoll
	waitAgain // a call that a stop has interrupted and that goes on: of those to read only poll, with its arguments
)

// maxPolled bounds how many descriptors such a call may be for.
const maxPolled = 16

func memory(pid int, at, n uint64) []byte {
	if at == 0 || n == 0 {
		return nil
	}
	f, err := os.Open(file(pid, "mem"))
	if err != nil {
		return nil
	}
	defer f.Close()
	buf := make([]byte, n)
	got, _ := f.ReadAt(buf, int64(at)) // #nosec G115 -- user space ends far below the sign
	return buf[:got]
}

// isTerminal tells whether a process's descriptor is the terminal, by its own name or as /dev/tty.
func isTerminal(pid, fd int, terminal os.FileInfo) bool {
	info, err := os.Stat(file(pid, "fd/"+strconv.Itoa(fd)))
	if err != nil {
		return false
	}
	if os.SameFile(info, terminal) {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&os.ModeCharDevice != 0 && st.Rdev == unix.Mkdev(5, 0)
}

// openTerminal opens the terminal that is a process's standard input. It does not become ours.
func openTerminal(id ID) (*os.File, error) {
	f, err := os.OpenFile(file(id.PID, "fd/0"), os.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	if _, err := id.Stat(); err != nil { // the number was another's already
		_ = f.Close()
		return nil, fmt.Errorf("proc: %w", err)
	}
	return f, nil
}

// SetModes sets the modes of a terminal that is in its line mode.
func SetModes(f *os.File, m Modes) error {
	return control(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return fmt.Errorf("proc: %w", err)
		}
		if t.Lflag&unix.ICANON == 0 {
			return nil
		}
		m.Apply(t)
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
			return fmt.Errorf("proc: %w", err)
		}
		return nil
	})
}

// control calls f with the descriptor, which stays open meanwhile.
func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	return inner
}
