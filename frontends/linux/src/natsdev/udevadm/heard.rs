//! An event as libudev shows it to those who listen, from the kernel or from who handles devices.

use lunix_uevent::Uevent;
use lunix_uevent::monitor::Message;

use super::record::{add_kernels, add_lists, once};

/// What an event says.
#[derive(Debug)]
pub(super) struct Heard {
    properties: Vec<(Vec<u8>, Vec<u8>)>,
    tags: Vec<Vec<u8>>,
}

const ACTIONS: [&[u8]; 8] =
    [b"add", b"remove", b"change", b"move", b"online", b"offline", b"bind", b"unbind"];

impl Heard {
    /// Bytes of the longest message: what systemd sends for a device with many links.
    pub(super) const BYTES: usize = 1 << 16;

    /// `None` if it is not about an action on a device.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let (mut links, mut tags, mut present) = (Vec::new(), Vec::new(), Vec::new());
        let mut own = |(key, value): &(&[u8], &[u8])| {
            let split = |by| value.split(move |byte| *byte == by).filter(|part| !part.is_empty());
            match *key {
                b"DEVLINKS" => links.extend(split(b' ').map(<[u8]>::to_vec)),
                b"TAGS" => tags.extend(split(b':').map(<[u8]>::to_vec)),
                b"CURRENT_TAGS" => {
                    tags.extend(split(b':').map(<[u8]>::to_vec));
                    present.extend(split(b':').map(<[u8]>::to_vec));
                }
                b"UDEV_DATABASE_VERSION" => {}
                _ => return true,
            }
            false
        };
        let mut properties = Vec::new();
        if message.starts_with(b"libudev\0") {
            add_kernels(
                &mut properties,
                Message::parse(message).ok()?.properties().map(whole_line).filter(&mut own),
            );
        } else {
            add_kernels(
                &mut properties,
                Uevent::parse(message).ok()?.vars().map(whole_line).filter(&mut own),
            );
        }
        let tags = once(tags);
        add_lists(&mut properties, &once(links), &tags, &once(present));
        let heard = Self { properties, tags };
        let is_whole = [&b"DEVPATH"[..], b"SUBSYSTEM", b"SEQNUM"].iter().all(|key| heard.get(key).is_some());
        (is_whole && ACTIONS.contains(&heard.action())).then_some(heard)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.properties.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    pub(super) fn properties(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.properties
    }

    pub(super) fn tags(&self) -> &[Vec<u8>] {
        &self.tags
    }

    pub(super) fn action(&self) -> &[u8] {
        self.get(b"ACTION").unwrap_or_default()
    }

    pub(super) fn devpath(&self) -> &[u8] {
        self.get(b"DEVPATH").unwrap_or_default()
    }

    pub(super) fn is_removal(&self) -> bool {
        self.action() == b"remove"
    }
}

/// Some drivers put a newline into a value; what follows it does not count.
fn whole_line<'t>((key, value): (&'t [u8], &'t [u8])) -> (&'t [u8], &'t [u8]) {
    (key, value.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_as_libudev_shows_it() {
        let text = b"add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=mem\0MAJOR=1\0MINOR=3\0DEVNAME=null\0A=b\nc\0SEQNUM=7\0";
        let heard = Heard::parse(text).unwrap();
        let keys: Vec<_> =
            heard.properties().iter().map(|(key, value)| [&key[..], value].join(&b'=')).collect();
        let expected: [&[u8]; 8] = [
            b"ACTION=add",
            b"DEVPATH=/d",
            b"SUBSYSTEM=mem",
            b"DEVNAME=/dev/null",
            b"A=b",
            b"SEQNUM=7",
            b"MAJOR=1",
            b"MINOR=3",
        ];
        assert_eq!(keys, expected);
        for wrong in [&b"odd@/d\0ACTION=odd\0DEVPATH=/d\0SUBSYSTEM=a\0SEQNUM=7\0"[..], b"libudev\0", b""] {
            assert!(Heard::parse(wrong).is_none());
        }
    }
}
