# Your phone is connected over bluetooth: a terminal opens on your desktop.
# Run: pip install nats-py && python phone-terminal.py
import asyncio
import os

import nats


async def main():
    connection = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))

    async def connected(msg):
        await connection.publish("wm.exec", b"xterm")

    await connection.subscribe("bluetooth.connected", cb=connected)
    await asyncio.Event().wait()


asyncio.run(main())
