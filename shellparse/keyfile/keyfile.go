// Package keyfile reads which keys submit a line, as a user's files bind them: readline's (.inputrc), and the start files
// of bash, zsh, fish, mksh and ksh. It sees what is bound in any branch of a file; functions that only show at run time it
// does not.
package keyfile

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// Binding is a key that submits a line.
type Binding struct {
	Keys  string // what the terminal sends
	Plain bool   // the line is submitted as it is shown; else it may become another one before
	// Text is what a macro types, with a line end for each line that it submits; what else it does is left out.
	Text string
	Vi   bool // only in vi's command mode
	// Special is a key of which only the running shell knows what the terminal sends for it, as of "$terminfo[kf5]": any of
	// those that Special finds.
	Special bool
	Idle    bool // it does nothing where there is no line
}

// Bounds of what is kept.
const (
	MaxKeys  = 16 // bytes of a binding's keys
	maxText  = 1 << 10
	maxBound = 256
)

// plain are the functions that submit the line which is shown.
var plain = []string{"accept-line", "accept-and-hold", "accept-line-and-down-history", "accept-and-infer-next-history", "operate-and-get-next", "execute", "newline"}

// others are those that submit another one, or open it in an editor that does.
var others = []string{"edit-and-execute-command", "vi-edit-and-execute-command", "insert-comment", "pound-insert", "vi-pound-insert", "comment", "edit-line", "magic-execute", "accept-search", "expand-or-execute"}

// File is what a shell has read when it started.
type File struct {
	Text     string
	Readline bool // it is readline's; else the shell's code
}

// Read reads what a shell, by its name, has read, in that order. It tells of the keys that submit another line than is shown
// without a file that says so, too: zsh's M-h, M-H and M-? do, unless its editor is like vi.
func Read(shell string, files []File) (out []Binding) {
	dialect, _ := syntax.DialectOf(shell)
	vi := false
	for _, f := range files {
		out = append(out, Vi(f.Text, shell)...)
		if f.Readline {
			out = append(out, Readline(f.Text)...)
		} else {
			out = append(out, Code(f.Text, dialect)...)
		}
		for _, m := range setsMode.FindAllStringSubmatch(f.Text, -1) {
			vi = m[1] == "vi" || m[1] == "v"
		}
	}
	switch {
	case dialect == syntax.Zsh && vi:
		out = append(out, Binding{Keys: "#", Vi: true})
	case dialect == syntax.Zsh:
		out = append(out, Binding{Keys: "\x1bh", Idle: true}, Binding{Keys: "\x1bH", Idle: true}, Binding{Keys: "\x1b?", Idle: true})
	}
	return out
}

// setsMode finds what makes zsh's editor like vi, or like emacs.
var setsMode = regexp.MustCompile(`\b(?:set\s+-o\s+|bindkey\s+-)(vi|v|emacs|e)\b`)

// Readline reads one of readline's files (readline(3), INITIALIZATION FILE). Conditions are taken to hold.
func Readline(text string) []Binding {
	var out []Binding
	for line := range strings.Lines(text) {
		out = add(out, readline(strings.TrimSpace(line), ":"))
	}
	return out
}

// Code reads a start file of a shell.
func Code(text string, dialect syntax.Dialect) []Binding {
	script, _ := syntax.Parse(text, dialect) // with an error there is what could be read all the same, or nothing
	if script == nil {
		return nil
	}
	r := reader{widgets: widgets(script)}
	var out []Binding
	for _, c := range script.Commands {
		words := known(c.Words)
		if len(words) == 0 {
			continue
		}
		switch {
		case words[0] == "bind" && dialect == syntax.Fish:
			out = add(out, r.fish(words[1:]))
		case words[0] == "bind":
			separator := ":"
			if dialect == syntax.Mksh {
				separator = "="
			}
			for _, w := range words[1:] {
				out = add(out, readline(w, separator))
			}
		case words[0] == "bindkey":
			for _, b := range r.zsh(words[1:]) {
				out = add(out, b)
			}
		}
	}
	return out
}

// reader knows the user's own functions that submit the line: what else they do to it is not followed.
type reader struct{ widgets []string }

// widgets are those functions, by their own names and by those that zsh's editor has for them.
func widgets(script *syntax.Script) (out []string) {
	for _, c := range script.Commands {
		words := known(c.Words)
		if c.Function != "" && len(words) > 1 && (words[0] == "zle" && slices.Contains(plain, strings.TrimPrefix(words[1], ".")) || executes(words)) {
			out = append(out, c.Function)
		}
	}
	for _, c := range script.Commands {
		if words := known(c.Words); len(words) == 4 && words[0] == "zle" && words[1] == "-N" && slices.Contains(out, words[3]) {
			out = append(out, words[2])
		}
	}
	return out
}

// executes tells of fish's `commandline -f execute`.
func executes(words []string) bool {
	return len(words) > 2 && words[0] == "commandline" && slices.Contains([]string{"-f", "--function"}, words[1]) && slices.Contains(words[2:], "execute")
}

// Vi reads whether a file, or a line, has a shell's editor take keys as vi does: in the command mode of bash's and ksh's
// v opens the line in a program that edits it, and runs it then, and # submits it as a comment, or what one holds.
func Vi(text, shell string) []Binding {
	if dialect, ok := syntax.DialectOf(shell); !ok || dialect != syntax.Bash && dialect != syntax.Mksh || !setsVi.MatchString(text) {
		return nil
	}
	return []Binding{{Keys: "v", Vi: true}, {Keys: "#", Vi: true}}
}

var setsVi = regexp.MustCompile(`\bset\s+-o\s+vi\b|\bset\s+editing-mode\s+vi\b`)

// known are the words of a command, with "" for one that only shows at run time.
func known(words []syntax.Word) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i], _ = w.Known()
	}
	return out
}

func add(out []Binding, b Binding) []Binding {
	if b.Keys == "" && !b.Special || len(b.Keys) > MaxKeys || len(b.Text) > maxText || len(out) >= maxBound {
		return out
	}
	if !slices.Contains(out, b) {
		out = append(out, b)
	}
	return out
}

// bind makes a binding of keys and a function; none where that submits nothing.
func bind(keys, function string) Binding {
	switch function = strings.ToLower(strings.TrimSpace(function)); {
	case slices.Contains(plain, function):
		return Binding{Keys: keys, Plain: true}
	case slices.Contains(others, function):
		return Binding{Keys: keys}
	}
	return Binding{}
}

// bind is bind for a shell that has functions of the user's.
func (r reader) bind(keys, function string) Binding {
	if slices.Contains(r.widgets, function) {
		return Binding{Keys: keys, Plain: true}
	}
	return bind(keys, function)
}

// moves are keys that only move the cursor.
const moves = "\x01\x02\x05\x06"

// macro makes a binding of keys and what they type; none where that submits nothing.
func macro(keys, typed string) Binding {
	if !strings.ContainsAny(typed, "\r\n\x0f") {
		return Binding{}
	}
	if len(strings.Trim(typed, moves)) == 1 {
		return Binding{Keys: keys, Plain: true}
	}
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == 0x0f:
			return '\n'
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, typed)
	return Binding{Keys: keys, Text: text}
}

// readline reads KEYS:FUNCTION, KEYS:"MACRO" and NAME:FUNCTION, with bash's separator or mksh's.
func readline(line, separator string) Binding {
	var left, right string
	if rest, quoted := strings.CutPrefix(line, `"`); quoted {
		end := closing(rest, '"')
		if end < 0 {
			return Binding{}
		}
		left = decode(rest[:end], false)
		at := strings.Index(rest[end:], separator)
		if at < 0 {
			return Binding{}
		}
		right = rest[end+at+1:]
	} else {
		name, after, ok := strings.Cut(line, separator)
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "$") {
			return Binding{}
		}
		if right = after; separator == "=" {
			left = decode(name, true)
		} else {
			left = named(strings.TrimSpace(name))
		}
	}
	right = strings.TrimSpace(right)
	if right != "" && (right[0] == '"' || right[0] == '\'') {
		end := closing(right[1:], right[0])
		if end < 0 {
			return Binding{}
		}
		return macro(left, decode(right[1:1+end], false))
	}
	if separator == "=" && strings.ContainsAny(right, "^\\") { // mksh's bind -m
		return macro(left, decode(right, true))
	}
	function, _, _ := strings.Cut(right, " ")
	return bind(left, function)
}

// closing finds the quote that ends a text.
func closing(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return -1
}

// named reads readline's names of keys: Control-t, Meta-Rubout, C-M-x, TAB.
func named(name string) string {
	control, meta := false, false
	for {
		prefix, rest, ok := strings.Cut(name, "-")
		if !ok || rest == "" {
			break
		}
		switch strings.ToLower(prefix) {
		case "control", "c", "ctrl":
			control = true
		case "meta", "m":
			meta = true
		default:
			return ""
		}
		name = rest
	}
	key := name
	switch strings.ToLower(name) {
	case "del", "rubout":
		key = "\x7f"
	case "esc", "escape":
		key = "\x1b"
	case "lfd", "newline":
		key = "\n"
	case "ret", "return":
		key = "\r"
	case "space", "spc":
		key = " "
	case "tab":
		key = "\t"
	}
	if len(key) != 1 {
		return ""
	}
	if control {
		key = string(rune(controlled(key[0])))
	}
	if meta {
		key = "\x1b" + key
	}
	return key
}

func controlled(c byte) byte {
	if c == '?' {
		return 0x7f
	}
	return c & 0x1f
}

// zsh reads the operands of bindkey (zshzle(1)).
func (r reader) zsh(words []string) []Binding {
	types := false
	for len(words) > 0 && strings.HasPrefix(words[0], "-") && len(words[0]) > 1 {
		option := words[0][1:]
		switch words = words[1:]; {
		case option == "-":
		case strings.ContainsAny(option, "lLdDANrp"):
			return nil
		case strings.HasSuffix(option, "M") && len(words) > 0:
			words = words[1:]
		}
		if types = types || strings.Contains(option, "s"); option == "-" {
			break
		}
	}
	var out []Binding
	for ; len(words) >= 2; words = words[2:] {
		keys := decode(words[0], true)
		if words[0] == "" {
			keys = special
		}
		if types {
			out = append(out, macro(keys, decode(words[1], true)).named())
		} else {
			out = append(out, r.bind(keys, strings.TrimPrefix(words[1], ".")).named())
		}
	}
	return out
}

// special stands for a key's name while it is read what that does.
const special = "a special key"

func (b Binding) named() Binding {
	if b.Special = b.Keys == special; b.Special {
		b.Keys = ""
	}
	return b
}

// Special finds a terminal's special key at the beginning of what waits, of which a part may have come before: a function
// key, Insert, a page key or the keypad's. Those that move in a line or erase in it, pastes and answers are none. It tells
// how many bytes that takes; none where there is no such key.
func Special(before, waiting []byte) int {
	if waiting[0] == 0x1b {
		return len(specialKey.Find(waiting))
	}
	if at := bytes.LastIndexByte(before, 0x1b); at >= 0 {
		sent := before[at:]
		if n := len(specialKey.Find(slices.Concat(sent, waiting[:1]))); n == len(sent)+1 {
			return 1
		}
	}
	return 0
}

// specialKey is what xterm, linux and rxvt send (ctlseqs, console_codes(4)).
var specialKey = regexp.MustCompile(`^\x1b(?:O[\d;]*[j-yMP-S]|\[(?:1;\d+)?[PQS]|\[R|\[\[[A-E]|\[(?:2|5|6|1[0-9]|2[0-9]|3[0-9])(?:;\d+)?[~^$@])`)

// specialName is a key's name since fish 4.
var specialName = regexp.MustCompile(`^(?:(?:ctrl|alt|shift|super)-)*(?:f\d+|insert|pageup|pagedown|menu|printscreen)$`)

// fish reads the operands of bind (bind(1) of fish).
func (r reader) fish(words []string) Binding {
	named := false
	for len(words) > 0 && strings.HasPrefix(words[0], "-") && len(words[0]) > 1 {
		switch option := words[0]; {
		case option == "-e" || option == "--erase":
			return Binding{}
		case option == "-k" || option == "--key":
			named = true
		case (option == "-M" || option == "-m" || option == "--mode" || option == "--sets-mode") && len(words) > 1:
			words = words[1:]
		}
		words = words[1:]
	}
	if len(words) < 2 {
		return Binding{}
	}
	keys := words[0]
	if name, ok := strings.CutPrefix(keys, "ctrl-"); ok && len(name) == 1 { // since fish 4
		keys = string(rune(controlled(name[0])))
	} else if name, ok := strings.CutPrefix(keys, "alt-"); ok && len(name) == 1 {
		keys = "\x1b" + name
	} else if named || keys == "" || specialName.MatchString(keys) {
		keys = special
	}
	what := words[1:]
	if executes(what) {
		what = []string{strings.Join(what, " ")}
	}
	for i, w := range what {
		if w == "execute" || slices.Contains(r.widgets, w) {
			return Binding{Keys: keys, Plain: i == 0}.named()
		}
		if script, _ := syntax.Parse(w, syntax.Fish); script != nil {
			for j, c := range script.Commands {
				if executes(known(c.Words)) {
					return Binding{Keys: keys, Plain: i+j == 0}.named()
				}
			}
		}
	}
	return Binding{}
}

// decode undoes the notation of keys: \C-x, \M-x, \e, octal and hexadecimal numbers; and ^X where that is one.
func decode(text string, caret bool) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		c, rest := text[i], text[i+1:]
		switch {
		case caret && c == '^' && rest != "":
			out.WriteByte(controlled(rest[0]))
			i++
		case c != '\\' || rest == "":
			out.WriteByte(c)
		default:
			i += escape(&out, rest)
		}
	}
	return out.String()
}

// escape decodes what stands behind a backslash and tells how long it is.
func escape(out *strings.Builder, text string) int {
	meta, at := false, 0
	control := false
	for len(text) > at+2 && text[at+1] == '-' && (text[at] == 'M' || text[at] == 'C') {
		meta, control = meta || text[at] == 'M', control || text[at] == 'C'
		if at += 2; text[at] != '\\' || len(text) == at+1 || (text[at+1] != 'M' && text[at+1] != 'C') {
			break
		}
		at++
	}
	if meta {
		out.WriteByte(0x1b)
	}
	if meta || control {
		c, n := text[at], 1
		if c == '\\' && len(text) > at+1 {
			c, n = simple(text[at+1:])
			n++
		}
		if control {
			c = controlled(c)
		}
		out.WriteByte(c)
		return at + n
	}
	c, n := simple(text)
	out.WriteByte(c)
	return n
}

// simple decodes a letter or number behind a backslash.
func simple(text string) (c byte, n int) {
	if at := strings.IndexByte("abdefnrtvE", text[0]); at >= 0 {
		return "\a\b\x7f\x1b\f\n\r\t\v\x1b"[at], 1
	}
	base, most := byte(8), 3
	if text[0] == 'x' {
		n, base, most = 1, 16, 3
	}
	from := n
	for n < len(text) && n < most {
		d := digit(text[n])
		if d >= base {
			break
		}
		c, n = c*base+d, n+1
	}
	if n == from {
		return text[0], 1
	}
	return c, n
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
