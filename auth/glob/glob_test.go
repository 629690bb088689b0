package glob

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "anything", true}, {"*", "a/b", false}, {"web-*", "web-", true}, {"web-*", "web-1-2", true},
		{"web-*", "xweb-1", false}, {"w?b", "web", true}, {"w?b", "wéb", true}, {"w?b", "wb", false},
		{"[a-c]x", "bx", true}, {"[a-c]x", "dx", false}, {"[^a-c]x", "dx", true}, {"[!a-c]x", "bx", false},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {"a.b", "axb", false}, {"a+b", "aab", false}, {"web", "web\n", false},
		{"/usr/bin/*", "/usr/bin/ls", true}, {"/usr/bin/*", "ls", false}, {"ls", "/bin/ls", false}, {"[]a]", "]", true}, {"[a-]", "-", true},
	}
	for _, tt := range tests {
		g, err := ParseName(tt.pattern)
		if err != nil {
			t.Fatalf("%s: %v", tt.pattern, err)
		}
		if got := g.Match(tt.name); got != tt.want {
			t.Errorf("%q on %q: %v", tt.pattern, tt.name, got)
		}
	}
	for _, bad := range []string{"", "[", "a[b", "[z-a]", `a\`, "[a", strings.Repeat("a", 2000), "\xff"} {
		if _, err := ParseName(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestPath(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"/**", "/", true}, {"/**", "/etc/passwd", true}, {"/tmp/**", "/tmp", true}, {"/tmp/**", "/tmp/a/b", true},
		{"/tmp/**", "/tmpx", false}, {"/tmp/*", "/tmp/a", true}, {"/tmp/*", "/tmp/a/b", false}, {"/tmp/*", "/tmp", false},
		{"/srv/**/log", "/srv/log", true}, {"/srv/**/log", "/srv/a/b/log", true}, {"/srv/**/log", "/srv/alog", false},
		{"/tmp/**", "/tmp/../etc/passwd", false}, {"/tmp/**", "tmp/a", false}, {"/tmp/**", "/tmp//a", false},
		{"/tmp/**", "/tmp/a\nb", true}, {"/tmp/**", "/tmp/\xff", true}, {"/tmp/?", "/tmp/\xff", true}, {"/a[^b]c", "/a/c", false}, {"/a?c", "/a/c", false},
		{"/tmp", "/tmp", true}, {"/a.b", "/axb", false},
	}
	for _, tt := range tests {
		g, err := ParsePath(tt.pattern)
		if err != nil {
			t.Fatalf("%s: %v", tt.pattern, err)
		}
		if got := g.Match(tt.path); got != tt.want {
			t.Errorf("%q on %q: %v", tt.pattern, tt.path, got)
		}
	}
	for _, bad := range []string{"", "tmp", "/tmp/", "/a/../b", "/a**", "/**a", "/[/]", "/[.-0]"} {
		if _, err := ParsePath(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
