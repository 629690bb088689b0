package cast

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/internal/tty"
)

func TestMain(m *testing.M) {
	switch path := os.Getenv("AUDIT_CAST_CHILD"); {
	case path == "":
		goleak.VerifyTestMain(m)
	case os.Getenv("AUDIT_CAST_MODE") == "limit":
		limited(path)
	default:
		endless(path)
	}
}

// event is one line of a recording as a player reads it.
type event struct {
	time float64
	code string
	data string
}

// play reads a recording as a player would.
func play(t testing.TB, path string) (header map[string]any, events []event) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(data) || !bytes.HasSuffix(data, []byte("\n")) {
		t.Fatalf("not whole lines of UTF-8: %q", data)
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		if i == 0 {
			if err := json.Unmarshal(line, &header); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var e event
		if err := json.Unmarshal(line, &[]any{&e.time, &e.code, &e.data}); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		events = append(events, e)
	}
	return header, events
}

func shown(events []event) string {
	var b strings.Builder
	for _, e := range events {
		if e.code == "o" {
			b.WriteString(e.data)
		}
	}
	return b.String()
}

func record(t testing.TB, h Header, f func(r *Recorder)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.cast")
	r, err := Create(path, h)
	if err != nil {
		t.Fatal(err)
	}
	f(r)
	if _, err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecording(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.cast")
	var at time.Duration
	r, err := create(path, Header{Size: tty.Size{Cols: 120, Rows: 40}, Time: time.Unix(1900000000, 5), Term: "xterm-256color", Shell: "/bin/bash",
		Title: "alice on web-1\x1b[2J"}, func() time.Duration { return at })
	must(t, err)
	at = 1500 * time.Microsecond
	must(t, r.Output([]byte("$ \x1b[1mls\x1b[m\r\n\t\"a\\b\"\x00\x7f")))
	at = 2 * time.Second
	must(t, r.Resize(tty.Size{Cols: 100, Rows: 30}))
	must(t, r.Marker("rm \"x\"\n"))
	at = 3723 * time.Second
	must(t, r.Output([]byte("漢😀\u009b")))
	sum, err := r.Close()
	must(t, err)
	want := `{"version":2,"width":120,"height":40,"timestamp":1900000000,"title":"alice on web-1\\x1b[2J","env":{"SHELL":"/bin/bash","TERM":"xterm-256color"}}
[0.001500, "o", "$ \u001b[1mls\u001b[m\r\n\t\"a\\b\"\u0000\u007f"]
[2.000000, "r", "100x30"]
[2.000000, "m", "rm \"x\"\\x0a"]
[3723.000000, "o", "漢😀\u009b"]
`
	data, err := os.ReadFile(path)
	must(t, err)
	if string(data) != want {
		t.Errorf("got\n%swant\n%s", data, want)
	}
	hash := sha256.Sum256([]byte(want))
	if sum != (Summary{Path: path, Bytes: int64(len(want)), SHA256: hex.EncodeToString(hash[:])}) {
		t.Errorf("summary %+v", sum)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := r.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	if err := errors.Join(r.Output([]byte("x"))); !errors.Is(err, ErrClosed) {
		t.Errorf("output after close: %v", err)
	}
}

// However the bytes are cut, no character is.
func TestCharactersAreNeverSplit(t *testing.T) {
	const text = "aé漢😀\u0301z"
	for size := 1; size <= len(text); size++ {
		path := record(t, Header{}, func(r *Recorder) {
			for p := []byte(text); len(p) > 0; {
				n := min(size, len(p))
				must(t, r.Output(p[:n]))
				must(t, r.Marker("x")) // events between do not part a character
				p = p[n:]
			}
		})
		_, events := play(t, path)
		if got := shown(events); got != text {
			t.Errorf("in pieces of %d: %q", size, got)
		}
	}
}

// Output and errors come between each other's bytes, and each has its own half of a character.
func TestCharactersOfTwoStreams(t *testing.T) {
	_, events := play(t, record(t, Header{}, func(r *Recorder) {
		must(t, r.Output([]byte("a\303")))
		must(t, r.Errors([]byte("X\342\202")))
		must(t, r.Output([]byte("\251b\360")))
		must(t, r.Errors([]byte("\254\303")))
	}))
	if got, want := shown(events), "aXéb€��"; got != want { // the last two have no end
		t.Errorf("recorded %q, want %q", got, want)
	}
}

func TestInvalidBytes(t *testing.T) {
	for _, tt := range []struct {
		pieces []string
		want   string
	}{
		{[]string{"\xff"}, "\ufffd"},
		{[]string{"a\xc3", "b"}, "a\ufffdb"},
		{[]string{"\xf0\x9f\x98"}, "\ufffd\ufffd\ufffd"}, // the end never comes
		{[]string{"\xf0\x9f", "\xf0\x9f\x98\x80"}, "\ufffd\ufffd😀"},
		{[]string{"\xe6", "\xbc", "\xa2"}, "漢"},
		{[]string{"\xed\xa0\x80"}, "\ufffd\ufffd\ufffd"}, // a surrogate
		{[]string{"\ufffd"}, "\ufffd"},                   // one that was sent
		{[]string{"", "\x80", ""}, "\ufffd"},
	} {
		path := record(t, Header{}, func(r *Recorder) {
			for _, p := range tt.pieces {
				must(t, r.Output([]byte(p)))
			}
		})
		if _, events := play(t, path); shown(events) != tt.want {
			t.Errorf("%q: %q", tt.pieces, shown(events))
		}
	}
}

func TestLargeOutput(t *testing.T) {
	text := strings.Repeat("0123456789漢\x1b[K", 20_000)
	path := record(t, Header{}, func(r *Recorder) { must(t, r.Output([]byte(text))) })
	_, events := play(t, path)
	if shown(events) != text {
		t.Error("large output differs")
	}
	for _, e := range events {
		if len(e.data) > maxEvent+utf8.UTFMax {
			t.Fatalf("an event of %d bytes", len(e.data))
		}
	}
}

func TestPlain(t *testing.T) {
	path := record(t, Header{Plain: true}, func(r *Recorder) { must(t, r.Output([]byte("a\nb\n"))) })
	header, events := play(t, path)
	if shown(events) != "a\r\nb\r\n" || header["width"] != 80.0 || header["height"] != 24.0 {
		t.Errorf("%v %q", header, shown(events))
	}
}

func TestLongLabel(t *testing.T) {
	path := record(t, Header{}, func(r *Recorder) { must(t, r.Marker(strings.Repeat("é", 2000)+"\x07")) })
	if _, events := play(t, path); events[0].data != strings.Repeat("é", 510)+"…" {
		t.Errorf("%d bytes", len(events[0].data))
	}
}

func TestPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	late := time.Date(2030, 6, 1, 23, 30, 0, 0, time.FixedZone("", -3600))
	path, err := Path(dir, late, "s-1")
	must(t, err)
	if want := filepath.Join(dir, "2030-06-02", "s-1.cast"); path != want {
		t.Errorf("%s, want %s", path, want)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, bad := range []string{"", "..", ".", "a/b", "a\x00", "a b", strings.Repeat("a", 200)} {
		if _, err := Path(dir, late, bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	r, err := Create(path, Header{})
	must(t, err)
	defer func() { _, _ = r.Close() }()
	if _, err := Create(path, Header{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another recording: %v", err)
	}
	if _, err := Create(filepath.Join(dir, "none", "x.cast"), Header{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}

// Every byte at every place among others, against the definition of a JSON string.
func TestPlainBytes(t *testing.T) {
	for at := range 20 {
		for c := range 256 {
			for _, next := range []byte{'a', 0, '"', '\\', 0x7f, 0x80, 0xff, ' ' + 1} {
				p := append(bytes.Repeat([]byte("z"), at), byte(c), next, next, 'z', 'z', 'z', 'z', 'z', 'z')
				want := 0
				for want < len(p) {
					text, err := json.Marshal(string(p[want]))
					if err != nil || len(text) != 3 && !strings.ContainsRune("<>&", rune(p[want])) || p[want] >= 0x7f {
						break
					}
					want++
				}
				if got := plainBytes(p); got != want {
					t.Fatalf("%q: %d, not %d", p, got, want)
				}
			}
		}
	}
}
