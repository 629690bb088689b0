//go:build real

package files_test

import (
	"os"
	"testing"

	"github.com/podbastion/podbastion/internal/atonce"
)

func TestMain(m *testing.M) {
	atonce.Set(4)
	os.Exit(m.Run())
}
