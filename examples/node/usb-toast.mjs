// A toast for every USB stick, with the official client for Node.
// Run: npm install && node usb-toast.mjs
import { connect } from '@nats-io/transport-node';

const connection = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });
const nats = {
    subscribe: (subject, heard) => connection.subscribe(subject, { callback: (_, msg) => heard(msg) }),
    publish: (subject, text) => connection.publish(subject, text),
};

nats.subscribe('hardware.usb.add', (msg) => {
    nats.publish('toast.in', 'a USB stick was plugged in!');
});
