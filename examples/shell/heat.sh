#!/bin/sh
# It is cold, and you are reading a book: some heat. An MQTT sensor's temperature0 arrives as it is, by way of natsmqtt.
# Run: sh heat.sh
lunix sub --raw temperature0 | while read -r temperature; do
    awk -v t="$temperature" 'BEGIN { exit !(t <= 18) }' || continue
    # An empty answer: there is no such process.
    [ -n "$(lunix req ps.calibre 2>/dev/null)" ] || continue
    while :; do
        echo 'HEAT!'
    done
done
