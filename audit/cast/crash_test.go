package cast

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// endless records a line every few milliseconds until it is killed, and prints which were taken.
func endless(path string) {
	r, err := Create(path, Header{})
	for i := 0; err == nil; i++ {
		if err = r.Output(fmt.Appendf(nil, "line %d\r\n", i)); err == nil {
			fmt.Println(i, time.Now().UnixNano())
			time.Sleep(5 * time.Millisecond)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// limited records into a file that may not grow beyond 4,000 bytes.
func limited(path string) {
	signal.Ignore(syscall.SIGXFSZ)
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	r, err := Create(path, Header{})
	fail(err)
	var old unix.Rlimit
	fail(unix.Getrlimit(unix.RLIMIT_FSIZE, &old))
	fail(unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4000, Max: old.Max}))
	for err == nil {
		if err = r.Output([]byte(strings.Repeat("x", 100))); err == nil {
			err = r.Err()
			time.Sleep(time.Millisecond)
		}
	}
	first := r.Err()
	fail(unix.Setrlimit(unix.RLIMIT_FSIZE, &old))
	again := r.Output([]byte("more"))
	sum, closing := r.Close()
	for _, err := range []error{err, first, again, closing} {
		if !errors.Is(err, unix.EFBIG) {
			fail(fmt.Errorf("got %w", err))
		}
	}
	fmt.Println("ok", sum.Bytes, sum.SHA256)
	os.Exit(0)
}

func startChild(t *testing.T, mode, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "AUDIT_CAST_CHILD="+path, "AUDIT_CAST_MODE="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	deadline := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { deadline.Stop() })
	return cmd, bufio.NewScanner(out)
}

func TestReadableUpToTheLastSecondAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.cast")
	cmd, out := startChild(t, "endless", path)
	taken := map[int]int64{}
	var newest int64
	for out.Scan() {
		var i int
		var at int64
		if _, err := fmt.Sscan(out.Text(), &i, &at); err != nil {
			t.Fatal(out.Text())
		}
		taken[i], newest = at, at
		if i == 500 {
			must(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait() // killed
	_, events := play(t, path)
	for i := range events {
		delete(taken, i)
		if want := fmt.Sprintf("line %d\r\n", i); events[i].data != want {
			t.Fatalf("event %d is %q", i, events[i].data)
		}
	}
	for i, at := range taken {
		if age := time.Duration(newest - at); age > time.Second {
			t.Fatalf("line %d, taken %s before the end, is lost", i, age)
		}
	}
}

func TestErrorsStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.cast")
	cmd, out := startChild(t, "limit", path)
	out.Scan()
	err := cmd.Wait()
	var size int64
	var sum string
	if _, scan := fmt.Sscanf(out.Text(), "ok %d %s", &size, &sum); err != nil || scan != nil {
		t.Fatalf("%v: %s", err, out.Text())
	}
	data, err := os.ReadFile(path)
	must(t, err)
	if int64(len(data)) != size || hexSum(data) != sum {
		t.Errorf("the file has %d bytes, the summary says %d", len(data), size)
	}
	if _, events := play(t, path); size > 4000 || strings.Trim(shown(events), "x") != "" {
		t.Errorf("%d bytes, %d events", size, len(events))
	}
}

// What an idle recorder holds, and that none of it is a goroutine.
func TestIdleRecordersAreSmall(t *testing.T) {
	const n = 500
	dir := t.TempDir()
	memory := func() uint64 {
		runtime.GC()
		runtime.GC() // the second empties pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, goroutines := memory(), runtime.NumGoroutine()
	var all []*Recorder
	for i := range n {
		r, err := Create(filepath.Join(dir, fmt.Sprint(i)), Header{})
		must(t, err)
		must(t, r.Output([]byte(strings.Repeat("x", 20_000))))
		all = append(all, r)
	}
	for _, r := range all { // until each has handed its buffer back
		for lent := true; lent; {
			r.mu.Lock()
			lent = r.buffer != nil
			r.mu.Unlock()
			time.Sleep(100 * time.Microsecond)
		}
	}
	each := (memory() - before) / n
	t.Logf("%d bytes each", each)
	if each > 2<<10 {
		t.Errorf("an idle recorder holds %d bytes", each)
	}
	if now := runtime.NumGoroutine(); now > goroutines+2 {
		t.Errorf("%d goroutines, before %d", now, goroutines)
	}
	for _, r := range all {
		if _, err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
