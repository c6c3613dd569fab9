// Devices: each below the one that it is plugged into, as they come and go.

import { ask, forbidden, reason } from "./ask.js";
import { byId, count, element, facts, note } from "./element.js";
import { bytes, cut, number } from "./format.js";
import { soon } from "./frame.js";
import { Tree } from "./tree.js";

const MOST = 4_000;
const MOST_DRAWN = 400;
// A storm of devices is drawn so often.
const DELAY = 60;
// How long what has come or changed is marked.
const FRESH = 4_000;
const LIKE_NUMBERS = new Intl.Collator("en", { numeric: true });

const lastOf = (path) => path.slice(path.lastIndexOf("/") + 1);
const text = (value) => (typeof value === "string" && value ? value : undefined);

// What people call it.
function title(device) {
  const model = text(device.product_name) ?? text(device.model);
  const maker = text(device.vendor_name) ?? text(device.manufacturer);
  if (model) return maker && !model.startsWith(maker) ? `${maker} ${model}` : model;
  return text(device.ifname) ?? text(device.devnode)?.replace("/dev/", "") ?? text(device.name) ?? lastOf(device.devpath);
}

function about(device) {
  const { subsystem, port, speed, devnode, ifname, fstype, label } = device;
  const shown = title(device);
  const node = text(devnode)?.replace("/dev/", "");
  const parts = [
    text(subsystem), text(port), Number.isFinite(speed) ? `${speed} Mbit/s` : undefined, text(ifname), node?.startsWith("bus/") ? undefined : node,
    text(fstype), text(label) && `“${label}”`, Array.isArray(device.kinds) ? device.kinds.join(" ") : undefined,
  ];
  return cut(parts.filter((part) => part && part !== shown).join(" · "), 120);
}

export function devices(nats) {
  const panel = byId("devices");
  const known = new Map();
  const fresh = new Map();
  let chosen;
  let refused = 0;
  const tree = new Tree(panel.querySelector("[role=tree]"), (key) => {
    chosen = key;
    tell();
  });

  function parent(path) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      if (known.has(path.slice(0, end))) return path.slice(0, end);
    }
    return undefined;
  }

  const draw = soon(DELAY, () => requestAnimationFrame(() => {
    const nodes = new Map();
    for (const [path, device] of known) {
      const label = [element("b", {}, cut(title(device), 120)), element("span", {}, about(device))];
      nodes.set(path, { key: path, label, name: title(device), kind: fresh.get(path), open: true, below: [] });
    }
    const roots = [];
    const folded = new Map();
    for (const [path, node] of nodes) {
      const above = parent(path);
      if (above) {
        nodes.get(above).below.push(node);
      } else if (path.startsWith("/devices/virtual/")) {
        const { subsystem } = known.get(path);
        folded.set(subsystem, [...(folded.get(subsystem) ?? []), node]);
      } else {
        roots.push(node);
      }
    }
    const sort = (list) => {
      list.sort((a, b) => LIKE_NUMBERS.compare(a.name, b.name));
      list.forEach(({ below }) => sort(below));
      return list;
    };
    const groups = Array.from(folded, ([subsystem, below]) => ({
      key: `virtual ${subsystem}`, name: subsystem, kind: "folded", open: false, below,
      label: [element("b", {}, subsystem), element("span", {}, `${below.length} virtual`)],
    }));
    tree.draw([...sort(roots), ...sort(groups)], MOST_DRAWN);
    panel.querySelector("[role=tree]").hidden = known.size === 0;
    count(panel, known.size > 0 ? `${number(known.size)}${refused > 0 ? `, ${number(refused)} more` : ""}` : "");
    tell();
  }));

  function tell() {
    const device = known.get(chosen);
    const place = panel.querySelector(".detail");
    place.hidden = !device;
    if (!device) return place.replaceChildren();
    const list = (values) => (Array.isArray(values) ? values.slice(0, 16).join(" ") : undefined);
    const volumes = Array.isArray(device.volumes) ? device.volumes.slice(0, 16).map(({ devnode, fstype, label, size }) =>
      ["Volume", [devnode, fstype, label && `“${label}”`, bytes(size)].filter(Boolean).join(" ")]) : [];
    place.replaceChildren(element("h3", {}, cut(title(device), 200)), facts([
      ["Class", device.subsystem], ["Kind", device.class === device.subsystem ? undefined : device.class],
      ["Id", [device.vendor, device.product].filter(Boolean).join(":")], ["Serial", device.serial], ["Driver", device.driver],
      ["Node", device.devnode], ["Links", list(device.links)], ["Nodes", list(device.nodes)], ...volumes, ["Network", list(device.net)], ["Path", device.devpath],
    ].map(([name, value]) => [name, value && cut(String(value), 400)])));
  }

  function mark(path, kind) {
    fresh.set(path, kind);
    setTimeout(() => {
      if (fresh.delete(path)) draw();
    }, FRESH);
  }

  function take(device, subsystem, kind) {
    const path = device?.devpath;
    if (typeof path !== "string") return;
    if (!known.has(path) && known.size >= MOST) return void refused++;
    known.set(path, { ...device, subsystem });
    if (kind && fresh.size < MOST_DRAWN) mark(path, kind);
  }

  const listen = (subject, heard) => nats.subscribe(subject, heard, () => note(panel, forbidden(subject)));
  for (const [action, kind] of [["add", "added"], ["change", "changed"]]) {
    listen(`hardware.*.${action}`, ({ subject, json }) => {
      take(json, subject.split(".")[1], json?.again ? undefined : kind);
      draw();
    });
  }
  listen("hardware.*.remove", ({ json }) => {
    known.delete(json?.devpath);
    draw();
  });
  // All were announced anew: what was not among them is gone.
  listen("hardware.snapshot.end", () => fetch());

  async function fetch() {
    try {
      const now = await ask(nats, "hardware.list");
      known.clear();
      refused = 0;
      // USB devices say their own class there.
      for (const device of now) take(device, device.port ? "usb" : String(device.class ?? ""));
      note(panel, now.length > 0 ? "" : "There are no devices.");
    } catch (error) {
      note(panel, reason(error, "natsdev"));
    }
    draw();
  }

  return fetch;
}
