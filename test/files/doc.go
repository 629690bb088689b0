// Package files drives real clients of file transfer through a bastion and an agent into real containers: through those
// that are linked into a test where it looks inside or breaks something, through the built program where it moves much.
// It has tests only, under the build tag real.
package files
