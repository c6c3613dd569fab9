#!/bin/sh
# A toast for every USB stick, with nothing but a shell and lunix itself.
# Run: sh usb-toast.sh
lunix sub --raw hardware.usb.add | while read -r device; do
    lunix pub toast.in 'a USB stick was plugged in!'
done
