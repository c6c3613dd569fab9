// NATS as far as the page needs it: subscribe, publish, request, and a connection that comes back by itself.

import { Reader, fault, publication } from "./protocol.js";

const KEEPALIVE = 30_000;
const SHORTEST_WAIT = 250;
const LONGEST_WAIT = 8_000;
// A server that does not greet is none.
const GREETING = 10_000;
// What may wait for answers at a time.
const MOST_REQUESTS = 256;

// Lets all that waits for a promise go on first.
const turn = () => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    resolve();
  };
  port2.postMessage(0);
});

// Why nothing came of a request or a message: `lost`, `refused`, `invalid`, `timeout`, `no responders`.
export class NatsError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export class Nats {
  #url;
  #told;
  #complained;
  #socket;
  #reader;
  #unread = [];
  #hasAnswered = false;
  #info;
  #greeting;
  #credentials = {};
  #subscriptions = new Map();
  #requests = new Map();
  #next = 1;
  #wait = SHORTEST_WAIT;
  #retry;
  #unanswered = 0;
  #reason = "";
  #inbox = `_INBOX.${Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("")}`;

  // `told({ state, reason, wait })` of every change: `connecting`, `connected`, `lost` (and tries again after `wait` ms), `refused`
  // (and waits for `signIn`). `complained(reason)` of what the server does not like and nobody else hears of.
  constructor(url, told, complained = () => {}) {
    this.#url = url;
    this.#told = told;
    this.#complained = complained;
    this.subscribe(`${this.#inbox}.*`, (message) => this.#answer(message));
    setInterval(() => this.#keepAlive(), KEEPALIVE);
    this.#connect();
  }

  get isConnected() {
    return this.#greeting === "done";
  }

  // Whether the server asks who we are.
  get wantsCredentials() {
    return Boolean(this.#info?.auth_required);
  }

  // `heard(message)` for each, also after a reconnect; `refused(reason)` if one may not. Answers what `unsubscribe` takes.
  subscribe(subject, heard, refused = this.#complained) {
    const sid = this.#next++;
    this.#subscriptions.set(sid, { subject, heard, refused });
    if (this.isConnected) this.#say(`SUB ${subject} ${sid}\r\n`);
    return sid;
  }

  unsubscribe(sid) {
    if (this.#subscriptions.delete(sid) && this.isConnected) this.#say(`UNSUB ${sid}\r\n`);
  }

  // Throws a `NatsError` where it cannot be said.
  publish(subject, payload = "", { headers = [], reply = "" } = {}) {
    const wrong = fault(subject);
    if (wrong) throw new NatsError("invalid", wrong);
    if (!this.isConnected) throw new NatsError("lost", "There is no connection.");
    const { bytes, size } = publication(subject, reply, headers, payload);
    const most = this.#info.max_payload ?? Infinity;
    if (size > most) throw new NatsError("invalid", `${size} bytes are more than the server takes (${most}).`);
    this.#socket.send(bytes);
  }

  // The first answer. Rejects with a `NatsError`.
  request(subject, payload = "", { headers, timeout = 5_000 } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#requests.size >= MOST_REQUESTS) throw new NatsError("invalid", "Too many requests wait for an answer.");
      const key = String(this.#next++);
      this.publish(subject, payload, { headers, reply: `${this.#inbox}.${key}` });
      const timer = setTimeout(() => {
        this.#requests.delete(key);
        reject(new NatsError("timeout", `No answer on ${subject} within ${timeout / 1000} s.`));
      }, timeout);
      this.#requests.set(key, { subject, resolve, reject, timer });
    });
  }

  // Connects anew, with these from now on; they are kept nowhere.
  signIn(user, pass) {
    this.#credentials = user || pass ? { user, pass } : {};
    this.#wait = SHORTEST_WAIT;
    this.tryNow();
  }

  // Does not wait for the next try.
  tryNow() {
    if (this.#socket) return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#reader = new Reader();
    this.#unread = [];
    this.#greeting = undefined;
    this.#reason = "";
    this.#unanswered = 0;
    const late = setTimeout(() => this.#lose(socket, "the server does not greet"), GREETING);
    this.#retry = late;
    socket.onmessage = ({ data }) => this.#take(socket, new Uint8Array(data));
    socket.onclose = ({ reason }) => this.#lose(socket, reason);
    this.#told({ state: "connecting", reason: "" });
  }

  // The socket may still take its time to close.
  #lose(socket, why) {
    if (this.#socket !== socket) return;
    clearTimeout(this.#retry);
    this.#socket = undefined;
    this.#greeting = undefined;
    socket.onmessage = socket.onclose = null;
    socket.close();
    // What was asked of a connection is not answered on another.
    for (const key of [...this.#requests.keys()]) this.#fail(key, new NatsError("lost", "The connection was lost."));
    const reason = this.#reason || why;
    if (/authori[sz]ation|authentication/i.test(reason)) return this.#told({ state: "refused", reason });
    const wait = Math.round(this.#wait * (0.5 + Math.random()));
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
    this.#retry = setTimeout(() => this.#connect(), wait);
    this.#told({ state: "lost", reason, wait });
  }

  #say(text) {
    this.#socket.send(new TextEncoder().encode(text));
  }

  #take(socket, bytes) {
    this.#unread.push(bytes);
    if (this.#unread.length === 1) this.#read(socket);
  }

  // Who waits for an answer has it before what was said after it is heard: a list is older than the events that follow it.
  async #read(socket) {
    try {
      for (; this.#unread.length > 0; this.#unread.shift()) {
        for (const [verb, what] of this.#reader.read(this.#unread[0])) {
          this.#obey(verb, what);
          if (this.#hasAnswered) await turn();
          this.#hasAnswered = false;
          if (this.#socket !== socket) return;
        }
      }
    } catch (error) {
      this.#lose(socket, error.message);
    }
  }

  #obey(verb, what) {
    if (verb === "MSG" || verb === "HMSG") {
      this.#subscriptions.get(what.sid)?.heard(what.message);
    } else if (verb === "PING") {
      this.#say("PONG\r\n");
    } else if (verb === "PONG") {
      this.#unanswered = 0;
      if (this.#greeting === "said") this.#greeted();
    } else if (verb === "INFO") {
      this.#info = JSON.parse(what);
      if (!this.#greeting) this.#greet();
    } else if (verb === "-ERR") {
      this.#err(what.replace(/^'|'$/g, ""));
    }
  }

  #greet() {
    const own = { verbose: false, pedantic: false, headers: true, no_responders: true, protocol: 1 };
    const name = { lang: "javascript", version: "1", name: "lunix page" };
    this.#say(`CONNECT ${JSON.stringify({ ...own, ...name, ...this.#credentials })}\r\nPING\r\n`);
    this.#greeting = "said";
  }

  #greeted() {
    clearTimeout(this.#retry);
    this.#greeting = "done";
    this.#wait = SHORTEST_WAIT;
    const lines = Array.from(this.#subscriptions, ([sid, { subject }]) => `SUB ${subject} ${sid}\r\n`);
    this.#say(lines.join(""));
    this.#told({ state: "connected", reason: "" });
  }

  #err(reason) {
    const [, what, subject] = reason.match(/^Permissions Violation for (Subscription|Publish)\b.*? to "([^"]*)"/i) ?? [];
    // Every other complaint ends the connection.
    if (!what) return void (this.#reason = reason);
    if (/^s/i.test(what)) {
      for (const refused of [...this.#subscriptions.values()]) if (refused.subject === subject) refused.refused(reason);
      return;
    }
    const [key] = [...this.#requests].find(([, request]) => request.subject === subject) ?? [];
    const words = `The server does not let you publish to ${subject}.`;
    if (key) this.#fail(key, new NatsError("refused", words));
    else this.#complained(words);
  }

  #answer(message) {
    const key = message.subject.slice(this.#inbox.length + 1);
    const request = this.#requests.get(key);
    if (!request) return;
    this.#hasAnswered = true;
    if (message.headers.status === "503" && message.data.length === 0) {
      return this.#fail(key, new NatsError("no responders", `Nobody answers ${request.subject}.`));
    }
    clearTimeout(request.timer);
    this.#requests.delete(key);
    request.resolve(message);
  }

  #fail(key, error) {
    const { timer, reject } = this.#requests.get(key);
    clearTimeout(timer);
    this.#requests.delete(key);
    reject(error);
  }

  // A machine that is gone says nothing.
  #keepAlive() {
    if (!this.isConnected) return;
    if (this.#unanswered >= 2) return this.#lose(this.#socket, "the server does not answer");
    this.#unanswered++;
    this.#say("PING\r\n");
  }
}
