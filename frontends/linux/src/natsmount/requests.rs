//! What others ask for: `volume.list`, `volume.mount`, `volume.unmount`.

use lunix_core::mount::Input;
use lunix_proto::json::{self, Writer};
use lunix_proto::nats::header;

use super::Token;
use super::hardware::Looks;
use super::volumes::{Keeper, node_at};
use crate::bus::{Bus, Message};

/// The requests, as the endpoints of the micro-service.
pub(super) const ENDPOINTS: [(&str, &str); 3] = [("list", LIST), ("mount", MOUNT), ("unmount", UNMOUNT)];

const LIST: &str = "volume.list";
const MOUNT: &str = "volume.mount";
const UNMOUNT: &str = "volume.unmount";

/// Whether it is one of them.
pub(super) fn is_one(message: &Message) -> bool {
    ENDPOINTS.iter().any(|(_, subject)| subject.as_bytes() == message.subject())
}

/// Answers, at once or when it is done.
pub(super) fn answer(keeper: &mut Keeper, looks: &mut Looks, bus: &mut Bus<Token>, message: Message) {
    if message.subject() == LIST.as_bytes() {
        return keeper.list(bus, &message);
    }
    let mounts = message.subject() == MOUNT.as_bytes();
    let object = json::parse(message.payload()).ok().and_then(|value| value.as_object());
    let text = |key| {
        let text = object.and_then(|object| object.get(key)).and_then(|value| value.as_str())?;
        Some(text.chars().collect::<String>())
    };
    let devnode = match (text("devnode"), text("target")) {
        (Some(devnode), _) => devnode.into_bytes(),
        (None, Some(target)) if !mounts => match node_at(keeper, &target) {
            Some(devnode) => devnode,
            None => return refuse(bus, &message, "404", "nothing that we know of is mounted there"),
        },
        _ if mounts => return refuse(bus, &message, "400", "devnode: expected text"),
        _ => return refuse(bus, &message, "400", "devnode or target: expected text"),
    };
    if mounts && keeper.volumes.find(&devnode).is_none() {
        return looks.ask_for(keeper, bus, &devnode, message);
    }
    let input = if mounts { Input::Mount(&devnode) } else { Input::Unmount(&devnode) };
    keeper.ask(bus, input, message);
}

/// Answers with an error, as micro-services do.
pub(super) fn refuse(bus: &mut Bus<Token>, message: &Message, code: &str, text: &str) {
    let mut space = [0; 512];
    let mut header = header::Writer::new(&mut space);
    header.field("Nats-Service-Error-Code", code.as_bytes()).field("Nats-Service-Error", text.as_bytes());
    let header_length = header.finish().unwrap_or(0);
    let mut out = [0; 1024];
    let mut json = Writer::new(&mut out);
    let length = json.begin_object().key("error").string(text).end_object().finish().unwrap_or(0);
    let header = space.get(..header_length).unwrap_or_default();
    let _ = bus.respond_with(message, header, out.get(..length).unwrap_or_default());
}
