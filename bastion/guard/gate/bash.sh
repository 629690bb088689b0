# Read as $ENV by `bash --posix`, as a login shell; the nonce is set above. What bash itself would have read comes at
# the end, at top level, as bash would have read it.
set +o posix
shopt -u inherit_errexit shift_verbose 2>/dev/null
eval "exec ${ENV##*/}<&-"
unset ENV
[[ ${__podbastion_env+x} ]] && export ENV=$__podbastion_env
unset __podbastion_env
[[ ${HISTFILE-} == ~/.sh_history ]] && HISTFILE=~/.bash_history
[[ ${MAILCHECK@a} == *x* ]] || MAILCHECK=60

# __podbastion_line KIND FUNCTION: tells the pending line and waits for the word that lets readline's FUNCTION run. Keys
# that a macro's line has overtaken are read meanwhile; they are told when the bastion asks for them.
__podbastion_line() {
  local - reply keys= word expanded IFS=
  set +veuf
  __podbastion_next '""'
  __podbastion_expand
  [[ $1 != edit ]] || expanded="${FCEDIT:-${VISUAL:-${EDITOR:-vi}}}"
  (( ++__podbastion_count ))
  __podbastion_tell "l;$__podbastion_count;$1" "$READLINE_LINE" "$expanded"
  word="$__podbastion_nonce;$__podbastion_count;"
  while read -r -s -d . reply </dev/tty; do
    keys+=$reply
    case $keys in
      *"$word"run) __podbastion_next "$2"; break ;;
      *"$word"stay) break ;;
      *"$word"keys) __podbastion_tell "k;$__podbastion_count;keys" "${keys%"$word"keys}" ""; keys= ;; # of the next line
      *) keys+=. ;;
    esac
  done
  return 0
} 2>/dev/null

# Tells the pending line and waits for nothing.
__podbastion_ask() {
  local - expanded IFS=
  set +veuf
  __podbastion_expand
  __podbastion_tell "q;0;ask" "$READLINE_LINE" "$expanded"
} 2>/dev/null

# Empties the pending line.
__podbastion_clear() { READLINE_LINE=; } 2>/dev/null

# __podbastion_next FUNCTION: what the second half of a submit key does.
__podbastion_next() {
  local map
  for map in emacs vi-insert vi-command; do bind -m "$map" "\"\\e[7770;2~\": $1"; done
}

__podbastion_tell() {
  LC_ALL=C printf '\e]7770;%s;%s\x1f%q\x1f%q\a' "$__podbastion_nonce" "$@" >/dev/tty
}

# Sets expanded to the pending line after history expansion. `history -p` would take the newest entry for its own
# command and drop it, unless an entry has been pushed.
__podbastion_expand() {
  local chars=${histchars:-'!^#'} # unset, it means these; a pattern with none of it would fit every line, each with a fork
  expanded=$READLINE_LINE
  [[ $- == *H* && ( $READLINE_LINE == *"${chars:0:1}"* || $READLINE_LINE == *'!'* || $READLINE_LINE == "${chars:1:1}"* || $READLINE_LINE == '^'* ) ]] || return 0
  expanded=$(
    history -s x
    history -d -1
    history -p -- "$READLINE_LINE" || printf %s "$READLINE_LINE"
  )
}

# Edits the pending line as edit-and-execute-command would; what comes of it is then submitted like any other line.
__podbastion_edit() {
  local - file IFS=$' \t\n'
  set +veuf
  file=$(mktemp "${TMPDIR:-/tmp}/bash-fc.XXXXXX") || return
  printf '%s\n' "$READLINE_LINE" >"$file"
  ${FCEDIT:-${VISUAL:-${EDITOR:-vi}}} "$file" </dev/tty >/dev/tty
  READLINE_LINE=$(<"$file") READLINE_POINT=${#READLINE_LINE}
  rm -f -- "$file"
}

# Every key that accepts a line asks first. Repeated at each prompt, since `bind` and inputrc can add keys.
__podbastion_wrap() {
  local - map line key kind IFS=$'\n' now
  set +veu; set -f
  now=$(for map in emacs vi-insert vi-command; do
    for kind in accept-line operate-and-get-next insert-comment edit-and-execute-command vi-edit-and-execute-command shell-expand-line re-read-init-file; do
      bind -m $map -q $kind
    done
  done)
  [[ $now != "${__podbastion_keys-}" ]] || return 0
  for map in emacs vi-insert vi-command; do
    for line in $(bind -m $map -p); do
      [[ $line == '"'*'": '* && $line != '"\e[7770;'* ]] || continue
      key=${line%'": '*}\"
      case ${line##*'": '} in
        accept-line) bind -m $map "$key: \"\\e[7770;1~\\e[7770;2~\"" ;;
        operate-and-get-next) bind -m $map "$key: \"\\e[7770;3~\\e[7770;2~\"" ;;
        insert-comment) bind -m $map "$key: \"\\e[7770;4~\\e[7770;2~\"" ;;
        edit-and-execute-command|vi-edit-and-execute-command) bind -m $map "$key: \"\\e[7770;5~\\e[7770;2~\"" ;;
        shell-expand-line) bind -m $map "$key: redraw-current-line" ;; # it would run substitutions before Enter
        re-read-init-file) bind -m $map "$key: \"\\e[7770;r~\"" ;;
      esac
    done
    bind -m $map -x '"\e[7770;1~": __podbastion_line accept accept-line'
    bind -m $map -x '"\e[7770;3~": __podbastion_line operate operate-and-get-next'
    bind -m $map -x '"\e[7770;4~": __podbastion_line comment insert-comment'
    bind -m $map -x '"\e[7770;5~": __podbastion_line edit "\"\\e[7770;6~\\e[7770;1~\\e[7770;2~\""'
    bind -m $map -x '"\e[7770;6~": __podbastion_edit'
    bind -m $map -x '"\e[7770;r~": __podbastion_reread'
    # By way of a macro, since keys that end a search are not bound commands' to find.
    bind -m $map '"\e[7770;7~": "\e[7770;9~"'
    bind -m $map '"\e[7770;8~": "\e[7770;0~"'
    bind -m $map -x '"\e[7770;9~": __podbastion_ask'
    bind -m $map -x '"\e[7770;0~": __podbastion_clear'
  done
  __podbastion_keys=$(for map in emacs vi-insert vi-command; do
    for kind in accept-line operate-and-get-next insert-comment edit-and-execute-command vi-edit-and-execute-command shell-expand-line re-read-init-file; do
      bind -m $map -q $kind
    done
  done)
}

# Sets here to the working directory, where $PWD names it without a link; anybody can set $PWD.
__podbastion_where() {
  local part=$PWD
  here=
  [[ $PWD == /* && $PWD/ != */./* && $PWD/ != */../* && $PWD -ef . ]] || return 0
  while [[ $part ]]; do
    [[ ! -L $part ]] || return 0
    part=${part%/*}
  done
  here=$PWD
}

# Reads inputrc again, which may bind keys anew.
__podbastion_reread() {
  bind -f "${INPUTRC:-$HOME/.inputrc}"
  __podbastion_keys=
  __podbastion_wrap
} 2>/dev/null

# First of the prompt's commands: tells the exit status and the directory, and leaves $? to those after it.
__podbastion_prompt() {
  local here
  __podbastion_next '""'
  __podbastion_wrap
  __podbastion_where
  __podbastion_tell "p;$__podbastion_count;$1" "$here" ""
  return "$1"
}

__podbastion_install() {
  [[ ${PROMPT_COMMAND-} != *__podbastion_prompt* ]] || return 0
  PROMPT_COMMAND=('{ __podbastion_prompt "$?"; } 2>/dev/null' "${PROMPT_COMMAND[@]}")
}

# What judges lines is not to be redefined.
readonly -f __podbastion_{line,ask,clear,next,tell,expand,edit,wrap,reread,where,prompt}

__podbastion_count=0
if [[ -e /etc/profile ]]; then . /etc/profile; fi
if [[ -e ~/.bash_profile ]]; then . ~/.bash_profile
elif [[ -e ~/.bash_login ]]; then . ~/.bash_login
elif [[ -e ~/.profile ]]; then . ~/.profile
fi
__podbastion_install
unset -f __podbastion_install
