package facts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Which files a shell reads is what its manual says.
func TestStartFiles(t *testing.T) {
	for _, tt := range []struct {
		name, program string
		env           map[string]string
		files         []string // that are there
		want          []string
	}{
		{"readline's own", "bash", nil, []string{"/h/.inputrc", "/etc/inputrc"}, []string{"/h/.inputrc"}},
		{"readline's for everybody", "bash", nil, []string{"/etc/inputrc", "/h/.bashrc"}, []string{"/etc/inputrc", "/h/.bashrc"}},
		{"readline's elsewhere", "bash", map[string]string{"INPUTRC": "/x/keys"}, []string{"/h/.inputrc", "/x/keys"}, []string{"/x/keys"}},
		{"login and not", "bash", nil, []string{"/etc/bash.bashrc", "/h/.profile", "/h/.bashrc", "/h/.zshrc"}, []string{"/etc/bash.bashrc", "/h/.profile", "/h/.bashrc"}},
		{"zsh", "zsh", nil, []string{"/etc/zsh/zshrc", "/h/.zshrc", "/h/.inputrc"}, []string{"/etc/zsh/zshrc", "/h/.zshrc"}},
		{"zsh elsewhere", "zsh", map[string]string{"ZDOTDIR": "/x"}, []string{"/x/.zshrc", "/h/.zshrc"}, []string{"/x/.zshrc"}},
		{"zsh like vi", "zsh", map[string]string{"EDITOR": "/usr/bin/vim"}, []string{"/h/.zshrc"}, []string{"VISUAL", "/h/.zshrc"}},
		{"fish", "fish", nil, []string{"/h/.config/fish/config.fish", "/h/.config/fish/conf.d/b.fish", "/h/.config/fish/conf.d/a.fish", "/h/.config/fish/conf.d/no.txt", "/h/.config/fish/functions/fish_user_key_bindings.fish"},
			[]string{"/h/.config/fish/config.fish", "/h/.config/fish/functions/fish_user_key_bindings.fish", "/h/.config/fish/conf.d/a.fish", "/h/.config/fish/conf.d/b.fish"}},
		{"mksh", "mksh", map[string]string{"ENV": "$HOME/keys"}, []string{"/h/keys", "/h/.mkshrc", "/h/.bashrc"}, []string{"/h/.mkshrc", "/h/keys"}},
		{"no shell", "vim", nil, []string{"/h/.inputrc", "/h/.profile"}, nil},
		{"no home", "bash", map[string]string{"HOME": "h"}, []string{"/h/.inputrc", "/h/.bashrc"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, dir := container(t)
			for _, name := range tt.files {
				must(t, os.MkdirAll(filepath.Dir(dir+name), 0o755))
				must(t, os.WriteFile(dir+name, []byte("text of "+name), 0o644))
			}
			r := startReader{root: root, env: map[string]string{"HOME": "/h"}}
			for name, value := range tt.env {
				r.env[name] = value
			}
			r.read(tt.program)
			var got []string
			for _, f := range r.files {
				got = append(got, f.Name)
				if f.Name == "VISUAL" && f.Text == "bindkey -v\n" {
					continue
				}
				if f.Text != "text of "+f.Name || f.Keys != (strings.HasSuffix(f.Name, "inputrc") || f.Name == "/x/keys") {
					t.Errorf("%+v", f)
				}
			}
			if strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What a start file sources is read, too, where its name can be told.
func TestSourcedFiles(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"source", "source /x/a", "/x/a"},
		{"a dot", ". /x/a\n", "/x/a"},
		{"of the home", "  . ~/a", "/h/a"},
		{"a variable", `. "$HOME"/a; . ${HOME}/b`, "/h/a /h/b"},
		{"when it is there", "[ -r /x/a ] && . /x/a", "/x/a"},
		{"in a condition", "if [ -f ~/a ]; then . ~/a; else source '/x/a'; fi", "/h/a /x/a"},
		{"an assignment", "export D=$HOME/d\nsource $D/a", "/h/d/a"},
		{"a default", ". \"${XDG_CONFIG_HOME:-$HOME}/a\"\n. ${D:-/x}/a", "/x/a"},
		{"what that sources", ". /x/next", "/x/next /x/a"},
		{"itself", ". ~/.bashrc", ""},
		{"readline's file", "bind -f ~/a; bind -x '\"f\": g'", "/h/a"},
		{"twice", ". /x/a\n. /x/a", "/x/a"},
		{"no source", "echo . /x/a; ./x/a; resource /x/a; # . /x/a", ""},
		{"a name that only shows when it runs", `. $(echo /x/a); . "$nothing"; for f in /x/*; do . $f; done`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, dir := container(t)
			for name, text := range map[string]string{"/h/.bashrc": tt.text, "/h/a": "", "/h/b": "", "/h/d/a": "", "/x/a": "", "/x/next": "source /x/a"} {
				must(t, os.MkdirAll(filepath.Dir(dir+name), 0o755))
				must(t, os.WriteFile(dir+name, []byte(text), 0o644))
			}
			r := startReader{root: root, env: map[string]string{"HOME": "/h"}}
			r.read("bash")
			var got []string
			for _, f := range r.files {
				got = append(got, f.Name)
			}
			if want := strings.TrimSpace("/h/.bashrc " + tt.want); strings.Join(got, " ") != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Zsh's first file may say where the others are.
func TestZshFilesElsewhere(t *testing.T) {
	root, dir := container(t)
	for name, text := range map[string]string{"/h/.zshenv": "export ZDOTDIR=~/z\n", "/h/.zshrc": "", "/h/z/.zshrc": ""} {
		must(t, os.MkdirAll(filepath.Dir(dir+name), 0o755))
		must(t, os.WriteFile(dir+name, []byte(text), 0o644))
	}
	r := startReader{root: root, env: map[string]string{"HOME": "/h"}}
	r.read("zsh")
	if len(r.files) != 2 || r.files[0].Name != "/h/.zshenv" || r.files[1].Name != "/h/z/.zshrc" {
		t.Errorf("%+v", r.files)
	}
}

// What a user makes of such a file is no way out, does not wait, and has its bounds.
func TestHostileStartFiles(t *testing.T) {
	root, dir := container(t)
	must(t, os.MkdirAll(dir+"/h", 0o755))
	must(t, os.WriteFile(dir+"/h/.inputrc", []byte(strings.Repeat("$include /h/.inputrc\n", 10)+strings.Repeat("x", 2*maxStartFile)), 0o644))
	must(t, unix.Mkfifo(dir+"/h/.profile", 0o644))
	must(t, os.Symlink("../../outside", dir+"/h/.bashrc"))
	must(t, os.Symlink("/proc/self/environ", dir+"/h/.bash_login"))
	for i := range 2 * maxStartFiles {
		name := fmt.Sprintf("%s/f/fish/conf.d/%02d.fish", dir, i)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(strings.Repeat("x", 2*maxStartFile)), 0o644))
	}
	many := startReader{root: root, env: map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/f"}}
	many.read("fish")
	sum := 0
	for _, f := range many.files {
		sum += len(f.Text)
	}
	if len(many.files) > maxStartFiles || sum == 0 || sum > maxStartText {
		t.Errorf("%d files of %d bytes", len(many.files), sum)
	}
	must(t, os.MkdirAll(dir+"/s", 0o755))
	must(t, os.WriteFile(dir+"/s/.bashrc", []byte("A=/s/.bashrc\n"+strings.Repeat("A=$A$A\n. $A\n. /s/none\n", 1000)), 0o644))
	sources := startReader{root: root, env: map[string]string{"HOME": "/s"}}
	sources.read("bash")
	if len(sources.files) != 1 || len(sources.env["A"]) > maxName {
		t.Errorf("%d files, a name of %d bytes", len(sources.files), len(sources.env["A"]))
	}
	r := startReader{root: root, env: map[string]string{"HOME": "/h"}}
	r.read("bash")
	if len(r.files) == 0 || len(r.files) > maxIncludes+1 {
		t.Errorf("%d files", len(r.files))
	}
	for _, f := range r.files {
		if f.Name != "/h/.inputrc" || len(f.Text) > maxStartFile {
			t.Errorf("%s of %d bytes", f.Name, len(f.Text))
		}
	}
}
