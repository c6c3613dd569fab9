'use strict';
// The configuration node: one connection for all nodes that name it. Each shows its state as its own.

const { credsAuthenticator } = require('@nats-io/transport-node');
const { Link } = require('../lib/link.js');

const DOTS = {
    connecting: { fill: 'yellow', shape: 'ring', text: 'connecting' },
    connected: { fill: 'green', shape: 'dot', text: 'connected' },
    reconnecting: { fill: 'red', shape: 'ring', text: 'reconnecting' },
    closed: {},
};

module.exports = (RED) => {
    function Server(config) {
        RED.nodes.createNode(this, config);
        const users = new Set();
        const link = new Link(options(config, this.credentials ?? {}, RED.nodes.getNode(config.tls)));
        link.on('state', (state) => users.forEach((node) => node.status(DOTS[state])));
        link.on('problem', (text) => this.warn(text));

        /** The connection, for `node`, whose dot shows its state from now on. */
        this.attend = (node) => {
            users.add(node);
            node.on('close', () => users.delete(node));
            node.status(DOTS[link.state]);
            link.start();
            return link;
        };
        this.on('close', (done) => link.stop().finally(done));
    }

    RED.nodes.registerType('lunix-server', Server, {
        credentials: {
            user: { type: 'text' },
            password: { type: 'password' },
            token: { type: 'password' },
            creds: { type: 'password' },
        },
    });
};

/** What `connect` takes. As all of lunix's programs, `$NATS_URL` where nothing is said. */
function options({ name, servers, auth, credsFile, tls }, credentials, tlsNode) {
    const urls = servers || process.env.NATS_URL || 'nats://127.0.0.1:4222';
    const all = { name: name || 'node-red', servers: urls.split(',').map((url) => url.trim()) };
    if (auth === 'user') Object.assign(all, { user: credentials.user, pass: credentials.password });
    if (auth === 'token') all.token = credentials.token;
    if (auth === 'creds') {
        const text = () => (credsFile ? require('node:fs').readFileSync(credsFile) : Buffer.from(credentials.creds ?? ''));
        // Read at each connecting, since such files are renewed.
        all.authenticator = (nonce) => credsAuthenticator(text())(nonce);
    }
    if (tls && tlsNode) all.tls = tlsNode.addTLSOptions({});
    return all;
}
