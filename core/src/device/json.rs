//! What is said about an event and about a device of no special class.

use lunix_proto::Full;
use lunix_proto::json::Writer;
use lunix_uevent::{MAX_MESSAGE, Uevent};

/// Room that the JSON of any kernel event fits into: one byte becomes at most six (`\u0001`), action, path and
/// subsystem stand there twice, and every variable adds its quotes.
pub const MAX_UEVENT_JSON: usize = 2 * 6 * MAX_MESSAGE + 1024;

/// A kernel event as it came: `action`, `devpath`, `subsystem`, `seqnum` (left out if the message has none)
/// and `env` with all its variables. Bytes that are not UTF-8 become U+FFFD.
///
/// ```
/// use lunix_core::device::json;
/// use lunix_uevent::Uevent;
/// let bytes = b"add@/x\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=mem\0SEQNUM=7\0";
/// let mut out = [0; 256];
/// let len = json::uevent(&Uevent::parse(bytes).unwrap(), &mut out)?;
/// assert_eq!(
///     core::str::from_utf8(&out[..len]).unwrap(),
///     r#"{"action":"add","devpath":"/x","subsystem":"mem","seqnum":7,"env":{"ACTION":"add","DEVPATH":"/x","SUBSYSTEM":"mem","SEQNUM":"7"}}"#,
/// );
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// It does not fit into `out`; it always fits into [`MAX_UEVENT_JSON`] bytes.
pub fn uevent(event: &Uevent<'_>, out: &mut [u8]) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("action").string_bytes(event.action().as_bytes());
    json.key("devpath").string_bytes(event.devpath());
    json.key("subsystem").string_bytes(event.subsystem());
    if let Some(seqnum) = event.seqnum() {
        json.key("seqnum").number(seqnum);
    }
    json.key("env").begin_object();
    for (key, value) in event.vars() {
        json.key_bytes(key).string_bytes(value);
    }
    json.end_object().end_object().finish()
}

/// A device of which nothing more is known than its path, its subsystem and its variables, be they from an
/// event or from its `uevent` file in /sys.
///
/// Keys: `devpath`, `class` (the subsystem), `name` (the last part of the path), and where the variables tell
/// them `devtype`, `devnode`, `major`, `minor`, `ifname`, `ifindex`, `driver`, `modalias`, `devpath_old`.
/// `again` is there, and true, if the device was announced before and nothing about it is new.
///
/// # Errors
/// It does not fit into `out`.
pub fn device<'v>(
    devpath: &[u8],
    subsystem: &[u8],
    vars: impl Iterator<Item = (&'v [u8], &'v [u8])>,
    again: bool,
    out: &mut [u8],
) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("devpath").string_bytes(devpath);
    json.key("class").string_bytes(subsystem);
    json.key("name").string_bytes(super::name(devpath));
    for (key, value) in vars {
        match key {
            b"DEVTYPE" => json.key("devtype").string_bytes(value),
            b"DEVNAME" => {
                let mut node = [0; MAX_NODE];
                match devnode(value, &mut node) {
                    Some(node) => json.key("devnode").string_bytes(node),
                    None => &mut json,
                }
            }
            b"MAJOR" => number(&mut json, "major", value),
            b"MINOR" => number(&mut json, "minor", value),
            b"INTERFACE" if subsystem == b"net" => json.key("ifname").string_bytes(value),
            b"IFINDEX" => number(&mut json, "ifindex", value),
            b"DRIVER" => json.key("driver").string_bytes(value),
            b"MODALIAS" => json.key("modalias").string_bytes(value),
            b"DEVPATH_OLD" => json.key("devpath_old").string_bytes(value),
            _ => &mut json,
        };
    }
    if again {
        json.key("again").bool(true);
    }
    json.end_object().finish()
}

/// `uevent.lost`: the kernel dropped events; every event with a number in `from..=to` may be among them.
///
/// # Errors
/// It does not fit into `out`; it always fits into 64 bytes.
pub fn lost(from: u64, to: u64, out: &mut [u8]) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("from").number(from).key("to").number(to).end_object().finish()
}

/// `hardware.full`: this device is there, but the table has no room for it: it will not be in any list, and its
/// changes and its removal are not announced.
///
/// # Errors
/// It does not fit into `out`.
pub fn full(devpath: &[u8], subsystem: &[u8], limit: u64, out: &mut [u8]) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("devpath").string_bytes(devpath);
    json.key("class").string_bytes(subsystem);
    json.key("limit").number(limit);
    json.end_object().finish()
}

/// The longest device node that is told of, with its `/dev/`.
pub(super) const MAX_NODE: usize = 512;

/// The node of a `DEVNAME`, which is relative to /dev in events and may be absolute in old kernels.
pub(super) fn devnode<'o>(devname: &[u8], out: &'o mut [u8; MAX_NODE]) -> Option<&'o [u8]> {
    let prefix: &[u8] = if devname.starts_with(b"/") { b"" } else { b"/dev/" };
    let len = prefix.len() + devname.len();
    let (head, tail) = out.get_mut(..len)?.split_at_mut_checked(prefix.len())?;
    head.copy_from_slice(prefix);
    tail.copy_from_slice(devname);
    out.get(..len)
}

fn number<'w, 'o>(json: &'w mut Writer<'o>, key: &str, value: &[u8]) -> &'w mut Writer<'o> {
    match core::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
        Some(value) => json.key(key).number(value),
        None => json,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn value(bytes: &[u8]) -> serde_json::Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_the_rest_stays() {
        let message = b"change@/d/\xff\0ACTION=change\0DEVPATH=/d/\xff\0NAME=caf\xe9\"\\\n\0EMPTY=\0";
        let event = Uevent::parse(message).unwrap();
        let mut out = [0; 512];
        let len = uevent(&event, &mut out).unwrap();
        let json = value(&out[..len]);
        assert_eq!(json["devpath"], "/d/\u{fffd}");
        assert_eq!(json["subsystem"], "");
        assert_eq!(json.get("seqnum"), None);
        assert_eq!(json["env"]["NAME"], "caf\u{fffd}\"\\\n");
        assert_eq!(json["env"]["EMPTY"], "");
    }

    #[test]
    fn the_longest_message_of_the_worst_bytes_fits() {
        let mut message = Vec::from(&b"add@/"[..]);
        message.resize(2000, 1);
        let path = message[4..].to_vec();
        message.extend_from_slice(b"\0ACTION=add\0DEVPATH=");
        message.extend_from_slice(&path);
        message.push(0);
        message.extend_from_slice(b"A=");
        message.resize(MAX_MESSAGE - 1, 1);
        message.push(0);
        let event = Uevent::parse(&message).unwrap();
        let mut out = vec![0; MAX_UEVENT_JSON];
        let len = uevent(&event, &mut out).unwrap();
        value(&out[..len]);
        assert_eq!(uevent(&event, &mut out[..len - 1]).unwrap_err().needed, len);
    }

    #[test]
    fn a_simple_device() {
        let vars = [
            (&b"MAJOR"[..], &b"8"[..]),
            (b"MINOR", b"x"),
            (b"DEVNAME", b"bus/usb/001/002"),
            (b"DEVTYPE", b"usb_device"),
            (b"INTERFACE", b"8/6/80"),
            (b"OTHER", b"left out"),
        ];
        let mut out = [0; 512];
        let len = device(b"/devices/a/b", b"usb", vars.into_iter(), true, &mut out).unwrap();
        assert_eq!(
            value(&out[..len]),
            serde_json::json!({"devpath": "/devices/a/b", "class": "usb", "name": "b", "major": 8,
                "devnode": "/dev/bus/usb/001/002", "devtype": "usb_device", "again": true})
        );
        let vars = [(&b"INTERFACE"[..], &b"eth0"[..]), (b"IFINDEX", b"3")];
        let len = device(b"/devices/net/eth0", b"net", vars.into_iter(), false, &mut out).unwrap();
        assert_eq!(
            value(&out[..len]),
            serde_json::json!({"devpath": "/devices/net/eth0", "class": "net", "name": "eth0",
                "ifname": "eth0", "ifindex": 3})
        );
    }

    #[test]
    fn a_node_longer_than_all_nodes_is_left_out() {
        let name = [b'x'; MAX_NODE];
        let vars = [(&b"DEVNAME"[..], &name[..])];
        let mut out = [0; 1024];
        let len = device(b"/devices/a", b"mem", vars.into_iter(), false, &mut out).unwrap();
        assert_eq!(value(&out[..len]).get("devnode"), None);
    }

    #[test]
    fn losses() {
        let mut out = [0; 64];
        let len = lost(u64::MAX - 1, u64::MAX, &mut out).unwrap();
        assert_eq!(value(&out[..len]), serde_json::json!({"from": u64::MAX - 1, "to": u64::MAX}));
        let len = full(b"/devices/a", b"mem", 7, &mut out).unwrap();
        assert_eq!(
            value(&out[..len]),
            serde_json::json!({"devpath": "/devices/a", "class": "mem", "limit": 7})
        );
    }
}
