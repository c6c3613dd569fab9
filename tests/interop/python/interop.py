"""nats-py does what its users do, against the server at argv[1]."""

import asyncio
import os
import random
import sys
import tempfile

import nats
from nats.errors import MaxPayloadError, NoRespondersError, TimeoutError

URL = sys.argv[1]
TESTS = []


def test(function):
    TESTS.append(function)
    return function


async def settle(nc):
    """Waits until all that `nc` has said is done. Its flush() overtakes what is still queued; a message does not."""
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish(inbox)
    await sub.next_msg(timeout=20)
    await sub.unsubscribe()


@test
async def pub_sub(nc):
    sub = await nc.subscribe("greet.*")
    for i in range(100):
        await nc.publish("greet.all", b"%d" % i)
    for i in range(100):
        message = await sub.next_msg(timeout=20)
        assert (message.subject, message.data) == ("greet.all", b"%d" % i)


@test
async def wildcards(nc):
    tail = await nc.subscribe("a.>")
    star = await nc.subscribe("a.*.c")
    for subject in ["a", "a.b", "a.b.c", "a.b.c.d"]:
        await nc.publish(subject)
    assert [(await tail.next_msg(timeout=20)).subject for _ in range(3)] == ["a.b", "a.b.c", "a.b.c.d"]
    assert (await star.next_msg(timeout=20)).subject == "a.b.c"
    assert (tail.pending_msgs, star.pending_msgs) == (0, 0)


@test
async def request_reply(nc):
    async def answer(message):
        await message.respond(message.data.upper())

    await nc.subscribe("upper", cb=answer)
    for word in [b"one", b"two", b"three"]:
        assert (await nc.request("upper", word, timeout=20)).data == word.upper()
    assert (await nc.request("upper", b"old", timeout=20, old_style=True)).data == b"OLD"


@test
async def headers(nc):
    sub = await nc.subscribe("headed")
    await nc.publish("headed", b"body", headers={"Name": "value", "Other": "x y"})
    message = await sub.next_msg(timeout=20)
    assert message.data == b"body" and message.headers == {"Name": "value", "Other": "x y"}


@test
async def no_responders(nc):
    try:
        await nc.request("nobody.listens", b"", timeout=20)
    except NoRespondersError:
        return
    raise AssertionError("an answer")


@test
async def queue_groups(nc):
    members = [await nc.subscribe("work", queue="workers") for _ in range(4)]
    watcher = await nc.subscribe("work")
    for _ in range(400):
        await nc.publish("work")
    await settle(nc)
    counts = [member.pending_msgs for member in members]
    assert sum(counts) == 400 and all(50 < count < 150 for count in counts), counts
    assert watcher.pending_msgs == 400


@test
async def drain(nc):
    got = []

    async def slowly(message):
        await asyncio.sleep(0.001)
        got.append(message)

    sub = await nc.subscribe("drained", cb=slowly)
    for _ in range(50):
        await nc.publish("drained")
    await settle(nc)
    await sub.drain()
    await nc.publish("drained")
    await settle(nc)
    assert len(got) == 50, len(got)


@test
async def unsubscribe_max(nc):
    sub = await nc.subscribe("limited")
    await sub.unsubscribe(limit=3)
    for _ in range(10):
        await nc.publish("limited")
    await settle(nc)
    for _ in range(3):
        await sub.next_msg(timeout=20)
    try:
        await sub.next_msg(timeout=0.2)
    except Exception:
        return
    raise AssertionError("a fourth")


@test
async def max_payload(nc):
    sub = await nc.subscribe("large")
    await nc.publish("large", bytes(nc.max_payload))
    assert len((await sub.next_msg(timeout=20)).data) == nc.max_payload
    try:
        await nc.publish("large", bytes(nc.max_payload + 1))
    except MaxPayloadError:
        pass
    else:
        raise AssertionError("sent")
    # The server's own answer to a client that does not look.
    host, port = URL.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    writer.write(b"PUB large %d\r\n" % (nc.max_payload + 1))
    assert await reader.read() == b"-ERR 'Maximum Payload Violation'\r\n"
    writer.close()


@test
async def no_echo(nc):
    quiet = await nats.connect(URL, no_echo=True)
    other = await nc.subscribe("echo")
    await settle(nc)
    own = await quiet.subscribe("echo")
    await quiet.publish("echo")
    await other.next_msg(timeout=20)
    await quiet.flush()
    assert own.pending_msgs == 0
    await quiet.close()


@test
async def verbose_and_pedantic(nc):
    strict = await nats.connect(URL, verbose=True, pedantic=True)
    sub = await strict.subscribe("strict")
    await strict.publish("strict", b"x")
    assert (await sub.next_msg(timeout=20)).data == b"x"
    await settle(strict)
    await strict.close()


@test
async def reconnect(_):
    # Below those that the kernel gives to who connects.
    port = random.randrange(20_000, 32_000)
    with tempfile.TemporaryDirectory() as folder:

        async def start():
            return await asyncio.create_subprocess_exec(
                os.environ["NATSD"], "-a", "127.0.0.1", "-p", str(port), "--socket", f"{folder}/sock",
                stderr=asyncio.subprocess.DEVNULL,
            )

        server = await start()
        back = asyncio.Event()

        async def reconnected():
            back.set()

        while True:
            try:
                nc = await nats.connect(
                    f"nats://127.0.0.1:{port}", reconnect_time_wait=0.05, reconnected_cb=reconnected,
                    error_cb=nothing, allow_reconnect=True, max_reconnect_attempts=-1,
                )
                break
            except OSError:
                await asyncio.sleep(0.05)
        sub = await nc.subscribe("again")
        await settle(nc)
        server.kill()
        await server.wait()
        server = await start()
        await asyncio.wait_for(back.wait(), 30)
        await nc.publish("again", b"hello")
        assert (await sub.next_msg(timeout=20)).data == b"hello"
        await nc.close()
        server.terminate()
        assert await server.wait() == 0


async def nothing(_):
    pass


async def main():
    failed = 0
    for function in TESTS:
        name = f"python {function.__name__}"
        if function is reconnect and "NATSD" not in os.environ:
            print(f"SKIPPED {name}: $NATSD is not set", flush=True)
            continue
        try:
            nc = await nats.connect(URL, error_cb=nothing, connect_timeout=20)
            await asyncio.wait_for(function(nc), 60)
            await nc.close()
            print(f"ok {name}", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {type(error).__name__} {error}", flush=True)
    assert len(TESTS) == 12
    sys.exit(failed > 0)


asyncio.run(main())
