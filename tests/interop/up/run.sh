#!/bin/sh
# `lunix up` beside `lunix-bridge`: the page for browsers, MQTT for devices and notifications of the desktop come with it. Usage: run.sh URL (not used: it has a
# server of its own); lunix and lunix-bridge are in $PATH.
set -eu
for port in 8080 1883; do
  if python3 -c "import socket; socket.socket().bind(('127.0.0.1', $port))" 2>/dev/null; then continue; fi
  echo "SKIPPED up: port $port is taken"
  exit 0
done
folder=$(mktemp -d)
# As they are installed: side by side.
cp "$(readlink -f "$(command -v lunix)")" "$folder/lunix"
cp "$(readlink -f "$(command -v lunix-bridge)")" "$folder/lunix-bridge"
export XDG_RUNTIME_DIR="$folder"
# Below those that the kernel gives to who connects.
port=$(python3 -c "import random; print(random.randrange(20000, 32000))")
desktop=
unset DBUS_SESSION_BUS_ADDRESS
if command -v dbus-daemon >/dev/null && command -v notify-send >/dev/null; then
  dbus-daemon --session --nofork --print-address=1 >"$folder/bus" 2>/dev/null &
  desktop=$!
  until [ -s "$folder/bus" ] || ! kill -0 "$desktop" 2>/dev/null; do sleep 0.1; done
  DBUS_SESSION_BUS_ADDRESS=$(cat "$folder/bus")
  export DBUS_SESSION_BUS_ADDRESS
fi
"$folder/lunix" up --no-watch --port "$port" >"$folder/out" 2>&1 &
up=$!
trap 'kill $up $desktop 2>/dev/null; wait $up 2>/dev/null; rm -rf "$folder"' EXIT
url=nats://127.0.0.1:$port

# check NAME COMMAND…: it succeeds within the time that a loaded machine takes.
check() {
  name=$1
  shift
  for _ in $(seq 600); do
    if "$@" >"$folder/last" 2>&1; then
      echo "ok $name"
      return
    fi
    sleep 0.1
  done
  echo "FAILED $name: $(tail -n 1 "$folder/last")"
  tail -n 20 "$folder/out" >&2
}

page() {
  python3 -c "import urllib.request as u; r = u.urlopen('http://127.0.0.1:8080/'); assert b'<title>lunix' in r.read()"
}
ready() {
  "$folder/lunix" services --nats "$url" | grep -q "^$1 *ready"
}
retained() {
  "$folder/lunix" req --nats "$url" mqtt.retained.temperature0 '' | grep -q 17
}
check 'up: says where the page is' grep -q 'web page *http://127.0.0.1:8080/' "$folder/out"
check 'up: says where devices connect' grep -q 'mqtt *mqtt://127.0.0.1:1883$' "$folder/out"
check 'up: natsws is ready' ready natsws
check 'up: natsmqtt is ready' ready natsmqtt
check 'up: a browser gets the page' page
notified() {
  notify-send 'from the desktop' && "$folder/lunix" req --nats "$url" toast.list '' | grep -q 'from the desktop'
}
if [ -n "$desktop" ]; then
  check 'up: natstoast-dbus is ready' ready natstoast-dbus
  check 'up: a notification is a toast' notified
else
  check 'up: says that there is no desktop' grep -q 'there is no session bus: it is not started' "$folder/out"
fi
if command -v mosquitto_pub >/dev/null; then
  check 'up: a device is heard' mosquitto_pub -h 127.0.0.1 -r -q 1 -t temperature0 -m 17
  check 'up: what it retained is on NATS' retained
else
  echo 'SKIPPED up: a device is heard: no mosquitto_pub'
fi
