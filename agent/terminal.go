package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/podbastion/podbastion/agent/facts"
	"github.com/podbastion/podbastion/agent/runtime/proc"
)

// TerminalProtocol is what a connection is upgraded to on which a terminal's state is asked for again and again: the
// client writes a line "?", the agent answers with a line of JSON, either the state or {"error": "…"}. To a line "alone?"
// it answers {"alone": true}, or false: whether nobody but the reader can be writing to the terminal. To a line "files?"
// it answers {"command": "bash", "files": […]}: the files in which the keys may be bound that a shell waits for now
// (facts.StartFile); without a name where none does, and {"same": true} where it answered the same last time.
const TerminalProtocol = "podbastion-terminal/1"

const (
	terminalEvery = 20 * time.Millisecond // between looks of a stream
	answerWait    = 10 * time.Second      // for a peer to take an answer
)

// terminal tells the state of a session's terminal: once; with ?watch=1 whenever it changes, as JSON Lines; or on
// request after an upgrade to TerminalProtocol.
func (s *Server) terminal(w http.ResponseWriter, r *http.Request) {
	live, ok := s.running(w, r)
	if !ok {
		return
	}
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), TerminalProtocol):
		answerTerminal(w, live)
	case r.URL.Query().Get("watch") == "1":
		watchTerminal(w, r, live)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answerLine(proc.ReadTerminal(live.root))) // a peer that is gone needs no answer
	}
}

// answerLine is one answer.
func answerLine(v any, err error) []byte {
	var line []byte
	if err == nil {
		line, err = json.Marshal(v)
	}
	if err != nil {
		line, _ = json.Marshal(struct { // a string does not fail
			Error string `json:"error"`
		}{err.Error()})
	}
	return append(line, '\n')
}

// answerTerminal answers until the peer goes or the session ends.
func answerTerminal(w http.ResponseWriter, live *session) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "agent: this connection cannot be upgraded", http.StatusBadRequest)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(live.ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Time{})
	var told [sha256.Size]byte // of the files that were
	answer := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + TerminalProtocol + "\r\n\r\n")
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(answerWait))
		if _, err := conn.Write(answer); err != nil {
			return
		}
		question, err := buf.ReadSlice('\n')
		if err != nil {
			return
		}
		switch string(question) {
		case "?\n":
			answer = answerLine(proc.ReadTerminal(live.root))
		case "alone?\n":
			alone, err := proc.Alone(live.root)
			answer = answerLine(struct {
				Alone bool `json:"alone"`
			}{alone}, err)
		case "files?\n":
			files, err := startFiles(live.root)
			answer = answerLine(files, err)
			if sum := sha256.Sum256(answer); sum == told {
				answer = answerLine(shellFiles{Same: true}, nil)
			} else if files.Command != "" {
				told = sum
			}
		default:
			return
		}
	}
}

type shellFiles struct {
	Same    bool              `json:"same,omitempty"`
	Command string            `json:"command"`
	Files   []facts.StartFile `json:"files"`
}

// startFiles reads those of a shell whose line editor has the terminal, whether it waits for keys or is at work on some;
// none of another's, whose keys nobody can bind.
func startFiles(root proc.ID) (shellFiles, error) {
	t, err := proc.ReadTerminal(root)
	if err != nil || !t.Shell || t.Canonical || t.Busybox {
		return shellFiles{}, err
	}
	files, err := facts.StartFiles(t.Leader(), t.Command)
	return shellFiles{Command: t.Command, Files: files}, err
}

func watchTerminal(w http.ResponseWriter, r *http.Request, live *session) {
	w.Header().Set("Content-Type", "application/jsonl")
	out := http.NewResponseController(w)
	tick := time.NewTicker(terminalEvery)
	defer tick.Stop()
	last := ""
	for {
		if line := answerLine(proc.ReadTerminal(live.root)); string(line) != last {
			last = string(line)
			_ = out.SetWriteDeadline(time.Now().Add(answerWait))
			if _, err := w.Write(line); err != nil || out.Flush() != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-live.ctx.Done():
			return
		case <-tick.C:
		}
	}
}
