// Package guard stands between the keys of an interactive session and the shell. Text goes ahead at once; a key that
// could submit a line waits until the line is known, judged and remembered, one line at a time. What the user is about
// to run comes from three witnesses: the gate inside the shell (bastion/guard/gate), the screen (shellparse/line) and
// the node, which tells who reads the terminal. What programs print never turns the guard off.
//
// It owns the order of keys, verdicts and notices, and the clearing of a line that may not run. It refuses to know the
// rules: whoever composes it decides and remembers.
package guard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/keyfile"
	"github.com/podbastion/podbastion/shellparse/line"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// Witness names who saw a line.
type Witness string

const (
	Gate   Witness = "gate"
	Screen Witness = "screen"
	Exec   Witness = "exec" // the request itself, or a pipe
)

// Command is one line that is about to run.
type Command struct {
	Line      string
	Before    string // the lines that it continues, each with its end
	Shell     string // name of the shell that reads it; empty when it is not known
	Directory string // working directory; empty when it is not known
	Witness   Witness
	Sure      bool // the witnesses agree
	Unsure    bool // the text may not be what the shell gets
	Unseen    bool // something is submitted and nobody can say what; Line is empty
	// Typed is what the keys alone would give where the line is not certain. It may be a secret: it is judged, never kept.
	Typed string
}

// Verdict is what shall become of a command.
type Verdict struct {
	Action     auth.Action
	Rule       string
	Message    string // the rule's text for the user
	Reason     string // why, where no rule says it
	Sure       bool   // of what would run
	Incomplete bool   // the shell goes on reading: nothing of it runs yet
	Strays     bool   // it sets HOME or PWD
	Tampers    bool   // it may change what the gate tells
	Shell      string // with StartsShell: which one
	Replaces   bool   // what runs may take the shell's place or be a shell itself
	// StartsShell says that a shell is started that reads commands from the session.
	StartsShell bool
	Defines     []syntax.Definition
	// Numbers are variables that it gives numbers, Spoils those that may hold something else once it has run; Forgets
	// says that any may.
	Numbers, Spoils []string
	Forgets         bool
}

// State is what the node tells about the terminal at one moment.
type State struct {
	Echo, Canonical bool
	Own             bool   // the session's own shell has the terminal
	Shell           bool   // whoever has the terminal is a shell that reads commands from it
	Program         string // name of whoever has the terminal
	Busybox         bool   // which is busybox's, whose keys are what they are
	Directory       string // its working directory
	Reading         bool   // it waits for keys
	Unread          int    // bytes that nobody has read yet
	Unsure          bool   // the keys may be another's, whom the node cannot tell apart
}

// Terminal tells the state now.
type Terminal interface {
	State(ctx context.Context) (State, error)
	// Alone tells that nobody but the reader can be writing to it.
	Alone(ctx context.Context) (bool, error)
	// Keys tells which shell's line editor has the terminal, empty where none has, and with which keys the user's
	// files have that shell submit a line.
	Keys(ctx context.Context) (shell string, bound []keyfile.Binding, err error)
}

// Options composes a Guard.
type Options struct {
	Size   tty.Size
	Target io.Writer // keys to the shell
	Client io.Writer // screen to the user
	// Decide judges a command. It may take its time; the command waits for it.
	Decide func(ctx context.Context, c Command) Verdict
	// Record remembers a command and its verdict; once it returns nil that is durable. An error denies.
	Record func(ctx context.Context, c Command, v Verdict) error
	// Finished is told the exit status of the newest command that was let run. It may be nil.
	Finished func(c Command, status int)
	Terminal Terminal   // nil where no agent tells
	Gate     *gate.Gate // nil where the shell has no hook
	Shell    string     // name of the session's own shell
}

// Bounds.
const (
	maxQueue   = 3 << 20 // a large paste: an interrupt that stands beyond it waits
	maxReports = 64
	maxPending = 64 << 10 // text of lines that are continued
	maxHeard   = 4 << 10
)

// ErrNotCleared ends a session: a line that may not run could not be verified to be gone.
var ErrNotCleared = errors.New("guard: a denied line could not be cleared")

// ErrClosed is what a closed guard answers.
var ErrClosed = errors.New("guard: closed")

// Guard guards one session. FromClient and FromTarget may each be called from one goroutine, Run from another.
//
// Locks are taken in the order keys, mu; screen is taken alone.
type Guard struct {
	o      Options
	began  time.Time
	filter *gate.Filter
	wake   chan struct{} // something changed that Run may wait for
	space  chan struct{} // the queue became shorter
	done   chan struct{}
	once   sync.Once

	keys   sync.Mutex // held while something is written to Target
	screen sync.Mutex // held while something is written to Client

	mu         sync.Mutex
	tracker    *line.Tracker
	queue      []byte // keys that were not forwarded yet
	before     int    // how many keys were taken off it
	stop       int    // how many were put on it up to the last interrupt
	held       bool   // Run holds a key back from a shell: an interrupt goes ahead of it
	working    bool   // Run is at something
	interrupts int
	reports    []gate.Report
	hook       hook
	watch      watch
	outputs    int // counts pieces of output
	ends       int // counts line ends in them
	outputAt   time.Time
	keyAt      time.Time
	listens    bool      // output is kept
	heard      []byte    // the output since
	asked      time.Time // when the node was last asked

	// Run's own.
	typed     bool // text was forwarded since the last submit key
	burst     bool // more keys had come when that was released
	completes bool // a completion was asked for since
	alone     bool // and nobody else could write to the terminal each time
	previous  byte // the newest forwarded key
	bound     bound
	pressed   int    // bytes of the held key
	stacked   bool   // the next prompt may come with a line that was put aside or recalled
	coded     bool   // the line may hold code that zsh runs when it completes
	line      []byte // all keys of this line that were forwarded
	lineMark  int    // the interrupts until the first of them
	tooLong   bool   // they were not kept
	magic     int    // how much of the gate's key prefix the client has sent
	paste     int    // how much of a paste's mark was forwarded
	pasting   bool
	pasted    []byte // keys of this paste
	inserts   bool   // the shell takes line ends of this paste as text
	discard   bool   // the rest of this paste is dropped
	begins    bool   // the newest line that was let run starts a shell
	replaced  bool   // the session's own shell may have become another one
	tampered  bool   // what the gate tells may have been changed
	pending   string // lines that the next one continues, as the screen path knows them
	guessed   bool   // and one of them is not certain
	prompt    string // the prompt before the first of them
	last      Command
	owed      Verdict // of what was noticed afterwards: the user is warned with the next line
	looked    time.Time
	ran       time.Time // when a line was let run and the shell was not seen to wait since; zero otherwise
	ranEnds   int       // the line ends until then
	submitted string    // the line; empty where what was let go is none
}

// New makes a guard. Nothing happens before Run.
func New(o Options) *Guard {
	now := time.Now()
	g := &Guard{
		o: o, began: now, ran: now,
		wake: make(chan struct{}, 1), space: make(chan struct{}, 1), done: make(chan struct{}),
		tracker: line.New(o.Size, line.Options{}),
	}
	if o.Shell == "" {
		g.ran = time.Time{} // there is no prompt to wait for
	}
	if o.Gate != nil {
		g.filter = o.Gate.Filter()
		g.hook.state = starting
	}
	return g
}

// Close ends the guard: nothing more is forwarded.
func (g *Guard) Close() { g.once.Do(func() { close(g.done) }) }

// Resize follows the terminal's size. It is called before the target hears of it.
func (g *Guard) Resize(size tty.Size) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tracker.Resize(size)
	g.watch.row, _ = g.tracker.Place() // rows have other numbers now
}

// FromTarget takes the target's output: it is followed, freed of the gate's reports and passed on to the client.
func (g *Guard) FromTarget(p []byte) error {
	out := &output{guard: g}
	g.mu.Lock()
	if g.filter != nil {
		g.filter.Write(p, out)
	} else {
		out.Output(p)
	}
	g.outputs++
	g.outputAt = time.Now()
	_ = g.tracker.Take() // what was accepted is known from the keys
	g.mu.Unlock()
	g.stir()
	if len(out.clean) == 0 {
		return nil
	}
	return g.show(out.clean)
}

// output collects what of the target's output is for the client.
type output struct {
	guard *Guard
	clean []byte
}

func (o *output) Output(p []byte) {
	o.guard.draw(p)
	if h := &o.guard.heard; o.guard.listens && len(*h) < maxHeard {
		*h = append(*h, p...)
	}
	if o.clean == nil {
		o.clean = p // most output holds no report and is passed on as it is
		return
	}
	o.clean = append(o.clean[:len(o.clean):len(o.clean)], p...)
}

func (o *output) Report(r gate.Report) { o.guard.reported(r) }

func (g *Guard) show(p []byte) error {
	g.screen.Lock()
	defer g.screen.Unlock()
	_, err := g.o.Client.Write(p)
	return err
}

// FromClient takes the user's keys. It waits when too many are held back, but an interrupt never waits behind a key
// that is held back from a shell: like a terminal's own it discards what has not been read.
func (g *Guard) FromClient(p []byte) error {
	for len(p) > 0 {
		g.mu.Lock()
		i := lastInterrupt(p)
		if i >= 0 && g.held {
			g.consume(len(g.queue))
			g.interrupts++
			g.mu.Unlock()
			g.stir()
			if err := g.send(p[i : i+1]); err != nil {
				return err
			}
			p = p[i+1:]
			continue
		}
		n := max(0, min(len(p), maxQueue-len(g.queue))) // keys that were given back come on top
		if i >= n {
			i = lastInterrupt(p[:n])
		}
		if i >= 0 {
			g.stop = g.before + len(g.queue) + i + 1
		}
		g.queue = append(g.queue, p[:n]...)
		g.mu.Unlock()
		g.stir()
		if p = p[n:]; n > 0 {
			continue
		}
		select {
		case <-g.space:
		case <-g.done:
			return ErrClosed
		}
	}
	return nil
}

// Interrupted tells of an interrupt that is no key: the client asked for a signal to be sent, which takes a shell's line
// away as well.
func (g *Guard) Interrupted() {
	g.mu.Lock()
	g.interrupts++
	g.mu.Unlock()
	g.stir()
}

// lastInterrupt finds the last ^C, ^\ or ^Z.
func lastInterrupt(p []byte) int {
	return max(bytes.LastIndexByte(p, 0x03), bytes.LastIndexByte(p, 0x1c), bytes.LastIndexByte(p, 0x1a))
}

func (g *Guard) stir() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// send forwards keys.
func (g *Guard) send(p []byte) error {
	g.keys.Lock()
	defer g.keys.Unlock()
	return g.write(p, true)
}

// tell sends the gate what is no key of the user's.
func (g *Guard) tell(p []byte) error {
	g.keys.Lock()
	defer g.keys.Unlock()
	return g.write(p, false)
}

// write is called with keys locked.
func (g *Guard) write(p []byte, typed bool) error {
	select {
	case <-g.done:
		return ErrClosed
	default:
	}
	if typed {
		g.mu.Lock()
		g.tracker.Keys(p)
		g.keyAt = time.Now()
		g.mu.Unlock()
	}
	_, err := g.o.Target.Write(p)
	return err
}

// sendUnless forwards unless an interrupt came since mark: then what it is about is gone.
func (g *Guard) sendUnless(mark int, p []byte, typed bool) (sent bool, err error) {
	g.keys.Lock()
	defer g.keys.Unlock()
	g.mu.Lock()
	interrupted := g.interrupts != mark
	g.mu.Unlock()
	if interrupted {
		return false, nil
	}
	return true, g.write(p, typed)
}

// await waits until cond, called with mu locked, holds; false when the time is over first or the guard is.
func (g *Guard) await(ctx context.Context, d time.Duration, cond func() bool) bool {
	timer, tick := time.NewTimer(d), time.NewTicker(pollShort)
	defer timer.Stop()
	defer tick.Stop()
	for {
		g.mu.Lock()
		ok := cond()
		g.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-g.wake:
		case <-tick.C: // some conditions are of time
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		case <-g.done:
			return false
		}
	}
}

// Flush waits until no key is held back any more, and nothing that the gate told is undecided.
func (g *Guard) Flush(ctx context.Context) {
	for ctx.Err() == nil && !g.closed() {
		g.mu.Lock()
		empty := len(g.queue) == 0 && len(g.reports) == 0 && g.hook.awaited.IsZero() && !g.working
		g.mu.Unlock()
		if empty {
			return
		}
		select {
		case <-time.After(pollShort):
		case <-ctx.Done():
		case <-g.done:
		}
	}
}
