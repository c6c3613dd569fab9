"""nats-server with JetStream as the hub and two natsd as its leaf nodes, each in a network of its own, joined by a bridge.

A publisher at the first leaf counts in a loop for the whole time; whoever listens checks the numbers. Meanwhile a cable is cut,
for a moment and for long, and the hub is killed and started again.
"""

import asyncio
import bisect
import os
import pathlib
import sys
import tempfile
import time

import nats

from networks import Daemon, Place, attempt, build, cut, ip, mend

NATSD, NATS_SERVER = os.environ["NATSD"], os.environ["NATS_SERVER"]
ADDRESS = {"hub": "10.77.0.1", "one": "10.77.0.2", "two": "10.77.0.3"}
MAC = {"hub": "02:00:00:00:00:01", "one": "02:00:00:00:00:02", "two": "02:00:00:00:00:03"}
# Between two numbers of the publisher.
BEAT = 0.005
# What may pass between a return and the first message that was published after it: a second, and some time to connect; on a
# machine that makes everybody wait, so many of its pauses more.
RETURN, TURNS = 1.25, 12


def know_each_other(place):
    """Without ARP, whose second of patience is not ours to measure."""
    for other in ADDRESS:
        if other != place:
            ip("-n", place, "neigh", "replace", ADDRESS[other], "lladdr", MAC[other], "dev", "net")


def build_networks():
    build(ADDRESS)
    for place in ADDRESS:
        ip("-n", place, "link", "set", "net", "address", MAC[place])
    for place in ADDRESS:
        know_each_other(place)


def server(folder, place, program, config):
    path = folder / f"{place}.conf"
    path.write_text(config)
    return Daemon(place, [program, "-c", str(path)], folder / f"{place}.log", "Server is ready")


def connect(place):
    async def closed(error):
        if not isinstance(error, (ConnectionError, OSError)):
            print(f"{place.place}: {error!r}", file=sys.stderr)

    options = {"error_cb": closed, "reconnect_time_wait": 0.1, "max_reconnect_attempts": -1}
    return place.do(nats.connect("nats://127.0.0.1:4222", **options))


class Counter:
    """Who listens to the publisher: no number twice, none before a smaller one."""

    def __init__(self, place, client, subject="count"):
        self.numbers, self.times, self.wrong, self.place = [], [], [], place
        self.subscription = place.do(self.listen(client, subject))

    async def listen(self, client, subject):
        async def heard(message):
            number = int(message.data)
            if self.numbers and number <= self.numbers[-1]:
                self.wrong.append((self.numbers[-1], number))
            self.numbers.append(number)
            self.times.append(time.monotonic())

        subscription = await client.subscribe(subject, cb=heard)
        await client.flush()
        return subscription

    def pause(self, since):
        """The longest time between two numbers, beyond that of the publisher."""
        times = [time for time in self.times if time >= since]
        return max([0, *(after - before - 2 * BEAT for before, after in zip(times, times[1:]))])

    def wait_for(self, number, patience=60):
        """Until it has heard that number or a later one; answers when that was."""
        end = time.monotonic() + patience
        while len(self.times) == 0 or self.numbers[len(self.times) - 1] < number:
            if time.monotonic() > end:
                return float("inf")
            time.sleep(0.01)
        return self.times[bisect.bisect_left(self.numbers, number)]


class Publisher:
    """Counts, from when it is made."""

    def __init__(self, place, client):
        self.number, self.running, self.client = 0, True, client
        self.work = asyncio.run_coroutine_threadsafe(self.count(), place.loop)

    async def count(self):
        while self.running:
            self.number += 1
            await self.client.publish("count", b"%d" % self.number)
            await asyncio.sleep(BEAT)

    def stop(self):
        self.running = False
        self.work.result(60)


CABLE = (lambda: cut("one"), lambda: mend("one"))


class Demonstration:
    def __init__(self, folder):
        common = 'listen: "127.0.0.1:4222"\n'
        hub = (
            f'jetstream {{ store_dir: "{folder}/store" }}\ndefault_js_domain {{ $G: "" }}\n'
            'leafnodes { listen: "10.77.0.1:7422" }\n'
        )
        leaf = 'socket: none\nleafnodes { remotes: [ { urls: ["nats-leaf://10.77.0.1:7422"] } ] }\n'
        self.hub = server(folder, "hub", NATS_SERVER, f"server_name: hub\n{common}{hub}")
        self.leaves = [
            server(folder, place, NATSD, f"server_name: {place}\n{common}{leaf}") for place in ("one", "two")
        ]
        self.at_hub, self.at_one, self.at_two = (Place(place) for place in ADDRESS)
        self.places = (self.at_hub, self.at_one, self.at_two)
        self.clients = [connect(place) for place in self.places]

    def everybody_is_heard_everywhere(self):
        """Requests in all six directions, as soon as interest has spread."""

        async def answer(client, name):
            async def respond(message):
                await message.respond(f"{name} {message.data.decode()}".encode())

            await client.subscribe(f"ask.{name}", cb=respond)
            await client.flush()

        for place, client in zip(self.places, self.clients):
            place.do(answer(client, place.place))

        async def ask(client, name):
            end = time.monotonic() + 60
            while True:
                try:
                    return (await client.request(f"ask.{name}", b"?", timeout=20)).data
                except nats.errors.NoRespondersError:
                    assert time.monotonic() < end, f"nobody hears ask.{name}"

        for place, client in zip(self.places, self.clients):
            for name in ADDRESS:
                assert place.do(ask(client, name)) == f"{name} ?".encode()

    def a_queue_group_over_all_has_each_message_once(self):
        got = []

        async def join(client, name):
            async def work(message):
                got.append((int(message.data), name))

            await client.subscribe("work", "crew", cb=work)
            await client.subscribe("far", "crew" if name == "two" else name, cb=work)
            await client.flush()

        self.at_one.do(join(self.clients[1], "one"))
        self.at_two.do(join(self.clients[2], "two"))
        self.everybody_is_heard_everywhere()

        async def publish(client):
            for number in range(1000):
                await client.publish("work", b"%d" % number)
            await client.flush()

        self.at_hub.do(publish(self.clients[0]))
        end = time.monotonic() + 60
        while len(got) < 1000 and time.monotonic() < end:
            time.sleep(0.01)
        self.everybody_is_heard_everywhere()
        assert sorted(number for number, _ in got) == list(range(1000)), f"{len(got)} messages"
        shares = {name: sum(1 for _, who in got if who == name) for name in ("one", "two")}
        assert min(shares.values()) > 250, shares

    def key_value_of_the_hub_from_both_leaves(self):
        async def make(client):
            bucket = await client.jetstream(timeout=20).create_key_value(bucket="house")
            for number in range(20):
                await bucket.put(f"door.{number}", b"open")
            return (await bucket.get("door.7")).value

        async def read(client):
            bucket = await client.jetstream(timeout=20).key_value("house")
            watcher = await bucket.watch("door.*")
            seen = 0
            while (entry := await watcher.updates(timeout=20)) is not None:
                assert entry.value == b"open"
                seen += 1
            await bucket.put("door.7", b"shut")
            changed = await watcher.updates(timeout=20)
            await watcher.stop()
            return seen, changed.value

        assert self.at_one.do(make(self.clients[1])) == b"open"
        assert self.at_two.do(read(self.clients[2])) == (20, b"shut")

    def key_value_is_still_there(self):
        async def read(client):
            end = time.monotonic() + 60
            while True:
                try:
                    bucket = await client.jetstream().key_value("house")
                    return (await bucket.get("door.7")).value
                except (nats.errors.TimeoutError, nats.errors.NoRespondersError, nats.js.errors.APIError):
                    assert time.monotonic() < end

        assert self.at_one.do(read(self.clients[1])) == b"shut"

    def away(self, what, leave, back, listeners, seconds):
        """Everything is as before within a second after `back`, of which the first leaf's own clients notice nothing."""
        local = self.counters["one"]
        leave()
        begun = self.publisher.number
        time.sleep(seconds / 2)
        late = Counter(self.at_two, self.clients[2], "count")
        time.sleep(seconds / 2)
        said = self.publisher.number
        assert said > begun and local.wait_for(said) < float("inf"), "the leaf's own clients stand still"
        back()
        number, begin = self.publisher.number + 1, time.monotonic()
        times = {name: self.counters[name].wait_for(number) - begin for name in listeners}
        times["new"] = late.wait_for(number) - begin
        self.at_two.do(late.subscription.unsubscribe())
        assert not late.wrong, f"{late.wrong[:5]}"
        said = ", ".join(f"{name} {span:.2f} s" for name, span in times.items())
        print(f"{what}: heard again after {said}")
        slow = TURNS * local.pause(begin)
        assert max(times.values()) <= RETURN + slow, f"{said}; {slow:.2f} s are the machine's"

    def numbers_go_everywhere(self):
        self.counters = {place.place: Counter(place, client) for place, client in zip(self.places, self.clients)}
        self.everybody_is_heard_everywhere()
        self.publisher = Publisher(self.at_one, self.clients[1])
        for counter in self.counters.values():
            assert counter.wait_for(100) < float("inf")

    def a_cable_is_cut_for_a_moment(self):
        self.away("a cable cut for a second", *CABLE, ("hub", "two"), 1.0)

    def a_cable_is_cut_for_long(self):
        self.away("a cable cut for ten seconds", *CABLE, ("hub", "two"), 10.0)

    def a_leafs_own_link_is_down(self):
        def back():
            ip("-n", "one", "link", "set", "net", "up")
            know_each_other("one")

        leave = lambda: ip("-n", "one", "link", "set", "net", "down")
        self.away("a leaf's own link down for seven seconds", leave, back, ("hub", "two"), 7.0)

    def the_hub_is_killed(self):
        self.away("the hub killed", self.hub.kill, self.hub.start, ("two",), 3.0)

    def nothing_came_twice_and_at_home_nothing_was_lost(self):
        self.publisher.stop()
        local = self.counters["one"]
        local.wait_for(self.publisher.number)
        assert local.numbers == list(range(1, self.publisher.number + 1)), "the leaf's own clients miss some"
        for name, counter in self.counters.items():
            assert not counter.wrong, f"{name}: {counter.wrong[:5]}"
            print(f"{name}: {len(counter.numbers)} of {self.publisher.number} numbers")

    def end(self):
        for place, client in zip(self.places, self.clients):
            place.do(client.close())
        for server in [*self.leaves, self.hub]:
            server.stop()


def main():
    build_networks()
    with tempfile.TemporaryDirectory() as folder:
        demonstration = Demonstration(pathlib.Path(folder))
        names = [
            "everybody_is_heard_everywhere",
            "a_queue_group_over_all_has_each_message_once",
            "key_value_of_the_hub_from_both_leaves",
            "numbers_go_everywhere",
            "a_cable_is_cut_for_a_moment",
            "a_cable_is_cut_for_long",
            "a_leafs_own_link_is_down",
            "the_hub_is_killed",
            "key_value_is_still_there",
            "nothing_came_twice_and_at_home_nothing_was_lost",
        ]
        failed = attempt("leaves", demonstration, names)
        if failed:
            for path in pathlib.Path(folder).glob("*.log"):
                print(f"{path.name}:\n{path.read_text()[-3000:]}")
        demonstration.end()
    # Threads with loops that nobody ends.
    sys.stdout.flush()
    os._exit(failed)


main()
