// Services: how they stand, what they use while somebody looks, and what can be done with them.

import { ask, forbidden, reason } from "./ask.js";
import { byId, count, element, facts, note } from "./element.js";
import { bytes, cut, percent } from "./format.js";
import { inFrame, whileVisible } from "./frame.js";
import { Graph } from "./graph.js";
import { token } from "./protocol.js";

const INTERVAL = 2_000;
const MOST = 200;
const MOST_LINES = 20;
export const STATES = ["starting", "ready", "stopping", "stopped", "failed", "backoff", "waiting"];
const RUNNING = ["starting", "ready", "backoff", "waiting"];

class Row {
  service = {};
  #nats;
  #before;
  #cpu = new Graph(0.05, 1.25);
  #memory = new Graph(1_000_000, 1.5);
  #usage = {};

  constructor(nats, name) {
    this.#nats = nats;
    this.name = name;
    this.state = element("span", { class: "state" });
    this.cpuValue = element("span", { class: "value" });
    this.memoryValue = element("span", { class: "value" });
    this.more = element("div", { class: "more", id: `service-${token(name)}`, hidden: true });
    this.about = element("div", {});
    this.said = element("p", { class: "said", role: "status" });
    this.lines = element("ol", { class: "lines", tabindex: 0, "aria-label": `Last lines of ${name}`, hidden: true });
    this.toggle = element("button", { type: "button", class: "name", "aria-expanded": "false", "aria-controls": this.more.id, click: () => this.#open() }, name);
    const button = (verb) => element("button", { type: "button", "aria-label": `${verb} ${name}`, click: () => this.#order(verb.toLowerCase()) }, verb);
    this.start = button("Start");
    this.stop = button("Stop");
    this.restart = button("Restart");
    this.more.append(this.about, element("div", { class: "actions" }, this.start, this.stop, this.restart), this.said, this.lines);
    this.node = element("li", { "data-name": name }, this.toggle, this.state,
      element("span", { class: "usage cpu" }, element("span", { class: "hidden" }, "processor "), this.cpuValue, this.#cpu.node),
      element("span", { class: "usage memory" }, element("span", { class: "hidden" }, "memory "), this.memoryValue, this.#memory.node),
      this.more);
  }

  draw() {
    const { state, pid, restarts, exit_code, signal } = this.service;
    const known = STATES.includes(state) ? state : "unknown";
    this.node.dataset.state = known;
    if (this.state.textContent !== state) this.state.textContent = String(state);
    const runs = RUNNING.includes(state);
    this.start.hidden = runs;
    this.stop.hidden = this.restart.hidden = !runs;
    if (!runs) this.cpuValue.textContent = this.memoryValue.textContent = "";
    if (this.more.hidden) return;
    this.about.replaceChildren(facts([
      ["Process", pid], ["Restarts", restarts], ["Exit code", exit_code], ["Signal", signal], ["Peak memory", bytes(this.#usage.peak_rss)],
      ["Processes", this.#usage.pids], ["Read", bytes(this.#usage.io_read)], ["Written", bytes(this.#usage.io_write)],
    ]));
  }

  use(usage, at) {
    this.#usage = usage;
    if (usage.cpu_us !== undefined) {
      if (this.#before?.cpu <= usage.cpu_us) {
        const share = (usage.cpu_us - this.#before.cpu) / 1000 / (at - this.#before.at);
        this.#cpu.push(share);
        this.cpuValue.textContent = percent(100 * share);
      }
      this.#before = { cpu: usage.cpu_us, at };
    }
    if (usage.rss !== undefined) {
      this.#memory.push(usage.rss);
      this.memoryValue.textContent = bytes(usage.rss);
    }
    this.draw();
  }

  #open() {
    this.more.hidden = !this.more.hidden;
    this.toggle.setAttribute("aria-expanded", String(!this.more.hidden));
    this.draw();
    if (!this.more.hidden) this.#tail();
  }

  async #order(verb) {
    this.said.textContent = "";
    try {
      const service = await ask(this.#nats, `service.${token(this.name)}.${verb}`);
      if (service?.name === this.name) this.service = service;
      this.draw();
    } catch (error) {
      this.said.textContent = reason(error, "natsinit") || error.message;
    }
    // The button that was pressed may have gone.
    if (document.activeElement === document.body) this.toggle.focus();
  }

  async #tail() {
    try {
      const lines = await ask(this.#nats, `service.${token(this.name)}.tail`);
      this.lines.replaceChildren(...lines.slice(-MOST_LINES).map(({ line }) => element("li", {}, cut(String(line), 500))));
    } catch {
      // Not everybody may read what services print.
      this.lines.replaceChildren();
    }
    this.lines.hidden = this.lines.childElementCount === 0;
  }
}

export function services(nats) {
  const panel = byId("services");
  const list = panel.querySelector("ul");
  const rows = new Map();

  const draw = inFrame(() => {
    for (const row of rows.values()) row.draw();
    const states = [...rows.values()].map(({ service }) => service.state);
    const bad = states.filter((state) => state === "failed" || state === "backoff").length;
    count(panel, rows.size === 0 ? "" : `${states.filter((state) => state === "ready").length} of ${rows.size} ready${bad > 0 ? `, ${bad} failed` : ""}`);
  });

  function take(service) {
    if (typeof service?.name !== "string" || typeof service.state !== "string") return;
    let row = rows.get(service.name);
    if (!row) {
      if (rows.size >= MOST) return;
      row = new Row(nats, service.name);
      rows.set(service.name, row);
      const after = [...rows.keys()].sort().find((name) => name > service.name);
      list.insertBefore(row.node, after ? rows.get(after).node : null);
    }
    row.service = service;
    draw();
  }

  for (const state of STATES) {
    nats.subscribe(`service.*.${state}`, ({ json }) => take(json), () => note(panel, forbidden(`service.*.${state}`)));
  }

  async function look() {
    if (!nats.isConnected || rows.size === 0) return;
    try {
      const usages = await ask(nats, "service.usage");
      const now = performance.now();
      for (const usage of usages) rows.get(usage.name)?.use(usage, now);
    } catch {
      // What they use is left out; how they stand is still told.
    }
  }
  whileVisible(panel, INTERVAL, look);

  return async () => {
    try {
      const now = await ask(nats, "service.list");
      const names = new Set(now.map(({ name }) => name));
      for (const [name, row] of rows) {
        if (names.has(name)) continue;
        row.node.remove();
        rows.delete(name);
      }
      now.forEach(take);
      draw();
      note(panel, now.length > 0 ? "" : "There are no services.");
      look();
    } catch (error) {
      note(panel, reason(error, "natsinit"));
    }
  };
}
