// Package line reconstructs the command lines that a shell accepts from what passes between a terminal and it: the keys
// that go in and the screen that comes out. It works for whatever editor the shell has, however the line was typed.
//
// It owns the notion of where a prompt ends and an edited line begins. It refuses to know what the line means (see
// shellparse/syntax) and whether it may run (see auth/policy). It never decides: it tells what it read and how sure it is.
package line

import (
	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/screen"
)

// Witness names who saw a line.
type Witness string

// Screen is the only witness of this package.
const Screen Witness = "screen"

// Confidence is how sure a reading is.
type Confidence string

// High is for a line that screen and keys both account for; everything else is Low.
const (
	Low  Confidence = "low"
	High Confidence = "high"
)

// Line is one line as submitted.
type Line struct {
	Text       string
	Witness    Witness
	Confidence Confidence
	// Secret tells that keys were typed that the terminal did not show. Text is then empty.
	Secret bool
	// Program tells that a program other than a shell seems to have read the line.
	Program bool
}

// Terminal is what an agent can tell of the terminal at a moment.
type Terminal struct {
	Echo, Canonical, ShellForeground bool
}

// Options tune a Tracker.
type Options struct {
	// Terminal asks for the terminal's state now; false means that it is not known. Nil where there is no agent.
	Terminal func() (Terminal, bool)
	// OSC is handed each operating system command of the target, as screen.Options.OSC is.
	OSC func(payload []byte)
}

// Tracker follows one session. It is not safe for concurrent use.
type Tracker struct {
	opts   Options
	screen *screen.Screen
	start  screen.Pos
	inLine bool
	lines  []Line
}

// New returns a Tracker for a terminal of the given size.
func New(size tty.Size, opts Options) *Tracker {
	t := &Tracker{opts: opts}
	t.screen = screen.New(size, screen.Options{OSC: opts.OSC})
	t.screen.Track(&t.start)
	return t
}

// Screen is the terminal as the user sees it. It must not be written to.
func (t *Tracker) Screen() *screen.Screen { return t.screen }

// Output takes bytes from the target, in order with Keys.
func (t *Tracker) Output(p []byte) {
	_, _ = t.screen.Write(p) // never fails
}

// Resize follows the terminal's size.
func (t *Tracker) Resize(size tty.Size) { t.screen.Resize(size) }

// Keys takes bytes for the target at the moment that they are forwarded.
func (t *Tracker) Keys(p []byte) {
	for _, b := range p {
		if !t.inLine {
			t.start = t.screen.Cursor()
			t.inLine = true
		}
		if b == '\r' || b == '\n' {
			t.lines = append(t.lines, t.Pending())
			t.inLine = false
		}
	}
}

// Pending is the line that an accepting key would submit now, the echo of all keys having arrived.
func (t *Tracker) Pending() Line {
	l := Line{Witness: Screen, Confidence: Low}
	if !t.inLine {
		return l
	}
	var b []byte
	for n := t.start.Line; ; n++ {
		from := 0
		if n == t.start.Line {
			from = t.start.Col
		}
		for c := from; c < t.screen.Used(n); c++ {
			b = t.screen.AppendCell(b, t.screen.Cell(screen.Pos{Line: n, Col: c}))
		}
		if !t.screen.Wrapped(n) {
			break
		}
	}
	l.Text = string(b)
	return l
}

// Take returns the lines accepted since the last call.
func (t *Tracker) Take() []Line {
	l := t.lines
	t.lines = nil
	return l
}
