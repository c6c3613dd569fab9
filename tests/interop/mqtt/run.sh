#!/bin/sh
# MQTT.js and Eclipse Paho through natsmqtt, over TCP, TLS and WebSocket, at the server at URL. Usage: run.sh URL; lunix-bridge is
# in $PATH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bridge=$(command -v lunix-bridge)
cache="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/interop-mqtt"
mkdir -p "$cache"
cp "$here/package.json" "$here/interop.mjs" "$cache/"
cd "$cache"
[ -x venv/bin/pip ] || python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install --requirement "$here/requirements.txt"
npm install --silent --no-audit --no-fund --no-package-lock
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out cert.pem 2>/dev/null
BRIDGE=$bridge PAHO="venv/bin/python $here/eclipse.py" exec timeout 400 node interop.mjs "$1"
