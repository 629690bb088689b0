// Package imports holds the table of who may import whom, as a test. It has no code of its own: the table is in
// table_test.go, each line with its reason, and what reads the sources in imports_test.go.
package imports
