#!/bin/sh
# A hub and two leaf nodes, each in a network of its own. Usage: run.sh; $NATSD and $NATS_SERVER are the programs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/interop-python"
as_root=
[ "$(id -u)" = 0 ] || as_root=--map-root-user
# Namespaces that only these processes see: nothing is left behind, however they end.
if ! why=$(unshare $as_root --net --mount sh -c 'mount -t tmpfs tmpfs /run && ip netns add probe' 2>&1); then
    echo "SKIPPED leaves: no network namespaces here: $why"
    exit 0
fi
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
"$venv/bin/pip" --quiet --disable-pip-version-check install --requirement "$here/../interop/python/requirements.txt"
exec timeout 400 unshare $as_root --net --mount sh -c 'mount -t tmpfs tmpfs /run && exec "$@"' sh \
    "$venv/bin/python" "$here/leaves.py"
