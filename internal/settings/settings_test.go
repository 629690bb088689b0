package settings_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/podbastion/podbastion/internal/settings"
)

type config struct {
	Listen  string        `yaml:"listen" default:":2222" doc:"where clients connect"`
	Grace   time.Duration `yaml:"grace" default:"30s" doc:"time to log in"`
	Max     int           `yaml:"max" default:"10" doc:"connections"`
	Open    bool          `yaml:"open" doc:"a switch"`
	Sources []string      `yaml:"sources" default:"a, b" doc:"a list"`
	Audit   struct {
		LogFile string `yaml:"logFile" default:"audit.jsonl" doc:"the log"`
	} `yaml:"audit"`
	Clusters []struct {
		Name string `yaml:"name"`
	} `yaml:"clusters" doc:"clusters"`
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLaterSourcesWin(t *testing.T) {
	env := map[string]string{"PB_GRACE": "2m", "PB_AUDIT_LOG_FILE": "env.jsonl", "PB_MAX": "12"}
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	settings.AddFlags(flags, &config{})
	if err := flags.Parse([]string{"--max=13"}); err != nil {
		t.Fatal(err)
	}
	var c config
	err := settings.Load(&c, settings.Source{
		File:      write(t, "grace: 1m\nmax: 11\nopen: true\nclusters: [{name: one}]\n"),
		EnvPrefix: "PB",
		LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		Flags:     flags,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := config{Listen: ":2222", Grace: 2 * time.Minute, Max: 13, Open: true, Sources: []string{"a", "b"}}
	want.Audit.LogFile = "env.jsonl"
	want.Clusters = append(want.Clusters, struct {
		Name string `yaml:"name"`
	}{"one"})
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	for _, tc := range []struct{ file, env, want string }{
		{"listen: a\nlisten2: b\n", "", "line 2: field listen2 not found"},
		{"grace: [1]\n", "", "line 1"},
		{"", "many", "environment variable PB_MAX: \"many\" is no number"},
	} {
		var c config
		err := settings.Load(&c, settings.Source{
			File: write(t, tc.file), EnvPrefix: "PB",
			LookupEnv: func(k string) (string, bool) { return tc.env, k == "PB_MAX" && tc.env != "" },
		})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("file %q env %q: got %v, want %q in it", tc.file, tc.env, err, tc.want)
		}
	}
}

func TestReferenceNamesEverySetting(t *testing.T) {
	var b strings.Builder
	if err := settings.Reference(&b, &config{}, "PB"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"listen (text, default: :2222)", "--audit.logFile, environment PB_AUDIT_LOG_FILE", "clusters (list, in the file only"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
