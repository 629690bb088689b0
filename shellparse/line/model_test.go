package line

import "testing"

// Keys and what the editors make of them, from the shells' manuals and tried out by hand.
func TestModels(t *testing.T) {
	const esc = "\x1b"
	tests := []struct {
		name string
		kind kind
		vi   bool
		keys string
		want string
		sure bool
	}{
		{"plain", readline, false, "ls -l", "ls -l", true},
		{"delete", readline, false, "lss\x7f -l\x08a", "ls -a", true},
		{"arrows", readline, false, "l -a" + esc + "[D" + esc + "[D" + esc + "OD" + "s", "ls -a", true},
		{"home, end", readline, false, "two\x01one \x05 three" + esc + "[H0 " + esc + "[F!", "0 one two three!", true},
		{"words", readline, false, "one two/three" + esc + "bX" + esc + "[1;5DY", "one two/YXthree", true},
		{"unix word", readline, false, "cat a/b c/d\x17x", "cat a/b x", true},
		{"word back", readline, false, "cat a/b" + esc + "\x7fx", "cat a/x", true},
		{"zsh word", zle, false, "cat a/b\x17x", "cat x", true},
		{"fish word", fish, false, "cat a/b\x17x", "cat a/x", true},
		{"kill", readline, false, "one two\x01\x0bthree \x19", "three one two", true},
		{"kill before", readline, false, "one two" + esc + "b\x15x", "xtwo", true},
		{"zsh kills the line", zle, false, "one two" + esc + "b\x15x", "x", true},
		{"kills join", readline, false, "a b c\x17\x17\x19", "a b c", true},
		{"yank pop", readline, false, "one\x15two\x15\x19" + esc + "y", "one", true},
		{"transpose", readline, false, "sl\x14", "ls", true},
		{"transpose with a count", readline, false, "ab world" + esc + "b" + esc + "2\x14", "abwo rld", true},
		{"a count that is not known", readline, false, "one two" + esc + "2\x17x", "one x", false},
		{"transpose words", readline, false, "one two" + esc + "t", "two one", true},
		{"case", readline, false, "one two" + esc + "b" + esc + "u", "one TWO", true},
		{"undo", readline, false, "one\x15\x1f", "one", true},
		{"count", readline, false, "a" + esc + "3x", "axxx", true},
		{"quoted", readline, false, "a\x16\x03b", "a\x03b", true},
		{"search", readline, false, "axbx\x01\x1dx\x04", "abx", true},
		{"region", readline, false, "one two\x01\x00" + esc + "f\x18\x18X", "Xone two", true},
		{"blanks", readline, false, "a    b\x02" + esc + "\\", "ab", true},
		{"completion is not known", readline, false, "ls \t", "ls \ufffd", false},
		{"history is not known", readline, false, esc + "[A", "", false},
		{"search is not known", readline, false, "\x12ls", "ls", false},
		{"paste", readline, false, "a " + pasteStart + "b\rc\x01" + pasteEnd + "d", "a b\nc\x01d", true},
		{"focus report", readline, false, "a" + esc + "[Ib", "ab", true},
		{"overwrite", zle, false, "1234" + esc + "[D" + esc + "[D" + esc + "[2~ab", "12ab", true},

		{"vi insert", readline, true, "helo" + esc + "hal", "hello", true},
		{"vi words", readline, true, "one two three" + esc + "bcwX" + esc + "0dw", "two X", true},
		{"vi find", readline, true, "a,b,c" + esc + "0f,rX;rY", "aXbYc", true},
		{"vi line", readline, true, "junk" + esc + "cc" + "ls", "ls", true},
		{"vi end", readline, true, "one two" + esc + "0eaX" + esc + "A!", "oneX two!", true},
		{"vi undo", readline, true, "one" + esc + "xu", "one", true},
		{"vi to the end", readline, true, "one two" + esc + "0wD", "one ", true},
		{"vi put", readline, true, "ab" + esc + "0xp", "ba", true},
		{"vi count", readline, true, "abcdef" + esc + "03x", "def", true},
		{"vi case", readline, true, "ab" + esc + "0~~", "AB", true},

		{"kernel", cooked, false, "lsx\x7f -l\x15ls", "ls", true},
		{"kernel word", cooked, false, "one two\x17x", "one x", true},
		{"kernel takes escapes as text", cooked, false, "a" + esc + "[D", "a" + esc + "[D", true},
		{"kernel quotes", cooked, false, "a\x16\x03b", "a\x03b", true},
		{"kernel erases bytes", cooked, false, "naïve\x7f\x7f\x7f\x7fi", "nai", true},
		{"bytes", cooked, false, "a\xffb", "a\xffb", true},
		{"busybox replaces what is no character", busybox, false, "a\xffb", "a?b", true},
	}
	for _, tt := range tests {
		m := &model{kind: tt.kind, vi: tt.vi, sure: true}
		m.run([]byte(tt.keys))
		if got := encode(m.text); got != tt.want || m.sure != tt.sure {
			t.Errorf("%s: %q gives %q, sure %v; want %q, %v", tt.name, tt.keys, got, m.sure, tt.want, tt.sure)
		}
	}
}

func TestBoundary(t *testing.T) {
	for _, tt := range []struct {
		keys    string
		n       int
		accepts bool
	}{
		{"ls", 0, false},
		{"ls\rx\r", 3, true},
		{"ls\x0f", 3, true},
		{"a\x16\rb\n", 5, true},
		{pasteStart + "a\rb" + pasteEnd + "\r", len(pasteStart) + len(pasteEnd) + 4, true},
		{pasteStart + "a\rb", 0, false},
		{"ls\x03rm\r", 3, false},
		{"\x1b[A\r", 4, true},
	} {
		if n, accepts := boundary([]byte(tt.keys)); n != tt.n || accepts != tt.accepts {
			t.Errorf("%q: %d %v, want %d %v", tt.keys, n, accepts, tt.n, tt.accepts)
		}
	}
}

func TestReplies(t *testing.T) {
	in := "a\x1b[24;80Rb\x1b[?64;1;2cc\x1b]11;rgb:0/0/0\x07d\x1bP>|x\x1b\\e\x1b[If\x1b[A"
	if got, replies := withoutReplies([]byte(in)); string(got) != "abcdef\x1b[A" || !replies {
		t.Errorf("%q", got)
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		text, shown string
		want        bool
	}{
		{"ls -l", "ls -l", true},
		{"ls -l", "ls -la", false},
		{"a\x01b", "a^Ab", true},
		{"a\tb", "a       b", true},
		{"a\x7f", "a^?", true},
		{"a\xff", "a\xff", true},
		{"a\nb", "a\nb", true},
		{"ab ", "ab", true},
		{"a b", "ab", false},
	} {
		if got := matches(decode([]byte(tt.text)), tt.shown); got != tt.want {
			t.Errorf("%q shown as %q: %v", tt.text, tt.shown, got)
		}
	}
}

// fish sets further rows in by itself: blanks that were typed there do not show apart from that.
func TestSetIn(t *testing.T) {
	m := &model{kind: fish, buffer: buffer{text: decode([]byte("for i in 1\n  ls\nend"))}}
	if !m.fits("for i in 1\nls\nend") || m.fits("for i in 1\nlsx\nend") {
		t.Error("not as it is shown")
	}
}
