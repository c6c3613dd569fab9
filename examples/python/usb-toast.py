# A toast for every USB stick, with the official client for Python.
# Run: pip install nats-py && python usb-toast.py
import asyncio
import os

import nats


async def main():
    connection = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))

    async def plugged_in(msg):
        await connection.publish("toast.in", b"a USB stick was plugged in!")

    await connection.subscribe("hardware.usb.add", cb=plugged_in)
    await asyncio.Event().wait()


asyncio.run(main())
