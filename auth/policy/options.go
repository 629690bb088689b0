package policy

import (
	"strings"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// options is what is known of a program's arguments.
type options struct {
	bundles bool            // -rf is -r -f
	valued  string          // letters that take a value
	files   string          // those of them whose value is a file
	longs   map[byte]string // letter to its long form
	words   []string        // long options that take a value, when it is not attached
	skip    int             // operands at the start that are no files
	pattern string          // letters whose presence makes the operands that skip counts files after all
	plain   bool            // no operand is a file
	here    bool            // without operands it works on the current directory
	pairs   bool            // operands such as if=FILE
}

// unbundled programs have options of several letters behind one dash.
var unbundled = " find java go gcc cc clang ffmpeg openssl terraform mvn ant convert xterm dd test [ expr ps tcc javac scala packer "

// known describes the options of common programs. A word is letters that mean the same, then ":" if they take a
// value or "@" if that is a file, then "=" and the long form.
var known = map[string]string{
	"rm":    "r,R=recursive f=force i I=interactive d=dir v=verbose",
	"cp":    "r,R=recursive f=force a=archive i=interactive l=link L=dereference n=no-clobber p=preserve s=symbolic-link t@=target-directory u=update v=verbose S:=suffix",
	"mv":    "f=force i=interactive n=no-clobber t@=target-directory u=update v=verbose S:=suffix",
	"ln":    "s=symbolic f=force n=no-dereference r=relative t@=target-directory v=verbose S:=suffix",
	"ls":    "a=all A=almost-all B=ignore-backups d=directory h=human-readable i=inode I:=ignore l n=numeric-uid-gid o p r=reverse R=recursive s=size S t u w:=width T:=tabsize Q=quote-name #here",
	"mkdir": "p=parents m:=mode v=verbose",
	"rmdir": "p=parents v=verbose",
	"chmod": "R=recursive v=verbose c=changes f=silent #skip1",
	"chown": "R=recursive v=verbose c=changes f=silent h=no-dereference H L P #skip1",
	"chgrp": "R=recursive v=verbose c=changes f=silent h=no-dereference H L P #skip1",
	"grep":  "r=recursive R=dereference-recursive i=ignore-case v=invert-match n=line-number l=files-with-matches L=files-without-match c=count o=only-matching w=word-regexp x=line-regexp e:=regexp f@=file A:=after-context B:=before-context C:=context m:=max-count q=quiet s=no-messages E=extended-regexp F=fixed-strings P=perl-regexp D:=devices d:=directories #skip1-ef",
	"sed":   "n=quiet E,r=regexp-extended e:=expression f@=file s=separate z=null-data l:=line-length #skip1-ef",
	"awk":   "F:=field-separator v:=assign f@=file #skip1-f",
	"jq":    "r=raw-output c=compact-output e=exit-status s=slurp n=null-input f@=from-file S=sort-keys #skip1-f",
	"sort":  "r=reverse n=numeric-sort u=unique k:=key t:=field-separator o@=output T@=temporary-directory S:=buffer-size c=check b d f=ignore-case h=human-numeric-sort V=version-sort z s",
	"uniq":  "c=count d=repeated u=unique i=ignore-case f:=skip-fields s:=skip-chars w:=check-chars",
	"cut":   "b:=bytes c:=characters d:=delimiter f:=fields s=only-delimited",
	"head":  "n:=lines c:=bytes q=quiet v=verbose z",
	"tail":  "n:=lines c:=bytes f=follow F q=quiet v=verbose s:=sleep-interval z",
	"wc":    "l=lines w=words c=bytes m=chars L",
	"cat":   "A=show-all b=number-nonblank e E=show-ends n=number s=squeeze-blank t T=show-tabs v=show-nonprinting",
	"od":    "A:=address-radix j:=skip-bytes N:=read-bytes t:=format w: v c x",
	"tee":   "a=append i=ignore-interrupts p",
	"touch": "a c=no-create d:=date h m r@=reference t:",
	"stat":  "c:=format f=file-system L=dereference t=terse",
	"du":    "a=all c=total d:=max-depth h=human-readable s=summarize x=one-file-system k m b=bytes #here",
	"df":    "a=all h=human-readable i=inodes k l=local T=print-type t:=type x:=exclude-type",
	"tar":   "x=extract c=create t=list r=append u=update f@=file z=gzip j=bzip2 J=xz v=verbose C@=directory p=preserve-permissions T@=files-from X@=exclude-from O=to-stdout",
	"date":  "d:=date r@=reference u=utc I R f@=file s:=set",
	"tree":  "a d f L: P: I: o@ #here",
	"diff":  "u: r=recursive q=brief N=new-file i=ignore-case w=ignore-all-space",
	"curl":  "o@=output O=remote-name d:=data H:=header X:=request u:=user T@=upload-file x:=proxy A:=user-agent e:=referer b:=cookie c@=cookie-jar F:=form L=location s=silent S=show-error k=insecure I=head i=include v=verbose f=fail K@=config m:=max-time w:=write-out #plain",
	"wget":  "O@=output-document P@=directory-prefix q=quiet r=recursive c=continue i@=input-file o@=output-file a@=append-output t:=tries T:=timeout U:=user-agent #plain",
	"rsync": "a=archive r=recursive v=verbose z=compress n=dry-run e:=rsh u=update l=links p=perms t=times g=group o=owner D x=one-file-system",
	"scp":   "r p q v C P: i@ o: l: F@ J: S:",
	"ssh":   "p: i@ l: o: L: R: D: F@ J: v q N T t A X #plain",
	"git":   "C@ c:", "journalctl": "u:=unit n:=lines f=follow S:=since U:=until p:=priority o:=output r=reverse x e k b D@=directory #plain",
	"systemctl": "H:=host M:=machine n:=lines o:=output t:=type p:=property a=all l=full q=quiet #plain",
	"install":   "m:=mode o:=owner g:=group d=directory D t@=target-directory v=verbose S:=suffix",
	"truncate":  "s:=size r@=reference c=no-create", "split": "b:=bytes l:=lines n:=number a:=suffix-length d",
	"shred": "u f=force n:=iterations z=zero v=verbose s:=size", "mount": "t:=types o:=options r w a=all", "xargs": "n: I: P: L: d: a@ 0 r t",
	"kill": "s:=signal l=list n: #plain", "ping": "c: i: W: w: s: #plain", "gzip": "c=stdout d=decompress f=force k=keep l=list r=recursive t=test v=verbose S:=suffix n q=quiet",
	"kubectl": "n:=namespace f@=filename o:=output l:=selector c:=container #plain", "docker": "#plain", "python": "c: m: #pathless",
	"less": "N S R F X i I p: P: t: o@", "vi": "c: R", "unzip": "d@ l o q n x:", "zip": "r=recurse-paths q=quiet m x: i:", "nc": "p: s: w: #plain",
	"find": "#here", "dd": "#pairs",
}

// likewise are programs that take the options of another.
var likewise = map[string]string{"egrep": "grep", "fgrep": "grep", "zgrep": "grep", "rgrep": "grep", "gawk": "awk", "mawk": "awk", "nawk": "awk", "dir": "ls", "vdir": "ls",
	"vim": "vi", "nvim": "vi", "view": "vi", "more": "less", "gunzip": "gzip", "zcat": "gzip", "bzip2": "gzip", "bunzip2": "gzip", "xz": "gzip", "unxz": "gzip",
	"tac": "cat", "nl": "cat", "pkill": "kill", "killall": "kill", "sftp": "scp", "podman": "docker", "yq": "jq", "hexdump": "od"}

// plain programs do not open what their operands name.
var plain = " echo printf sleep seq basename dirname id whoami hostname uname uptime date kill ps top free nproc tr expr true false test groups who w " +
	"export declare local readonly typeset set unset type which command ip ss netstat dig nslookup host getent tty stty reboot shutdown halt poweroff "

func optionsOf(program string) options {
	o := options{bundles: !strings.Contains(unbundled, " "+program+" "), longs: make(map[byte]string), plain: strings.Contains(plain, " "+program+" ")}
	if other, ok := likewise[program]; ok {
		program = other
	}
	for f := range strings.FieldsSeq(known[program]) {
		o.learn(f)
	}
	return o
}

// learn takes one word of a description in.
func (o *options) learn(f string) {
	switch f {
	case "#here":
		o.here = true
		return
	case "#plain":
		o.plain = true
		return
	case "#pairs":
		o.pairs = true
		return
	}
	if rest, ok := strings.CutPrefix(f, "#skip1"); ok {
		o.skip, o.pattern = 1, strings.TrimPrefix(rest, "-")
		return
	}
	letters, long, _ := strings.Cut(f, "=")
	takes := strings.TrimRight(letters, ":@")
	for l := range strings.SplitSeq(takes, ",") {
		if len(l) != 1 {
			continue
		}
		if long != "" {
			o.longs[l[0]] = "--" + long
		}
		if takes != letters {
			o.valued += l
			if long != "" {
				o.words = append(o.words, "--"+long)
			}
		}
		if strings.HasSuffix(letters, "@") {
			o.files += l
		}
	}
}

// pathWords lists the words that may name files.
func (s *subject) pathWords() []syntax.Word {
	o := optionsOf(s.name.base)
	if s.name.base == ">" || s.name.base == "<" {
		return s.words[1:]
	}
	r := wordReader{options: o}
	for _, w := range s.words[1:] {
		r.word(w)
	}
	if o.skip > 0 && !r.explicit && len(r.operands) > 0 {
		r.operands = r.operands[min(o.skip, len(r.operands)):]
	}
	if s.name.base == "rsync" && r.server && len(r.operands) > 0 && r.operands[0].Prefix() == "." {
		r.operands = r.operands[1:] // it stands for nothing
	}
	out := r.files
	if !o.plain {
		out = append(out, r.operands...)
	}
	if o.here && len(r.operands) == 0 {
		out = append(out, syntax.Text("."))
	}
	return out
}

// wordReader sorts a program's words into operands and files that options name.
type wordReader struct {
	options
	operands []syntax.Word
	files    []syntax.Word
	explicit bool // the pattern or script was given by an option
	ended    bool // "--" was there
	server   bool // rsync --server
	value    int  // 1: the next word is an option's value; 2: and a file
}

func (r *wordReader) word(w syntax.Word) {
	p := w.Prefix()
	switch {
	case r.value > 0:
		if r.value == 2 || strings.ContainsAny(p, "/~") || len(w.Pieces) > 0 && w.Pieces[0].Kind != syntax.Literal {
			r.files = append(r.files, w)
		}
		r.value = 0
	case !r.ended && p == "--":
		r.ended = true
	case !r.ended && strings.HasPrefix(p, "--"):
		r.long(w, p)
	case !r.ended && len(p) > 1 && p[0] == '-':
		r.short(w, p)
	default:
		if i := strings.IndexByte(p, '='); i > 0 && (r.pairs || strings.ContainsAny(p[i:], "/~") || len(w.Pieces) > 1) {
			r.files = append(r.files, after(w, i+1))
		}
		r.operands = append(r.operands, w)
	}
}

func (r *wordReader) long(w syntax.Word, p string) {
	name, _, attached := strings.Cut(p, "=")
	r.server = r.server || name == "--server"
	full := name
	if c := r.complete(name); c != "" {
		full = c
	}
	letter, file := byte(0), false
	for l, long := range r.longs {
		if long == full {
			letter = l
			file = file || strings.IndexByte(r.options.files, l) >= 0
		}
	}
	r.explicit = r.explicit || letter != 0 && strings.IndexByte(r.pattern, letter) >= 0
	switch {
	case attached && (file || strings.Contains(p, "/") || len(w.Pieces) > 1):
		r.files = append(r.files, after(w, len(name)+1))
	case !attached && file:
		r.value = 2
	case !attached && letter != 0 && strings.IndexByte(r.valued, letter) >= 0:
		r.value = 1
	}
}

func (r *wordReader) short(w syntax.Word, p string) {
	for i := 1; i < len(p) && r.bundles; i++ {
		r.explicit = r.explicit || strings.IndexByte(r.pattern, p[i]) >= 0
		if strings.IndexByte(r.valued, p[i]) < 0 {
			continue
		}
		file := strings.IndexByte(r.options.files, p[i]) >= 0
		switch {
		case i+1 < len(p) || len(w.Pieces) > 1:
			if file || strings.Contains(p[i:], "/") {
				r.files = append(r.files, after(w, i+1))
			}
		case file:
			r.value = 2
		default:
			r.value = 1
		}
		return
	}
	if i := strings.IndexAny(p, "/~"); i > 0 {
		r.files = append(r.files, after(w, i))
	}
}

// after is a word without its first n bytes, which are literal.
func after(w syntax.Word, n int) syntax.Word {
	out := syntax.Word{Split: w.Split}
	for i, p := range w.Pieces {
		if n < len(p.Text) || p.Kind != syntax.Literal {
			if p.Kind == syntax.Literal {
				p.Text = p.Text[n:]
			}
			out.Pieces = append(append(out.Pieces, p), w.Pieces[i+1:]...)
			return out
		}
		n -= len(p.Text)
	}
	return out
}
