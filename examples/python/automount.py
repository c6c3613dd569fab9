# Mounts a USB stick when it is plugged in, and unmounts it when it goes; natsmount does so with more care.
# Run as root: pip install nats-py && python automount.py /myplace
import asyncio
import json
import os
import subprocess
import sys

import nats


async def main():
    place = sys.argv[1] if len(sys.argv) > 1 else "/myplace"
    connection = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    mounted = None

    async def plugged_in(msg):
        nonlocal mounted
        stick = json.loads(msg.data)
        devnode = next((volume["devnode"] for volume in stick["volumes"] if volume.get("fstype")), None)
        if devnode and mounted is None:
            mounted = stick["devpath"]
            subprocess.run(["mount", "-o", "nosuid,nodev,noexec", devnode, place])

    async def pulled_out(msg):
        nonlocal mounted
        if json.loads(msg.data)["devpath"] == mounted:
            mounted = None
            subprocess.run(["umount", "--lazy", place])

    await connection.subscribe("hardware.usb.remove", cb=pulled_out)
    await connection.subscribe("hardware.usb.add", cb=plugged_in)
    await asyncio.Event().wait()


asyncio.run(main())
