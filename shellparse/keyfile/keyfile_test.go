package keyfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// The notations are those of the manuals; what a terminal sends for each was typed into the shells themselves
// (TestKeysOfStartFiles of package guard does so).
func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		dialect    syntax.Dialect // empty: readline's file
		want       []Binding
	}{
		{"a control key", `"\C-t": accept-line`, "", []Binding{{Keys: "\x14", Plain: true}}},
		{"a name", "Control-t: accept-line", "", []Binding{{Keys: "\x14", Plain: true}}},
		{"a short name", "C-M-t:Operate-And-Get-Next", "", []Binding{{Keys: "\x1b\x14", Plain: true}}},
		{"a named key", "Meta-Rubout: accept-line\nTAB: accept-line", "", []Binding{{Keys: "\x1b\x7f", Plain: true}, {Keys: "\t", Plain: true}}},
		{"a function key", `"\e[24~": accept-line # mine`, "", []Binding{{Keys: "\x1b[24~", Plain: true}}},
		{"meta", `"\M-t": accept-line`, "", []Binding{{Keys: "\x1bt", Plain: true}}},
		{"both", `"\C-\M-t": accept-line`, "", []Binding{{Keys: "\x1b\x14", Plain: true}}},
		{"octal and hexadecimal", `"\024": accept-line` + "\n" + `"\x15": accept-line`, "", []Binding{{Keys: "\x14", Plain: true}, {Keys: "\x15", Plain: true}}},
		{"a quote among the keys", `"\"": accept-line`, "", []Binding{{Keys: `"`, Plain: true}}},
		{"a macro", `"\C-t": "touch F\n"`, "", []Binding{{Keys: "\x14", Text: "touch F\n"}}},
		{"a macro of keys", `"\C-t": '\C-a\C-kid\C-m'`, "", []Binding{{Keys: "\x14", Text: "id\n"}}},
		{"Enter by another key", `"\C-t": "\C-e\C-m"`, "", []Binding{{Keys: "\x14", Plain: true}}},
		{"text alone", `"\C-t": "touch F"`, "", nil},
		{"an editor", `"\C-t": edit-and-execute-command`, "", []Binding{{Keys: "\x14"}}},
		{"in a condition", "$if mode=vi\n  \"\\C-t\": accept-line\n$endif", "", []Binding{{Keys: "\x14", Plain: true}}},
		{"what edits", "\"\\C-t\": transpose-chars\nset editing-mode vi\n# \"\\C-x\": accept-line", "", nil},
		{"unfinished", "\"\\C-t: accept-line\n\"\\C-t\": \"touch", "", nil},
		{"empty keys", `"": accept-line`, "", nil},
		{"long keys", `"` + strings.Repeat("x", 99) + `": accept-line`, "", nil},

		{"bash", `case $- in *i*) bind '"\C-t": accept-line';; esac`, syntax.Bash, []Binding{{Keys: "\x14", Plain: true}}},
		{"bash, a keymap", `bind -m vi-insert '"\C-t":"touch F\n"'`, syntax.Bash, []Binding{{Keys: "\x14", Text: "touch F\n"}}},
		{"bash, at run time", `bind "$key: accept-line"; bind "$(keys)"`, syntax.Bash, nil},
		{"bash, broken", "bind '\"\\C-t\": accept-line'\nif then (", syntax.Bash, []Binding{{Keys: "\x14", Plain: true}}},

		{"zsh", `bindkey '^T' accept-line`, syntax.Zsh, []Binding{{Keys: "\x14", Plain: true}}},
		{"zsh, a keymap", `bindkey -M viins "^[[24~" accept-and-hold`, syntax.Zsh, []Binding{{Keys: "\x1b[24~", Plain: true}}},
		{"zsh, several", `bindkey -v; bindkey '\et' .accept-line '\C-y' edit-command-line`, syntax.Zsh, []Binding{{Keys: "\x1bt", Plain: true}}},
		{"zsh, typed", `bindkey -s '^T' 'touch F\n'`, syntax.Zsh, []Binding{{Keys: "\x14", Text: "touch F\n"}}},
		{"zsh, in a function", `f() { bindkey -- '^T' accept-line }; f`, syntax.Zsh, []Binding{{Keys: "\x14", Plain: true}}},
		{"zsh, a widget", "enter() { print; zle .accept-line }; zle -N enter; bindkey '^T' enter", syntax.Zsh, []Binding{{Keys: "\x14", Plain: true}}},
		{"zsh, a widget by another name", "enter() zle accept-line; zle -N go enter; bindkey '^T' go", syntax.Zsh, []Binding{{Keys: "\x14", Plain: true}}},
		{"zsh, a widget that edits", "up() { zle up-history }; zle -N up; bindkey '^T' up", syntax.Zsh, nil},
		{"zsh, taken away", `bindkey -r '^T'; bindkey -l accept-line x`, syntax.Zsh, nil},

		{"fish", `bind \ct execute`, syntax.Fish, []Binding{{Keys: "\x14", Plain: true}}},
		{"fish, as a command", `bind -M insert \e\[24~ 'commandline -f execute'`, syntax.Fish, []Binding{{Keys: "\x1b[24~", Plain: true}}},
		{"fish, behind another", "function fish_user_key_bindings\n  bind \\ct beginning-of-line execute\nend", syntax.Fish, []Binding{{Keys: "\x14"}}},
		{"fish, a function", "function go\n  commandline -f repaint execute\nend\nbind \\ct go", syntax.Fish, []Binding{{Keys: "\x14", Plain: true}}},
		{"fish, a command behind another", `bind \ct 'commandline "echo a"; commandline -f execute'`, syntax.Fish, []Binding{{Keys: "\x14"}}},
		{"fish 4", `bind ctrl-t execute; bind alt-t execute`, syntax.Fish, []Binding{{Keys: "\x14", Plain: true}, {Keys: "\x1bt", Plain: true}}},

		{"zsh, known when it runs", `bindkey "$terminfo[kf5]" accept-line; bindkey -s "${key[F6]}" 'id\n'; bindkey "$x" edit-command-line "$y" up-history "$z" "$f"`, syntax.Zsh,
			[]Binding{{Special: true, Plain: true}, {Special: true, Text: "id\n"}}},
		{"fish, by its name", "bind -k f5 execute; bind shift-f6 'commandline -f execute'; bind -k f7 up-line", syntax.Fish, []Binding{{Special: true, Plain: true}}},
		{"mksh", `bind '^T=newline'`, syntax.Mksh, []Binding{{Keys: "\x14", Plain: true}}},
		{"mksh, typed", `bind -m '^T=touch F^J'`, syntax.Mksh, []Binding{{Keys: "\x14", Text: "touch F\n"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Readline(tt.text)
			if tt.dialect != "" {
				got = Code(tt.text, tt.dialect)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s\n got %+v\nwant %+v", tt.text, got, tt.want)
			}
		})
	}
}

// What zsh does without a file, and with one that makes its editor like vi.
func TestReadMode(t *testing.T) {
	comment := []Binding{{Keys: "#", Vi: true}}
	help := []Binding{{Keys: "\x1bh", Idle: true}, {Keys: "\x1bH", Idle: true}, {Keys: "\x1b?", Idle: true}}
	for _, tt := range []struct {
		shell string
		files []File
		want  []Binding
	}{
		{"zsh", nil, help},
		{"zsh", []File{{Text: "bindkey -v\n"}}, comment},
		{"zsh", []File{{Text: "bindkey -v\n"}, {Text: "bindkey -e\n"}}, help},
		{"zsh", []File{{Text: "bindkey -e; set -o vi\n"}}, comment},
		{"bash", nil, nil},
		{"bash", []File{{Text: "set -o vi\n"}}, []Binding{{Keys: "v", Vi: true}, comment[0]}},
		{"bash", []File{{Text: "set editing-mode vi\n", Readline: true}}, []Binding{{Keys: "v", Vi: true}, comment[0]}},
		{"fish", []File{{Text: "set -o vi\n"}}, nil},
	} {
		if got := Read(tt.shell, tt.files); !slices.Equal(got, tt.want) {
			t.Errorf("%s %+v: %+v", tt.shell, tt.files, got)
		}
	}
}

// What terminals send for keys is in xterm's ctlseqs, console_codes(4) and rxvt's reference.
func TestSpecial(t *testing.T) {
	for _, tt := range []struct {
		before, waiting string
		want            int
	}{
		{"", "\x1b[15~", 5}, {"", "\x1bOPls", 3}, {"", "\x1bOM", 3}, {"", "\x1b[[A", 4}, {"", "\x1b[15;5~", 7}, {"", "\x1b[1;2P", 6}, {"", "\x1b[5~", 4}, {"", "\x1b[2~", 4},
		{"ls\x1b[15", "~", 1}, {"\x1b", "[15~", 0}, {"\x1bO", "M", 1},
		{"", "\x1b[A", 0}, {"", "\x1bOA", 0}, {"", "\x1b[H", 0}, {"", "\x1b[3~", 0}, {"", "\x1b[1~", 0}, {"", "\x1b[1;5C", 0}, {"", "\x1b[200~", 0}, {"", "\x1b[201~", 0},
		{"", "\x1b[24;80R", 0}, {"", "\x1b[?1;2c", 0}, {"", "\x1b", 0}, {"", "~", 0}, {"\x1b[15~", "~", 0}, {"\x1b[15 ", "~", 0},
	} {
		if got := Special([]byte(tt.before), []byte(tt.waiting)); got != tt.want {
			t.Errorf("%q %q: %d, want %d", tt.before, tt.waiting, got, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`"\C-\M-t": "touch F\n"`, "Control-Meta-t: accept-line", `bind '"\x1": accept-line'`, `bindkey -s '^T' '\C-\M-'`, `bind \ct execute`, `"\M-\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found := Readline(text)
		for _, d := range []syntax.Dialect{syntax.Bash, syntax.Zsh, syntax.Fish, syntax.Mksh} {
			found = append(found, Code(text, d)...)
		}
		for _, b := range found {
			if b.Keys == "" != b.Special || len(b.Keys) > MaxKeys || len(b.Text) > maxText || b.Plain && b.Text != "" {
				t.Errorf("%q: %+v", text, b)
			}
		}
	})
}
