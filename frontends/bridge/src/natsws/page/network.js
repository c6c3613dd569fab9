// Network: interfaces with their addresses, or where nobody tells these, the interfaces that natsdev knows.

import { ask, reason } from "./ask.js";
import { byId, count, element, note } from "./element.js";
import { cut } from "./format.js";
import { soon } from "./frame.js";

const MOST = 64;
const DELAY = 200;

export function network(nats) {
  const panel = byId("network");
  const list = panel.querySelector("ul");

  function row(link) {
    const addresses = (Array.isArray(link.addresses) ? link.addresses : []).slice(0, 16)
      .map(({ address, prefix }) => `${address}${prefix === undefined ? "" : `/${prefix}`}`);
    const state = link.operstate ?? (link.up === true ? "up" : link.up === false ? "down" : "");
    const facts = [link.mac, link.mtu && `mtu ${link.mtu}`, link.ssid, link.driver, link.product_name ?? link.model].filter(Boolean);
    return element("li", { "data-state": ["up", "down"].includes(state) ? state : undefined },
      element("b", {}, String(link.ifname ?? link.name ?? "")), element("span", { class: "state" }, String(state)),
      addresses.length > 0 ? element("span", { class: "addresses" }, addresses.join("  ")) : undefined,
      element("span", { class: "about" }, cut(facts.join(" · "), 200)));
  }

  async function links() {
    try {
      return [await ask(nats, "network.list"), ""];
    } catch (error) {
      if (error.kind !== "no responders") throw error;
      const devices = await ask(nats, "hardware.list");
      return [devices.filter(({ class: kind }) => kind === "net"), "natsnet is not running: addresses are not known."];
    }
  }

  async function fetch() {
    try {
      const [found, lack] = await links();
      const now = Array.isArray(found) ? found : Object.values(found?.links ?? found ?? {});
      list.replaceChildren(...now.slice(0, MOST).map(row));
      count(panel, now.length > 0 ? String(now.length) : "");
      note(panel, lack);
    } catch (error) {
      list.replaceChildren();
      note(panel, reason(error, "natsnet"));
    }
  }

  const again = soon(DELAY, fetch);
  for (const subject of ["network.*.*", "hardware.net.add", "hardware.net.remove", "hardware.net.change"]) nats.subscribe(subject, again, () => {});
  return fetch;
}
