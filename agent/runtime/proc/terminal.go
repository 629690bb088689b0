package proc

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openTerminal opens the terminal that is a process's standard input.
func openTerminal(id ID) (*os.File, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/0", id.PID), os.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
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
