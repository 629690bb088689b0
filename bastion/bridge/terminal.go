package bridge

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion/target"
)

const (
	maxTerminal = 32 << 10 // of an answer: a path of 4 KiB, escaped
	maxFiles    = 4 << 20  // of one that holds files
)

const terminalProtocol = "podbastion-terminal/1"

// TerminalState is what the node knows about a session's terminal at one moment.
type TerminalState struct {
	Echo            bool   `json:"echo"`
	Canonical       bool   `json:"canonical"`       // the kernel edits lines: no line editor has the terminal
	Foreground      int    `json:"foreground"`      // process group, as the node numbers it; 0 for none
	ShellForeground bool   `json:"shellForeground"` // the group is the executed program's own, or led by a known shell
	Nested          bool   `json:"nested"`          // it is a shell, but not the executed program
	Scripted        bool   `json:"scripted"`        // it is a nested shell that was given -c, a file or other operands
	Reading         bool   `json:"reading"`         // a process of the group is blocked reading the terminal
	UnreadInput     int    `json:"unreadInput"`     // bytes; in canonical mode those of complete lines
	Command         string `json:"command"`         // program of the group's leader, base name
	Busybox         bool   `json:"busybox"`         // which is busybox, called so
	Directory       string `json:"directory"`       // its working directory
	Unsure          bool   `json:"unsure"`          // a shell may read the keys: which of several terminals gets them cannot be told
}

// ShellFiles are what a running shell has read when it started.
type ShellFiles struct {
	Same    bool        `json:"same"`    // they are what this connection told last, and are left out
	Command string      `json:"command"` // program, base name
	Files   []ShellFile `json:"files"`
}

// ShellFile is one of them.
type ShellFile struct {
	Name string `json:"name"` // as the container names it
	Keys bool   `json:"keys"` // it is readline's, which binds keys; else the shell's code
	Text string `json:"text"`
}

// TerminalConn answers questions about one session's terminal over a connection that stays open.
type TerminalConn interface {
	// State asks the node now. Questions are answered one after the other. After an error that is not the context's the
	// connection is of no more use.
	State(ctx context.Context) (TerminalState, error)
	// Alone asks whether nobody but the reader, and those that wait for it, can be writing to the terminal. It takes the
	// node longer.
	Alone(ctx context.Context) (bool, error)
	// Files asks for the files in which the keys may be bound that a shell's line editor waits for now. Without one it
	// is empty.
	Files(ctx context.Context) (ShellFiles, error)
	Close() error
}

// ErrNoTerminal means that the node cannot tell: the session has ended, or has no terminal.
var ErrNoTerminal = errors.New("bridge: the terminal's state cannot be told")

// Terminal connects to where the terminal of a running execution is told of. ctx bounds the connecting only.
func (b *Bridge) Terminal(ctx context.Context, s Start) (TerminalConn, error) {
	n, err := b.node(s.Target)
	if err != nil {
		return nil, err
	}
	g := grantFor(grant.Control, s.Session, s.Account, s.Target)
	req, err := b.request(ctx, n, http.MethodGet, "/v1/sessions/"+url.PathEscape(s.Session)+"/terminal", g, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", terminalProtocol)
	resp, err := n.client.Do(req)
	if err != nil {
		return nil, n.unreachable(err)
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer resp.Body.Close()
		return nil, n.answerError(resp)
	}
	t := &terminalConn{rw: rw, in: bufio.NewReaderSize(rw, maxTerminal), turn: make(chan struct{}, 1), answers: make(chan answer, 1)}
	return t, nil
}

type answer struct {
	line []byte
	err  error
}

type terminalConn struct {
	rw      io.ReadWriteCloser
	in      *bufio.Reader
	turn    chan struct{} // holds a token while a question is under way
	answers chan answer
	once    sync.Once
}

func (t *terminalConn) State(ctx context.Context) (TerminalState, error) {
	a, err := t.ask(ctx, "?\n")
	if err != nil {
		return TerminalState{}, err
	}
	return a.TerminalState, nil
}

func (t *terminalConn) Alone(ctx context.Context) (bool, error) {
	a, err := t.ask(ctx, "alone?\n")
	return a.Alone, err
}

func (t *terminalConn) Files(ctx context.Context) (ShellFiles, error) {
	a, err := t.ask(ctx, "files?\n")
	return ShellFiles{a.Same, a.Command, a.Files}, err
}

func (t *terminalConn) ask(ctx context.Context, question string) (terminalAnswer, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return terminalAnswer{}, ctx.Err()
	}
	go t.exchange(question) // ends with the answer or with the connection
	select {
	case a := <-t.answers:
		<-t.turn
		return parseTerminal(a)
	case <-ctx.Done():
		// The answer still comes: whoever asks next must not take it for its own.
		go func() {
			<-t.answers
			<-t.turn
		}()
		return terminalAnswer{}, ctx.Err()
	}
}

func (t *terminalConn) exchange(question string) {
	if _, err := io.WriteString(t.rw, question); err != nil {
		t.answers <- answer{nil, err}
		return
	}
	var answered []byte
	for {
		part, err := t.in.ReadSlice('\n')
		answered = append(answered, part...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(answered) > maxFiles {
			t.answers <- answer{answered, err}
			return
		}
	}
}

type terminalAnswer struct {
	TerminalState
	Alone bool        `json:"alone"`
	Same  bool        `json:"same"`
	Files []ShellFile `json:"files"`
	Error string      `json:"error"`
}

func parseTerminal(a answer) (s terminalAnswer, err error) {
	if a.err != nil {
		return s, fmt.Errorf("%w: %w", ErrNoTerminal, a.err)
	}
	if err := json.Unmarshal(a.line, &s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	if s.Error != "" {
		return s, fmt.Errorf("%w: %q", ErrNoTerminal, s.Error)
	}
	return s, nil
}

func (t *terminalConn) Close() error {
	t.once.Do(func() { _ = t.rw.Close() })
	return nil
}

// File is what is known of a path in a container.
type File struct {
	Exists bool   `json:"exists"`
	Kind   string `json:"kind"` // file, directory or other
	Size   int64  `json:"size"`
}

// Stat asks about a file by its absolute path in the container, links followed.
func (b *Bridge) Stat(ctx context.Context, session, account string, t target.Target, name string) (File, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	data, err := b.ask(ctx, t, http.MethodGet, "/v1/stat/"+path(t)+"?path="+url.QueryEscape(name), grantFor(grant.Facts, session, account, t), nil)
	if err != nil {
		return File{}, err
	}
	var f File
	if err := json.Unmarshal(data, &f); err != nil {
		return File{}, fmt.Errorf("bridge: stat: %w", err)
	}
	return f, nil
}
