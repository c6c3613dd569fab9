#!/bin/sh
# Mounts a USB stick when it is plugged in, and unmounts it when it goes, with lunix and jq; natsmount does so with more care.
# Run as root: sh automount.sh /myplace
place=${1:-/myplace}
mounted=
lunix sub 'hardware.usb.*' | while read -r subject stick; do
    # A reply subject stands in between where an answer is wanted.
    stick="{${stick#*\{}"
    devpath=$(printf '%s\n' "$stick" | jq -r '.devpath')
    case $subject in
    hardware.usb.add)
        devnode=$(printf '%s\n' "$stick" | jq -r 'first(.volumes[] | select(.fstype) | .devnode)')
        if [ -z "$mounted" ] && [ -n "$devnode" ]; then
            mounted=$devpath
            mount -o nosuid,nodev,noexec "$devnode" "$place"
        fi
        ;;
    hardware.usb.remove)
        if [ "$devpath" = "$mounted" ]; then
            mounted=
            umount --lazy "$place"
        fi
        ;;
    esac
done
