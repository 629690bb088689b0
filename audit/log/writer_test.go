package log

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbastion/podbastion/audit"
)

// brokenFile is a file whose calls fail on demand.
type brokenFile struct {
	mu                    sync.Mutex
	data                  []byte
	synced                int // bytes
	write, sync, truncate error
	once                  error // of the next write only
	short                 int   // how much of a failing write arrives
	syncs                 int
	gate                  chan struct{} // when set, each sync takes from it first
}

func (f *brokenFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.once; err != nil {
		f.once = nil
		return 0, err
	}
	if f.write != nil {
		f.data = append(f.data, p[:f.short]...)
		return f.short, f.write
	}
	f.data = append(f.data, p...)
	return len(p), nil
}

func (f *brokenFile) Sync() error {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.syncs++
	if f.sync == nil {
		f.synced = len(f.data)
	}
	return f.sync
}

func (f *brokenFile) Truncate(n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.truncate == nil {
		f.data = f.data[:n]
	}
	return f.truncate
}

func (f *brokenFile) Close() error { return nil }

func (f *brokenFile) fail(write, sync, truncate error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write, f.sync, f.truncate = write, sync, truncate
}

func (f *brokenFile) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Split(strings.TrimSuffix(string(f.data), "\n"), "\n")
}

func on(t *testing.T, f *brokenFile) *Log {
	t.Helper()
	l := newLog("audit.jsonl", func() time.Time { return noon })
	go (&writer{log: l, file: f}).run()
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestTroubleIsReportedAndLeavesNoHalfLine(t *testing.T) {
	disk := errors.New("disk on fire")
	for name, fail := range map[string]func(*brokenFile){
		"write":                 func(f *brokenFile) { f.fail(disk, nil, nil) },
		"sync":                  func(f *brokenFile) { f.fail(nil, disk, nil) },
		"write, and no cutting": func(f *brokenFile) { f.fail(disk, nil, disk) },
		"sync, and no cutting":  func(f *brokenFile) { f.fail(nil, disk, disk) },
	} {
		t.Run(name, func(t *testing.T) {
			f := &brokenFile{short: 7}
			l := on(t, f)
			add(t, l, audit.Event{Type: audit.Command, Line: "one"})
			fail(f)
			for range 2 {
				if err := l.Append(context.Background(), audit.Event{Type: audit.Command, Line: "lost"}); !errors.Is(err, disk) {
					t.Fatalf("got %v", err)
				}
			}
			if !errors.Is(l.Err(), disk) {
				t.Fatalf("health: %v", l.Err())
			}
			f.fail(nil, nil, nil)
			add(t, l, audit.Event{Type: audit.Command, Line: "two"})
			if err := l.Err(); err != nil {
				t.Fatalf("health afterwards: %v", err)
			}
			lines := f.lines()
			if len(lines) != 3 || !strings.Contains(lines[0], `"one"`) || !strings.Contains(lines[1], `"log.resume"`) ||
				!strings.Contains(lines[1], "2 events were refused since 2030-06-01T10:00:00Z") || !strings.Contains(lines[2], `"two"`) ||
				!strings.Contains(lines[2], lineSum([]byte(lines[1]))) || !strings.Contains(lines[2], `"seq":3,`) {
				t.Errorf("log:\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

// An event is acknowledged after the sync that made it durable, and all that wait share the next one.
func TestAppendersShareASync(t *testing.T) {
	f := &brokenFile{gate: make(chan struct{})}
	l := on(t, f)
	answers := make(chan error)
	appendOne := func(i int) {
		answers <- l.Append(context.Background(), audit.Event{Type: audit.Command, Line: fmt.Sprint(i)})
	}
	go appendOne(0)
	for len(f.lines()[0]) == 0 { // until the first is written, its sync under way
		time.Sleep(time.Millisecond)
	}
	for i := range 100 {
		go appendOne(i + 1)
	}
	for len(l.requests) < 100 {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-answers:
		t.Fatalf("answered before the sync: %v", err)
	default:
	}
	f.gate <- struct{}{}
	f.gate <- struct{}{}
	for range 101 {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	if f.syncs != 2 || len(f.lines()) != 101 {
		t.Errorf("%d syncs, %d lines", f.syncs, len(f.lines()))
	}
	close(f.gate)
}

// A batch that is larger than one write may be is written in parts.
func TestLargeBatchIsSplit(t *testing.T) {
	f := &brokenFile{}
	l := newLog("audit.jsonl", time.Now)
	w := &writer{log: l, file: f}
	var batch []*request
	for range 300 {
		e := audit.Event{Line: strings.Repeat("x", maxLineText)}
		batch = append(batch, &request{event: e, done: make(chan error, 1)})
	}
	w.settle(batch)
	for _, r := range batch {
		if err := <-r.done; err != nil {
			t.Fatal(err)
		}
	}
	if f.syncs != 5 || len(f.lines()) != 300 || w.seq != 300 {
		t.Errorf("%d syncs, %d lines", f.syncs, len(f.lines()))
	}
}

// When a part of a batch fails, the parts after it are refused too: the event that tells of it has to come first.
func TestRestOfABatchFailsWithItsBeginning(t *testing.T) {
	disk := errors.New("disk on fire")
	f := &brokenFile{once: disk}
	w := &writer{log: newLog("audit.jsonl", time.Now), file: f}
	var batch []*request
	for range 300 {
		batch = append(batch, &request{event: audit.Event{Line: strings.Repeat("x", maxLineText)}, done: make(chan error, 1)})
	}
	w.settle(batch)
	for _, r := range batch {
		if err := <-r.done; !errors.Is(err, disk) {
			t.Fatalf("got %v", err)
		}
	}
	last := &request{event: audit.Event{Line: "last"}, done: make(chan error, 1)}
	w.settle([]*request{last})
	if err := <-last.done; err != nil {
		t.Fatal(err)
	}
	if lines := f.lines(); len(lines) != 2 || !strings.Contains(lines[0], "300 events were refused") || !strings.Contains(lines[1], `"last"`) {
		t.Errorf("log:\n%s", strings.Join(lines, "\n"))
	}
}
