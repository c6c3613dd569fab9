'use strict';
const { attend, failed } = require('../lib/attend.js');
const { Devices } = require('../lib/devices.js');
const { askDaemon } = require('../lib/link.js');
const { token } = require('../lib/message.js');

module.exports = (RED) => {
    function Hardware(config) {
        RED.nodes.createNode(this, config);
        const link = attend(RED, this, config);
        if (!link) return;
        const className = config.class ? token(config.class) : '*';
        const devices = new Devices(config.present);
        const tell = (events) =>
            events
                .filter(({ action }) => !config.action || config.action === action)
                .forEach(({ class: of, action, device }) => this.send({ topic: `hardware.${of}.${action}`, payload: device }));

        const heard = (msg) => {
            const [, of, action] = msg.subject.split('.');
            if (of === 'snapshot' && action === 'begin') return devices.begin();
            if (of === 'snapshot' && action === 'end') return tell(devices.end());
            // `list` is asked on a subject of the same form.
            if (!['add', 'remove', 'change'].includes(action)) return;
            let device;
            try {
                device = msg.json();
            } catch (error) {
                return this.error(`on '${msg.subject}': ${error.message}`);
            }
            if (device && typeof device === 'object') tell(devices.said(of, action, device));
        };
        const refresh = async () => {
            devices.asking();
            try {
                const list = className === '*' ? 'hardware.list' : `hardware.${className}.list`;
                tell(devices.listed(await askDaemon(link, list)));
            } catch (error) {
                // natsdev may come later; it says then what is present.
                this.debug(error.message);
                tell(devices.unanswered());
            }
        };
        const subjects = [`hardware.${className}.*`];
        if (className !== '*') subjects.push('hardware.snapshot.*');
        const ends = subjects.map((subject) => link.subscribe(subject, '', heard, (error) => failed(this, error)));
        // After the subscriptions: what happens between them and the answer is heard.
        ends.push(link.whenConnected(refresh));
        this.on('close', () => ends.forEach((end) => end()));
    }

    RED.nodes.registerType('hardware', Hardware);
};
