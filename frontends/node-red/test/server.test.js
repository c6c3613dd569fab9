'use strict';
// The server's node: a server that goes and comes, who is let in, and who is refused.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { after, afterEach, test } = require('node:test');
const { createAccount, createOperator, createUser } = require('@nats-io/nkeys');
const { Natsd, endAll, record, scratch, until } = require('./daemons.js');
const { connected, dot, error, helper, load, next, warnings } = require('./bed.js');

afterEach(() => helper.unload());
after(endAll);

const flow = [
    { id: 'n', type: 'nats in', subject: 'ping', format: 'auto', wires: [['o', 'h']] },
    { id: 'o', type: 'nats out', subject: 'pong' },
    { id: 'h', type: 'helper' },
];

/** A message goes through the flow. */
async function passes(client) {
    const pongs = record(client, 'pong');
    await until(async () => {
        client.publish('ping', 'x');
        await client.flush();
        return pongs.length > 0;
    }, 'the flow works');
}

test('a flow goes on when its server was killed and started again', async () => {
    const natsd = await Natsd.start();
    await load(natsd.url, flow);
    await connected('n');
    await natsd.kill();
    await until(() => dot('n').text === 'reconnecting', 'it is lost');
    const complaint = error('o');
    helper.getNode('o').receive({ payload: 'to nobody' });
    assert.equal(await complaint, 'no server is there');
    await natsd.again();
    await connected('n');
    const client = await natsd.client();
    await passes(client);
});

test('a flow may start before its server, and end without one', async () => {
    const natsd = await Natsd.start();
    await natsd.kill();
    await load(natsd.url, flow);
    assert.equal(dot('n').text, 'connecting');
    await helper.unload();
    await load(natsd.url, flow);
    await natsd.again();
    await connected('n');
    await natsd.kill();
    await until(() => dot('n').text === 'reconnecting', 'it is lost');
});

test('a user is let in with a password, and told what it may not hear', async () => {
    const natsd = await Natsd.start(`authorization { users = [
        { user: flow, password: secret, permissions: { subscribe: { deny: "ping" } } }
        { user: peer, password: other }
    ] }`);
    await load(natsd.url, flow, { auth: 'user' }, { s: { user: 'flow', password: 'secret' } });
    await until(() => dot('n')?.fill === 'red' && /permission/i.test(dot('n').text), 'the refusal is shown');
    await connected('o');
});

test('a wrong password is told once, and tried again', async () => {
    const natsd = await Natsd.start('authorization { token: right }');
    await load(natsd.url, flow, { auth: 'token' }, { s: { token: 'wrong' } });
    await until(() => warnings('s').length, 'it is told');
    assert.match(warnings('s')[0], /authorization/i);
    await natsd.kill();
    fs.writeFileSync(natsd.file, 'authorization { token: wrong }');
    await natsd.again();
    await connected('n');
    assert.equal(warnings('s').filter((text) => /authorization/i.test(text)).length, 1);
});

test('credentials, as text or as a file', async () => {
    const [operator, account, user] = [createOperator(), createAccount(), createUser()];
    const url64 = (value) => Buffer.from(value).toString('base64url');
    const signed = (by, subject, nats) => {
        const claims = { jti: 'x', iat: 1, iss: by.getPublicKey(), name: 'x', sub: subject.getPublicKey(), nats: { version: 2, ...nats } };
        const body = `${url64('{"typ":"JWT","alg":"ed25519-nkey"}')}.${url64(JSON.stringify(claims))}`;
        return `${body}.${url64(by.sign(Buffer.from(body)))}`;
    };
    const unlimited = { subs: -1, conn: -1, leaf: -1, imports: -1, exports: -1, data: -1, payload: -1, wildcards: true };
    const natsd = await Natsd.start(`operator: ${signed(operator, operator, { type: 'operator' })}
        resolver: MEMORY
        resolver_preload: { ${account.getPublicKey()}: ${signed(operator, account, { type: 'account', limits: unlimited })} }`);
    const jwt = signed(account, user, { type: 'user', subs: -1, data: -1, payload: -1 });
    const seed = Buffer.from(user.getSeed()).toString();
    const creds = `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n
-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;
    await load(natsd.url, flow, { auth: 'creds' }, { s: { creds } });
    await connected('n');
    await helper.unload();
    const credsFile = path.join(scratch, 'flow.creds');
    fs.writeFileSync(credsFile, creds);
    await load(natsd.url, flow, { auth: 'creds', credsFile });
    await connected('n');
});

test('TLS, with the authority of Node-RED\'s tls-config', async (t) => {
    const [cert, key] = ['cert.pem', 'key.pem'].map((file) => path.join(scratch, file));
    try {
        const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
        const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
        execFileSync('openssl', [...made, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    } catch {
        t.skip('no openssl here');
        return;
    }
    const natsd = await Natsd.start(`tls { cert_file: "${cert}", key_file: "${key}" }`);
    const tls = { id: 't', type: 'tls-config', cert: '', key: '', ca: '', verifyservercert: true };
    const client = await natsd.client({ tls: { caFile: cert } });
    await load(natsd.url, [...flow, tls], { tls: 't' }, { t: { cadata: fs.readFileSync(cert, 'utf8') } });
    await connected('n');
    const heard = next('h');
    client.publish('ping', 'over TLS');
    assert.equal((await heard).payload, 'over TLS');
});

test('a server that says nothing does not hold up the end of a flow', async () => {
    const sockets = [];
    const silent = net.createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    await load(`nats://127.0.0.1:${silent.address().port}`, flow);
    await once(silent, 'connection');
    const begun = Date.now();
    await helper.unload();
    // Node-RED would wait for 15 s, and then leave the connection behind.
    assert.ok(Date.now() - begun < 14_000);
    sockets.forEach((socket) => socket.destroy());
    silent.close();
});
