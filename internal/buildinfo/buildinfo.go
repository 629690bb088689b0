// Package buildinfo tells what a binary was built from, as the Go toolchain wrote it into the binary.
package buildinfo

import (
	"fmt"
	"runtime/debug"
)

// String is one line: program, version, revision, Go version.
func String(program string) string {
	version, revision, goVersion := "unknown", "", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				revision = " " + s.Value[:12]
			}
		}
	}
	return fmt.Sprintf("%s %s%s (%s)", program, version, revision, goVersion)
}
