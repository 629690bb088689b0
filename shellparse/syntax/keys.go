package syntax

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What a key is bound to runs when it is pressed, before any line is submitted, or submits one: it is judged with the
// line that binds it. A key that submits whatever stands in the line then runs what no text shows.

const bindsKeys = "it binds keys to commands"

// submits knows the functions of line editors that run the line or some of it, edit it elsewhere or bind keys.
var submits = regexp.MustCompile(`(?i)accept|execut|operate|expand-line|comment|re-read|macro|newline|evaluate|edit-line|eot`)

var byNumber = regexp.MustCompile(`^(x[0-9A-Fa-f]{1,2}|[0-7]{1,3})`)

// pressed is the place of what a key runs.
func (r *runner) pressed() place {
	at := r.at
	at.via, at.certain = append(slices.Clone(at.via), r.name), false
	at.input = input{}
	at.dirs = []string{Anywhere}
	return at
}

// function is one of the editor's.
func (r *runner) function(name Word) {
	if text, ok := name.Known(); !ok || submits.MatchString(text) {
		r.foreign(InArguments, bindsKeys)
	}
}

// typed are keys that a key stands for. What they submit stands behind what the line holds then; text alone stays there
// until somebody submits it.
func (r *runner) typed(keys Word) {
	text, ok := keys.Known()
	lines, plain := typedLines(text, r.dialect == Zsh || r.dialect == Mksh)
	if ok && plain && len(lines) == 1 {
		return
	}
	r.foreign(InArguments, bindsKeys)
	for _, l := range lines {
		if strings.TrimSpace(l) != "" {
			r.code(Text(l), r.dialect, r.pressed())
		}
	}
}

// typedLines undoes the notation of keys and parts them at Enter; plain says that no other key is among them than text.
func typedLines(keys string, caret bool) (lines []string, plain bool) {
	plain = true
	var line strings.Builder
	key := func(c byte) {
		switch {
		case c == '\r' || c == '\n':
			lines = append(lines, line.String())
			line.Reset()
		case c < ' ' || c == 0x7f:
			plain = false
		default:
			line.WriteByte(c)
		}
	}
	for i := 0; i < len(keys); i++ {
		c, rest := keys[i], keys[i+1:]
		switch {
		case caret && c == '^' && rest != "":
			key(rest[0] & 0x1f)
			i++
		case c != '\\' || rest == "":
			key(c)
		case strings.HasPrefix(rest, "C-") && len(rest) > 2:
			key(rest[2] & 0x1f)
			i += 3
		case strings.HasPrefix(rest, "M-"):
			plain = false
			i += 2
		default:
			n := 1
			if letter := strings.IndexByte(`abdefnrtv`, rest[0]); letter >= 0 {
				key("\a\b\x7f\x1b\f\n\r\t\v"[letter])
			} else if digits := byNumber.FindString(rest); digits != "" {
				n = len(digits)
				value, _ := strconv.ParseUint("0"+digits, 0, 16)
				key(byte(value)) // #nosec G115 -- cut as the editor cuts it
			} else {
				key(rest[0])
			}
			i += n
		}
	}
	return append(lines, line.String()), plain
}

// bind is bash's, mksh's and fish's.
func (r *runner) bind() {
	switch r.dialect {
	case Fish:
		r.bindFish()
		return
	case Mksh:
		p := grammar{short: "lm"}.parse(r.words[1:])
		r.bindings(p, "=", func(what Word) {
			if p.has("-m") {
				r.typed(what)
			} else {
				r.function(what)
			}
		})
		return
	}
	p := grammar{short: "m:lpsvPSVXq:u:r:f:x:"}.parse(r.words[1:])
	for _, o := range p.options {
		switch o.name {
		case "-f":
			r.foreign(InArguments, bindsKeys)
		case "-x":
			text, ok := o.value.Known()
			if code, found := bound(text, ":"); ok && found && !strings.HasPrefix(code, `"`) {
				r.code(Text(code), r.dialect, r.pressed())
			} else {
				r.foreign(InArguments, bindsKeys)
			}
		}
	}
	r.bindings(p, ":", func(what Word) {
		text, _ := what.Known()
		if quote := text[:min(1, len(text))]; quote == `"` || quote == "'" {
			r.typed(Text(strings.Trim(text, quote)))
		} else {
			r.function(what)
		}
	})
}

// bindings hands on what each operand binds its key to.
func (r *runner) bindings(p parsed, separator string, to func(what Word)) {
	if !p.clear {
		r.foreign(InArguments, bindsKeys)
	}
	for _, w := range r.words[min(1+p.rest, len(r.words)):] {
		text, ok := w.Known()
		what, found := bound(text, separator)
		switch {
		case !ok || strings.HasPrefix(text, "$"): // it may include a file
			r.foreign(InArguments, bindsKeys)
		case found:
			to(Text(what))
		}
	}
}

// bound is the WHAT of KEY:WHAT, whose key may be quoted.
func bound(text, separator string) (what string, ok bool) {
	from := 0
	if strings.HasPrefix(text, `"`) {
		for from = 1; from < len(text) && text[from] != '"'; from++ {
			if text[from] == '\\' {
				from++
			}
		}
		from = min(from, len(text))
	}
	at := strings.Index(text[from:], separator)
	if at < 0 {
		return "", false
	}
	return strings.TrimSpace(text[from+at+1:]), true
}

func (r *runner) bindFish() {
	p := grammar{short: "aehkKfM:Lm:s", long: []string{"all", "erase", "function-names", "help", "key", "key-names", "list-modes", "mode=", "preset", "sets-mode=", "silent", "user"}}.parse(r.words[1:])
	if !p.clear {
		r.foreign(InArguments, bindsKeys)
	}
	if p.has("-e", "--erase") {
		return
	}
	for _, w := range r.words[min(2+p.rest, len(r.words)):] {
		if text, ok := w.Known(); ok && text == "execute" {
			r.foreign(InArguments, bindsKeys)
		}
		r.code(w, Fish, r.pressed())
	}
}

// commandline of fish, told to execute the line.
func (r *runner) commandline() {
	for _, w := range r.words[1:] {
		if text, ok := w.Known(); !ok || text == "execute" {
			r.foreign(InArguments, "it may submit the line")
		}
	}
}

// bindkey is zsh's.
func (r *runner) bindkey() {
	p := grammar{short: "evaM:lLdDANRsrpm"}.parse(r.words[1:])
	if !p.clear {
		r.foreign(InArguments, bindsKeys)
	}
	if p.has("-l", "-D", "-A", "-N", "-r", "-p") {
		return
	}
	for i := 2 + p.rest; i < len(r.words); i += 2 {
		if p.has("-s") {
			r.typed(r.words[i])
		} else {
			r.function(r.words[i])
		}
	}
}

// zle makes zsh's functions ones of its editor, and calls those.
func (r *runner) zle() {
	if len(r.words) < 2 {
		return
	}
	last := r.words[len(r.words)-1]
	switch option, ok := r.words[1].Known(); {
	case !ok:
		r.foreign(InArguments, bindsKeys)
	case option == "-N" || option == "-C" || option == "-F":
		r.runWords([]Word{last}, r.pressed())
	case option == "-U":
		r.typed(last)
	case option == "-A" && len(r.words) > 2:
		r.function(r.words[2])
	case !strings.HasPrefix(option, "-"):
		r.function(r.words[1])
	}
}
