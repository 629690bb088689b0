//go:build real

package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// act is one thing that a person does at a prompt: lines that are typed, edited, recalled or pasted. A step's keys go
// out one after the other; a step begins when the screen has shown what it waits for and has become quiet.
type act struct {
	kind  string
	steps []typing
	// denied says that the act holds a line that may not run; it would make a file.
	denied bool
}

type typing struct {
	keys  string
	shown string // on the screen before it, since the act began
}

// typist makes up what is typed: a seeded stream of acts for one kind of shell.
type typist struct {
	r      *rand.Rand
	shell  string
	mode   string
	folder string // where files of denied lines would be
	secret string
	n      int
}

const (
	home, end, up, down, left, right, del = "\x1b[H", "\x1b[F", "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[C", "\x1b[3~"
	pasteOn, pasteOff                     = "\x1b[200~", "\x1b[201~"
	enter                                 = "\r"
)

// programs are those that an allowlist needs for what a typist types.
const programs = `ls, cat, echo, printf, grep, wc, head, tail, sort, pwd, cd, "true", seq, sleep, clear, read, sudo, id, stty, sh, awk, tr, date, test, basename, sed, set, su, find, history`

var words = []string{"alpha", "beta", "gamma", "delta.txt", "/etc/hosts", "--long-option=7", "x=1", "12345", "'single quoted'", `"double quoted"`, `esc\ aped`, `"a;b|c&d"`,
	`'#not a comment'`, "über", "日本語", "ファイル名", "한국어", "🎉", "👨‍👩‍👧", "cafe\u0301", "naïve", "e\u0301\u0308", "~", "*", "$HOME", `"$HOME/x"`, "-n", "a,b", "=", "[z]", "%", "@"}

func (t *typist) pick(list ...string) string { return list[t.r.IntN(len(list))] }

func (t *typist) words(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = t.pick(words...)
	}
	return strings.Join(out, " ")
}

// line is an ordinary line of one row or several.
func (t *typist) line() string {
	t.n++
	n := fmt.Sprint(t.n)
	quiet := t.pick("cat /etc/hosts", "ls -la /etc", "ls /", "head -n 3 /etc/passwd", "seq 5", "id", "pwd")
	switch t.r.IntN(16) {
	case 0, 1, 2:
		return "echo " + n + " " + t.words(1+t.r.IntN(4))
	case 3:
		return quiet
	case 4:
		return quiet + " | " + t.pick("wc -l", "sort", "head -n 2", "grep -c o", "tr a-z A-Z", "cat -n")
	case 5:
		return "echo " + n + "; " + quiet + " && echo done " + n
	case 6:
		return "echo " + n + " " + t.words(12+t.r.IntN(14)) // rows
	case 7:
		return "printf 'no end of line " + n + "'"
	case 8:
		return "printf '\\033[31mred " + n + "\\033[0m\\n'"
	case 9:
		return "seq " + fmt.Sprint(20+t.r.IntN(200))
	case 10:
		return t.pick("cd /tmp", "cd /etc", "cd /", "cd ~", "cd /usr")
	case 11:
		return "ls /none" + n + " 2>/dev/null"
	case 12:
		return "sleep 0.0" + t.pick("1", "5", "9") + "; echo slept " + n
	case 13:
		return "  echo '" + n + "'   \"two  spaces\"  "
	case 14:
		return "echo " + n + " >/dev/null # " + t.words(2)
	default:
		return "printf '%s\\n' " + n + " " + t.words(3)
	}
}

// next makes the next act.
func (t *typist) next() act {
	kinds := []func() act{t.plain, t.plain, t.plain, t.plain, t.plain, t.edited, t.edited, t.recalled, t.completed, t.continued, t.pasted, t.pasted, t.abandoned, t.burst, t.burst, t.program, t.hidden, t.forbidden, t.forbidden}
	return kinds[t.r.IntN(len(kinds))]()
}

func one(kind, keys string) act { return act{kind: kind, steps: []typing{{keys: keys}}} }

func (t *typist) plain() act { return one("plain", t.line()+t.pick(enter, enter, enter, "\n")) }

// edited is a line with typing errors that are put right.
func (t *typist) edited() act {
	t.n++
	n := fmt.Sprint(t.n)
	keys := []string{
		"ehco" + strings.Repeat("\x7f", 3) + "cho " + n + " backspaced",
		"cho " + n + home + "e" + end + " at both ends",
		"cho " + n + "\x01e\x05 control keys",
		"echo " + n + " one wrong\x17right",
		"nonsense to be killed\x15echo " + n + " killed",
		"echo " + n + " ab" + left + left + "x" + right + "y",
		"echo " + n + " 日本" + left + "x" + right + "語",
		"echo " + n + " left" + strings.Repeat(left, 4) + "\x0bright",
		"echo " + n + " xy" + left + left + del + "z",
		"echo " + n + " long " + strings.Repeat("abcdefgh ", 12) + strings.Repeat(left, 30) + "IN" + end + "END",
	}
	if t.shell != "ash" {
		keys = append(keys,
			"echo "+n+" one two\x1bb\x1bbthree \x1bf",
			"echo "+n+" yank\x15\x19",
			"echo "+n+" one two\x1bb\x1bdthree",
			"echo "+n+" kept\x01\x0b\x19")
	}
	if t.shell == "bash" || t.shell == "zsh" {
		keys = append(keys, "ehco "+n+"\x01\x1b[C\x1b[C\x14\x05 transposed", "echo "+n+" undone\x17\x1f", "echo "+n+" quoted\x16\tinsert")
	}
	return one("edited", t.keyed(t.pick(keys...))+enter)
}

// keyed has zsh's user press ^A, ^E and ^D where others have Home, End and Delete, which zsh does not know by itself.
func (t *typist) keyed(keys string) string {
	if t.shell != "zsh" {
		return keys
	}
	return strings.NewReplacer(home, "\x01", end, "\x05", del, "\x04").Replace(keys)
}

// recalled runs a line of the history again, as it was or changed at its end.
func (t *typist) recalled() act {
	t.n++
	n := fmt.Sprint(t.n)
	keys := []string{
		up + enter, up + up + enter, up + up + up + down + enter, up + " again " + n + enter, up + up + " " + n + enter,
	}
	if t.shell == "bash" || t.shell == "zsh" {
		keys = append(keys, "\x12echo"+enter, "\x12ec\x12\x12\x05 "+n+enter, "\x10\x10\x0e"+enter)
	}
	a := one("recalled", "echo base "+n+enter)
	if t.shell == "bash" || t.shell == "zsh" {
		if t.r.IntN(2) == 0 {
			keys = []string{"!!" + enter, "echo !$ " + n + enter, "!echo" + enter, "!-2" + enter, "^base^changed^" + enter}
		}
		if t.r.IntN(4) == 0 {
			keys = []string{"echo \x1b. " + n + enter}
		}
	}
	a.steps = append(a.steps, typing{keys: t.pick(keys...)})
	return a
}

// completed uses the shell's completion.
func (t *typist) completed() act {
	t.n++
	n := fmt.Sprint(t.n)
	a := one("completed", t.pick("cat /etc/hostn\t", "ls -d /usr/sha\t", "head -n 1 /etc/pass\t", "ls -d /et\t", "cat /etc/host\t\t", "ls /usr/\t\t"))
	a.steps = append(a.steps, typing{keys: t.pick(enter, " /etc/hosts"+enter, " >/dev/null; echo "+n+enter)})
	if strings.HasSuffix(a.steps[0].keys, "\t\t") {
		if t.shell == "zsh" || t.shell == "fish" { // their menus take keys of their own: leave them
			a.steps[0].keys = strings.TrimSuffix(a.steps[0].keys, "\t")
		}
		a.steps[1].keys = "\x15echo " + n + enter
	}
	return a
}

// continued is a construct over lines.
func (t *typist) continued() act {
	t.n++
	n := fmt.Sprint(t.n)
	if t.shell == "fish" {
		return one("continued", t.pick(
			"for i in 1 2\recho "+n+" $i\rend\r",
			"if true\recho "+n+"\relse\recho no\rend\r",
			"echo 'open "+n+"\rquote'\r",
			"begin\recho "+n+"; echo two\rend | wc -l\r",
			"echo "+n+" \\\rcontinued\r",
			"function f"+n+"\recho "+n+" $argv\rend\r",
		))
	}
	return one("continued", t.pick(
		"for i in 1 2; do\recho "+n+" $i\rdone\r",
		"if true; then\recho "+n+"\relse\recho no\rfi\r",
		"echo 'open "+n+"\rquote'\r",
		"{ echo "+n+"\recho two\r}\r",
		"cat <<E\rsome text "+n+"\r  $HOME 'x\rE\r",
		"echo "+n+" \\\rcontinued\r",
		"f"+n+"() {\recho "+n+" \"$@\"\r}\r",
		"echo "+n+" |\rwc -c\r",
		"echo "+n+" &&\recho two\r",
	))
}

// pasted is text in one packet, bracketed as a terminal does where the shell asked for it.
func (t *typist) pasted() act {
	text := t.line()
	if t.r.IntN(2) == 0 {
		return one("pasted", text+enter)
	}
	var lines []string
	for range 2 + t.r.IntN(4) {
		lines = append(lines, t.line())
	}
	if t.shell == "ash" || t.r.IntN(3) == 0 {
		return one("pasted", strings.Join(lines, "\n")+"\n")
	}
	return one("pasted", pasteOn+strings.Join(lines, "\n")+pasteOff+enter)
}

// abandoned is a line that is never submitted.
func (t *typist) abandoned() act {
	t.n++
	return one("abandoned", t.pick("echo abandoned "+fmt.Sprint(t.n)+"\x03", "echo gone\x15"+enter, enter, "   \x15"+enter, "\x03"))
}

// burst is several lines in one packet: what is typed ahead.
func (t *typist) burst() act {
	var b strings.Builder
	for range 4 + t.r.IntN(5) {
		b.WriteString(t.line() + enter)
	}
	if t.r.IntN(3) == 0 {
		return one("burst", "sleep 0.3"+enter+b.String())
	}
	return one("burst", b.String())
}

// program is one whose lines are no commands.
func (t *typist) program() act {
	t.n++
	n := fmt.Sprint(t.n)
	if t.r.IntN(2) == 0 {
		return act{kind: "program", steps: []typing{{keys: "echo rea''dy; cat -n" + enter}, {keys: "a line " + n + enter, shown: `ready\r`}, {keys: "rm -rf / is text" + enter, shown: `1\ta line ` + n}, {keys: "\x04", shown: `2\trm -rf / is text`}}}
	}
	return act{kind: "program", steps: []typing{{keys: "sh -c 'printf asked:; read x; echo \"<$x>\"'" + enter}, {keys: "an answer " + n + enter, shown: "asked:$"}}}
}

// hidden types the secret where there is no echo.
func (t *typist) hidden() act {
	if t.shell == "ash" {
		ask := "sh -c 'stty -echo; printf Sec\"\"ret:; read p; stty echo; echo'"
		if t.mode == "denylist" { // an allowlist does not let a shell without a gate have what cannot be seen
			ask = t.pick(ask, "printf Sec''ret:; read -s p; echo", "stty -echo; printf Sec''ret:; read p; stty echo; echo")
		}
		return act{kind: "hidden", steps: []typing{{keys: ask + enter}, {keys: t.secret + enter, shown: "Secret:"}}}
	}
	ask := t.pick("sudo -k id", "sudo -k id", "sh -c 'stty -echo; printf Sec\"\"ret:; read p; stty echo; echo'", "su root -c id")
	shown := "assword"
	if strings.HasPrefix(ask, "sh") {
		shown = "Secret:"
	} else if t.r.IntN(3) == 0 {
		ask, shown = map[string]string{"bash": "read -s -p Sec''ret: p", "zsh": "read -s 'p?Sec''''ret:'", "fish": "read -s -P Sec''ret: p"}[t.shell], "Secret:"
	}
	a := act{kind: "hidden", steps: []typing{{keys: ask + enter}, {keys: t.secret + enter, shown: shown}}}
	if shown == "assword" {
		a.steps = append(a.steps, typing{shown: "uid="}) // what is typed before is lost to sudo's own terminal
	}
	return a
}

// forbidden holds a line that may not run.
func (t *typist) forbidden() act {
	t.n++
	file := t.folder + "/denied-" + fmt.Sprint(t.n)
	keys := []string{
		"touch " + file + enter, "touch " + file + "\n", "echo x; touch " + file + enter, "echo x | touch " + file + enter,
		"t'ou'ch " + file + enter, "\\touch " + file + enter, "env touch " + file + enter, "/bin/../bin/touch " + file + enter,
		"toch " + file + strings.Repeat(left, len(file)+3) + "u" + end + enter,
		"uch " + file + home + "to" + enter,
		"echo first" + enter + "touch " + file + enter + "echo last" + enter,
		"touch " + file + enter + "echo after" + enter,
		"sleep 0.3" + enter + "touch " + file + enter,
		"touch " + file + " " + strings.Repeat("long", 40) + enter,
		"echo 日本語🎉; touch " + file + enter,
		"sh -c 'touch " + file + "'" + enter,
		"find /etc/hostname -exec touch " + file + " ';'" + enter,
	}
	if t.shell == "fish" {
		keys = append(keys, "begin"+enter+"touch "+file+enter+"end"+enter, "echo (touch "+file+")"+enter)
	} else {
		keys = append(keys, "{"+enter+"touch "+file+enter+"}"+enter, "echo $(touch "+file+")"+enter, "t=touch; $t "+file+enter, "tou\\"+enter+"ch "+file+enter, "eval touch "+file+enter,
			"for i in 1; do"+enter+"touch "+file+enter+"done"+enter)
	}
	if t.shell != "ash" {
		keys = append(keys, pasteOn+"touch "+file+"\necho pasted"+pasteOff+enter, pasteOn+"echo pasted\ntouch "+file+pasteOff+enter, "touch "+file+"\x15\x19"+enter)
	}
	return act{kind: "forbidden", denied: true, steps: []typing{{keys: t.keyed(t.pick(keys...))}}}
}
