'use strict';
// Between what NATS carries and what flows carry: payloads, headers, tokens.

const { headers: newHeaders } = require('@nats-io/transport-node');

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The forms that a payload can be wanted in. */
const FORMATS = ['auto', 'string', 'buffer', 'json'];

/**
 * The bytes of a payload in the form that is wanted: `string`, `buffer`, `json`, or `auto`, which is the value of one
 * JSON object or array, else a string if it is UTF-8, else a buffer. Throws with `json` where it is none.
 */
function decode(bytes, format) {
    const buffer = Buffer.from(bytes);
    if (format === 'buffer') return buffer;
    if (format === 'string') return buffer.toString();
    if (format === 'json') return JSON.parse(buffer.toString());
    let text;
    try {
        text = utf8.decode(buffer);
    } catch {
        return buffer;
    }
    if (/^\s*[[{]/.test(text)) {
        try {
            return JSON.parse(text);
        } catch {
            // Text may begin with a bracket, too.
        }
    }
    return text;
}

/** What is published for a payload: bytes and text as they are, nothing for nothing, JSON for all else. */
function encode(payload) {
    if (payload === undefined || payload === null) return '';
    if (typeof payload === 'string' || payload instanceof Uint8Array) return payload;
    return JSON.stringify(payload);
}

/** Headers as an object: a string for each name, or an array where a name comes several times. */
function fromHeaders(headers) {
    if (!headers) return undefined;
    return Object.fromEntries(
        headers.keys().map((name) => {
            const values = headers.values(name);
            return [name, values.length === 1 ? values[0] : values];
        }),
    );
}

/** The other way. Throws where a name cannot be one. */
function toHeaders(object) {
    if (!object || Object.keys(object).length === 0) return undefined;
    const headers = newHeaders();
    for (const [name, values] of Object.entries(object)) {
        for (const value of [values].flat()) headers.append(name, String(value));
    }
    return headers;
}

/** The subject of a node: its own, or else the message's topic. Throws where there is none. */
function subjectOf(config, message) {
    const subject = config.subject || message.topic;
    if (typeof subject !== 'string' || subject === '') throw new Error('neither the node nor msg.topic has a subject');
    return subject;
}

/** A name as one token of a subject, as docs/subjects.md has it. */
function token(name) {
    return String(name).replace(/[\x00-\x20\x7f.*>]/g, '_') || '_';
}

/** The message that a flow gets for one of NATS. Throws as `decode`. */
function fromNats(msg, format) {
    const message = { topic: msg.subject, payload: decode(msg.data, format) };
    const headers = fromHeaders(msg.headers);
    if (headers) message.headers = headers;
    if (msg.reply) message.reply = msg.reply;
    return message;
}

module.exports = { FORMATS, decode, encode, fromHeaders, fromNats, subjectOf, toHeaders, token };
