package sftp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/sftp"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/internal/filewire"
)

func everything() filewire.Rules {
	all := []filewire.Rule{{Paths: []string{"/**"}}}
	return filewire.Rules{Upload: all, Download: all, Remove: all, Rename: all, Mkdir: all, Chmod: all}
}

// folder is a tree with some files in which everything is permitted, and one file beside it.
func folder(t testing.TB) (*access.Files, string) {
	t.Helper()
	return folderUnder(t, everything(), func(filewire.Event) {})
}

func folderUnder(t testing.TB, rules filewire.Rules, emit func(filewire.Event)) (*access.Files, string) {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "in")
	if err := os.MkdirAll(dir+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{dir + "/f": "content", base + "/out": "secret"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := tree.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	f, err := access.New(root, "/", rules, emit)
	if err != nil {
		t.Fatal(err)
	}
	return f, base
}

func packet(kind byte, parts ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, p := range parts {
		switch v := p.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(v))
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func session(packets ...[]byte) []byte {
	return append(packet(1, 3), bytes.Join(packets, nil)...)
}

// answers cuts what the server sends into packets and fails when it is not well-formed.
func answers(t testing.TB, out []byte) [][]byte {
	t.Helper()
	var list [][]byte
	for len(out) > 0 {
		if len(out) < 5 {
			t.Fatalf("the output ends within a packet: %x", out)
		}
		n := binary.BigEndian.Uint32(out)
		if n < 5 || int(n) > len(out)-4 || n > 256<<10+64 {
			t.Fatalf("an answer says that it has %d bytes, %d are there", n, len(out)-4)
		}
		list = append(list, out[4:4+n])
		out = out[4+n:]
	}
	return list
}

func serve(t testing.TB, files *access.Files, in []byte) ([][]byte, error) {
	t.Helper()
	var out bytes.Buffer
	err := sftp.Serve(context.Background(), bytes.NewReader(in), &out, files, secret)
	return answers(t, out.Bytes()), err
}

const handle1 = "\x00\x00\x00\x00\x00\x00\x00\x01"

// requests cuts what a client sends into packets, as far as they are whole, and returns the id of each but the first.
func requests(in []byte) (ids []uint32, begun bool) {
	for len(in) >= 4 {
		n := binary.BigEndian.Uint32(in)
		if n < 1 || n > 256<<10 || uint64(n) > uint64(len(in)-4) {
			break
		}
		p := in[4 : 4+n]
		in = in[4+n:]
		switch {
		case !begun && p[0] != 1, begun && n < 5:
			return ids, begun
		case !begun:
			begun = true
		default:
			ids = append(ids, binary.BigEndian.Uint32(p[1:]))
		}
	}
	return ids, begun
}

// state is all that is in a folder, with modes and times of change.
func state(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content []byte
		if d.Type().IsRegular() {
			content, err = os.ReadFile(p)
		}
		all[strings.TrimPrefix(p, dir)] = info.Mode().String() + info.ModTime().String() + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// FuzzPackets: whatever comes, answers are well-formed, each request that is whole has one, in order, until the client
// makes no sense, and nothing beside the tree changes or shows. Where only reading is permitted, nothing in it changes.
func FuzzPackets(f *testing.F) {
	big := strings.Repeat("x", 1000)
	for _, s := range [][]byte{
		session(),
		session(packet(3, 1, "f", 1, 0), packet(5, 2, handle1, uint64(0), 100), packet(8, 3, handle1), packet(4, 4, handle1)),
		session(packet(3, 1, "new", 0x1a, 0), packet(6, 2, handle1, uint64(0), big), packet(6, 3, handle1, uint64(1<<40), big), packet(10, 4, handle1, 1, uint64(5)), packet(4, 5, handle1)),
		session(packet(3, 1, "n", 9, 4, 0o4777), packet(3, 2, "m", 8, 0), packet(3, 3, "f", 17, 0), packet(6, 4, handle1, uint64(0), big)),
		session(packet(11, 1, "/"), packet(12, 2, handle1), packet(12, 3, handle1), packet(4, 4, handle1)),
		session(packet(17, 1, "../../out"), packet(7, 2, "d/../../out"), packet(16, 3, ""), packet(9, 4, "f", 4, 0o600), packet(14, 5, "d2", 0), packet(15, 6, "d2")),
		session(packet(20, 1, "../out", "l"), packet(19, 2, "l"), packet(3, 3, "l", 1, 0), packet(18, 4, "f", "g"), packet(13, 5, "g")),
		session(packet(200, 1, "statvfs@openssh.com", "/"), packet(200, 2, "limits@openssh.com"), packet(200, 3, "copy-data", handle1, uint64(0), uint64(0), handle1, uint64(9))),
		session(packet(200, 1, "posix-rename@openssh.com", "f", "g"), packet(200, 2, "hardlink@openssh.com", "f", "h"), packet(200, 3, "expand-path@openssh.com", "~/x"), packet(200, 4, "nonsense")),
		session(packet(200, 1, filewire.Get+secret, 100, "f", 1, 0), packet(200, 2, filewire.Took+secret, handle1, uint64(3), 0), packet(4, 3, handle1), packet(200, 4, filewire.Get+secret, 9, "new", 0x1a, 0)),
		session(packet(200, 1, filewire.Put+secret, uint64(1<<63), "\x00\x00\x00\x03new\x00\x00\x00\x1a\x00\x00\x00\x00", "text"), packet(200, 2, filewire.Put+secret, uint64(0), "\x00\x00\x00\x01d\x00\x00\x00\x1a\x00\x00\x00\x00", "text", "\x00\x00\x00\x00")),
		{0xff, 0xff, 0xff, 0xff, 1}, {0, 0, 0, 0}, {0, 0, 0, 1, 5},
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 64<<10 {
			return
		}
		files, base := folder(t)
		list, err := serve(t, files, in)
		ids, begun := requests(in)
		if begun != (len(list) > 0) || begun && (list[0][0] != 2 || len(list) != 1+len(ids)) {
			t.Fatalf("%d answers to %d requests, begun: %v, %v", len(list), len(ids), begun, err)
		}
		for i, id := range ids {
			if got := binary.BigEndian.Uint32(list[i+1][1:]); got != id {
				t.Errorf("answer %d is to request %x, want %x", i, got, id)
			}
		}
		for _, a := range list {
			if bytes.Contains(a, []byte("secret")) {
				t.Errorf("the secret shows: %q", a)
			}
		}
		if b, err := os.ReadFile(base + "/out"); err != nil || string(b) != "secret" {
			t.Errorf("the secret is %q, %v", b, err)
		}
		if list, err := os.ReadDir(base); err != nil || len(list) != 2 {
			t.Errorf("beside the tree is %v, %v", list, err)
		}

		files, base = folderUnder(t, filewire.Rules{Download: everything().Download}, func(filewire.Event) {})
		was := state(t, base)
		_, _ = serve(t, files, in)
		if is := state(t, base); !maps.Equal(is, was) {
			t.Errorf("who may only read has changed\n%q to\n%q", was, is)
		}
	})
}

// Flags of draft-ietf-secsh-filexfer-02, section 6.3: 1 read, 2 write, 4 append, 8 create, 16 truncate, 32 exclusive.
func TestOpenUnderRules(t *testing.T) {
	const ok, noFile, denied, failure = -1, 2, 3, 4
	rule := everything().Download
	both := filewire.Rules{Upload: rule, Download: rule}
	down, up := filewire.Rules{Download: rule}, filewire.Rules{Upload: rule}
	for _, x := range []struct {
		what  string
		rules filewire.Rules
		path  string
		flags int
		want  int
		event string // type and outcome
		bytes string // of the file afterwards; "-" for none
	}{
		{"a read", down, "f", 1, ok, "file.read partial", "content"},
		{"a read of what is not there", down, "n", 1, noFile, "", "-"},
		{"a read that would create what is there", down, "f", 1 | 8, ok, "file.read partial", "content"},
		{"a read that creates", down, "n", 1 | 8, denied, "file.write denied", "-"},
		{"creating and nothing else", down, "n", 8, denied, "file.write denied", "-"},
		{"creating exclusively", down, "n", 1 | 8 | 32, denied, "file.write denied", "-"},
		{"creating exclusively what is there", down, "f", 1 | 8 | 32, denied, "file.write denied", "content"},
		{"a read that empties", down, "f", 1 | 16, denied, "file.write denied", "content"},
		{"a read that creates or empties", down, "f", 1 | 8 | 16, denied, "file.write denied", "content"},
		{"emptying and nothing else", down, "f", 16, denied, "file.write denied", "content"},
		{"appending", down, "f", 4 | 8, denied, "file.write denied", "content"},
		{"a read that creates, permitted", both, "n", 1 | 8, ok, "file.write complete", ""},
		{"a read that empties, permitted", both, "f", 1 | 16, ok, "file.write complete", ""},
		{"creating exclusively what is there, permitted", both, "f", 1 | 8 | 32, failure, "", "content"},
		{"a read of what may be written", up, "f", 1 | 8, denied, "file.read denied", "content"},
		{"a read that empties what may be written", up, "f", 1 | 16, denied, "file.read denied", "content"},
		{"a write", up, "n", 2 | 8 | 16, ok, "file.write complete", ""},
	} {
		var events []string
		files, base := folderUnder(t, x.rules, func(e filewire.Event) {
			if e.Type != filewire.Open && e.Type != filewire.Notice {
				events = append(events, e.Type+" "+e.Outcome)
			}
		})
		list, err := serve(t, files, session(packet(3, 1, x.path, x.flags, 4, 0o4777), packet(4, 2, handle1)))
		if err != nil || len(list) != 3 {
			t.Errorf("%s: %d answers, %v", x.what, len(list), err)
			continue
		}
		got := ok
		if list[1][0] != 102 {
			got = int(code(t, list[1]))
		}
		if told := strings.Join(events, ", "); got != x.want || told != x.event {
			t.Errorf("%s: answer %d, want %d; events %q, want %q", x.what, got, x.want, told, x.event)
		}
		b, err := os.ReadFile(base + "/in/" + x.path)
		if err != nil && os.IsNotExist(err) {
			b = []byte("-")
		}
		if string(b) != x.bytes {
			t.Errorf("%s: the file is %q afterwards, want %q", x.what, b, x.bytes)
		}
	}
}

func code(t testing.TB, answer []byte) uint32 {
	t.Helper()
	if answer[0] != 101 {
		t.Fatalf("the answer has type %d, want a status", answer[0])
	}
	return binary.BigEndian.Uint32(answer[5:])
}

func TestHostile(t *testing.T) {
	files, _ := folder(t)
	for name, in := range map[string][]byte{
		"a huge length":         {0xff, 0xff, 0xff, 0xff, 1},
		"a length of nothing":   {0, 0, 0, 0},
		"no INIT":               packet(17, 1, "f"),
		"no id":                 session([]byte{0, 0, 0, 1, 5}),
		"half a packet":         session([]byte{0, 0, 1, 0, 5}),
		"larger than permitted": session(packet(6, 1, handle1, uint64(0), strings.Repeat("x", 256<<10))),
	} {
		if _, err := serve(t, files, in); err == nil {
			t.Errorf("%s: the session ends well", name)
		}
	}
	for name, x := range map[string]struct {
		packet []byte
		code   uint32
	}{
		"an unknown handle":            {packet(5, 1, "\x00\x00\x00\x00\x00\x00\x00\x09", uint64(0), 1), 4},
		"no handle":                    {packet(5, 1, "", uint64(0), 1), 4},
		"a handle that is too long":    {packet(4, 1, strings.Repeat("x", 1000)), 4},
		"a string longer than it says": {packet(17, 1, []byte{0xff, 0xff, 0xff, 0xff}), 5},
		"half a write":                 {packet(6, 1, handle1, uint64(0), []byte{0, 0, 0, 9, 1}), 5},
		"attributes without end":       {packet(9, 1, "f", -0x80000000, -1), 5},
		"an unknown type":              {packet(77, 1), 8},
		"an unknown extension":         {packet(200, 1, "x"), 8},
		"what is not there":            {packet(17, 1, "nope"), 2},
		"a name that is too long":      {packet(17, 1, strings.Repeat("n", 300)), 5},
		"a zero byte":                  {packet(17, 1, "f\x00"), 5},
	} {
		list, err := serve(t, files, session(x.packet))
		if err != nil || len(list) != 2 {
			t.Errorf("%s: %d answers, %v", name, len(list), err)
			continue
		}
		if got := code(t, list[1]); got != x.code {
			t.Errorf("%s: status %d, want %d", name, got, x.code)
		}
	}
	// Far beyond the end, at the very end of what a number holds, and writing there.
	list, err := serve(t, files, session(packet(3, 1, "f", 3, 0), packet(5, 2, handle1, uint64(1<<62), 1<<30), packet(5, 3, handle1, uint64(1<<64-1), -1),
		packet(6, 4, handle1, uint64(1<<64-1), "x"), packet(6, 5, handle1, uint64(1<<63-1), "x"), packet(5, 6, handle1, uint64(0), -1)))
	if err != nil || len(list) != 7 {
		t.Fatalf("%d answers, %v", len(list), err)
	}
	for i, want := range map[int]uint32{2: 1, 3: 1, 4: 4, 5: 4} {
		if got := code(t, list[i]); got != want {
			t.Errorf("answer %d is %d, want %d", i, got, want)
		}
	}
	if !bytes.HasSuffix(list[6], []byte("content")) {
		t.Errorf("the file reads %q", list[6])
	}
}

func TestHandlesAreBounded(t *testing.T) {
	files, _ := folder(t)
	var packets [][]byte
	for i := range 3000 {
		packets = append(packets, packet(3, i, "f", 1, 0))
	}
	list, err := serve(t, files, session(packets...))
	if err != nil || len(list) != 3001 {
		t.Fatalf("%d answers, %v", len(list), err)
	}
	handles := 0
	for _, a := range list[1:] {
		if a[0] == 102 {
			handles++
		} else if code(t, a) != 4 {
			t.Errorf("status %d", code(t, a))
		}
	}
	if handles != 1000 {
		t.Errorf("%d handles", handles)
	}
}

// A client that never reads its answers holds no more than the pipe and some buffers.
func TestClientThatDoesNotRead(t *testing.T) {
	files, _ := folder(t)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- sftp.Serve(context.Background(), inR, outW, files, secret) }()
	sent := make(chan int, 1)
	go func() {
		n := 0
		_, err := inW.Write(session())
		for p := packet(17, 1, "f"); err == nil; n++ {
			_, err = inW.Write(p)
		}
		sent <- n
	}()
	if _, err := io.ReadFull(outR, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	_ = outR.CloseWithError(errors.New("gone"))
	if err := <-done; err == nil {
		t.Error("no error")
	}
	_ = inR.Close()
	<-sent
}
