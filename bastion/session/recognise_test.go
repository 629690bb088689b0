package session

import (
	"reflect"
	"testing"

	"github.com/podbastion/podbastion/internal/filewire"
)

func TestRecognise(t *testing.T) {
	scp := func(c filewire.Copy, paths ...string) *filewire.Header {
		c.Paths = paths
		return &filewire.Header{Protocol: filewire.SCP, SCP: &c}
	}
	sftp := &filewire.Header{Protocol: filewire.SFTP}
	sink := filewire.Copy{Sink: true}
	for command, want := range map[string]*filewire.Header{
		// What clients send: OpenSSH, PuTTY, curl, WinSCP, Ansible.
		"scp -t /tmp/x":                scp(sink, "/tmp/x"),
		"scp -f /tmp/x":                scp(filewire.Copy{}, "/tmp/x"),
		"scp -r -p -d -t -- /tmp/x":    scp(filewire.Copy{Sink: true, Recursive: true, Preserve: true, Directory: true}, "/tmp/x"),
		"scp -v -prf /a /b":            scp(filewire.Copy{Recursive: true, Preserve: true}, "/a", "/b"),
		"/usr/bin/scp -qt x":           scp(sink, "x"),
		"scp -f *.log":                 scp(filewire.Copy{}, "*.log"),
		`scp -f "*.log"`:               scp(filewire.Copy{}, `\*.log`),
		`scp -f '~x'`:                  scp(filewire.Copy{}, `\~x`),
		"scp -f ~app/x":                scp(filewire.Copy{}, "~app/x"),
		`scp -f /a\ b`:                 scp(filewire.Copy{}, "/a b"),
		`scp -f "a \"b\" \$c"`:         scp(filewire.Copy{}, `a "b" $c`),
		"scp -t -- -x":                 scp(sink, "-x"),
		"  scp\t-t  x ":                scp(sink, "x"),
		"scp -t \xff":                  scp(sink, "\xff"),
		"sftp-server":                  sftp,
		"/usr/lib/openssh/sftp-server": sftp,
		"internal-sftp":                sftp,
		"'/usr/libexec/sftp-server'":   sftp,
		// What is more than a transfer, or is none, is a command.
		"":                            nil,
		"scp":                         nil,
		"scp /a /b":                   nil,
		"scp -t":                      nil,
		"scp -f":                      nil,
		"scp -t -f x":                 nil,
		"scp -t a b":                  nil,
		"scp -S /tmp/x -t y":          nil,
		"scp -tS/tmp/x y":             nil,
		"scp -o ProxyCommand=id -t y": nil,
		"scp --t y":                   nil,
		"scp -t x; id":                nil,
		"scp -t x\nid":                nil,
		"scp -t x & id":               nil,
		"scp -t x | sh":               nil,
		"scp -t $(id)":                nil,
		"scp -t `id`":                 nil,
		`scp -t "$(id)"`:              nil,
		`scp -t "` + "`id`" + `"`:     nil,
		"scp -t $HOME":                nil,
		"scp -t {a,b}":                nil,
		"scp -t x > y":                nil,
		"scp -t 'x":                   nil,
		`scp -t x\`:                   nil,
		"scp -t x #":                  nil,
		"A=b scp -t x":                nil,
		"sudo scp -t x":               nil,
		"sh -c 'scp -t x'":            nil,
		"sftp-server -e":              nil,
		"sftp-server; id":             nil,
		"sftp":                        nil,
		"rsync --server . x":          nil,
	} {
		got, ok := Recognise(command)
		switch {
		case ok != (want != nil):
			t.Errorf("%q is a transfer: %v", command, ok)
		case ok && !reflect.DeepEqual(got, *want):
			t.Errorf("%q is %+v %+v, want %+v %+v", command, got, got.SCP, *want, want.SCP)
		}
	}
	for command, want := range map[string]bool{
		"rsync --server . x": true, "/usr/bin/rsync --server --sender . x": true, "rsync -a x y": false, "rsync --serve . x": false, "rsync": false, "rsync --server . x; id": false, "sudo rsync --server . x": false,
	} {
		if got := rsyncServer(command); got != want {
			t.Errorf("%q is rsync's far side: %v", command, got)
		}
	}
}
