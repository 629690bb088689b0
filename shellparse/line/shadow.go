package line

import "github.com/podbastion/podbastion/shellparse/screen"

// A shadow is the screen as readline believes it to be. Readline takes it that its prompt begins in the first column; after
// output that ended without a new line it does not, and everything that readline draws later is out of place. The shadow
// gets the same bytes from the prompt on, in the place that readline thinks they go to.
type shadow struct {
	screen *screen.Screen
	start  screen.Pos
}

// castShadow begins a shadow when an editor announces itself in the middle of a row.
func (t *Tracker) castShadow() {
	t.shadow = nil
	if t.openBy != modeBracketedPaste || t.screen.Alt() || t.screen.Cursor().Col == 0 || t.edit.open {
		return
	}
	t.shadow = &shadow{screen: screen.New(t.screen.Size(), screen.Options{})}
	t.shadow.screen.SetStamp(t.clock)
	t.output = t.output[len(t.output)-t.screen.Rest():]
}

// syncShadow brings the shadow up to the byte that a hook is told of.
func (t *Tracker) syncShadow() {
	if t.shadow == nil {
		return
	}
	n := len(t.output) - t.screen.Rest()
	_, _ = t.shadow.screen.Write(t.output[:n]) // never fails
	t.output = t.output[n:]
}

func (s *shadow) catchUp(p []byte) {
	if s != nil {
		_, _ = s.screen.Write(p) // never fails
	}
}

// readShadow reads the line as readline believes to have drawn it, if that is not where it is.
func (t *Tracker) readShadow(keys []byte, pending bool) (reading, bool) {
	s := t.shadow
	if s == nil || !t.edit.known {
		return reading{}, false
	}
	real, e := t.screen, t.edit
	defer func() { t.screen, t.edit, t.shadow = real, e, s }()
	t.screen, t.shadow = s.screen, nil
	t.edit.start = s.start
	t.edit.before = left(t.screen, s.start)
	t.edit.wrapped = t.wrapped(s.start.Line)
	end := t.lastRow()
	if !pending && t.screen.Cursor().Col == 0 && t.screen.Used(end) == 0 && end > s.start.Line {
		end--
	}
	return t.read(keys, end, pending), true
}
