// A message or a request by hand.

import { byId, element } from "./element.js";
import { bytes, cut } from "./format.js";

const LONGEST = 20_000;

function headers(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const [, name, value] = line.match(/^([!-9;-~]+):\s*(.*?)\s*$/) ?? [];
    if (!name) throw new Error(`A header is “Name: value”, and not “${cut(line, 60)}”.`);
    return [name, value];
  });
}

function pretty(message) {
  const json = message.json;
  return typeof json === "object" && json !== null ? JSON.stringify(json, null, 2) : message.text;
}

export function send(nats) {
  const form = byId("send-form");
  const [subject, payload, header, timeout] = ["subject", "payload", "header", "timeout"].map((name) => form.elements[name]);
  const result = byId("result");
  const answer = byId("answer");

  function say(text, isWrong) {
    result.textContent = text;
    result.classList.toggle("wrong", Boolean(isWrong));
  }

  function show(message) {
    const { status, fields } = message.headers;
    const lines = [status && `Status: ${status}`, ...fields.map(([name, value]) => `${name}: ${value}`)].filter(Boolean);
    answer.replaceChildren(
      lines.length > 0 ? element("pre", { class: "headers" }, cut(lines.join("\n"), LONGEST)) : "",
      element("pre", {}, cut(pretty(message), LONGEST) || "(empty)"));
    answer.hidden = false;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wantsAnswer = event.submitter?.value === "request";
    const to = subject.value.trim();
    answer.hidden = true;
    try {
      const options = { headers: headers(header.value), timeout: 1000 * Number(timeout.value) };
      if (!wantsAnswer) {
        nats.publish(to, payload.value, options);
        return say(`Published to ${to}.`);
      }
      say(`Waiting for an answer on ${to}…`);
      const start = performance.now();
      const message = await nats.request(to, payload.value, options);
      const error = message.field("Nats-Service-Error");
      const time = (performance.now() - start).toFixed(1);
      say(error ? `Refused: ${error}` : `Answer of ${bytes(message.data.length)} after ${time} ms.`, error);
      show(message);
    } catch (error) {
      say(error.message, true);
    }
  });

  return () => {};
}
