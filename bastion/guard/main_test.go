package guard

import (
	"flag"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// The tests wait for shells for most of their time, so that more of them than there are processors run side by side.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8") // it is a flag of every test's
	}
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		if signal.Ignored(s) { // as in a job in the background: dash would ignore it for ever, and nothing would clear its line
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	os.Exit(m.Run())
}
