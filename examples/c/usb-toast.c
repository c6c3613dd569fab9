/* A toast for every USB stick, with the official client for C.
   Run: apt install libnats-dev && cc -o usb-toast usb-toast.c -lnats && ./usb-toast */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void plugged_in(natsConnection *connection, natsSubscription *subscription, natsMsg *msg, void *closure)
{
    (void) subscription;
    (void) closure;
    natsConnection_PublishString(connection, "toast.in", "a USB stick was plugged in!");
    natsMsg_Destroy(msg);
}

int main(void)
{
    natsConnection *connection = NULL;
    natsSubscription *subscription = NULL;
    const char *url = getenv("NATS_URL");
    natsStatus status = natsConnection_ConnectTo(&connection, url ? url : NATS_DEFAULT_URL);

    if (status == NATS_OK)
        status = natsConnection_Subscribe(&subscription, connection, "hardware.usb.add", plugged_in, NULL);
    if (status != NATS_OK) {
        fprintf(stderr, "usb-toast: %s\n", natsStatus_GetText(status));
        return 1;
    }
    for (;;)
        pause();
}
