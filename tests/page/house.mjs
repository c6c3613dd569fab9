// A machine for the page: natsd, natsws, natstoast and natsinit of its own, and a client beside them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { connect } from "@nats-io/transport-node";

const children = new Set();
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "lunix-page-"));

process.on("exit", () => {
  children.forEach((child) => child.kill("SIGKILL"));
  fs.rmSync(scratch, { recursive: true, force: true });
});
process.on("SIGTERM", () => process.exit(1));

// The words of a command that runs a script of the shell: natsinit has none.
export function script(name, text) {
  const file = path.join(scratch, name);
  fs.writeFileSync(file, text);
  return `sh ${file}`;
}

export async function freePort() {
  // Below those that the kernel gives to who connects: nobody has it by chance, also while the server is down.
  const port = 20_000 + Math.floor(12_000 * Math.random());
  const probe = net.createServer().listen(port, "127.0.0.1");
  const isFree = await new Promise((resolve) => probe.once("listening", () => resolve(true)).once("error", () => resolve(false)));
  probe.close();
  return isFree ? port : freePort();
}

// Waits until something holds, and answers what it was.
export async function until(holds, what = "what is waited for") {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    const value = await holds();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} does not come`);
}

function start(program, args, stdio = "ignore") {
  const child = spawn(program, args, { stdio });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

export class House {
  static async open({ port, config = "", services = [] } = {}) {
    const house = new House();
    house.port = port ?? (await freePort());
    house.url = `nats://127.0.0.1:${house.port}`;
    if (config) {
      house.config = path.join(scratch, `${house.port}.conf`);
      fs.writeFileSync(house.config, config);
    }
    await house.startServer();
    house.page = await house.serve();
    if (config) return house;
    house.nats = await connect({ servers: house.url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
    start("natstoast", ["--nats", house.url, "--presenter", "none"]);
    await house.reach("toast.list");
    if (services.length > 0) {
      start("natsinit", ["--session", "--nats", house.url, "--restarts", "1", ...services]);
      await house.reach("service.list");
    }
    return house;
  }

  // Where a natsws more serves its page.
  async serve(...options) {
    const natsws = start("natsws", ["--listen", "127.0.0.1:0", "--nats", this.url, ...options], ["ignore", "ignore", "pipe"]);
    for await (const line of createInterface({ input: natsws.stderr })) {
      const found = line.match(/ws:\/\/(\S+)/);
      if (!found) continue;
      natsws.stderr.resume();
      return `http://${found[1]}`;
    }
    throw new Error("natsws ends");
  }

  // Starts natsmqtt, and answers where it listens: by TCP, and by WebSocket.
  async startMqtt(...options) {
    const listen = ["--listen", "127.0.0.1:0", "--listen", "ws://127.0.0.1:0"];
    const natsmqtt = start("natsmqtt", [...listen, "--nats", this.url, ...options], ["ignore", "ignore", "pipe"]);
    const at = {};
    for await (const line of createInterface({ input: natsmqtt.stderr })) {
      const [, scheme, address] = line.match(/devices connect to (?:(\w+):\/\/)?(\S+)$/) ?? [];
      if (address) at[scheme ?? "mqtt"] = `${scheme ?? "mqtt"}://${address}`;
      if (!line.endsWith(": connected")) continue;
      natsmqtt.stderr.resume();
      return at;
    }
    throw new Error("natsmqtt ends");
  }

  async startServer() {
    const options = this.config ? ["-c", this.config] : [];
    this.natsd = start(process.env.NATSD ?? "natsd", ["-a", "127.0.0.1", "-p", String(this.port), "--socket", path.join(scratch, `${this.port}.sock`), ...options]);
    await until(() => new Promise((resolve) => {
      const socket = net.connect(this.port, "127.0.0.1");
      socket.once("connect", () => socket.end() && resolve(true)).once("error", () => resolve(false));
    }), "natsd");
  }

  async killServer() {
    const gone = once(this.natsd, "exit");
    this.natsd.kill("SIGKILL");
    await gone;
  }

  // Until somebody answers.
  reach(subject) {
    return until(() => this.nats.request(subject, "", { timeout: 1_000 }).catch(() => undefined), `whoever answers ${subject}`);
  }

  async ask(subject, payload = "") {
    const text = typeof payload === "string" ? payload : JSON.stringify(payload);
    return (await this.nats.request(subject, text, { timeout: 30_000 })).json();
  }

  say(subject, payload) {
    this.nats.publish(subject, typeof payload === "string" ? payload : JSON.stringify(payload));
  }

  answer(subject, payload) {
    return this.nats.subscribe(subject, { callback: (_, message) => message.respond(JSON.stringify(payload())) });
  }
}
