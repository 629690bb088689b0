package line

import "fmt"

func (t *Tracker) Debug() string {
	return fmt.Sprintf("open=%v q=%q limbo=%q edit={st=%v kn=%v %v p=%q b=%q based=%v %q@%d lost=%v dist=%v right=%q} kind=%d ext=%v last=%q", t.open, t.queue, t.limbo, t.edit.started, t.edit.known, t.edit.start, t.edit.prompt, t.edit.before, t.edit.based, string(t.edit.base.text), t.edit.base.pos, t.edit.lost, t.edit.disturbed, t.edit.right, t.kind, t.external, t.shells.last)
}
