// The page: its connection, and the panels that live on it.

import { byId } from "./element.js";
import { devices } from "./devices.js";
import { events } from "./events.js";
import { machine } from "./machine.js";
import { mqtt } from "./mqtt.js";
import { Nats } from "./nats.js";
import { network } from "./network.js";
import { send } from "./send.js";
import { services } from "./services.js";
import { toasts } from "./toasts.js";

const connection = byId("connection");
const again = byId("again");
const signIn = byId("sign-in");
const complaint = byId("complaint");
let everConnected = false;

// What was said and is refused is told once: the server does not say to whom.
function complain(reason) {
  complaint.textContent = reason;
}

function told({ state, reason }) {
  // A try that follows a loss is no news.
  if (state === "connecting" && document.body.dataset.connection === "lost") return;
  document.body.dataset.connection = state;
  const words = {
    connecting: "Connecting",
    connected: "Connected",
    lost: `${everConnected ? "Connection lost" : "Not connected"}${reason ? `: ${reason}` : ""}. Trying again by itself.`,
    refused: `Refused: ${reason}.`,
  };
  if (connection.textContent !== words[state]) connection.textContent = words[state];
  complain("");
  again.hidden = state !== "lost" && state !== "refused";
  signIn.hidden = !(state === "refused" && nats.wantsCredentials);
  if (!signIn.hidden) signIn.elements.user.focus();
  if (state === "connected") {
    everConnected = true;
    panels.forEach((connected) => connected());
  }
}

const url = Object.assign(new URL("/", location), { protocol: location.protocol.replace("http", "ws") });
const nats = new Nats(url, told, complain);
const panels = [toasts, machine, services, events, send, devices, network, mqtt].map((panel) => panel(nats));

again.addEventListener("click", () => nats.tryNow());
// A page that was out of sight may have long waits behind it. Where it was refused, somebody is typing.
const tryAgain = () => document.body.dataset.connection === "lost" && !document.hidden && nats.tryNow();
addEventListener("online", tryAgain);
document.addEventListener("visibilitychange", tryAgain);
signIn.addEventListener("submit", (event) => {
  event.preventDefault();
  nats.signIn(signIn.elements.user.value, signIn.elements.password.value);
  signIn.elements.password.value = "";
});
