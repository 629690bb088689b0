package line

import (
	"strings"

	"github.com/podbastion/podbastion/shellparse/screen"
)

// Find looks for the line behind one that was submitted as text. These keys, and no others, were typed for it, and some
// of them perhaps before who reads now took the terminal: what showed them until then is no part of the line. Without
// success all is as before.
//
// Of an editor that announces itself it is known that it has written all that stands behind the place where it did: its
// prompt, and the line. Of any other, at is where the line begins; nil where nobody knows.
func (t *Tracker) Find(submitted string, keys []byte, at *screen.Pos) (Line, bool) {
	before := *t
	t.Concluded(submitted)
	t.anew(keys)
	switch {
	case at != nil:
		t.begins(*at)
	case t.open:
		t.findBehindPrompt(func(text string) bool {
			if i := strings.LastIndex(text, "  "); t.fish && i >= 0 {
				text = text[i+2:] // its mark for a missing new line stands on the same row
			}
			return t.shells.expected(text)
		})
	}
	if l := t.Pending(); l.Confidence == High && t.edit.known {
		return l, true
	}
	*t = before
	return Line{}, false
}

func (t *Tracker) begins(at screen.Pos) {
	e := &t.edit
	e.known, e.open, e.start = true, t.open, at
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
