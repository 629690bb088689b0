// Package filewire is what the bastion and an agent say to each other about files beside the bytes of SFTP or scp
// themselves: a header before the client's first byte, and a line of JSON for every event. It knows no file system and
// makes no decision.
package filewire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Protocols that are served.
const (
	SFTP = "sftp"
	SCP  = "scp"
)

// Requests of SFTP (SSH_FXP_EXTENDED) that the bastion makes of several of a client's, so that fewer have to go all the way.
// They are bound by the same rules as those. Their names have the header's Secret behind them, as a client that sent them
// itself could tell of less than it had. An open is an SSH_FXP_OPEN's body, from its path on.
const (
	// Get opens a file that is only read, and reads it: uint32 most, open. SSH_FXP_EXTENDED_REPLY has string handle,
	// uint32 whole, string data: with 1 data is all that the file has, with 0 there is none.
	Get = "get@podbastion"
	// Took tells how much of that the client has had: string handle, uint64 bytes, uint32 end (1: it was told of the
	// end). It stands before another read, and before a close where it was not all, and the end.
	Took = "took@podbastion"
	// Put writes a file: uint64 handle, string open, string data, and a string for every SSH_FXP_FSETSTAT's attributes.
	// Handle 0 closes it. Any other must have its highest bit set, stands for the file from then on, and fails whatever
	// comes with it if this failed.
	Put = "put@podbastion"
)

// OwnHandle is the bit of those handles that are chosen by who sends a Put.
const OwnHandle = 1 << 63

// maxHeader bounds the header: a thousand long globs fit.
const maxHeader = 1 << 20

// Header says what to serve, and under which rules.
type Header struct {
	Protocol string `json:"protocol"`
	SCP      *Copy  `json:"scp,omitempty"`
	Secret   string `json:"secret,omitempty"` // which makes the bastion's own requests of SFTP; without one there are none
	Rules    Rules  `json:"rules"`
}

// Copy is the remote side of an scp command.
type Copy struct {
	Sink      bool  `json:"sink"` // scp -t: files come; otherwise scp -f: files go
	Recursive bool  `json:"recursive,omitempty"`
	Preserve  bool  `json:"preserve,omitempty"`
	Directory bool  `json:"directory,omitempty"` // the sink must be a directory
	Paths     Paths `json:"paths"`               // globs in which \ quotes; a sink has one
}

// Paths pass through JSON byte by byte: they need not be UTF-8, which JSON's strings are.
type Paths []string

// MarshalJSON implements json.Marshaler.
func (p Paths) MarshalJSON() ([]byte, error) {
	raw := make([][]byte, len(p))
	for i, s := range p {
		raw[i] = []byte(s)
	}
	return json.Marshal(raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Paths) UnmarshalJSON(text []byte) error {
	var raw [][]byte
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*p = make(Paths, len(raw))
	for i, b := range raw {
		(*p)[i] = string(b)
	}
	return nil
}

// Rules permit, by kind. An empty list permits nothing of that kind.
type Rules struct {
	Upload   []Rule `json:"upload,omitempty"`
	Download []Rule `json:"download,omitempty"`
	Remove   []Rule `json:"remove,omitempty"`
	Rename   []Rule `json:"rename,omitempty"`
	Mkdir    []Rule `json:"mkdir,omitempty"`
	Chmod    []Rule `json:"chmod,omitempty"`
}

// Rule permits on the paths that one of its globs matches, up to MaxSize bytes; nil is no limit.
type Rule struct {
	Paths   []string `json:"paths"`
	MaxSize *int64   `json:"maxSize,omitempty"`
}

// Outcomes of a file event.
const (
	Complete = "complete"
	Partial  = "partial" // not all of the file, or nobody can tell that it was all
	Failed   = "failed"
	Denied   = "denied"
)

// Event is something that was done to a file, or refused. Open and Notice are no audit events: Open announces a
// transfer, so that the bastion does not forget one whose helper, container or node dies, and a Notice is a line for the
// client's eyes.
type Event struct {
	Type    string  `json:"type"`           // the audit event's type, or Open or Notice
	ID      uint64  `json:"id,omitempty"`   // pairs an Open with the event that ends it
	Kind    string  `json:"kind,omitempty"` // of an Open: the type of the event that will end it
	Path    string  `json:"path,omitempty"`
	NewPath string  `json:"newPath,omitempty"`
	Bytes   *int64  `json:"bytes,omitempty"`
	SHA256  string  `json:"sha256,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Outcome string  `json:"outcome,omitempty"`
	Reason  string  `json:"reason,omitempty"`
}

// Types of events beside those of the audit log.
const (
	Open   = "open"
	Notice = "notice"
)

// Printable is a path as an event holds it: JSON cannot carry bytes that are not UTF-8, so such bytes become \xNN.
func Printable(p string) string {
	if utf8.ValidString(p) {
		return p
	}
	var b strings.Builder
	for len(p) > 0 {
		r, n := utf8.DecodeRuneInString(p)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, p[0])
		} else {
			b.WriteString(p[:n])
		}
		p = p[n:]
	}
	return b.String()
}

// WriteHeader writes h with its length before it.
func WriteHeader(w io.Writer, h Header) error {
	body, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("filewire: %w", err)
	}
	if len(body) > maxHeader {
		return errors.New("filewire: the role's file rules are too long")
	}
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil { // #nosec G115 -- bounded above
		return fmt.Errorf("filewire: %w", err)
	}
	return nil
}

// ReadHeader is the inverse. It reads no byte beyond the header.
func ReadHeader(r io.Reader) (Header, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return Header{}, fmt.Errorf("filewire: no header: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxHeader {
		return Header{}, errors.New("filewire: the header is too long")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return Header{}, fmt.Errorf("filewire: the header ends early: %w", err)
	}
	var h Header
	if err := json.Unmarshal(body, &h); err != nil {
		return Header{}, fmt.Errorf("filewire: the header is not understood: %w", err)
	}
	return h, h.check()
}

func (h Header) check() error {
	switch {
	case h.Protocol == SFTP && h.SCP == nil:
		return nil
	case h.Protocol == SCP && h.SCP != nil && len(h.SCP.Paths) > 0 && (!h.SCP.Sink || len(h.SCP.Paths) == 1):
		return nil
	}
	return fmt.Errorf("filewire: %q is not a protocol that is served, or lacks its arguments", h.Protocol)
}
