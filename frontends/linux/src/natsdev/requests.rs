//! What is answered: lists, `hardware.trigger`, `natsdev.stats`.

use lunix_proto::json::{self, Writer};
use lunix_proto::nats::header;
use lunix_proto::nats::subject::{push_token, tokens};

use super::Daemon;
use super::hotplug::Filter;
use crate::bus::Message;

/// The requests, as the endpoints of the micro-service.
pub(super) const ENDPOINTS: [(&str, &str); 4] = [
    ("list", "hardware.list"),
    ("class-list", "hardware.*.list"),
    ("trigger", "hardware.trigger"),
    ("stats", "natsdev.stats"),
];

/// What is left to do after the answer.
pub(super) enum Request {
    /// The kernel is to be asked about these, too.
    Trigger(Filter),
}

/// Answers a request.
pub(super) fn answer(daemon: &mut Daemon, message: &Message) -> Option<Request> {
    let mut parts = tokens(message.subject());
    // Half of what there is would be taken for all of it.
    if parts.clone().next() == Some(b"hardware") && daemon.first_pass.ended().is_none() {
        if !daemon.first_pass.keep(message) {
            refuse(daemon, message, "429", "too many wait already for what was there at the start");
        }
        return None;
    }
    match (parts.next(), parts.next(), parts.next()) {
        (Some(b"hardware"), Some(b"list"), None) => list(daemon, message, &Filter::default()),
        (Some(b"hardware"), Some(b"trigger"), None) => return trigger(daemon, message),
        (Some(b"hardware"), Some(class), Some(b"list")) => {
            let class = class_of(daemon, class);
            list(daemon, message, &Filter { class: Some(class), devpath: None });
        }
        (Some(b"natsdev"), Some(b"stats"), None) => stats(daemon, message),
        _ => {}
    }
    None
}

/// The class that `token` stands for: in subjects, bytes that a token cannot hold are replaced.
fn class_of(daemon: &Daemon, token: &[u8]) -> Vec<u8> {
    let mut space = [0; 256];
    let mut stands_for = |class: &[u8]| {
        let len = push_token(&mut space, class).ok()?;
        (space.get(..len)? == token).then(|| class.to_vec())
    };
    let mut classes = daemon.hotplug.table.iter().map(|device| device.subsystem);
    classes.find_map(&mut stands_for).unwrap_or_else(|| token.to_vec())
}

fn list(daemon: &mut Daemon, message: &Message, filter: &Filter) {
    let mut out = vec![b'['];
    daemon.hotplug.list(filter, |object| {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(object);
    });
    out.push(b']');
    let bus = &mut daemon.hotplug.voice.bus;
    if out.len() > bus.max_payload() {
        let text = format!("{} bytes are more than a message may have: ask for a class", out.len());
        return refuse(daemon, message, "413", &text);
    }
    let _ = bus.respond(message, &out);
}

fn trigger(daemon: &mut Daemon, message: &Message) -> Option<Request> {
    let filter = match filter(message.payload()) {
        Ok(filter) => filter,
        Err(text) => {
            refuse(daemon, message, "400", &text);
            return None;
        }
    };
    let Some(count) = daemon.hotplug.announce(&filter, true) else {
        refuse(daemon, message, "429", "too many announcements wait already");
        return None;
    };
    let _ = daemon.hotplug.voice.bus.respond(message, format!("{{\"devices\":{count}}}").as_bytes());
    Some(Request::Trigger(filter))
}

/// `{subsystem, devpath}`, both optional; nothing at all is fine, too.
fn filter(payload: &[u8]) -> Result<Filter, String> {
    if payload.trim_ascii().is_empty() {
        return Ok(Filter::default());
    }
    let value = json::parse(payload).map_err(|error| format!("not JSON at byte {}", error.at))?;
    let object = value.as_object().ok_or("expected an object")?;
    let text = |key: &str| match object.get(key) {
        None | Some(json::Value::Null) => Ok(None),
        Some(json::Value::String(text)) => Ok(Some(text.chars().collect::<String>().into_bytes())),
        Some(_) => Err(format!("{key}: expected a string")),
    };
    Ok(Filter { class: text("subsystem")?, devpath: text("devpath")? })
}

fn stats(daemon: &mut Daemon, message: &Message) {
    let mut out = [0; 1024];
    let mut json = Writer::new(&mut out);
    let hotplug = &daemon.hotplug;
    let (messages, bytes) = hotplug.voice.bus.dropped();
    let limit = |number: usize| number as u64;
    json.begin_object();
    json.key("events").number(hotplug.counters.events);
    json.key("coldplug_events").number(hotplug.counters.own);
    json.key("refused").begin_object();
    json.key("sender").number(daemon.refused.sender);
    json.key("credentials").number(daemon.refused.credentials);
    json.key("truncated").number(daemon.refused.truncated);
    json.key("malformed").number(hotplug.counters.malformed);
    json.key("libudev").number(hotplug.counters.libudev);
    json.end_object();
    json.key("overruns").number(hotplug.loss.overruns());
    json.key("resyncs").number(hotplug.counters.resyncs);
    json.key("published").number(hotplug.voice.published);
    json.key("dropped").begin_object();
    json.key("messages").number(messages).key("bytes").number(bytes).end_object();
    json.key("devices").number(limit(hotplug.table.len()));
    json.key("max_devices").number(limit(hotplug.table.capacity()));
    json.key("usb").number(limit(hotplug.usb.announced().count()));
    json.key("max_usb").number(limit(hotplug.usb.capacity()));
    json.key("refused_devices").number(hotplug.counters.full);
    if let Some(ended) = daemon.first_pass.ended() {
        json.key("known_us").number(ended.as_micros());
    }
    json.key("rcvbuf").number(limit(daemon.socket.buffer_size()));
    json.end_object();
    let len = json.finish().unwrap_or(0);
    let _ = daemon.hotplug.voice.bus.respond(message, out.get(..len).unwrap_or_default());
}

/// An error as micro-services tell it: in the header.
fn refuse(daemon: &mut Daemon, message: &Message, code: &str, text: &str) {
    let mut space = [0; 512];
    let mut header = header::Writer::new(&mut space);
    header.field("Nats-Service-Error-Code", code.as_bytes()).field("Nats-Service-Error", text.as_bytes());
    let len = header.finish().unwrap_or(0);
    let _ = daemon.hotplug.voice.bus.respond_with(message, space.get(..len).unwrap_or_default(), b"");
}
