"""Devices and browsers whose machine goes without a word, as by a cut cable: what natsmqtt and natsws make of that.

natsd and both bridges are one machine; a second one stays, a third one goes. Somebody publishes to all of them the whole time.
"""

import asyncio
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
import time
import urllib.request

import nats
import paho.mqtt.client as paho

from networks import Daemon, Place, attempt, build, cut

NATSD, NATSMQTT, NATSWS = (os.environ[name] for name in ("NATSD", "NATSMQTT", "NATSWS"))
ADDRESS = {"house": "10.77.0.1", "stays": "10.77.0.2", "goes": "10.77.0.3"}
MQTT, MQTT_WEB, WEB, MONITOR = 1883, 1884, 8080, 8222
# What devices promise to say something in, and how long they may be silent then.
KEEP_ALIVE = 2
SILENCE = 1.5 * KEEP_ALIVE
# How long they may take to hear the last words, which is after that.
FAREWELL = 2
# Of the kernel: a minute of silence, then it asks every ten seconds; a minute and a half for all that is not acknowledged, and up
# to half a minute more for those whose hardware address is forgotten meanwhile.
KERNEL = 120
# `write_deadline` of natsws, and its last words.
DEADLINE = 10 + 2
# The time of a busy machine.
MARGIN = 5
# Between two messages, and how long each is: more than what is on the way to somebody holds until his silence is noticed.
BEAT, PAYLOAD = 0.005, 4096
# Nobody who is there waits as long for one who is not as natsws does.
PAUSE = 8
# What one who takes nothing may cost, at most: `output` twice, as it is written and as it gathers, `queue_bytes`, and as much
# again for allocators.
COST = 6 << 20


class Device(paho.Client):
    """An MQTT client, connected from `place`, with a will of its name."""

    def __init__(self, place, name, keep_alive, filters=(), version=paho.MQTTv5, transport="tcp"):
        super().__init__(paho.CallbackAPIVersion.VERSION2, name, protocol=version, transport=transport)
        self.numbers, self.times, self.filters, self.subscribed = [], [], list(filters), threading.Event()
        self.will_set(f"wills/{name}", name, qos=1)
        self.on_connect, self.on_message = self.connected, self.heard
        self.on_subscribe = lambda *_: self.subscribed.set()
        port = MQTT if transport == "tcp" else MQTT_WEB

        async def start():
            self.connect(ADDRESS["house"], port, keepalive=keep_alive)
            self.loop_start()

        place.do(start())
        assert self.subscribed.wait(20), f"{name} is not connected"

    def connected(self, _client, _data, _flags, reason, _properties):
        assert reason == 0, reason
        self.subscribe(self.filters or [("nothing/at/all", 0)])

    def heard(self, _client, _data, message):
        self.numbers.append(int(message.payload[:16]))
        self.times.append(time.monotonic())


class Browser:
    """A client of NATS through natsws, connected from `place`."""

    def __init__(self, place, name, *subjects):
        self.numbers, self.times = [], []
        place.do(self.start(name, subjects))

    async def start(self, name, subjects):
        async def quiet(_error):
            pass

        # Its own PINGs are no part of this.
        options = {"name": name, "allow_reconnect": False, "ping_interval": 3600, "error_cb": quiet}
        self.client = await nats.connect(f"ws://{ADDRESS['house']}:{WEB}", **options)
        for subject in subjects:
            await self.client.subscribe(subject, cb=self.heard)
        await self.client.flush()

    async def heard(self, message):
        self.numbers.append(int(message.data[:16]))
        self.times.append(time.monotonic())


class House:
    def __init__(self, folder):
        def daemon(name, ready, *arguments):
            program = {"natsd": NATSD, "natsmqtt": NATSMQTT, "natsws": NATSWS}[name]
            return Daemon("house", [program, *arguments], folder / f"{name}.log", ready)

        address = ADDRESS["house"]
        self.natsd = daemon("natsd", "Server is ready", "-a", "127.0.0.1", "-p", "4222", "-m", str(MONITOR), "--socket", "none")
        self.listen = ["--listen", f"{address}:{MQTT}", "--listen", f"ws://{address}:{MQTT_WEB}", "--anonymous"]
        self.natsmqtt = daemon("natsmqtt", ": connected", *self.listen)
        self.natsws = daemon("natsws", "browsers connect", "--listen", f"{address}:{WEB}", "--anonymous")
        self.house, self.stays, self.goes = (Place(place) for place in ADDRESS)
        self.wills, self.ended, self.running, self.most = {}, {}, True, {}
        self.house.do(self.witness())

    async def witness(self):
        self.nats = await nats.connect("nats://127.0.0.1:4222")

        async def will(message):
            self.wills[message.data.decode()] = time.monotonic()

        async def ended(message):
            client = json.loads(message.data)
            self.ended[client["client"]] = (time.monotonic(), client)

        await self.nats.subscribe("wills.*", cb=will)
        await self.nats.subscribe("mqtt.client.disconnected", cb=ended)
        await self.nats.flush()

    async def publish(self):
        """Numbers, for as long as this runs."""
        self.number = 0
        while self.running:
            self.number += 1
            await self.nats.publish("flood", (b"%16d" % self.number).ljust(PAYLOAD, b"x"))
            self.look()
            await asyncio.sleep(BEAT)

    def look(self):
        """The most memory that the bridges have had."""
        if self.number % 50 == 0:
            for daemon in (self.natsmqtt, self.natsws):
                self.most[daemon] = max(self.most.get(daemon, 0), memory(daemon))

    async def clients(self):
        return {client["client"]: client for client in json.loads((await self.nats.request("mqtt.clients", b"", timeout=20)).data)}

    async def browsers(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{MONITOR}/connz?limit=1024") as answer:
            return {connection.get("name") for connection in json.load(answer)["connections"]}

    def gone_by(self, which, deadline):
        """Waits until none of `which` natsd has a connection for, and says when that was."""
        end, left = self.cut + deadline, set(which)
        while left := left & self.house.do(self.browsers()):
            assert time.monotonic() < end, f"natsws still has {left} after {deadline} s"
            time.sleep(0.1)
        return time.monotonic() - self.cut

    def everybody_is_connected(self):
        self.sockets = {daemon: sockets(daemon) for daemon in (self.natsmqtt, self.natsws)}
        flood0, flood1, tick = ("flood", 0), ("flood", 1), ("tick", 1)
        self.promised = {
            "promised": Device(self.goes, "promised", KEEP_ALIVE),
            "promised-3.1.1": Device(self.goes, "promised-3.1.1", KEEP_ALIVE, version=paho.MQTTv311),
            "promised-flooded": Device(self.goes, "promised-flooded", KEEP_ALIVE, [flood0]),
            "promised-web": Device(self.goes, "promised-web", KEEP_ALIVE, transport="websockets"),
            "promised-web-flooded": Device(self.goes, "promised-web-flooded", KEEP_ALIVE, [flood0], transport="websockets"),
        }
        self.silent = {
            "silent": Device(self.goes, "silent", 0, version=paho.MQTTv311),
            "silent-told": Device(self.goes, "silent-told", 0, [tick]),
            "silent-flooded": Device(self.goes, "silent-flooded", 0, [flood0]),
            "silent-flooded-1": Device(self.goes, "silent-flooded-1", 0, [flood1]),
            "silent-web": Device(self.goes, "silent-web", 0, transport="websockets"),
        }
        self.pages = [Browser(self.goes, "idle"), Browser(self.goes, "told", "tick"), Browser(self.goes, "flooded", "flood")]
        self.near = [Device(self.stays, "near", KEEP_ALIVE, [flood1]), Browser(self.stays, "near-web", "flood")]
        self.work = asyncio.run_coroutine_threadsafe(self.publish(), self.house.loop)
        flooded = [self.promised["promised-flooded"], self.silent["silent-flooded-1"], self.pages[2], *self.near]
        end = time.monotonic() + 20
        while any(len(client.numbers) < 100 for client in flooded):
            assert time.monotonic() < end, [len(client.numbers) for client in flooded]
            time.sleep(0.01)
        assert {"idle", "told", "flooded"} <= self.house.do(self.browsers())
        assert not self.ended, self.ended
        self.before = {daemon: memory(daemon) for daemon in (self.natsmqtt, self.natsws)}

    def the_wills_of_who_promised_to_speak(self):
        self.cut = time.monotonic()
        cut("goes")
        # The one thing that some are told: the kernel has it at once, and nobody acknowledges it.
        self.house.do(self.nats.publish("tick", b"%16d" % 1))
        for name in self.promised:
            until(lambda: name in self.wills and name in self.ended, self.cut + SILENCE + 2 * FAREWELL + MARGIN, name)
            span, (_, client) = self.wills[name] - self.cut, self.ended[name]
            assert client["code"] == 141 and f"nothing was heard for {SILENCE:.0f} s" in client["reason"], client
            print(f"{name}: its will is said {span:.1f} s after the cut: {client['reason']}")
            # One that takes its last words no more, and TLS and WebSocket, which have an end of their own.
            late = FAREWELL * (("flooded" in name) + ("web" in name))
            assert span < SILENCE + late + MARGIN, f"{name}: {span:.1f} s"
        assert not set(self.promised) & set(self.house.do(self.clients())), "their sessions are still there"

    def a_browser_that_takes_nothing(self):
        span = self.gone_by(["flooded"], DEADLINE + MARGIN)
        print(f"a browser that is sent much is gone {span:.1f} s after the cut")

    def those_who_promised_nothing(self):
        """The kernel finds out: whether they were told nothing, something, or more than they could take."""
        clients = self.house.do(self.clients())
        assert set(self.silent) <= set(clients), "somebody is gone whose time has not come"
        end = self.cut + KERNEL + MARGIN
        while not set(self.silent) <= set(self.ended):
            clients |= self.house.do(self.clients())
            assert max(client["queued"] for client in clients.values()) <= 1000
            assert time.monotonic() < end, f"still there: {set(self.silent) - set(self.ended)}"
            time.sleep(0.2)
        for name in self.silent:
            at, client = self.ended[name]
            until(lambda: name in self.wills, at + MARGIN, f"the will of {name}")
            print(f"{name}: {at - self.cut:.1f} s: {client['reason']}, {client['queued']} waited, {client['lost']} were given up")
        assert self.ended["silent-flooded-1"][1]["lost"] > 0, "its queue was never full"
        span = self.gone_by(["idle", "told"], KERNEL + MARGIN)
        print(f"browsers that are sent little or nothing are gone {span:.1f} s after the cut")

    def meanwhile_all_others_heard_everything(self):
        self.running = False
        self.work.result(10)
        for client in self.near:
            until(lambda: client.numbers[-1] == self.number, time.monotonic() + 20, "the last number")
            numbers, times = client.numbers, client.times
            assert numbers == list(range(numbers[0], self.number + 1)), f"{len(numbers)} of {self.number}"
            pause = max(after - before for before, after in zip(times, times[1:]))
            print(f"{len(numbers)} messages, none lost; the longest pause was {pause:.2f} s")
            assert pause < PAUSE, f"{pause:.2f} s"
        assert set(self.house.do(self.clients())) == {"near"}

    def nothing_is_left_of_them(self):
        near = {self.natsmqtt: 1, self.natsws: 2}
        for daemon, name in ((self.natsmqtt, "natsmqtt"), (self.natsws, "natsws")):
            until(lambda: sockets(daemon) == self.sockets[daemon] + near[daemon], time.monotonic() + MARGIN, f"the sockets of {name}")
            before, most, after = self.before[daemon], self.most[daemon], memory(daemon)
            print(f"{name}: {before >> 10} KB before the cut, {most >> 10} at most, {after >> 10} after")
            count = len([*self.promised, *self.silent]) if daemon is self.natsmqtt else len(self.pages)
            assert most < before + count * COST, "who takes nothing costs more than is allowed"
            assert after < before + COST, "who is gone costs something"
        for daemon in (self.natsmqtt, self.natsws):
            assert daemon.stop() == 0, daemon.log.read_text()


def until(holds, end, what):
    while not holds():
        assert time.monotonic() < end, f"{what} does not come"
        time.sleep(0.01)


def memory(daemon):
    """Bytes that are its own."""
    rollup = pathlib.Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text()
    return sum(int(kilobytes) << 10 for kilobytes in re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE))


def sockets(daemon):
    count = 0
    for descriptor in pathlib.Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            count += os.readlink(descriptor).startswith("socket:")
        except FileNotFoundError:
            pass  # Closed since.
    return count


def main():
    build(ADDRESS)
    with tempfile.TemporaryDirectory() as folder:
        house = House(pathlib.Path(folder))
        names = [
            "everybody_is_connected",
            "the_wills_of_who_promised_to_speak",
            "a_browser_that_takes_nothing",
            "those_who_promised_nothing",
            "meanwhile_all_others_heard_everything",
            "nothing_is_left_of_them",
        ]
        failed = attempt("half-open", house, names)
        if failed:
            for path in pathlib.Path(folder).glob("*.log"):
                print(f"{path.name}:\n{path.read_text()[-3000:]}")
        house.house.do(house.nats.close())
        house.natsd.stop()
    # Threads with loops that nobody ends.
    sys.stdout.flush()
    os._exit(failed)


main()
