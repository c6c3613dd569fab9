'use strict';
// How a node comes to its connection, and shows that it cannot.

/** Shows on the node that it cannot do its work, and why. */
function failed(node, error) {
    const text = error.message || String(error);
    node.status({ fill: 'red', shape: 'dot', text });
    node.error(text);
}

/** The connection of the node's server; undefined, and shown, where none is chosen. */
function attend(RED, node, config) {
    const server = RED.nodes.getNode(config.server);
    if (!server) failed(node, new Error('no server is chosen'));
    return server?.attend(node);
}

/** Calls `act` with each message that the node gets; what it throws is the message's error, for `catch` nodes. */
function onInput(node, act) {
    node.on('input', async (message, send, done) => {
        try {
            await act(message, send);
            done();
        } catch (error) {
            done(error);
        }
    });
}

module.exports = { attend, failed, onInput };
