// Package atonce is for tests that wait for other programs most of their time: more of them than there are processors
// run side by side.
package atonce

import (
	"flag"
	"strconv"
)

// Set lets n tests run at once, unless -parallel says otherwise. It is for TestMain.
func Set(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(n)) // it is a flag of every test's
	}
}
