package log

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/audit"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("AUDIT_LOG_CHILD"); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

var noon = time.Date(2030, 6, 1, 12, 0, 0, 123456789, time.FixedZone("", 7200))

func open(t testing.TB, path string) *Log {
	t.Helper()
	l, err := Open(path, Options{Clock: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t testing.TB, l *Log, events ...audit.Event) {
	t.Helper()
	for _, e := range events {
		if err := l.Append(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// chain reads a log as a stranger would and checks numbers and hashes.
func chain(t testing.TB, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		t.Fatalf("the log ends in half a line: %q", data[max(0, len(data)-80):])
	}
	var out []map[string]any
	var prev any
	lines := bufio.NewScanner(strings.NewReader(string(data)))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e map[string]any
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("line %d: %v: %q", len(out)+1, err, lines.Text())
		}
		if e["seq"] != float64(len(out)+1) || e["v"] != 1.0 || e["prev"] != prev {
			t.Fatalf("line %d: v %v, seq %v, prev %v; the line before has %v", len(out)+1, e["v"], e["seq"], e["prev"], prev)
		}
		sum := sha256.Sum256(lines.Bytes())
		prev = hex.EncodeToString(sum[:])
		out = append(out, e)
	}
	return out
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "audit.jsonl")
	l := open(t, path)
	exit, none := 0, int64(0)
	event := audit.Event{V: 9, Seq: 9, Prev: "x", Truncated: []string{"x"}, Type: audit.SessionEnd, Session: "s1", Exit: &exit, BytesIn: &none,
		Target: &audit.Target{Cluster: "prod", Namespace: "shop", Pod: "web-1"}}
	add(t, l, event, audit.Event{Type: audit.AuthAccept, Account: "<alice>"})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := `{"v":1,"seq":1,"time":"2030-06-01T10:00:00.123456789Z","type":"session.end","session":"s1","target":{"cluster":"prod","namespace":"shop","pod":"web-1"},"exit":0,"bytesIn":0}`
	sum := sha256.Sum256([]byte(first))
	want := first + "\n" + `{"v":1,"seq":2,"time":"2030-06-01T10:00:00.123456789Z","type":"auth.accept","account":"<alice>","prev":"` + hex.EncodeToString(sum[:]) + `"}` + "\n"
	if string(data) != want {
		t.Errorf("got\n%swant\n%s", data, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestContinuesAfterReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for range 3 {
		l := open(t, path)
		add(t, l, audit.Event{Type: audit.Command}, audit.Event{Type: audit.Command})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(context.Background(), audit.Event{}); !errors.Is(err, ErrClosed) {
			t.Fatalf("after close: %v", err)
		}
	}
	if n := len(chain(t, path)); n != 6 {
		t.Errorf("%d lines", n)
	}
}

func TestTwoWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestModeIsTightened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for before, after := range map[os.FileMode]os.FileMode{0o666: 0o640, 0o604: 0o600, 0o640: 0o640} {
		if err := os.WriteFile(path, nil, before); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, before); err != nil {
			t.Fatal(err)
		}
		if err := open(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		if info, _ := os.Stat(path); info.Mode() != after {
			t.Errorf("%v became %v", before, info.Mode())
		}
	}
}

func TestConcurrentAppendersShareOneChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	var all sync.WaitGroup
	for a := range 20 {
		all.Go(func() {
			for i := range 50 {
				add(t, l, audit.Event{Type: audit.Command, Account: fmt.Sprint(a), Line: fmt.Sprint(i)})
			}
		})
	}
	all.Wait()
	next := map[string]int{}
	for _, e := range chain(t, path) {
		account := e["account"].(string)
		if e["line"] != fmt.Sprint(next[account]) {
			t.Fatalf("%s: %v, want %d", account, e["line"], next[account])
		}
		next[account]++
	}
	if len(next) != 20 || next["7"] != 50 {
		t.Errorf("%v", next)
	}
}

// What a target or a client sends must not act on the terminal of whoever reads the log, nor hide in it.
func TestControlCharacters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const nasty = "a\x1b[31m\n\r\t\x00\x7f\u009b31m\u202eevil\u2028\ufeff\U000e0041é漢😀\\"
	add(t, open(t, path), audit.Event{Type: audit.Command, Line: nasty, Path: "/tmp/\xff\xc3(", Target: &audit.Target{Pod: "p\x1b"}})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(string(data), "\n") {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2028 || r == 0xfeff || r == 0xe0041 || r == utf8.RuneError {
			t.Errorf("%U is in the log as it is", r)
		}
	}
	e := chain(t, path)[0]
	if e["line"] != nasty {
		t.Errorf("line reads back as %q", e["line"])
	}
	if e["path"] != `/tmp/\xff\xc3(` {
		t.Errorf("path reads back as %q", e["path"])
	}
	if !strings.Contains(string(data), "é漢😀") {
		t.Error("ordinary text is escaped")
	}
}

func TestLongTextsAreCutAndListed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	target := &audit.Target{Pod: strings.Repeat("p", 5000)}
	add(t, open(t, path),
		audit.Event{Type: audit.Command, Line: strings.Repeat("é", 20_000), Reason: strings.Repeat("r", 4097), Path: strings.Repeat("x", 4096), Target: target},
		audit.Event{Type: audit.Command, Address: "ab" + strings.Repeat("漢", 3000), Method: strings.Repeat("\xff", 5000)})
	events := chain(t, path)
	e := events[0]
	if got := e["line"].(string); got != strings.Repeat("é", 16_384) {
		t.Errorf("line has %d bytes", len(got))
	}
	if got := e["path"].(string); len(got) != 4096 {
		t.Errorf("path has %d bytes", len(got))
	}
	if got := fmt.Sprint(e["truncated"]); got != "[target.pod reason line]" {
		t.Errorf("truncated: %s", got)
	}
	if len(target.Pod) != 5000 {
		t.Error("the caller's target was changed")
	}
	if got := events[1]["address"].(string); got != "ab"+strings.Repeat("漢", 1364) {
		t.Errorf("address has %d bytes and ends in %q", len(got), got[len(got)-3:])
	}
}

// The worst event that can be stays under the bound that recovery relies on.
func TestLongestLine(t *testing.T) {
	full := strings.Repeat("\x01", 100_000)
	e := audit.Event{Type: audit.Type(full), Session: full, Account: full, Source: full, Target: &audit.Target{Cluster: full, Namespace: full, Pod: full, UID: full, Container: full, Node: full},
		Address: full, Method: full, Fingerprint: full, CertID: full, Client: full, Reason: full, Kind: full, Signal: full, Line: full, Verdict: full, Rule: full,
		Witness: full, Confidence: full, Directory: full, Path: full, NewPath: full, SHA256: full, Outcome: full}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	add(t, l, e)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxLine {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	add(t, open(t, path), e)
	if n := len(chain(t, path)); n != 2 {
		t.Errorf("%d lines", n)
	}
}

func TestAppendHeedsItsContext(t *testing.T) {
	l := newLog("x", time.Now) // with no writer: nothing is ever answered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Append(ctx, audit.Event{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
