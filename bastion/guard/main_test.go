package guard

import (
	"flag"
	"os"
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
	os.Exit(m.Run())
}
