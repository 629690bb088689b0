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

	"golang.org/x/sys/unix"
)

// Terminal is the state of a terminal that a session runs on.
type Terminal struct {
	Echo        bool   `json:"echo"`
	Canonical   bool   `json:"canonical"`
	Foreground  int    `json:"foreground"`      // process group; 0 when the terminal has none
	Shell       bool   `json:"shellForeground"` // the group is the executed program's own, or led by a known shell
	Nested      bool   `json:"nested"`          // it is a shell, but not the executed program
	Scripted    bool   `json:"scripted"`        // it is a nested shell that was given -c, a file or other operands
	Reading     bool   `json:"reading"`         // a process of the group is blocked reading the terminal
	UnreadInput int    `json:"unreadInput"`     // bytes; in canonical mode those of complete lines
	Command     string `json:"command"`         // program of the group's leader
	Directory   string `json:"directory"`       // its working directory, as the container names it
	Unsure      bool   `json:"unsure"`          // a shell may read the keys: which of several terminals gets them cannot be told
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
	s, err := look(f, root.PID, st.TPGID)
	if err != nil {
		return Terminal{}, err
	}
	if st.TPGID > 0 && st.Group == st.TPGID {
		s.Shell, s.Nested, s.Scripted = true, false, false
	}
	return s.innermost(maxRelays)
}

// sight is what one look at a terminal showed.
type sight struct {
	Terminal
	info    os.FileInfo
	members []int // of the foreground group, the leader first
	above   []uint64
}

// look reads one terminal, in whose foreground a group of root and its descendants is.
func look(f *os.File, root, foreground int) (*sight, error) {
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
	name, operands := program(leader)
	s.Command = name
	s.Directory, _ = os.Readlink(file(leader, "cwd")) // it may end meanwhile
	if isShell(name) {
		s.Shell, s.Nested, s.Scripted = true, true, operands
	}
	s.Reading, err = anyReads(s.members, info)
	return s, err
}

func anyReads(pids []int, terminal os.FileInfo) (bool, error) {
	for _, pid := range pids {
		if reading, err := reads(pid, terminal); reading || err != nil {
			return reading, err
		}
	}
	return false, nil
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
	data, err := os.ReadFile(file(pid, "task/"+strconv.Itoa(pid)+"/children"))
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

// program names what a process executes. Multi-call binaries are named by what they were called as. operands is
// whether it was given more than options.
func program(pid int) (name string, operands bool) {
	exe, err := os.Readlink(file(pid, "exe"))
	if err != nil {
		return "", false
	}
	name = path.Base(strings.TrimSuffix(exe, " (deleted)"))
	line, _ := readSome(file(pid, "cmdline"))
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	if name == "busybox" || name == "toybox" {
		called := strings.TrimPrefix(path.Base(args[0]), "-")
		if called == name && len(args) > 1 {
			args = args[1:]
			called = args[0]
		}
		name = called
	}
	for _, a := range args[1:] {
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "c") {
			operands = true
		}
	}
	return name, operands
}

func isShell(name string) bool {
	switch strings.TrimPrefix(name, "-") {
	case "sh", "bash", "rbash", "dash", "ash", "hush", "zsh", "rzsh", "fish", "ksh", "ksh93", "rksh", "mksh", "lksh", "pdksh", "oksh", "loksh",
		"yash", "posh", "csh", "tcsh", "elvish", "nu", "xonsh", "rc", "es", "pwsh", "osh", "oil", "ysh":
		return true
	}
	return false
}

// readSome reads the first 4 KiB of a file in /proc.
func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, 4<<10)
	n, err := f.Read(buf)
	if n > 0 {
		err = nil
	}
	return buf[:n], err
}

// reads reports whether a thread of a process is blocked reading the terminal. One that is gone does not.
func reads(pid int, terminal os.FileInfo) (bool, error) {
	reading, err := threadReads(pid, pid, terminal)
	if reading || err != nil {
		return reading, err
	}
	tasks, _ := names(file(pid, "task"), maxGroup) // none, where it has ended
	for _, name := range tasks {
		if task, err := strconv.Atoi(name); err == nil && task != pid {
			if reading, err := threadReads(pid, task, terminal); reading || err != nil {
				return reading, err
			}
		}
	}
	return false, nil
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

func threadReads(pid, task int, terminal os.FileInfo) (bool, error) {
	data, err := readSome(file(pid, "task/"+strconv.Itoa(task)+"/syscall"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("proc: what process %d waits for cannot be read: %w", pid, err)
	}
	f := strings.Fields(string(data)) // number, six arguments in hexadecimal, stack and program counter; or "running"
	if len(f) < 9 {
		return false, nil
	}
	number, _ := strconv.ParseInt(f[0], 10, 64) // -1: blocked, but not in a system call
	if number < 0 {
		return false, nil
	}
	var args [3]uint64
	for i := range args {
		args[i], _ = strconv.ParseUint(strings.TrimPrefix(f[1+i], "0x"), 16, 64)
	}
	for _, fd := range waitsFor(pid, number, args) {
		if isTerminal(pid, fd, terminal) {
			return true, nil
		}
	}
	return false, nil
}

// waitsFor returns the descriptors that a blocked system call wants to read from.
func waitsFor(pid int, number int64, args [3]uint64) []int {
	switch waits[number] {
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
)

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
