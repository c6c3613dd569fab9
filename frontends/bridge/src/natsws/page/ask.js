// Requests to the daemons: JSON answers, and in words why there is none.

import { NatsError } from "./nats.js";

// What a micro-service answers. Rejects with a `NatsError` also where it refuses (ADR-32).
export async function ask(nats, subject, payload = "") {
  const message = await nats.request(subject, payload);
  const refused = message.field("Nats-Service-Error");
  if (refused) throw new NatsError("refused", refused);
  return message.json;
}

// What a panel says in place of what it would show; "" where the connection tells it all.
export function reason(error, program) {
  if (error.kind === "no responders") return `${program} is not running: nobody answers.`;
  if (error.kind === "timeout") return `${program} does not answer.`;
  return error.kind === "lost" ? "" : error.message;
}

// What a panel says where one may not listen.
export const forbidden = (subject) => `You may not listen to ${subject} at this server.`;
