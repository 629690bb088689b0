package guard

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/podbastion/podbastion/auth"
)

// Denied is the error of a command that may not run where there is no prompt to go back to.
type Denied struct{ Verdict Verdict }

func (d *Denied) Error() string {
	return "guard: denied" + because(d.Verdict)
}

// Text is what the user is told.
func (d *Denied) Text() string { return "denied" + because(d.Verdict) }

// Warning is what the user is told of a line that runs all the same.
func Warning(v Verdict) string { return "warning" + because(v) }

func because(v Verdict) string {
	text := ""
	if v.Rule != "" {
		text = " by rule " + v.Rule
	}
	if v.Message != "" {
		return text + ": " + v.Message
	}
	if v.Reason != "" && v.Rule == "" {
		return text + ": " + v.Reason
	}
	return text
}

// maxLine bounds a line that is held; a longer one is judged as unseen.
const maxLine = 64 << 10

// Pipe guards a shell that reads its commands from a pipe, as `ssh … bash < script` does: each line waits until it is
// judged and remembered. It is for one goroutine.
type Pipe struct {
	Target io.Writer
	Shell  string
	Decide func(ctx context.Context, c Command) Verdict
	Record func(ctx context.Context, c Command, v Verdict) error
	Warn   func(text string)

	line   []byte
	before string
	long   bool // the rest of a line that was too long, and judged
}

// Write takes what the client sends. A *Denied ends the session.
func (p *Pipe) Write(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n') + 1
		whole := end > 0
		if !whole {
			end = len(b)
		}
		p.line = append(p.line, b[:min(end, maxLine)]...)
		b = b[min(end, maxLine):]
		if len(p.line) < maxLine && (!whole || p.line[len(p.line)-1] != '\n') {
			continue
		}
		if err := p.pass(ctx); err != nil {
			return err
		}
	}
	return nil
}

// End takes the end of the client's input: a last line needs no line end.
func (p *Pipe) End(ctx context.Context) error {
	if len(p.line) == 0 {
		return nil
	}
	return p.pass(ctx)
}

func (p *Pipe) pass(ctx context.Context) error {
	text, ended := bytes.CutSuffix(p.line, []byte("\n"))
	c := Command{Line: string(text), Before: p.before, Shell: p.Shell, Witness: Exec, Sure: true}
	if p.long || !ended && len(text) >= maxLine {
		c = Command{Shell: p.Shell, Witness: Exec, Unseen: true, Unsure: true}
	}
	p.long = !ended
	if c.Line != "" || c.Unseen {
		v := p.Decide(ctx, c)
		if err := p.Record(ctx, c, v); err != nil {
			return fmt.Errorf("guard: %w", err)
		}
		switch v.Action {
		case auth.Deny:
			return &Denied{v}
		case auth.Warn:
			p.Warn(Warning(v))
		}
		p.before = ""
		if v.Incomplete && len(c.Before)+len(c.Line) < maxPending {
			p.before = c.Before + c.Line + "\n"
		}
	}
	_, err := p.Target.Write(p.line)
	p.line = p.line[:0]
	return err
}
