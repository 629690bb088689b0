//go:build real && live

package files_test

import "testing"

// TestAnsibleInEverySetting has every module run by every transfer method, with pipelining and without.
func TestAnsibleInEverySetting(t *testing.T) {
	w, tree := newAnsible(t)
	for _, method := range []string{"smart", "sftp", "scp", "piped"} {
		for _, pipelining := range []string{"True", "False"} {
			t.Run(method+" pipelining="+pipelining, func(t *testing.T) { w.play(t, tree, setting{method, pipelining, true}) })
		}
	}
}
