/* Mounts a USB stick when it is plugged in, and unmounts it when it goes; natsmount does so with more care.
   Run as root: apt install libnats-dev libjson-c-dev
                cc -o automount automount.c -lnats -ljson-c && ./automount /myplace */
#include <json-c/json.h>
#include <nats/nats.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *place = "/myplace";
/* The devpath of the stick that is mounted. Both callbacks belong to one subscription, and so to one thread. */
static char *mounted;

/* No shell: a label may be anything. */
static void run(const char *const *words)
{
    pid_t child;

    if (posix_spawnp(&child, words[0], NULL, NULL, (char *const *) words, environ) == 0)
        waitpid(child, NULL, 0);
    else
        perror(words[0]);
}

static const char *text(json_object *object, const char *key)
{
    json_object *value;

    return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : NULL;
}

static void plugged_in(json_object *stick)
{
    json_object *volumes;
    const char *devpath = text(stick, "devpath");

    if (mounted || !devpath || !json_object_object_get_ex(stick, "volumes", &volumes) ||
        !json_object_is_type(volumes, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(volumes); i++) {
        json_object *volume = json_object_array_get_idx(volumes, i);
        const char *devnode = text(volume, "devnode");

        if (devnode && text(volume, "fstype")) {
            mounted = strdup(devpath);
            run((const char *[]) { "mount", "-o", "nosuid,nodev,noexec", devnode, place, NULL });
            return;
        }
    }
}

static void pulled_out(json_object *stick)
{
    const char *devpath = text(stick, "devpath");

    if (!mounted || !devpath || strcmp(devpath, mounted) != 0)
        return;
    free(mounted);
    mounted = NULL;
    run((const char *[]) { "umount", "--lazy", place, NULL });
}

static void heard(natsConnection *connection, natsSubscription *subscription, natsMsg *msg, void *closure)
{
    const char *subject = natsMsg_GetSubject(msg);
    json_object *stick = json_tokener_parse(natsMsg_GetData(msg));

    (void) connection;
    (void) subscription;
    (void) closure;
    if (stick && strcmp(subject, "hardware.usb.add") == 0)
        plugged_in(stick);
    else if (stick && strcmp(subject, "hardware.usb.remove") == 0)
        pulled_out(stick);
    json_object_put(stick);
    natsMsg_Destroy(msg);
}

int main(int argc, char **argv)
{
    natsConnection *connection = NULL;
    natsSubscription *subscription = NULL;
    const char *url = getenv("NATS_URL");
    natsStatus status = natsConnection_ConnectTo(&connection, url ? url : NATS_DEFAULT_URL);

    if (argc > 1)
        place = argv[1];
    if (status == NATS_OK)
        status = natsConnection_Subscribe(&subscription, connection, "hardware.usb.*", heard, NULL);
    if (status != NATS_OK) {
        fprintf(stderr, "automount: %s\n", natsStatus_GetText(status));
        return 1;
    }
    for (;;)
        pause();
}
