#!/bin/sh
# The nodes in Node-RED's own test bed, then Node-RED itself with the flows of examples/node-red. Usage: run.sh
# $NATSD is the server's program, with the other daemons beside it; packages go to $LUNIX_CACHE.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cache="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/node-red"
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "SKIPPED node-red: no node or no npm here"
    exit 0
fi
# Node looks for packages beside the program, and there they shall not be.
mkdir -p "$cache"
rm -rf "$cache/lib" "$cache/nodes" "$cache/test" "$cache/flows"
cp -R "$here/package.json" "$here/lib" "$here/nodes" "$here/test" "$cache/"
cp -R "$here/../../examples/node-red" "$cache/flows"
cd "$cache"
if ! npm install --silent --no-audit --no-fund >"$cache/npm.log" 2>&1; then
    if [ ! -d node_modules/node-red ] || [ ! -d node_modules/node-red-node-test-helper ] ||
        [ ! -d node_modules/@nats-io/transport-node ]; then
        echo "SKIPPED node-red: its packages cannot be had: $(grep -v '^$' "$cache/npm.log" | tail -n 1)"
        exit 0
    fi
fi
# What people install, not what tests it. A registry may have no such service.
audit=$(npm audit --omit=dev 2>&1) && echo "ok npm audit" || case $audit in
*'audit endpoint returned an error'* | *ENOTFOUND* | *EAI_AGAIN* | *ECONNREFUSED*)
    echo "SKIPPED npm audit: the registry does not answer it"
    ;;
*)
    echo "FAILED npm audit: $(echo "$audit" | tail -n 1)"
    echo "$audit" >&2
    ;;
esac
export NODE_NO_WARNINGS=1
exec timeout --foreground 480 node --test --test-concurrency=1 --test-reporter="$cache/test/lines.js" test/*.test.js
