package proc

import (
	"errors"
	"fmt"
	"io"
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

// maxGroups bounds what is read of /proc/PID/cgroup: a line for each of some ten hierarchies.
const maxGroups = 1 << 20

// Handle keeps hold of a process that is not our child, so that its end can be awaited and its wait status read.
type Handle struct {
	file *os.File
	pid  int
}

// Open takes hold of a process.
func Open(pid int) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	return &Handle{os.NewFile(uintptr(fd), "pidfd"), pid}, nil
}

// OpenIn takes hold of a process that is in a container: in a control group that bears its id. A process that has the
// number of one that ended is not, and ErrGone.
func OpenIn(pid int, container string) (*Handle, error) {
	h, err := Open(pid)
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	groups, err := h.File("cgroup", os.O_RDONLY)
	if err != nil {
		h.Close()
		return nil, err
	}
	defer groups.Close()
	text, err := io.ReadAll(io.LimitReader(groups, maxGroups))
	if err != nil || !bears(string(text), container) {
		h.Close()
		return nil, errors.Join(ErrGone, err)
	}
	return h, nil
}

// bears tells whether /proc/PID/cgroup (cgroups(7)) names a container's group. It is called by the id, or ends with it:
// "docker-ID.scope" is systemd's form. The process may be in a group beneath, and what is before it depends on where
// we are ourselves.
func bears(groups, container string) bool {
	if container == "" {
		return false
	}
	for line := range strings.SplitSeq(groups, "\n") {
		_, path, _ := strings.Cut(line, ":")
		_, path, _ = strings.Cut(path, ":")
		for name := range strings.SplitSeq(path, "/") {
			name = strings.TrimSuffix(name, ".scope")
			if name == container || strings.HasSuffix(name, "-"+container) {
				return true
			}
		}
	}
	return false
}

// File opens what /proc has of the process: never of another one that got its number.
func (h *Handle) File(name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(file(h.pid, name), flags, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	if !h.is() {
		_ = f.Close()
		return nil, ErrGone
	}
	return f, nil
}

// is tells whether the number is still that of the process.
func (h *Handle) is() bool {
	alive := false
	raw, err := h.file.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			err := unix.PidfdSendSignal(int(fd), 0, nil, 0) // #nosec G115 -- a descriptor fits
			alive = err == nil || errors.Is(err, unix.EPERM)
		})
	}
	return err == nil && alive
}

// Pidfd is a descriptor of the process (pidfd_open(2)) for others; it is theirs to close.
func (h *Handle) Pidfd() (*os.File, error) {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	var fd int
	var dupErr error
	err = raw.Control(func(own uintptr) { fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, dupErr); err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil // #nosec G115 -- a descriptor
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
