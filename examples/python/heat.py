# It is cold, and you are reading a book: some heat. An MQTT sensor's temperature0 arrives as it is, by way of natsmqtt.
# Run: pip install nats-py && python heat.py
import asyncio
import os

import nats
from nats.errors import NoRespondersError, TimeoutError


async def main():
    connection = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))

    async def measured(msg):
        if float(msg.data) > 18:
            return
        try:
            pid = (await connection.request("ps.calibre", timeout=2)).data
        except (NoRespondersError, TimeoutError):
            return
        # An empty answer: there is no such process.
        while pid:
            print("HEAT!", flush=True)

    await connection.subscribe("temperature0", cb=measured)
    await asyncio.Event().wait()


asyncio.run(main())
