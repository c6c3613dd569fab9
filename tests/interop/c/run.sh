#!/bin/sh
# The official C client (Debian: libnats-dev) against the server at URL. Usage: run.sh URL; $NATSD is the server's program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/interop-c"
mkdir -p "$cache"
cc -std=gnu11 -O1 -Wall -Wextra -Werror -o "$cache/interop" "$here/interop.c" -lnats
exec timeout 300 "$cache/interop" "$1"
