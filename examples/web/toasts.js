// A web page that displays your toasts, with the official client for browsers.
// Run: npm install && natsws --page . and look at http://localhost:8080
import { connect } from './node_modules/nats.ws/esm/nats.js';

const nats = await connect({ servers: `ws://${location.host}`, maxReconnectAttempts: -1 });

for await (const msg of nats.subscribe('toast.in')) {
    const toast = document.createElement('p');
    toast.textContent = msg.string();
    document.body.append(toast);
}
