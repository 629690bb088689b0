package facts

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const users = "root:x:0:0::/root:/bin/sh\n\nhalf:x\nbad:x:many:0::/:/bin/sh\napp:x:7:8::/home/app:/bin/bash\nagain:x:7:9::/:/bin/sh\n"

// container is a root with files in it, and a secret user database beside it.
func container(t *testing.T) (root *os.File, dir string) {
	t.Helper()
	base := t.TempDir()
	dir = filepath.Join(base, "root")
	for name, text := range map[string]string{
		base + "/outside": "evil:x:0:0::/:/bin/sh\n", dir + "/etc/group": "wheel:x:10:app,x\nbad:x:y:app\nlog:x:4:app\nnone:x:11:\n",
		dir + "/bin/bash": "", dir + "/bin/plain": "",
	} {
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(text), 0o644))
	}
	must(t, os.Chmod(dir+"/bin/bash", 0o755))
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opened tells whether a file was opened for more than looking at it (inotify(7)) while act ran.
func opened(t *testing.T, file string, act func()) bool {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.InotifyAddWatch(fd, file, unix.IN_OPEN)
	must(t, err)
	act()
	n, err := unix.Read(fd, make([]byte, 4096))
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return n > 0
}

func TestUserDatabase(t *testing.T) {
	write := func(text string) func(t *testing.T, name string) {
		return func(t *testing.T, name string) { t.Helper(); must(t, os.WriteFile(name, []byte(text), 0o644)) }
	}
	link := func(text string) func(t *testing.T, name string) {
		return func(t *testing.T, name string) { t.Helper(); must(t, os.Symlink(text, name)) }
	}
	huge := func(t *testing.T, name string) {
		t.Helper()
		write(strings.Repeat("u:x:1:1::/:/bin/sh\n", maxPasswd/19+1)+"app:x:7:8::/home/app:/bin/bash\n")(t, name)
		must(t, os.Truncate(name, 1<<40))
	}
	for name, x := range map[string]struct {
		make  func(t *testing.T, name string)
		user  string
		want  Facts
		shell string
		fails bool
		not   bool // not even opened
	}{
		"a name":            {make: write(users), user: "app", want: Facts{User: "app", UID: 7, GID: 8, Home: "/home/app"}, shell: "/bin/bash"},
		"a number":          {make: write(users), user: "7", want: Facts{User: "app", UID: 7, GID: 8, Home: "/home/app"}, shell: "/bin/bash"},
		"nobody named":      {make: write(users), want: Facts{User: "root", Home: "/root"}, shell: "/bin/sh"},
		"an unknown number": {make: write(users), user: "99", want: Facts{User: "99", UID: 99}},
		"an unknown name":   {make: write(users), user: "who", fails: true},
		"no number":         {make: write(users), user: "bad", fails: true},
		"no database":       {make: func(*testing.T, string) {}, user: "5", want: Facts{User: "5", UID: 5}},
		"a link inside":     {make: link("../etc/other"), user: "app", want: Facts{User: "app", UID: 7, GID: 8, Home: "/home/app"}, shell: "/bin/bash"},
		"a link from above": {make: link("/../../../etc/other"), user: "app", want: Facts{User: "app", UID: 7, GID: 8, Home: "/home/app"}, shell: "/bin/bash"},
		"a link out":        {make: link("../../outside"), user: "evil", fails: true},
		"a magic link":      {make: link("/proc/self/root/etc/passwd"), user: "root", fails: true},
		"a huge file":       {make: huge, user: "app", fails: true},
		"a long line":       {make: write(strings.Repeat("x", 1<<20) + "\n" + users), user: "app", fails: true},
		"a pipe":            {make: func(t *testing.T, name string) { t.Helper(); must(t, unix.Mkfifo(name, 0o666)) }, user: "app", fails: true, not: true},
		"a pipe, a number":  {make: func(t *testing.T, name string) { t.Helper(); must(t, unix.Mkfifo(name, 0o666)) }, user: "5", want: Facts{User: "5", UID: 5}, not: true},
		"a directory":       {make: func(t *testing.T, name string) { t.Helper(); must(t, os.Mkdir(name, 0o755)) }, user: "app", fails: true, not: true},
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := container(t)
			must(t, os.WriteFile(dir+"/etc/other", []byte(users), 0o644))
			file := dir + "/etc/passwd"
			x.make(t, file)
			var got Facts
			var shell string
			var err error
			look := func() { shell, err = lookup(root, x.user, &got) }
			if !x.not {
				look()
			} else if opened(t, file, look) {
				t.Error("it was opened")
			}
			if (err != nil) != x.fails {
				t.Fatal(err)
			}
			if err == nil && (got.User != x.want.User || got.UID != x.want.UID || got.GID != x.want.GID || got.Home != x.want.Home || shell != x.shell) {
				t.Errorf("%+v, shell %q, want %+v, %q", got, shell, x.want, x.shell)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	for name, x := range map[string]struct {
		user, group string
		added       []string
		gid         uint32
		want        []uint32
		fails       bool
	}{
		"a member":            {user: "app", gid: 8, want: []uint32{4, 10}},
		"no member":           {user: "who", gid: 8},
		"a group is named":    {user: "app", group: "none", gid: 11},
		"a number is named":   {user: "app", group: "77", gid: 77},
		"added by the pod":    {user: "app", added: []string{"4242", "log", "4"}, gid: 8, want: []uint32{4, 10, 4242}},
		"an unknown group":    {user: "app", group: "nope", fails: true},
		"an unknown addition": {user: "app", added: []string{"nope"}, fails: true},
	} {
		root, _ := container(t)
		c := Credentials{UID: 7, GID: 8}
		err := c.groups(root, x.user, x.group, x.added)
		if (err != nil) != x.fails {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (c.GID != x.gid || !slices.Equal(c.Groups, x.want)) {
			t.Errorf("%s: %+v, want %d and %v", name, c, x.gid, x.want)
		}
	}
	root, dir := container(t)
	must(t, os.Remove(dir+"/etc/group"))
	must(t, unix.Mkfifo(dir+"/etc/group", 0o666))
	if opened(t, dir+"/etc/group", func() { _ = (&Credentials{}).groups(root, "app", "", nil) }) {
		t.Error("a pipe was opened")
	}
}

func TestExecutable(t *testing.T) {
	root, dir := container(t)
	must(t, os.Symlink("/bin/bash", dir+"/bin/sh"))
	must(t, os.Symlink("../../outside", dir+"/bin/out"))
	for name, want := range map[string]bool{"/bin/bash": true, "/bin/sh": true, "/bin/plain": false, "/bin": false, "/bin/out": false, "/bin/none": false} {
		if got := executable(root, name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for shell, want := range map[string]bool{"/bin/bash": true, "/usr/sbin/nologin": false, "/bin/false": false, "bash": false, "": false} {
		if got := letsIn(shell); got != want {
			t.Errorf("%s lets in: %v", shell, got)
		}
	}
}
