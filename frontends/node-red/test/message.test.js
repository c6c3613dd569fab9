'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { decode, encode, fromHeaders, subjectOf, toHeaders, token } = require('../lib/message.js');

const bytes = (text) => new TextEncoder().encode(text);

test('payloads are detected, or as they are wanted', () => {
    assert.deepEqual(decode(bytes('{"a":[1]}'), 'auto'), { a: [1] });
    assert.deepEqual(decode(bytes(' [1,2]'), 'auto'), [1, 2]);
    assert.equal(decode(bytes('[not json'), 'auto'), '[not json');
    assert.equal(decode(bytes('17.5'), 'auto'), '17.5');
    assert.equal(decode(bytes('17.5'), 'json'), 17.5);
    assert.deepEqual(decode(new Uint8Array([0xff, 0]), 'auto'), Buffer.from([0xff, 0]));
    assert.deepEqual(decode(bytes('{}'), 'buffer'), Buffer.from('{}'));
    assert.equal(decode(bytes('{}'), 'string'), '{}');
    assert.equal(decode(bytes(''), 'auto'), '');
    assert.throws(() => decode(bytes('no'), 'json'), SyntaxError);
});

test('payloads go out as they are, or as JSON', () => {
    assert.equal(encode(undefined), '');
    assert.equal(encode(null), '');
    assert.equal(encode('text'), 'text');
    assert.deepEqual(encode(Buffer.from([1])), Buffer.from([1]));
    assert.equal(encode({ a: 1 }), '{"a":1}');
    assert.equal(encode(18), '18');
    assert.equal(encode(false), 'false');
});

test('headers go both ways', () => {
    const object = { Status: '404', Several: ['a', 'b'] };
    assert.deepEqual(fromHeaders(toHeaders(object)), object);
    assert.equal(toHeaders({ Number: 7 }).get('Number'), '7');
    assert.equal(toHeaders({}), undefined);
    assert.equal(fromHeaders(undefined), undefined);
    assert.throws(() => toHeaders({ 'no name': 'x' }));
    assert.equal(Object.getPrototypeOf(fromHeaders(toHeaders({ ['__proto__']: 'x', a: 'b' }))), Object.prototype);
});

test('subjects come from the node, or from the message', () => {
    assert.equal(subjectOf({ subject: 'a' }, { topic: 'b' }), 'a');
    assert.equal(subjectOf({ subject: '' }, { topic: 'b' }), 'b');
    assert.throws(() => subjectOf({}, {}), /msg\.topic/);
    assert.equal(token('My disk v1.0>*'), 'My_disk_v1_0__');
    assert.equal(token(''), '_');
});
