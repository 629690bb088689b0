// Package tty holds the one type that every layer with a terminal shares. It knows nothing else.
package tty

// Size is a terminal's size in character cells. It is always passed as this struct, never as two integers, so that
// columns and rows cannot change places on the way.
type Size struct {
	Cols uint16
	Rows uint16
}
