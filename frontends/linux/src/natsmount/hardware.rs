//! What natsdev says of devices, and what has to be looked at because it says nothing of it.

use std::collections::HashMap;
use std::time::Duration;

use lunix_core::mount::{Facts, Input, Refusal};
use lunix_core::session::RequestId;
use lunix_proto::json::{self, Object};

use super::jobs::Contents;
use super::rules::{Candidate, Class};
use super::volumes::Keeper;
use super::{NAME, Token, requests};
use crate::bus::{Answer, Bus, Message};
use crate::log::{self, Level};
use crate::terminal::one_line;

/// How long natsdev may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const LISTS: [(&str, Class); 2] = [("hardware.usb.list", Class::Usb), ("hardware.block.list", Class::Block)];

/// The events to listen to. Disks go before the USB devices that they are in.
pub(super) fn subjects(wants_blocks: bool) -> impl Iterator<Item = &'static str> {
    let usb = ["hardware.usb.add", "hardware.usb.change", "hardware.usb.remove", "hardware.block.remove"];
    let block = ["hardware.block.add", "hardware.block.change"];
    usb.into_iter().chain(block.into_iter().filter(move |_| wants_blocks))
}

/// Lists that were asked for, and volumes that are looked at.
#[derive(Debug)]
pub(super) struct Looks {
    pub(super) wants_blocks: bool,
    lists: Vec<(RequestId, Class)>,
    open: HashMap<u32, Look>,
}

#[derive(Debug)]
struct Look {
    devnode: Vec<u8>,
    device: Vec<u8>,
    /// Who wants it mounted.
    asker: Option<Message>,
}

impl Looks {
    pub(super) fn new(wants_blocks: bool) -> Self {
        Self { wants_blocks, lists: Vec::new(), open: HashMap::new() }
    }

    /// Asks what is there. Without natsdev nobody answers; it says all of it when it comes.
    pub(super) fn ask(&mut self, bus: &mut Bus<Token>) {
        self.lists.clear();
        for (subject, class) in LISTS {
            if (class == Class::Usb || self.wants_blocks)
                && let Ok(request) = bus.request(subject, b"", PATIENCE)
            {
                self.lists.push((request, class));
            }
        }
    }

    pub(super) fn answer(
        &mut self,
        keeper: &mut Keeper,
        bus: &mut Bus<Token>,
        request: RequestId,
        answer: &Answer,
    ) {
        let Some(at) = self.lists.iter().position(|(other, _)| *other == request) else { return };
        let (_, class) = self.lists.swap_remove(at);
        // A list may be shorter than what there is, while natsdev starts. What has no node any more is gone.
        keeper.gone(bus, None, &[]);
        let Answer::Message(message, _) = answer else { return };
        let list = json::parse(message.payload()).ok().and_then(|list| list.as_array());
        for object in list.into_iter().flatten().filter_map(|object| object.as_object()) {
            match class {
                Class::Usb => self.usb(keeper, bus, object),
                Class::Block => self.block(keeper, bus, object),
            }
        }
    }

    /// A device has come, gone or changed.
    pub(super) fn event(
        &mut self,
        keeper: &mut Keeper,
        bus: &mut Bus<Token>,
        subject: &[u8],
        payload: &[u8],
    ) {
        let Some(object) = json::parse(payload).ok().and_then(|object| object.as_object()) else { return };
        match subject {
            b"hardware.usb.remove" => {
                for volume in volumes(object) {
                    let _ = keeper.handle(bus, Input::Gone(&text(volume, "devnode")));
                }
                keeper.gone(bus, Some(&text(object, "devpath")), &[]);
            }
            b"hardware.block.remove" => {
                let _ = keeper.handle(bus, Input::Gone(&text(object, "devnode")));
            }
            b"hardware.usb.add" | b"hardware.usb.change" => self.usb(keeper, bus, object),
            _ => self.block(keeper, bus, object),
        }
    }

    fn usb(&mut self, keeper: &mut Keeper, bus: &mut Bus<Token>, object: Object<'_>) {
        let device = text(object, "devpath");
        let still: Vec<Vec<u8>> = volumes(object).map(|volume| text(volume, "devnode")).collect();
        keeper.gone(bus, Some(&device), &still);
        for volume in volumes(object) {
            let [devnode, fstype, label, uuid] =
                ["devnode", "fstype", "label", "uuid"].map(|key| text(volume, key));
            if fstype.is_empty() {
                continue;
            }
            let facts = Facts { devnode: &devnode, fstype: &fstype, label: &label, uuid: &uuid };
            let candidate = Candidate { class: Class::Usb, facts, device: Some(object) };
            told(&devnode, keeper.present(bus, &candidate, &device, false).err());
        }
    }

    /// Where nobody handles devices, natsdev does not say what is on a disk: then it is looked at.
    fn block(&mut self, keeper: &mut Keeper, bus: &mut Bus<Token>, object: Object<'_>) {
        let [devnode, device, fstype, label, uuid] =
            ["devnode", "devpath", "fstype", "label", "uuid"].map(|key| text(object, key));
        let is_usb = |part: &[u8]| {
            part.strip_prefix(b"usb").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
        };
        if devnode.is_empty() || device.split(|byte| *byte == b'/').any(is_usb) {
            return;
        }
        if fstype.is_empty() {
            self.look(keeper, &devnode, device, None);
            return;
        }
        let facts = Facts { devnode: &devnode, fstype: &fstype, label: &label, uuid: &uuid };
        let candidate = Candidate { class: Class::Block, facts, device: None };
        told(&devnode, keeper.present(bus, &candidate, &device, false).err());
    }

    fn look(&mut self, keeper: &mut Keeper, devnode: &[u8], device: Vec<u8>, asker: Option<Message>) -> bool {
        if self.open.values().any(|look| look.devnode == devnode && asker.is_none()) {
            return true;
        }
        let look = keeper.jobs.look(devnode);
        if let Some(look) = look {
            self.open.insert(look, Look { devnode: devnode.to_vec(), device, asker });
        }
        look.is_some()
    }

    /// Somebody wants a volume mounted of which natsdev has said nothing.
    pub(super) fn ask_for(
        &mut self,
        keeper: &mut Keeper,
        bus: &mut Bus<Token>,
        devnode: &[u8],
        message: Message,
    ) {
        if !devnode.starts_with(b"/dev/") || super::jobs::device_of(devnode).is_none() {
            return requests::refuse(bus, &message, "404", "devnode: expected a block device in /dev");
        }
        // A message that finds no room is as lost as one that nobody heard: whoever asked sees no answer in time.
        let _ = self.look(keeper, devnode, Vec::new(), Some(message));
    }

    /// A volume has been looked at.
    pub(super) fn looked(
        &mut self,
        keeper: &mut Keeper,
        bus: &mut Bus<Token>,
        look: u32,
        error: Option<u16>,
        contents: &Contents,
    ) {
        let Some(Look { devnode, device, asker }) = self.open.remove(&look) else { return };
        let Contents { fstype, label, uuid } = contents;
        let facts = Facts { devnode: &devnode, fstype: fstype.as_bytes(), label, uuid };
        let candidate = Candidate { class: Class::Block, facts, device: None };
        let Some(message) = asker else {
            if !fstype.is_empty() {
                told(&devnode, keeper.present(bus, &candidate, &device, false).err());
            }
            return;
        };
        if fstype.is_empty() {
            let why = match error {
                Some(errno) => std::io::Error::from_raw_os_error(errno.into()).to_string(),
                None => "no file system that we know is on it".into(),
            };
            return requests::refuse(bus, &message, "500", &why);
        }
        match keeper.present(bus, &candidate, &device, true) {
            Ok(_) => keeper.ask(bus, Input::Mount(&devnode), message),
            Err(refusal) => requests::refuse(bus, &message, "409", &refusal.to_string()),
        }
    }
}

fn told(devnode: &[u8], refusal: Option<Refusal>) {
    match refusal {
        None => {}
        Some(Refusal::Unknown) => {
            log::line(Level::Debug, NAME, format_args!("{}: no block device in /dev", one_line(devnode)))
        }
        Some(refusal) => log::line(Level::Warn, NAME, format_args!("{}: {refusal}", one_line(devnode))),
    }
}

fn volumes<'o>(object: Object<'o>) -> impl Iterator<Item = Object<'o>> {
    let list = object.get("volumes").and_then(|value| value.as_array());
    list.into_iter().flatten().filter_map(|volume| volume.as_object())
}

fn text(object: Object<'_>, key: &str) -> Vec<u8> {
    let text = object.get(key).and_then(|value| value.as_str());
    text.map(|text| text.chars().collect::<String>().into_bytes()).unwrap_or_default()
}
