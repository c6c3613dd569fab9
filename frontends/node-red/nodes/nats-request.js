'use strict';
const { attend, onInput } = require('../lib/attend.js');
const { ask } = require('../lib/link.js');
const { decode, encode, fromHeaders, subjectOf, toHeaders } = require('../lib/message.js');

module.exports = (RED) => {
    function NatsRequest(config) {
        RED.nodes.createNode(this, config);
        const link = attend(RED, this, config);
        if (!link) return;
        const timeout = Number(config.timeout) || 5000;
        onInput(this, async (message, send) => {
            const headers = toHeaders(message.headers);
            const answer = await ask(link, subjectOf(config, message), encode(message.payload), { timeout, headers });
            message.payload = decode(answer.data, config.format);
            message.headers = fromHeaders(answer.headers);
            send(message);
        });
    }

    RED.nodes.registerType('nats request', NatsRequest);
};
