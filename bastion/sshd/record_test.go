package sshd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/audit/cast"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/sshd"
	"github.com/podbastion/podbastion/internal/tty"
)

// folder records into files; when told so it begins or goes on failing.
type folder struct {
	dir string

	mu     sync.Mutex
	create error
	output error
}

func (f *folder) set(create, output error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.create, f.output = create, output
}

func (f *folder) Create(id string, h cast.Header) (session.Recording, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.create != nil {
		return nil, f.create
	}
	r, err := cast.Create(filepath.Join(f.dir, id+".cast"), h)
	if err != nil {
		return nil, err
	}
	return &breakable{r, f}, nil
}

type breakable struct {
	*cast.Recorder
	f *folder
}

func (b *breakable) Output(p []byte) error {
	b.f.mu.Lock()
	err := b.f.output
	b.f.mu.Unlock()
	if err != nil {
		return err
	}
	return b.Recorder.Output(p)
}

func (b *breakable) Resize(s tty.Size) error { return b.Recorder.Resize(s) }

func recorded(t *testing.T, how string) (*bed, *ssh.Client, *folder) {
	t.Helper()
	f := &folder{dir: t.TempDir()}
	key, line := newKey(t)
	b := start(t, aliceWith(line)+strings.Replace(rolesHead, "recording: off", "recording: "+how, 1),
		func(_ *sshd.Options, o *session.Options) { o.Recordings = f })
	return b, b.login(t, "alice+web-0", ssh.PublicKeys(key)), f
}

func TestRecording(t *testing.T) {
	b, c, _ := recorded(t, "required")
	x := shell(t, c)
	x.types(t, "printf 'gr\\303\\274n\\n'\n")
	x.sees(t, "grün\r\n")
	if err := x.s.WindowChange(44, 122); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		x.types(t, "stty size\n")
		time.Sleep(20 * time.Millisecond)
		return strings.Contains(x.out.String(), "44 122\r\n")
	},
		func() string { return x.out.String() })
	x.types(t, "exit\n")
	if err := x.s.Wait(); err != nil {
		t.Fatal(err)
	}
	e := b.events.wait(t, "recording", func(e audit.Event) bool { return e.Type == audit.RecordingClose })
	data, err := os.ReadFile(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"width": 101`, `"height": 33`, "grün", `"r", "122x44"`} {
		if !strings.Contains(string(data), want) && !strings.Contains(string(data), strings.ReplaceAll(want, ": ", ":")) && !strings.Contains(string(data), strings.ReplaceAll(want, ", ", ",")) {
			t.Errorf("no %s in %s", want, data)
		}
	}
	if e.SHA256 == "" || *e.Bytes != int64(len(data)) {
		t.Errorf("event %+v for %d bytes", e, len(data))
	}
}

func TestRecordingFails(t *testing.T) {
	full := errors.New("no space left on device")
	b, c, f := recorded(t, "required")
	f.set(full, nil)
	if _, errOut, exit := run(t, c, "echo in", ""); exit != 255 || !strings.Contains(errOut, "cannot be recorded as your role requires") {
		t.Errorf("begun without a recording: %q %d", errOut, exit)
	}
	b.events.wait(t, "reason", func(e audit.Event) bool {
		return e.Type == audit.SessionReject && strings.Contains(e.Reason, full.Error())
	})
	f.set(nil, full)
	if out, errOut, exit := run(t, c, "echo in; sleep 100", ""); out != "" || exit != 255 || !strings.Contains(errOut, "cannot be recorded any more") {
		t.Errorf("went on without a recording: %q %q %d", out, errOut, exit)
	}
	b, c, f = recorded(t, "on")
	f.set(full, nil)
	if out, _, exit := run(t, c, "echo in", ""); out != "in\n" || exit != 0 {
		t.Errorf("on, no recording: %q %d", out, exit)
	}
	f.set(nil, full)
	if out, _, exit := run(t, c, "echo in", ""); out != "in\n" || exit != 0 {
		t.Errorf("on, breaking: %q %d", out, exit)
	}
	b.events.mu.Lock()
	b.events.fail = full
	b.events.mu.Unlock()
	if out, _, exit := run(t, c, "echo in", ""); out != "in\n" || exit != 0 {
		t.Errorf("on, no audit: %q %d", out, exit)
	}
}

func TestAuditRequired(t *testing.T) {
	b, c, _ := recorded(t, "required")
	b.events.mu.Lock()
	b.events.fail = errors.New("no space left on device")
	b.events.mu.Unlock()
	if out, errOut, exit := run(t, c, "echo in", ""); out != "" || exit != 255 || !strings.Contains(errOut, "cannot be remembered as your role requires") {
		t.Errorf("%q %q %d", out, errOut, exit)
	}
}
