#!/bin/sh
# Runs every example against the server at URL: one event must make exactly one message, one mount, or some heat.
# Usage: test.sh URL
# Needs `lunix` in $PATH; packages go to $LUNIX_CACHE. Nobody else may use these subjects meanwhile.
set -eu
NATS_URL="${1:-${NATS_URL:-nats://127.0.0.1:4222}}"
export NATS_URL
here=$(cd "$(dirname "$0")" && pwd)
# The packages are those of tests/interop, which may be there already.
cache="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}"
scratch=$(mktemp -d)
example=
heard=
answering=
gateway=
failed=0

# An example may be several processes (the shell's is): they are one session, and end together.
end() {
    [ -z "$1" ] || kill -- "-$1" 2>/dev/null || true
}
trap 'end "$example"; end "$heard"; end "$answering"; end "$gateway"; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

# Says it on a subject once somebody listens there, as the server tells: exactly one message is heard. Usage: reach SUBJECT TEXT
reach() {
    tries=0
    until lunix req "\$SYS.REQ.SERVER.PING.CONNZ" '{"subscriptions":true}' 2>&1 | grep -qE "\"($1|${1%.*}[.][*])\""; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || return 1
        sleep 0.1
    done
    lunix pub "$1" "$2"
}

skip() {
    echo "SKIPPED $1: $2"
}

# Starts the example. Usage: begin COMMAND...
begin() {
    setsid "$@" </dev/null >>"$scratch/log" 2>&1 &
    example=$!
}

# Ends it, and says what became of it: nothing is well. Usage: finish NAME WHY
finish() {
    end "$example"
    end "$heard"
    wait "$example" "$heard" 2>/dev/null || true
    # All of them: who still listens would hear what is said to the next example.
    tries=0
    while kill -0 -- "-$example" 2>/dev/null && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    example=
    heard=
    if [ -z "$2" ]; then
        echo "ok $1"
    else
        echo "FAILED $1: $2"
        cat "$scratch/log" >&2
        failed=1
    fi
}

# Waits for so many lines in a file, which is there already. Usage: lines FILE COUNT
lines() {
    tries=0
    until [ "$(wc -l <"$1")" -ge "$2" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || return 1
        sleep 0.1
    done
}

# One event makes one message. Usage: check_message NAME EVENT PAYLOAD SUBJECT TEXT COMMAND...
check_message() {
    name=$1 event=$2 payload=$3 subject=$4 text=$5
    shift 5
    : >"$scratch/heard"
    : >"$scratch/log"
    setsid lunix sub --raw "$subject" examples.sync >"$scratch/heard" 2>>"$scratch/log" &
    heard=$!
    begin "$@"
    why=
    if ! reach examples.sync ''; then
        why="lunix sub does not listen"
    elif ! reach "$event" "$payload"; then
        why="it does not subscribe"
    else
        # The first line is what showed that it listens, which is empty.
        lines "$scratch/heard" 2 || true
        # A second one would come at once.
        sleep 0.3
        messages=$(grep -c . "$scratch/heard" || true)
        if [ "$messages" != 1 ]; then
            why="$messages messages instead of one"
        elif ! grep -qx "$text" "$scratch/heard"; then
            why="another message than expected"
        fi
    fi
    finish "$name" "$why"
}

# Usage: check_toast NAME COMMAND...
check_toast() {
    name=$1
    shift
    check_message "$name" hardware.usb.add '{"devpath":"/devices/example","model":"Example","volumes":[]}' \
        toast.in 'a USB stick was plugged in!' "$@"
}

# natsbt is not there yet: its event is made by hand. Usage: check_phone NAME COMMAND...
check_phone() {
    name=$1
    shift
    check_message "$name" bluetooth.connected '{"address":"00:11:22:33:44:55","name":"My phone"}' wm.exec xterm "$@"
}

# An example that mounts: told of a stick that comes and goes, it must call mount and umount once each, which are not the
# real ones here. Usage: check_mount NAME COMMAND...
check_mount() {
    name=$1
    shift
    mkdir -p "$scratch/bin"
    : >"$scratch/calls"
    : >"$scratch/log"
    for program in mount umount; do
        printf '#!/bin/sh\necho "%s $*" >>"%s/calls"\n' "$program" "$scratch" >"$scratch/bin/$program"
        chmod +x "$scratch/bin/$program"
    done
    begin env PATH="$scratch/bin:$PATH" "$@"
    why=
    stick='{"devpath":"/devices/example","volumes":[{"devnode":"/dev/sda","fstype":null},{"devnode":"/dev/sda1","fstype":"vfat"}]}'
    printf '%s\n' 'mount -o nosuid,nodev,noexec /dev/sda1 /myplace' 'umount --lazy /myplace' >"$scratch/expected"
    if ! reach hardware.usb.add "$stick" || ! lines "$scratch/calls" 1; then
        why="it does not mount"
    elif ! reach hardware.usb.remove "$stick" || ! lines "$scratch/calls" 2; then
        why="it does not unmount"
    elif ! cmp -s "$scratch/calls" "$scratch/expected"; then
        why="other calls than expected: $(cat "$scratch/calls")"
    fi
    finish "$name" "$why"
}

# The sensor: a device of MQTT where there can be one. Usage: measured TEMPERATURE
measured() {
    if [ -n "$gateway" ]; then
        mosquitto_pub -p "$port" -q 1 -t temperature0 -m "$1" >>"$scratch/log" 2>&1
    else
        reach temperature0 "$1"
    fi
}

# natsps is not there yet: something else says that a book is being read. Usage: check_heat NAME COMMAND...
check_heat() {
    name=$1
    shift
    if ! has python3; then
        skip "$name" "no python3 here"
        return
    fi
    : >"$scratch/log"
    : >"$scratch/heat"
    : >"$scratch/stderr"
    setsid python3 "$here/answer.py" ps.calibre 4711 >>"$scratch/log" 2>&1 &
    answering=$!
    # It makes heat until nobody looks.
    begin sh -c '"$@" 2>"$0/stderr" | head -n 1 >"$0/heat"' "$scratch" "$@"
    why=
    if ! reach ps.calibre ''; then
        why="nobody answers for natsps"
    elif ! reach temperature0 21.5; then
        why="it does not subscribe"
    elif [ -s "$scratch/heat" ]; then
        why="it makes heat where it is warm"
    elif ! measured 17.5 || ! lines "$scratch/heat" 1; then
        why="it makes no heat"
    elif ! grep -qx 'HEAT!' "$scratch/heat"; then
        why="it says something else: $(cat "$scratch/heat")"
    fi
    cat "$scratch/stderr" >>"$scratch/log"
    finish "$name" "$why"
    end "$answering"
    wait "$answering" 2>/dev/null || true
    answering=
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# All four examples of $folder. Usage: check_all SUFFIX COMMAND...
check_all() {
    suffix=$1
    shift
    check_toast "usb-toast$suffix" "$@" "$folder/usb-toast$suffix"
    check_mount "automount$suffix" "$@" "$folder/automount$suffix" /myplace
    check_phone "phone-terminal$suffix" "$@" "$folder/phone-terminal$suffix"
    check_heat "heat$suffix" "$@" "$folder/heat$suffix"
}

if ! has lunix; then
    echo "FAILED examples: lunix is not in \$PATH"
    exit 1
fi

if has natsmqtt && has mosquitto_pub; then
    # Appended to, and made here: what is opened by a process in the background may not be there yet.
    : >"$scratch/gateway"
    setsid natsmqtt --nats "$NATS_URL" --listen 127.0.0.1:0 </dev/null 2>>"$scratch/gateway" &
    gateway=$!
    port=
    tries=0
    until [ -n "$port" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            echo "FAILED examples: natsmqtt does not start"
            cat "$scratch/gateway" >&2
            exit 1
        fi
        sleep 0.1
        port=$(sed -n 's/.*devices connect to 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$scratch/gateway")
    done
else
    skip sensor "no natsmqtt or no mosquitto-clients here: what it says is published by lunix"
fi

folder="$here/shell"
check_toast usb-toast.sh sh "$folder/usb-toast.sh"
if has jq; then
    check_mount automount.sh sh "$folder/automount.sh" /myplace
else
    skip automount.sh "no jq here"
fi
check_phone phone-terminal.sh sh "$folder/phone-terminal.sh"
check_heat heat.sh sh "$folder/heat.sh"
if has bash; then
    check_toast by-hand.bash bash "$folder/by-hand.bash"
else
    skip by-hand.bash "no bash here"
fi

modules="$cache/interop-node"
if ! has node || ! has npm; then
    skip node "no node or no npm here"
else
    mkdir -p "$modules"
    [ -d "$modules/node_modules/@nats-io/transport-node" ] ||
        npm install --silent --no-audit --no-fund --no-package-lock --prefix "$modules" \
            @nats-io/transport-node@3.4.0 >"$scratch/log" 2>&1 || true
    if [ -d "$modules/node_modules/@nats-io/transport-node" ]; then
        # Node looks for packages beside the program.
        folder="$modules/examples"
        rm -rf "$folder"
        cp -R "$here/node" "$folder"
        check_all .mjs node
        # The seed's own lines.
        check_toast seed/usb-toast.js node "$folder/seed.js" "$folder/seed/usb-toast.js"
        check_mount seed/automount.js node "$folder/seed.js" "$folder/seed/automount.js"
        check_phone seed/phone-terminal.js node "$folder/seed.js" "$folder/seed/phone-terminal.js"
        check_heat seed/heat.js node "$folder/seed.js" "$folder/seed/heat.js"
    else
        skip node "@nats-io/transport-node cannot be had: $(tail -n 1 "$scratch/log")"
    fi
fi

venv="$cache/interop-python"
if ! has python3; then
    skip python "no python3 here"
else
    [ -x "$venv/bin/pip" ] || python3 -m venv "$venv" >"$scratch/log" 2>&1 || true
    if "$venv/bin/python" -c 'import nats' 2>/dev/null ||
        "$venv/bin/pip" --quiet --disable-pip-version-check install nats-py==2.16.0 >"$scratch/log" 2>&1; then
        folder="$here/python"
        check_all .py "$venv/bin/python"
    else
        skip python "nats-py cannot be had: $(tail -n 1 "$scratch/log")"
    fi
fi

# What is compiled here must compile. Usage: built NAME COMMAND...
built() {
    name=$1
    shift
    "$@" >"$scratch/log" 2>&1 && return
    echo "FAILED $name: it does not compile"
    cat "$scratch/log" >&2
    failed=1
    return 1
}

# Whether C has this header. Usage: includes HEADER
includes() {
    has cc && echo "#include <$1>" | cc -E - >/dev/null 2>&1
}

folder="$scratch/c"
mkdir "$folder"
compile() {
    built "$1.c" cc -Wall -Wextra -Werror -o "$folder/$1" "$here/c/$1.c" -lnats ${2-}
}
if ! includes nats/nats.h; then
    skip c "no cc or no libnats-dev here"
else
    ! compile usb-toast || check_toast usb-toast.c "$folder/usb-toast"
    ! compile phone-terminal || check_phone phone-terminal.c "$folder/phone-terminal"
    ! compile heat || check_heat heat.c "$folder/heat"
    if includes json-c/json.h; then
        ! compile automount -ljson-c || check_mount automount.c "$folder/automount" /myplace
    else
        skip automount.c "no libjson-c-dev here"
    fi
fi

target="$cache/interop-rust"
if ! has cargo; then
    skip rust "no cargo here"
elif built rust cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml" --target-dir "$target"; then
    check_toast rust/usb-toast "$target/debug/usb-toast"
    check_mount rust/automount "$target/debug/automount" /myplace
    check_phone rust/phone-terminal "$target/debug/phone-terminal"
    check_heat rust/heat "$target/debug/heat"
fi

# Debian's packages; no module is fetched.
if ! has go || [ ! -d /usr/share/gocode/src/github.com/nats-io/nats.go ]; then
    skip go "no go or no golang-github-nats-io-go-nats-dev here"
else
    folder="$scratch/go"
    mkdir "$folder"
    export GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$cache/examples-go" GOFLAGS=
    for example_name in usb-toast automount phone-terminal heat; do
        built "$example_name.go" go build -o "$folder/$example_name" "$here/go/$example_name.go" || continue
        case $example_name in
        usb-toast) check_toast usb-toast.go "$folder/usb-toast" ;;
        automount) check_mount automount.go "$folder/automount" /myplace ;;
        phone-terminal) check_phone phone-terminal.go "$folder/phone-terminal" ;;
        heat) check_heat heat.go "$folder/heat" ;;
        esac
    done
fi

exit "$failed"
