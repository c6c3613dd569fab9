"""paho-mqtt hears from natsmqtt why something is refused, and nats-py who the clients are. The server is at argv[1]."""

import asyncio
import json
import queue
import subprocess
import sys
import tempfile

import nats
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

URL = sys.argv[1]
PATIENCE = 60
TESTS = []

CONFIG = """
users: [{ user: ann, password: secret, permissions: { publish: "up/#", subscribe: { deny: "secret/#" } } }]
limits { packet: 64KB, subscriptions: 1 }
"""


def test(function):
    TESTS.append(function)
    return function


class Client:
    """A client of MQTT 5 whose callbacks are an iterator of what they were told."""

    def __init__(self, port, password="secret", name="", wants_reasons=True, method=None):
        self.told = queue.Queue()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        client.username_pw_set("ann", password)
        client.on_connect = self.hear
        client.on_disconnect = self.hear
        client.on_subscribe = self.hear_all
        client.on_unsubscribe = self.hear_all
        client.on_publish = self.hear
        properties = Properties(PacketTypes.CONNECT)
        if not wants_reasons:
            properties.RequestProblemInformation = 0
        if method:
            properties.AuthenticationMethod = method
        client.connect("127.0.0.1", port, properties=properties)
        client.loop_start()
        self.client = client

    def hear(self, *told):
        self.hear_all(*told[:-2], [told[-2]], told[-1])

    def hear_all(self, *told):
        codes, properties = told[-2:]
        self.told.put(([code.value for code in codes], getattr(properties, "ReasonString", None)))

    def next(self):
        return self.told.get(timeout=PATIENCE)

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


def connected(port, **more):
    client = Client(port, **more)
    assert client.next() == ([0], None)
    return client


@test
async def connack(port, _):
    client = Client(port, method="SCRAM-SHA-1")
    assert client.next() == ([0x8C], "there is no authentication beyond user name, password and certificate")
    client.end()
    client = Client(port, password="guess")
    assert client.next() == ([0x86], None), "what is wrong with it is nobody's business"
    client.end()


@test
async def puback(port, _):
    client = connected(port)
    client.client.publish("down/1", "x", qos=1)
    assert client.next() == ([0x87], "this user may not publish there")
    client.client.publish("up/a b", "x", qos=1)
    assert client.next() == ([0x90], "blanks and control characters cannot be in a subject of NATS")
    client.end()


@test
async def suback(port, _):
    client = connected(port)
    options = SubscribeOptions(qos=1)
    client.client.subscribe([("a", options), ("secret/1", options), ("b", options)])
    assert client.next() == ([1, 0x87, 0x97], "secret/1: this user may not subscribe to it")
    client.client.unsubscribe(["b", "a"])
    assert client.next() == ([0x11, 0], "b: there was no such subscription")
    client.end()


@test
async def disconnect(port, _):
    client = connected(port)
    client.client.publish("up/1", b"x" * 100_000)
    assert client.next() == ([0], None), "it is on its way"
    assert client.next() == ([0x95], "a packet has 65536 bytes at most")
    client.end()


@test
async def who_wants_no_words_gets_none(port, _):
    client = connected(port, wants_reasons=False)
    client.client.publish("down/1", "x", qos=1)
    assert client.next() == ([0x87], None)
    client.client.subscribe("secret/1")
    assert client.next() == ([0x87], None)
    client.end()


@test
async def clients(port, nc):
    events = await nc.subscribe("mqtt.client.>")
    await nc.flush()
    client = connected(port, name="lamp")

    async def of_lamp():
        """The end of a client before may still be said."""
        while True:
            message = await events.next_msg(timeout=PATIENCE)
            said = json.loads(message.data)
            if said["client"] == "lamp":
                return message, said

    message, lamp = await of_lamp()
    assert message.subject == "mqtt.client.connected"
    assert (lamp["client"], lamp["user"], lamp["protocol"]) == ("lamp", "ann", "5"), lamp
    listed = json.loads((await nc.request("mqtt.clients", timeout=PATIENCE)).data)
    assert lamp in listed, listed
    client.end()
    message, gone = await of_lamp()
    assert message.subject == "mqtt.client.disconnected"
    assert (gone["client"], gone["code"], gone["reason"]) == ("lamp", 0, "normal disconnection"), gone


async def main():
    failed = 0
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(CONFIG)
        config.flush()
        command = ["lunix-bridge", "natsmqtt", "--listen", "127.0.0.1:0", "--nats", URL, "--config", config.name]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as gateway:
            port = int(gateway.stderr.readline().rsplit(":", 1)[1])
            assert gateway.stderr.readline().endswith("connected\n")
            nc = await nats.connect(URL)
            for function in TESTS:
                name = f"paho: {function.__name__}"
                try:
                    await function(port, nc)
                    print(f"ok {name}", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"FAILED {name}: {type(error).__name__} {error}".replace("\n", " "), flush=True)
            await nc.close()
            gateway.terminate()
    sys.exit(failed > 0)


asyncio.run(main())
