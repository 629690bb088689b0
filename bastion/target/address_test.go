package target_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/podbastion/podbastion/bastion/target"
)

func TestParse(t *testing.T) {
	long63, long253 := strings.Repeat("a", 63), strings.Repeat("a.", 126)+"a"
	for in, want := range map[string]target.Address{
		"alice":                         {Account: "alice"},
		"Alice.B_c-9":                   {Account: "Alice.B_c-9"},
		"_svc":                          {Account: "_svc"},
		"alice+web-0":                   {Account: "alice", Pod: "web-0"},
		"alice+web.v2-0":                {Account: "alice", Pod: "web.v2-0"},
		"alice+web-0~nginx":             {Account: "alice", Pod: "web-0", Container: "nginx"},
		"alice+shop+web-0":              {Account: "alice", Namespace: "shop", Pod: "web-0"},
		"alice+shop+web-0~nginx":        {Account: "alice", Namespace: "shop", Pod: "web-0", Container: "nginx"},
		"alice+prod+shop+web-0":         {Account: "alice", Cluster: "prod", Namespace: "shop", Pod: "web-0"},
		"a+p+s+w~c":                     {Account: "a", Cluster: "p", Namespace: "s", Pod: "w", Container: "c"},
		"alice+10.1.2.3":                {Account: "alice", Pod: "10.1.2.3"},
		"alice+10.1.2.3~nginx":          {Account: "alice", Pod: "10.1.2.3", Container: "nginx"},
		"alice+fd00::1":                 {Account: "alice", Pod: "fd00::1"},
		"alice+FD00__1~c":               {Account: "alice", Pod: "FD00__1", Container: "c"},
		"alice+shop+app=web":            {Account: "alice", Namespace: "shop", Pod: "app=web"},
		"alice+app=web,tier!=db~nginx":  {Account: "alice", Pod: "app=web,tier!=db", Container: "nginx"},
		"alice+app.example.io~name=Web": {Account: "alice", Pod: "app.example.io~name=Web"},
		"alice+x.io~name=web~nginx":     {Account: "alice", Pod: "x.io~name=web", Container: "nginx"},
		"alice+canary=":                 {Account: "alice", Pod: "canary="},
		"alice+1.2.3.256":               {Account: "alice", Pod: "1.2.3.256"}, // no IP, but a name that Kubernetes permits
		"a+" + long63 + "+" + long63 + "+" + long253 + "~" + long63: {Account: "a", Cluster: target.Cluster(long63),
			Namespace: target.Namespace(long63), Pod: long253, Container: long63},
	} {
		got, err := target.Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		if got != want {
			t.Errorf("Parse(%q) = %+v, want %+v", in, got, want)
		}
		if s := want.String(); s != in {
			t.Errorf("%+v.String() = %q, want %q", want, s, in)
		}
		if got.HasPod() != (want.Pod != "") {
			t.Errorf("%q: HasPod() = %v", in, got.HasPod())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		in   string
		at   int
		says string
	}{
		{"", 0, "account is missing"},
		{"+web", 0, "account is missing"},
		{"-oProxyCommand=x", 0, "cannot begin"},
		{".alice", 0, "cannot begin"},
		{"al ice+web", 2, "not ' '"},
		{"alice@corp+web", 5, "not '@'"},
		{"al:ice", 2, "not ':'"},
		{strings.Repeat("a", 65), 64, "longer than 64"},
		{"alice+", 6, "pod is missing"},
		{"alice+shop+", 11, "pod is missing"},
		{"alice++web", 6, "namespace is missing"},
		{"alice++shop+web", 6, "cluster is missing"},
		{"alice+shop+web~", 15, "container is missing"},
		{"alice+~nginx", 6, "pod is missing"},
		{"alice+a+b+c+d", 11, "more parts"},
		{"alice+shop+Web-0", 11, "lower-case"},
		{"alice+Shop+web", 6, "lower-case"},
		{"alice+sh.op+web", 8, "namespace"},
		{"alice+shop+-web", 11, "begin or end with '-'"},
		{"alice+shop+web-", 14, "begin or end with '-'"},
		{"alice+shop+web.", 15, "begin or end with '.'"},
		{"alice+shop+.web", 11, "begin or end with '.'"},
		{"alice+shop+we_b", 13, "not an IPv6"},
		{"alice+shop+fd00::g", 15, "not an IPv6"},
		{"alice+fd00::1%eth0", 13, "% is not permitted"},
		{"alice+web~a~b", 11, "container"},
		{"alice+web~ng.inx", 12, "container"},
		{"alice+shop+../etc", 11, "two dots"},
		{"alice+shop/web", 10, "/ is not permitted"},
		{"alice+%2e%2e", 6, "% is not permitted"},
		{"alice+we\x1bb", 8, "control"},
		{"alice+we\x00b", 8, "control"},
		{"alice+web\n", 9, "control"},
		{"alice+web\x7f", 9, "control"},
		{"alice+wéb", 7, "ASCII"},
		{"alice+w\u202eb", 7, "ASCII"},
		{"alice+" + strings.Repeat("a", 64) + "+w", 69, "longer than 63"},
		{"alice+" + strings.Repeat("a", 254), 259, "longer than 253"},
		{"alice+" + strings.Repeat("a.", 600), 1024, "longer than 1024"},
		{"alice+=web", 6, "key is missing"},
		{"alice+app=web,", 14, "missing"},
		{"alice+app=web,canary", 14, "not key=value"},
		{"alice+tier!=db", 6, "at least one"},
		{"alice+shop+tier!=db", 11, "at least one"},
		{"alice+app==web", 10, "single ="},
		{"alice+app=-web", 10, "begin or end"},
		{"alice+app=web.", 13, "begin or end"},
		{"alice+app=we:b", 12, "not ':'"},
		{"alice+app=web~nginx,tier=x", 13, "comes last"},
		{"alice+tier in (web)=x", 10, "not ' '"},
		{"alice+x.io/name=web", 10, "write ~"},
		{"alice+~name=web", 6, "prefix"},
		{"alice+X.io~name=web", 6, "prefix"},
		{"alice+x.io~=web", 11, "key is missing"},
		{"alice+app=" + strings.Repeat("v", 64), 73, "at most 63"},
		{"alice+" + strings.Repeat("a=b,", 16) + "a=b", 70, "at most 16"},
	} {
		got, err := target.Parse(c.in)
		var se *target.SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("Parse(%q) = %+v, %v; want a SyntaxError", c.in, got, err)
			continue
		}
		if got != (target.Address{}) {
			t.Errorf("Parse(%q) gives %+v beside its error", c.in, got)
		}
		if se.At != c.at || !strings.Contains(se.Problem, c.says) || se.Input != c.in {
			t.Errorf("Parse(%q): at %d: %s; want at %d: …%s…", c.in, se.At, se.Problem, c.at, c.says)
		}
		if s := se.Error(); !strings.Contains(s, "alice+shop+web-0~nginx") || strings.IndexFunc(s, unsafe) >= 0 || len(s) > 1200 {
			t.Errorf("Parse(%q): the error text is %q", c.in, s)
		}
	}
}

// unsafe tells of characters that would not be plain on a terminal.
func unsafe(r rune) bool { return !unicode.IsPrint(r) }

func TestIP(t *testing.T) {
	for pod, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "fd00::1": "fd00::1", "fd00__1": "fd00::1", "FD00_0_0__1": "fd00::1", "__ffff_10.1.2.3": "10.1.2.3",
		"web-0": "", "1.2.3": "", "app=web": "", "": "",
	} {
		got, ok := target.Address{Account: "a", Pod: pod}.IP()
		if ok != (want != "") || ok && got != netip.MustParseAddr(want) {
			t.Errorf("IP of %q = %v, %v; want %q", pod, got, ok, want)
		}
	}
}

func TestSelector(t *testing.T) {
	a, err := target.Parse("alice+app.example.io~name=web,tier!=db,canary=")
	if err != nil {
		t.Fatal(err)
	}
	sel, ok := a.Selector()
	want := target.Selector{{Key: "app.example.io/name", Value: "web"}, {Key: "tier", Value: "db", Not: true}, {Key: "canary"}}
	if !ok || !reflect.DeepEqual(sel, want) {
		t.Fatalf("Selector() = %+v, %v; want %+v", sel, ok, want)
	}
	for _, c := range []struct {
		labels map[string]string
		want   bool
	}{
		{map[string]string{"app.example.io/name": "web", "canary": ""}, true},
		{map[string]string{"app.example.io/name": "web", "canary": "", "tier": "front"}, true},
		{map[string]string{"app.example.io/name": "web", "canary": "", "tier": "db"}, false},
		{map[string]string{"app.example.io/name": "web"}, false},
		{map[string]string{"app.example.io/name": "api", "canary": ""}, false},
		{nil, false},
	} {
		if got := sel.Matches(c.labels); got != c.want {
			t.Errorf("Matches(%v) = %v", c.labels, got)
		}
	}
	if (target.Selector{}).Matches(map[string]string{"a": "b"}) {
		t.Error("an empty selector matches")
	}
	if _, ok := (target.Address{Pod: "web"}).Selector(); ok {
		t.Error("a name reads as a selector")
	}
}

// FuzzParse holds what everything behind the grammar relies on: an accepted address is given back byte for byte, and
// no part of it can end a path, a line or a terminal's peace.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"alice", "alice+web-0", "a+p+s+w~c", "a+10.0.0.1", "a+fd00__1", "a+x.io~n=v,b!=c~d", "a+../x", "+", "a+=", "a+b~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, err := target.Parse(in)
		if err != nil {
			var se *target.SyntaxError
			if !errors.As(err, &se) || se.At < 0 || se.At > len(in) {
				t.Fatalf("Parse(%q): %#v", in, err)
			}
			if strings.IndexFunc(err.Error(), unsafe) >= 0 {
				t.Fatalf("Parse(%q): unsafe text %q", in, err.Error())
			}
			return
		}
		if a.String() != in {
			t.Fatalf("Parse(%q).String() = %q", in, a.String())
		}
		if again, err := target.Parse(a.String()); err != nil || again != a {
			t.Fatalf("Parse(%q) = %+v, again %+v, %v", in, a, again, err)
		}
		for i := 0; i < len(in); i++ {
			if c := in[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("/%\\'\"`;&<>|(){}$@*?[]#^", c) >= 0 {
				t.Fatalf("Parse(%q) let %q through", in, c)
			}
		}
		if strings.Contains(in, "..") {
			t.Fatalf("Parse(%q) let .. through", in)
		}
		for _, part := range []string{string(a.Cluster), string(a.Namespace), a.Container} {
			if strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(part) > 63 {
				t.Fatalf("Parse(%q) let %q through", in, part)
			}
		}
		if strings.Contains(a.Pod, "=") {
			if sel, ok := a.Selector(); !ok || len(sel) == 0 {
				t.Fatalf("Parse(%q): %v, %v", in, sel, ok)
			}
		}
	})
}
