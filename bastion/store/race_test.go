//go:build race

package store_test

// the race detector's part
const (
	slower = 20
	sample = 5_000
)
