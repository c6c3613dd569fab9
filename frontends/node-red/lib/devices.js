'use strict';
// Which devices are present, from what natsdev says: each comes and goes once, however often natsdev, the server or
// the flow starts anew (docs/subjects.md, natsdev).

const { token } = require('./message.js');

/** The class in the subject of a device of a list; only USB devices have a port, and their `class` is another thing. */
const classOf = (device) => (typeof device.port === 'string' ? 'usb' : token(device.class));

class Devices {
    #present = new Map();
    // What is present already comes out as well.
    #presentToo;
    // What was said while the list was on its way.
    #early;
    // The paths that were said since `hardware.snapshot.begin`.
    #snapshot;

    /** `presentToo`: the devices that are present at the beginning come out, too. */
    constructor(presentToo) {
        this.#presentToo = presentToo;
    }

    /** The list is asked for. */
    asking() {
        this.#early = [];
        this.#snapshot = undefined;
    }

    /** The list is not to be had. */
    unanswered() {
        return this.#later();
    }

    /** The list is here: `devices` are all that are listened to. Gives what comes out: `{class, action, device}`s. */
    listed(devices) {
        const listed = new Map(devices.map((device) => [device.devpath, { class: classOf(device), device }]));
        // The list has what was only repeated; what is news was counted into the list, but is to come out itself.
        this.#early = this.#early?.filter(({ repeated }) => !repeated) ?? [];
        const news = new Set(this.#early.map(({ device }) => device.devpath));
        const out = this.#gone((devpath) => listed.has(devpath) || news.has(devpath));
        for (const [devpath, found] of listed) {
            if (!news.has(devpath)) out.push(...this.#count({ ...found, action: 'add', repeated: true }));
        }
        this.#presentToo = true;
        return [...out, ...this.#later()];
    }

    /** `hardware.<class>.<action>` was said. Gives what comes out. */
    said(className, action, device) {
        this.#snapshot?.add(device.devpath);
        const repeated = device.again === true || this.#snapshot !== undefined;
        const event = { class: className, action, device, repeated };
        if (!this.#early) return this.#count(event);
        this.#early.push(event);
        return [];
    }

    /** `hardware.snapshot.begin`: all that is present follows. */
    begin() {
        this.#snapshot = new Set();
    }

    /** `hardware.snapshot.end`: what was not said since then is gone. */
    end() {
        const said = this.#snapshot;
        this.#snapshot = undefined;
        if (!said || this.#early) return [];
        this.#presentToo = true;
        return this.#gone((devpath) => said.has(devpath));
    }

    #count({ class: className, action, device, repeated }) {
        const { devpath } = device;
        const known = this.#present.has(devpath);
        if (action === 'remove') this.#present.delete(devpath);
        else if (devpath !== undefined) this.#present.set(devpath, { class: className, device });
        const out = action === 'add' && repeated ? !known && this.#presentToo : !repeated;
        return out ? [{ class: className, action, device }] : [];
    }

    #gone(stays) {
        const gone = [...this.#present].filter(([devpath]) => !stays(devpath));
        gone.forEach(([devpath]) => this.#present.delete(devpath));
        return gone.map(([, known]) => ({ ...known, action: 'remove' }));
    }

    #later() {
        const early = this.#early ?? [];
        this.#early = undefined;
        return early.flatMap((event) => this.#count(event));
    }
}

module.exports = { Devices };
