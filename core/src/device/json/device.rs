//! What is said about a device of no special class: what a person wants to know, in the words of `hardware.usb.*`.

use lunix_proto::Full;
use lunix_proto::json::Writer;

use crate::device::encode;

/// The properties that are told of, sorted. What begins with `ID_` is udev's.
const TOLD: [&[u8]; 26] = [
    b"DEVLINKS",
    b"DEVNAME",
    b"DEVPATH_OLD",
    b"DEVTYPE",
    b"DRIVER",
    b"ID_BUS",
    b"ID_FS_LABEL",
    b"ID_FS_LABEL_ENC",
    b"ID_FS_TYPE",
    b"ID_FS_UUID",
    b"ID_MODEL",
    b"ID_MODEL_ENC",
    b"ID_MODEL_FROM_DATABASE",
    b"ID_MODEL_ID",
    b"ID_SERIAL",
    b"ID_SERIAL_SHORT",
    b"ID_VENDOR",
    b"ID_VENDOR_ENC",
    b"ID_VENDOR_FROM_DATABASE",
    b"ID_VENDOR_ID",
    b"IFINDEX",
    b"INTERFACE",
    b"MAJOR",
    b"MINOR",
    b"MODALIAS",
    b"PCI_ID",
];

/// What an input device is, by the property of it that is 1.
const KINDS: [(&[u8], &str); 12] = [
    (b"ID_INPUT_KEYBOARD", "keyboard"),
    (b"ID_INPUT_KEY", "keys"),
    (b"ID_INPUT_MOUSE", "mouse"),
    (b"ID_INPUT_TOUCHPAD", "touchpad"),
    (b"ID_INPUT_TOUCHSCREEN", "touchscreen"),
    (b"ID_INPUT_POINTINGSTICK", "pointingstick"),
    (b"ID_INPUT_TRACKBALL", "trackball"),
    (b"ID_INPUT_TABLET", "tablet"),
    (b"ID_INPUT_TABLET_PAD", "tablet-pad"),
    (b"ID_INPUT_JOYSTICK", "joystick"),
    (b"ID_INPUT_ACCELEROMETER", "accelerometer"),
    (b"ID_INPUT_SWITCH", "switch"),
];

/// The longest device node that is told of, with its `/dev/`.
const MAX_NODE: usize = 512;

/// Bytes of a name without the escapes that udev writes it with.
const MAX_NAME: usize = 256;

/// A device of which nothing more is known than its path, its subsystem and its properties: the variables of an event or of
/// its `uevent` file in /sys, and after them what udev's rules have found. Of a property that comes twice, the last one counts.
///
/// Keys: `devpath`, `class` (the subsystem), `name` (the last part of the path), and where the properties tell them
///
/// | key | of the property |
/// |---|---|
/// | `devtype` `driver` `modalias` `major` `minor` `ifname` `ifindex` `devpath_old` | the kernel's |
/// | `devnode`, `links` | its node, and the links to it (`DEVLINKS`), with /dev/ |
/// | `bus` | `ID_BUS` |
/// | `vendor`, `product` | `ID_VENDOR_ID`, `ID_MODEL_ID`, or the kernel's `PCI_ID`: four hexadecimal digits |
/// | `vendor_name`, `product_name` | what the table of hardware calls these two: `ID_VENDOR_FROM_DATABASE`, `ID_MODEL_FROM_DATABASE` |
/// | `manufacturer`, `model`, `serial` | what the device calls itself: `ID_VENDOR_ENC`, `ID_MODEL_ENC`, `ID_SERIAL_SHORT` |
/// | `fstype`, `label`, `uuid` | what the volume holds: `ID_FS_TYPE`, `ID_FS_LABEL_ENC`, `ID_FS_UUID` |
/// | `kinds` | what an input device is: `keyboard`, `mouse`, … |
///
/// `again` is there, and true, if the device was announced before and nothing about it is new.
///
/// ```
/// use lunix_core::device::json;
/// let properties = [(&b"DEVNAME"[..], &b"sda1"[..]), (b"ID_FS_LABEL_ENC", br"MY\x20STICK")];
/// let mut out = [0; 256];
/// let len = json::device(b"/devices/x/sda1", b"block", properties.into_iter(), false, &mut out)?;
/// assert_eq!(
///     core::str::from_utf8(&out[..len]).unwrap(),
///     r#"{"devpath":"/devices/x/sda1","class":"block","name":"sda1","devnode":"/dev/sda1","label":"MY STICK"}"#,
/// );
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// It does not fit into `out`.
pub fn device<'v>(
    devpath: &[u8],
    subsystem: &[u8],
    properties: impl Iterator<Item = (&'v [u8], &'v [u8])>,
    again: bool,
    out: &mut [u8],
) -> Result<usize, Full> {
    let known = Known::of(properties);
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("devpath").string_bytes(devpath);
    json.key("class").string_bytes(subsystem);
    json.key("name").string_bytes(super::super::name(devpath));
    text(&mut json, "devtype", known.get(b"DEVTYPE"));
    let mut node = [0; MAX_NODE];
    text(&mut json, "devnode", known.get(b"DEVNAME").and_then(|name| devnode(name, &mut node)));
    number(&mut json, "major", known.get(b"MAJOR"));
    number(&mut json, "minor", known.get(b"MINOR"));
    list(&mut json, "links", known.get(b"DEVLINKS").into_iter().flat_map(words));
    text(&mut json, "ifname", known.get(b"INTERFACE").filter(|_| subsystem == b"net"));
    number(&mut json, "ifindex", known.get(b"IFINDEX"));
    text(&mut json, "driver", known.get(b"DRIVER"));
    text(&mut json, "modalias", known.get(b"MODALIAS"));
    text(&mut json, "bus", known.get(b"ID_BUS"));
    known.numbers(&mut json);
    text(&mut json, "vendor_name", known.get(b"ID_VENDOR_FROM_DATABASE"));
    text(&mut json, "product_name", known.get(b"ID_MODEL_FROM_DATABASE"));
    known.name(&mut json, "manufacturer", b"ID_VENDOR_ENC", b"ID_VENDOR");
    known.name(&mut json, "model", b"ID_MODEL_ENC", b"ID_MODEL");
    // The long one names the model first; where there is no short one, only devices without a bus mean a number by it.
    let serial = known.get(b"ID_SERIAL").filter(|_| known.get(b"ID_BUS").is_none());
    text(&mut json, "serial", known.get(b"ID_SERIAL_SHORT").or(serial));
    text(&mut json, "fstype", known.get(b"ID_FS_TYPE"));
    known.name(&mut json, "label", b"ID_FS_LABEL_ENC", b"ID_FS_LABEL");
    text(&mut json, "uuid", known.get(b"ID_FS_UUID"));
    list(&mut json, "kinds", known.kinds().map(str::as_bytes));
    text(&mut json, "devpath_old", known.get(b"DEVPATH_OLD"));
    if again {
        json.key("again").bool(true);
    }
    json.end_object().finish()
}

/// What of the properties is told of.
struct Known<'v> {
    values: [Option<&'v [u8]>; TOLD.len()],
    /// A bit for each of [`KINDS`].
    kinds: u16,
}

impl<'v> Known<'v> {
    fn of(properties: impl Iterator<Item = (&'v [u8], &'v [u8])>) -> Self {
        let mut known = Self { values: [None; TOLD.len()], kinds: 0 };
        for (key, value) in properties {
            if let Some(place) = TOLD.binary_search(&key).ok().and_then(|at| known.values.get_mut(at)) {
                *place = Some(value);
            } else if key.starts_with(b"ID_INPUT_")
                && value == b"1"
                && let Some(at) = KINDS.iter().position(|(kind, _)| *kind == key)
            {
                known.kinds |= 1 << at;
            }
        }
        known
    }

    /// A property of [`TOLD`], if it is there and not empty.
    fn get(&self, key: &[u8]) -> Option<&'v [u8]> {
        let at = TOLD.binary_search(&key).ok()?;
        self.values.get(at).copied().flatten().filter(|value| !value.is_empty())
    }

    fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let kinds = self.kinds;
        KINDS.iter().enumerate().filter(move |(at, _)| kinds & 1 << at != 0).map(|(_, (_, word))| *word)
    }

    /// A name as it is, or the one that udev has made fit for file names.
    fn name(&self, json: &mut Writer<'_>, key: &str, encoded: &[u8], plain: &[u8]) {
        let mut space = [0; MAX_NAME];
        let name = self.get(encoded).and_then(|value| decoded(value, &mut space)).map(<[u8]>::trim_ascii);
        text(json, key, name.filter(|name| !name.is_empty()).or(self.get(plain)));
    }

    /// `vendor` and `product`, without what stands before or instead of four digits.
    fn numbers(&self, json: &mut Writer<'_>) {
        let pci = self.get(b"PCI_ID").and_then(|id| id.split_at_checked(4));
        let pci = pci.and_then(|(vendor, product)| Some((vendor, product.strip_prefix(b":")?)));
        let vendor = self.get(b"ID_VENDOR_ID").or(pci.map(|(vendor, _)| vendor));
        let product = self.get(b"ID_MODEL_ID").or(pci.map(|(_, product)| product));
        for (key, value) in [("vendor", vendor), ("product", product)] {
            let value = value.map(|value| value.strip_prefix(b"0x").unwrap_or(value));
            let digits: Option<[u8; 4]> = value.and_then(|value| value.try_into().ok());
            if let Some(digits) = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                json.key(key).string_bytes(&digits.map(|digit| digit.to_ascii_lowercase()));
            }
        }
    }
}

/// What `\x20` and the like stand for. `None` if there is no room for it.
fn decoded<'o>(value: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let mut len = 0;
    for byte in encode::decoded(value) {
        *out.get_mut(len)? = byte;
        len += 1;
    }
    out.get(..len)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

fn text(json: &mut Writer<'_>, key: &str, value: Option<&[u8]>) {
    if let Some(value) = value {
        json.key(key).string_bytes(value);
    }
}

fn number(json: &mut Writer<'_>, key: &str, value: Option<&[u8]>) {
    if let Some(value) = value.and_then(|value| str::from_utf8(value).ok()?.parse().ok()) {
        json.key(key).number(value);
    }
}

/// Left out if there is nothing in it.
fn list<'v>(json: &mut Writer<'_>, key: &str, values: impl Iterator<Item = &'v [u8]>) {
    let mut values = values.peekable();
    if values.peek().is_some() {
        json.key(key).begin_array();
        values.for_each(|value| {
            json.string_bytes(value);
        });
        json.end_array();
    }
}

/// The node of a `DEVNAME`, which is relative to /dev in events and absolute in udev's.
fn devnode<'o>(devname: &[u8], out: &'o mut [u8; MAX_NODE]) -> Option<&'o [u8]> {
    let prefix: &[u8] = if devname.starts_with(b"/") { b"" } else { b"/dev/" };
    let len = prefix.len() + devname.len();
    let (head, tail) = out.get_mut(..len)?.split_at_mut_checked(prefix.len())?;
    head.copy_from_slice(prefix);
    tail.copy_from_slice(devname);
    out.get(..len)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use serde_json::{Value, json};
    use std::vec::Vec;

    use super::*;

    fn said(devpath: &str, class: &str, properties: &[(&str, &str)]) -> Value {
        let properties = properties.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        let mut out = [0; 2048];
        let len = device(devpath.as_bytes(), class.as_bytes(), properties, false, &mut out).unwrap();
        serde_json::from_slice(&out[..len]).unwrap()
    }

    #[test]
    fn properties_are_found_by_their_order() {
        assert!(TOLD.is_sorted());
        assert!(KINDS.len() <= 16);
    }

    #[test]
    fn a_simple_device() {
        let properties = [
            ("MAJOR", "8"),
            ("MINOR", "x"),
            ("DEVNAME", "bus/usb/001/002"),
            ("DEVTYPE", "usb_device"),
            ("INTERFACE", "8/6/80"),
            ("OTHER", "left out"),
        ];
        assert_eq!(
            said("/devices/a/b", "usb", &properties),
            json!({"devpath": "/devices/a/b", "class": "usb", "name": "b", "major": 8,
                "devnode": "/dev/bus/usb/001/002", "devtype": "usb_device"})
        );
        assert_eq!(
            said("/devices/net/eth0", "net", &[("INTERFACE", "eth0"), ("IFINDEX", "3")]),
            json!({"devpath": "/devices/net/eth0", "class": "net", "name": "eth0",
                "ifname": "eth0", "ifindex": 3})
        );
        let mut out = [0; 256];
        let len = device(b"/devices/a", b"mem", core::iter::empty(), true, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out[..len]).unwrap();
        assert_eq!(value, json!({"devpath": "/devices/a", "class": "mem", "name": "a", "again": true}));
    }

    #[test]
    fn what_rules_have_found_is_told_in_the_words_of_usb() {
        let said = said(
            "/devices/x/sda1",
            "block",
            &[
                ("DEVNAME", "sda1"),
                ("DEVNAME", "/dev/sda1"),
                ("DEVLINKS", "/dev/disk/by-label/A /dev/disk/by-uuid/1234-ABCD"),
                ("ID_BUS", "usb"),
                ("ID_VENDOR_ID", "0951"),
                ("ID_MODEL_ID", "1666"),
                ("ID_VENDOR", "Kingston"),
                ("ID_VENDOR_ENC", r"Kingston\x20\x20"),
                ("ID_VENDOR_FROM_DATABASE", "Kingston Technology"),
                ("ID_MODEL", "DataTraveler_3.0"),
                ("ID_MODEL_ENC", r"DataTraveler\x203.0"),
                ("ID_SERIAL", "Kingston_DataTraveler_3.0_E0D5"),
                ("ID_SERIAL_SHORT", "E0D5"),
                ("ID_FS_TYPE", "vfat"),
                ("ID_FS_LABEL", "caf_"),
                ("ID_FS_LABEL_ENC", r"caf\xc3\xa9\x5c"),
                ("ID_FS_UUID", "1234-ABCD"),
            ],
        );
        for (key, value) in [
            ("devnode", json!("/dev/sda1")),
            ("links", json!(["/dev/disk/by-label/A", "/dev/disk/by-uuid/1234-ABCD"])),
            ("bus", json!("usb")),
            ("vendor", json!("0951")),
            ("product", json!("1666")),
            ("vendor_name", json!("Kingston Technology")),
            ("manufacturer", json!("Kingston")),
            ("model", json!("DataTraveler 3.0")),
            ("serial", json!("E0D5")),
            ("fstype", json!("vfat")),
            ("label", json!("caf\u{e9}\\")),
            ("uuid", json!("1234-ABCD")),
        ] {
            assert_eq!(said[key], value, "{key}");
        }
    }

    #[test]
    fn numbers_come_from_where_they_are() {
        let id = |pairs: &[(&str, &str)]| {
            let said = said("/devices/a", "pci", pairs);
            (said.get("vendor").cloned(), said.get("product").cloned())
        };
        let some = |vendor: &str, product: &str| (Some(json!(vendor)), Some(json!(product)));
        assert_eq!(id(&[("PCI_ID", "8086:100E")]), some("8086", "100e"));
        assert_eq!(id(&[("PCI_ID", "8086:100E"), ("ID_VENDOR_ID", "0x1af4")]), some("1af4", "100e"));
        for odd in ["", "8086", "8086:100", "808\u{e9}:100E", "80861:00E"] {
            assert_eq!(id(&[("PCI_ID", odd), ("ID_VENDOR_ID", "0x12345")]), (None, None), "{odd}");
        }
        let serial = |pairs: &[(&str, &str)]| said("/devices/a", "block", pairs).get("serial").cloned();
        assert_eq!(serial(&[("ID_SERIAL", "disk0")]), Some(json!("disk0")));
        assert_eq!(serial(&[("ID_SERIAL", "Vendor_Model"), ("ID_BUS", "usb")]), None);
    }

    #[test]
    fn input_devices_say_what_they_are() {
        let kinds = |pairs: &[(&str, &str)]| said("/devices/a", "input", pairs).get("kinds").cloned();
        let both = [("ID_INPUT", "1"), ("ID_INPUT_MOUSE", "1"), ("ID_INPUT_KEYBOARD", "1")];
        assert_eq!(kinds(&both), Some(json!(["keyboard", "mouse"])));
        assert_eq!(kinds(&[("ID_INPUT_MOUSE", ""), ("ID_INPUT_WIDTH_MM", "1")]), None);
    }

    #[test]
    fn a_name_longer_than_all_names_is_the_plain_one() {
        let long: std::string::String = r"\x20a".repeat(MAX_NAME);
        let said = said("/devices/a", "block", &[("ID_MODEL", "plain"), ("ID_MODEL_ENC", &long)]);
        assert_eq!(said["model"], "plain");
    }

    #[test]
    fn a_node_longer_than_all_nodes_is_left_out() {
        let name: Vec<u8> = std::vec![b'x'; MAX_NODE];
        let name = str::from_utf8(&name).unwrap();
        assert_eq!(said("/devices/a", "mem", &[("DEVNAME", name)]).get("devnode"), None);
        assert!(said("/devices/a", "mem", &[("DEVNAME", &name[5..])]).get("devnode").is_some());
    }
}
