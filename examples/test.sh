#!/bin/sh
# Runs every example against the server at URL: one hardware.usb.add must make exactly one toast.in, or one mount.
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
failed=0

# An example may be several processes (the shell's is): they are one session, and end together.
end() {
    [ -z "$1" ] || kill -- "-$1" 2>/dev/null || true
}
trap 'end "$example"; end "$heard"; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

# Asks on a subject until somebody listens there: exactly one question is heard, and it need not be answered.
reach() {
    tries=0
    while [ "$tries" -lt 100 ]; do
        case $(lunix req --timeout 100ms "$1" "$2" 2>&1) in
        *'nobody answers on'*) ;;
        *'no answer on'*) return 0 ;;
        *) return 1 ;;
        esac
        tries=$((tries + 1))
        sleep 0.1
    done
    return 1
}

skip() {
    echo "SKIPPED $1: $2"
}

# Usage: check NAME COMMAND...
check() {
    name=$1
    shift
    : >"$scratch/toasts"
    setsid lunix sub --raw toast.in examples.sync >"$scratch/toasts" 2>"$scratch/log" &
    heard=$!
    setsid "$@" </dev/null >>"$scratch/log" 2>&1 &
    example=$!
    why=
    if ! reach examples.sync ''; then
        why="lunix sub does not listen"
    elif ! reach hardware.usb.add '{"devpath":"/devices/example","model":"Example","volumes":[]}'; then
        why="it does not subscribe"
    else
        tries=0
        while ! grep -q . "$scratch/toasts" && [ "$tries" -lt 50 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
        # A second one would come at once.
        sleep 0.3
        toasts=$(grep -c . "$scratch/toasts" || true)
        if [ "$toasts" != 1 ]; then
            why="$toasts toasts instead of one"
        elif ! grep -qx 'a USB stick was plugged in!' "$scratch/toasts"; then
            why="another toast than expected"
        fi
    fi
    end "$example"
    end "$heard"
    wait "$example" "$heard" 2>/dev/null || true
    example=
    heard=
    if [ -z "$why" ]; then
        echo "ok $name"
    else
        echo "FAILED $name: $why"
        cat "$scratch/log" >&2
        failed=1
    fi
}

# An example that mounts: told of a stick that comes and goes, it must call mount and umount once each, which are not the
# real ones here. Usage: check_mount NAME COMMAND...
check_mount() {
    name=$1
    shift
    mkdir -p "$scratch/bin"
    : >"$scratch/calls"
    for program in mount umount; do
        printf '#!/bin/sh\necho "%s $*" >>"%s/calls"\n' "$program" "$scratch" >"$scratch/bin/$program"
        chmod +x "$scratch/bin/$program"
    done
    setsid env PATH="$scratch/bin:$PATH" "$@" </dev/null >"$scratch/log" 2>&1 &
    example=$!
    why=
    stick='{"devpath":"/devices/example","volumes":[{"devnode":"/dev/sda","fstype":null},{"devnode":"/dev/sda1","fstype":"vfat"}]}'
    printf '%s\n' 'mount -o nosuid,nodev,noexec /dev/sda1 /myplace' 'umount --lazy /myplace' >"$scratch/expected"
    if ! reach hardware.usb.add "$stick" || ! called 1; then
        why="it does not mount"
    elif ! reach hardware.usb.remove "$stick" || ! called 2; then
        why="it does not unmount"
    elif ! cmp -s "$scratch/calls" "$scratch/expected"; then
        why="other calls than expected: $(cat "$scratch/calls")"
    fi
    end "$example"
    wait "$example" 2>/dev/null || true
    example=
    if [ -z "$why" ]; then
        echo "ok $name"
    else
        echo "FAILED $name: $why"
        cat "$scratch/log" >&2
        failed=1
    fi
}

# Waits for so many calls.
called() {
    tries=0
    while [ "$(wc -l <"$scratch/calls")" -lt "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || return 1
        sleep 0.1
    done
}

has() {
    command -v "$1" >/dev/null 2>&1
}

if ! has lunix; then
    echo "FAILED examples: lunix is not in \$PATH"
    exit 1
fi
check usb-toast.sh sh "$here/usb-toast.sh"

modules="$cache/interop-node"
if ! has node || ! has npm; then
    skip usb-toast.mjs "no node or no npm here"
    skip automount.mjs "no node or no npm here"
else
    mkdir -p "$modules"
    [ -d "$modules/node_modules/@nats-io/transport-node" ] ||
        npm install --silent --no-audit --no-fund --no-package-lock --prefix "$modules" \
            @nats-io/transport-node@3.4.0 >"$scratch/log" 2>&1 || true
    if [ -d "$modules/node_modules/@nats-io/transport-node" ]; then
        # Node looks for packages beside the program.
        cp "$here/usb-toast.mjs" "$here/automount.mjs" "$modules/"
        check usb-toast.mjs node "$modules/usb-toast.mjs"
        check_mount automount.mjs node "$modules/automount.mjs" /myplace
    else
        skip usb-toast.mjs "@nats-io/transport-node cannot be had: $(tail -n 1 "$scratch/log")"
        skip automount.mjs "@nats-io/transport-node cannot be had"
    fi
fi

venv="$cache/interop-python"
if ! has python3; then
    skip usb-toast.py "no python3 here"
else
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" >"$scratch/log" 2>&1 || true
    if "$venv/bin/python" -c 'import nats' 2>/dev/null ||
        "$venv/bin/pip" --quiet --disable-pip-version-check install nats-py==2.16.0 >"$scratch/log" 2>&1; then
        check usb-toast.py "$venv/bin/python" "$here/usb-toast.py"
    else
        skip usb-toast.py "nats-py cannot be had: $(tail -n 1 "$scratch/log")"
    fi
fi

if ! has cc || ! echo '#include <nats/nats.h>' | cc -E - >/dev/null 2>&1; then
    skip usb-toast.c "no cc or no libnats-dev here"
elif cc -Wall -Wextra -Werror -o "$scratch/usb-toast" "$here/usb-toast.c" -lnats 2>"$scratch/log"; then
    check usb-toast.c "$scratch/usb-toast"
else
    echo "FAILED usb-toast.c: it does not compile"
    cat "$scratch/log" >&2
    failed=1
fi

target="$cache/interop-rust"
if ! has cargo; then
    skip usb-toast "no cargo here"
elif cargo build --quiet --locked --manifest-path "$here/usb-toast/Cargo.toml" --target-dir "$target" \
    2>"$scratch/log"; then
    check usb-toast "$target/debug/usb-toast"
else
    echo "FAILED usb-toast: it does not compile"
    cat "$scratch/log" >&2
    failed=1
fi

exit "$failed"
