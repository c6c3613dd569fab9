// Toasts as they come, what can be done about them, and those that are gone.

import { ask, forbidden, reason } from "./ask.js";
import { byId, count, element, note } from "./element.js";
import { clock, cut } from "./format.js";
import { inFrame } from "./frame.js";

// natstoast shows 32; whoever publishes in its place may say more.
const MOST_SHOWN = 64;
const MOST_GONE = 50;
const URGENCIES = ["low", "normal", "critical"];
const ENDS = { expired: "expired", dismissed: "dismissed", closed: "taken back", replaced: "replaced" };

export function toasts(nats) {
  const panel = byId("toasts");
  const list = panel.querySelector(".shown");
  const past = panel.querySelector(".gone");
  const clear = panel.querySelector(".clear");
  const shown = new Map();
  let gone = [];
  let dirty = new Set();

  const draw = inFrame(() => {
    for (const id of dirty) {
      const { toast, node } = shown.get(id) ?? {};
      const old = list.querySelector(`[data-id="${id}"]`);
      if (!toast) {
        const next = old?.contains(document.activeElement) && (old.nextElementSibling ?? old.previousElementSibling ?? panel);
        old?.remove();
        if (next) (next.querySelector(".dismiss") ?? panel.querySelector("h2")).focus();
      } else if (!node) {
        const made = drawn(toast);
        shown.get(id).node = made;
        const focused = old?.contains(document.activeElement) && document.activeElement.dataset.key;
        if (old) old.replaceWith(made);
        else list.prepend(made);
        if (focused) [...made.querySelectorAll("button")].find((button) => button.dataset.key === focused)?.focus();
      }
    }
    dirty = new Set();
    past.replaceChildren(...gone.map(remembered));
    panel.querySelector("details").hidden = gone.length === 0;
    panel.querySelector(".gone-count").textContent = String(gone.length);
    panel.querySelector(".empty").hidden = shown.size > 0;
    clear.hidden = shown.size < 2;
    count(panel, shown.size > 0 ? String(shown.size) : "");
    document.title = shown.size > 0 ? `(${shown.size}) lunix` : "lunix";
  });

  function change(id) {
    dirty.add(id);
    draw();
  }

  function say(subject, message) {
    try {
      nats.publish(subject, JSON.stringify(message));
    } catch (error) {
      note(panel, error.message);
    }
  }

  function drawn(toast) {
    const urgency = URGENCIES.includes(toast.urgency) ? toast.urgency : "normal";
    const summary = String(toast.summary ?? "");
    const actions = (Array.isArray(toast.actions) ? toast.actions : []).slice(0, 6).map(({ id, label }) => {
      const click = () => say("toast.action", { id: toast.id, action: id });
      return element("button", { type: "button", "data-key": `action ${id}`, click }, String(label ?? id));
    });
    const dismiss = () => say("toast.dismiss", { id: toast.id });
    const progress = Number.isFinite(toast.progress)
      ? element("div", { class: "progress" },
          element("progress", { max: 100, value: toast.progress, "aria-label": `Progress of ${summary}` }),
          element("span", {}, `${Math.round(toast.progress)} %`))
      : undefined;
    return element("li", { class: `toast ${urgency}`, "data-id": toast.id },
      element("div", { class: "from" },
        element("span", {}, String(toast.app ?? "")),
        urgency === "critical" ? element("b", {}, "critical") : undefined,
        element("time", { datetime: toast.at.toISOString() }, clock(toast.at))),
      element("button", { type: "button", class: "dismiss", "data-key": "dismiss", "aria-label": `Dismiss: ${summary}`, click: dismiss }, "×"),
      element("p", { class: "summary" }, summary),
      toast.body ? element("p", { class: "body" }, String(toast.body)) : undefined,
      progress,
      actions.length > 0 ? element("div", { class: "actions" }, ...actions) : undefined);
  }

  function remembered(toast) {
    return element("li", {},
      element("time", { datetime: toast.at.toISOString() }, clock(toast.at)),
      element("span", { class: "summary" }, cut(String(toast.summary ?? ""), 200)),
      element("span", { class: "end" }, ENDS[toast.end] ?? ""));
  }

  // Screen readers hear of it once, what is critical at once.
  function announce({ urgency, app, summary, body, again }) {
    if (again) return;
    const place = byId(urgency === "critical" ? "alarm" : "announcement");
    place.textContent = cut([app, summary, body].filter(Boolean).join(". "), 500);
  }

  function show(toast, age = 0) {
    if (!Number.isSafeInteger(toast?.id) || (shown.size >= MOST_SHOWN && !shown.has(toast.id))) return;
    const at = toast.again ? shown.get(toast.id)?.toast.at : undefined;
    shown.set(toast.id, { toast: { ...toast, at: at ?? new Date(Date.now() - age) } });
    change(toast.id);
  }

  function hide(id, end) {
    const { toast } = shown.get(id) ?? {};
    if (!toast) return;
    shown.delete(id);
    // What takes its place has its number, too.
    if (end && end !== "replaced") gone = [{ ...toast, at: new Date(), end }, ...gone].slice(0, MOST_GONE);
    change(id);
  }

  clear.addEventListener("click", () => shown.forEach((_, id) => say("toast.dismiss", { id })));

  nats.subscribe("toast.show", (message) => {
    const toast = message.json;
    show(toast);
    if (toast?.id !== undefined) announce(toast);
  }, () => note(panel, forbidden("toast.show")));
  nats.subscribe("toast.closed", ({ json }) => hide(json?.id, json?.reason), () => note(panel, forbidden("toast.closed")));

  return async () => {
    note(panel, "");
    try {
      const [now, before] = await Promise.all([ask(nats, "toast.list"), ask(nats, "toast.history")]);
      const ids = new Set(now.map(({ id }) => id));
      for (const id of shown.keys()) if (!ids.has(id)) hide(id);
      now.filter(({ state }) => state !== "waiting").reverse().forEach((toast) => show({ ...toast, again: true }, toast.age_ms));
      gone = before.slice(0, MOST_GONE).map((toast) => ({ ...toast, at: new Date(Date.now() - (toast.age_ms ?? 0)), end: toast.state }));
      draw();
    } catch (error) {
      note(panel, reason(error, "natstoast"));
    }
  };
}
