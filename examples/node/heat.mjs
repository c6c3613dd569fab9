// It is cold, and you are reading a book: some heat. An MQTT sensor's temperature0 arrives as it is, by way of natsmqtt.
// Run: npm install && node heat.mjs
import { connect } from '@nats-io/transport-node';

const nats = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });

for await (const msg of nats.subscribe('temperature0')) {
    if (Number(msg.string()) > 18) continue;
    const pid = await nats.request('ps.calibre').catch(() => undefined);
    // An empty answer: there is no such process.
    while (pid?.string()) console.log('HEAT!');
}
