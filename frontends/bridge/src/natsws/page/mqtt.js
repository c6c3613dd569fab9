// The clients of natsmqtt.

import { ask, reason } from "./ask.js";
import { byId, count, element, note } from "./element.js";
import { cut } from "./format.js";
import { inFrame } from "./frame.js";

const MOST = 500;
const DRAWN = 100;

export function mqtt(nats) {
  const panel = byId("mqtt");
  const list = panel.querySelector("ul");
  const clients = new Map();

  const draw = inFrame(() => {
    const sorted = [...clients.values()].sort((a, b) => Number(b.connected) - Number(a.connected) || a.client.localeCompare(b.client));
    list.replaceChildren(...sorted.slice(0, DRAWN).map(({ client, user, address, protocol, connected }) =>
      element("li", { "data-state": connected ? "up" : "down" },
        element("b", {}, cut(client, 100) || "(no name)"), element("span", { class: "state" }, connected ? "connected" : "away"),
        element("span", { class: "about" }, cut([user, address, protocol && `MQTT ${protocol}`].filter(Boolean).join(" · "), 200)))));
    // Only what scrolls is a stop of the tab key.
    list.tabIndex = list.scrollHeight > list.clientHeight ? 0 : -1;
    const there = sorted.filter(({ connected }) => connected).length;
    count(panel, sorted.length > 0 ? `${there} of ${sorted.length} connected` : "");
  });

  function take(client, connected) {
    if (typeof client?.client !== "string" || (clients.size >= MOST && !clients.has(client.client))) return;
    clients.set(client.client, { ...client, connected });
    note(panel, "");
    draw();
  }

  nats.subscribe("mqtt.client.connected", ({ json }) => take(json, true), () => {});
  nats.subscribe("mqtt.client.disconnected", ({ json }) => {
    // A session that is not kept is gone with its connection.
    if (json?.clean) clients.delete(json.client);
    else take(json, false);
    draw();
  }, () => {});

  return async () => {
    try {
      const now = await ask(nats, "mqtt.clients");
      clients.clear();
      for (const client of now) take(client, client.connected !== false);
      note(panel, now.length > 0 ? "" : "No device is connected.");
    } catch (error) {
      clients.clear();
      note(panel, reason(error, "natsmqtt"));
    }
    draw();
  };
}
