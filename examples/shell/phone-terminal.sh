#!/bin/sh
# Your phone is connected over bluetooth: a terminal opens on your desktop.
# Run: sh phone-terminal.sh
lunix sub --raw bluetooth.connected | while read -r phone; do
    lunix pub wm.exec xterm
done
