package process_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/process"
	"github.com/podbastion/podbastion/agent/runtime/runtimetest"
)

func TestConformance(t *testing.T) {
	defer goleak.VerifyNone(t)
	r := process.New([]process.Pod{{Namespace: "shop", Name: "web", UID: "u1", Container: "app", Dir: t.TempDir()}})
	runtimetest.Run(t, runtimetest.Subject{Runtime: r, Shell: runtime.Key{Namespace: "shop", Pod: "web", Container: "app"}, UID: "u1"})
}
