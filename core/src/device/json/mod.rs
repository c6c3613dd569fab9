//! What is said about an event, about a device of no special class, and about all of them.

use lunix_proto::Full;
use lunix_proto::json::Writer;
use lunix_uevent::{MAX_MESSAGE, Uevent};

mod device;

pub use device::device;

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

/// `hardware.snapshot.begin`: from here on all devices are announced that are there. `again`: it is not the first time.
///
/// # Errors
/// It does not fit into `out`; it always fits into 64 bytes.
pub fn snapshot_begin(again: bool, out: &mut [u8]) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("again").bool(again).end_object().finish()
}

/// `hardware.snapshot.end`: `devices` were announced since its beginning; what was not is not there.
///
/// # Errors
/// It does not fit into `out`; it always fits into 64 bytes.
pub fn snapshot_end(again: bool, devices: u64, out: &mut [u8]) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("again").bool(again).key("devices").number(devices);
    json.end_object().finish()
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

    #[test]
    fn snapshots() {
        let mut out = [0; 64];
        let len = snapshot_begin(false, &mut out).unwrap();
        assert_eq!(value(&out[..len]), serde_json::json!({"again": false}));
        let len = snapshot_end(true, u64::MAX, &mut out).unwrap();
        assert_eq!(value(&out[..len]), serde_json::json!({"again": true, "devices": u64::MAX}));
    }
}
