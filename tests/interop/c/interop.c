/* nats.c does what its users do, against the server of the first argument. */

#include <arpa/inet.h>
#include <nats/nats.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *url;
static char why[256];

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            snprintf(why, sizeof why, "line %d: %s", __LINE__, #condition);           \
            return false;                                                             \
        }                                                                             \
    } while (0)
#define OK(call) CHECK((call) == NATS_OK)

enum { PATIENCE_MS = 30000 };

static bool pub_sub(natsConnection *nc) {
    natsSubscription *sub;
    OK(natsConnection_SubscribeSync(&sub, nc, "greet.*"));
    for (int i = 0; i < 100; i++) {
        OK(natsConnection_Publish(nc, "greet.all", &i, sizeof i));
    }
    for (int i = 0; i < 100; i++) {
        natsMsg *msg;
        OK(natsSubscription_NextMsg(&msg, sub, PATIENCE_MS));
        CHECK(strcmp(natsMsg_GetSubject(msg), "greet.all") == 0);
        CHECK(memcmp(natsMsg_GetData(msg), &i, sizeof i) == 0);
        natsMsg_Destroy(msg);
    }
    natsSubscription_Destroy(sub);
    return true;
}

static bool wildcards(natsConnection *nc) {
    natsSubscription *tail, *star;
    const char *subjects[] = {"a", "a.b", "a.b.c", "a.b.c.d"};
    uint64_t count;
    OK(natsConnection_SubscribeSync(&tail, nc, "a.>"));
    OK(natsConnection_SubscribeSync(&star, nc, "a.*.c"));
    for (int i = 0; i < 4; i++) {
        OK(natsConnection_PublishString(nc, subjects[i], ""));
    }
    OK(natsConnection_Flush(nc));
    OK(natsSubscription_QueuedMsgs(tail, &count));
    CHECK(count == 3);
    OK(natsSubscription_QueuedMsgs(star, &count));
    CHECK(count == 1);
    natsSubscription_Destroy(tail);
    natsSubscription_Destroy(star);
    return true;
}

static void answer(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure) {
    (void)sub, (void)closure;
    natsConnection_Publish(nc, natsMsg_GetReply(msg), natsMsg_GetData(msg), natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static bool request_reply(natsConnection *nc) {
    natsSubscription *sub;
    OK(natsConnection_Subscribe(&sub, nc, "echo", answer, NULL));
    for (int i = 0; i < 20; i++) {
        natsMsg *msg;
        OK(natsConnection_RequestString(&msg, nc, "echo", "hello", PATIENCE_MS));
        CHECK(natsMsg_GetDataLength(msg) == 5 && memcmp(natsMsg_GetData(msg), "hello", 5) == 0);
        natsMsg_Destroy(msg);
    }
    natsSubscription_Destroy(sub);
    return true;
}

static bool headers(natsConnection *nc) {
    natsSubscription *sub;
    natsMsg *msg;
    const char *value;
    CHECK(natsConnection_HasHeaderSupport(nc) == NATS_OK);
    OK(natsConnection_SubscribeSync(&sub, nc, "headed"));
    OK(natsMsg_Create(&msg, "headed", NULL, "body", 4));
    OK(natsMsgHeader_Set(msg, "Name", "value"));
    OK(natsConnection_PublishMsg(nc, msg));
    natsMsg_Destroy(msg);
    OK(natsSubscription_NextMsg(&msg, sub, PATIENCE_MS));
    OK(natsMsgHeader_Get(msg, "Name", &value));
    CHECK(strcmp(value, "value") == 0 && natsMsg_GetDataLength(msg) == 4);
    natsMsg_Destroy(msg);
    natsSubscription_Destroy(sub);
    return true;
}

static bool no_responders(natsConnection *nc) {
    natsMsg *msg = NULL;
    CHECK(natsConnection_RequestString(&msg, nc, "nobody.listens", "", PATIENCE_MS) == NATS_NO_RESPONDERS);
    return true;
}

static bool queue_groups(natsConnection *nc) {
    natsSubscription *members[4];
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        OK(natsConnection_QueueSubscribeSync(&members[i], nc, "work", "workers"));
    }
    for (int i = 0; i < 400; i++) {
        OK(natsConnection_PublishString(nc, "work", ""));
    }
    OK(natsConnection_Flush(nc));
    for (int i = 0; i < 4; i++) {
        uint64_t count;
        OK(natsSubscription_QueuedMsgs(members[i], &count));
        CHECK(count > 50 && count < 150);
        sum += count;
        natsSubscription_Destroy(members[i]);
    }
    CHECK(sum == 400);
    return true;
}

static bool drain(natsConnection *nc) {
    natsSubscription *sub;
    natsMsg *msg;
    OK(natsConnection_SubscribeSync(&sub, nc, "drained"));
    for (int i = 0; i < 50; i++) {
        OK(natsConnection_PublishString(nc, "drained", ""));
    }
    OK(natsConnection_Flush(nc));
    OK(natsSubscription_Drain(sub));
    for (int i = 0; i < 50; i++) {
        OK(natsSubscription_NextMsg(&msg, sub, PATIENCE_MS));
        natsMsg_Destroy(msg);
    }
    OK(natsSubscription_WaitForDrainCompletion(sub, PATIENCE_MS));
    CHECK(natsSubscription_NextMsg(&msg, sub, 100) != NATS_OK);
    natsSubscription_Destroy(sub);
    return true;
}

static bool unsubscribe_max(natsConnection *nc) {
    natsSubscription *sub;
    natsMsg *msg;
    OK(natsConnection_SubscribeSync(&sub, nc, "limited"));
    OK(natsSubscription_AutoUnsubscribe(sub, 3));
    for (int i = 0; i < 10; i++) {
        OK(natsConnection_PublishString(nc, "limited", ""));
    }
    OK(natsConnection_Flush(nc));
    for (int i = 0; i < 3; i++) {
        OK(natsSubscription_NextMsg(&msg, sub, PATIENCE_MS));
        natsMsg_Destroy(msg);
    }
    CHECK(natsSubscription_NextMsg(&msg, sub, 200) != NATS_OK);
    natsSubscription_Destroy(sub);
    return true;
}

static bool max_payload(natsConnection *nc) {
    natsSubscription *sub;
    natsMsg *msg;
    int64_t max = natsConnection_GetMaxPayload(nc);
    char *body = calloc(1, (size_t)max + 1);
    CHECK(body != NULL && max == 1 << 20);
    OK(natsConnection_SubscribeSync(&sub, nc, "large"));
    OK(natsConnection_Publish(nc, "large", body, (int)max));
    OK(natsSubscription_NextMsg(&msg, sub, PATIENCE_MS));
    CHECK(natsMsg_GetDataLength(msg) == max);
    CHECK(natsConnection_Publish(nc, "large", body, (int)max + 1) == NATS_MAX_PAYLOAD);
    free(body);
    natsMsg_Destroy(msg);
    natsSubscription_Destroy(sub);
    return true;
}

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(probe, (struct sockaddr *)&address, length) != 0 ||
        getsockname(probe, (struct sockaddr *)&address, &length) != 0) {
        address.sin_port = 0;
    }
    close(probe);
    return ntohs(address.sin_port);
}

static pid_t start(int port) {
    pid_t pid = fork();
    if (pid == 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", port);
        execl(getenv("NATSD"), "natsd", "-a", "127.0.0.1", "-p", text, "--socket", "none", "-l", "/dev/null", NULL);
        _exit(127);
    }
    return pid;
}

static void reconnected(natsConnection *nc, void *closure) {
    (void)nc;
    *(volatile bool *)closure = true;
}

static bool reconnect(natsConnection *unused) {
    (void)unused;
    natsConnection *nc = NULL;
    natsOptions *options;
    natsSubscription *sub;
    natsMsg *msg;
    volatile bool back = false;
    char place[64];
    int port = free_port();
    pid_t server = start(port);
    snprintf(place, sizeof place, "nats://127.0.0.1:%d", port);
    OK(natsOptions_Create(&options));
    OK(natsOptions_SetURL(options, place));
    OK(natsOptions_SetReconnectWait(options, 50));
    OK(natsOptions_SetMaxReconnect(options, -1));
    OK(natsOptions_SetReconnectedCB(options, reconnected, (void *)&back));
    for (int left = 600; natsConnection_Connect(&nc, options) != NATS_OK; left--) {
        CHECK(left > 0);
        nats_Sleep(50);
    }
    OK(natsConnection_SubscribeSync(&sub, nc, "again"));
    OK(natsConnection_Flush(nc));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = start(port);
    for (int left = 600; !back; left--) {
        CHECK(left > 0);
        nats_Sleep(50);
    }
    OK(natsConnection_PublishString(nc, "again", "hello"));
    OK(natsSubscription_NextMsg(&msg, sub, PATIENCE_MS));
    natsMsg_Destroy(msg);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(nc);
    natsOptions_Destroy(options);
    kill(server, SIGTERM);
    int status = -1;
    waitpid(server, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return true;
}

static const struct {
    const char *name;
    bool (*run)(natsConnection *nc);
} tests[] = {
    {"pub_sub", pub_sub},           {"wildcards", wildcards},   {"request_reply", request_reply},
    {"headers", headers},           {"no_responders", no_responders}, {"queue_groups", queue_groups},
    {"drain", drain},               {"unsubscribe_max", unsubscribe_max}, {"max_payload", max_payload},
    {"reconnect", reconnect},
};

int main(int argc, char **argv) {
    int failed = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: interop URL\n");
        return 2;
    }
    url = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        natsConnection *nc = NULL;
        if (tests[i].run == reconnect && getenv("NATSD") == NULL) {
            printf("SKIPPED c reconnect: $NATSD is not set\n");
            continue;
        }
        if (natsConnection_ConnectTo(&nc, url) != NATS_OK) {
            printf("FAILED c %s: no connection\n", tests[i].name);
            failed++;
            continue;
        }
        if (tests[i].run(nc)) {
            printf("ok c %s\n", tests[i].name);
        } else {
            printf("FAILED c %s: %s\n", tests[i].name, why);
            failed++;
        }
        natsConnection_Destroy(nc);
    }
    nats_Close();
    return failed > 0;
}
