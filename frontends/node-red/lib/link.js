'use strict';
// One connection to a NATS server, for all the nodes that share it: it is looked for until it is there, and again when it
// is lost; subscriptions outlive it.

const { EventEmitter } = require('node:events');
const { connect, errors } = require('@nats-io/transport-node');

// Milliseconds between two attempts; up to as many more, so that not all clients of a server come back at once.
const PAUSE = 500;
// What a server may take to greet, and to hear the last of us; Node-RED gives a node 15 s to end.
const GREETING = 5000;
const FAREWELL = 2000;

/**
 * Emits `state` (one of `connecting`, `connected`, `reconnecting`, `closed`) when it changes, `connected` after each
 * connecting, and `problem` with an error that concerns no single subscription.
 */
class Link extends EventEmitter {
    #options;
    #subscriptions = new Set();
    #connection;
    #running;
    #lastProblem;
    #stopping = new AbortController();

    /** `options` are those of `connect`; how to reconnect is decided here. */
    constructor(options) {
        super();
        this.setMaxListeners(0);
        this.state = 'connecting';
        this.#options = {
            ...options,
            reconnect: true,
            maxReconnectAttempts: -1,
            // Whoever was refused may be let in after the server's next reload.
            ignoreAuthErrorAbort: true,
            timeout: GREETING,
            reconnectTimeWait: PAUSE,
            reconnectJitter: PAUSE,
            reconnectJitterTLS: PAUSE,
        };
    }

    /** Begins to connect, the first time that it is called. */
    start() {
        this.#running ??= this.#run();
    }

    /** Says what is left to say, and closes. */
    async stop() {
        this.#stopping.abort();
        const connection = this.#connection;
        if (this.state === 'connected') await within(FAREWELL, connection.drain());
        // Without a server there is nobody to drain to, and one that has just gone answers no more.
        if (connection && !connection.isClosed()) await connection.close();
        await this.#running;
        this.#say('closed');
    }

    /**
     * The connection. Throws where there is none: nothing is queued here, for what is published an hour late is
     * mostly worse than what its sender knows to be lost.
     */
    get connection() {
        if (this.state !== 'connected') throw new Error('no server is there');
        return this.#connection;
    }

    /**
     * Calls `heard` with each message on `subject`, whenever a server is there, and `failed` with the reason where the
     * server or the client refuses the subscription. `queue` may be empty. Returns what ends it.
     */
    subscribe(subject, queue, heard, failed) {
        const subscription = { subject, queue, heard, failed };
        this.#subscriptions.add(subscription);
        if (this.#connection) this.#attach(subscription);
        return () => {
            this.#subscriptions.delete(subscription);
            if (this.#connection && !this.#connection.isClosed()) subscription.active?.unsubscribe();
        };
    }

    /** Calls `act` now if a server is there, and after each connecting. Returns what ends it. */
    whenConnected(act) {
        this.on('connected', act);
        if (this.state === 'connected') act();
        return () => this.off('connected', act);
    }

    #attach(subscription) {
        const { subject, queue, heard, failed } = subscription;
        try {
            subscription.active = this.#connection.subscribe(subject, {
                queue: queue || undefined,
                callback: (error, msg) => (error ? failed(error) : heard(msg)),
            });
        } catch (error) {
            failed(error);
        }
    }

    async #run() {
        const { signal } = this.#stopping;
        while (!signal.aborted) {
            try {
                this.#connection = await connect(this.#options);
            } catch (error) {
                this.#problem(error);
                await pause(PAUSE * (1 + Math.random()), signal);
                continue;
            }
            if (signal.aborted) await this.#connection.close();
            this.#subscriptions.forEach((subscription) => (subscription.active = undefined));
            const statuses = this.#connection.status();
            this.#connected();
            for await (const status of statuses) this.#heed(status);
            this.#connection = undefined;
            if (!signal.aborted) this.#say('reconnecting');
        }
    }

    #heed({ type, error }) {
        if (type === 'reconnect') this.#connected();
        else if (type === 'disconnect') this.#say('reconnecting');
        else if (type === 'error' && error.operation !== 'subscription') this.#problem(error);
    }

    #connected() {
        this.#lastProblem = undefined;
        this.#say('connected');
        // The client itself subscribes again, but for what was refused; that may be allowed now.
        for (const subscription of this.#subscriptions) {
            if (subscription.active?.isClosed() ?? true) this.#attach(subscription);
        }
        this.emit('connected');
    }

    // The same one is told once, not at each attempt.
    #problem(error) {
        const text = error.message || String(error);
        if (text !== this.#lastProblem) this.emit('problem', text);
        this.#lastProblem = text;
    }

    #say(state) {
        if (state !== this.state) this.emit('state', (this.state = state));
    }
}

/** Waits so many milliseconds, or until `signal` is aborted. */
function pause(milliseconds, signal) {
    return new Promise((resolve) => {
        const end = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', end);
            resolve();
        };
        const timer = setTimeout(end, milliseconds);
        signal.addEventListener('abort', end);
    });
}

/** Waits for a promise, whatever becomes of it, but not longer than so many milliseconds. */
async function within(milliseconds, promise) {
    const done = new AbortController();
    await Promise.race([promise.catch(() => {}), pause(milliseconds, done.signal)]);
    done.abort();
}

/** Asks, and gives the answer's message. Throws what a person can read. */
async function ask(link, subject, payload, { timeout = 5000, headers } = {}) {
    try {
        return await link.connection.request(subject, payload, { timeout, headers });
    } catch (error) {
        // Where nobody listens, the client has the server's refusal as the cause of its own.
        if (error instanceof errors.NoRespondersError || error.cause instanceof errors.NoRespondersError) {
            throw new Error(`nobody answers on '${subject}'`);
        }
        if (error instanceof errors.TimeoutError) throw new Error(`no answer on '${subject}' within ${timeout} ms`);
        throw error;
    }
}

/** Asks one of lunix's daemons: gives what its answer says, or throws what it refuses with. */
async function askDaemon(link, subject, request) {
    const answer = await ask(link, subject, request === undefined ? '' : JSON.stringify(request));
    const refusal = answer.headers?.get('Nats-Service-Error');
    const value = refusal ? { error: refusal } : answer.json();
    if (value?.error) throw new Error(value.error);
    return value;
}

module.exports = { Link, ask, askDaemon };
