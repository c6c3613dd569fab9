// The document of `lunix schema`, and whether the daemons keep to it: every message that the daemons say here,
// and every answer that they give, has a channel, and nothing in it that the channel's schema does not know.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connect } from '@nats-io/transport-node';
import Ajv from 'ajv';

const require = createRequire(import.meta.url);
const url = process.env.NATS_URL;
const document = JSON.parse(execFileSync('lunix', ['schema'], { encoding: 'utf8' }));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'lunix-schema-'));
const children = [];
let failed = false;

function verdict(name, faults) {
    console.log(faults.length ? `FAILED ${name}: ${faults[0]}` : `ok ${name}`);
    faults.slice(1).forEach((fault) => console.log(`  ${fault}`));
    failed ||= faults.length > 0;
}

process.on('exit', () => {
    children.forEach((child) => child.kill('SIGKILL'));
    fs.rmSync(scratch, { recursive: true, force: true });
});

/** Starts a daemon, and waits until it answers on the subject: who listens to everything makes every subject one with a listener. */
async function start(subject, name, ...args) {
    children.push(spawn(name, ['--nats', url, ...args], { stdio: 'ignore' }));
    await until(() => nats.request(subject, '', { timeout: 200 }).catch(() => undefined));
}

// The document itself.
const asyncapi = new Ajv({ strict: false, logger: false, validateFormats: false });
const described = asyncapi.compile(require('@asyncapi/specs/schemas/3.0.0-without-$id.json'));
described(document);
verdict('lunix schema is AsyncAPI 3.0', (described.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`));

// A member that no schema names is a fault of the documentation.
for (const schema of Object.values(document.components.schemas)) {
    if (schema.properties) schema.additionalProperties = false;
}
const ajv = new Ajv({ strict: false, allErrors: true }).addSchema(document, 'lunix');
const validators = new Map();
function validator(name) {
    if (!validators.has(name)) validators.set(name, ajv.compile({ $ref: `lunix#/components/schemas/${name}` }));
    return validators.get(name);
}
verdict(
    'each schema of lunix schema is one',
    Object.keys(document.components.schemas).flatMap((name) => {
        try {
            validator(name);
            return [];
        } catch (error) {
            return [`${name}: ${error.message}`];
        }
    }),
);

/** The channel of a subject: of those that fit, the one with the most words of its own. */
function channelOf(subject) {
    const tokens = subject.split('.');
    const fits = (words) => words.length === tokens.length && words.every((word, i) => word.startsWith('{') || word === tokens[i]);
    const own = (words) => words.filter((word) => !word.startsWith('{')).length;
    return Object.entries(document.channels)
        .filter(([, { address }]) => address && fits(address.split('.')))
        .sort(([, a], [, b]) => own(b.address.split('.')) - own(a.address.split('.')))[0]?.[0];
}

const seen = new Map();
/** What is wrong with a payload as one of a channel's messages. */
function faults(channel, text) {
    const names = Object.keys(document.channels[channel].messages);
    let value = text;
    try {
        value = JSON.parse(text);
    } catch {
        // Text.
    }
    const all = [];
    for (const name of names) {
        const valid = validator(name);
        if (name === 'Nothing' || valid(value)) {
            seen.set(name, (seen.get(name) ?? 0) + 1);
            return [];
        }
        all.push(...valid.errors.map(({ instancePath, message, params }) => `${name}${instancePath} ${message} ${JSON.stringify(params)}`));
    }
    return [`${channel}: ${all.join('; ')}: ${text.slice(0, 300)}`];
}

// What is asked here to be refused.
const NONSENSE = ['nonsense', '{"body":"without a summary"}'];
const nats = await connect({ servers: url });
const wrong = [];
let heard = 0;
nats.subscribe('>', {
    callback: (_, msg) => {
        if (/^(_INBOX|\$)/.test(msg.subject) || NONSENSE.includes(msg.string())) return;
        heard += 1;
        const channel = channelOf(msg.subject);
        wrong.push(...(channel ? faults(channel, msg.string()) : [`no channel for ${msg.subject}`]));
    },
});

/** A port of this machine that nobody has. */
async function freePort() {
    // Below those that the kernel gives to who connects: nobody has it by chance, also while the server is down.
    const port = 20_000 + Math.floor(12_000 * Math.random());
    const probe = net.createServer().listen(port, '127.0.0.1');
    const isFree = await new Promise((resolve) => probe.once('listening', () => resolve(true)).once('error', () => resolve(false)));
    probe.close();
    return isFree ? port : freePort();
}

/** Waits until it holds. */
async function until(holds) {
    for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
        const value = await holds();
        if (value) return value;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return undefined;
}

const asked = [];
/** Asks, and looks at the answer, which may be a refusal. */
async function ask(subject, payload = '') {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const answer = await nats.request(subject, text, { timeout: 30_000 }).catch(() => undefined);
    if (!answer) {
        asked.push(`${subject}: no answer`);
        return undefined;
    }
    // Refusals of micro-services without a body are told in the header alone.
    if (answer.string() === '' && answer.headers?.get('Nats-Service-Error')) return undefined;
    asked.push(...faults(`${channelOf(subject)}-reply`, answer.string()).map((fault) => `${subject}: ${fault}`));
    return answer.json();
}

// Devices: those of this machine, and a stick that is made up.
const stick = path.join(scratch, 'sys/devices/usb1/1-1');
fs.mkdirSync(path.join(stick, '1-1:1.0'), { recursive: true });
const files = {
    'uevent': 'MAJOR=189\nMINOR=1\nDEVNAME=bus/usb/001/002\nDEVTYPE=usb_device\nDRIVER=usb\nPRODUCT=951/1666/110\nTYPE=0/0/0\nBUSNUM=001\nDEVNUM=002\n',
    'idVendor': '0951\n', 'idProduct': '1666\n', 'manufacturer': 'Kingston\n', 'product': 'DataTraveler\n',
    'serial': '60A44C\n', 'speed': '480\n', 'bDeviceClass': '00\n',
    '1-1:1.0/uevent': 'DEVTYPE=usb_interface\nDRIVER=usbhid\nINTERFACE=3/1/1\n', '1-1:1.0/bInterfaceClass': '03\n',
};
for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(stick, file), text);
for (const folder of ['class', 'bus/usb/devices', 'kernel']) fs.mkdirSync(path.join(scratch, 'sys', folder), { recursive: true });
fs.writeFileSync(path.join(scratch, 'sys/kernel/uevent_seqnum'), '0\n');
for (const device of ['1-1', '1-1/1-1:1.0']) {
    const folder = path.join(path.dirname(stick), device);
    fs.symlinkSync(path.join(scratch, 'sys/bus/usb'), path.join(folder, 'subsystem'));
    fs.symlinkSync(`../../../devices/usb1/${device}`, path.join(scratch, 'sys/bus/usb/devices', path.basename(device)));
}

await start('natsdev.stats', 'natsdev', '--sysfs', path.join(scratch, 'sys'));
const sticks = await until(async () => (await ask('hardware.usb.list'))?.length);
verdict('a stick that is made up is announced', sticks ? [] : ['it is not']);
await ask('natsdev.stats');
const first = children.pop();
const gone = once(first, 'exit');
first.kill('SIGTERM');
await gone;

await start('natsdev.stats', 'natsdev');
await ask('hardware.list');
await ask('hardware.net.list');
await ask('hardware.trigger', { subsystem: 'net' });
await ask('hardware.trigger', NONSENSE[0]);
await ask('natsdev.stats');

await start('toast.list', 'natstoast', '--presenter', 'none');
await ask('toast.in', 'plain text');
const full = await ask('toast.in', {
    summary: 'Full', body: 'of all', app: 'schema', icon: 'x', urgency: 'critical', timeout_ms: 60_000, progress: 50,
    actions: [{ id: 'open', label: 'Open' }, { id: 'later' }],
});
await ask('toast.in', NONSENSE[1]);
await ask('toast.list');
const again = await ask('toast.in', { summary: 'Again', replaces: full?.id });
nats.publish('toast.action', JSON.stringify({ id: again?.id, action: 'open' }));
const short = await ask('toast.in', { summary: 'Short', timeout_ms: 50 });
await until(() => ask('toast.list').then((toasts) => !toasts?.some(({ id }) => id === short?.id)));
await ask('toast.close', await ask('toast.in', 'closed'));
await ask('toast.dismiss', await ask('toast.in', 'dismissed'));
await ask('toast.close', { id: 999_999 });
await ask('toast.history');

await start('service.list', 'natsinit', '--session', 'sleeper=sleep 1000', 'talker=sh -c "echo one line; exec sleep 1000"', 'loser=false');
for (const action of ['status', 'usage', 'tail', 'restart', 'stop', 'start', 'reload', 'freeze', 'thaw']) {
    await ask(`service.sleeper.${action}`);
}
for (const subject of ['service.list', 'service.usage', 'service.boot', 'system.info', 'system.usage']) await ask(subject);
await ask('service.reload', { dry_run: true });

await start('volume.list', 'natsmount');
await ask('volume.list');
for (const action of ['mount', 'unmount']) await ask(`volume.${action}`, { devnode: '/dev/none' });

const listen = `127.0.0.1:${await freePort()}`;
await start('mqtt.clients', 'natsmqtt', '--listen', listen);
// Two clients of MQTT 3.1.1, of which one goes.
const [lamp] = ['lamp', 'gone'].map((name) => {
    const [host, port] = listen.split(':');
    const socket = net.connect(port, host, () => socket.write(`\x10\x10\0\x04MQTT\x04\x02\0\0\0\x04${name}`));
    socket.once('data', () => name === 'gone' && socket.destroy());
    return socket;
});
await until(async () => (await ask('mqtt.clients'))?.length === 1 && seen.get('MqttClient') >= 3);
await ask('mqtt.clients', { after: 'lamp' });
await ask('mqtt.clients', NONSENSE[0]);
lamp.destroy();

// A bridge to that one, which answers for bridges, too: it has none.
const bridged = path.join(scratch, 'bridged.conf');
fs.writeFileSync(bridged, `bridges: [ { name: there, address: "mqtt://${listen}", topics: [ { pattern: "nothing" } ] } ]`);
await start('mqtt.bridge.list', 'natsmqtt', '--listen', '127.0.0.1:0', '--config', bridged);
await until(async () => (await ask('mqtt.bridge.list'))?.length === 1 && seen.has('MqttBroker'));

await nats.flush();
verdict(`every message has its channel and keeps to it: ${heard}`, [...new Set(wrong)]);
verdict('every answer keeps to its schema', asked);
const expected = ['Uevent', 'Device', 'UsbDevice', 'SnapshotEnd', 'HotplugStats', 'Toast', 'ToastClosed', 'ToastAction', 'Service', 'SystemInfo', 'SystemUsage', 'MqttClient', 'MqttBroker'];
// Without root, no kernel event is made to happen.
verdict('all that matters was said', expected.filter((name) => name !== 'Uevent' && !seen.has(name)).map((name) => `no ${name}`));
await nats.close();
process.exit(failed ? 1 : 0);
