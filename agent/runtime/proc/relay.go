package proc

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A relay is a program in a terminal's foreground that holds the other end of a terminal of its own and passes the keys
// on to it: sudo with use_pty, su --pty, script, expect. A multiplexer (tmux, screen) is one too, but its terminals
// belong to a server, which it talks to by a socket.

const (
	maxRelays  = 4                // within each other
	maxFiles   = 4096             // descriptors of one process that are looked at
	maxServers = 16               // of a multiplexer
	relayStart = 10 * time.Second // for a relay to start what it relays to
)

// innermost looks behind relays for whoever gets the keys.
func (s *sight) innermost(depth int) (Terminal, error) {
	if s.Foreground == 0 || embeds(s.Command) {
		return s.Terminal, nil
	}
	holders, multiplexer := s.members, multiplexes(s.Command)
	if multiplexer {
		holders = servers(s.members[0], s.info)
		reading, err := anyReads(holders, s.info) // screen's and tmux's servers read it themselves
		if err != nil {
			return Terminal{}, err
		}
		s.Reading = s.Reading || reading
	}
	inner, young := s.behind(holders)
	switch {
	case len(inner) == 0 && young && !multiplexer: // it has not started yet what will read the keys
		s.Reading, s.Canonical, s.Shell = false, true, false
		return s.Terminal, nil
	case len(inner) == 0 && !multiplexer:
		return s.Terminal, nil
	case len(inner) == 0 || depth == 0:
		s.Shell, s.Nested, s.Scripted, s.Unsure = true, true, false, true
		return s.Terminal, nil
	}
	var all []Terminal
	for _, i := range inner {
		t, err := i.innermost(depth - 1)
		if err != nil {
			return Terminal{}, err
		}
		all = append(all, t)
	}
	if len(all) > 1 {
		return s.several(all), nil
	}
	t := all[0]
	t.UnreadInput += s.UnreadInput
	t.Reading = t.Reading && s.Reading // else keys may be on their way between the two
	return t, nil
}

// several is the state where one of some terminals gets the keys: a shell's, unless none has a shell that reads
// commands, and a secret's, where one may be typed.
func (s *sight) several(all []Terminal) Terminal {
	t := s.Terminal
	t.Shell, t.Nested, t.Scripted = false, false, false
	for _, i := range all {
		if i.Shell && !i.Scripted && !t.Shell {
			t.Shell, t.Nested, t.Unsure, t.Command, t.leader, t.Directory = true, true, true, i.Command, i.leader, ""
		}
		if i.Canonical && !i.Echo {
			t.Canonical, t.Echo = true, false
		}
	}
	return t
}

// behind looks at the terminals whose other ends processes hold. young is whether one holds an end, was started a
// moment ago, and nobody is on its terminal.
func (s *sight) behind(holders []int) (inner []*sight, young bool) {
	above := s.above
	if st, ok := s.info.Sys().(*syscall.Stat_t); ok {
		above = append(slices.Clone(above), st.Rdev)
	}
	seen := map[uint64]bool{}
	for _, holder := range holders {
		ends := masters(holder)
		if len(ends) == 0 {
			continue
		}
		found := false
		for _, st := range descendants(holder) {
			if st.TTY == 0 || seen[st.TTY] || slices.Contains(above, st.TTY) || !ends[st.TTY] && !ends[0] {
				continue
			}
			f := openAs(st)
			if f == nil {
				continue
			}
			i, err := look(f, holder, st)
			_ = f.Close() // read only
			if err != nil {
				continue // it ends
			}
			i.above = above
			inner, seen[st.TTY], found = append(inner, i), true, true
		}
		young = young || !found && age(holder) < relayStart
	}
	return inner, young
}

// masters are the terminals whose other ends a process holds, by device number; 0 for one that the kernel does not name.
func masters(pid int) map[uint64]bool {
	fds, err := names(file(pid, "fd"), maxFiles)
	if err != nil {
		return nil
	}
	ends := map[uint64]bool{}
	for _, fd := range fds {
		if link, err := os.Readlink(file(pid, "fd/"+fd)); err != nil || path.Base(link) != "ptmx" {
			continue
		}
		end := uint64(0)
		info, _ := readSome(file(pid, "fdinfo/"+fd))
		for line := range strings.Lines(string(info)) {
			if number, ok := strings.CutPrefix(line, "tty-index:"); ok {
				n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 20)
				if err == nil {
					end = unix.Mkdev(unix98, uint32(n)) // #nosec G115 -- 20 bits
				}
			}
		}
		ends[end] = true
	}
	return ends
}

const unix98 = 136 // major number of pseudo-terminals

// descendants of a process, itself included.
func descendants(root int) []Stat {
	var out []Stat
	queue := []int{root}
	for i := 0; i < len(queue) && i < maxGroup; i++ {
		if st, err := ReadStat(queue[i]); err == nil {
			out = append(out, st)
			queue = append(queue, children(queue[i])...)
		}
	}
	return out
}

// openAs opens the controlling terminal of a process, through a descriptor of its own or of its foreground group, so that
// it is open already: the first to open a terminal and to close it again would end it.
func openAs(st Stat) *os.File {
	for _, pid := range []int{st.PID, st.TPGID} {
		for _, fd := range []string{"fd/0", "fd/1", "fd/2", "fd/255"} {
			if f := openDevice(file(pid, fd), st.TTY); f != nil {
				return f
			}
		}
	}
	return openDevice(file(st.PID, "root/dev/pts/"+strconv.FormatUint(uint64(unix.Minor(st.TTY)), 10)), st.TTY)
}

func openDevice(name string, device uint64) *os.File {
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || info.Mode()&os.ModeCharDevice == 0 || st.Rdev != device {
		return nil
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	return f
}

// age is how long a process has lived. The kernel counts in hundredths of a second.
func age(pid int) time.Duration {
	st, err := ReadStat(pid)
	var now unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano()) - time.Duration(st.Start)*10*time.Millisecond // #nosec G115 -- since the machine's start
}

// multiplexes names programs whose terminals belong to a server.
func multiplexes(name string) bool {
	switch name {
	case "tmux", "screen", "dtach", "abduco", "zellij", "shpool":
		return true
	}
	return false
}

// servers are the processes that execute the same file as a multiplexer's client and hold terminals. Where some of them
// read the client's terminal themselves, it is one of these.
func servers(client int, terminal os.FileInfo) []int {
	own, err := os.Stat(file(client, "exe"))
	if err != nil {
		return nil
	}
	name, _ := os.Readlink(file(client, "exe"))
	all, err := names("/proc", 1<<16)
	if err != nil {
		return nil
	}
	var out, attached []int
	for _, n := range all {
		pid, err := strconv.Atoi(n)
		if err != nil || pid == client {
			continue
		}
		if link, err := os.Readlink(file(pid, "exe")); err != nil || link != name {
			continue
		}
		if info, err := os.Stat(file(pid, "exe")); err != nil || !os.SameFile(info, own) || len(masters(pid)) == 0 {
			continue
		}
		if out = append(out, pid); has(pid, terminal) {
			attached = append(attached, pid)
		}
		if len(out) == maxServers {
			break
		}
	}
	if len(attached) > 0 {
		return attached
	}
	return out
}

// has tells whether a process has the terminal open.
func has(pid int, terminal os.FileInfo) bool {
	fds, err := names(file(pid, "fd"), maxFiles)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if link, err := os.Readlink(file(pid, "fd/"+fd)); err == nil && strings.HasPrefix(link, "/dev/") {
			if info, err := os.Stat(file(pid, "fd/"+fd)); err == nil && os.SameFile(info, terminal) {
				return true
			}
		}
	}
	return false
}

// embeds names editors that show a terminal in a window of their own. Like what they run by other means, it is governed
// by what the rules say of the editor: most keys are not for that terminal.
func embeds(name string) bool {
	base, _, _ := strings.Cut(name, ".") // vim.basic, vim.tiny
	return slices.Contains([]string{"vi", "vim", "nvim", "gvim", "emacs", "emacs-nox", "emacs-gtk", "kak", "hx"}, base)
}
