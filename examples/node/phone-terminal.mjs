// Your phone is connected over bluetooth: a terminal opens on your desktop.
// Run: npm install && node phone-terminal.mjs
import { connect } from '@nats-io/transport-node';

const nats = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });

for await (const _ of nats.subscribe('bluetooth.connected')) {
    nats.publish('wm.exec', 'xterm');
}
