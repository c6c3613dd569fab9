#!/bin/sh
# `lunix schema` against AsyncAPI's own schema, and what the daemons say against `lunix schema`. Usage: run.sh URL
# Needs all programs in $PATH; packages go to $LUNIX_CACHE.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
modules="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/schema"
mkdir -p "$modules"
cp "$here/package.json" "$here/schema.mjs" "$modules/"
cd "$modules"
if ! npm install --silent --no-audit --no-fund --no-package-lock >npm.log 2>&1 && [ ! -d node_modules/ajv ]; then
    echo "SKIPPED schema: its packages cannot be had: $(grep -v '^$' npm.log | tail -n 1)"
    exit 0
fi
NATS_URL=$1 exec timeout --foreground 480 node schema.mjs
