'use strict';
const { attend, onInput } = require('../lib/attend.js');
const { encode, toHeaders } = require('../lib/message.js');

module.exports = (RED) => {
    function NatsRespond(config) {
        RED.nodes.createNode(this, config);
        const link = attend(RED, this, config);
        if (!link) return;
        onInput(this, (message) => {
            // What was published and not asked wants no answer.
            if (!message.reply) return;
            link.connection.publish(message.reply, encode(message.payload), { headers: toHeaders(message.headers) });
        });
    }

    RED.nodes.registerType('nats respond', NatsRespond);
};
