package gate

import (
	"bytes"
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

type tape struct {
	out     bytes.Buffer
	reports []Report
}

func (r *tape) Output(p []byte)   { r.out.Write(p) }
func (r *tape) Report(rep Report) { r.reports = append(r.reports, rep) }

func fixed(shell Shell) *Gate {
	return &Gate{shell: shell, path: "/bin/" + string(shell), nonce: "00ff"}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name, in, out string
		want          []Report
	}{
		{"none", "ls\r\n\x1b[31mred\x1b[0m", "ls\r\n\x1b[31mred\x1b[0m", nil},
		{"line", "a\x1b]7770;00ff;l;3;accept\x1fls\\ -l\x1f$'a\\nb'\ab", "ab",
			[]Report{{Kind: Line, Count: 3, Function: "accept", Text: "ls -l", Expanded: "a\nb"}}},
		{"prompt", "\x1b]7770;00ff;p;3;127\x1f/tmp\x1f''\a$ ", "$ ", []Report{{Kind: Prompt, Count: 3, Status: 127, Directory: "/tmp"}}},
		{"wrong nonce", "\x1b]7770;00fe;l;3;accept\x1fls\x1fls\a", "", []Report{{}}},
		{"no nonce", "\x1b]7770;;l;3;accept\x1fls\x1fls\a", "", []Report{{}}},
		{"too short", "\x1b]7770;\a", "", []Report{{}}},
		{"unknown kind", "\x1b]7770;00ff;x;3;accept\x1fls\x1fls\a", "", []Report{{}}},
		{"open quote", "\x1b]7770;00ff;l;3;accept\x1f$'ls\x1fls\a", "", []Report{{}}},
		{"unterminated", "\x1b]7770;00ff;l;3;acc\r\nls\a", "\r\nls\a", []Report{{}}},
		{"broken by a sequence", "\x1b]7770;00ff;l\x1b]7770;00ff;p;0;0\x1f/\x1f''\a", "", []Report{{}, {Kind: Prompt, Directory: "/"}}},
		{"other OSC", "\x1b]777;x\a\x1b]0;title\a", "\x1b]777;x\a\x1b]0;title\a", nil},
		{"escape twice", "\x1b\x1b]7770;00ff;p;0;0\x1f/\x1f''\a", "\x1b", []Report{{Kind: Prompt, Directory: "/"}}},
		{"prefix at the end", "x\x1b]777", "x", nil},
	} {
		whole, bytewise := &tape{}, &tape{}
		fixed(Bash).Filter().Write([]byte(c.in), whole)
		if whole.out.String() != c.out || !reflect.DeepEqual(whole.reports, c.want) {
			t.Errorf("%s: output %q, reports %+v", c.name, whole.out.String(), whole.reports)
		}
		f := fixed(Bash).Filter()
		for i := range c.in {
			f.Write([]byte(c.in[i:i+1]), bytewise)
		}
		if bytewise.out.String() != c.out || !reflect.DeepEqual(bytewise.reports, c.want) {
			t.Errorf("%s, byte by byte: output %q, reports %+v", c.name, bytewise.out.String(), bytewise.reports)
		}
	}
}

func TestFilterIsBounded(t *testing.T) {
	f, to := fixed(Bash).Filter(), &tape{}
	f.Write([]byte("\x1b]7770;00ff;l;1;accept\x1f"), to)
	for range 1000 {
		f.Write(bytes.Repeat([]byte("x"), 4096), to)
	}
	if len(f.body) > maxBody || cap(f.body) > 2*maxBody {
		t.Errorf("holds %d bytes", cap(f.body))
	}
	f.Write([]byte("\a"), to)
	if len(to.reports) != 1 || !to.reports[0].Truncated || to.reports[0].Count != 1 || to.out.Len() != 0 {
		t.Errorf("a long line is told as %+v, output %d bytes", to.reports[0].Kind, to.out.Len())
	}
}

// What the shells quote comes back: every byte, through the real printf of each.
func TestUnquote(t *testing.T) {
	var all []byte
	for b := 1; b < 256; b++ {
		all = append(all, byte(b))
	}
	for _, text := range []string{"", " ", "ls -l", "~", "#x", "a'b", `a"b\c`, "a\nb", "ü €", "\xff\xfe", string(all), "=ls", "{a,b}", "-n", "a=~b"} {
		out, err := exec.Command("/bin/bash", "-c", `LC_ALL=C printf %q "$1"`, "x", text).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := fixed(Bash).unquote(string(out))
		if err != nil || got != text {
			t.Errorf("%q quoted as %q came back as %q, %v", text, out, got, err)
		}
		for _, b := range out {
			if b < 0x20 || b >= 0x7f {
				t.Errorf("%q quoted as %q is not printable", text, out)
			}
		}
	}
}

// Whatever the bytes and however they are cut: nothing but whole sequences leaves the stream, and only the nonce makes
// a report that counts.
func FuzzFilter(f *testing.F) {
	f.Add([]byte("a\x1b]7770;00ff;l;3;accept\x1fls\x1fls\ab"), uint8(3))
	f.Add([]byte("\x1b]7770;00ff;p;0;0\x1f/\x1f''\a\x1b]7770;x\r"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		whole, cut := &tape{}, &tape{}
		fixed(Bash).Filter().Write(data, whole)
		filter := fixed(Bash).Filter()
		for rest := data; len(rest) > 0; {
			n := min(int(step)%7+1, len(rest))
			filter.Write(rest[:n], cut)
			rest = rest[n:]
		}
		if !bytes.Equal(whole.out.Bytes(), cut.out.Bytes()) || !reflect.DeepEqual(whole.reports, cut.reports) {
			t.Fatalf("packets matter: %q %+v, %q %+v", whole.out.Bytes(), whole.reports, cut.out.Bytes(), cut.reports)
		}
		good := 0
		for _, r := range whole.reports {
			if r.Kind != Forged {
				good++
			}
		}
		if good > strings.Count(string(data), prefix+"00ff;") {
			t.Fatalf("%d reports from %q", good, data)
		}
		// The output is the input less the sequences: put each back as a mark and it is as long as the input allows.
		if bytes.Contains(whole.out.Bytes(), []byte(prefix)) && len(whole.reports) == 0 {
			t.Fatalf("a sequence passed: %q", whole.out.Bytes())
		}
		if !subsequence(whole.out.Bytes(), data) {
			t.Fatalf("output %q is not of the input %q", whole.out.Bytes(), data)
		}
	})
}

func subsequence(part, whole []byte) bool {
	for _, b := range whole {
		if len(part) > 0 && part[0] == b {
			part = part[1:]
		}
	}
	return len(part) == 0
}

func BenchmarkFilter(b *testing.B) {
	text := []byte(strings.Repeat("drwxr-xr-x 2 root root 4096 \x1b[01;34mbin\x1b[0m\r\n", 1000))
	f, to := fixed(Bash).Filter(), &tape{}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f.Write(text, to)
		to.out.Reset()
	}
	_ = fmt.Sprint(to.out.Len())
}
