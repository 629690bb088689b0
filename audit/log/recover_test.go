package log

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/audit"
)

// made returns a good log of n events.
func made(t *testing.T, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	for range n {
		add(t, l, audit.Event{Type: audit.Command, Line: "ls"})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestUnfinishedEndIsMovedAside(t *testing.T) {
	good := made(t, 3)
	second := bytes.IndexByte(good, '\n') + 1
	tests := []struct {
		name   string
		data   []byte
		keep   int // lines
		aside  []byte
		repair bool
	}{
		{"whole", good, 3, nil, false},
		{"empty", nil, 0, nil, false},
		{"half a line", append(bytes.Clone(good), `{"v":1,"se`...), 3, []byte(`{"v":1,"se`), true},
		{"one byte missing", good[:len(good)-1], 2, nil, true},
		{"only half of the first line", good[:20], 0, good[:20], true},
		{"one byte", good[:1], 0, good[:1], true},
		{"blocks that were never filled", append(bytes.Clone(good), make([]byte, 5000)...), 3, make([]byte, 5000), true},
		{"nothing but such blocks", make([]byte, 4096), 0, make([]byte, 4096), true},
		{"zeros, then the end of a line", append(append(bytes.Clone(good), make([]byte, 100)...), "x\"}\n"...), 3, append(make([]byte, 100), "x\"}\n"...), true},
		{"a line of the middle is gone", append(bytes.Clone(good[:second]), good[bytes.LastIndexByte(good[:len(good)-1], '\n')+1:]...), 1, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.jsonl")
			if err := os.WriteFile(path, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			add(t, open(t, path), audit.Event{Type: audit.SessionStart})
			events := chain(t, path)
			want := tt.keep + 1
			if tt.repair {
				want++
			}
			if len(events) != want {
				t.Fatalf("%d events, want %d", len(events), want)
			}
			beside, err := filepath.Glob(path + ".unfinished-*")
			if err != nil || (len(beside) == 1) != tt.repair {
				t.Fatalf("beside the log: %v, %v", beside, err)
			}
			if !tt.repair {
				return
			}
			kept, err := os.ReadFile(beside[0])
			if err != nil || tt.aside != nil && !bytes.Equal(kept, tt.aside) {
				t.Fatalf("moved aside %q, %v", kept, err)
			}
			sum := sha256.Sum256(kept)
			if e := events[tt.keep]; e["type"] != "log.repair" || e["path"] != beside[0] || e["bytes"] != float64(len(kept)) || e["sha256"] != hex.EncodeToString(sum[:]) {
				t.Errorf("event %v", e)
			}
			data, err := os.ReadFile(path)
			if err != nil || !bytes.HasPrefix(data, good[:min(len(good), len(tt.data)-len(kept))]) {
				t.Errorf("the good part changed: %v", err)
			}
		})
	}
}

// Only the end is looked at, however long the log is.
func TestRepairOfALongLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	for range 250 { // of some 32 KiB
		add(t, l, audit.Event{Type: audit.Command, Line: strings.Repeat("x", 32_000)})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() <= window {
		t.Fatalf("the log must be longer than the window: %d, %v", info.Size(), err)
	}
	if _, err := f.WriteString("{half"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	add(t, open(t, path), audit.Event{Type: audit.SessionStart})
	events := chain(t, path)
	if len(events) != 252 || events[250]["type"] != "log.repair" {
		t.Errorf("%d events", len(events))
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	for name, text := range map[string]string{
		"text": "hello\n", "text without an end": "hello", "JSON of another kind": "{\"v\":2,\"seq\":1}\n", "chain that begins with a prev": `{"v":1,"seq":1,"prev":"00"}` + "\n",
		"one endless line": strings.Repeat("x", window+10),
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); err == nil {
			t.Errorf("%s: taken", name)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("%s: changed", name)
		}
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("a directory was taken")
	}
	if _, err := Open("/dev/null", Options{}); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("a device: %v", err)
	}
}

func FuzzRecover(f *testing.F) {
	f.Add([]byte(`{"v":1,"seq":1}`+"\n"), 3)
	f.Add([]byte("{\"v\":1,\"seq\":1,\"prev\":\"\"}\n{\"v\":1,\"seq\":2}\n\x00"), 0)
	f.Fuzz(func(t *testing.T, tail []byte, _ int) {
		good, last, ok := lastGood(tail, true)
		switch {
		case good < 0 || good > len(tail):
			t.Fatalf("%d of %d bytes are good", good, len(tail))
		case good > 0 && tail[good-1] != '\n':
			t.Fatal("the good part does not end with a line")
		case good > 0 && (!ok || last.sum == ""):
			t.Fatal("good lines without a sum")
		}
		// What was kept is good again, to the same end.
		if again, l, ok2 := lastGood(tail[:good], true); ok && (again != good || l != last || !ok2) {
			t.Fatalf("a second look keeps %d of %d", again, good)
		}
	})
}
