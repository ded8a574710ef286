# Becomes the program given after the first two arguments, and leaves a watchdog beside it. The watchdog
# holds the read end of the owner's pipe (standard input here): when that ends, the owner is gone.
#   $1  directory to remove once the program is gone, or empty
#   $2  signals in order, each with the seconds to wait after it: "INT 10 QUIT 5 KILL 5"
sweep=$1
steps=$2
shift 2
exec 3<&0

# The start time tells this process from a later one with the same number; it survives the exec below.
birth() {
    read -r stat <"/proc/$$/stat" || return 1
    set -- ${stat##*) }
    [ "$1" != Z ] && echo "${20}"
}
born=$(birth 2>/dev/null)
alive() {
    if [ -n "$born" ]; then
        [ "$(birth)" = "$born" ]
    else
        kill -s 0 "$$"
    fi
}

# Forked twice, so that the program does not find itself with a child that it never made.
(
    (
        trap '' HUP INT QUIT TERM
        if read -r word <&3 && [ "$word" = release ]; then
            exit 0
        fi
        set -- $steps
        while [ $# -ge 2 ] && alive; do
            kill -s "$1" "$$"
            ticks=$(($2 * 10))
            while [ "$ticks" -gt 0 ] && alive; do
                sleep 0.1 || sleep 1
                ticks=$((ticks - 1))
            done
            shift 2
        done
        if [ -n "$sweep" ]; then
            rm -rf -- "$sweep"
        fi
    ) >/dev/null 2>&1 &
)

exec 3<&-
exec "$@" </dev/null
