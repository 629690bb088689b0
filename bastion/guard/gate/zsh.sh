# Read as .zshenv from a folder of its own, which goes away first; the nonce is set above.
zmodload -F zsh/files b:zf_rm && zf_rm -r -f -- $__podbastion_dir
if (( ${+__podbastion_zdotdir} )); then ZDOTDIR=$__podbastion_zdotdir; else unset ZDOTDIR; fi
unset __podbastion_dir __podbastion_zdotdir
zmodload -u zsh/files

typeset -gi __podbastion_count=0
typeset -g __podbastion_passed

__podbastion_tell() {
  emulate -L zsh
  local LC_ALL=C
  printf '\e]7770;%s;%s\x1f%q\x1f%q\a' "$__podbastion_nonce" "$@" >/dev/tty
}

# __podbastion_ask FUNCTION: tells the pending line and waits; true when it may run. Keys that a macro's line has overtaken
# are read meanwhile; they are told when the bastion asks for them.
__podbastion_ask() {
  emulate -L zsh
  local reply keys word text=$PREBUFFER$BUFFER expanded
  __podbastion_expanded
  (( ++__podbastion_count ))
  __podbastion_tell "l;$__podbastion_count;$1" "$text" "$expanded"
  word="$__podbastion_nonce;$__podbastion_count;"
  while IFS= read -r -s -d . reply </dev/tty; do
    keys+=$reply
    case $keys in
      *"$word"run) return 0 ;;
      *"$word"stay) return 1 ;;
      *"$word"keys) __podbastion_tell "k;$__podbastion_count;keys" "${keys%"$word"keys}" ""; keys= ;; # of the next line
      *) keys+=. ;;
    esac
  done
  return 1
}

# Sets expanded to the pending line after history expansion, and leaves the line as it was.
__podbastion_expanded() {
  expanded=$text
  [[ -o banghist && ( $BUFFER == *"${histchars[1]:-!}"* || $BUFFER == *'^'* ) ]] || return 0
  local buffer=$BUFFER cursor=$CURSOR
  zle expand-history
  expanded=$PREBUFFER$BUFFER BUFFER=$buffer CURSOR=$cursor
}

# Stands before each widget that accepts a line.
__podbastion_accept() {
  # What completion added to be taken away again goes before the line is told.
  zle auto-suffix-remove
  if __podbastion_ask $WIDGET; then
    __podbastion_passed=$BUFFER
    zle __podbastion_own_$WIDGET -- "$@"
  fi
}

# Whatever got here without having been asked about is asked about now, and emptied if it may not run.
__podbastion_finish() {
  [[ $BUFFER == "$__podbastion_passed" ]] || __podbastion_ask finish || BUFFER=
  __podbastion_passed=
  (( ! ${+widgets[__podbastion_own_finish]} )) || zle __podbastion_own_finish -- "$@"
}

__podbastion_told() {
  emulate -L zsh
  local text=$PREBUFFER$BUFFER expanded
  __podbastion_expanded
  __podbastion_tell "q;0;ask" "$text" "$expanded"
}

# Tells that the word at the cursor holds code, which zsh's completion and expansion would run.
__podbastion_code() {
  emulate -L zsh
  setopt extendedglob
  local -a words
  words=(${(z)LBUFFER})
  local word=${words[-1]-} right=${RBUFFER%%[[:space:]]*}
  [[ $LBUFFER != *[[:space:]] || $word == *[[:space:]] ]] || word=
  [[ $word$right != *[\(\`]* ]] || right=$RBUFFER
  word+=$right
  word=${word//\\?/}
  if [[ $word == \"[^\"]# ]]; then
    [[ $word == *\$*\(*\)* || $word == *\`*\`* ]]
    return
  fi
  [[ $word == *\"* ]] || word=${${word//\'[^\']#\'/}%%\'*}
  [[ $word == *\(*\)* || $word == *\`*\`* ]]
}

# Stands before each widget that expands or completes: code is not run before Enter.
__podbastion_complete() {
  if __podbastion_code; then
    zle -M 'bastion: code is not expanded before Enter'
  else
    zle __podbastion_own_$WIDGET -- "$@"
  fi
}

__podbastion_wrap() {
  local widget map
  for widget in complete-word delete-char-or-list expand-or-complete expand-or-complete-prefix expand-word list-choices list-expand menu-complete menu-expand-or-complete reverse-menu-complete; do
    [[ ${widgets[$widget]-} != user:* || ${+widgets[__podbastion_own_$widget]} == 0 ]] || continue
    zle -A $widget __podbastion_own_$widget
    zle -N $widget __podbastion_complete
  done
  for widget in accept-line accept-and-hold accept-line-and-down-history accept-and-infer-next-history; do
    (( ! ${+widgets[__podbastion_own_$widget]} )) || continue
    zle -A $widget __podbastion_own_$widget
    zle -N $widget __podbastion_accept
  done
  if [[ ${widgets[zle-line-finish]-} != user:__podbastion_finish ]]; then
    (( ! ${+widgets[zle-line-finish]} )) || zle -A zle-line-finish __podbastion_own_finish
    zle -N zle-line-finish __podbastion_finish
  fi
  zle -N __podbastion_told
  for map in emacs viins vicmd; do bindkey -M $map '\e[7770;7~' __podbastion_told; done
}

__podbastion_precmd() {
  local code=$?
  emulate -L zsh
  __podbastion_wrap
  local here=$PWD # anybody can set it
  [[ $PWD == ${PWD:A} && $PWD -ef . ]] || here=
  __podbastion_tell "p;$__podbastion_count;$code" "$here" ""
  return $code
}
precmd_functions=(__podbastion_precmd)

if [[ -e ${ZDOTDIR:-$HOME}/.zshenv ]]; then source ${ZDOTDIR:-$HOME}/.zshenv; fi
