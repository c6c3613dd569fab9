// The words of the seed's examples, so that they run as they stand: node seed.js seed/usb-toast.js
// Or in your own: import { nats, mqtt, mount, umount } from './seed.js'
// Needs: npm install
import { execFile } from 'node:child_process';
import { argv } from 'node:process';
import { readFile } from 'node:fs/promises';
import { connect } from '@nats-io/transport-node';

const connection = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222', maxReconnectAttempts: -1 });

// What the seed leaves open: which member of a device is mounted, and on which subject programs are started.
const something = ({ volumes }) => volumes?.find(({ fstype }) => fstype)?.devnode;
const SUBJECTS = { 'wm.something': 'wm.exec' };

// The value of JSON, or else the text.
function value(msg) {
    try {
        const value = msg.json();
        return value?.volumes ? { ...value, something: something(value) } : value;
    } catch {
        return msg.string();
    }
}

export const nats = {
    subscribe: (subject, heard) =>
        connection.subscribe(subject, { callback: (error, msg) => (error ? console.error(error.message) : heard(value(msg))) }),
    publish: (subject, text) => connection.publish(SUBJECTS[subject] ?? subject, text),
    // Where nobody answers, or there is no such thing (`Status: 404`), nothing is heard.
    request: async (subject, heard) => {
        const answer = await connection.request(subject, '', { timeout: 2000 }).catch(() => undefined);
        if (answer && answer.headers?.get('Status') !== '404') heard(value(answer));
    },
};

// With natsmqtt, what is on a topic is on the subject of the same name.
export const mqtt = { subscribe: (topic, heard) => nats.subscribe(topic.replaceAll('/', '.'), heard) };

// No shell: a label may be anything.
const run = (program, ...args) => execFile(program, args, (error) => error && console.error(error.message.trim()));
export const mount = (devnode, place) => devnode && run('mount', '-o', 'nosuid,nodev,noexec', devnode, place);
export const umount = (place) => run('umount', '--lazy', place);

if (argv[2]) {
    const example = await readFile(argv[2], 'utf8');
    new Function('nats', 'mqtt', 'mount', 'umount', example)(nats, mqtt, mount, umount);
}
