#!/bin/sh
# The page of natsws in Chromium. Usage: run.sh URL (not used: it kills its server, which is its own)
#        run.sh --screenshots FOLDER
# $NATSD names the server's program; lunix, natstoast, natsinit and natsws are in $PATH; packages go to $LUNIX_CACHE.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for program in chromium node npm; do
    if ! command -v "$program" >/dev/null; then
        echo "SKIPPED page: no $program here"
        exit 0
    fi
done
modules="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/page"
mkdir -p "$modules"
cp "$here/package.json" "$here"/*.mjs "$modules/"
script=page.mjs
if [ "$1" = --screenshots ]; then
    script=screenshots.mjs
    folder=$(cd "$2" && pwd)
fi
CHROMIUM=$(command -v chromium)
EXAMPLE=$here/../../examples/web
export CHROMIUM EXAMPLE
cd "$modules"
if ! npm install --silent --no-audit --no-fund --no-package-lock >npm.log 2>&1 && [ ! -d node_modules/nats.ws ]; then
    echo "SKIPPED page: its packages cannot be had: $(grep -v '^$' npm.log | tail -n 1)"
    exit 0
fi
exec timeout --foreground 900 node "$script" "${folder:-}"
