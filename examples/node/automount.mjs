// The seed's second example: mounts a USB stick when it is plugged in, and unmounts it when it goes.
// Run as root: npm install && node automount.mjs /myplace
// natsmount does the same with more care: names from labels, several volumes, restarts.
import { execFile } from 'node:child_process';
import { connect } from '@nats-io/transport-node';

const place = process.argv[2] ?? '/myplace';
const nats = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });

// No shell: a label may be anything.
const run = (program, ...args) =>
    execFile(program, args, (error) => {
        if (error) console.error(error.message.trim());
    });
let mounted;

nats.subscribe('hardware.usb.add', {
    callback: (_, msg) => {
        const { devpath, volumes } = msg.json();
        const volume = volumes.find(({ fstype }) => fstype);
        if (volume && !mounted) {
            mounted = devpath;
            run('mount', '-o', 'nosuid,nodev,noexec', volume.devnode, place);
        }
    },
});
nats.subscribe('hardware.usb.remove', {
    callback: (_, msg) => {
        if (msg.json().devpath === mounted) {
            mounted = undefined;
            run('umount', '--lazy', place);
        }
    },
});
