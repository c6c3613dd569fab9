'use strict';
const { attend, onInput } = require('../lib/attend.js');
const { encode, subjectOf, toHeaders } = require('../lib/message.js');

module.exports = (RED) => {
    function NatsOut(config) {
        RED.nodes.createNode(this, config);
        const link = attend(RED, this, config);
        if (!link) return;
        onInput(this, (message) => {
            link.connection.publish(subjectOf(config, message), encode(message.payload), {
                headers: toHeaders(message.headers),
            });
        });
    }

    RED.nodes.registerType('nats out', NatsOut);
};
