package policy

import (
	"slices"
	"strings"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// options is what is known of a program's arguments.
type options struct {
	bundles bool            // -rf is -r -f
	letters map[byte]kind   // of the one-letter options that are known
	longs   map[byte]string // letter to its long form
	words   map[string]kind // of the long options that are known
	skip    int             // operands at the start that are no files
	pattern string          // letters whose presence makes the operands that skip counts files after all
	plain   bool            // no operand is a file
	here    bool            // without operands it works on the current directory
	hereIf  string          // the same with one of these letters
	pairs   bool            // operands such as if=FILE
}

// kind says what follows an option.
type kind byte

const (
	nothing  kind = 0
	value    kind = ':' // a value, which is a file if it looks like one
	aFile    kind = '@' // a file
	noFile   kind = '!' // a value that is never a file, whatever it looks like
	attached kind = '?' // nothing, or a value in the same word, which is a file if it has a slash
	atFile   kind = '^' // a text, or @ and a file
	inside   kind = '%' // a file below the operands or, by its absolute path, anywhere
)

// unbundled programs have options of several letters behind one dash.
var unbundled = " find java go gcc cc clang ffmpeg openssl terraform mvn ant convert xterm dd test [ expr ps tcc javac scala packer "

// known describes the options of common programs. A word is letters that mean the same, then the kind if a value
// follows, then "=" and the long form. It may lack the letters or the long form.
var known = map[string]string{
	"rm":    "r,R=recursive f=force i I=interactive d=dir v=verbose",
	"cp":    "r,R=recursive f=force a=archive i=interactive l=link L=dereference n=no-clobber p=preserve s=symbolic-link t@=target-directory u=update v=verbose S!=suffix",
	"mv":    "f=force i=interactive n=no-clobber t@=target-directory u=update v=verbose S!=suffix",
	"ln":    "s=symbolic f=force n=no-dereference r=relative t@=target-directory v=verbose S!=suffix",
	"ls":    "a=all A=almost-all B=ignore-backups d=directory h=human-readable i=inode I!=ignore l n=numeric-uid-gid o p r=reverse R=recursive s=size S t u w!=width T!=tabsize Q=quote-name ?=color !=hide !=time-style !=sort !=time !=format !=block-size #here",
	"mkdir": "p=parents m!=mode v=verbose",
	"rmdir": "p=parents v=verbose",
	"chmod": "R=recursive v=verbose c=changes f=silent @=reference #skip1",
	"chown": "R=recursive v=verbose c=changes f=silent h=no-dereference H L P @=reference !=from #skip1",
	"chgrp": "R=recursive v=verbose c=changes f=silent h=no-dereference H L P @=reference #skip1",
	"grep":  "r=recursive R=dereference-recursive i=ignore-case v=invert-match n=line-number l=files-with-matches L=files-without-match c=count o=only-matching w=word-regexp x=line-regexp e!=regexp f@=file A!=after-context B!=before-context C!=context m!=max-count q=quiet s=no-messages E=extended-regexp F=fixed-strings P=perl-regexp D!=devices d!=directories H h=no-filename b=byte-offset a=text z=null-data Z=null y U=binary T !=include !=exclude !=exclude-dir @=exclude-from ?=color ?=colour !=label !=binary-files #here-rR #skip1-ef",
	"sed":   "n=quiet E,r=regexp-extended e!=expression f@=file s=separate z=null-data l!=line-length i?=in-place #skip1-ef",
	"awk":   "F!=field-separator v:=assign f@=file #skip1-f",
	"jq":    "r=raw-output c=compact-output e=exit-status s=slurp n=null-input f@=from-file S=sort-keys #skip1-f",
	"sort":  "r=reverse n=numeric-sort u=unique k!=key t!=field-separator o@=output T@=temporary-directory S!=buffer-size c=check b d f=ignore-case h=human-numeric-sort V=version-sort z s=stable m=merge g=general-numeric-sort i M R C @=files0-from !=parallel !=batch-size",
	"uniq":  "c=count d=repeated u=unique i=ignore-case f!=skip-fields s!=skip-chars w!=check-chars",
	"cut":   "b!=bytes c!=characters d!=delimiter f!=fields s=only-delimited n z=zero-terminated !=output-delimiter",
	"head":  "n!=lines c!=bytes q=quiet v=verbose z",
	"tail":  "n!=lines c!=bytes f=follow F q=quiet v=verbose s!=sleep-interval z",
	"wc":    "l=lines w=words c=bytes m=chars L",
	"cat":   "A=show-all b=number-nonblank e E=show-ends n=number s=squeeze-blank t T=show-tabs v=show-nonprinting",
	"od":    "A!=address-radix j!=skip-bytes N!=read-bytes t!=format w! v c x",
	"tee":   "a=append i=ignore-interrupts p",
	"touch": "a c=no-create d!=date h m r@=reference t!",
	"stat":  "c!=format f=file-system L=dereference t=terse !=printf",
	"du":    "a=all c=total d!=max-depth h=human-readable s=summarize x=one-file-system k m b=bytes 0 S D L P H l !=exclude @=exclude-from @=files0-from !=threshold !=block-size ?=time #here",
	"df":    "a=all h=human-readable i=inodes k l=local T=print-type t!=type x!=exclude-type",
	"tar":   "x=extract c=create t=list r=append u=update f@=file z=gzip j=bzip2 J=xz v=verbose C@=directory p=preserve-permissions T@=files-from X@=exclude-from O=to-stdout k=keep-old-files m=touch U=unlink-first W=verify h=dereference P=absolute-names Z=compress a=auto-compress S=sparse A=catenate d=diff s=preserve-order o w=interactive l B i G R b! N: L! H!=format V! g@=listed-incremental I:=use-compress-program F:=info-script K! M=multi-volume !=exclude !=exclude-tag !=strip-components !=transform !=xform !=owner !=group !=mode !=mtime @=one-top-level @=index-file @=volno-file",
	"date":  "d!=date r@=reference u=utc I R f@=file s!=set",
	"tree":  "a d f L! P! I! o@ h s D p u g F !=filelimit !=charset !=sort #here",
	"diff":  "u r=recursive q=brief N=new-file i=ignore-case w=ignore-all-space B b a=text c e y=side-by-side U!=unified C!=context x!=exclude X@=exclude-from I! W! L!=label",
	"curl":  "o@=output O=remote-name J=remote-header-name d^=data H^=header X!=request u!=user T@=upload-file x:=proxy A!=user-agent e!=referer b:=cookie c@=cookie-jar F^=form L=location D@=dump-header E@=cert G=get ^=data-binary ^=data-urlencode ^=data-ascii ^=json !=data-raw !=form-string @=key @=cacert @=capath @=netrc-file @=output-dir @=trace @=trace-ascii @=stderr !=connect-timeout !=retry !=max-redirs !=resolve !=url-query L=location s=silent S=show-error k=insecure I=head i=include v=verbose f=fail K@=config m!=max-time w:=write-out #plain",
	"wget":  "O@=output-document P@=directory-prefix q=quiet r=recursive c=continue i@=input-file o@=output-file a@=append-output @=post-file @=body-file @=load-cookies @=save-cookies @=config @=certificate @=private-key @=ca-certificate !=header !=post-data !=user !=password !=method t!=tries T!=timeout U!=user-agent #plain",
	"rsync": "a=archive r=recursive v=verbose z=compress n=dry-run e!=rsh u=update l=links p=perms t=times g=group o=owner D x=one-file-system q=quiet c=checksum R=relative b=backup d=dirs k=copy-dirlinks K=keep-dirlinks L=copy-links H=hard-links E=executability A=acls X=xattrs O=omit-dir-times J=omit-link-times U=atimes N=crtimes S=sparse W=whole-file I=ignore-times m=prune-empty-dirs C=cvs-exclude y=fuzzy i=itemize-changes h=human-readable P s=secluded-args 0=from0 4 6 8 F f:=filter B!=block-size T@=temp-dir M:=remote-option !=modify-window !=exclude !=include @=exclude-from @=include-from @=files-from @=log-file @=config @=backup-dir %=partial-dir @=compare-dest @=copy-dest @=link-dest @=password-file @=write-batch @=only-write-batch @=read-batch !=log-format !=out-format !=log-file-format !=suffix !=timeout !=bwlimit !=chmod !=chown !=usermap !=groupmap !=iconv !=info !=debug !=skip-compress !=compress-level !=compress-choice !=checksum-choice !=checksum-seed !=max-size !=min-size !=max-delete !=stderr",
	"scp":   "r p q v C P! i@ o: l! F@ J: S:",
	"ssh":   "p! i@ l! o: L: R: D: F@ J: v q N T t A X #plain",
	"git":   "C@ c: @=git-dir @=work-tree !=config-env !=namespace #skip1", "openssl": "#skip1", "base64": "w!=wrap d=decode i=ignore-garbage", "journalctl": "u!=unit n!=lines f=follow S!=since U!=until p!=priority o!=output r=reverse x e k b D@=directory #plain",
	"systemctl": "H!=host M!=machine n!=lines o!=output t!=type p!=property a=all l=full q=quiet #plain",
	"install":   "m!=mode o!=owner g!=group d=directory D t@=target-directory v=verbose S!=suffix",
	"truncate":  "s!=size r@=reference c=no-create", "split": "b!=bytes l!=lines n!=number a!=suffix-length d",
	"shred": "u f=force n!=iterations z=zero v=verbose s!=size", "mount": "t:=types o:=options r w a=all", "xargs": "n! I! P! L! d! a@ 0 r t",
	"kill": "s!=signal l=list n! #plain", "ping": "c! i! W! w! s! #plain", "gzip": "c=stdout d=decompress f=force k=keep l=list r=recursive t=test v=verbose S!=suffix n q=quiet",
	"kubectl": "n!=namespace f@=filename o:=output l!=selector c!=container #plain", "docker": "#plain", "python": "c! m! W! X!",
	"less": "N S R F X i I p! P: t: o@", "vi": "c: R", "unzip": "d@ l o q n t p v Z z j x!", "zip": "r=recurse-paths q=quiet m x! i!", "nc": "p! s: w! #plain",
	"find": "#here", "dd": "#pairs", "perl": "I@ M! m! i? e! E! F! x? l? C? D? 0? n p a s t T u U v w W", "ruby": "I@ r: e! C@ E! F! K? i? x? T? W? n p a l s S v w", "join": "t! 1! 2! a! v! e! o! j!", "paste": "d!=delimiters s=serial z",
	"ps": "o! p! u! C! t! e f", "column": "s!=separator t=table o! c! N!", "numfmt": "d!=delimiter", "psql": "c: f@=file d! U! h: p! F! R! P! v: t A q o@=output L@=log-file",
}

// likewise are programs that take the options of another.
var likewise = map[string]string{"egrep": "grep", "fgrep": "grep", "zgrep": "grep", "rgrep": "grep", "gawk": "awk", "mawk": "awk", "nawk": "awk", "dir": "ls", "vdir": "ls",
	"vim": "vi", "nvim": "vi", "view": "vi", "more": "less", "gunzip": "gzip", "zcat": "gzip", "bzip2": "gzip", "bunzip2": "gzip", "xz": "gzip", "unxz": "gzip",
	"tac": "cat", "nl": "cat", "pkill": "kill", "killall": "kill", "sftp": "scp", "podman": "docker", "yq": "jq", "hexdump": "od", "python2": "python", "python3": "python"}

// plain programs do not open what their operands name.
var plain = " echo printf sleep seq basename dirname id whoami hostname uname uptime date kill ps top free nproc tr expr true false test groups who w timeout nice ionice sudo doas nohup setsid stdbuf watch env chrt taskset time " +
	"export declare local readonly typeset set unset type which command ip ss netstat dig nslookup host getent tty stty reboot shutdown halt poweroff "

// described is what known says.
var described = func() map[string]options {
	out := make(map[string]options, len(known))
	for program, text := range known {
		o := options{letters: make(map[byte]kind), longs: make(map[byte]string), words: make(map[string]kind)}
		for f := range strings.FieldsSeq(text) {
			o.learn(f)
		}
		out[program] = o
	}
	return out
}()

func optionsOf(program string) options {
	like := program
	if other, ok := likewise[program]; ok {
		like = other
	}
	o := described[like]
	o.bundles = !strings.Contains(unbundled, " "+program+" ")
	o.plain = o.plain || strings.Contains(plain, " "+program+" ")
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
	if letters, ok := strings.CutPrefix(f, "#here-"); ok {
		o.hereIf = letters
		return
	}
	if rest, ok := strings.CutPrefix(f, "#skip1"); ok {
		o.skip, o.pattern = 1, strings.TrimPrefix(rest, "-")
		return
	}
	letters, long, _ := strings.Cut(f, "=")
	k := nothing
	if i := strings.IndexAny(letters, ":@!?%^"); i >= 0 {
		letters, k = letters[:i], kind(letters[i])
	}
	for l := range strings.SplitSeq(letters, ",") {
		if len(l) != 1 {
			continue
		}
		o.letters[l[0]] = k
		if long != "" {
			o.longs[l[0]] = "--" + long
		}
	}
	if long != "" {
		o.words["--"+long] = k
	}
}

// pathWords lists the words that may name files.
func (s *subject) pathWords() []syntax.Word {
	o := optionsOf(s.name.base)
	if s.name.base == ">" || s.name.base == "<" {
		return s.words[1:]
	}
	r := wordReader{options: o, program: s.name.base}
	words := s.words[1:max(1, s.own)] // the others are judged by themselves
	for _, w := range words {
		r.word(w)
	}
	if o.skip > 0 && !r.explicit && len(r.operands) > 0 {
		r.operands = r.operands[min(o.skip, len(r.operands)):]
	}
	r.finish(words)
	out := r.files
	if !o.plain {
		out = append(out, r.operands...)
	}
	if (o.here || r.recursive) && len(r.operands) == 0 {
		out = append(out, syntax.Text("."))
	}
	return out
}

// wordReader sorts a program's words into operands and files that options name.
type wordReader struct {
	options
	program   string
	operands  []syntax.Word
	files     []syntax.Word
	explicit  bool         // the pattern or script was given by an option
	ended     bool         // "--" was there
	server    bool         // rsync --server
	recursive bool         // an option says that it works on the current directory if on no other
	seen      [256]bool    // the letters of the options that were given
	last      byte         // the last of them, if the last option has one
	dir       *syntax.Word // the value of -C: later operands are seen from there
	next      kind         // what the next word is, if it is an option's value
}

func (r *wordReader) word(w syntax.Word) {
	p := w.Prefix()
	switch {
	case r.next != nothing:
		r.value(w, r.next)
		r.next = nothing
	case !r.ended && p == "--":
		r.ended = true
	case !r.ended && strings.HasPrefix(p, "--"):
		r.long(w, p)
	case !r.ended && len(p) > 1 && p[0] == '-':
		r.short(w, p)
	default:
		i := strings.IndexByte(p, '=')
		if i > 0 && r.pairs {
			if p[:i] == "if" || p[:i] == "of" {
				r.files = append(r.files, after(w, i+1))
			}
			return
		}
		if i > 0 && (strings.ContainsAny(p[i:], "/~") || len(w.Pieces) > 1) {
			r.files = append(r.files, after(w, i+1))
		}
		if r.dir != nil && !strings.HasPrefix(p, "/") {
			w = syntax.Word{Pieces: slices.Concat(r.dir.Pieces, []syntax.Piece{{Text: "/"}}, w.Pieces), Split: w.Split}
		}
		r.operands = append(r.operands, w)
	}
}

// value takes an option's value in.
func (r *wordReader) value(w syntax.Word, k kind) {
	text, known := w.Known()
	if r.last == 'C' && (r.program == "tar" || r.program == "git" && len(r.operands) == 0) {
		r.dir = &w
	}
	if k == atFile {
		p := w.Prefix()
		i := strings.IndexAny(p, "@<")
		if i < 0 || i > 0 && strings.IndexByte(p, '=') != i-1 && (!strings.Contains(p[i+1:], "/") || strings.Contains(p, "=")) {
			return
		}
		w, k = after(w, i+1), aFile
		text, known = w.Known()
	}
	switch {
	case k == noFile && !w.Split || text == "-" && known: // an unquoted $x may be several words
		return
	case k == value && !likePath(w), k == attached && known && !strings.Contains(text, "/"):
		return
	case k == inside && known && !strings.HasPrefix(text, "/") && !slices.Contains(strings.Split(text, "/"), ".."):
		return
	}
	r.files = append(r.files, w)
}

// likePath says whether a value that need not be a file looks like one.
func likePath(w syntax.Word) bool {
	p := w.Prefix()
	return strings.Contains(p, "/") || strings.HasPrefix(p, ".") || strings.HasPrefix(p, "~") || len(w.Pieces) > 0 && w.Pieces[0].Kind != syntax.Literal || len(w.Pieces) > 1
}

func (r *wordReader) long(w syntax.Word, p string) {
	given, _, hasValue := strings.Cut(p, "=")
	r.server = r.server || given == "--server"
	name := r.complete(given)
	r.last = 0
	for letter, long := range r.longs {
		if long == name {
			r.letter(letter)
		}
	}
	k := r.words[name]
	switch {
	case hasValue && k == nothing:
		r.value(after(w, len(given)+1), value)
	case hasValue:
		r.value(after(w, len(given)+1), k)
	case k != attached && name == given: // what seems abbreviated may be another option, which takes no value
		r.next = k
	}
}

// letter takes in that an option is given.
func (r *wordReader) letter(l byte) {
	r.seen[l], r.last = true, l
	r.explicit = r.explicit || strings.IndexByte(r.pattern, l) >= 0
	r.recursive = r.recursive || strings.IndexByte(r.hereIf, l) >= 0
}

// given says whether one of the letters was.
func (r *wordReader) given(letters string) bool {
	return strings.ContainsFunc(letters, func(l rune) bool { return r.seen[byte(l)] })
}

func (r *wordReader) short(w syntax.Word, p string) {
	i := 1
	for ; i < len(p) && r.bundles; i++ {
		k, known := r.letters[p[i]]
		if !known {
			break
		}
		r.letter(p[i])
		switch {
		case k == nothing:
			continue
		case i+1 < len(p) || len(w.Pieces) > 1:
			r.value(after(w, i+1), k)
		case k != attached:
			r.next = k
		}
		return
	}
	// From a letter on that is not known there may be its value.
	if slash := strings.IndexAny(p, "/~"); slash > 0 {
		r.files = append(r.files, after(w, slash))
		if slash > i+1 {
			r.files = append(r.files, after(w, i+1))
		}
	} else if i+1 < len(p) && p[i+1] == '.' && !r.plain {
		r.files = append(r.files, after(w, i+1))
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
