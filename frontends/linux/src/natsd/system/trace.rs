//! Messages that are followed: to whom they went is told to whom their header block says, in nats-server's JSON.

use lunix_core::broker::{AccountId, ClientId, SubscriptionStatus, Traced};
use lunix_core::time::Instant;
use lunix_proto::nats::header::Headers;

use crate::natsd::monitor::{Json, View};
use crate::natsd::server::Server;

/// Messages of this turn that are followed.
#[derive(Debug, Default)]
pub(in crate::natsd) struct Traces {
    traces: Vec<Trace>,
    /// Receivers of all of them.
    passes: usize,
}

/// A message.
#[derive(Debug)]
struct Trace {
    client: ClientId,
    account: AccountId,
    subject: String,
    to: Box<[u8]>,
    header: Vec<(String, Vec<String>)>,
    size: usize,
    passes: Vec<Pass>,
}

/// A receiver.
#[derive(Debug)]
struct Pass {
    to: ClientId,
    account: AccountId,
    /// What it has subscribed to, and its queue group; a leaf node has not.
    subscription: Option<(String, String)>,
}

/// More receivers are not told in one turn.
const MOST_PASSES: usize = 8192;

impl Traces {
    /// A message is followed.
    pub(in crate::natsd) fn begin(&mut self, traced: &Traced<'_>) {
        let mut header: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in Headers::parse(traced.header).into_iter().flatten() {
            let value = text(value);
            match header.iter_mut().find(|(known, _)| known.as_bytes() == name) {
                Some((_, values)) => values.push(value),
                None => header.push((text(name), vec![value])),
            }
        }
        self.traces.push(Trace {
            client: traced.client,
            account: traced.account,
            subject: text(traced.subject),
            to: traced.to.into(),
            header,
            size: traced.size,
            passes: Vec::new(),
        });
    }

    /// It has a receiver.
    pub(in crate::natsd) fn pass(
        &mut self,
        to: ClientId,
        account: AccountId,
        subscription: Option<SubscriptionStatus<'_>>,
    ) {
        self.passes += 1;
        if let Some(trace) = self.traces.last_mut().filter(|_| self.passes <= MOST_PASSES) {
            let subscription = subscription.map(|subscription| {
                let mut room = [0; 512];
                let len = subscription.subject(&mut room).unwrap_or(0);
                let queue = subscription.queue.map(|queue| queue.parts().map(text).collect());
                (text(room.get(..len).unwrap_or_default()), queue.unwrap_or_default())
            });
            trace.passes.push(Pass { to, account, subscription });
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What nats-server calls kinds of connections.
const CLIENT: u32 = 0;
const LEAF: u32 = 4;

impl Server {
    /// Tells all that was followed in this turn.
    pub(in crate::natsd) fn tell_traces(&mut self, now: Instant) {
        for trace in std::mem::take(&mut self.wires.traces).traces {
            let (account, to) = (trace.account, String::from_utf8_lossy(&trace.to).into_owned());
            self.say(now, account, &to, None, |server, json| {
                let sender = server.broker.client(trace.client).map_or(0, |status| status.number);
                let receivers: Vec<_> = trace
                    .passes
                    .iter()
                    .map(|pass| server.broker.client(pass.to).map_or(0, |status| status.number))
                    .collect();
                let view = server.view(now);
                json.key("request").begin_object().key("header").begin_object();
                for (name, values) in &trace.header {
                    json.key(name).begin_array();
                    values.iter().for_each(|value| {
                        json.text(value);
                    });
                    json.end_array();
                }
                json.end_object().number("msgsize", trace.size).end_object();
                json.key("events").begin_array();
                event(json, &view, now, "in", CLIENT, (trace.client, sender));
                json.string("acc", view.account_name(trace.account))
                    .string("subj", &trace.subject)
                    .end_object();
                for (pass, number) in trace.passes.iter().zip(receivers) {
                    let kind = if pass.subscription.is_some() { CLIENT } else { LEAF };
                    event(json, &view, now, "eg", kind, (pass.to, number));
                    if pass.account != trace.account {
                        json.string("acc", view.account_name(pass.account));
                    }
                    if let Some((subject, queue)) = &pass.subscription {
                        json.string("sub", subject).some("queue", queue);
                    }
                    json.end_object();
                }
                json.end_array();
            });
        }
    }
}

/// Begins an event.
fn event(
    json: &mut Json<'_>,
    view: &View<'_>,
    now: Instant,
    what: &str,
    kind: u32,
    (client, number): (ClientId, u64),
) {
    json.begin_object().string("type", what).key("ts").plain(view.wall(now));
    json.number("kind", kind).number("cid", number);
    json.some("name", view.about(client).map_or("", |about| &*about.name));
}
