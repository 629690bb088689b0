package guard

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/podbastion/podbastion/internal/atonce"
)

func TestMain(m *testing.M) {
	atonce.Set(6)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		if signal.Ignored(s) { // as in a job in the background: dash would ignore it for ever, and nothing would clear its line
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	os.Exit(m.Run())
}
