//go:build corpus

package shellparse

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCorpus measures the parser on a directory of recordings with truth files beside them, named by CORPUS.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("CORPUS")
	names, err := filepath.Glob(filepath.Join(dir, "*.cast"))
	if dir == "" || err != nil || len(names) == 0 {
		t.Fatalf("set CORPUS to a directory of recordings (%v)", err)
	}
	right := 0
	for _, name := range names {
		raw, err := os.ReadFile(strings.TrimSuffix(name, ".cast") + ".truth.json")
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Items []struct {
				Text, Raw        string
				Either, Optional bool
			}
			Secrets []string
		}
		if err := json.Unmarshal(hideBytes(raw), &v); err != nil {
			t.Fatal(err)
		}
		want := truth{Secrets: v.Secrets}
		for _, i := range v.Items {
			if !i.Either {
				i.Raw = ""
			}
			want.Lines = append(want.Lines, struct {
				Text     string
				Or       string
				Optional bool
			}{showBytes(i.Text), showBytes(i.Raw), i.Optional})
		}
		got := parseFile(t, name)
		if want.right(got) {
			right++
		} else {
			t.Logf("%s: %q", filepath.Base(name), got)
		}
		for _, s := range v.Secrets {
			if strings.Contains(strings.Join(got, "\n"), s) {
				t.Errorf("%s: a secret shows", name)
			}
		}
	}
	t.Logf("%d of %d right", right, len(names))
	if right*100 < len(names)*95 {
		t.Errorf("fewer than 95 in 100")
	}
}
