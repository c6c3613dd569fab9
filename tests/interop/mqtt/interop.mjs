// MQTT.js does what its users do, through natsmqtt, at the server at argv[2]; then Paho does.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import mqtt from "mqtt";

// natsmqtt, and where it listens by the scheme of each listener.
async function gateway(nats) {
  const listen = ["", "mqtts://", "ws://", "wss://"].flatMap((scheme) => ["--listen", `${scheme}127.0.0.1:0`]);
  const args = ["natsmqtt", ...listen, "--cert", "cert.pem", "--key", "key.pem", "--nats", nats];
  const child = spawn(process.env.BRIDGE, args, { stdio: ["ignore", "ignore", "pipe"] });
  const urls = {};
  const lines = createInterface({ input: child.stderr });
  for await (const line of lines) {
    const found = line.match(/devices connect to (?:(\w+):\/\/)?\S+:(\d+)$/);
    if (found) urls[found[1] ?? "mqtt"] = `${found[1] ?? "mqtt"}://localhost:${found[2]}`;
    if (line.endsWith("connected")) break;
  }
  assert.equal(Object.keys(urls).length, 4);
  child.stderr.resume();
  return { child, urls };
}

const ca = readFileSync("cert.pem");

function connect(url, protocolVersion, options = {}) {
  const path = url.startsWith("ws") ? "/mqtt" : "";
  return mqtt.connectAsync(url + path, { protocolVersion, ca, reconnectPeriod: 0, ...options });
}

function take(client, count) {
  return new Promise((resolve) => {
    const got = [];
    client.on("message", (topic, payload, packet) => {
      got.push({ topic, payload, packet });
      if (got.length === count) resolve(got);
    });
  });
}

const tests = {};

tests.every_qos = async (url, version) => {
  const client = await connect(url, version);
  await client.subscribeAsync("order/#", { qos: 2 });
  // MQTT.js sends more than the server's Receive Maximum allows: 16 of these count, and 20 may.
  const got = take(client, 24);
  for (let i = 0; i < 24; i++) client.publish(`order/${i % 3}`, String(i), { qos: i % 3 });
  const numbers = (await got).map(({ payload }) => Number(payload)).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: 24 }, (_, i) => i));
  await client.endAsync();
};

tests.large_messages = async (url, version) => {
  const client = await connect(url, version);
  await client.subscribeAsync("large", { qos: 1 });
  const got = take(client, 8);
  for (let i = 0; i < 8; i++) client.publish("large", Buffer.alloc(200_000, i), { qos: 1 });
  for (const [i, { payload }] of (await got).entries()) assert.ok(payload.equals(Buffer.alloc(200_000, i)));
  await client.endAsync();
};

tests.will_of_who_is_gone = async (url, version) => {
  const witness = await connect(url, version);
  await witness.subscribeAsync("wills/#", { qos: 1 });
  const got = take(witness, 1);
  const gone = await connect(url, version, { will: { topic: "wills/1", payload: "gone", qos: 1 } });
  gone.stream.destroy();
  assert.equal((await got)[0].payload.toString(), "gone");
  gone.end(true);
  await witness.endAsync();
};

tests.properties = async (url, version) => {
  if (version < 5) return;
  const client = await connect(url, version);
  await client.subscribeAsync("props", { qos: 1 });
  const got = take(client, 1);
  const properties = { userProperties: { a: "b" }, contentType: "text/plain", correlationData: Buffer.from("7"), responseTopic: "answer/here" };
  client.publish("props", "x", { qos: 1, properties });
  const heard = (await got)[0].packet.properties;
  assert.deepEqual([heard.userProperties.a, heard.contentType, heard.responseTopic], ["b", "text/plain", "answer/here"]);
  assert.equal(heard.correlationData.toString(), "7");
  await client.endAsync();
};

let failed = 0;
async function run(name, test) {
  try {
    const timer = AbortSignal.timeout(60_000);
    await Promise.race([test(), once(timer, "abort").then(() => assert.fail("no end"))]);
    console.log(`ok mqtt ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED mqtt ${name}: ${error.stack?.split("\n").slice(0, 2).join(" ")}`);
  }
}

const { child, urls } = await gateway(process.argv[2]);
for (const [scheme, url] of Object.entries(urls))
  for (const version of [4, 5])
    for (const [name, test] of Object.entries(tests))
      await run(`MQTT.js ${scheme} ${version} ${name}`, () => test(url, version));
await run("MQTT.js wss trusts nobody without a reason", () =>
  assert.rejects(connect(urls.wss, 5, { ca: undefined, connectTimeout: 20_000 }), /self-signed|certificate/i),
);

const [python, script] = process.env.PAHO.split(" ");
const paho = spawn(python, [script, JSON.stringify(urls)], { stdio: "inherit" });
const [code] = await once(paho, "exit");
child.kill("SIGTERM");
const [ended] = await once(child, "exit");
assert.equal(ended, 0);
process.exit(failed > 0 || code !== 0 ? 1 : 0);
