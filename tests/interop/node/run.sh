#!/bin/sh
# The official JavaScript client against the server at URL. Usage: run.sh URL; $NATSD is the server's program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
modules="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/interop-node"
mkdir -p "$modules"
cp "$here/package.json" "$here/interop.mjs" "$modules/"
cd "$modules"
npm install --silent --no-audit --no-fund --no-package-lock
exec timeout 300 node interop.mjs "$1"
