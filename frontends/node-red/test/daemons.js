'use strict';
// natsd and its kin for tests: started, killed, started again on the same port.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { connect } = require('@nats-io/transport-node');

const programs = path.dirname(process.env.NATSD ?? 'natsd');
const program = (name) => (programs === '.' ? name : path.join(programs, name));

/** Where files of this run are. */
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'lunix-node-red-'));

const running = new Set();
const clients = [];
process.on('exit', () => {
    running.forEach((child) => child.kill('SIGKILL'));
    fs.rmSync(scratch, { recursive: true, force: true });
});

/** Starts a program; what it says is part of the test's output where `$VERBOSE` is set. */
function start(name, args = [], options = {}) {
    const stdio = ['ignore', process.env.VERBOSE ? 'inherit' : 'ignore', process.env.VERBOSE ? 'inherit' : 'ignore'];
    const child = spawn(name.includes('/') ? name : program(name), args, { stdio, ...options });
    running.add(child);
    child.on('exit', () => running.delete(child));
    return child;
}

/** Ends it and waits until it is gone. */
async function end(child, signal = 'SIGTERM') {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
}

/** Ends all of them, and what is connected to them. */
async function endAll() {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await Promise.all([...running].map((child) => end(child)));
}

/** A port that nobody has. */
async function freePort() {
    // Below those that the kernel gives to who connects: nobody has it by chance, also while the server is down.
    const port = 20_000 + Math.floor(12_000 * Math.random());
    const probe = net.createServer().listen(port, '127.0.0.1');
    const isFree = await new Promise((resolve) => probe.once('listening', () => resolve(true)).once('error', () => resolve(false)));
    probe.close();
    return isFree ? port : freePort();
}

class Natsd {
    /** A server with these lines of configuration. */
    static async start(config = '') {
        const natsd = new Natsd();
        natsd.port = await freePort();
        natsd.monitor = await freePort();
        natsd.url = `nats://127.0.0.1:${natsd.port}`;
        natsd.file = path.join(scratch, `natsd-${natsd.port}.conf`);
        fs.writeFileSync(natsd.file, config);
        await natsd.again();
        return natsd;
    }

    /** Starts it where it was. */
    async again() {
        const socket = path.join(scratch, `natsd-${this.port}.sock`);
        const ports = ['-a', '127.0.0.1', '-p', `${this.port}`, '-m', `${this.monitor}`];
        this.child = start('natsd', ['-c', this.file, ...ports, '--socket', socket]);
        await until(() => listens(this.port), 'natsd listens');
    }

    /** As a crash ends it. */
    kill() {
        return end(this.child, 'SIGKILL');
    }

    /** A client of it, beside Node-RED's. */
    async client(options) {
        const client = await connect({ servers: this.url, maxReconnectAttempts: -1, reconnectTimeWait: 100, ...options });
        clients.push(client);
        return client;
    }
}

function listens(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => resolve(true));
        socket.on('error', () => resolve(false)).on('connect', () => socket.end());
    });
}

/** Waits until `holds` gives something true, and gives it. */
async function until(holds, what) {
    const deadline = Date.now() + 60_000;
    for (;;) {
        const value = await holds();
        if (value) return value;
        if (Date.now() > deadline) throw new Error(`not within 60 s: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

/** What is heard on a subject, in order. */
function record(connection, subject) {
    const heard = [];
    connection.subscribe(subject, { callback: (error, msg) => error ?? heard.push(msg) });
    return heard;
}

module.exports = { Natsd, end, endAll, freePort, record, scratch, start, until };
