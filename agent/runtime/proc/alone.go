package proc

import (
	"bytes"
	"os"
	"strconv"
)

// Alone tells that nobody else can be writing to a session's terminal: that no process of the container but the one in
// its foreground, and those through which it was started and which wait for it, has that terminal open, nor one that a
// relay has in between. It looks at every process of the container, so it is asked when it matters.
func Alone(root ID) (bool, error) {
	f, err := openTerminal(root)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := root.Stat()
	if err != nil {
		return false, err
	}
	s, err := look(f, root.PID, st.TPGID)
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
		if group, err := readSome(file(pid, "cgroup")); err != nil || !bytes.HasPrefix(group, bytes.TrimSpace(container)) {
			continue // another container's, or it has ended
		}
		for _, t := range terminals {
			if has(pid, t) {
				return false, nil
			}
		}
	}
	return true, nil
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
