nats.subscribe('hardware.usb.add', (msg) => {
    mount(msg.something, '/myplace');
});
nats.subscribe('hardware.usb.remove', (msg) => {
    umount('/myplace');
});
