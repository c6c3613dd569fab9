/* It is cold, and you are reading a book: some heat. An MQTT sensor's temperature0 arrives as it is, by way of natsmqtt.
   Run: apt install libnats-dev && cc -o heat heat.c -lnats && ./heat */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void measured(natsConnection *connection, natsSubscription *subscription, natsMsg *msg, void *closure)
{
    (void) subscription;
    (void) closure;
    /* libnats ends every payload with a zero byte. */
    double temperature = strtod(natsMsg_GetData(msg), NULL);
    natsMsg *pid = NULL;

    natsMsg_Destroy(msg);
    if (temperature > 18 || natsConnection_RequestString(&pid, connection, "ps.calibre", "", 2000) != NATS_OK)
        return;
    /* An empty answer: there is no such process. */
    while (natsMsg_GetDataLength(pid) > 0)
        puts("HEAT!");
    natsMsg_Destroy(pid);
}

int main(void)
{
    natsConnection *connection = NULL;
    natsSubscription *subscription = NULL;
    const char *url = getenv("NATS_URL");
    natsStatus status = natsConnection_ConnectTo(&connection, url ? url : NATS_DEFAULT_URL);

    if (status == NATS_OK)
        status = natsConnection_Subscribe(&subscription, connection, "temperature0", measured, NULL);
    if (status != NATS_OK) {
        fprintf(stderr, "heat: %s\n", natsStatus_GetText(status));
        return 1;
    }
    for (;;)
        pause();
}
