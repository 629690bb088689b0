package syntax

import "strconv"

// Expand takes apart what a call of an alias or a function runs. The call is a command whose program is its name. It
// fails as Parse does, and with ErrUnparsable when the code is not known. Numbers are variables that hold numbers then.
func Expand(d Definition, call *Command, dialect Dialect, numbers []string) (*Script, error) {
	if d.Code == "" || len(d.Code) > MaxText {
		return nil, ErrUnparsable
	}
	c := &collector{dialect: dialect, numbers: numbers}
	at := place{dirs: call.Dirs, moved: call.Dirs, via: append(append([]string(nil), call.Via...), d.Name)}
	c.known(&at)
	code := d.Code
	if d.Alias {
		code += " " + hole
	} else {
		at.function = d.Name
		c.parameters(call.Words[1:])
	}
	if err := c.codeAt(code, dialect, at); err != nil {
		return nil, err
	}
	if d.Alias {
		c.fill(0, call.Words[1:])
	}
	c.relyOn()
	return &c.script, c.err
}

// parameters notes what $1, $2 and $@ are.
func (c *collector) parameters(words []Word) {
	all := ""
	for i, w := range words {
		text, ok := w.Known()
		if !ok {
			return
		}
		c.value(strconv.Itoa(i+1), text)
		all += " " + text
	}
	if all != "" {
		c.value("@", all[1:])
		c.value("*", all[1:])
	}
}

// hole stands for the words that follow an alias.
const hole = "\ue900"

// fill puts words in the place of the holes of the commands from index n on.
func (c *collector) fill(n int, words []Word) {
	for i := n; i < len(c.script.Commands); i++ {
		cmd := &c.script.Commands[i]
		last := len(cmd.Words) - 1
		if last < 0 {
			continue
		}
		if t, ok := cmd.Words[last].Known(); !ok || t != hole {
			continue
		}
		if cmd.Own == last+1 {
			cmd.Own += len(words) - 1
		}
		cmd.Words = append(cmd.Words[:last:last], words...)
		cmd.Source = ""
	}
}
