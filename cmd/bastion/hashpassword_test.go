package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/auth"
)

const horse = "correct horse battery staple"

// withStdin runs f with another standard input.
func withStdin(t *testing.T, in *os.File, f func()) {
	t.Helper()
	old := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = old }()
	f()
}

func piped(t *testing.T, text string) (code int, out, errOut string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(w, text) // the reader may stop early
		_ = w.Close()
	}()
	withStdin(t, r, func() { code, out, errOut = bastionRun("hash-password") })
	_ = r.Close()
	return code, out, errOut
}

func matches(t *testing.T, hash, password string) bool {
	t.Helper()
	h, err := auth.ParsePasswordHash(strings.TrimSuffix(hash, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return h.Matches(password)
}

func TestHashPasswordFromPipe(t *testing.T) {
	for _, text := range []string{horse, horse + "\n", horse + "\r\n"} {
		code, out, errOut := piped(t, text)
		if code != 0 || errOut != "" || strings.Count(out, "\n") != 1 || !matches(t, out, horse) {
			t.Errorf("%q: status %d, %s%s", text, code, out, errOut)
		}
	}
	tests := []struct{ name, text, want string }{
		{"nothing", "", "too short"},
		{"eleven characters", "abcxyzuvwrs", "too short"},
		{"two lines", horse + "\n" + horse + "\n", "more than one line"},
		{"few different", strings.Repeat("abcde", 5), "different characters"},
		{"a common word with years", "Password2026!", "common"},
		{"two common words", "qwerty123456admin", "common"},
		{"control characters", "correct\x07horse battery", "cannot be typed"},
		{"not text", "correct\xffhorse battery", "cannot be typed"},
		{"huge", strings.Repeat("correct horse", 500), "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := piped(t, tt.text)
			if code != 1 || out != "" || !strings.Contains(errOut, tt.want) {
				t.Errorf("status %d, %s%s", code, out, errOut)
			}
			if tt.text != "" && strings.Contains(errOut, strings.TrimSpace(tt.text)) {
				t.Error("the password is shown")
			}
		})
	}
	if code, _, errOut := piped(t, "тренажёр жираф"); code != 0 {
		t.Errorf("not ASCII: %d, %s", code, errOut)
	}
}

func TestHashPasswordUsage(t *testing.T) {
	if code, out, errOut := bastionRun("hash-password", horse); code != 2 || out != "" || strings.Contains(errOut, horse) {
		t.Errorf("an argument: %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := bastionRun("hash-password", "--help"); code != 0 || !strings.Contains(errOut, "argon2id") {
		t.Errorf("help: %d, %s", code, errOut)
	}
}

// prompts is where prompts are written; typed keys follow them.
type prompts struct {
	mu   sync.Mutex
	text bytes.Buffer
	on   map[string]func()
}

func (p *prompts) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	if f := p.on[string(b)]; f != nil {
		go f()
	}
	return len(b), nil
}

func (p *prompts) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// onTerminal runs hash-password on a terminal, types after each prompt once echo is off, and returns what the terminal
// showed too.
func onTerminal(t *testing.T, ctx context.Context, answers map[string]func(keyboard *os.File)) (code int, out, errOut, shown string) {
	t.Helper()
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	seen := make(chan struct{})
	go func() { defer close(seen); _, _ = io.Copy(&screen, keyboard) }() // ends with EIO
	p := &prompts{on: make(map[string]func())}
	for prompt, answer := range answers {
		p.on[prompt] = func() {
			for echoes(t, terminal) {
				time.Sleep(time.Millisecond)
			}
			answer(keyboard)
		}
	}
	var o bytes.Buffer
	withStdin(t, terminal, func() { code = program().Run(ctx, []string{"hash-password"}, &o, p) })
	if !echoes(t, terminal) {
		t.Error("the terminal is left without echo")
	}
	_, _ = keyboard.Write([]byte("\n")) // ends a read that was given up
	_ = terminal.Close()
	<-seen
	_ = keyboard.Close()
	return code, o.String(), p.String(), screen.String()
}

func types(text string) func(*os.File) {
	return func(keyboard *os.File) { _, _ = keyboard.WriteString(text + "\r") }
}

func TestHashPasswordOnATerminal(t *testing.T) {
	ctx := context.Background()
	code, out, errOut, shown := onTerminal(t, ctx, map[string]func(*os.File){"Password: ": types(horse), "The same again: ": types(horse)})
	if code != 0 || !matches(t, out, horse) || errOut != "Password: \nThe same again: \n" {
		t.Errorf("status %d, %s%s", code, out, errOut)
	}
	if strings.Contains(shown, "horse") {
		t.Errorf("the terminal shows %q", shown)
	}
	code, out, errOut, _ = onTerminal(t, ctx, map[string]func(*os.File){"Password: ": types(horse), "The same again: ": types(horse + "s")})
	if code != 1 || out != "" || !strings.Contains(errOut, "not the same") {
		t.Errorf("two passwords: status %d, %s%s", code, out, errOut)
	}
	code, _, errOut, _ = onTerminal(t, ctx, map[string]func(*os.File){"Password: ": types("short")})
	if code != 1 || !strings.Contains(errOut, "too short") || strings.Contains(errOut, "again") {
		t.Errorf("a weak one: status %d, %s", code, errOut)
	}
}

func TestHashPasswordInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	code, out, errOut, _ := onTerminal(t, ctx, map[string]func(*os.File){"Password: ": func(*os.File) { interrupt() }})
	if code != 1 || out != "" || !strings.Contains(errOut, "interrupted") {
		t.Errorf("status %d, %s%s", code, out, errOut)
	}
}
