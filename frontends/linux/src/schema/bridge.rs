//! What natsmqtt speaks, a program of `lunix-bridge`.

use super::Type::{Flag, Text, Whole, Word};
use super::table::{NOTHING, event, may, must, request};
use super::{Body, Group, Shape};

static CLIENT: Shape = Shape {
    name: "MqttClient",
    about: "",
    body: Body::Object(&[
        must("client", Text, "its identifier"),
        must("connected", Flag, ""),
        may("user", Text, "verified"),
        may("address", Text, ""),
        may("protocol", Word(&["3.1", "3.1.1", "5"]), ""),
        may("keep_alive", Whole, "seconds; 0 is none"),
        may("clean", Flag, "it wanted a new session"),
        must("session_expiry", Whole, "seconds that its session is kept"),
        must("subscriptions", Whole, ""),
        must("queued", Whole, "messages, not acknowledged"),
        must("lost", Whole, "messages that found no room"),
        must("at_us", Whole, "when it came or went"),
        may("again", Flag, "announced to a server that has come"),
        may("code", Whole, "MQTT's, if anybody said one"),
        may("reason", Text, "why it went"),
    ]),
};

static CLIENTS: Shape = Shape { name: "MqttClients", about: "", body: Body::List(&CLIENT) };

static BRIDGE: Shape = Shape {
    name: "MqttBridge",
    about: "",
    body: Body::Object(&[
        must("name", Text, "of the configuration"),
        must("connected", Flag, ""),
        must("site", Text, "what the broker is called in `Nmqtt-Path`"),
        must("queued", Whole, "messages, not acknowledged"),
        must("sent", Whole, "messages"),
        must("received", Whole, "messages"),
        must("lost", Whole, "messages that found no room"),
    ]),
};

static BRIDGES: Shape = Shape { name: "MqttBridges", about: "", body: Body::List(&BRIDGE) };

static BROKER: Shape = Shape {
    name: "MqttBroker",
    about: "",
    body: Body::Object(&[
        must("name", Text, "of the bridge"),
        must("address", Text, ""),
        may("reason", Text, "why it is away"),
    ]),
};

static MESSAGE: Shape = Shape { name: "MqttMessage", about: "", body: Body::Text };

pub(super) const GROUP: Group = Group {
    program: "natsmqtt",
    about: "MQTT clients and brokers. Their topics are subjects: docs/natsmqtt.md.",
    notes: &["`mqtt.clients` answers as many as fit, by name; `{after}` asks for those after one."],
    subjects: &[
        event("mqtt.bridge.<name>.connected", "A bridge has its broker.", &BROKER),
        event("mqtt.bridge.<name>.disconnected", "It has lost it.", &BROKER),
        request("mqtt.bridge.list", "All bridges.", &NOTHING, &BRIDGES),
        event("mqtt.client.connected", "A client is here.", &CLIENT),
        event("mqtt.client.disconnected", "A client has gone.", &CLIENT),
        request("mqtt.clients", "Those that are here, or whose sessions are kept.", &NOTHING, &CLIENTS),
        request("mqtt.retained.<subject>", "What is retained, or `Status: 404`.", &NOTHING, &MESSAGE),
    ],
};
