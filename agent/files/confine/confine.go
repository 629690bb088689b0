// Package confine puts a process into a container: in all of its namespaces but that of processes, in its root, as one
// of its users, with that user's rights and no more. The kernel does the confining; nothing here looks at paths.
//
// A helper is this very program, started twice. The first time it prepares: it enters the container's namespaces,
// takes a mount namespace of its own in which no device can be opened and /proc and /sys cannot be written, changes
// its root, drops what it may not keep, and executes itself again. The second time all of its threads are confined from
// their first instruction, and only that one meets a client's bytes. Staying in the node's process namespace hides it
// from the container; its program is a sealed copy in memory, which nobody can write to.
//
// It knows nothing of files or protocols.
package confine

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"
)

// EnterCommand is the first argument that has the program prepare a confinement. Main handles it.
const EnterCommand = "files-enter"

// Spec says where and as whom to run.
type Spec struct {
	Process *os.File `json:"-"` // a pidfd of one of the container's processes; the caller knows that it is
	UID     uint32   `json:"uid"`
	GID     uint32   `json:"gid"`
	Groups  []uint32 `json:"groups"`
	Args    []string `json:"args"` // of the confined program, from its own name on
}

// Descriptors that the program is started with, behind the streams.
const (
	programFD = 3
	processFD = 4
)

// Program is a sealed copy of an executable whose main calls Main.
type Program struct {
	source func() (executable, error)
	once   sync.Once
	file   *os.File
	err    error
}

type executable interface {
	io.ReadCloser
	io.ReaderAt
}

// NewProgram makes one of an executable, of the running one where path is empty.
func NewProgram(path string) *Program {
	if path == "" {
		path = "/proc/self/exe"
	}
	return &Program{source: func() (executable, error) { return os.Open(path) }} // #nosec G304 -- our own program
}

// Bytes makes one of what an executable holds.
func Bytes(b []byte) *Program {
	return &Program{source: func() (executable, error) { return held{bytes.NewReader(b)}, nil }}
}

type held struct{ *bytes.Reader }

func (held) Close() error { return nil }

// open makes the copy when it is first needed.
func (p *Program) open() (*os.File, error) {
	p.once.Do(func() {
		source, err := p.source()
		if err != nil {
			p.err = fmt.Errorf("confine: %w", err)
			return
		}
		p.file, p.err = seal(source)
		_ = source.Close()
	})
	return p.file, p.err
}

func seal(program executable) (*os.File, error) {
	if err := checkStatic(program); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("files-helper", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all of them were executable
		fd, err = unix.MemfdCreate("files-helper", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("confine: a copy in memory: %w", err)
	}
	copied := os.NewFile(uintptr(fd), "files-helper")
	if _, err = io.Copy(copied, program); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err == nil {
		err = copied.Chmod(0o111) // a program that cannot be read cannot be traced either
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("confine: a copy in memory: %w", err), copied.Close())
	}
	return copied, nil
}

// checkStatic refuses a program that the container's own dynamic linker would load: it would run the container's code.
func checkStatic(r io.ReaderAt) error {
	program, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("confine: the program is linked dynamically: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

// Command makes the helper's command; its streams are the caller's to set. s.Process must stay open until it is started.
func (p *Program) Command(s Spec) (*exec.Cmd, error) {
	file, err := p.open()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("confine: %w", err)
	}
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", programFD), EnterCommand, string(text)) // #nosec G204 -- our own program
	cmd.ExtraFiles = []*os.File{file, s.Process}
	cmd.Env = env()
	cmd.Dir = "/"
	return cmd, nil
}

// env is the environment of both starts. With GOMAXPROCS set the Go runtime does not look for it in the container.
func env() []string { return []string{"GOMAXPROCS=2", "TZ="} }

// Failed is the status of a helper that could not be confined. Why stands on its standard error.
const Failed = 125

// Main prepares and executes, when the program was started to do so. It returns only if it was not.
func Main(args []string) {
	if len(args) != 2 || args[0] != EnterCommand {
		return
	}
	var s Spec
	err := json.Unmarshal([]byte(args[1]), &s)
	if err == nil {
		err = enter(s, programFD, processFD)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(Failed)
}
