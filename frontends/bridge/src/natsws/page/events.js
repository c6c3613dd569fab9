// Events as they come: the last ones, those that match, no faster than they can be drawn.

import { forbidden } from "./ask.js";
import { byId, element, note } from "./element.js";
import { clock, cut, number } from "./format.js";
import { inFrame } from "./frame.js";
import { STATES } from "./services.js";

const KEPT = 500;
const DRAWN = 200;
// In a frame; what else comes in it is only counted.
const MOST_IN_FRAME = 40;
const LONGEST = 600;
const LONGEST_JSON = 8_000;

// What everybody may listen to by the rules that natsd brings along, and no requests: where somebody listens, those who ask are not told
// at once that nobody answers.
const EVENTS = [
  "bluetooth.connected", "bluetooth.disconnected", "bluetooth.found", "bluetooth.adapter.*", "hardware.*.add", "hardware.*.remove",
  "hardware.*.change", "login.*", "mqtt.client.*", "network.*.*", "process.*", ...[...STATES, "log", "oom", "pressure"].map((state) => `service.*.${state}`),
  "system.healthy", "system.oom", "system.pressure.*", "toast.in", "toast.show", "toast.closed", "toast.action", "volume.mounted",
  "volume.unmounted", "volume.failed", "wm.window.>",
];
const CHOICES = { events: EVENTS, kernel: [...EVENTS, "uevent.>"], everything: [">"] };

const GOOD = ["add", "up", "connected", "ready", "mounted", "opened", "bind", "healthy"];
const BAD = ["remove", "failed", "backoff", "oom", "disconnected", "lost", "down", "pressure"];

// Whether an event is wanted: every word is in it, or is a pattern that its subject matches.
export function matcher(words) {
  const tests = words.trim().split(/\s+/).filter(Boolean).map((word) => {
    if (!/(^|\.)[*>](\.|$)/.test(word)) return ({ subject, text }) => `${subject} ${text}`.toLowerCase().includes(word.toLowerCase());
    const wanted = word.split(".");
    return ({ subject }) => {
      const tokens = subject.split(".");
      const rest = wanted.at(-1) === ">";
      if (rest ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
      return wanted.every((part, i) => part === "*" || (rest && i === wanted.length - 1) || part === tokens[i]);
    };
  });
  return (event) => tests.every((test) => test(event));
}

export function events(nats) {
  const panel = byId("events");
  const list = panel.querySelector("ol");
  const filter = byId("filter");
  const pause = byId("pause");
  const source = byId("source");
  let sids = [];
  let kept = [];
  let fresh = [];
  let came = 0;
  let missed = 0;
  let refused = [];
  let matches = matcher("");

  // The members of an object, as they are easier to read; what is none, as it is.
  function words(text) {
    let value;
    try {
      value = text.length > LONGEST_JSON ? undefined : JSON.parse(text);
    } catch {
      // Text.
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [cut(text, LONGEST)];
    return Object.entries(value).slice(0, 24).flatMap(([key, member]) => {
      const shown = typeof member === "string" ? member : JSON.stringify(member);
      return [element("span", {}, element("i", {}, cut(key, 60)), ` ${cut(shown, 200)}`), " "];
    });
  }

  function row({ at, subject, text }) {
    const last = subject.slice(subject.lastIndexOf(".") + 1);
    const kind = GOOD.includes(last) ? "good" : BAD.includes(last) ? "bad" : undefined;
    return element("li", { class: kind },
      element("time", { datetime: at.toISOString() }, clock(at)), element("b", {}, subject), element("div", {}, ...words(text)));
  }

  const count = inFrame(() => {
    const parts = [`${number(came)} came`];
    if (missed > 0) parts.push(`${number(missed)} too fast to show`);
    if (isPaused()) parts.push("paused");
    panel.querySelector(".count").textContent = parts.join(", ");
  });

  const isPaused = () => pause.getAttribute("aria-pressed") === "true";

  const draw = inFrame(() => {
    kept = [...fresh.toReversed(), ...kept].slice(0, KEPT);
    if (!isPaused()) {
      list.prepend(...fresh.filter(matches).map(row).reverse());
      while (list.childElementCount > DRAWN) list.lastElementChild.remove();
    }
    fresh = [];
    count();
    tell();
  });

  function tell() {
    const nothing = filter.value.trim() ? "Nothing that is kept matches." : "Nothing yet. What happens is shown as it happens.";
    if (refused.length > 0) note(panel, forbidden(refused.join(", ")));
    else note(panel, list.childElementCount > 0 ? "" : nothing);
  }

  function drawAll() {
    list.replaceChildren(...kept.filter(matches).slice(0, DRAWN).map(row));
    count();
    tell();
  }

  function heard(message) {
    if (message.subject.startsWith("_INBOX.")) return;
    came++;
    if (fresh.length >= MOST_IN_FRAME) {
      missed++;
      return count();
    }
    fresh.push({ at: new Date(), subject: cut(message.subject, LONGEST), text: cut(message.text, LONGEST_JSON) });
    draw();
  }

  function listen() {
    sids.forEach((sid) => nats.unsubscribe(sid));
    refused = [];
    sids = CHOICES[source.value].map((subject) => nats.subscribe(subject, heard, () => {
      refused.push(subject);
      tell();
    }));
    tell();
  }

  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  source.addEventListener("change", listen);
  filter.addEventListener("input", () => {
    matches = matcher(filter.value);
    drawAll();
  });
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(!isPaused()));
    if (isPaused()) count();
    else drawAll();
  });
  listen();
  return () => {
    refused = [];
    tell();
  };
}
