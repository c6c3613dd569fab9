'use strict';
const { attend, failed, onInput } = require('../lib/attend.js');
const { askDaemon } = require('../lib/link.js');

// natstoast shows 32 and has 32 wait: more cannot be open.
const OPEN = 64;

module.exports = (RED) => {
    function Toast(config) {
        RED.nodes.createNode(this, config);
        const link = attend(RED, this, config);
        if (!link) return;
        // The messages that toasts were made of, by id; what is chosen comes out with them.
        const open = new Map();

        onInput(this, async (message, send) => {
            const { id } = await askDaemon(link, 'toast.in', request(config, message));
            open.delete(id);
            open.set(id, message);
            if (open.size > OPEN) open.delete(open.keys().next().value);
            send([{ ...message, payload: { id }, toast: id }, null]);
        });

        const chosen = ({ id, action }, subject) => {
            if (open.has(id)) this.send([null, { ...open.get(id), topic: subject, payload: action, toast: id }]);
        };
        const closed = ({ id, reason }) => {
            // What replaces a toast has its id.
            if (reason !== 'replaced') open.delete(id);
        };
        const listen = (subject, heard) =>
            link.subscribe(subject, '', (msg) => json(msg, heard), (error) => failed(this, error));
        const ends = [listen('toast.action', chosen), listen('toast.closed', closed)];
        this.on('close', () => ends.forEach((end) => end()));
    }

    RED.nodes.registerType('toast', Toast);
};

/** Whoever may publish here may publish nonsense. */
function json(msg, heard) {
    let value;
    try {
        value = msg.json();
    } catch {
        return;
    }
    if (value && typeof value === 'object') heard(value, msg.subject);
}

/** What `toast.in` takes: what the node says, under what the payload says. `message.toast` is replaced. */
function request(config, { payload, toast }) {
    const own = {
        app: 'node-red',
        urgency: config.urgency || undefined,
        icon: config.icon || undefined,
        timeout_ms: config.timeout === '' || config.timeout === undefined ? undefined : Number(config.timeout),
        actions: actions(config.actions),
        replaces: toast,
    };
    if (payload && typeof payload === 'object' && !Buffer.isBuffer(payload)) {
        return { summary: config.summary || undefined, ...own, ...payload };
    }
    const text = payload === undefined || payload === null ? '' : String(payload);
    if (config.summary) return { ...own, summary: config.summary, body: text || undefined };
    const [summary, ...rest] = text.trim().split('\n');
    if (!summary) throw new Error('neither the node nor msg.payload has a text');
    return { ...own, summary, body: rest.join('\n').trim() || undefined };
}

/** `open:Open it, Later`: ids and labels, or what is both. */
function actions(text) {
    const all = (text ?? '').split(',').map((action) => action.trim());
    const some = all.filter(Boolean).map((action) => {
        const [id, ...label] = action.split(':').map((part) => part.trim());
        return label.length ? { id, label: label.join(':') } : { id };
    });
    return some.length ? some : undefined;
}
