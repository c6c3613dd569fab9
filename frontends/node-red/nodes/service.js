'use strict';
const { attend, failed, onInput } = require('../lib/attend.js');
const { askDaemon } = require('../lib/link.js');
const { token } = require('../lib/message.js');

const STATES = ['starting', 'ready', 'stopping', 'stopped', 'failed', 'backoff'];
const ACTIONS = ['start', 'stop', 'restart', 'reload', 'status', 'usage'];

module.exports = (RED) => {
    function Service(config) {
        RED.nodes.createNode(this, config);
        const link = attend(RED, this, config);
        if (!link) return;

        onInput(this, async (message, send) => {
            const action = config.action || message.action;
            const service = config.service || message.service;
            if (!ACTIONS.includes(action)) {
                throw new Error(`action: expected one of ${ACTIONS.join(', ')}, found '${action}'`);
            }
            if (!service) throw new Error('neither the node nor msg.service names a service');
            const topic = `service.${token(service)}.${action}`;
            const payload = await askDaemon(link, topic);
            send([{ ...message, topic, payload }, null]);
        });

        // Nobody listens to the second output: nothing to subscribe to.
        if (!this.wires?.[1]?.length) return;
        const subject = `service.${config.service ? token(config.service) : '*'}.*`;
        const heard = (msg) => {
            const state = msg.subject.split('.')[2];
            // Requests and log lines have subjects of the same form.
            if (!STATES.includes(state)) return;
            try {
                this.send([null, { topic: msg.subject, payload: msg.json() }]);
            } catch (error) {
                this.error(`on '${msg.subject}': ${error.message}`);
            }
        };
        this.on('close', link.subscribe(subject, '', heard, (error) => failed(this, error)));
    }

    RED.nodes.registerType('service', Service);
};
