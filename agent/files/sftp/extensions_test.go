package sftp_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/internal/filewire"
)

// What is wanted here stands in OpenSSH's PROTOCOL file, section 4, in draft-ietf-secsh-filexfer-02 and, for copy-data
// and home-directory, in draft-ietf-secsh-filexfer-extensions-00.

// image is a tree as an image has it, whose user's home is /home/me.
func image(t *testing.T) (*access.Files, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nyou:x:1001:100::/home/you:/bin/sh\nodd:x:7:7::relative:/bin/sh\n",
		"etc/group":  "root:x:0:\nusers:x:100:me\n", "home/me/f": "0123456789", "home/me/g": "", "home/you/f": "",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	must(t, os.Symlink("f", dir+"/home/me/l"))
	must(t, os.Link(dir+"/home/me/f", dir+"/home/me/hard"))
	root, err := tree.Open(dir, "")
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	files, err := access.New(root, "/home/me", everything(), func(filewire.Event) {})
	must(t, err)
	return files, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// str is a string on the wire.
func str(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s }

// name is a NAME answer (type 104) to request 1 with one name and no attributes.
func name(s string) string {
	return "\x68\x00\x00\x00\x01" + "\x00\x00\x00\x01" + str(s) + str(s) + "\x00\x00\x00\x00"
}

// ids is a list of numbers as users-groups-by-id has it.
func ids(list ...uint32) string {
	var b []byte
	for _, n := range list {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return string(b)
}

func TestNamesOfTheImage(t *testing.T) {
	const reply = "\xc9\x00\x00\x00\x01" // EXTENDED_REPLY (201) to request 1
	for _, x := range []struct {
		what   string
		packet []byte
		want   string // the whole answer; "2", "5" and so on are the status
	}{
		{"~", packet(200, 1, "expand-path@openssh.com", "~"), name("/home/me")},
		{"~/", packet(200, 1, "expand-path@openssh.com", "~/f"), name("/home/me/f")},
		{"~user", packet(200, 1, "expand-path@openssh.com", "~you"), name("/home/you")},
		{"~user/", packet(200, 1, "expand-path@openssh.com", "~you/../x"), name("/home/x")},
		{"~nobody", packet(200, 1, "expand-path@openssh.com", "~nobody/x"), "2"},
		{"a home that is none", packet(200, 1, "expand-path@openssh.com", "~odd"), "2"},
		{"a relative path", packet(200, 1, "expand-path@openssh.com", "f"), name("/home/me/f")},
		{"an absolute path", packet(200, 1, "expand-path@openssh.com", "/etc//./passwd"), name("/etc/passwd")},
		{"a link", packet(200, 1, "expand-path@openssh.com", "~/l"), name("/home/me/f")},
		{"no path", packet(200, 1, "expand-path@openssh.com"), "5"},

		{"own home", packet(200, 1, "home-directory", ""), name("/home/me")},
		{"a user's home", packet(200, 1, "home-directory", "you"), name("/home/you")},
		{"nobody's home", packet(200, 1, "home-directory", "nobody"), "2"},
		{"a home without a user", packet(200, 1, "home-directory"), "5"},

		{"users and groups", packet(200, 1, "users-groups-by-id@openssh.com", ids(1000, 4242, 0), ids(100, 1)),
			reply + str(str("me")+str("")+str("root")) + str(str("users")+str(""))},
		{"no users", packet(200, 1, "users-groups-by-id@openssh.com", "", ids(0)), reply + str("") + str(str("root"))},
		{"nobody", packet(200, 1, "users-groups-by-id@openssh.com", "", ""), reply + str("") + str("")},
		{"users only", packet(200, 1, "users-groups-by-id@openssh.com", ids(0)), "5"},
	} {
		files, _ := image(t)
		list, err := serve(t, files, session(x.packet))
		if err != nil || len(list) != 2 {
			t.Errorf("%s: %d answers, %v", x.what, len(list), err)
			continue
		}
		got := string(list[1])
		if len(x.want) == 1 {
			got = fmt.Sprint(code(t, list[1]))
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q", x.what, got, x.want)
		}
	}
}

func TestCopyData(t *testing.T) {
	const a, b = handle1, "\x00\x00\x00\x00\x00\x00\x00\x02"
	const ok, failure, message = 0, 4, 5
	open := func(path string, flags int) []byte { return packet(3, 90, path, flags, 0) }
	copyData := func(from string, off, n uint64, to string, at uint64) []byte {
		return packet(200, 91, "copy-data", from, off, n, to, at)
	}
	for _, x := range []struct {
		what     string
		from, to []byte
		copy     []byte
		code     uint32
		g, f     string // afterwards
	}{
		{"all", open("f", 1), open("g", 2), copyData(a, 0, 0, b, 0), ok, "0123456789", "0123456789"},
		{"a part", open("f", 1), open("g", 2), copyData(a, 2, 3, b, 0), ok, "234", "0123456789"},
		{"to the end", open("f", 1), open("g", 2), copyData(a, 7, 0, b, 1), ok, "\x00789", "0123456789"},
		{"more than there is", open("f", 1), open("g", 2), copyData(a, 7, 100, b, 0), ok, "789", "0123456789"},
		{"from behind the end", open("f", 1), open("g", 2), copyData(a, 100, 0, b, 0), ok, "", "0123456789"},
		{"within one, apart", open("f", 3), open("g", 2), copyData(a, 0, 5, a, 5), ok, "", "0123401234"},
		{"within one, overlapping", open("f", 3), open("g", 2), copyData(a, 0, 5, a, 4), failure, "", "0123456789"},
		{"onto itself", open("f", 3), open("g", 2), copyData(a, 0, 0, a, 0), failure, "", "0123456789"},
		{"two handles, apart", open("f", 1), open("f", 2), copyData(a, 0, 5, b, 5), ok, "", "0123401234"},
		{"two handles, without end", open("f", 1), open("f", 2), copyData(a, 0, 0, b, 10), failure, "", "0123456789"},
		{"two handles, overlapping", open("f", 1), open("f", 2), copyData(a, 0, 1<<60, b, 10), failure, "", "0123456789"},
		{"two names, without end", open("f", 1), open("hard", 2), copyData(a, 0, 0, b, 10), failure, "", "0123456789"},
		{"a link, without end", open("l", 1), open("f", 2), copyData(a, 0, 0, b, 10), failure, "", "0123456789"},
		{"not open to read", open("f", 2), open("g", 2), copyData(a, 0, 0, b, 0), failure, "", "0123456789"},
		{"not open to write", open("f", 1), open("g", 1), copyData(a, 0, 0, b, 0), failure, "", "0123456789"},
		{"from a directory", packet(11, 90, "/"), open("g", 2), copyData(a, 0, 0, b, 0), failure, "", "0123456789"},
		{"no such handle", open("f", 1), open("g", 2), copyData(a, 0, 0, "x", 0), failure, "", "0123456789"},
		{"offsets beyond all", open("f", 1), open("g", 2), copyData(a, 1<<63, 1, b, 0), failure, "", "0123456789"},
		{"cut off", open("f", 1), open("g", 2), packet(200, 91, "copy-data", a, uint64(0)), message, "", "0123456789"},
	} {
		files, dir := image(t)
		done := make(chan [][]byte, 1)
		go func() {
			list, _ := serve(t, files, session(x.from, x.to, x.copy, packet(4, 92, a), packet(4, 93, b)))
			done <- list
		}()
		select {
		case list := <-done:
			if len(list) != 6 || code(t, list[3]) != x.code {
				t.Errorf("%s: %d answers, %q, want %d", x.what, len(list), list[3:], x.code)
			}
		case <-time.After(10 * time.Second):
			must(t, os.Truncate(dir+"/home/me/f", 0)) // ends it
			t.Fatalf("%s: it has no end", x.what)
		}
		for name, want := range map[string]string{"f": x.f, "g": x.g} {
			if got, err := os.ReadFile(dir + "/home/me/" + name); err != nil || string(got) != want {
				t.Errorf("%s: %s is %.40q, %v, want %q", x.what, name, got, err, want)
			}
		}
	}
}

func TestLsetstat(t *testing.T) {
	const ext = "lsetstat@openssh.com"
	for _, x := range []struct {
		what   string
		packet []byte
		code   uint32
		link   int64  // time of change of the link, if it is one that we set
		file   int64  // and of what it leads to
		mode   uint32 // of what it leads to
	}{
		{"times of a link", packet(200, 1, ext, "l", 8, 5, 6), 0, 6, 0, 0o644},
		{"times of a file", packet(200, 1, ext, "f", 8, 5, 6), 0, 0, 6, 0o644},
		{"mode of a file", packet(200, 1, ext, "f", 4, 0o600), 0, 0, 0, 0o600},
		{"mode and times", packet(200, 1, ext, "f", 4|8, 0o100640, 5, 6), 0, 0, 6, 0o640},
		{"mode of a link", packet(200, 1, ext, "l", 4, 0o600), 8, 0, 0, 0o644}, // Linux has none
		{"what is not there", packet(200, 1, ext, "n", 8, 5, 6), 2, 0, 0, 0o644},
		{"cut off", packet(200, 1, ext, "l", 8, 5), 5, 0, 0, 0o644},
	} {
		files, dir := image(t)
		list, err := serve(t, files, session(x.packet))
		if err != nil || len(list) != 2 || code(t, list[1]) != x.code {
			t.Errorf("%s: %q, %v, want %d", x.what, list, err, x.code)
			continue
		}
		link, err := os.Lstat(dir + "/home/me/l")
		must(t, err)
		file, err := os.Stat(dir + "/home/me/f")
		must(t, err)
		if at := link.ModTime().Unix(); (at == 6) != (x.link == 6) {
			t.Errorf("%s: the link is of %d", x.what, at)
		}
		if at := file.ModTime().Unix(); (at == 6) != (x.file == 6) || uint32(file.Mode().Perm()) != x.mode {
			t.Errorf("%s: the file is of %d, %o", x.what, at, file.Mode().Perm())
		}
	}
}

// What coreutils' stat says of a file system is what the extensions are to say.
func TestStatvfs(t *testing.T) {
	files, dir := image(t)
	out, err := exec.Command("stat", "-f", "-c", "%s %S %b %c %i %l", dir).Output()
	must(t, err)
	var size, fragment, blocks, inodes, id, names uint64
	if _, err := fmt.Sscanf(string(out), "%d %d %d %d %x %d", &size, &fragment, &blocks, &inodes, &id, &names); err != nil {
		t.Fatal(err)
	}
	list, err := serve(t, files, session(packet(3, 1, "f", 1, 0), packet(11, 2, "/"),
		packet(200, 3, "fstatvfs@openssh.com", handle1), packet(200, 4, "fstatvfs@openssh.com", "\x00\x00\x00\x00\x00\x00\x00\x02"),
		packet(200, 5, "statvfs@openssh.com", "/home/me/f"), packet(200, 6, "fstatvfs@openssh.com", "x"), packet(200, 7, "statvfs@openssh.com", "n/n")))
	if err != nil || len(list) != 8 {
		t.Fatalf("%d answers, %v", len(list), err)
	}
	for i, what := range map[int]string{3: "a file", 4: "a directory", 5: "a path"} {
		a := list[i]
		if a[0] != 201 || len(a) != 5+11*8 {
			t.Errorf("%s: %x", what, a)
			continue
		}
		n := make([]uint64, 11) // bsize frsize blocks bfree bavail files ffree favail fsid flag namemax
		for j := range n {
			n[j] = binary.BigEndian.Uint64(a[5+8*j:])
		}
		if n[0] != size || n[1] != fragment || n[2] != blocks || n[5] != inodes || n[8] != id || n[10] != names {
			t.Errorf("%s: %x, want %s", what, n, out)
		}
		if n[3] > n[2] || n[4] > n[3] || n[6] > n[5] || n[9]&^3 != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
	if got := code(t, list[6]); got != 4 {
		t.Errorf("no such handle: %d", got)
	}
	if got := code(t, list[7]); got != 2 {
		t.Errorf("no such path: %d", got)
	}
}
