package filewire_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/podbastion/podbastion/internal/filewire"
)

// Names in a container are bytes; the far side gets those that the client sent.
func TestHeader(t *testing.T) {
	size := int64(5)
	want := filewire.Header{
		Protocol: filewire.SCP, SCP: &filewire.Copy{Recursive: true, Paths: []string{"/a b", "/invalid-\xff", "/\u2603\n"}},
		Rules: filewire.Rules{Download: []filewire.Rule{{Paths: []string{"/**"}, MaxSize: &size}}},
	}
	var b bytes.Buffer
	if err := filewire.WriteHeader(&b, want); err != nil {
		t.Fatal(err)
	}
	b.WriteString("rest")
	got, err := filewire.ReadHeader(&b)
	if err != nil || !reflect.DeepEqual(got, want) || b.String() != "rest" {
		t.Errorf("%+v, %v, %q", got, err, b.String())
	}
}
