#!/bin/sh
# Machines in networks of their own, of which some are cut off. Usage: run.sh leaves | half-open; $NATSD and, as far as they are
# needed, $NATS_SERVER, $NATSMQTT and $NATSWS are the programs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/networks"
as_root=
[ "$(id -u)" = 0 ] || as_root=--map-root-user
# Namespaces that only these processes see: nothing is left behind, however they end.
if ! why=$(unshare $as_root --net --mount sh -c 'mount -t tmpfs tmpfs /run && ip netns add probe' 2>&1); then
    echo "SKIPPED $1: no network namespaces here: $why"
    exit 0
fi
[ -x "$cache/bin/pip" ] || python3 -m venv "$cache"
"$cache/bin/pip" --quiet --disable-pip-version-check install --requirement "$here/requirements.txt"
exec timeout 450 unshare $as_root --net --mount sh -c 'mount -t tmpfs tmpfs /run && exec "$@"' sh \
    "$cache/bin/python" "$here/$1.py"
