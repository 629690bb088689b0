package proc

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Alone tells that nobody else can be writing to a session's terminal: that no process of the container but the one in
// its foreground, and those through which it was started and which wait for it, has that terminal open, or as the
// controlling one that /dev/tty opens, nor one that a relay has in between. It looks at every process of the container,
// so it is asked when it matters.
func Alone(root ID) (bool, error) {
	syscall.ForkLock.RLock() // a process that we start has what we have open until it executes its program
	defer syscall.ForkLock.RUnlock()
	f, err := openTerminal(root)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := root.Stat()
	if err != nil {
		return false, err
	}
	s, err := look(f, root.PID, st)
	if err != nil {
		return false, err
	}
	terminals := []os.FileInfo{s.info}
	for range maxRelays {
		if multiplexes(s.Command) {
			return false, nil // it draws what others write
		}
		inner, _ := s.behind(s.members)
		if len(inner) == 0 {
			break
		}
		if len(inner) > 1 {
			return false, nil
		}
		s = inner[0]
		terminals = append(terminals, s.info)
	}
	if len(s.members) != 1 {
		return false, nil
	}
	started := line(s.members[0], root.PID)
	if started == nil {
		return false, nil
	}
	others, err := names("/proc", 1<<16)
	if err != nil {
		return false, err
	}
	container, _ := readSome(file(root.PID, "cgroup"))
	for _, name := range others {
		pid, err := strconv.Atoi(name)
		if err != nil || started[pid] || pid == os.Getpid() {
			continue
		}
		if group, err := readSome(file(pid, "cgroup")); err != nil || !within(group, container) {
			continue // another container's, or it has ended
		}
		if writes(pid, terminals) {
			return false, nil
		}
	}
	return true, nil
}

// within tells that a process in one group of control groups is in the container that the other is of, or in a group of
// its making.
func within(group, container []byte) bool {
	inner, outer := bytes.Split(bytes.TrimSpace(group), []byte("\n")), bytes.Split(bytes.TrimSpace(container), []byte("\n"))
	return slices.EqualFunc(inner, outer, bytes.HasPrefix)
}

// writes tells that a process can write to one of some terminals as it stands.
func writes(pid int, terminals []os.FileInfo) bool {
	devices := make([]uint64, len(terminals))
	for i, t := range terminals {
		node, ok := t.Sys().(*syscall.Stat_t)
		if !ok {
			return true
		}
		devices[i] = node.Rdev
	}
	if st, err := ReadStat(pid); err == nil && slices.Contains(devices, st.TTY) {
		return true
	}
	fds, err := names(file(pid, "fd"), maxFiles)
	if err != nil {
		return false // another user's, who can only be root, or it has ended
	}
	for _, fd := range fds {
		link, err := os.Readlink(file(pid, "fd/"+fd))
		switch {
		case err != nil || !strings.HasPrefix(link, "/dev/"):
		case link == "/dev/tty":
			if opensAs(pid, fd, devices) {
				return true
			}
		default:
			info, err := os.Stat(file(pid, "fd/"+fd))
			if err == nil && slices.ContainsFunc(terminals, func(t os.FileInfo) bool { return os.SameFile(info, t) }) {
				return true
			}
		}
	}
	return false
}

// opensAs tells whether a process's descriptor of /dev/tty is of one of some terminals: it stays what it was when it was opened.
// Where that cannot be told it may be.
func opensAs(pid int, fd string, terminals []uint64) bool {
	number, err := strconv.Atoi(fd)
	if err != nil {
		return true
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return !errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(process)
	own, err := unix.PidfdGetfd(process, number, 0)
	if err != nil {
		return !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EBADF) // it has ended, or closed it
	}
	defer unix.Close(own)
	n, err := unix.IoctlGetInt(own, unix.TIOCGDEV)
	return err != nil || slices.Contains(terminals, device(n))
}

// line is a process and those that it descends from, up to root; nil where it does not descend from it.
func line(pid, root int) map[int]bool {
	all := map[int]bool{}
	for range maxGroup {
		all[pid] = true
		if pid == root {
			return all
		}
		st, err := ReadStat(pid)
		if err != nil || st.PPID <= 1 {
			return nil
		}
		pid = st.PPID
	}
	return nil
}
