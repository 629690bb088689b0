package proc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxEnviron bounds how much of a process's environment is searched for the marker.
const maxEnviron = 256 << 10

// Ender ends what sessions started. Many that end at once share what is read of the node's processes, so that they
// cost no more than one. The zero value is ready.
type Ender struct {
	mu   sync.Mutex
	next *census // the one that whoever asks now waits for; nil when nobody does
	busy bool    // one is being taken
}

// census is the node's processes at one moment.
type census struct {
	done     chan struct{} // closed when the rest is there
	all      map[int]Stat
	marked   map[string][]int // by the session whose marker they carry
	children map[int][]int    // by parent
	members  map[int][]int    // by terminal session
}

// after waits for a census that begins after the call.
func (e *Ender) after(ctx context.Context) (*census, error) {
	e.mu.Lock()
	if e.next == nil {
		e.next = &census{done: make(chan struct{})}
	}
	c := e.next
	if !e.busy {
		e.busy = true
		go e.take()
	}
	e.mu.Unlock()
	select {
	case <-c.done:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take takes one after the other for as long as somebody waits.
func (e *Ender) take() {
	for {
		e.mu.Lock()
		c := e.next
		e.next, e.busy = nil, c != nil
		e.mu.Unlock()
		if c == nil {
			return
		}
		c.take()
		close(c.done)
	}
}

func (c *census) take() {
	c.all, c.marked, c.children, c.members = map[int]Stat{}, map[string][]int{}, map[int][]int{}, map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	buf := make([]byte, maxEnviron)
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
		c.all[pid] = st
		c.children[st.PPID] = append(c.children[st.PPID], pid)
		c.members[st.Session] = append(c.members[st.Session], pid)
		if session := marker(pid, buf); session != "" {
			c.marked[session] = append(c.marked[session], pid)
		}
	}
}

// marker is the session whose marker the process inherited; empty without one.
func marker(pid int, buf []byte) string {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return ""
	}
	defer f.Close()
	n, _ := f.Read(buf)
	for entry := range bytes.SplitSeq(buf[:n], []byte{0}) {
		if session, ok := bytes.CutPrefix(entry, []byte(Marker+"=")); ok {
			return string(session)
		}
	}
	return ""
}

// tree is what Tree tells of it.
func (c *census) tree(session string, root ID) (out []Stat) {
	in := map[int]bool{}
	next := c.marked[session]
	if st, ok := c.all[root.PID]; ok && st.Start == root.Start {
		next = append([]int{root.PID}, next...)
	}
	for len(next) > 0 {
		pid := next[len(next)-1]
		next = next[: len(next)-1 : len(next)-1] // what is appended is not another's
		if in[pid] {
			continue
		}
		in[pid] = true
		st := c.all[pid]
		out = append(out, st)
		next = append(next, c.children[pid]...)
		if st.Session == pid { // a session that one of ours leads holds only our own
			next = append(next, c.members[pid]...)
		}
	}
	return out
}

// Tree returns the living processes of a session: those that carry its marker, root's descendants, and whatever
// shares a terminal session with one of them.
func Tree(session string, root ID) []Stat {
	var c census
	c.take()
	return c.tree(session, root)
}

// Grace is how long processes have to end after SIGHUP, and to put away what they have half done, on a busy node, too.
const Grace = 2 * time.Second

// EndTree ends every process of a session: SIGHUP and SIGCONT first, as a terminal that goes away does, then SIGKILL
// to what is left after grace, until nothing is.
func (e *Ender) EndTree(ctx context.Context, session string, root ID, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	hup := map[int]uint64{}
	left := 0
	for {
		c, err := e.after(ctx)
		if err != nil {
			return unended(session, left, err)
		}
		tree := c.tree(session, root)
		if left = len(tree); left == 0 {
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
			return unended(session, left, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func unended(session string, left int, err error) error {
	return fmt.Errorf("proc: %d processes of session %s are left: %w", left, session, err)
}
