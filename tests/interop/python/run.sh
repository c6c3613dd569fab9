#!/bin/sh
# The official Python client against the server at URL. Usage: run.sh URL; $NATSD is the server's program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/interop-python"
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
"$venv/bin/pip" --quiet --disable-pip-version-check install --requirement "$here/requirements.txt"
exec timeout 300 "$venv/bin/python" "$here/interop.py" "$1"
