// Package direct reads and writes sockets and pipes in non-blocking mode, past the runtime's account of system calls.
//
// The runtime prepares for a system call that waits, and where a process had nothing to do it wakes its watcher thread
// for that. A call on such a descriptor never waits: the poller does. Where a client waits for each answer, the watcher
// is a good part of what an answer costs.
package direct

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is what can be read and written directly: a net.TCPConn, a net.UnixConn or one end of an os.Pipe.
type Conn interface {
	io.ReadWriter
	syscall.Conn
}

// New returns what reads and writes c: c itself where it cannot be done directly. Closing and deadlines stay c's. There
// may be one Read and one Write at a time.
func New(c Conn) io.ReadWriter {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	s := &stream{raw: raw}
	s.read, s.write = s.tryRead, s.tryWrite // once, so that a call allocates nothing
	return s
}

type stream struct {
	raw syscall.RawConn

	read   func(fd uintptr) bool
	in     []byte
	got    int
	inErr  error
	write  func(fd uintptr) bool
	out    []byte
	sent   int
	outErr error
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in, s.got, s.inErr = p, 0, nil
	err := s.raw.Read(s.read)
	s.in = nil
	switch {
	case err != nil:
		return 0, err
	case s.inErr != nil:
		return 0, s.inErr
	case s.got == 0:
		return 0, io.EOF
	}
	return s.got, nil
}

// tryRead tells that it need not be called again when there is something to read.
func (s *stream) tryRead(fd uintptr) bool {
	for {
		n, errno := call(syscall.SYS_READ, fd, s.in)
		switch errno {
		case 0:
			s.got = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		default:
			s.inErr = os.NewSyscallError("read", errno)
		}
		return true
	}
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	s.out, s.sent, s.outErr = p, 0, nil
	err := s.raw.Write(s.write)
	s.out = nil
	if err == nil {
		err = s.outErr
	}
	return s.sent, err
}

func (s *stream) tryWrite(fd uintptr) bool {
	for s.sent < len(s.out) {
		n, errno := call(syscall.SYS_WRITE, fd, s.out[s.sent:])
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return false
		case errno != 0:
			s.outErr = os.NewSyscallError("write", errno)
			return true
		case n == 0:
			s.outErr = io.ErrUnexpectedEOF
			return true
		default:
			s.sent += n
		}
	}
	return true
}

// call makes a system call that takes a descriptor and bytes, of which there are some.
func call(number, fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) // #nosec G103 -- as syscall.Read does
	return int(n), errno                                                                                         // #nosec G115 -- at most len(p)
}

// Pipe makes a pipe whose reading end wakes nobody but who reads at that moment. Reading waits as a whole thread, and
// only where there is nothing to read; Close does not end that, the other end does.
func Pipe() (io.ReadCloser, *os.File, error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	w := os.NewFile(uintptr(fds[1]), "pipe") // #nosec G115 -- a descriptor
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fds[0]), w.Close())
	}
	return &quiet{fds[0]}, w, nil
}

// quiet is a descriptor that the runtime's poller does not know.
type quiet struct{ fd int }

func (q *quiet) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, errno := call(syscall.SYS_READ, uintptr(q.fd), p) // #nosec G115 -- a descriptor
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLIN}}, -1) // #nosec G115 -- a descriptor
			if err != nil && !errors.Is(err, syscall.EINTR) {
				return 0, os.NewSyscallError("poll", err)
			}
		case errno != 0:
			return 0, os.NewSyscallError("read", errno)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (q *quiet) Close() error { return os.NewSyscallError("close", syscall.Close(q.fd)) }
