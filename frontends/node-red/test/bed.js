'use strict';
// Node-RED's test bed with all nodes of this package.

const helper = require('node-red-node-test-helper');
const { once } = require('node:events');
const { until } = require('./daemons.js');
const manifest = require('../package.json');

helper.init(require.resolve('node-red'));

const all = Object.values(manifest['node-red'].nodes).map((file) => require(`../${file}`));
all.push(require('@node-red/nodes/core/network/05-tls.js'));

/** Loads a flow whose nodes have the server `s` at `url`, and waits until they are connected. */
async function load(url, flow, server = {}, credentials = {}) {
    const nodes = flow.map((node) => (node.type === 'tls-config' ? node : { server: 's', wires: [], ...node }));
    await helper.load(all, [{ id: 's', type: 'lunix-server', servers: url, ...server }, ...nodes], credentials);
}

/** Waits until the server's nodes are connected. */
const connected = (id) => until(() => dot(id)?.text === 'connected', `${id} is connected`);

/** The calls of a node's method; the test bed counts those of all nodes together. */
const calls = (id, method) => {
    const node = helper.getNode(id);
    return node[method].getCalls().filter(({ thisValue }) => thisValue === node);
};

/** What a node shows. */
const dot = (id) => calls(id, 'status').at(-1)?.args[0];

/** What a node warns of. */
const warnings = (id) => calls(id, 'warn').map(({ args }) => args[0]);

/** The next message that a node gets. */
const next = async (id) => (await once(helper.getNode(id), 'input'))[0];

/** The next error of a node. */
async function error(id) {
    const before = calls(id, 'error').length;
    const call = await until(() => calls(id, 'error')[before], `${id} complains`);
    return String(call.args[0].message ?? call.args[0]);
}

module.exports = { connected, dot, error, helper, load, next, warnings };
