package policy_test

import (
	"testing"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// A line that binds a key is judged for what the key runs. Where that cannot be known a denylist warns, and an allowlist
// denies though it permits the binding.
func TestKeyBindings(t *testing.T) {
	denylist := policy.Compile(commands(t, with))
	allowlist := policy.Compile(commands(t, `
mode: allowlist
rules: [{id: keys, action: allow, programs: [bind, bindkey, zle, commandline, ls]}]`))
	const a, d, w = auth.Allow, auth.Deny, auth.Warn
	for dialect, lines := range map[syntax.Dialect]map[string]auth.Action{
		syntax.Bash: {
			`bind -x '"\C-t": touch F'`: d, `bind -m vi -x '"\C-t":touch F'`: d, `bind -x "\"\\C-t\": touch F"`: d, `bind -x '"\":": touch F'`: d, `bind -x '"\C-t": ls'`: a, `bind -x "\"\C-t\": $x"`: w, `bind -x '"\C-t": "touch F"'`: w,
			`bind '"\C-t": "touch F\n"'`: d, `bind '"\C-t": "touch F\C-m"'`: d, `bind '"\C-t":"touch F\x0d"'`: d, `bind '"\C-t": "ls\ntou\143h F\r"'`: d, `bind Control-t:'"touch F\n"'`: d,
			`bind '"\C-t": "ls\n"'`: w, `bind '"\C-t": "\C-o"'`: w, `bind '"\C-t": "\M-x"'`: w, `bind '"\C-t": touch F'`: a, `bind '"\C-t": "touch F"'`: a,
			`bind '"\C-t": accept-line'`: w, `bind '"\C-t": Accept-Line'`: w, `bind C-t:operate-and-get-next`: w, `bind '"\C-t": edit-and-execute-command'`: w, `bind '"\C-t": shell-expand-line'`: w, `bind "$x"`: w, `bind $x`: w,
			`bind -f keys`: w, `bind '$include keys'`: w, `bind -Z x`: w, `INPUTRC=keys bash`: w, `export INPUTRC=keys`: w,
			`bind '"\e[A": history-search-backward'`: a, `bind 'set editing-mode vi'`: a, `bind -p`: a, `bind -q yank`: a, `bind -r '\C-t'`: a, `bind -m emacs '"\C-l": clear-screen'`: a,
		},
		syntax.Mksh: {
			`bind -m '^T=touch F^M'`: d, `bind -m '^T=ls^J'`: w, `bind -m '^T=ls'`: a, `bind '^T=newline'`: w, `bind '^T=comment'`: w, `bind '^T=beginning-of-line'`: a, `bind`: a, `bind -l`: a, `bind "$x"`: w,
		},
		syntax.Zsh: {
			`bindkey -s '^T' 'touch F\n'`: d, `bindkey -s '^T' 'touch F^M'`: d, `bindkey -M viins -s '^T' 'touch F\C-j'`: d, `bindkey -s '^T' 'ls\n'`: w, `bindkey -s '^T' 'touch F'`: a, `bindkey -s a b c $'touch F\n'`: d, `bindkey -s '^T' "$x"`: w,
			`bindkey '^T' accept-line`: w, `bindkey '^T' .accept-and-hold`: w, `bindkey '^T' execute-named-cmd`: w, `bindkey a beginning-of-line '^T' accept-line`: w, `bindkey '^T' $x`: w, `bindkey $x a`: w,
			`bindkey -e`: a, `bindkey -v`: a, `bindkey '^[[A' up-line-or-search`: a, `bindkey`: a, `bindkey -r '^T'`: a,
			`zle -N touch`: d, `zle -N w touch`: d, `zle -C w complete-word touch`: d, `zle -F 3 touch`: d, `zle -U $'touch F\n'`: d, `zle -N w $x`: w, `zle $x`: w, `zle accept-line`: w, `zle -A accept-line w`: w, `zle -N ls`: a, `zle reset-prompt`: a, `zle -l`: a, `zle`: a,
			`f() { BUFFER=x; zle accept-line; }; zle -N f; bindkey '^T' f`: w,
		},
		syntax.Fish: {
			`bind \ct 'touch F'`: d, `bind -M insert \ct ls 'touch F'`: d, `bind -k f1 'touch F'`: d, `bind \ct 'commandline x; commandline -f execute'`: w, `bind \ct execute`: w, `bind \ct $x`: w,
			`bind \ct ls`: a, `bind -e \ct`: a, `bind`: a, `bind --mode insert`: a,
		},
	} {
		for line, want := range lines {
			l := policy.Line{Text: line, Dialect: dialect}
			if v := denylist.Decide(l, policy.Facts{}); v.Action != want || (v.Confidence == policy.Low) != (want == w) {
				t.Errorf("%s: %q gets %s (%s), confidence %s, want %s", dialect, line, v.Action, v.Reason, v.Confidence, want)
			}
			if v := allowlist.Decide(l, policy.Facts{}); want != a && v.Action != d {
				t.Errorf("%s: %q gets %s (%s) under an allowlist", dialect, line, v.Action, v.Reason)
			}
		}
	}
	if v := allowlist.Decide(policy.Line{Text: `bind -x '"\C-t": ls'`}, policy.Facts{}); v.Action != a {
		t.Errorf("a key for what is permitted gets %s (%s)", v.Action, v.Reason)
	}
}
