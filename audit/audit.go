// Package audit owns what is remembered: the event, the sink that makes it durable, and beneath it the log (JSON
// Lines) and the recordings (asciicast). It is a tap: nothing upstream of it depends on what is in it.
package audit

import (
	"context"
	"time"
)

// Type names what an event tells of.
type Type string

const (
	AuthAccept     Type = "auth.accept"
	AuthReject     Type = "auth.reject"
	SessionStart   Type = "session.start"
	SessionEnd     Type = "session.end"
	SessionReject  Type = "session.reject"
	Command        Type = "command"
	CommandEnd     Type = "command.end" // the exit status that the shell's gate told
	FileRead       Type = "file.read"
	FileWrite      Type = "file.write"
	FileRemove     Type = "file.remove"
	FileRename     Type = "file.rename"
	FileMkdir      Type = "file.mkdir"
	FileSetstat    Type = "file.setstat"
	FileLink       Type = "file.link"
	ForwardOpen    Type = "forward.open"
	ForwardClose   Type = "forward.close"
	RecordingClose Type = "recording.close"
	PolicyReload   Type = "policy.reload"
	LimitHit       Type = "limit.hit"
	GrantReject    Type = "grant.reject"
	LogRepair      Type = "log.repair" // an unfinished end of the log was moved aside to path
	LogResume      Type = "log.resume" // the log takes events again; the reason says how many were refused since when, and why
)

// Target is the audit form of a session's target.
type Target struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	UID       string `json:"uid,omitempty"`
	Container string `json:"container,omitempty"`
	Node      string `json:"node,omitempty"`
}

// Event is one audit record. V, Seq, Time, Truncated and Prev belong to the sink: a caller leaves them empty.
type Event struct {
	V       int       `json:"v"`
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Type    Type      `json:"type"`
	Session string    `json:"session,omitempty"`
	Account string    `json:"account,omitempty"`
	Source  string    `json:"source,omitempty"` // ip:port
	Target  *Target   `json:"target,omitempty"`

	// What the type tells more. A field that does not apply is left out.
	Address     string  `json:"address,omitempty"` // the user name as the client sent it
	Method      string  `json:"method,omitempty"`
	Fingerprint string  `json:"fingerprint,omitempty"`
	CertID      string  `json:"certId,omitempty"`
	CertSerial  uint64  `json:"certSerial,omitempty"`
	Client      string  `json:"client,omitempty"` // SSH version string of the client
	Reason      string  `json:"reason,omitempty"`
	Kind        string  `json:"kind,omitempty"` // shell, exec, sftp, scp, forward
	TTY         bool    `json:"tty,omitempty"`
	Exit        *int    `json:"exit,omitempty"`
	Signal      string  `json:"signal,omitempty"`
	BytesIn     *int64  `json:"bytesIn,omitempty"`  // client to target
	BytesOut    *int64  `json:"bytesOut,omitempty"` // target to client
	Seconds     float64 `json:"seconds,omitempty"`

	Line       string `json:"line,omitempty"`
	Verdict    string `json:"verdict,omitempty"`
	Rule       string `json:"rule,omitempty"`
	Witness    string `json:"witness,omitempty"`    // gate, screen, exec
	Confidence string `json:"confidence,omitempty"` // high, low
	Directory  string `json:"directory,omitempty"`

	Path    string `json:"path,omitempty"`
	NewPath string `json:"newPath,omitempty"`
	Bytes   *int64 `json:"bytes,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Port    int    `json:"port,omitempty"`

	Truncated []string `json:"truncated,omitempty"` // fields that were too long and lack their end
	Prev      string   `json:"prev,omitempty"`      // sha256 of the previous line
}

// Sink takes events. Append returns once the event is durable, or with an error when it is not; it is safe for
// concurrent use. Whoever acts on an event appends it first.
type Sink interface {
	Append(ctx context.Context, e Event) error
}

// Begin hands an event to a sink and returns what waits until it is durable, so that several that are to be durable
// before the same thing share one wait. A sink keeps the order in which they were begun. One that cannot do so is
// waited for here.
func Begin(ctx context.Context, s Sink, e Event) (wait func() error) {
	if b, ok := s.(interface {
		Begin(ctx context.Context, e Event) (wait func() error)
	}); ok {
		return b.Begin(ctx, e)
	}
	err := s.Append(ctx, e)
	return func() error { return err }
}
