# Evaluated after the user's own configuration; the nonce is set above.
set -g __podbastion_count 0
set -g __podbastion_told

function __podbastion_tell
    printf '\e]7770;%s;%s\x1f%s\x1f%s\a' $__podbastion_nonce $argv[1] \
        (string escape --style=url -- $argv[2] | string collect) '' >/dev/tty
end

# A submit key expands an abbreviation, which is done once this function has returned, and has the bastion press the
# key that tells the line.
function __podbastion_submit
    if test (status current-command) = read
        commandline -f execute
        return
    end
    commandline -f expand-abbr
    __podbastion_tell "r;$__podbastion_count;accept"
end

# Nothing runs until the bastion's key says so.
function __podbastion_line
    set -g __podbastion_told (commandline | string collect)
    set -g __podbastion_count (math $__podbastion_count + 1)
    __podbastion_tell "l;$__podbastion_count;accept" "$__podbastion_told"
end

# The bastion's key: runs the line that was told, if it is still that one. It may come twice.
function __podbastion_run
    set -l now (commandline | string collect)
    if test "$now" = "$__podbastion_told"
        commandline -f execute
    end
end

# What is typed to fish's own `read` may be a secret and is not told.
function __podbastion_ask
    if test (status current-command) = read
        __podbastion_tell "q;0;read"
        return
    end
    __podbastion_tell "q;0;ask" (commandline | string collect)
end

function __podbastion_bind
    for mode in (bind --list-modes | string match --invert paste) # in a paste these keys are text
        for key in \r \n \e\r \e\n
            bind -M $mode $key __podbastion_submit
        end
        bind -M $mode \e'[7770;1~' __podbastion_line
        bind -M $mode \e"[7770;2;$__podbastion_nonce~" __podbastion_run
        bind -M $mode \e'[7770;7~' __podbastion_ask
    end
end

function __podbastion_prompt --on-event fish_prompt
    set -l code $status
    __podbastion_bind
    set -l here (builtin pwd -P)
    test "$here" = "$PWD"; or set here ''
    __podbastion_tell "p;$__podbastion_count;$code" "$here"
end
