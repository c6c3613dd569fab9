// nats.js does what its users do, against the server at argv[2].

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createInbox, errors, headers } from "@nats-io/transport-node";

const url = process.argv[2];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const tests = {};

async function take(sub, count) {
  const got = [];
  if (count === 0) return got;
  for await (const message of sub) {
    got.push(message);
    if (got.length === count) break;
  }
  return got;
}

tests.pub_sub = async (nc) => {
  const sub = nc.subscribe("greet.*");
  for (let i = 0; i < 100; i++) nc.publish("greet.all", String(i));
  const got = await take(sub, 100);
  assert.deepEqual(got.map((m) => m.string()), Array.from({ length: 100 }, (_, i) => String(i)));
  assert.equal(got[0].subject, "greet.all");
};

tests.wildcards = async (nc) => {
  const counts = { tail: 0, star: 0 };
  nc.subscribe("a.>", { callback: () => counts.tail++ });
  nc.subscribe("a.*.c", { callback: () => counts.star++ });
  for (const subject of ["a", "a.b", "a.b.c", "a.b.c.d"]) nc.publish(subject);
  await nc.flush();
  assert.deepEqual(counts, { tail: 3, star: 1 });
};

tests.request_reply = async (nc) => {
  nc.subscribe("upper", { callback: (_, m) => m.respond(m.string().toUpperCase()) });
  for (const word of ["one", "two", "three"]) {
    assert.equal((await nc.request("upper", word, { timeout: 20_000 })).string(), word.toUpperCase());
    const own = await nc.request("upper", word, { noMux: true, timeout: 20_000 });
    assert.equal(own.string(), word.toUpperCase());
  }
};

tests.headers = async (nc) => {
  const sub = nc.subscribe("headed");
  const h = headers();
  h.append("Name", "value");
  h.append("Name", "second");
  nc.publish("headed", "body", { headers: h });
  const [message] = await take(sub, 1);
  assert.equal(message.string(), "body");
  assert.deepEqual(message.headers.values("Name"), ["value", "second"]);
};

tests.no_responders = async (nc) => {
  await assert.rejects(nc.request("nobody.listens", "", { timeout: 20_000 }), (error) =>
    error instanceof errors.NoRespondersError || error.isNoResponders?.() || error.cause instanceof errors.NoRespondersError);
};

tests.queue_groups = async (nc) => {
  const counts = [0, 0, 0, 0];
  let all = 0;
  counts.forEach((_, i) => nc.subscribe("work", { queue: "workers", callback: () => counts[i]++ }));
  nc.subscribe("work", { callback: () => all++ });
  for (let i = 0; i < 400; i++) nc.publish("work");
  await nc.flush();
  assert.equal(counts.reduce((a, b) => a + b), 400);
  assert.ok(counts.every((count) => count > 50 && count < 150), String(counts));
  assert.equal(all, 400);
};

tests.drain = async (nc) => {
  let count = 0;
  const sub = nc.subscribe("drained", { callback: () => count++ });
  for (let i = 0; i < 50; i++) nc.publish("drained");
  await sub.drain();
  nc.publish("drained");
  await nc.flush();
  assert.equal(count, 50);
  const other = await connect({ servers: url });
  other.subscribe("x");
  await other.drain();
  assert.ok(other.isClosed());
};

tests.unsubscribe_max = async (nc) => {
  const sub = nc.subscribe("limited", { max: 3 });
  for (let i = 0; i < 10; i++) nc.publish("limited");
  await nc.flush();
  let count = 0;
  for await (const _ of sub) count++;
  assert.equal(count, 3);
};

tests.max_payload = async (nc) => {
  const max = nc.info.max_payload;
  const sub = nc.subscribe("large");
  nc.publish("large", new Uint8Array(max));
  const [message] = await take(sub, 1);
  assert.equal(message.data.length, max);
  assert.throws(() => nc.publish("large", new Uint8Array(max + 1)));
};

tests.no_echo = async (nc) => {
  const quiet = await connect({ servers: url, noEcho: true });
  const subject = createInbox();
  const [own, other] = [quiet.subscribe(subject), nc.subscribe(subject)];
  await nc.flush();
  quiet.publish(subject);
  await quiet.flush();
  await take(other, 1);
  assert.equal(own.getReceived(), 0);
  await quiet.close();
};

tests.round_trip_time = async (nc) => {
  const ms = await nc.rtt();
  assert.ok(ms >= 0 && ms < 20_000);
  assert.equal(nc.info.client_ip, "127.0.0.1");
};

tests.tracing = async (nc) => {
  const sub = nc.subscribe("traced", { callback: (_, m) => m.respond() });
  const traces = nc.subscribe("traces");
  // The client writes its headers into what it is given.
  const on = (more) => ({ traceDestination: "traces", ...more });
  nc.publish("traced", "", on());
  nc.publish("traced", "", on({ traceOnly: true }));
  await nc.request("traced", "", on({ timeout: 20_000 }));
  await assert.rejects(nc.request("traced", "", on({ traceOnly: true, timeout: 500 })));
  const many = async (options) => {
    let count = 0;
    const iter = await nc.requestMany("traced", "", { strategy: "stall", maxWait: 20_000, ...options });
    for await (const _ of iter) count++;
    return count;
  };
  assert.equal(await many(on()), 1);
  assert.equal(await many(on({ traceOnly: true, maxWait: 1000 })), 0);
  const told = (await take(traces, 6)).map((message) => message.json());
  assert.equal(sub.getReceived(), 3);
  for (const { request, events } of told) {
    assert.deepEqual(request.header["Nats-Trace-Dest"], ["traces"]);
    assert.deepEqual(events.map((event) => event.type), ["in", "eg"]);
    assert.equal(events[1].sub, "traced");
  }
};

tests.reconnect = async () => {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  const folder = mkdtempSync(join(tmpdir(), "interop-"));
  const args = ["-a", "127.0.0.1", "-p", String(port), "--socket", join(folder, "sock")];
  const start = () => spawn(process.env.NATSD, args, { stdio: "ignore" });
  let server = start();
  try {
    let nc;
    for (let left = 600; !nc; left--) {
      nc = await connect({ port, reconnectTimeWait: 50, maxReconnectAttempts: -1 }).catch(() => {});
      assert.ok(left > 0, "no server");
      if (!nc) await sleep(50);
    }
    const sub = nc.subscribe("again");
    await nc.flush();
    const back = (async () => {
      for await (const status of nc.status()) if (status.type === "reconnect") return;
    })();
    server.kill("SIGKILL");
    await once(server, "exit");
    server = start();
    await back;
    nc.publish("again", "hello");
    const [message] = await take(sub, 1);
    assert.equal(message.string(), "hello");
    await nc.close();
  } finally {
    server.kill("SIGTERM");
    rmSync(folder, { recursive: true });
  }
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  if (name === "reconnect" && !process.env.NATSD) {
    console.log(`SKIPPED node ${name}: $NATSD is not set`);
    continue;
  }
  let nc;
  try {
    nc = await connect({ servers: url });
    const timer = AbortSignal.timeout(60_000);
    await Promise.race([test(nc), once(timer, "abort").then(() => assert.fail("no end"))]);
    console.log(`ok node ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED node ${name}: ${error.stack?.split("\n").slice(0, 2).join(" ")}`);
  }
  await nc?.close();
}
assert.equal(Object.keys(tests).length, 13);
process.exit(failed > 0 ? 1 : 0);
