// Package proc reads and signals processes of this node through the kernel: the tree that a session started, how a
// process ended, and the state of its terminal. It knows no container runtime.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Marker is the environment variable that every process of a session inherits.
const Marker = "PODBASTION_SESSION"

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
	data, err := readSome(file(pid, "stat"))
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
