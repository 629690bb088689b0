package sftp_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/agent/files/sftp"
	"github.com/podbastion/podbastion/internal/filewire"
)

// secret is what the requests have that only a bastion makes.
const secret = "#SECRET"

// What is told of a file that was read when it was opened is what the client had, as far as anybody says.
func TestGet(t *testing.T) {
	get := func(id int, path string, flags int) []byte {
		return packet(200, id, filewire.Get+secret, 1<<20, path, flags, 0)
	}
	took := func(id int, n uint64, end int) []byte { return packet(200, id, filewire.Took+secret, handle1, n, end) }
	closing := packet(4, 9, handle1)
	all, down := everything(), everything().Download
	small := int64(6)
	for _, x := range []struct {
		what    string
		rules   filewire.Rules
		packets [][]byte
		answers string // sizes of data, or the status
		event   string
	}{
		{"all", all, [][]byte{get(1, "f", 1), closing}, "7 ok", "file.read 7 complete"},
		{"left", all, [][]byte{get(1, "f", 1)}, "7", "file.read 7 partial"},
		{"left at its end", all, [][]byte{get(1, "f", 1), took(2, 7, 1)}, "7 ok", "file.read 7 complete"},
		{"a part", all, [][]byte{get(1, "f", 1), took(2, 3, 0), closing}, "7 ok ok", "file.read 3 partial"},
		{"a part and the rest", all, [][]byte{get(1, "f", 1), took(2, 3, 0), packet(5, 3, handle1, uint64(3), 9), closing}, "7 ok data ok", "file.read 7 complete"},
		{"read as if nothing were there", all, [][]byte{get(1, "f", 1), packet(5, 3, handle1, uint64(0), 2), closing}, "7 data ok", "file.read 2 partial"},
		{"more than there is", all, [][]byte{get(1, "f", 1), took(2, 8, 0), closing}, "7 5 ok", "file.read 7 complete"},
		{"far more", all, [][]byte{get(1, "f", 1), took(2, 1<<63, 0), closing}, "7 5 ok", "file.read 7 complete"},
		{"twice", all, [][]byte{get(1, "f", 1), took(2, 3, 0), took(3, 7, 1), closing}, "7 ok 5 ok", "file.read 3 partial"},
		{"of nothing", all, [][]byte{took(2, 3, 0)}, "4", ""},
		{"of what was opened otherwise", all, [][]byte{packet(3, 1, "f", 1, 0), took(2, 0, 0), closing}, "handle 5 ok", "file.read 0 partial"},
		{"a write", all, [][]byte{get(1, "n", 2|8), closing}, "0 ok", "file.write 0 complete"},
		{"denied", filewire.Rules{Upload: down}, [][]byte{get(1, "f", 1)}, "3", "file.read denied"},
		{"denied to write", filewire.Rules{Download: down}, [][]byte{get(1, "f", 1|16)}, "3", "file.write denied"},
		{"too large", filewire.Rules{Download: []filewire.Rule{{Paths: []string{"/**"}, MaxSize: &small}}}, [][]byte{get(1, "f", 1)}, "4", "file.read denied"},
		{"not there", all, [][]byte{get(1, "nope", 1)}, "2", ""},
		{"outside", all, [][]byte{get(1, "../out", 1)}, "2", ""},
		{"without flags", all, [][]byte{packet(200, 1, filewire.Get+secret, 9, "f")}, "5", ""},
	} {
		answers, events, _ := played(t, x.rules, x.packets)
		if answers != x.answers || events != x.event {
			t.Errorf("%s: answers %q, want %q; events %q, want %q", x.what, answers, x.answers, events, x.event)
		}
	}
}

// A file that is written by one request is what the same requests one by one make of it, under the same rules; what
// fails is told with whatever else is done with it.
func TestPut(t *testing.T) {
	body := func(path string, flags int) string { return string(packet(0, path, flags, 4, 0o640)[5:]) }
	put := func(id int, handle uint64, path string, flags int, data string, set ...any) []byte {
		return packet(200, append([]any{id, filewire.Put + secret, handle, body(path, flags), data}, set...)...)
	}
	const own = 1 << 63
	key := "\x80" + strings.Repeat("\x00", 7)
	closing, sized := packet(4, 9, key), string(packet(0, 1, uint64(4))[5:])
	all, everywhere := everything(), everything().Download
	small := int64(3)
	for _, x := range []struct {
		what    string
		rules   filewire.Rules
		packets [][]byte
		answers string
		event   string
		file    string // new; "-" for none
	}{
		{"at once", all, [][]byte{put(1, 0, "new", 0x1a, "text")}, "ok", "file.write 4 complete", "text"},
		{"nothing in it", all, [][]byte{put(1, 0, "new", 0x1a, "")}, "ok", "file.write 0 complete", ""},
		{"cut to a size", all, [][]byte{put(1, 0, "new", 0x1a, "long text"), put(2, 0, "new", 0xa, "text", sized)}, "ok ok", "file.write 9 complete, file.write 4 complete", "text"},
		{"and more", all, [][]byte{put(1, own, "new", 0x1a, "te"), packet(6, 2, key, uint64(2), "xt"), closing}, "ok ok ok", "file.write 4 complete", "text"},
		{"left", all, [][]byte{put(1, own, "new", 0x1a, "text")}, "ok", "file.write 4 partial", "text"},
		{"a handle that is not for that", all, [][]byte{put(1, 1, "new", 0x1a, "text")}, "4", "", "-"},
		{"a handle twice", all, [][]byte{put(1, own, "new", 0x1a, "text"), put(2, own, "f", 0x1a, "x"), closing}, "ok 4 ok", "file.write 4 complete", "text"},
		{"denied", filewire.Rules{Download: everywhere}, [][]byte{put(1, 0, "new", 0x1a, "text")}, "3", "file.write denied", "-"},
		{"denied, and more", filewire.Rules{Download: everywhere}, [][]byte{put(1, own, "new", 0x1a, "text"), packet(6, 2, key, uint64(4), "x"), packet(8, 3, key), closing, closing}, "3 3 3 3 4", "file.write denied", "-"},
		{"too large", filewire.Rules{Upload: []filewire.Rule{{Paths: []string{"/**"}, MaxSize: &small}}}, [][]byte{put(1, own, "new", 0x1a, "text"), closing}, "4 4", "file.write 0 partial", ""},
		{"another's owner", filewire.Rules{Upload: everywhere}, [][]byte{put(1, 0, "new", 0x1a, "text", string(packet(0, 2, 0, 0)[5:]))}, "3", "file.setstat denied, file.write 4 complete", "text"},
		{"a folder", all, [][]byte{put(1, own, "d", 0x1a, "text"), closing}, "4 4", "file.write failed", "-"},
		{"outside", all, [][]byte{put(1, 0, "../../out", 0x1a, "text")}, "ok", "file.write 4 complete", "-"},
		{"half an open", all, [][]byte{packet(200, 1, filewire.Put+secret, uint64(0), "new", "text")}, "5", "", "-"},
		{"half of what is set", all, [][]byte{put(1, 0, "new", 0x1a, "text", sized[:8])}, "5", "", "-"},
	} {
		answers, events, base := played(t, x.rules, x.packets)
		if answers != x.answers || events != x.event {
			t.Errorf("%s: answers %q, want %q; events %q, want %q", x.what, answers, x.answers, events, x.event)
		}
		b, err := os.ReadFile(base + "/in/new")
		if err != nil {
			b = []byte("-")
		}
		if secret, err := os.ReadFile(base + "/out"); err != nil || string(secret) != "secret" || string(b) != x.file {
			t.Errorf("%s: the file has %q, want %q; outside is %q, %v", x.what, b, x.file, secret, err)
		}
	}
}

// played serves packets, and tells of the answers, of what was told of files, and where those are.
func played(t *testing.T, rules filewire.Rules, packets [][]byte) (answers, told, base string) {
	t.Helper()
	var events []string
	files, base := folderUnder(t, rules, func(e filewire.Event) {
		text := e.Type
		if e.Bytes != nil {
			text += fmt.Sprint(" ", *e.Bytes)
		}
		if e.Type != filewire.Open && e.Type != filewire.Notice {
			events = append(events, text+" "+e.Outcome)
		}
	})
	list, err := serve(t, files, session(packets...))
	if err != nil {
		t.Error(err)
	}
	return brief(t, list[1:]), strings.Join(events, ", "), base
}

// brief names answers.
func brief(t *testing.T, list [][]byte) string {
	t.Helper()
	var out []string
	for _, a := range list {
		switch {
		case a[0] == 201:
			out = append(out, fmt.Sprint(len(a)-5-12-4-4))
		case a[0] == 102:
			out = append(out, "handle")
		case a[0] == 103:
			out = append(out, "data")
		case code(t, a) == 0:
			out = append(out, "ok")
		default:
			out = append(out, fmt.Sprint(code(t, a)))
		}
	}
	return strings.Join(out, " ")
}

// Not more is held than a little for some files, however many are open.
func TestGetIsBounded(t *testing.T) {
	files, _ := folder(t)
	var packets [][]byte
	for i := range 200 {
		packets = append(packets, packet(200, i, filewire.Get+secret, 1<<20, "f", 1, 0))
	}
	list, err := serve(t, files, session(packets...))
	if err != nil || len(list) != 201 {
		t.Fatalf("%d answers, %v", len(list), err)
	}
	if got := strings.Count(brief(t, list[1:]), "7"); got != 64 {
		t.Errorf("%d files are read ahead", got)
	}
}

// A client that does not know the secret cannot have a file read and say that it had none of it.
func TestPrivateToTheBastion(t *testing.T) {
	for _, given := range []string{"", secret} {
		for _, name := range []string{filewire.Get, filewire.Took, filewire.Put, filewire.Get + "#OTHER"} {
			files, _ := image(t)
			var out bytes.Buffer
			must(t, sftp.Serve(context.Background(), bytes.NewReader(session(packet(200, 1, name, 100, "f", 1, 0))), &out, files, given))
			if list := answers(t, out.Bytes()); len(list) != 2 || code(t, list[1]) != 8 {
				t.Errorf("%q with the secret %q: %q", name, given, list)
			}
		}
	}
}
