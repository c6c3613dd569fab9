'use strict';
// Each node, and what all of them share, against natsd.

const assert = require('node:assert/strict');
const { after, afterEach, before, test } = require('node:test');
const { Natsd, endAll, record, start, until } = require('./daemons.js');
const { connected, dot, error, helper, load, next } = require('./bed.js');

let natsd;
let peer;

before(async () => {
    natsd = await Natsd.start();
    peer = await natsd.client();
});
afterEach(() => helper.unload());
after(endAll);

const helperNode = (id) => ({ id, type: 'helper' });

test('nats in hears subjects with wildcards, with headers', async () => {
    await load(natsd.url, [{ id: 'n', type: 'nats in', subject: 'hardware.*.add', format: 'auto', wires: [['h']] }, helperNode('h')]);
    await connected('n');
    const { headers } = require('@nats-io/transport-node');
    const some = headers();
    some.append('Status', '200');
    const heard = next('h');
    await peer.flush();
    peer.publish('hardware.usb.add', '{"model":"Example"}', { headers: some });
    const { _msgid, ...message } = await heard;
    assert.deepEqual(message, { topic: 'hardware.usb.add', payload: { model: 'Example' }, headers: { Status: '200' } });
});

test('nats in complains of what is no JSON, and hears the next', async () => {
    await load(natsd.url, [{ id: 'n', type: 'nats in', subject: 'a', format: 'json', wires: [['h']] }, helperNode('h')]);
    await connected('n');
    const complaint = error('n');
    peer.publish('a', 'no');
    assert.match(await complaint, /^on 'a': .*JSON/);
    const heard = next('h');
    peer.publish('a', '7');
    assert.equal((await heard).payload, 7);
});

test('nats in shares a queue group', async () => {
    const member = (id) => ({ id, type: 'nats in', subject: 'work', queue: 'q', format: 'auto', wires: [['h']] });
    await load(natsd.url, [member('n'), member('m'), helperNode('h')]);
    await connected('n');
    await connected('m');
    const heard = [];
    helper.getNode('h').on('input', ({ payload }) => heard.push(payload));
    for (let i = 0; i < 20; i++) peer.publish('work', `${i}`);
    peer.publish('work', 'last');
    await until(() => heard.includes('last'), 'all work is heard');
    await peer.flush();
    assert.equal(heard.length, 21);
});

test('nats in without a subject says so', async () => {
    await load(natsd.url, [{ id: 'n', type: 'nats in', subject: '', format: 'auto' }]);
    await until(() => dot('n')?.fill === 'red', 'its dot is red');
});

test('a node without a server says so', async () => {
    await load(natsd.url, [{ id: 'n', type: 'nats out', server: '' }]);
    assert.deepEqual(dot('n'), { fill: 'red', shape: 'dot', text: 'no server is chosen' });
});

test('nats out publishes on its subject or the topic, with headers', async () => {
    await load(natsd.url, [{ id: 'n', type: 'nats out', subject: '' }, { id: 'm', type: 'nats out', subject: 'own' }]);
    await connected('n');
    const theirs = record(peer, 'theirs');
    const own = record(peer, 'own');
    await peer.flush();
    helper.getNode('n').receive({ topic: 'theirs', payload: { a: 1 }, headers: { Name: ['a', 'b'] } });
    helper.getNode('m').receive({ topic: 'theirs', payload: Buffer.from([0, 255]) });
    await until(() => theirs.length && own.length, 'both are heard');
    assert.deepEqual([theirs[0].string(), theirs[0].headers.values('Name')], ['{"a":1}', ['a', 'b']]);
    assert.deepEqual([...own[0].data], [0, 255]);
});

test('nats out complains where there is no subject', async () => {
    await load(natsd.url, [{ id: 'n', type: 'nats out', subject: '' }]);
    await connected('n');
    const complaint = error('n');
    helper.getNode('n').receive({ payload: 'x' });
    assert.equal(await complaint, 'neither the node nor msg.topic has a subject');
});

test('nats request asks, and keeps the rest of the message', async () => {
    await load(natsd.url, [
        { id: 'n', type: 'nats request', subject: 'ps.calibre', timeout: 5000, format: 'auto', wires: [['h']] },
        helperNode('h'),
    ]);
    await connected('n');
    peer.subscribe('ps.calibre', { max: 1, callback: (_, msg) => msg.respond(`4${msg.string()}`) });
    await peer.flush();
    const heard = next('h');
    helper.getNode('n').receive({ payload: '2', mine: true });
    const { payload, mine } = await heard;
    assert.deepEqual([payload, mine], ['42', true]);
});

test('nats request complains where nobody answers, or not in time', async () => {
    const request = { type: 'nats request', subject: '', format: 'auto' };
    await load(natsd.url, [{ ...request, id: 'n', timeout: 20_000 }, { ...request, id: 'm', timeout: 50 }]);
    await connected('n');
    peer.subscribe('silent', { callback: () => {} });
    await peer.flush();
    for (const [id, topic, expected] of [
        ['n', 'nobody', "nobody answers on 'nobody'"],
        ['m', 'silent', "no answer on 'silent' within 50 ms"],
    ]) {
        const complaint = error(id);
        helper.getNode(id).receive({ topic });
        assert.equal(await complaint, expected);
    }
});

test('nats respond answers what nats in has heard', async () => {
    await load(natsd.url, [
        { id: 'n', type: 'nats in', subject: 'square', format: 'json', wires: [['r']] },
        { id: 'r', type: 'nats respond' },
    ]);
    await connected('r');
    await connected('n');
    assert.equal((await peer.request('square', '7')).string(), '7');
    // What nobody asked is answered to nobody.
    peer.publish('square', '7');
    assert.equal((await peer.request('square', '8')).string(), '8');
});

test('toast sends, and tells what was chosen', async () => {
    start('natstoast', ['--presenter', 'none', '--nats', natsd.url]);
    await load(natsd.url, [
        { id: 'n', type: 'toast', urgency: 'critical', actions: 'open:Open it, Later', wires: [['sent'], ['chosen']] },
        helperNode('sent'),
        helperNode('chosen'),
    ]);
    await connected('n');
    const shows = record(peer, 'toast.show');
    await until(async () => (await peer.request('toast.list').catch(() => undefined)) !== undefined, 'natstoast is there');
    const sent = next('sent');
    helper.getNode('n').receive({ payload: 'one\ntwo', mine: 1 });
    const { toast, payload } = await sent;
    assert.deepEqual(payload, { id: toast });
    await until(() => shows.length, 'it is shown');
    const shown = shows[0].json();
    assert.deepEqual(
        [shown.id, shown.summary, shown.body, shown.urgency, shown.app, shown.actions],
        [toast, 'one', 'two', 'critical', 'node-red', [{ id: 'open', label: 'Open it' }, { id: 'Later', label: 'Later' }]],
    );
    const chosen = next('chosen');
    peer.publish('toast.action', JSON.stringify({ id: toast, action: 'open' }));
    const message = await chosen;
    assert.deepEqual([message.payload, message.topic, message.toast, message.mine], ['open', 'toast.action', toast, 1]);
    // Refusals are the message's error.
    const complaint = error('n');
    helper.getNode('n').receive({ payload: { summary: 'x', urgency: 'extreme' } });
    assert.match(await complaint, /urgency/);
});

test('hardware begins with what is present, and tells each once', async () => {
    const stick = { devpath: '/devices/usb1/1-1', port: '1-1', model: 'Stick' };
    const answering = peer.subscribe('hardware.usb.list', { callback: (_, msg) => msg.respond(JSON.stringify([stick])) });
    await peer.flush();
    await load(natsd.url, [
        { id: 'n', type: 'hardware', class: 'usb', action: '', present: true, wires: [['h']] },
        helperNode('h'),
    ]);
    const heard = [];
    helper.getNode('h').on('input', ({ topic, payload }) => heard.push([topic, payload.model]));
    await until(() => heard.length === 1, 'what is present');
    peer.publish('hardware.usb.add', JSON.stringify({ ...stick, again: true }));
    peer.publish('hardware.net.add', '{"devpath":"/devices/eth0"}');
    peer.publish('hardware.usb.remove', JSON.stringify(stick));
    await until(() => heard.length === 2, 'it is gone');
    assert.deepEqual(heard, [['hardware.usb.add', 'Stick'], ['hardware.usb.remove', 'Stick']]);
    answering.unsubscribe();
});

test('hardware tells only the action that is wanted', async () => {
    await load(natsd.url, [{ id: 'n', type: 'hardware', class: '', action: 'remove', wires: [['h']] }, helperNode('h')]);
    await connected('n');
    await peer.flush();
    const heard = next('h');
    peer.publish('hardware.tty.add', '{"devpath":"/devices/tty9"}');
    peer.publish('hardware.tty.remove', '{"devpath":"/devices/tty9"}');
    assert.equal((await heard).topic, 'hardware.tty.remove');
});

test('service asks natsinit, and tells what becomes of services', async () => {
    start('natsinit', ['--session', '--nats', natsd.url, 'sleeper=sleep 1000']);
    await load(natsd.url, [
        { id: 'n', type: 'service', service: 'sleeper', action: '', wires: [['a'], ['e']] },
        helperNode('a'),
        helperNode('e'),
    ]);
    await connected('n');
    const events = [];
    helper.getNode('e').on('input', ({ topic }) => events.push(topic));
    const ask = async (action) => {
        const answer = next('a');
        helper.getNode('n').receive({ action });
        return (await answer).payload;
    };
    await until(async () => (await peer.request('service.sleeper.status').catch(() => undefined)) !== undefined, 'natsinit is there');
    const { name, pid } = await until(async () => {
        const status = await ask('status');
        return status.state === 'ready' && status;
    }, 'it is ready');
    assert.equal(name, 'sleeper');
    events.length = 0;
    await ask('restart');
    await until(() => events.includes('service.sleeper.ready'), 'it is ready again');
    assert.notEqual((await ask('status')).pid, pid);
    await ask('stop');
    await until(() => events.includes('service.sleeper.stopped'), 'it has stopped');
    const complaint = error('n');
    helper.getNode('n').receive({ action: 'explode' });
    assert.match(await complaint, /^action: expected one of start, /);
});

test('all nodes of a server share one connection, which ends with the flow', async () => {
    const nodes = ['a', 'b', 'c'].map((id) => ({ id, type: 'nats in', subject: 'shared', format: 'auto' }));
    // natsd sees connections end a moment after they have.
    const are = (count) => until(async () => (await connections()) === count, `${count} connections`);
    await are(0);
    await load(natsd.url, nodes);
    await Promise.all(['a', 'b', 'c'].map(connected));
    await are(1);
    await helper.unload();
    await are(0);
});

/** How many connections natsd has of Node-RED. */
async function connections() {
    const response = await fetch(`http://127.0.0.1:${natsd.monitor}/connz`);
    return (await response.json()).connections.filter(({ name }) => name === 'node-red').length;
}
