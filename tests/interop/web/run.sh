#!/bin/sh
# The official clients for browsers, through natsws, at the server at URL and at nats-server. Usage: run.sh URL; lunix-bridge is
# in $PATH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bridge=$(command -v lunix-bridge)
modules="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/interop-web"
mkdir -p "$modules"
cp "$here/package.json" "$here/interop.mjs" "$modules/"
cd "$modules"
npm install --silent --no-audit --no-fund --no-package-lock
BRIDGE=$bridge exec timeout 400 node interop.mjs "$1"
