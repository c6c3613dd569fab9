"""Machines in networks of their own, joined by a bridge whose cables can be cut, and what runs there."""

import asyncio
import ctypes
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def build(addresses):
    """A machine for each name, with its address."""
    ip("link", "add", "bridge", "type", "bridge")
    ip("link", "set", "bridge", "up")
    for place, address in addresses.items():
        ip("netns", "add", place)
        ip("link", "add", f"to-{place}", "type", "veth", "peer", "name", "net", "netns", place)
        ip("link", "set", f"to-{place}", "master", "bridge", "up")
        ip("-n", place, "link", "set", "lo", "up")
        ip("-n", place, "addr", "add", f"{address}/24", "dev", "net")
        ip("-n", place, "link", "set", "net", "up")


def cut(place):
    """Its cable, and nobody is told: the others' own links stay up."""
    ip("link", "set", f"to-{place}", "down")


def mend(place):
    ip("link", "set", f"to-{place}", "up")


class Daemon:
    """A program in the network of `place`; it is ready when its log says so."""

    def __init__(self, place, command, log, ready):
        self.log, self.ready = log, ready
        # `ip` becomes the program.
        self.command = ["ip", "netns", "exec", place, *command]
        self.process = None
        self.start()

    def start(self):
        before = self.readiness()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stderr=log)
        end = time.monotonic() + 60
        while self.readiness() == before:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.005)

    def readiness(self):
        return self.log.read_text().count(self.ready) if self.log.exists() else 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait()


class Place(threading.Thread):
    """A thread inside a network; what it runs, and threads that it starts, have their sockets there."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.place, self.loop = name, asyncio.new_event_loop()
        self.start()

    def run(self):
        with open(f"/run/netns/{self.place}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        self.loop.run_forever()

    def do(self, work, timeout=120):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)


def attempt(area, demonstration, names):
    """Does all that is named, one after the other, and says how each went; `True` if something failed."""
    failed = False
    for name in names:
        try:
            getattr(demonstration, name)()
            print(f"ok {area} {name}", flush=True)
        except Exception as error:  # Whatever it is, the others are tried.
            failed = True
            print(f"FAILED {area} {name}: {type(error).__name__}: {error}".replace("\n", " | "), flush=True)
    return failed
