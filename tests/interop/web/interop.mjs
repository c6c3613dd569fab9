// nats.ws and wsconnect do what their users do, through natsws, at the server at argv[2] and at nats-server.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import { createInterface } from "node:readline";
import WebSocket from "ws";
import * as core from "@nats-io/nats-core";
import * as legacy from "nats.ws";

// As browsers have it, where an error that nobody listens to is none.
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    this.on("error", () => {});
  }
};

const clients = {
  "nats.ws": { connect: legacy.connect, headers: legacy.headers },
  wsconnect: { connect: core.wsconnect, headers: core.headers },
};

async function freePort() {
  // Below those that the kernel gives to who connects: nobody has it by chance, also while the server is down.
  const port = 20_000 + Math.floor(12_000 * Math.random());
  const probe = net.createServer().listen(port, "127.0.0.1");
  const isFree = await new Promise((resolve) => probe.once("listening", () => resolve(true)).once("error", () => resolve(false)));
  probe.close();
  return isFree ? port : freePort();
}

// natsws in front of a server, and where it listens.
async function bridge(nats, listen = "127.0.0.1:0") {
  const child = spawn(process.env.BRIDGE, ["natsws", "--listen", listen, "--nats", nats], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const line of createInterface({ input: child.stderr })) {
    const found = line.match(/ws:\/\/(\S+)/);
    if (found) return { child, address: found[1] };
  }
  assert.fail("natsws did not start");
}

async function take(sub, count) {
  const got = [];
  for await (const message of sub) {
    got.push(message);
    if (got.length === count) break;
  }
  return got;
}

const tests = {};

tests.pub_sub = async (nc) => {
  const sub = nc.subscribe("greet.*");
  for (let i = 0; i < 1000; i++) nc.publish("greet.all", String(i));
  const got = await take(sub, 1000);
  assert.deepEqual(got.map((m) => m.string()), Array.from({ length: 1000 }, (_, i) => String(i)));
};

tests.request_reply = async (nc) => {
  nc.subscribe("upper", { callback: (_, m) => m.respond(m.string().toUpperCase()) });
  assert.equal((await nc.request("upper", "one", { timeout: 20_000 })).string(), "ONE");
};

tests.headers = async (nc, { headers }) => {
  const sub = nc.subscribe("headed");
  const h = headers();
  h.append("Name", "value");
  nc.publish("headed", "body", { headers: h });
  const [message] = await take(sub, 1);
  assert.deepEqual([message.string(), message.headers.values("Name")], ["body", ["value"]]);
};

tests.no_responders = async (nc) => {
  await assert.rejects(nc.request("nobody.listens", "", { timeout: 20_000 }), /503|no responders/i);
};

tests.max_payload = async (nc) => {
  const max = nc.info.max_payload;
  const sub = nc.subscribe("large");
  for (let i = 0; i < 10; i++) nc.publish("large", new Uint8Array(max).fill(i));
  for (const [i, { data }] of (await take(sub, 10)).entries()) {
    assert.equal(data.length, max);
    assert.ok(data.every((byte) => byte === i));
  }
};

tests.info = async (nc, _, address) => {
  assert.equal(`${nc.info.host}:${nc.info.port}`, address);
  assert.equal(nc.info.connect_urls, undefined);
};

tests.drain = async (nc, { connect }, address) => {
  let count = 0;
  nc.subscribe("drained", { callback: () => count++ });
  await nc.flush();
  const other = await connect({ servers: `ws://${address}` });
  for (let i = 0; i < 50; i++) other.publish("drained");
  await other.drain();
  await nc.flush();
  assert.equal(count, 50);
};

tests.reconnect = async (_, { connect }, __, nats) => {
  const listen = `127.0.0.1:${await freePort()}`;
  const first = await bridge(nats, listen);
  let second;
  try {
    const nc = await connect({ servers: `ws://${listen}`, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
    const sub = nc.subscribe("again");
    await nc.flush();
    const back = (async () => {
      for await (const status of nc.status()) if (status.type === "reconnect") return;
    })();
    first.child.kill("SIGKILL");
    await once(first.child, "exit");
    second = await bridge(nats, listen);
    await back;
    nc.publish("again", "hello");
    assert.equal((await take(sub, 1))[0].string(), "hello");
    await nc.close();
  } finally {
    first.child.kill("SIGKILL");
    second?.child.kill("SIGTERM");
  }
};

// What the page itself is written with, as it is served.
async function served(address) {
  mkdirSync("served", { recursive: true });
  for (const name of ["nats.js", "protocol.js"]) {
    const answer = await fetch(`http://${address}/${name}`);
    assert.equal(answer.headers.get("content-type"), "text/javascript; charset=utf-8");
    writeFileSync(`served/${name}`, await answer.text());
  }
  return { ...(await import("./served/nats.js")), ...(await import("./served/protocol.js")) };
}

async function page(nc, address) {
  const { Nats, Reader } = await served(address);
  let nats;
  await new Promise((resolve) => (nats = new Nats(`ws://${address}/`, ({ state }) => state === "connected" && resolve())));
  const answer = await nats.request("page.echo", "hello", { headers: [["Name", "value"]] });
  assert.deepEqual([answer.text, answer.field("name")], ["olleh", "value"]);
  await assert.rejects(nats.request("page.nobody"), { kind: "no responders" });
  nc.subscribe("page.silent", { callback: () => {} });
  await nc.flush();
  await assert.rejects(nats.request("page.silent", "", { timeout: 50 }), { kind: "timeout" });
  for (const subject of ["", "a b", "a..b", ".a", "a.*", "a.>"]) assert.throws(() => nats.publish(subject), { kind: "invalid" });
  assert.throws(() => nats.publish("page.large", "x".repeat(nc.info.max_payload + 1)), { kind: "invalid" });
  const heard = new Promise((resolve) => nats.subscribe("page.heard.*", resolve));
  await nats.request("page.echo");
  nc.publish("page.heard.one", "two");
  const message = await heard;
  assert.deepEqual([message.subject, message.text, message.headers.fields], ["page.heard.one", "two", []]);

  // An answer is older than what is said after it, also where both come at once.
  const order = [];
  nats.subscribe("page.after", () => order.push("event"));
  nc.subscribe("page.both", { callback: (_, m) => {
    m.respond("answer");
    nc.publish("page.after");
  } });
  await nc.flush();
  const asking = async () => [await nats.request("page.both")].forEach(() => order.push("answer"));
  for (let i = 0; i < 200; i++) await asking();
  assert.deepEqual(order.filter((what, i) => what !== (i % 2 ? "event" : "answer")), []);

  // Cut at every byte, and all in pieces of one.
  const transcript = new TextEncoder().encode(
    'INFO {"max_payload":10}\r\nPING\r\n+OK\r\nMSG a.b 1 3\r\n\r\n!\r\nMSG a 2 re.ply 0\r\n\r\nHMSG h 3 27 31\r\nNATS/1.0 404 No\r\nA: b:c\r\n\r\nbody\r\n' +
      "-ERR 'Permissions Violation'\r\nPONG\n",
  );
  const all = (pieces) => {
    const reader = new Reader();
    return pieces.flatMap((piece) => [...reader.read(piece)]).map(([verb, what]) =>
      what.message ? [verb, what.sid, what.message.subject, what.message.reply, what.message.text, what.message.headers] : [verb, what]);
  };
  const whole = all([transcript]);
  assert.deepEqual(whole.map(([verb]) => verb), ["INFO", "PING", "+OK", "MSG", "MSG", "HMSG", "-ERR", "PONG"]);
  assert.deepEqual(whole[3].slice(1, 5), [1, "a.b", "", "\r\n!"]);
  assert.deepEqual(whole[4].slice(1, 5), [2, "a", "re.ply", ""]);
  assert.deepEqual(whole[5].slice(1), [3, "h", "", "body", { status: "404", fields: [["A", "b:c"]] }]);
  for (let at = 1; at < transcript.length; at++) assert.deepEqual(all([transcript.slice(0, at), transcript.slice(at)]), whole);
  assert.deepEqual(all(Array.from(transcript, (byte) => Uint8Array.of(byte))), whole);
  assert.throws(() => all([new Uint8Array(70_000)]));
  assert.throws(() => all([new TextEncoder().encode("MSG a 1 many\r\n")]));
}

// The page's client comes back by itself, and its subscriptions with it; what was asked before is not answered.
async function pageReturns(nats) {
  const listen = `127.0.0.1:${await freePort()}`;
  const first = await bridge(nats, listen);
  let second;
  try {
    const { Nats } = await served(listen);
    const states = [];
    let connected;
    const next = () => new Promise((resolve) => (connected = resolve));
    const first_time = next();
    const client = new Nats(`ws://${listen}/`, ({ state }) => {
      states.push(state);
      if (state === "connected") connected();
    });
    await first_time;
    const heard = new Promise((resolve) => client.subscribe("page.again", resolve));
    client.subscribe("page.held", () => {});
    const asked = assert.rejects(client.request("page.held", "", { timeout: 20_000 }), { kind: "lost" });
    const again = next();
    first.child.kill("SIGKILL");
    await once(first.child, "exit");
    await asked;
    assert.throws(() => client.publish("page.again"), { kind: "lost" });
    second = await bridge(nats, listen);
    await again;
    client.publish("page.again", "hello");
    assert.equal((await heard).text, "hello");
    assert.ok(states.includes("lost"));
  } finally {
    first.child.kill("SIGKILL");
    second?.child.kill("SIGTERM");
  }
}

let failed = 0;
async function run(name, test) {
  try {
    const timer = AbortSignal.timeout(60_000);
    await Promise.race([test(), once(timer, "abort").then(() => assert.fail("no end"))]);
    console.log(`ok web ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED web ${name}: ${error.stack?.split("\n").slice(0, 2).join(" ")}`);
  }
}

const servers = [["natsd", process.argv[2]]];
let official;
if (spawnSync("nats-server", ["--version"]).error) {
  console.log("SKIPPED web nats-server: it is not there");
} else {
  const port = await freePort();
  official = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port)], { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: official.stderr })) if (line.includes("Server is ready")) break;
  servers.push(["nats-server", `nats://127.0.0.1:${port}`]);
}
for (const [server, nats] of servers) {
  const { child, address } = await bridge(nats);
  for (const [client, kit] of Object.entries(clients)) {
    for (const [name, test] of Object.entries(tests)) {
      await run(`${server} ${client} ${name}`, async () => {
        const nc = await kit.connect({ servers: `ws://${address}/any?path` });
        await test(nc, kit, address, nats);
        await nc.close();
      });
    }
  }
  await run(`${server} page`, async () => {
    const nc = await core.wsconnect({ servers: `ws://${address}` });
    nc.subscribe("page.echo", { callback: (_, m) => m.respond([...m.string()].reverse().join(""), { headers: m.headers }) });
    await nc.flush();
    await page(nc, address);
    await nc.close();
  });
  await run(`${server} page returns`, () => pageReturns(nats));
  child.kill("SIGTERM");
}
official?.kill("SIGTERM");
assert.equal(Object.keys(tests).length, 8);
process.exit(failed > 0 ? 1 : 0);
