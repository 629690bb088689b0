package line

import (
	"fmt"

	"github.com/podbastion/podbastion/shellparse/screen"
)

// echo is what an editor has written since it announced itself: its prompt and what it drew of the line. Readline reckons
// where everything is from what it believes of its prompt, and is wrong when output without a new line stands before it,
// or when the prompt's colours are not marked as taking no room. What was written, replayed on a screen where that belief
// holds, shows the line as readline has it.
type echo struct {
	raw    []byte
	prompt int  // how much of it is the prompt
	given  int  // where the line begins on the prompt's row, in bytes, when the editor was given text to begin with
	skewed bool // the prompt did not begin in the first column
	broken bool // more was written than is kept, or the size changed
}

// maxEcho bounds what is kept of an editor's output.
const maxEcho = 16 << 10

// hear begins to keep what the editor writes, from the byte after the sequence that a hook is told of.
func (t *Tracker) hear() {
	t.echo = echo{
		skewed: t.openBy == modeBracketedPaste && t.screen.Cursor().Col > 0,
		broken: t.openBy != modeBracketedPaste || t.screen.Alt() || t.edit.started && t.edit.open,
	}
	t.output = t.output[len(t.output)-t.screen.Rest():]
}

// heard takes the output up to the byte that a hook is told of.
func (t *Tracker) heard() {
	n := len(t.output) - t.screen.Rest()
	t.echo.add(t.output[:n])
	t.output = t.output[n:]
}

func (e *echo) add(p []byte) {
	if e.broken || len(e.raw)+len(p) > maxEcho {
		*e = echo{broken: true}
		return
	}
	e.raw = append(e.raw, p...)
}

// believed makes the screen that readline believes in, and tells where the line begins there. With counted, the escape
// sequences in the prompt take room.
func (t *Tracker) believed(counted bool) (*screen.Screen, screen.Pos) {
	s := screen.New(t.screen.Size(), screen.Options{})
	prompt := append([]byte(nil), t.echo.raw[:t.echo.prompt]...)
	if counted {
		for i, b := range prompt {
			if b == 0x1b || b == 0x07 {
				prompt[i] = '?'
			}
		}
	}
	_, _ = s.Write(prompt) // never fails
	start := s.Cursor()
	if t.echo.given > 0 {
		start.Col = column(s, start.Line, t.echo.given)
	}
	_, _ = s.Write(t.echo.raw[t.echo.prompt:])
	return s, start
}

// onBelieved calls f with the screen that readline believes in put in the place of the real one.
func (t *Tracker) onBelieved(counted bool, f func()) {
	s, start := t.believed(counted)
	t.onScreen(s, start, f)
}

// onScreen calls f with another screen put in the place of the real one, on which the line begins at start.
func (t *Tracker) onScreen(s *screen.Screen, start screen.Pos, f func()) {
	real, at, before, wrapped, stamp := t.screen, t.edit.start, t.edit.before, t.edit.wrapped, t.edit.stamp
	t.screen, t.edit.start = s, start
	t.edit.before = left(t.screen, t.edit.start)
	t.edit.wrapped = t.wrapped(t.edit.start.Line)
	t.edit.stamp = 0
	f()
	t.screen, t.edit.start, t.edit.before, t.edit.wrapped, t.edit.stamp = real, at, before, wrapped, stamp
}

// echoed tells that a screen shows what the kernel's echo leaves of the keys. It knows bytes and not columns, and does not
// go back to the row above.
func (t *Tracker) echoed(m *model, seen string) bool {
	if m.kind != cooked || !m.again || !t.edit.known || len(m.echo) > maxEcho {
		return false
	}
	s := screen.New(t.screen.Size(), screen.Options{})
	start := screen.Pos{Col: t.edit.start.Col}
	_, _ = fmt.Fprintf(s, "\x1b[%dG%s", start.Col+1, m.echo) // never fails
	var text string
	t.onScreen(s, start, func() { text = t.region(start, s.Cursor().Line, noCut) })
	return text != "" && text == seen
}

// readBelieved reads the line from the screen that readline believes in.
func (t *Tracker) readBelieved(keys []byte, counted, pending bool) (r reading) {
	t.onBelieved(counted, func() {
		end := t.lastRow()
		if !pending && t.screen.Cursor().Col == 0 && t.screen.Used(end) == 0 && end > t.edit.start.Line {
			end--
		}
		r = t.readHere(keys, end, pending)
	})
	return r
}
