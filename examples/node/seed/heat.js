mqtt.subscribe('temperature0', (temp) => {
    if (temp <= 18) {
        nats.request('ps.calibre', (pid) => {
            while (1) {
                console.log('HEAT!');
            }
        });
    }
});
