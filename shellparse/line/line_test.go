package line

import (
	"slices"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/internal/tty"
)

const (
	on  = "\x1b[?2004h"
	off = "\x1b[?2004l"
)

// step is one event of a session: keys when it begins with >, else output. An empty one is a pause.
func play(t *Tracker, steps ...string) []string {
	var texts []string
	for _, s := range steps {
		switch {
		case s == "":
			t.Settle()
		case s[0] == '>':
			t.Keys([]byte(s[1:]))
		default:
			t.Output([]byte(s))
		}
	}
	for _, l := range t.Take() {
		if !l.Program {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

func tracker() *Tracker { return New(tty.Size{Cols: 40, Rows: 10}, Options{}) }

// What a guard asks at the moment of Enter, before the shell has seen it.
func TestPending(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []string
		want  Line
	}{
		{"typed", []string{on + "$ ", ">ls -l", "ls -l", ""}, Line{Text: "ls -l", Witness: Screen, Confidence: High}},
		{"recalled", []string{on + "$ ", ">\x1b[A", "rm -rf /tmp/x", ""}, Line{Text: "rm -rf /tmp/x", Witness: Screen, Confidence: High}},
		{"edited in the middle", []string{on + "# ", ">rx x\x1b[D\x1b[D\x1b[D\x1b[3~m", "rx x\b\b\b\x1b[1Pm x\b\b", ""}, Line{Text: "rm x", Witness: Screen, Confidence: High}},
		{"wrapped", []string{on + "$ ", ">" + strings.Repeat("a", 50), strings.Repeat("a", 50), ""}, Line{Text: strings.Repeat("a", 50), Witness: Screen, Confidence: High}},
		{"suggested behind the cursor", []string{on + "$ ", ">ls", "ls\x1b[38;5;240m -l docs\x1b[m\x1b[8D", ""}, Line{Text: "ls", Witness: Screen, Confidence: High}},
		{"right prompt", []string{"$ \x1b[30C12:00\x1b[35D" + on, ">ls", "ls", ""}, Line{Text: "ls", Witness: Screen, Confidence: High}},
		{"found by searching", []string{on + "$ ", ">\x12de", "\r(reverse-i-search)`de': make deploy\b\b\b\b\b\b", ""}, Line{Text: "make deploy", Witness: Screen, Confidence: Low}},
		{"macro", []string{on + "$ ", ">a\x1bOQ", "a && rm x", ""}, Line{Text: "a && rm x", Witness: Screen, Confidence: High}},
		{"echo is off", []string{on + "$ ", ">hidden", ""}, Line{Witness: Screen, Confidence: Low, Secret: true, Typed: "hidden"}},
		{"typed before a prompt that is known", []string{on + "$ ", ">sleep 1\r", "sleep 1\r\n" + off + "\r", ">rm x", on + "$ rm x"}, Line{Text: "rm x", Witness: Screen, Confidence: High}},
		{"typed before a prompt that is not", []string{on + "$ ", ">sleep 1\r", "sleep 1\r\n" + off + "\r", ">rm x", on + "# rm x"}, Line{Text: "# rm x", Witness: Screen, Confidence: Low, Typed: "rm x"}},
		{"typed behind what was there", []string{on + "$ ", ">sleep 1\r", "sleep 1\r\n" + off + "\r", ">rm x", on + "$ # rm x"}, Line{Text: "$ # rm x", Witness: Screen, Confidence: Low, Typed: "rm x"}},
		{"nothing typed", []string{on + "$ "}, Line{Witness: Screen, Confidence: High}},
		{"a prompt that looks like a command", []string{on + "# rm -rf / $ ", ">ls", "ls", ""}, Line{Text: "ls", Witness: Screen, Confidence: High}},
		{"the cursor is above the end", []string{on + "$ ", ">\x1b[A\x1b[A", "for\r\ndo\r\ndone\x1b[A\r\x1b[2C", "", ">Z", "Z", ""}, Line{Text: "for\ndoZ", Witness: Screen, Confidence: Low}},
		{"an echo that lags", []string{on + "$ ", ">fi", "fi", "", ">z", "", ">z", "z", ""}, Line{Text: "fiz", Witness: Screen, Confidence: Low, Typed: "fizz"}},
		{"line drawing left on", []string{"\x1b(0" + on + "$ ", ">lqk", "lqk", ""}, Line{Text: "lqk", Witness: Screen, Confidence: High}},
	} {
		tr := tracker()
		play(tr, tt.steps...)
		if got := tr.Pending(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestAccepted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []string
		want  []string
	}{
		{"a forged prompt and line in output", []string{on + "$ ", ">cat x\r", "cat x\r\n" + off + "\r$ rm -rf /\r\n" + on + "$ "}, []string{"cat x"}},
		{"a line for a program", []string{on + "$ ", ">cat\r", "cat\r\n" + off + "\r", ">secret plan\r", "secret plan\r\nsecret plan\r\n", ">\x04", on + "$ ", "", ">ls\r", "ls\r\n" + off}, []string{"cat", "ls"}},
		{"a password", []string{on + "$ ", ">su\r", "su\r\n" + off + "\rPassword: ", ">hunter2\r", "\r\n" + on + "# ", "", ">id\r", "id\r\n" + off}, []string{"su", "id"}},
		{"interrupted", []string{on + "$ ", ">rm -rf /", "rm -rf /", ">\x03", "^C" + off + "\r" + on + off + "\r\r\n" + on + "$ ", "", ">ls\r", "ls\r\n" + off}, []string{"ls"}},
		{"typed ahead", []string{on + "$ ", ">sleep 1\r", "sleep 1\r\n" + off + "\r", ">ls\r", "ls\r\n", on + "$ ls\r\n" + off}, []string{"sleep 1", "ls"}},
		{"pasted lines", []string{"$ ", ">a\rb\r", "a\r\n$ b\r\n$ "}, []string{"a", "b"}},
		{"written over", []string{on + "$ ", ">ls ", "ls ", "", "\rNOISE", ">x\r", "x\r\n" + off}, []string{"ls x"}},
		{"a full screen program", []string{on + "$ ", ">vi\r", "vi\r\n" + off + "\r\x1b[?1049h" + on, ">irm\r\x1b:x\r", "rm", off + "\x1b[?1049l" + on + "$ ", "", ">ls\r", "ls\r\n" + off}, []string{"vi", "ls"}},
		{"nested shell", []string{on + "$ ", ">sh\r", "sh\r\n" + off + "\r# ", ">id\r", "id\r\n# "}, []string{"sh", "id"}},
		{"history reference", []string{on + "$ ", ">echo a\r", "echo a\r\n" + off + "\ra\r\n" + on + "$ ", ">!!\r", "!!\r\n" + off + "\recho a\r\na\r\n"}, []string{"echo a", "echo a"}},
		{"history reference that means nothing", []string{on + "$ ", ">!:9\r", "!:9\r\n" + off + "\rbash: :9: bad word specifier\r\n" + on + "$ "}, []string{"!:9"}},
		{"a prompt that tells the time", []string{on + "[0] 12:01 $ ", ">read x\r", "read x\r\n" + off + "\r", ">a\r", "a\r\n" + on + "[130] 12:02 $ ", "", ">ls\r", "ls\r\n" + off}, []string{"read x", "ls"}},
		{"a further line that looks like a reader", []string{on + "$ ", ">echo '\r", "echo '\r\n" + off + "\r" + on + "> ", ">dc\r", "dc\r\n" + off + "\r" + on + "> ", ">'\r", "'\r\n" + off}, []string{"echo '", "dc", "'"}},
		{"pasted with an empty line", []string{on + "$ ", ">a\r\rb\r", "a\r\n" + off + "\r", on + "$ \r\n" + off + "\r" + on + "$ b\r\n" + off}, []string{"a", "b"}},
		{"several rows under a right prompt", []string{on + "> \r\x1b[32C12:00:00\r\x1b[2C", ">if a\r", "if a\r\n\x1b[K\x1b[2C", "", ">b\r", "b\r\n" + off}, []string{"if a\nb"}},
		{"pasted into a shell without an editor, with an empty line", []string{"$ ", ">a\rb\r\rc\r", "a\r\nb\r\n\r\nc\r\n$ $ $ $ ", "", ">d\r", "d\r\n"}, []string{"a", "b", "c", "d"}},
		{"erased by the kernel over two rows", []string{"$ ", ">" + strings.Repeat("a", 45) + "\x15ls\r", strings.Repeat("a", 45) + strings.Repeat("\b \b", 45) + "ls\r\n$ "}, []string{"ls"}},
		{"a wide character erased by the kernel, a byte and a column at a time", []string{"$ ", ">a 漢字\x7f\x7f\x7fx\r", "a 漢字\b \b\b \b\b \bx\r\n$ "}, []string{"a 漢x"}},
		{"shown again by the kernel", []string{"$ ", ">ls \x12x\r", "ls ^R\r\nls x\r\n$ "}, []string{"ls x"}},
		{"a part held by the kernel", []string{"$ ", ">sleep 1\r", "sleep 1\r\n", ">a\rb", "a\r\nb", "out\r\n$ $ ", "", ">c\r", "c\r\n"}, []string{"sleep 1", "a", "bc"}},
		{"a part that a program took", []string{"$ ", ">wc\r", "wc\r\n", ">b", "b", ">\x04", "", ">\x04", "0\r\n$ ", "", ">c\r", "c\r\n"}, []string{"wc", "c"}},
		{"typed ahead, beside a right prompt", []string{"$ \x1b[33C12:00\r\x1b[2C\x1b[?1h" + on, ">a\rb c\rd\r", "a\x1b[?1l" + off + "\r\n", "$ \x1b[33C12:01\r\x1b[2C\x1b[?1h" + on + "b\bb c\x1b[?1l", off + "\r\n", "$ \x1b[33C12:01\r\x1b[2C\x1b[?1h" + on + "d\x1b[?1l", off + "\r\n"}, []string{"a", "b c", "d"}},
		{"typed before the prompt is drawn", []string{on + "\r$ \x1b[K\r\x1b[2C", ">a\r", "a\r\n" + off + on, "", ">b", "\r$ \x1b[Kb", ">\r", "\r\n" + off}, []string{"a", "b"}},
		{"recalled ahead, behind a prompt of two rows", []string{on + strings.Repeat("p", 45) + "$ ", ">a\r", "a\r\n" + off + "\r", ">\x1b[A\r", on + strings.Repeat("p", 45) + "$ a\r\n" + off}, []string{"a", "a"}},
		{"recalled with line breaks, edited above the end", []string{on + "$ ", ">\x1b[A\x1b[A", "for\r\ndo\r\ndone\x1b[A\r\x1b[2C", "", ">Z", "Z", ">\r", off + "\x1b[1B\r\r\n"}, []string{"for\ndoZ\ndone"}},
		{"no prompt, drawn anew under a list", []string{on, ">cat a", "cat a", "", ">\x1b?", "\r\na  b\r\ncat a", "", ">b\r", "b\r\n" + off}, []string{"cat ab"}},
		{"a prompt that is typed", []string{"# ", ">a\r", "a\r\n# ", ">echo # ", "echo # ", "", ">x\r", "x\r\n"}, []string{"a", "echo # x"}},
		{"cleared", []string{on + "$ ", ">l\x0cs\r", "l\x1b[H\x1b[2J$ ls\r\n" + off}, []string{"ls"}},
	} {
		if got := play(tracker(), tt.steps...); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A recording may end before a line that was typed ahead was accepted. What stands above its prompt is no part of it.
func TestClose(t *testing.T) {
	tr := tracker()
	play(tr, on+"$ ")
	got := play(tr, ">a\r", ">b\t\r", "a\r\n"+off+"\rone\r\ntwo\r\n"+on+"$ bc")
	tr.Close()
	if got = append(got, play(tr)...); !slices.Equal(got, []string{"a", "bc"}) {
		t.Errorf("%q", got)
	}
}

func TestResizeWhileTyping(t *testing.T) {
	tr := tracker()
	play(tr, on+"$ ", ">echo "+strings.Repeat("x", 60), "echo "+strings.Repeat("x", 60))
	tr.Resize(tty.Size{Cols: 25, Rows: 10})
	if got := tr.Pending().Text; got != "echo "+strings.Repeat("x", 60) {
		t.Errorf("%q", got)
	}
}

// FuzzTracker: whatever the interleaving, nothing panics, what is kept is bounded, and keys that nothing answered are
// never part of a line that is reported.
func FuzzTracker(f *testing.F) {
	f.Add([]byte("\x00ls\r\x01ls\r\n"), uint8(20))
	f.Add([]byte("\x00\x12a\r\x01\x1b[?2004h$ \x00ls\r\x01ls\r\n\x1b[?2004l"), uint8(9))
	f.Add([]byte("\x01\x1b[?1049h\x1b[?2004h\x00tmux\r\x02\x01\x1b[?2004l"), uint8(40))
	f.Add([]byte("\x01\x1b]0;x\x00\x1b[200~a\rb\x1b[201~\x02\x01\x1b[99999999999@\x1b[6n\x1b[6n"), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, cols uint8) {
		tr := New(tty.Size{Cols: uint16(cols)%60 + 1, Rows: 5}, Options{})
		mode := byte(0)
		from := 0
		feed := func(to int) {
			if p := in[from:to]; mode == 0 {
				tr.Keys(p)
			} else {
				tr.Output(p)
			}
		}
		for i, b := range in {
			if b > 2 {
				continue
			}
			feed(i)
			from = i + 1
			if b == 2 {
				tr.Settle()
				_ = tr.Pending()
				continue
			}
			mode = b
		}
		feed(len(in))
		tr.Close()
		for _, l := range tr.Take() {
			if len(l.Text) > maxText+4*64*60 || l.Secret && l.Text != "" {
				t.Fatalf("%+v", l)
			}
		}
		if len(tr.queue) > maxQueue || len(tr.limbo) > maxLimbo || len(tr.echo.raw) > maxEcho || len(tr.history) > maxHistory {
			t.Fatal("too much is kept")
		}

		// The same keys with an echo of line ends alone.
		blind := New(tty.Size{Cols: 60, Rows: 5}, Options{})
		blind.Output([]byte(on + "? "))
		for _, b := range in {
			blind.Keys([]byte{b})
			if b == '\r' || b == '\n' {
				blind.Output([]byte("\r\n" + off + "\r" + on + "? "))
				blind.Settle()
			}
		}
		blind.Close()
		for _, l := range blind.Take() {
			if strings.Trim(l.Text, "? \n") != "" {
				t.Fatalf("%q was never shown", l.Text)
			}
		}
	})
}

// Where the node says that the shell edits lines itself, a tab is no text, whatever it looks like.
func TestEdits(t *testing.T) {
	for _, itself := range []bool{false, true} {
		tr := New(tty.Size{Cols: 80, Rows: 24}, Options{})
		play(tr, "/ $ ", ">cat a", "cat a", ">\tb", "   b")
		tr.Edits(itself)
		if got := tr.Pending(); got.Completed != itself || (got.Text == "cat a\tb") == itself {
			t.Errorf("itself %v: %+v", itself, got)
		}
	}
}

// What the screen shows of a line that is being drawn may be what an unlikely editor would have made of the keys: that is told.
func TestUnlikely(t *testing.T) {
	for shown, want := range map[string]Line{
		"touch F":                            {Text: "touch F"},
		"touch F\b\b\b\b\b\b\b\x1b[K":        {Unlikely: true},
		"touch F\b\b\b\b\b\b\b\x1b[Ktouch F": {Text: "touch F"},
	} {
		tr := New(tty.Size{Cols: 80, Rows: 24}, Options{})
		play(tr, on+"$ ", ">touch F\x15\x19", shown)
		if got := tr.Pending(); got.Confidence != High || got.Text != want.Text || got.Unlikely != want.Unlikely {
			t.Errorf("%q: %+v", shown, got)
		}
	}
}

// What completion adds is known from the screen alone, and never where anything else can have been drawn by it. Its blank
// at the end shows by the cursor.
func TestCompleted(t *testing.T) {
	const bash, ash = on + "$ ", "/ $ "
	for _, tt := range []struct {
		name, prompt string
		steps        []string
		want         string
		how          string
	}{
		{"ash", ash, []string{">cat /etc/hostn", "cat /etc/hostn", ">\t", "\r/ $ cat /etc/hostname \x1b[J"}, "cat /etc/hostname ", "completed"},
		{"ash, a prompt of two rows", "\x1b[1;35m/tmp\x1b[0m\r\n$ ", []string{">cat /etc/hostn", "cat /etc/hostn", ">\t", "\r$ cat /etc/hostname \x1b[J"}, "cat /etc/hostname ", "completed"},
		{"ash, and more", ash, []string{">cat ho", "cat ho", ">\tx", "\r/ $ cat hostname \x1b[Jx"}, "cat hostname x", "completed"},
		{"ash, nothing fits", ash, []string{">cat zz", "cat zz", ">\t", "\a", ">q", "q"}, "cat zzq", "known"},
		{"ash, twice", ash, []string{">c", "c", ">\t", "\r/ $ cat \x1b[J", ">ho", "ho", ">\t", "\r/ $ cat hostname \x1b[J"}, "cat hostname ", "completed"},
		{"ash, erased again", ash, []string{">cat ho", "cat ho", ">\t\x7f\x7f", "\r/ $ cat hostname \x1b[J\b \b\b \b"}, "cat hostnam", "completed"},
		{"ash, a name of two rows", ash, []string{">cat a", "cat a", ">\t", "\r/ $ cat a\ntouch\tF\x1b[J"}, "", "unknown"},
		{"ash, a name that draws another line", ash, []string{">cat a", "cat a", ">\t", "\r/ $ cat a\r/ $ cat b\x1b[J"}, "cat b", "unknown"},
		{"ash, a name that moves up", ash, []string{">cat a", "cat a", ">\t", "\r/ $ cat a\x1b[A\x1b[B\x1b[J"}, "", "unknown"},
		{"ash, a title", ash, []string{">cat a", "cat a", ">\t", "\r/ $ cat a\x1b]0;x\a\x1b[J"}, "cat a", "unknown"},
		{"ash, home and then more", ash, []string{">cat ho", "cat ho", ">\t", "\r/ $ cat hostname \x1b[J", ">\x01x", "\r/ $ xcat hostname \x1b[J"}, "xcat hostname ", "unknown"},
		{"ash, nothing fits within a word", ash, []string{">t", "t", ">\t", "\a", ">ouch F", "ouch F"}, "touch F", "known"},
		{"kernel", ash, []string{">cat a", "cat a", ">\tb", "\tb"}, "cat a\tb", "known"},
		{"bash", bash, []string{">cat /etc/hostn", "cat /etc/hostn", ">\t", "ame "}, "cat /etc/hostname ", "completed"},
		{"bash, with a list", bash, []string{">cat h", "cat h", ">\t\t", "\aost\a\r\nhostname  hosts\r\n$ cat host", ">s", "s"}, "cat hosts", "completed"},
		{"bash, in the middle", bash, []string{">cat ho x\x1b[D\x1b[D", "cat ho x\b\b", ">\t", "\x1b[6@stname"}, "cat hostname x", "completed"},
		{"bash, not what was typed", bash, []string{">cat ho", "cat ho", ">\t", "\r$ rm ho\x1b[K"}, "rm ho", "unknown"},
	} {
		tr := New(tty.Size{Cols: 80, Rows: 24}, Options{})
		play(tr, append([]string{tt.prompt}, tt.steps...)...)
		got, how := tr.Pending(), "unknown"
		switch {
		case got.Completed && got.Confidence == Low:
			how = "completed"
		case got.Confidence == High:
			how = "known"
		}
		if tt.want != "" && got.Text != tt.want || how != tt.how {
			t.Errorf("%s: %s %+v, want %q, %s", tt.name, how, got, tt.want, tt.how)
		}
	}
}
