// Package line reconstructs the command lines that a shell accepts from what passes between a terminal and it: the keys
// that go in and the screen that comes out. It works for whatever editor the shell has, however the line was typed.
//
// Two witnesses are kept apart and then compared: the screen, read from where the prompt ended to where the text ends,
// and models of the known line editors that replay the keys. Where they agree the line is sure. Where the keys do not
// tell (completion, history) the screen does; where the screen is spoilt (another program wrote over the line) the keys do.
//
// It owns the notion of where a prompt ends and an edited line begins. It refuses to know what the line means (see
// shellparse/syntax) and whether it may run (see auth/policy). It never decides: it tells what it read and how sure it is.
package line

import (
	"bytes"
	"strings"

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
	// Typed is what the keys alone give, where they give something and the screen shows otherwise or nothing.
	Typed string
	// Completed tells that the line is certain if nobody but the shell has written to the terminal since a completion: the
	// screen alone shows what that put in. Confidence is then low.
	Completed bool
	// Unlikely tells that the line is certain only if the screen shows all there is to come: of the editors that may be at
	// work, a likelier one would have made another line of the keys.
	Unlikely bool
	// Program tells that a program other than a shell seems to read the line.
	Program bool
}

// Options tune a Tracker.
type Options struct {
	// OSC is handed each operating system command of the target, as screen.Options.OSC is.
	OSC func(payload []byte)
}

// Bounds on what a session can make a Tracker hold.
const (
	maxQueue   = 64 << 10
	maxLimbo   = 64
	maxLines   = 4096
	maxHistory = 128
)

// Tracker follows one session. It is not safe for concurrent use.
type Tracker struct {
	opts   Options
	screen *screen.Screen
	clock  uint32 // counts calls of Keys; cells carry it

	queue    []byte // keys whose line has not been seen accepted
	edit     edit
	open     bool // an editor that switches modes around its prompt is reading
	openBy   int
	openAt   screen.Pos // where the cursor was when it said so last
	openLast bool       // that is behind its prompt
	opens    int        // how often it began to
	limbo    []string   // lines sent while no prompt was shown, as keys
	deferred deferral
	limboAt  int // the screen line of the first of them

	shells   shells
	kind     kind
	vi       bool
	kills    [][]rune
	history  []string
	expand   expansion
	external bool   // the line was handed to an editor program
	kernel   bool   // the shell was seen to leave editing to the kernel
	editor   bool   // the shell was seen to edit lines itself
	answered bool   // something was written since the newest key
	right    string // the right prompt that was seen last
	rightGap int
	prefix   bool // the last key was a multiplexer's prefix
	echo     echo
	fish     bool   // fish was seen: its marks are its own
	tail     []byte // the end of the newest output, for what is split between two
	output   []byte // the rest of what Output is working on
	lf       lastFeed
	told     bool // somebody who knows says that a shell has the terminal

	lines []Line
}

// edit is what is known of the line being typed.
type edit struct {
	started   bool
	known     bool       // start is right
	held      bool       // the kernel holds keys that it echoed before the prompt was shown
	start     screen.Pos // where the text begins
	prompt    string     // what stood before it on its row
	right     string     // what stood behind it then: a right prompt
	rightGap  int        // and how far it was from the margin
	stamp     uint32     // clock when it began
	enter     uint32     // clock of the newest accepting key
	base      buffer     // text taken over from the screen, before the keys in the queue
	command   bool       // vi command mode at that point
	based     bool
	output    bool // something was written since the newest accepting key
	disturbed bool
	lost      bool     // the screen showed something else than the line, and the keys do not tell it
	shown     bool     // what was typed was seen on the screen at some time
	candidate *reading // what stood there when the cursor left the row, though the keys gave something else
	settled   bool     // all keys but an accepting one had been answered for
	entered   bool     // an accepting key was taken over with the text
	open      bool     // an editor that switches modes was reading when it began
	wrapped   bool     // its prompt's row continues the one above
	completed completion
	before    string // all that stood before the text on its row: the prompt, and what was left there
}

type lastFeed struct {
	at    screen.Pos
	valid bool
}

// New returns a Tracker for a terminal of the given size.
func New(size tty.Size, opts Options) *Tracker {
	t := &Tracker{opts: opts, kind: cooked}
	t.screen = screen.New(size, screen.Options{OSC: opts.OSC, Mode: t.onMode, LineFeed: t.onLineFeed, Clear: t.onClear})
	t.screen.Track(&t.edit.start)
	t.screen.Track(&t.openAt)
	return t
}

// Screen is the terminal as the user sees it. It must not be written to.
func (t *Tracker) Screen() *screen.Screen { return t.screen }

// Resize follows the terminal's size.
func (t *Tracker) Resize(size tty.Size) {
	t.screen.Resize(size)
	t.echo = echo{broken: true}
}

// Output takes bytes from the target, in order with Keys.
func (t *Tracker) Output(p []byte) {
	if len(p) == 0 {
		return
	}
	t.edit.output = true
	t.lookForFish(p)
	t.answered = true
	t.edit.completed.drawn(p)
	t.output = p
	_, _ = t.screen.Write(p) // never fails
	if t.open {
		t.echo.add(t.output)
	}
	t.output = nil
}

// lookForFish notes the marks that only fish makes: its sign for a missing new line, and how it puts colours back.
func (t *Tracker) lookForFish(p []byte) {
	const most = 10
	if t.fish {
		return
	}
	joined := append(append(make([]byte, 0, 2*most), t.tail...), p[:min(len(p), most)]...)
	for _, b := range [][]byte{joined, p} {
		t.fish = t.fish || bytes.Contains(b, []byte("\u23ce ")) || bytes.Contains(b, []byte("\x1b[30m\x1b(B\x1b[m"))
	}
	t.tail = append(t.tail[:0], joined[max(0, len(joined)-most):]...)
	if len(p) > most {
		t.tail = append(t.tail[:0], p[len(p)-most:]...)
	}
}

// Keys takes bytes for the target at the moment that they are forwarded.
func (t *Tracker) Keys(p []byte) {
	t.clock++
	t.screen.SetStamp(t.clock)
	p, replies := withoutReplies(p)
	t.conclude(0, true)
	if t.foreign() {
		return
	}
	if replies && !t.edit.started && (t.open || t.shells.known(left(t.screen, t.screen.Cursor()), false)) {
		t.begin() // what a shell makes of an answer that it did not expect is no part of its prompt
	}
	for _, b := range p {
		if t.multiplexed(b) {
			continue
		}
		t.key(b)
	}
}

// multiplexed tells that a key is a terminal multiplexer's own command: its prefix or the key after it.
func (t *Tracker) multiplexed(b byte) bool {
	if t.shells.container == "" || !t.screen.Alt() {
		return false
	}
	if t.prefix {
		t.prefix = false
		return true
	}
	t.prefix = t.shells.container == "screen" && b == 0x01 || t.shells.container != "screen" && b == 0x02
	return t.prefix
}

// foreign tells that a program owns the whole screen, so that keys are nobody's command line.
func (t *Tracker) foreign() bool { return !t.told && t.screen.Alt() && t.shells.container == "" }

func (t *Tracker) key(b byte) {
	if !t.edit.started {
		t.begin()
	}
	if !t.open {
		switch b {
		case 0x03, 0x1c, 0x1a:
			// The kernel throws away what was typed before a signal key.
			if !t.quoted() {
				t.queue, t.limbo = nil, nil
				t.endEdit()
				return
			}
		case 0x04:
			if n := len(t.queue); !t.edit.based && (n == 0 || t.queue[n-1] == '\r' || t.queue[n-1] == '\n') {
				if n == 0 {
					t.endEdit()
				}
				return
			}
		}
	}
	if len(t.queue) >= maxQueue {
		t.queue = append(t.queue[:0], t.queue[len(t.queue)/2:]...)
		t.edit.disturbed = true
	}
	t.queue = append(t.queue, b)
	t.answered = false
	switch b {
	case '\t':
		t.edit.completed.keys++
	case '\r', '\n', 0x0f, 0x03:
		t.edit.enter, t.edit.completed.over = t.clock, true
		t.edit.output = false
	default:
		t.edit.settled = false
	}
}

func (t *Tracker) quoted() bool {
	n := len(t.queue)
	return n > 0 && t.queue[n-1] == 0x16
}

// begin notes where a line starts: where the cursor stands when its first key comes.
func (t *Tracker) begin() {
	t.settleLimbo()
	t.endEdit()
	e := &t.edit
	e.started, e.open = true, t.open
	e.stamp = t.clock
	e.start = t.screen.Cursor()
	// An editor may say that it reads before it shows its prompt.
	early := t.open && e.start.Col == 0 && t.openAt == e.start && t.shells.prompted()
	e.known = !early
	if t.open {
		t.openLast = t.openAt == e.start
	}
	e.before = left(t.screen, e.start)
	t.echo.prompt = len(t.echo.raw)
	e.prompt = t.promptText(e.before)
	e.wrapped = t.wrapped(e.start.Line)
	if p, ok := t.shells.prefix(e.prompt, t.open); ok && t.open {
		// The editor was given text to begin with.
		given := len(e.prompt) - len(p)
		e.prompt = p
		e.before = e.before[:len(e.before)-given]
		e.start.Col = column(t.screen, e.start.Line, len(e.before))
		e.stamp = t.screen.Cell(e.start).Stamp
		t.echo.given = len(p)
	}
	t.noteRight()
	if e.known {
		t.right, t.rightGap = e.right, e.rightGap
	}
}

// promptText is the prompt in what stands before the cursor on its row.
func (t *Tracker) promptText(before string) string {
	switch {
	case t.open && t.echo.skewed && !t.echo.broken:
		s, at := t.believed(false)
		return left(s, at)
	case t.shells.container != "":
		return afterBorder(before)
	case !t.open:
		return t.shells.suffix(before)
	}
	return before
}

func (t *Tracker) endEdit() {
	start := t.edit.start
	t.edit = edit{start: start}
}

// Settle tells that the terminal has been quiet for long enough that all keys so far were taken.
func (t *Tracker) Settle() {
	if !t.edit.started {
		return
	}
	if t.holds() {
		t.settleLimbo()
		t.edit.held = true
		return
	}
	if t.swallowed() {
		n, accepts := boundary(t.queue)
		if accepts && t.edit.candidate != nil {
			if t.edit.prompt == "" {
				t.edit.candidate.prompt = left(t.screen, t.screen.Cursor())
			}
			t.submit(*t.edit.candidate, n, t.screen.Cursor().Line)
		}
		if accepts && t.shells.container != "" && t.edit.known {
			// A multiplexer leaves out the modes that an editor switches off and on again in quick succession.
			if r := t.read(t.queue[:n-1], t.edit.start.Line, false); r.matched {
				t.emit(r, t.announced())
			}
		}
		t.queue = nil
		t.endEdit()
		return
	}
	n, accepts := boundary(t.queue)
	if n > 0 && !accepts {
		if t.answered {
			t.drop(n) // an interrupt ends the line in any case
		}
		return
	}
	if n > 0 {
		if t.open && t.edit.output && t.edit.known {
			// An accepting key that accepted nothing: it picked from a menu, or broke the line.
			t.resync()
		}
		return
	}
	if !t.answered && len(t.queue) > 0 {
		return
	}
	t.edit.settled = true
	if !t.edit.known && t.open {
		t.find()
	}
	if t.edit.known && len(t.queue) > 0 {
		t.resync()
	}
}

// holds tells that a bare prompt stands where the cursor is and that the kernel has a part of a line for whoever shows it:
// it echoed that part before, and gives a line to nobody until it is whole.
func (t *Tracker) holds() bool {
	if t.open || t.editor || t.edit.known && t.shells.known(t.edit.prompt, false) || t.edit.based || len(t.queue) == 0 || !t.swallowed() {
		return false
	}
	if n, _ := boundary(t.queue); n > 0 || bytes.IndexByte(t.queue, 0x04) >= 0 {
		return false
	}
	shown := string(t.replay(t.queue, cooked, false).shown)
	if strings.TrimSpace(shown) == "" {
		return false
	}
	cur := t.screen.Cursor().Line
	for l := cur; l >= t.screen.OldestLine() && l > cur-int(t.screen.Size().Rows); l-- {
		if t.screen.Cell(screen.Pos{Line: l}).Stamp >= t.edit.stamp && strings.HasPrefix(t.rowText(l), shown) {
			return true
		}
	}
	return false
}

// swallowed tells that a bare prompt stands where the cursor is, drawn after the newest accepting key: whatever is
// still in the queue was read by a program.
func (t *Tracker) swallowed() bool {
	if len(t.queue) == 0 || !t.edit.output {
		return false
	}
	newest := t.clock
	if n, _ := boundary(t.queue); n > 0 {
		newest = t.edit.enter
	}
	cur := t.screen.Cursor()
	left := left(t.screen, cur)
	if t.shells.container != "" {
		left = afterBorder(left)
	}
	if p := t.shells.suffix(left); !t.open && strings.ReplaceAll(left, p, "") == "" {
		left = p // a shell without an editor shows one for each line that it took
	}
	first := len(t.shells.prompts) == 0 && !t.open && t.edit.candidate != nil // whatever stands there is the first prompt that is seen
	if !t.shells.known(left, t.open) && (left == "" || left != t.edit.prompt && !first) {
		return false
	}
	if !t.screen.Cell(cur).Space() {
		return false // an editor's cursor at the start of its text
	}
	if cur.Col == 0 {
		return t.open && newest == t.edit.enter
	}
	if t.screen.Cell(screen.Pos{Line: cur.Line, Col: cur.Col - 1}).Stamp < newest {
		return false
	}
	return true
}

// Pending is the line that an accepting key would submit now, the echo of all keys having arrived.
func (t *Tracker) Pending() Line {
	if !t.edit.started {
		return Line{Witness: Screen, Confidence: High}
	}
	if !t.edit.known && t.open {
		t.findBehindPrompt(func(text string) bool { return t.shells.known(text, true) })
	}
	n, _ := boundary(t.queue)
	keys := t.queue
	if n > 0 {
		keys = t.queue[:n-1]
	}
	end := t.lastRow()
	r := t.read(keys, end, true)
	r.matched = r.matched && !t.more(end)
	return t.line(r)
}

// Forget tells that a program other than a shell has taken the keys so far.
func (t *Tracker) Forget() {
	t.queue, t.limbo, t.deferred = nil, nil, deferral{}
	t.endEdit()
}

// Concluded tells that a line was submitted as text and that whoever reads now waits for a new one: all keys so far are
// behind it.
func (t *Tracker) Concluded(text string) {
	if _, accepts := boundary(t.queue); accepts && t.edit.started {
		t.emit(reading{text: text, prompt: t.edit.prompt, matched: true}, t.announced())
	}
	t.Forget()
}

// Foreground tells what the node says: a shell has the terminal, whatever the screen looks like.
func (t *Tracker) Foreground(shell bool) { t.told = shell }

// Edits tells what the node says: whether the shell that reads now edits lines itself, or leaves that to the kernel.
func (t *Tracker) Edits(itself bool) { t.editor, t.kernel = itself, t.kernel && !itself }

// Prompt is the text before the line that is being edited; empty before its first key.
func (t *Tracker) Prompt() string { return t.edit.prompt }

// Editing tells whether an editor that announces itself reads now, and how often one has begun to.
func (t *Tracker) Editing() (now bool, begun int) { return t.open, t.opens }

// Shown is the line that the screen shows at a row, behind a prompt; false where the prompt is not there any more.
func (t *Tracker) Shown(row int, prompt string) (string, bool) {
	for row < t.screen.EndLine()-1 && t.screen.Wrapped(row) {
		row++
	}
	text, ok := strings.CutPrefix(t.rowText(row), strings.TrimRight(prompt, " "))
	return strings.TrimSpace(text), ok
}

// Place is the first row of the line that the cursor is in, and what stands in it up to the cursor.
func (t *Tracker) Place() (row int, before string) {
	at := t.screen.Cursor()
	return t.firstRow(at.Line), left(t.screen, at)
}

// Take returns the lines accepted since the last call.
func (t *Tracker) Take() []Line {
	l := t.lines
	t.lines = nil
	return l
}

// Close tells that nothing more will come. A line whose acceptance was not seen yet counts as accepted.
func (t *Tracker) Close() {
	t.conclude(0, true)
	t.Settle()
	t.settleLimbo()
	n, accepts := boundary(t.queue)
	if n == 0 || !accepts || !t.edit.started || t.foreign() {
		return
	}
	var r reading
	if t.edit.known {
		r = t.read(t.queue[:n-1], t.lastRow(), true)
	} else {
		r, _ = t.behindPrompt(t.rowText(t.lastRow()), t.queue)
	}
	t.queue = nil
	t.emit(r, t.announced())
}
