package proc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfdInfo is struct pidfd_info of linux/pidfd.h in its first size (64 bytes).
type pidfdInfo struct {
	mask     uint64
	cgroup   uint64
	ids      [11]uint32
	exitCode int32 // as wait(2) gives it
}

const (
	pidfdGetInfo  = 0xC040FF0B // _IOWR(0xFF, 11, 64 bytes)
	pidfdInfoExit = 1 << 3     // Linux 6.15
)

// Handle keeps hold of a process that is not our child, so that its end can be awaited and its wait status read.
type Handle struct{ file *os.File }

// Open takes hold of a process.
func Open(pid int) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	return &Handle{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Close lets go.
func (h *Handle) Close() { _ = h.file.Close() }

// Wait returns when the process has ended, or the handle was closed.
func (h *Handle) Wait() {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) // #nosec G115 -- a descriptor fits
		return n > 0
	})
}

// Status returns how the process ended, once it has ended and was reaped. ok is false where the kernel does not tell.
func (h *Handle) Status() (status unix.WaitStatus, ok bool) {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return 0, false
	}
	info := pidfdInfo{mask: pidfdInfoExit}
	var errno unix.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	})
	runtime.KeepAlive(&info)
	if err != nil || errno != 0 || info.mask&pidfdInfoExit == 0 {
		return 0, false
	}
	return unix.WaitStatus(uint32(info.exitCode)), true
}

// SignalName is a signal's name as RFC 4254 section 6.10 writes it: without SIG.
func SignalName(sig unix.Signal) string { return strings.TrimPrefix(unix.SignalName(sig), "SIG") }

// SignalByName is the inverse for what clients may send.
func SignalByName(name string) (unix.Signal, error) {
	switch name {
	case "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2", "TSTP", "CONT", "WINCH":
		return unix.SignalNum("SIG" + name), nil
	}
	return 0, errors.New("proc: unknown signal name")
}
