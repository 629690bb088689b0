package session

import (
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
)

func TestNarrower(t *testing.T) {
	rule := func(size int64, paths ...string) auth.FileRule {
		r := auth.FileRule{MaxSize: size}
		for _, p := range paths {
			g, err := glob.ParsePath(p)
			if err != nil {
				t.Fatal(err)
			}
			r.Paths = append(r.Paths, g)
		}
		return r
	}
	a, b := rule(-1, "/a/**"), rule(5, "/b/**", "/c")
	was := auth.Files{Upload: []auth.FileRule{a, b}, Remove: []auth.FileRule{a}}
	for name, x := range map[string]struct {
		is   auth.Files
		want bool
	}{
		"the same":        {auth.Files{Upload: []auth.FileRule{a, b}, Remove: []auth.FileRule{a}}, false},
		"a rule behind":   {auth.Files{Upload: []auth.FileRule{a, b, rule(-1, "/d")}, Remove: []auth.FileRule{a}}, false},
		"another kind":    {auth.Files{Upload: []auth.FileRule{a, b}, Remove: []auth.FileRule{a}, Chmod: []auth.FileRule{a}}, false},
		"a rule before":   {auth.Files{Upload: []auth.FileRule{b, a, b}, Remove: []auth.FileRule{a}}, true},
		"a rule gone":     {auth.Files{Upload: []auth.FileRule{a}, Remove: []auth.FileRule{a}}, true},
		"a kind gone":     {auth.Files{Upload: []auth.FileRule{a, b}}, true},
		"another size":    {auth.Files{Upload: []auth.FileRule{a, rule(4, "/b/**", "/c")}, Remove: []auth.FileRule{a}}, true},
		"a glob gone":     {auth.Files{Upload: []auth.FileRule{a, rule(5, "/b/**")}, Remove: []auth.FileRule{a}}, true},
		"nothing at all":  {auth.Files{}, true},
		"another pattern": {auth.Files{Upload: []auth.FileRule{a, b}, Remove: []auth.FileRule{rule(-1, "/a/*")}}, true},
	} {
		if got := narrower(was, x.is); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
