#!/bin/bash
# A toast for every USB stick, with nothing but bash: this is all of NATS that it takes.
# Run: bash by-hand.bash
server=${NATS_URL:-nats://127.0.0.1:4222}
server=${server#nats://}
exec 3<>"/dev/tcp/${server%:*}/${server##*:}"
say() {
    printf '%s\r\n' "$@" >&3
}
toast='a USB stick was plugged in!'
say 'CONNECT {"verbose":false}' 'SUB hardware.usb.add 1'
while read -r word _ <&3; do
    case $word in
    MSG)
        # JSON on one line: the device.
        read -r _ <&3
        say "PUB toast.in ${#toast}" "$toast"
        ;;
    PING*) say PONG ;;
    -ERR) exit 1 ;;
    esac
done
