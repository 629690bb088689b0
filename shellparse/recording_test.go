package shellparse

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// truth is what a shell itself reported of the lines that it accepted while it was recorded.
type truth struct {
	Lines []struct {
		Text     string
		Or       string // another right answer
		Optional bool   // entered, but nothing was run for it
	}
	Secrets []string
}

// readTruth reads a truth file. Bytes that are no UTF-8 are in it as U+DC80 to U+DCFF.
func readTruth(t testing.TB, name string) truth {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var v truth
	if err := json.Unmarshal(hideBytes(raw), &v); err != nil {
		t.Fatal(err)
	}
	for i := range v.Lines {
		v.Lines[i].Text, v.Lines[i].Or = showBytes(v.Lines[i].Text), showBytes(v.Lines[i].Or)
	}
	return v
}

// hideBytes puts private characters, which survive decoding, in the place of the escapes of bytes that are no UTF-8.
func hideBytes(raw []byte) []byte {
	s := string(raw)
	for b := 0x80; b <= 0xff; b++ {
		s = strings.ReplaceAll(s, `\udc`+strconv.FormatInt(int64(b), 16), string(rune(0xf000+b)))
	}
	return []byte(s)
}

// showBytes brings the bytes back.
func showBytes(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 0xf080 && r <= 0xf0ff {
			b.WriteByte(byte(r))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// physical cuts texts at line breaks, without trailing blanks and empty lines.
func physical(texts ...string) []string {
	var out []string
	for _, t := range texts {
		for l := range strings.SplitSeq(t, "\n") {
			if l = strings.TrimRight(l, " \t"); strings.TrimLeft(l, " \t") != "" {
				out = append(out, l)
			}
		}
	}
	return out
}

// right tells whether got are the lines of the truth, with what may be left out or read in two ways.
func (v truth) right(got []string) bool {
	reach := map[int]bool{0: true}
	for _, l := range v.Lines {
		next := map[int]bool{}
		for i := range reach {
			if l.Optional {
				next[i] = true
			}
			for _, alt := range []string{l.Text, l.Or} {
				p := physical(alt)
				if (len(p) > 0 || alt == l.Text) && i+len(p) <= len(got) && slices.Equal(got[i:i+len(p)], p) {
					next[i+len(p)] = true
				}
			}
		}
		reach = next
	}
	return reach[len(got)]
}

func parseFile(t testing.TB, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := Recording(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, l := range lines {
		if !l.Program && !l.Secret {
			texts = append(texts, l.Text)
		}
	}
	return physical(texts...)
}

// Recorded sessions of bash, zsh, fish, dash, busybox ash, mksh and ksh93 on real terminals, typed slowly, fast, and a
// line at a time. The truth comes from the shells.
func TestRecordedSessions(t *testing.T) {
	names, err := filepath.Glob("testdata/recorded/*.cast")
	if err != nil || len(names) < 50 {
		t.Fatalf("%d recordings: %v", len(names), err)
	}
	// What bytes alone do not tell is listed in docs/parser.md.
	undecidable := map[string]bool{"ksh93-vimode-01-burst": true}
	for _, name := range names {
		base := strings.TrimSuffix(name, ".cast")
		t.Run(filepath.Base(base), func(t *testing.T) {
			want := readTruth(t, base+".json")
			got := parseFile(t, name)
			if !want.right(got) && !undecidable[filepath.Base(base)] {
				t.Errorf("got %q\nwant %+v", got, want.Lines)
			}
			for _, s := range want.Secrets {
				if strings.Contains(strings.Join(got, "\n"), s) {
					t.Errorf("a secret shows in %q", got)
				}
			}
		})
	}
}

// A shell that is slow to take the next of the lines that were pasted has its prompt stand bare for a while. The lines are
// still for it.
func TestSlowShell(t *testing.T) {
	const in = `{"version":2,"width":80,"height":24}
[0.1,"o","\u001b[?2004h$ "]
[1.0,"i","echo a\recho b\r"]
[1.001,"o","echo a\r\n\u001b[?2004l\ra\r\n\u001b[?2004h$ "]
[1.05,"o","echo b\r\n\u001b[?2004l\rb\r\n\u001b[?2004h$ "]
`
	got, err := Recording(strings.NewReader(in))
	if err != nil || len(got) != 2 || got[1].Text != "echo b" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestRecordingRefuses(t *testing.T) {
	for _, in := range []string{"", "{}", `{"version":1,"width":80,"height":24}`, "{\"version\":2,\"width\":80,\"height\":24}\n[1,2]", "{\"version\":2}\nx"} {
		if l, err := Recording(strings.NewReader(in)); err == nil {
			t.Errorf("%q: %v", in, l)
		}
	}
}
