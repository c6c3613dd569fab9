'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Devices } = require('../lib/devices.js');

const stick = { devpath: '/devices/usb1/1-1', port: '1-1', class: 'storage' };
const disk = { devpath: '/devices/sda', class: 'block' };
const shown = (events) => events.map(({ class: of, action, device }) => `${of} ${action} ${device.devpath}`);

test('what is present comes out first where it is wanted', () => {
    const devices = new Devices(true);
    devices.asking();
    assert.deepEqual(shown(devices.listed([stick, disk])), ['usb add /devices/usb1/1-1', 'block add /devices/sda']);
});

test('what is present is only remembered otherwise', () => {
    const devices = new Devices(false);
    devices.asking();
    assert.deepEqual(devices.listed([stick]), []);
    assert.deepEqual(devices.said('usb', 'add', { ...stick, again: true }), []);
    assert.deepEqual(shown(devices.said('usb', 'remove', stick)), ['usb remove /devices/usb1/1-1']);
    assert.deepEqual(shown(devices.said('usb', 'add', stick)), ['usb add /devices/usb1/1-1']);
});

test('what is said while the list is on its way comes once', () => {
    const devices = new Devices(false);
    devices.asking();
    assert.deepEqual(devices.said('usb', 'add', stick), []);
    assert.deepEqual(devices.said('block', 'add', { ...disk, again: true }), []);
    assert.deepEqual(shown(devices.listed([stick, disk])), ['usb add /devices/usb1/1-1']);
});

test('what came and went while the server was away is told', () => {
    const devices = new Devices(false);
    devices.asking();
    devices.listed([stick]);
    devices.asking();
    assert.deepEqual(shown(devices.listed([disk])), ['usb remove /devices/usb1/1-1', 'block add /devices/sda']);
});

test('a natsdev that starts anew repeats what is known, and what it does not repeat is gone', () => {
    const devices = new Devices(false);
    devices.asking();
    devices.listed([stick, disk]);
    devices.begin();
    assert.deepEqual(devices.said('usb', 'add', stick), []);
    assert.deepEqual(shown(devices.end()), ['block remove /devices/sda']);
});

test('a natsdev that comes later introduces what is present', () => {
    for (const [presentToo, expected] of [
        [false, []],
        [true, ['usb add /devices/usb1/1-1']],
    ]) {
        const devices = new Devices(presentToo);
        devices.asking();
        assert.deepEqual(devices.unanswered(), []);
        devices.begin();
        assert.deepEqual(shown(devices.said('usb', 'add', stick)), expected);
        assert.deepEqual(devices.end(), []);
        assert.deepEqual(shown(devices.said('block', 'add', disk)), ['block add /devices/sda']);
    }
});

test('an event that somebody makes by hand counts each time', () => {
    const devices = new Devices(false);
    devices.asking();
    devices.unanswered();
    const event = { model: 'none at all' };
    assert.equal(devices.said('usb', 'add', event).length, 1);
    assert.equal(devices.said('usb', 'add', event).length, 1);
    assert.equal(devices.said('usb', 'change', event).length, 1);
});
