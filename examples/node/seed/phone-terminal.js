nats.subscribe('bluetooth.connected', (msg) => {
    nats.publish('wm.something', 'xterm');
});
