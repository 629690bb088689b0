package confine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that the container's root keeps here, as far as the container has them: those that make
// root root among files, and no other.
const kept = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID

// Limits of a helper's own.
const (
	maxFiles = 2048
	maxData  = 1 << 30
)

// namespaces are those that a helper shares with the container: with its files come its name and network, because
// what /proc/sys shows depends on the reader's.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP

// enter confines the calling process and executes what s says, from the program that program is open on.
func enter(s Spec, program, pidfd int) error {
	runtime.LockOSThread()
	unix.CloseOnExec(pidfd)
	pid, err := number(pidfd)
	if err != nil {
		return gone(err)
	}
	if err := elsewhere(pid); err != nil {
		return err
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return gone(err)
	}
	if err := mounted(root); err != nil {
		return err
	}
	bounding, err := boundingSet(pid)
	if err != nil {
		return gone(err)
	}
	flags := namespaces
	foreign, err := foreignUsers(pid)
	if err != nil {
		return gone(err)
	}
	if foreign {
		flags |= unix.CLONE_NEWUSER
	}
	// All that was read by number was of the process behind the descriptor, if that one lives still.
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
		return gone(err)
	}
	caps := uint64(0)
	if s.UID == 0 {
		caps = bounding & kept
	}
	p := newPlan(s, pidfd, root, program, flags, caps)
	if foreign {
		return p.fork() // only a process of a single thread can change its user namespace
	}
	step, errno := p.run()
	return p.failure(step, errno)
}

func gone(err error) error { return fmt.Errorf("confine: the container is gone: %w", err) }

// number is that of the process that a pidfd is of (pidfd_open(2)).
func number(pidfd int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if v, ok := strings.CutPrefix(line, "Pid:"); ok {
			if pid, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && pid > 0 {
				return pid, nil
			}
		}
	}
	return 0, unix.ESRCH
}

// errNode means a process that is in no container.
var errNode = errors.New("confine: the process is the node's, not a container's")

// elsewhere is the last line: whoever asks, no helper serves the node's own files.
func elsewhere(pid int) error {
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return gone(err)
	}
	for _, own := range []string{"self", "1"} {
		node, err := os.Stat("/proc/" + own + "/ns/mnt")
		if own == "1" && errors.Is(err, os.ErrPermission) {
			continue // it has rights that the agent has not: those of its namespaces are not to be had either
		}
		if err != nil {
			return fmt.Errorf("confine: what the node's mounts are cannot be told: %w", err)
		}
		if os.SameFile(theirs, node) {
			return errNode
		}
	}
	return nil
}

// mounted refuses a root that is no mount's: the kernel closes devices and /proc by mounts, and what is mounted around a
// process that called chroot(2) cannot be told apart.
func mounted(root int) error {
	var st unix.Statx_t
	if err := unix.Statx(root, "", unix.AT_EMPTY_PATH, 0, &st); err != nil {
		return gone(err)
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return errors.New("confine: the container's first process has changed its root (chroot), which cannot be confined")
	}
	return nil
}

// boundingSet reads the capabilities that a process can ever have.
func boundingSet(pid int) (uint64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if v, ok := strings.CutPrefix(sc.Text(), "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	return 0, errors.New("its capabilities cannot be read")
}

// foreignUsers tells whether a process has a user namespace of its own.
func foreignUsers(pid int) (bool, error) {
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		return false, err
	}
	own, err := os.Stat("/proc/self/ns/user")
	if err != nil {
		return false, err
	}
	return !os.SameFile(theirs, own), nil
}

// call is one system call of a plan.
type call struct {
	what string
	nr   uintptr
	args [6]uintptr
	may  [2]uintptr // errors that do not matter: what is to be confined is not there
}

// plan is all that happens between the decision and the confined program, laid out beforehand, so that a forked
// child, in which Go cannot run, can do it.
type plan struct {
	calls []call
	keep  []any // what the calls point to
}

func (p *plan) add(what string, nr uintptr, args ...uintptr) {
	c := call{what: what, nr: nr}
	copy(c.args[:], args)
	p.calls = append(p.calls, c)
}

// may lets the last call fail so.
func (p *plan) may(errs ...unix.Errno) {
	for i, e := range errs {
		p.calls[len(p.calls)-1].may[i] = uintptr(e)
	}
}

func (p *plan) pointer(b []byte) uintptr {
	p.keep = append(p.keep, b)
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

func (p *plan) text(s string) uintptr { return p.pointer(append([]byte(s), 0)) }

func (p *plan) list(list []string) uintptr {
	v := make([]uintptr, 0, len(list)+1)
	for _, s := range list {
		v = append(v, p.text(s))
	}
	v = append(v, 0)
	p.keep = append(p.keep, v)
	return uintptr(unsafe.Pointer(unsafe.SliceData(v)))
}

// mountAttr is struct mount_attr of linux/mount.h.
func (p *plan) mountAttr(set, propagation uint64) (ptr, size uintptr) {
	a := &unix.MountAttr{Attr_set: set, Propagation: propagation}
	p.keep = append(p.keep, a)
	return uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a)
}

const atFDCWD = ^uintptr(99) // AT_FDCWD, -100

// newPlan lays out the calls, in the only order that works: what needs root's rights comes before they are dropped.
func newPlan(s Spec, pidfd, root, program, namespaces int, caps uint64) *plan {
	p := &plan{}
	slash := p.text("/")
	p.add("leaving the shared working directory", unix.SYS_UNSHARE, unix.CLONE_FS)
	p.add("entering the container's namespaces", unix.SYS_SETNS, uintptr(pidfd), uintptr(namespaces))
	p.add("entering the container's root", unix.SYS_FCHDIR, uintptr(root))
	p.add("entering the container's root", unix.SYS_CHROOT, p.text("."))
	p.add("taking mounts of its own", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
	attr, size := p.mountAttr(unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID, unix.MS_PRIVATE)
	p.add("closing devices (needs Linux 5.12)", unix.SYS_MOUNT_SETATTR, atFDCWD, slash, unix.AT_RECURSIVE, attr, size)
	for _, dir := range []string{"/proc", "/sys"} {
		attr, size := p.mountAttr(unix.MOUNT_ATTR_RDONLY, 0)
		p.add("closing "+dir, unix.SYS_MOUNT_SETATTR, atFDCWD, p.text(dir), unix.AT_RECURSIVE|unix.AT_SYMLINK_NOFOLLOW, attr, size)
		p.may(unix.EINVAL, unix.ENOENT) // no mount, or nothing at all
	}
	p.add("entering the container's root", unix.SYS_CHDIR, slash)
	p.limit(unix.RLIMIT_NOFILE, maxFiles)
	p.limit(unix.RLIMIT_DATA, maxData)
	p.limit(unix.RLIMIT_CORE, 0)
	p.credentials(s, caps)
	p.add("giving up new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	p.add("closing the program", unix.SYS_FCNTL, uintptr(program), unix.F_SETFD, unix.FD_CLOEXEC)
	p.add("executing", unix.SYS_EXECVEAT, uintptr(program), p.text(""), p.list(s.Args), p.list(env()), unix.AT_EMPTY_PATH)
	return p
}

func (p *plan) limit(what int, n uint64) {
	var now unix.Rlimit
	if unix.Getrlimit(what, &now) == nil {
		n = min(n, now.Max) // it could not be raised
	}
	l := &unix.Rlimit{Cur: n, Max: n}
	p.keep = append(p.keep, l)
	p.add("setting limits", unix.SYS_PRLIMIT64, 0, uintptr(what), uintptr(unsafe.Pointer(l)), 0)
}

// credentials makes the process the user. The bounding set goes first: it is what a user 0 gets back by executing.
func (p *plan) credentials(s Spec, caps uint64) {
	groups := append([]uint32{}, s.Groups...)
	p.keep = append(p.keep, groups)
	p.add("setting groups", unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))))
	for c := range uintptr(64) {
		if caps&(1<<c) == 0 {
			p.add("dropping capabilities", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0)
			p.may(unix.EINVAL) // one that this kernel does not know
		}
	}
	p.add("leaving root's groups", unix.SYS_SETRESGID, uintptr(s.GID), uintptr(s.GID), uintptr(s.GID))
	p.add("becoming the user", unix.SYS_SETRESUID, uintptr(s.UID), uintptr(s.UID), uintptr(s.UID))
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(caps), uint32(caps>>32) // #nosec G115 -- halves
	data := &[2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	p.keep = append(p.keep, header, data)
	p.add("dropping capabilities", unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(data)))
}

// run makes the calls. It returns only when one failed. It must stay free of whatever needs the Go runtime.
//
//go:nosplit
//go:norace
func (p *plan) run() (step int, errno unix.Errno) {
	for i := 0; i < len(p.calls); i++ {
		c := &p.calls[i]
		_, _, e := unix.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		if e != 0 && uintptr(e) != c.may[0] && uintptr(e) != c.may[1] {
			return i, e
		}
	}
	return len(p.calls) - 1, 0
}

func (p *plan) failure(step int, errno unix.Errno) error {
	return fmt.Errorf("confine: %s: %w", p.calls[step].what, errno)
}

// fork runs the plan in a child, and ends as the child does. The child ends with its parent.
func (p *plan) fork() error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	report := &[2]uint64{}
	all, old := ^uint64(0), new(uint64)
	// No handler of the Go runtime's may run in the child: it has no signals until it executes.
	setMask(&all, old)
	last := len(p.calls) - 1
	execute := p.calls[last]
	p.calls = p.calls[:last]
	p.add("tying the helper to its parent", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	p.add("taking signals again", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(old)), 0, 8)
	p.calls = append(p.calls, execute)
	pid, errno := p.child(pipe[1], report)
	setMask(old, nil)
	runtime.KeepAlive(p)
	if errno != 0 {
		return fmt.Errorf("confine: fork: %w", errno)
	}
	_ = unix.Close(pipe[1])
	for _, fd := range []int{0, 1} { // the child's: their other ends must see when it closes them
		_ = unix.Close(fd)
	}
	buf := make([]byte, unsafe.Sizeof(*report))
	if n, _ := unix.Read(pipe[0], buf); n == len(buf) {
		got := (*[2]uint64)(unsafe.Pointer(unsafe.SliceData(buf)))
		return p.failure(int(got[0]), unix.Errno(got[1])) // #nosec G115 -- an index of ours
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM)
	go func() { // ends with this process
		for range asked {
			_ = unix.Kill(pid, unix.SIGTERM)
		}
	}()
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, 0, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if status.Exited() {
		os.Exit(status.ExitStatus())
	}
	os.Exit(128 + int(status.Signal()))
	return nil
}

func setMask(set, was *uint64) {
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(was)), 8, 0, 0)
}

// child forks. In the child it runs the plan and, if that fails, writes why to the pipe and ends.
//
//go:nosplit
//go:norace
//go:noinline
func (p *plan) child(pipe int, report *[2]uint64) (pid int, errno unix.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || r != 0 {
		return int(r), e
	}
	step, e := p.run()
	report[0], report[1] = uint64(step), uint64(e)
	_, _, _ = unix.RawSyscall6(unix.SYS_WRITE, uintptr(pipe), uintptr(unsafe.Pointer(report)), unsafe.Sizeof(*report), 0, 0, 0)
	for {
		_, _, _ = unix.RawSyscall6(unix.SYS_EXIT_GROUP, 1, 0, 0, 0, 0, 0)
	}
}
