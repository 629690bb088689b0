package ahead_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/podbastion/podbastion/bastion/ahead"
	"github.com/podbastion/podbastion/internal/filewire"
)

// Types of requests, and flags of opens.
const (
	open, closing, read, write, fstat, setstat, fsetstat, realpath, stat, extended = 3, 4, 5, 6, 8, 9, 10, 16, 17, 200

	reads, creates = 1, 2 | 8 | 16
)

// trusted writes as many files as it takes for the next one in the folder to be promised.
func trusted(s *session, dir string) (out []string) {
	for i := range 4 {
		h := s.ask(open, fmt.Sprint(dir, i), creates, 0)
		out = append(out, s.ask(write, h, uint64(0), "x"), s.ask(closing, h))
	}
	return out
}

var trust = strings.Repeat("open write close ", 4)

// Each script is played with and without a Front: answers, events and files must be the same.
var scripts = []struct {
	name   string
	script func(s *session) []string
	asked  string // of the server, behind the beginning; empty: whatever
}{
	{"a file is read", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(0), 1000), s.ask(read, h, uint64(7), 993), s.ask(closing, h), s.ask(closing, h)}
	}, "get close close"},
	{"one after the other", func(s *session) (out []string) {
		for range 40 {
			h := s.ask(open, "d/x", reads, 0)
			out = append(out, s.ask(read, h, uint64(0), 100_000), s.ask(read, h, uint64(20<<10), 993), s.ask(closing, h))
		}
		return out
	}, strings.TrimSpace(strings.Repeat("get close ", 40))},
	{"in pieces", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(0), 3), s.ask(read, h, uint64(3), 3), s.ask(read, h, uint64(6), 3), s.ask(read, h, uint64(7), 3), s.ask(closing, h)}
	}, "get close"},
	{"a part", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(0), 3), s.ask(closing, h)}
	}, "get took close"},
	{"nothing", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(closing, h)}
	}, "get took close"},
	{"all, but not that it ends there", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(0), 7), s.ask(closing, h)}
	}, "get took close"},
	{"a part, and the rest later", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(0), 3), s.ask(fstat, h), s.ask(read, h, uint64(3), 9), s.ask(read, h, uint64(7), 9), s.ask(closing, h)}
	}, "get took fstat read read close"},
	{"from the end", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(4), 3), s.ask(read, h, uint64(0), 4), s.ask(closing, h)}
	}, "get took read read close"},
	{"again, as it grows", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		out := []string{s.ask(read, h, uint64(0), 9), s.ask(read, h, uint64(7), 9)}
		must(s.t, os.WriteFile(s.dir+"/f", []byte("contents"), 0o600))
		return append(out, s.ask(read, h, uint64(7), 9), s.ask(read, h, uint64(8), 9), s.ask(closing, h))
	}, "get took read read close"},
	{"a large one", func(s *session) []string {
		h := s.ask(open, "big", reads, 0)
		return []string{s.ask(read, h, uint64(0), 200<<10), s.ask(read, h, uint64(100<<10), 9), s.ask(closing, h)}
	}, "get read read close"},
	{"an empty one", func(s *session) []string {
		h := s.ask(open, "empty", reads, 0)
		return []string{s.ask(read, h, uint64(0), 9), s.ask(closing, h)}
	}, "get read close"},
	{"what is not there", func(s *session) []string {
		return []string{s.ask(open, "nope", reads, 0), s.ask(open, "d/nope/x", reads, 0), s.ask(open, "d", reads, 0)}
	}, "get get get"},
	{"an open that makes no sense", func(s *session) []string {
		return []string{s.ask(open, "f", reads), s.ask(open, "f"), s.ask(open, []byte{0, 0, 1, 0, 'f'}), s.ask(open, "f", reads, 4)}
	}, ""},
	{"a read and a close that make no sense", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(0)), s.ask(read, h), s.ask(closing, h, "more"), s.ask(closing, h)}
	}, ""},
	{"written meanwhile", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		w := s.ask(open, "f", 2, 0)
		out := []string{s.ask(write, w, uint64(0), "CON"), s.ask(read, h, uint64(0), 9)}
		return append(out, s.ask(closing, h), s.ask(closing, w))
	}, "get took open write read close close"},
	{"cut off meanwhile", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		out := []string{s.ask(read, h, uint64(0), 2), s.ask(setstat, "f", 1, uint64(4)), s.ask(read, h, uint64(2), 9)}
		return append(out, s.ask(read, h, uint64(4), 9), s.ask(closing, h))
	}, "get took setstat read read close"},
	{"changed by others, long after", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		time.Sleep(1100 * time.Millisecond)
		must(s.t, os.WriteFile(s.dir+"/f", []byte("others"), 0o600))
		return []string{s.ask(read, h, uint64(0), 9), s.ask(closing, h)}
	}, "get took read close"},
	{"many open at once", func(s *session) (out []string) {
		var handles []string
		for range 40 {
			handles = append(handles, s.ask(open, "f", reads, 0))
		}
		for _, h := range handles {
			out = append(out, s.ask(read, h, uint64(0), 9), s.ask(read, h, uint64(7), 9))
		}
		for _, h := range handles {
			out = append(out, s.ask(closing, h))
		}
		return out
	}, ""},
	{"left open", func(s *session) []string {
		a, b, c := s.ask(open, "f", reads, 0), s.ask(open, "d/x", reads, 0), s.ask(open, "g", reads, 0)
		return []string{s.ask(read, a, uint64(0), 9), s.ask(read, a, uint64(7), 9), s.ask(read, b, uint64(0), 32<<10), c}
	}, ""},
	{"left as soon as it is closed", func(s *session) []string {
		h := s.ask(open, "f", reads, 0)
		return []string{s.ask(read, h, uint64(0), 9), s.ask(read, h, uint64(7), 9), s.ask(closing, h)}
	}, "get close"},
	{"a file is written", func(s *session) []string {
		out := trusted(s, "d/")
		h := s.ask(open, "d/new", creates, 4, 0o640)
		return append(out, s.ask(write, h, uint64(0), "te"), s.ask(write, h, uint64(2), "xt"), s.ask(closing, h), s.ask(closing, h), s.ask(write, h, uint64(0), "x"))
	}, trust + "put close write"},
	{"as OpenSSH does it", func(s *session) []string {
		out := trusted(s, "")
		for _, name := range []string{"g", "big", "d/x", "new"} {
			h := s.ask(open, name, 2|8, 4, 0o640)
			out = append(out, s.ask(write, h, uint64(0), "text"), s.ask(fsetstat, h, 1, uint64(4)), s.ask(fsetstat, h, 4|8, 0o604, 1000, 2000), s.ask(closing, h))
		}
		return out
	}, trust + "put put" + strings.Repeat(" open write fsetstat fsetstat close", 2)},
	{"an empty file is written", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "f", creates, 0)
		return append(out, s.ask(closing, h))
	}, trust + "put"},
	{"left as it is", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "f", 2|8, 0)
		return append(out, s.ask(write, h, uint64(0), "C"), s.ask(closing, h))
	}, trust + "put"},
	{"a large file is written", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "new", creates, 0)
		for i := range 5 {
			out = append(out, s.ask(write, h, uint64(i*10_000), strings.Repeat("y", 10_000)))
		}
		return append(out, s.ask(closing, h))
	}, trust + "put write write close"},
	{"all at once", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "new", creates, 0)
		return append(out, s.ask(write, h, uint64(0), strings.Repeat("z", 100_000)), s.ask(closing, h))
	}, trust + "put write close"},
	{"backwards", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "new", creates, 0)
		return append(out, s.ask(write, h, uint64(2), "xt"), s.ask(write, h, uint64(0), "te"), s.ask(closing, h))
	}, trust + "put write write close"},
	{"behind the size that is set", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "new", creates, 0)
		return append(out, s.ask(write, h, uint64(0), "text"), s.ask(fsetstat, h, 1, uint64(4)), s.ask(write, h, uint64(4), "more"), s.ask(fsetstat, h, 1, uint64(2)), s.ask(closing, h))
	}, trust + "put write fsetstat close"},
	{"the owner too", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "new", creates, 0)
		return append(out, s.ask(write, h, uint64(0), "text"), s.ask(fsetstat, h, 2, 0, 0), s.ask(fsetstat, h, 1), s.ask(closing, h))
	}, trust + "put fsetstat fsetstat close"},
	{"looked at before it is closed", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "new", creates, 0)
		out = append(out, s.ask(write, h, uint64(0), "text"), s.ask(fstat, h), s.ask(write, h, uint64(4), "more"), s.ask(read, h, uint64(0), 9))
		r := s.ask(open, "new", reads, 0)
		return append(out, s.ask(read, r, uint64(0), 9), s.ask(closing, r), s.ask(closing, h))
	}, trust + "put fstat write read get took close close"},
	{"read by another handle", func(s *session) []string {
		out := trusted(s, "")
		r := s.ask(open, "f", reads, 0)
		h := s.ask(open, "f", creates, 0)
		out = append(out, s.ask(read, r, uint64(0), 9), s.ask(write, h, uint64(0), "text"), s.ask(read, r, uint64(0), 9))
		return append(out, s.ask(closing, r), s.ask(closing, h))
	}, ""},
	{"waited for", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "f", creates, 0)
		out = append(out, s.ask(write, h, uint64(0), "text"))
		time.Sleep(25 * time.Millisecond)
		b, err := os.ReadFile(s.dir + "/f")
		must(s.t, err)
		return append(out, "it is "+string(b[:4]), s.ask(write, h, uint64(4), "more"), s.ask(closing, h))
	}, ""},
	{"two at once", func(s *session) []string {
		out := trusted(s, "")
		a, b := s.ask(open, "a", creates, 0), s.ask(open, "b", creates, 0)
		out = append(out, s.ask(write, a, uint64(0), "A"), s.ask(write, b, uint64(0), "B"), s.ask(closing, a), s.ask(closing, b))
		return out
	}, ""},
	{"elsewhere", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "d/new", creates, 0)
		out = append(out, s.ask(closing, h))
		h = s.ask(open, "new", creates, 0)
		return append(out, s.ask(closing, h))
	}, trust + "open close open close"},
	{"left before it is closed", func(s *session) []string {
		out := trusted(s, "")
		h := s.ask(open, "new", creates, 0)
		return append(out, s.ask(write, h, uint64(0), "half"))
	}, strings.TrimSpace(trust) + " put"},
	{"where none may be", func(s *session) []string {
		return append(trusted(s, "nope/"), trusted(s, "")...)
	}, ""},
}

func play(t *testing.T, script func(*session) []string, front bool) (answers, events []string, files map[string]string, asked string) {
	t.Helper()
	s := begin(t, "/**", front, 32<<10)
	s.init()
	answers = script(s)
	if err := s.closed(); err != nil {
		t.Error(err)
	}
	files = map[string]string{}
	for _, dir := range []string{"", "d/"} {
		list, err := os.ReadDir(s.dir + "/" + dir)
		must(t, err)
		for _, e := range list {
			if info, err := e.Info(); err == nil && !e.IsDir() {
				b, err := os.ReadFile(s.dir + "/" + dir + e.Name())
				must(t, err)
				files[dir+e.Name()] = info.Mode().String() + " " + string(b)
			}
		}
	}
	return answers, s.told(), files, strings.Join(s.requests(), " ")
}

func TestSameAsWithout(t *testing.T) {
	for _, x := range scripts {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers, events, files, _ := play(t, x.script, false)
				got, told, left, asked := play(t, x.script, true)
				if !reflect.DeepEqual(got, answers) {
					t.Errorf("answers are\n%.300q, without it\n%.300q", got, answers)
				}
				if !reflect.DeepEqual(told, events) {
					t.Errorf("events are\n%q, without it\n%q", told, events)
				}
				if !reflect.DeepEqual(left, files) {
					t.Errorf("files are\n%.300q, without it\n%.300q", left, files)
				}
				asked = strings.TrimPrefix(asked, "init get limits realpath ")
				if x.asked != "" && asked != x.asked {
					t.Errorf("the server is asked\n%s, want\n%s", asked, x.asked)
				}
			})
		})
	}
}

// What was promised and then refused is told by the next thing that is done with the file, its close at the latest, and
// by a notice; then nothing is promised any more.
func TestPromiseThatIsNotKept(t *testing.T) {
	const denied = "status 3 not permitted by your role"
	for _, x := range []struct {
		name   string
		script func(s *session, h string) []string
		want   []string
	}{
		{"at the close", func(s *session, h string) []string {
			return []string{s.ask(write, h, uint64(0), "text"), s.ask(closing, h), s.ask(closing, h)}
		}, []string{"status 0 success", denied, "status 4 no such handle"}},
		{"at once", func(s *session, h string) []string { return []string{s.ask(closing, h)} }, []string{denied}},
		{"before", func(s *session, h string) []string {
			return []string{
				s.ask(write, h, uint64(0), "text"), s.ask(fstat, h), s.ask(write, h, uint64(4), "more"), s.ask(read, h, uint64(4), 9), s.ask(fsetstat, h, 4, 0o600),
				s.ask(extended, "fsync@openssh.com", h), s.ask(extended, "fstatvfs@openssh.com", h), s.ask(12, h), s.ask(closing, h), s.ask(closing, h),
			}
		}, []string{"status 0 success", denied, denied, denied, denied, denied, denied, denied, denied, "status 4 no such handle"}},
		{"by a large write", func(s *session, h string) []string {
			return []string{s.ask(write, h, uint64(0), strings.Repeat("x", 200_000)), s.ask(closing, h)}
		}, []string{denied, denied}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := begin(t, "/[0-4]", true, 1000)
				s.init()
				trusted(s, "")
				h := s.ask(open, "new", creates, 0)
				if len(h) != 8 || h[0] != 0x80 {
					t.Fatalf("the open is not promised: %q", h)
				}
				if got := x.script(s, h); !reflect.DeepEqual(got, x.want) {
					t.Errorf("answers are %q, want %q", got, x.want)
				}
				trusted(s, "")
				if got := s.ask(open, "new", creates, 0); got != denied {
					t.Errorf("then an open is answered by %q", got)
				}
				must(t, s.closed())
				if _, err := os.Stat(s.dir + "/new"); err == nil {
					t.Error("the file is there")
				}
				var told, noticed int
				for _, e := range s.events {
					if strings.HasSuffix(e.Path, "/new") && e.Outcome == filewire.Denied {
						told++
					}
					if e.Type == filewire.Notice && strings.Contains(e.Reason, "/new") {
						noticed++
					}
				}
				if told != 2 || noticed != 1 {
					t.Errorf("%d events, %d notices of it: %+v", told, noticed, s.events)
				}
			})
		})
	}
}

// introduce begins with a server that knows what is needed.
func introduce(t *testing.T, f *ahead.Front, first ...[]byte) {
	t.Helper()
	must(t, f.FromClient(packet(1, 3)))
	must(t, f.FromServer(append(packet(2, 3), packet(101, 0, 5, "bad message", "")...)))
	for _, p := range first {
		must(t, f.FromClient(p))
		must(t, f.FromServer(packet(101, 0, 0, "", "")))
	}
}

// Many a client drops what a close says: nothing is promised but to those that are known not to.
func TestWhoIsPromised(t *testing.T) {
	limits, here, look := packet(extended, 0, "limits@openssh.com"), packet(realpath, 0, "."), packet(stat, 0, "/")
	const keep = 2 | 8
	for _, x := range []struct {
		name, client string
		first        [][]byte
		flags        int
		promised     bool
	}{
		{"sftp", openSSH, [][]byte{limits, here}, creates, true},
		{"sftp, resumed", openSSH, [][]byte{limits, here}, keep, true},
		{"scp from here", openSSH, [][]byte{limits, look}, keep, true},
		{"scp from another far side", openSSH, [][]byte{limits, look}, creates, false},
		{"scp that asks later for the folder", openSSH, [][]byte{limits, look, here}, creates, false},
		{"exclusively", openSSH, [][]byte{limits, here}, creates | 32, false},
		{"lftp", openSSH, [][]byte{here}, creates, false},
		{"sshfs", openSSH, [][]byte{look}, creates, false},
		{"at once", openSSH, nil, creates, false},
		{"paramiko", "SSH-2.0-paramiko_3.4.0", nil, creates, false},
		{"curl", "SSH-2.0-libssh2_1.11.0", [][]byte{here}, creates, false},
		{"a library that asks for limits", "SSH-2.0-libssh_0.11.1", [][]byte{limits, here}, creates, false},
	} {
		var answered bytes.Buffer
		f := ahead.New(io.Discard, &answered, x.client, secret)
		introduce(t, f, x.first...)
		for i := range 4 {
			must(t, f.FromClient(packet(open, i, "/f", x.flags, 0)))
			must(t, f.FromServer(packet(102, i, handle1)))
		}
		answered.Reset()
		must(t, f.FromClient(packet(open, 7, "/n", x.flags, 0)))
		if promised := answered.Len() > 0; promised != x.promised {
			t.Errorf("%s: promised: %v", x.name, promised)
		}
		f.Close()
	}
}

// A close is not answered where nobody knows how it went.
func TestPutThatIsLost(t *testing.T) {
	var asked, answered bytes.Buffer
	server := &failing{Writer: &asked}
	f := ahead.New(server, &answered, openSSH, secret)
	defer f.Close()
	introduce(t, f, asSFTP...)
	for i := range 4 {
		must(t, f.FromClient(packet(open, i, "/f", creates, 0)))
		must(t, f.FromServer(packet(102, i, handle1)))
	}
	answered.Reset()
	server.err = errors.New("lost")
	must(t, f.FromClient(packet(open, 7, "/n", creates, 0)))
	if answered.Len() != 21 || answered.Bytes()[13] != 0x80 {
		t.Fatalf("the open is answered by %q", answered.Bytes())
	}
	own := string(answered.Bytes()[13:])
	answered.Reset()
	if err := f.FromClient(packet(closing, 8, own)); !errors.Is(err, server.err) || answered.Len() > 0 {
		t.Errorf("the close ends with %v, the client gets %q", err, answered.Bytes())
	}
}

// failing fails once it has an error.
type failing struct {
	io.Writer
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Writer.Write(p)
}

// Nothing is answered here while the client waits for the server: some clients take what comes next for the oldest answer.
func TestAnswersStayInOrder(t *testing.T) {
	var asked, answered bytes.Buffer
	f := ahead.New(&asked, &answered, openSSH, secret)
	defer f.Close()
	introduce(t, f, asSFTP...)
	for i := range 4 {
		must(t, f.FromClient(packet(open, i, "/f", creates, 0)))
		must(t, f.FromServer(packet(102, i, handle1)))
	}
	must(t, f.FromClient(packet(open, 5, "/f", reads, 0)))
	must(t, f.FromServer(packet(201, 5, handle5, 1, "content")))
	must(t, f.FromClient(packet(read, 6, handle1, uint64(0), 9)))
	for name, request := range map[string][]byte{"a read": packet(read, 7, handle5, uint64(0), 9), "an open": packet(open, 8, "/n", creates, 0)} {
		asked.Reset()
		answered.Reset()
		must(t, f.FromClient(request))
		if answered.Len() > 0 || !bytes.HasSuffix(asked.Bytes(), request) {
			t.Errorf("%s is answered by %q, the server is asked %q", name, answered.Bytes(), asked.Bytes())
		}
	}
}

// refusing is a side that fails at its first byte.
type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }

// A side that takes no more ends both.
func TestErrorsAreTold(t *testing.T) {
	no := errors.New("no")
	f := ahead.New(refusing{no}, io.Discard, "", secret)
	if err := f.FromClient(packet(1, 3)); !errors.Is(err, no) {
		t.Error(err)
	}
	f = ahead.New(io.Discard, refusing{no}, "", secret)
	if err := errors.Join(f.FromClient(packet(1, 3)), f.FromServer(packet(2, 3))); !errors.Is(err, no) {
		t.Error(err)
	}
}

// A server may know no more than the draft.
func TestServerThatDoesNotKnow(t *testing.T) {
	var asked, answered bytes.Buffer
	f := ahead.New(&asked, &answered, openSSH, secret)
	defer f.Close()
	must(t, f.FromClient(packet(1, 3)))
	must(t, f.FromServer(append(packet(2, 3), packet(101, 0, 8, "operation unsupported", "")...)))
	request := packet(open, 1, "f", reads, 0)
	asked.Reset()
	must(t, f.FromClient(request))
	if !bytes.Equal(asked.Bytes(), request) || !bytes.Equal(answered.Bytes(), packet(2, 3)) {
		t.Errorf("the server is asked %q, the client answered %q", asked.Bytes(), answered.Bytes())
	}
}

// What makes no sense passes as it is, from there on.
func TestNonsensePasses(t *testing.T) {
	begin := packet(1, 3)
	known := append(packet(2, 3), packet(101, 0, 5, "bad message", "")...)
	for name, x := range map[string]string{
		"no INIT":           string(packet(open, 1, "f", reads, 0)),
		"an old version":    string(packet(1, 2)),
		"a long INIT":       string(packet(1, 3, strings.Repeat("x", 10_000))),
		"nothing":           "\x00\x00\x00\x00",
		"a huge length":     "\xff\xff\xff\xff\x03",
		"something else":    "GET / HTTP/1.1\r\n\r\n",
		"later, nothing":    string(begin) + "\x00\x00\x00\x00more and more",
		"later, too much":   string(begin) + "\x00\x04\x00\x01\x06more and more",
		"later, no id":      string(begin) + "\x00\x00\x00\x04\x03more and more",
		"half of something": string(begin) + "\x00\x00\x00",
	} {
		for _, chunk := range []int{1, 3, 1000} {
			var asked, answered bytes.Buffer
			f := ahead.New(&asked, &answered, openSSH, secret)
			for i := 0; i < len(x); i += chunk {
				must(t, f.FromClient([]byte(x[i:min(i+chunk, len(x))])))
				if i+chunk >= len(begin) && i < len(begin) && strings.HasPrefix(x, string(begin)) {
					must(t, f.FromServer(known))
				}
			}
			must(t, f.FromServer([]byte("\x00\x00\x00\x00whatever")))
			must(t, f.End())
			f.Close()
			want := x
			if strings.HasPrefix(x, string(begin)) {
				want = strings.Replace(x, string(begin), string(begin)+string(packet(extended, 0, filewire.Get+secret)), 1)
			}
			if asked.String() != want {
				t.Errorf("%s: %q goes on as %q", name, x, asked.String())
			}
			if !strings.HasSuffix(answered.String(), "\x00\x00\x00\x00whatever") {
				t.Errorf("%s: the client gets %q", name, answered.String())
			}
		}
	}
}

// A client that sends requests without end and a server that answers none hold no more than a little.
func TestMemoryIsBounded(t *testing.T) {
	f := ahead.New(io.Discard, io.Discard, "", secret)
	defer f.Close()
	must(t, f.FromClient(packet(1, 3)))
	must(t, f.FromServer(append(packet(2, 3), packet(101, 0, 5, "bad message", "")...)))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1000 { // opened, and left open
		must(t, f.FromClient(packet(open, i, "f", reads, 0)))
		must(t, f.FromServer(packet(201, i, fmt.Sprintf("%08d", i), 1, strings.Repeat("x", 30<<10))))
	}
	held := func(what string, most int64) {
		t.Helper()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > most {
			t.Errorf("%s: %d bytes are held", what, grown)
		}
	}
	held("files left open", 1<<20)
	requests := append(packet(open, 1, "f", reads, 0), packet(stat, 2, "f")...)
	requests = append(requests, packet(closing, 3, "\x00\x00\x00\x00\x00\x00\x00\x01")...)
	requests = append(requests, packet(open, 4, strings.Repeat("d", 1000)+"/f", creates, 0)...)
	for range 100_000 { // and nothing is answered
		must(t, f.FromClient(requests))
	}
	held("nothing is answered", 256<<10)
	runtime.KeepAlive(f)
}
