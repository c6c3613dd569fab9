'use strict';
const { attend, failed } = require('../lib/attend.js');
const { fromNats } = require('../lib/message.js');

module.exports = (RED) => {
    function NatsIn(config) {
        RED.nodes.createNode(this, config);
        const link = attend(RED, this, config);
        if (!link) return;
        const heard = (msg) => {
            try {
                this.send(fromNats(msg, config.format));
            } catch (error) {
                this.error(`on '${msg.subject}': ${error.message}`, { topic: msg.subject, payload: Buffer.from(msg.data) });
            }
        };
        this.on('close', link.subscribe(config.subject, config.queue, heard, (error) => failed(this, error)));
    }

    RED.nodes.registerType('nats in', NatsIn);
};
