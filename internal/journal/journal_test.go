package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, path string) (*Journal, []string) {
	t.Helper()
	var lines []string
	j, err := Open(path, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, lines
}

func add(t *testing.T, j *Journal, text string) {
	t.Helper()
	if err := j.Append([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestHalfLineIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "file")
	j, lines := open(t, path)
	if len(lines) != 0 {
		t.Fatalf("a new file holds %q", lines)
	}
	add(t, j, "one\ntwo\n")
	add(t, j, "thr") // as a crash leaves it
	j, lines = open(t, path)
	if fmt.Sprint(lines) != "[one two]" {
		t.Fatalf("got %q", lines)
	}
	add(t, j, "three\n")
	if _, lines = open(t, path); fmt.Sprint(lines) != "[one two three]" {
		t.Errorf("got %q", lines)
	}
}

func TestLongLineIsSkipped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", maxLine*5/2)+"\nlast\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, lines := open(t, path); len(lines) == 0 || lines[len(lines)-1] != "last" || len(lines[0]) > maxLine {
		t.Errorf("got %d lines", len(lines))
	}
}

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	j, _ := open(t, path)
	line := strings.Repeat("x", 99) + "\n"
	n := 0
	for ; !j.Grown(); n++ {
		add(t, j, line)
	}
	if n*100 < small || n*100 > small+200 {
		t.Errorf("it had grown after %d bytes", n*100)
	}
	if err := j.Rewrite(func(w *bufio.Writer) { _, _ = w.WriteString("kept\n") }); err != nil {
		t.Fatal(err)
	}
	add(t, j, "new\n")
	if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, []byte("kept\nnew\n")) {
		t.Errorf("%q %v", data, err)
	}
	if _, lines := open(t, path); fmt.Sprint(lines) != "[kept new]" {
		t.Errorf("got %q", lines)
	}
}
