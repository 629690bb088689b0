//go:build race

package store_test

const slower = 20 // the race detector's part
