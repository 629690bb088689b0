// Package proc reads and signals processes of this node through the kernel: the tree that a session started, how a
// process ended, and the state of its terminal. It knows no container runtime.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Marker is the environment variable that every process of a session inherits.
const Marker = "PODBASTION_SESSION"

// maxEnviron bounds how much of a process's environment is searched for the marker.
const maxEnviron = 256 << 10

// Stat is what /proc/PID/stat tells (proc(5)).
type Stat struct {
	PID     int
	Command string
	State   byte
	PPID    int
	Group   int
	Session int
	TTY     uint64 // device number of its controlling terminal, as unix.Mkdev makes it; 0 without one
	TPGID   int    // foreground process group of its terminal, -1 without one
	Start   uint64
}

// ID is a process and no other that gets its number later. The zero value is none.
type ID struct {
	PID   int
	Start uint64 // as Stat has it
}

// Identify takes a process's identity; the zero ID if there is none of that number.
func Identify(pid int) ID {
	st, err := ReadStat(pid)
	if err != nil {
		return ID{}
	}
	return ID{pid, st.Start}
}

// Stat reads the process, or fails if it is gone.
func (id ID) Stat() (Stat, error) {
	if id.PID <= 0 {
		return Stat{}, unix.ESRCH
	}
	st, err := ReadStat(id.PID)
	if err == nil && st.Start != id.Start {
		err = unix.ESRCH
	}
	return st, err
}

// ReadStat reads one process.
func ReadStat(pid int) (Stat, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Stat{}, fmt.Errorf("proc: %w", err)
	}
	// The command stands in brackets and may hold anything, brackets included: take the last one.
	left, right := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if left < 0 || right < left || right+2 > len(data) {
		return Stat{}, errors.New("proc: stat of an unknown form")
	}
	f := strings.Fields(string(data[right+2:]))
	if len(f) < 20 {
		return Stat{}, errors.New("proc: stat of an unknown form")
	}
	num := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	start, _ := strconv.ParseUint(f[19], 10, 64)
	return Stat{
		PID: pid, Command: string(data[left+1 : right]), State: f[0][0], PPID: num(1), Group: num(2), Session: num(3), TTY: device(num(4)), TPGID: num(5), Start: start,
	}, nil
}

// device converts a device number from the form that /proc uses.
func device(n int) uint64 {
	d := uint32(n) // #nosec G115 -- the kernel writes 32 bits
	return unix.Mkdev(d>>8&0xfff, d&0xff|d>>12&0xfff00)
}

// marked reports whether the process inherited the session's marker.
func marked(pid int, session string) bool {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, maxEnviron)
	n, _ := f.Read(buf)
	want := []byte(Marker + "=" + session)
	for _, entry := range bytes.Split(buf[:n], []byte{0}) {
		if bytes.Equal(entry, want) {
			return true
		}
	}
	return false
}

// Tree returns the living processes of a session: those that carry its marker, root's descendants, and whatever
// shares a terminal session with one of them.
func Tree(session string, root ID) []Stat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	all := map[int]Stat{}
	in := map[int]bool{}
	sessions := map[int]bool{}
	own := os.Getpid()
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == own {
			continue
		}
		st, err := ReadStat(pid)
		if err != nil || st.State == 'Z' || st.State == 'X' {
			continue
		}
		all[pid] = st
		if pid == root.PID && st.Start == root.Start || marked(pid, session) {
			in[pid] = true
		}
	}
	for pid := range in {
		if st := all[pid]; st.Session == pid {
			sessions[pid] = true // a session that one of ours leads holds only our own
		}
	}
	for grew := true; grew; {
		grew = false
		for pid, st := range all {
			if !in[pid] && (in[st.PPID] || sessions[st.Session]) {
				in[pid] = true
				if st.Session == pid {
					sessions[pid] = true
				}
				grew = true
			}
		}
	}
	var out []Stat
	for pid := range in {
		if st, ok := all[pid]; ok {
			out = append(out, st)
		}
	}
	return out
}

// EndTree ends every process of a session: SIGHUP and SIGCONT first, as a terminal that goes away does, then SIGKILL
// to what is left after grace, until nothing is.
func EndTree(ctx context.Context, session string, root ID, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	hup := map[int]uint64{}
	for {
		tree := Tree(session, root)
		if len(tree) == 0 {
			return nil
		}
		for _, st := range tree {
			if time.Now().After(deadline) {
				_ = signalExactly(st, unix.SIGKILL)
			} else if hup[st.PID] != st.Start {
				hup[st.PID] = st.Start
				_ = signalExactly(st, unix.SIGHUP)
				_ = signalExactly(st, unix.SIGCONT)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("proc: %d processes of session %s are left: %w", len(tree), session, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// signalExactly signals the process that st was read from, and no other that got its number since.
func signalExactly(st Stat, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(st.PID, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	now, err := ReadStat(st.PID)
	if err != nil || now.Start != st.Start {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// ErrGone means that the process ended.
var ErrGone = errors.New("proc: the process is gone")

// SignalGroup sends a signal to the foreground process group of the process's terminal, or to its own group without one.
// It fails with ErrGone when there is no such process any more.
func SignalGroup(id ID, sig unix.Signal) error {
	st, err := id.Stat()
	if err != nil {
		return fmt.Errorf("%w: %d", ErrGone, id.PID)
	}
	group := st.Group
	if st.TPGID > 0 {
		group = st.TPGID
	}
	if group <= 1 {
		return fmt.Errorf("proc: process %d has no group to signal", id.PID)
	}
	switch err := unix.Kill(-group, sig); {
	case errors.Is(err, unix.ESRCH):
		return fmt.Errorf("%w: %d", ErrGone, id.PID)
	case err != nil:
		return fmt.Errorf("proc: signalling group %d: %w", group, err)
	}
	return nil
}
