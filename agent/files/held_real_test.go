//go:build real

package files

import (
	"os"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent/files/confine"
)

// After make build an agent starts the small helper that it holds, not itself.
func TestHelperIsHeld(t *testing.T) {
	want, err := built.ReadFile("built/helper")
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.Open("/proc/self/exe") // any file will do: nothing is started
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	cmd, err := NewConfined(logrus.New(), "").program.Command(confine.Spec{Process: process})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := cmd.ExtraFiles[0].Stat(); err != nil || st.Size() != int64(len(want)) {
		t.Errorf("the program has another size than the %d bytes that are held: %v, %v", len(want), st, err)
	}
}
