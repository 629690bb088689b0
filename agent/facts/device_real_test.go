//go:build real

package facts

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Opening can be an act where the file is a device, which root in a container can make.
func TestDeviceIsNotOpened(t *testing.T) {
	root, dir := container(t)
	file := dir + "/etc/passwd"
	must(t, unix.Mknod(file, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))) // #nosec G115 -- small
	var err error
	if opened(t, file, func() { _, err = lookup(root, "app", &Facts{}) }) || err == nil {
		t.Errorf("it was opened, or taken for a file: %v", err)
	}
}
