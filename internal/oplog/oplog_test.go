package oplog_test

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/klog/v2"

	"github.com/podbastion/podbastion/internal/oplog"
)

func TestKubernetes(t *testing.T) {
	var out bytes.Buffer
	log, err := oplog.New("debug", "text", &out)
	if err != nil {
		t.Fatal(err)
	}
	oplog.Kubernetes(log)
	klog.Error("stream \x1b[2Jended")
	klog.Flush()
	if got := out.String(); !strings.Contains(got, "part=kubernetes") || !strings.Contains(got, `stream \x1b[2Jended`) || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string][2]string{"log.level": {"loud", "text"}, "log.format": {"info", "xml"}} {
		if _, err := oplog.New(c[0], c[1], nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
