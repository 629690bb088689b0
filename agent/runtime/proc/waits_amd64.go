package proc

import "golang.org/x/sys/unix"

var waits = map[int64]int{
	unix.SYS_READ: waitRead, unix.SYS_READV: waitRead,
	unix.SYS_POLL: waitPoll, unix.SYS_PPOLL: waitPoll,
	unix.SYS_SELECT: waitSelect, unix.SYS_PSELECT6: waitSelect,
	unix.SYS_RESTART_SYSCALL: waitAgain,
	unix.SYS_EPOLL_WAIT:      waitEpoll, unix.SYS_EPOLL_PWAIT: waitEpoll, unix.SYS_EPOLL_PWAIT2: waitEpoll,
}
