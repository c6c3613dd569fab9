//! What users of libudev hear: each device, when it has been handled.

use std::io;
use std::os::fd::OwnedFd;

use lunix_core::device::rules::Outcome;
use lunix_uevent::{Uevent, monitor};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};

use super::database::Entry;

/// Multicast groups beside the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Messages in libudev's form.
    Libudev = 2,
    /// Messages in the kernel's form, for users of libudev-zero and mdevd.
    Raw = 4,
}

/// A socket to say it by; only root may.
#[derive(Debug)]
pub(super) struct Monitor(OwnedFd);

impl Monitor {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?;
        Ok(Self(socket))
    }

    pub(super) fn say(&self, group: Group, message: &[u8]) -> io::Result<()> {
        match sendto(&self.0, message, SendFlags::empty(), &SocketAddrNetlink::new(0, group as u32)) {
            // Nobody listens; or somebody who is too slow, and is told so by the kernel.
            Ok(_) | Err(Errno::CONNREFUSED | Errno::NOBUFS | Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The event with all that is known of the device now. What is too long for users of libudev is left out, from the end.
pub(super) fn by_rules(
    event: &Uevent<'_>,
    entry: Option<&Entry>,
    outcome: &Outcome<'_>,
    initialized_us: u64,
    renamed: bool,
) -> Vec<u8> {
    let links: Vec<u8> =
        outcome.links().map(|link| [b"/dev/", link].concat()).collect::<Vec<_>>().join(&b' ');
    let listed = |tags: &mut dyn Iterator<Item = &[u8]>| {
        tags.fold(b":".to_vec(), |tags, tag| [&tags[..], tag, b":"].concat())
    };
    let current = listed(&mut outcome.tags());
    let before = entry.into_iter().flat_map(|entry| entry.tags.iter().map(Vec::as_slice));
    let before = before.filter(|tag| !outcome.tags().any(|other| other == *tag));
    let all = listed(&mut outcome.tags().chain(before));
    let initialized = initialized_us.to_string();
    let mut properties: Vec<(&[u8], &[u8])> = event.vars().collect();
    properties.push((b"USEC_INITIALIZED", initialized.as_bytes()));
    if !links.is_empty() {
        properties.push((b"DEVLINKS", &links));
    }
    properties.extend(
        [(&b"TAGS"[..], &all[..]), (b"CURRENT_TAGS", &current)].iter().filter(|(_, tags)| tags.len() > 1),
    );
    let mut set = |key, value| match properties.iter_mut().find(|(known, _)| *known == key) {
        Some(known) => known.1 = value,
        None => properties.push((key, value)),
    };
    outcome.properties().for_each(|(key, value)| set(key, value));
    // Who hears of it finds it in /sys by its new name; that `move` follows, `ID_RENAMING` says.
    let devpath = event.devpath();
    let above = devpath.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let new = outcome.name().unwrap_or_default();
    let new_devpath = [devpath.get(..above).unwrap_or_default(), new].concat();
    if renamed {
        let old = devpath.get(above..).unwrap_or_default();
        set(b"DEVPATH", &new_devpath);
        set(b"INTERFACE", new);
        set(b"INTERFACE_OLD", old);
        set(b"ID_RENAMING", b"1");
    }
    message(properties, event.vars().count())
}

/// The event alone.
pub(super) fn plain(event: &Uevent<'_>) -> Vec<u8> {
    let properties: Vec<_> = event.vars().collect();
    let least = properties.len();
    message(properties, least)
}

/// At least the first `least` properties, and as many of the others as there is room for.
fn message(mut properties: Vec<(&[u8], &[u8])>, least: usize) -> Vec<u8> {
    let mut out = vec![0; monitor::MAX_MESSAGE];
    loop {
        let builder = monitor::Builder::new(&mut out);
        let builder = properties.iter().fold(builder, |builder, (key, value)| builder.property(key, value));
        match builder.finish() {
            Ok(len) => {
                out.truncate(len);
                return out;
            }
            Err(_) if properties.len() > least => drop(properties.pop()),
            Err(_) => return Vec::new(),
        }
    }
}
