/* Your phone is connected over bluetooth: a terminal opens on your desktop.
   Run: apt install libnats-dev && cc -o phone-terminal phone-terminal.c -lnats && ./phone-terminal */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void connected(natsConnection *connection, natsSubscription *subscription, natsMsg *msg, void *closure)
{
    (void) subscription;
    (void) closure;
    natsConnection_PublishString(connection, "wm.exec", "xterm");
    natsMsg_Destroy(msg);
}

int main(void)
{
    natsConnection *connection = NULL;
    natsSubscription *subscription = NULL;
    const char *url = getenv("NATS_URL");
    natsStatus status = natsConnection_ConnectTo(&connection, url ? url : NATS_DEFAULT_URL);

    if (status == NATS_OK)
        status = natsConnection_Subscribe(&subscription, connection, "bluetooth.connected", connected, NULL);
    if (status != NATS_OK) {
        fprintf(stderr, "phone-terminal: %s\n", natsStatus_GetText(status));
        return 1;
    }
    for (;;)
        pause();
}
