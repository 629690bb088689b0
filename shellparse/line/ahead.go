package line

import (
	"strings"

	"github.com/podbastion/podbastion/shellparse/screen"
)

// Ahead tells that these keys, and no others, were typed for the line since the one before it, and some of them before
// the editor that reads now took the terminal: what showed them until then is no part of the line. An editor that
// announces itself has written all that stands behind the place where it did: its prompt, and the line.
func (t *Tracker) Ahead(keys []byte) {
	t.anew(keys)
	if !t.open {
		return
	}
	t.findBehindPrompt(func(text string) bool {
		if i := strings.LastIndex(text, "  "); t.fish && i >= 0 {
			text = text[i+2:] // its mark for a missing new line stands on the same row
		}
		return t.shells.expected(text)
	})
}

// Begins tells the same where the line is known to begin at a place.
func (t *Tracker) Begins(at screen.Pos, keys []byte) {
	t.anew(keys)
	e := &t.edit
	e.started, e.known, e.open, e.output, e.start = true, true, t.open, true, at
	e.before = left(t.screen, at)
	e.prompt = t.promptText(e.before)
	e.wrapped = t.wrapped(at.Line)
	t.echo.broken = true
}

// anew has keys be all of the line.
func (t *Tracker) anew(keys []byte) {
	t.Forget()
	t.queue = append([]byte(nil), keys...)
	t.edit.started, t.edit.output, t.edit.stamp = true, true, t.clock
}

// expected tells that a text is the prompt that is expected next.
func (s *shells) expected(text string) bool {
	if s.sets() {
		return false
	}
	if s.known(text, true) {
		return true
	}
	return s.moves() && similarEnd(text, s.prompts)
}
