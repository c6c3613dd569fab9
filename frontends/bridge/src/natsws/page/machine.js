// The machine: what it is, and what it uses while somebody looks.

import { ask, reason } from "./ask.js";
import { byId, element, facts, note } from "./element.js";
import { bytes, duration, percent } from "./format.js";
import { whileVisible } from "./frame.js";
import { Graph } from "./graph.js";

const INTERVAL = 2_000;

export function machine(nats) {
  const panel = byId("machine");
  const gauges = { cpu: new Graph(1), memory: new Graph(1) };
  const values = {};
  for (const [name, title] of [["cpu", "Processor"], ["memory", "Memory"]]) {
    values[name] = element("output", {});
    panel.querySelector(".gauges").append(
      element("div", { class: name }, element("h3", {}, title), values[name], gauges[name].node));
  }
  let before;

  function busy({ cpu }, previous) {
    if (!cpu || !previous?.cpu) return NaN;
    const sum = (time) => Object.entries(time).reduce((all, [key, us]) => (key.endsWith("_us") ? all + us : all), 0);
    const idle = (time) => (time.idle_us ?? 0) + (time.iowait_us ?? 0);
    const all = sum(cpu) - sum(previous.cpu);
    return all > 0 ? 1 - (idle(cpu) - idle(previous.cpu)) / all : NaN;
  }

  function draw(usage) {
    const { memory = {}, load, storage = [] } = usage;
    const share = busy(usage, before);
    before = usage;
    panel.querySelector(".gauges").hidden = false;
    if (Number.isFinite(share)) gauges.cpu.push(share);
    values.cpu.textContent = percent(100 * share) || "…";
    const used = memory.total - (memory.available ?? memory.free);
    if (Number.isFinite(used)) gauges.memory.push(used / memory.total);
    values.memory.textContent = Number.isFinite(used) ? `${bytes(used)} of ${bytes(memory.total)}` : "";
    panel.querySelector(".now").replaceChildren(facts([
      ["Load", load && `${load[1]} ${load[5]} ${load[15]}`],
      ["Running for", duration(usage.uptime_us / 1e6)],
      ["Processes", usage.processes],
    ]));
    panel.querySelector(".storage").replaceChildren(...storage.slice(0, 8).filter(({ size }) => size > 0).map((at) => {
      const taken = at.size - at.available;
      return element("li", {},
        element("span", {}, String(at.target)),
        element("span", {}, `${bytes(at.available)} free`),
        element("progress", { max: at.size, value: taken, "aria-label": `Used of ${at.target}` }));
    }));
  }

  async function look() {
    if (!nats.isConnected) return;
    try {
      draw(await ask(nats, "system.usage"));
      note(panel, "");
    } catch (error) {
      note(panel, reason(error, "natsinit"));
    }
  }
  whileVisible(panel, INTERVAL, look);

  return async () => {
    before = undefined;
    look();
    try {
      const info = await ask(nats, "system.info");
      byId("host").textContent = info.hostname ?? "";
      panel.querySelector(".what").replaceChildren(facts([
        ["System", info.os], ["Board", info.board], ["Kernel", [info.kernel, info.architecture].filter(Boolean).join(" ")],
        ["Processors", info.cpus], ["lunix", info.version],
      ]));
    } catch {
      // `look` has told it.
    }
  };
}
