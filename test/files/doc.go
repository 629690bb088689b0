// Package files drives real clients of file transfer through a bastion and an agent into real containers. It has tests
// only, under the build tag real.
package files
