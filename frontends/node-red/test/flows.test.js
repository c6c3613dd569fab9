'use strict';
// Node-RED itself, headless, with the flows of examples/node-red, beside natsd, natstoast and natsinit.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { Natsd, endAll, freePort, record, scratch, start, until } = require('./daemons.js');

const here = path.join(__dirname, '..');
const flows = path.join(here, 'flows');
let natsd;
let peer;
let admin;
let toasts;

before(async () => {
    natsd = await Natsd.start();
    peer = await natsd.client();
    toasts = record(peer, 'toast.show');
    // What natsmount says of two volumes.
    peer.subscribe('volume.mount', {
        callback: (_, msg) => {
            const { devnode } = msg.json();
            const target = '/media/HOLIDAY';
            msg.respond(JSON.stringify(devnode === '/dev/sda1' ? { devnode, target } : { error: 'it is full of sand' }));
        },
    });
    start('natstoast', ['--presenter', 'none', '--nats', natsd.url]);
    start('natsinit', ['--session', '--nats', natsd.url, 'cups=sleep 1000']);
    await until(() => peer.request('toast.list').catch(() => undefined), 'natstoast is there');
    await until(() => peer.request('service.cups.stop').catch(() => undefined), 'natsinit is there');
    admin = await nodeRed();
});
after(endAll);

/** Starts Node-RED with all flows, as one file; gives where its administration is. */
async function nodeRed() {
    const nodes = fs
        .readdirSync(flows)
        .filter((file) => file.endsWith('.json'))
        .flatMap((file) => JSON.parse(fs.readFileSync(path.join(flows, file), 'utf8')));
    // Each file has the server that all share.
    const all = [...new Map(nodes.map((node) => [node.id, node])).values()];
    const home = path.join(scratch, 'node-red');
    fs.mkdirSync(path.join(home, 'node_modules'), { recursive: true });
    fs.symlinkSync(here, path.join(home, 'node_modules/node-red-contrib-lunix'));
    fs.writeFileSync(path.join(home, 'flows.json'), JSON.stringify(all));
    const port = await freePort();
    fs.writeFileSync(
        path.join(home, 'settings.js'),
        `module.exports = { flowFile: 'flows.json', uiHost: '127.0.0.1', uiPort: ${port}, credentialSecret: false,
            telemetry: { enabled: false }, externalModules: { palette: { allowInstall: false } } };`,
    );
    const program = path.join(here, 'node_modules/node-red/red.js');
    const child = start(process.execPath, [program, '--userDir', home, '--settings', path.join(home, 'settings.js')], {
        env: { ...process.env, NATS_URL: natsd.url },
    });
    child.on('exit', (code) => code && console.error(`Node-RED has ended with ${code}`));
    const url = `http://127.0.0.1:${port}`;
    await until(() => fetch(`${url}/flows`).then(({ ok }) => ok, () => false), 'Node-RED is there');
    await until(async () => (await clients()) > 0, 'its flows are connected');
    return url;
}

/** How many connections natsd has of Node-RED. */
async function clients() {
    const response = await fetch(`http://127.0.0.1:${natsd.monitor}/connz`);
    return (await response.json()).connections.filter(({ name }) => name === 'node-red').length;
}

/** Publishes until a toast says what is expected: the flows may not listen yet, and a message to nobody is lost. */
async function toastOf(subject, payload, expected) {
    toasts.length = 0;
    await until(async () => {
        peer.publish(subject, typeof payload === 'string' ? payload : JSON.stringify(payload));
        for (let tries = 0; tries < 25; tries++) {
            await new Promise((resolve) => setTimeout(resolve, 20));
            if (shown().includes(expected)) return true;
        }
        return false;
    }, `a toast '${expected}'; there were ${JSON.stringify(shown())}`);
}

const shown = () => toasts.map((msg) => msg.json()).map(({ summary, body }) => (body ? `${summary}: ${body}` : summary));

const stick = (more) => ({ devpath: `/devices/${Math.random()}`, class: 'storage', port: '1-1', volumes: [], ...more });

test('Node-RED knows all nodes', async () => {
    const response = await fetch(`${admin}/nodes`, { headers: { accept: 'application/json' } });
    const sets = (await response.json()).filter(({ module }) => module === 'node-red-contrib-lunix');
    assert.deepEqual(sets.flatMap(({ types }) => types).sort(), [
        'hardware', 'lunix-server', 'nats in', 'nats out', 'nats request', 'nats respond', 'service', 'toast',
    ]);
    assert.deepEqual(sets.filter(({ err }) => err), []);
});

test('all flows share one connection', async () => {
    assert.equal(await clients(), 1);
});

test('usb-toast.json: a stick makes a toast', () =>
    toastOf('hardware.usb.add', stick({ model: 'Example' }), 'a USB stick was plugged in!: Example'));

test('automount.json: volumes are mounted, and a toast says where or why not', async () => {
    const volume = (devnode, fstype) => ({ devnode, fstype, size: 1 });
    const good = stick({ volumes: [volume('/dev/sda', null), volume('/dev/sda1', 'vfat')] });
    await toastOf('hardware.usb.add', good, '/dev/sda1 is mounted: /media/HOLIDAY');
    await toastOf('hardware.usb.add', stick({ volumes: [volume('/dev/sdb', 'ext4')] }), 'Not mounted: it is full of sand');
});

test('printer.json: a service runs while a device is there', async () => {
    const events = record(peer, 'service.cups.*');
    const reached = (state) => until(() => events.some(({ subject }) => subject === `service.cups.${state}`), `cups is ${state}`);
    const printer = stick({ class: 'printer' });
    peer.publish('hardware.usb.add', JSON.stringify(printer));
    await reached('ready');
    peer.publish('hardware.usb.remove', JSON.stringify(printer));
    await reached('stopped');
});

test('temperature.json: one toast when it becomes cold', async () => {
    peer.publish('temperature0', '21.5');
    await toastOf('temperature0', '17.5', 'It is cold: 17.5 °C');
    peer.publish('temperature0', '16');
    peer.publish('temperature0', '21');
    await toastOf('temperature0', '18', 'It is cold: 18 °C');
    assert.equal(shown().includes('It is cold: 16 °C'), false);
});

test('after the server was killed and started again, the flows go on', async () => {
    await natsd.kill();
    await natsd.again();
    await toastOf('hardware.usb.add', stick({ model: 'After' }), 'a USB stick was plugged in!: After');
    assert.equal(await clients(), 1);
});

test('a deployment closes what it replaces', async () => {
    const deployed = await (await fetch(`${admin}/flows`)).json();
    for (const type of ['full', 'nodes', 'reload']) {
        const response = await fetch(`${admin}/flows`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', 'Node-RED-Deployment-Type': type },
            body: JSON.stringify(deployed),
        });
        assert.equal(response.status, 204);
        await until(async () => (await clients()) === 1, 'one connection');
    }
    await toastOf('hardware.usb.add', stick({ model: 'Deployed' }), 'a USB stick was plugged in!: Deployed');
});
