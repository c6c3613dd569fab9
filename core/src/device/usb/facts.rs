//! What is known about one USB device: a list of records in a bounded stretch of bytes.

use lunix_proto::Full;
use lunix_proto::json::Writer;

/// Something that the driver found out about a device, below its folder in /sys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A text attribute, as its file has it; white space around it is left out.
    Attribute(Attribute, &'a [u8]),
    /// A driver took the device itself (its folder has a `driver` link). Without it the device has no
    /// configuration yet.
    Bound,
    /// One of its interfaces.
    Interface {
        /// `bInterfaceClass`.
        class: u8,
        /// A driver took it.
        bound: bool,
    },
    /// A SCSI unit below it. `disk`: of a kind that becomes a block device (SCSI types 0, 5, 7, 14).
    Unit {
        /// It becomes a block device.
        disk: bool,
    },
    /// A disk below it, with all its partitions.
    Disk,
    /// A device node below it: its path in /dev.
    Node(&'a [u8]),
    /// A network interface below it: its name.
    Net(&'a [u8]),
    /// An input event node below it: its path in /dev.
    Input(&'a [u8]),
    /// What may hold a file system: a partition, or a disk that has a medium and no partitions.
    Volume {
        /// Its node.
        devnode: &'a [u8],
        /// In bytes.
        size: u64,
    },
}

/// A text attribute of a USB device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `idVendor`.
    Vendor,
    /// `idProduct`.
    Product,
    /// What a table of hardware calls the vendor.
    VendorName,
    /// What a table of hardware calls the product.
    ProductName,
    /// `manufacturer`.
    Manufacturer,
    /// `product`: what the device calls itself.
    Model,
    /// `serial`.
    Serial,
    /// `speed`, in Mbit/s.
    Speed,
    /// `bDeviceClass`.
    Class,
    /// The device's own node, `/dev/bus/usb/…`.
    Devnode,
}

impl Attribute {
    /// All of them, in the order of the JSON.
    pub const ALL: [Self; 10] = [
        Self::Vendor,
        Self::Product,
        Self::VendorName,
        Self::ProductName,
        Self::Manufacturer,
        Self::Model,
        Self::Serial,
        Self::Class,
        Self::Speed,
        Self::Devnode,
    ];

    /// The file that holds it, in the device's folder; the node and what others call the device are no files.
    pub const fn file(self) -> Option<&'static str> {
        match self {
            Self::Vendor => Some("idVendor"),
            Self::Product => Some("idProduct"),
            Self::Manufacturer => Some("manufacturer"),
            Self::Model => Some("product"),
            Self::Serial => Some("serial"),
            Self::Speed => Some("speed"),
            Self::Class => Some("bDeviceClass"),
            Self::Devnode | Self::VendorName | Self::ProductName => None,
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Product => "product",
            Self::VendorName => "vendor_name",
            Self::ProductName => "product_name",
            Self::Manufacturer => "manufacturer",
            Self::Model => "model",
            Self::Serial => "serial",
            Self::Speed => "speed",
            Self::Class => "class",
            Self::Devnode => "devnode",
        }
    }
}

/// What a volume turned out to hold; what is empty is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents<'a> {
    /// As `mount -t` names it.
    pub fstype: &'a [u8],
    /// The label its owner gave it.
    pub label: &'a [u8],
    /// As blkid prints it.
    pub uuid: &'a [u8],
}

/// Whether a device can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// All is there.
    Ready,
    /// All but drivers for interfaces that may have none.
    ButDrivers,
    /// Something that will come is missing.
    Not,
}

// One byte says what a record is, two how long it is.
const HEAD: usize = 3;

const ATTRIBUTE: u8 = 0x10; // ..0x1f
const BOUND: u8 = 1;
const INTERFACE: u8 = 2;
const UNIT: u8 = 3;
const DISK: u8 = 4;
const NODE: u8 = 5;
const NET: u8 = 6;
const INPUT: u8 = 7;
const VOLUME: u8 = 8;
const CONTENTS: u8 = 9;
/// Something did not fit. The byte for it is kept free.
const TRUNCATED: u8 = 10;

/// The records in `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'b> {
    bytes: &'b [u8],
}

/// Appends to the `len` bytes of records in `bytes`, and returns their new length.
pub(super) fn push(bytes: &mut [u8], len: usize, fact: Fact<'_>) -> usize {
    match fact {
        Fact::Attribute(attribute, value) => {
            let number = Attribute::ALL.iter().position(|other| *other == attribute).unwrap_or(0);
            let value = value.trim_ascii();
            if value.is_empty() { len } else { put(bytes, len, ATTRIBUTE | (number as u8 & 15), &[value]) }
        }
        Fact::Bound => put(bytes, len, BOUND, &[]),
        Fact::Interface { class, bound } => put(bytes, len, INTERFACE, &[&[class, u8::from(bound)]]),
        Fact::Unit { disk } => put(bytes, len, UNIT, &[&[u8::from(disk)]]),
        Fact::Disk => put(bytes, len, DISK, &[]),
        Fact::Node(node) => put(bytes, len, NODE, &[node]),
        Fact::Net(name) => put(bytes, len, NET, &[name]),
        Fact::Input(node) => put(bytes, len, INPUT, &[node]),
        Fact::Volume { devnode, size } => put(bytes, len, VOLUME, &[&size.to_le_bytes(), devnode]),
    }
}

/// Appends what volume number `index` holds.
pub(super) fn push_contents(bytes: &mut [u8], len: usize, index: u16, contents: Contents<'_>) -> usize {
    let Contents { fstype, label, uuid } = contents;
    let field = |text: &[u8]| text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let parts = [
        &index.to_le_bytes()[..],
        fstype.get(..field(fstype)).unwrap_or_default(),
        &[0],
        label.get(..field(label)).unwrap_or_default(),
        &[0],
        uuid.get(..field(uuid)).unwrap_or_default(),
    ];
    put(bytes, len, CONTENTS, &parts)
}

fn put(bytes: &mut [u8], len: usize, tag: u8, parts: &[&[u8]]) -> usize {
    let value: usize = parts.iter().map(|part| part.len()).sum();
    let end = len + HEAD + value;
    let (Ok(size), true) = (u16::try_from(value), end + HEAD <= bytes.len()) else {
        return truncated(bytes, len);
    };
    let Some(record) = bytes.get_mut(len..end) else { return len };
    let Some((head, mut rest)) = record.split_at_mut_checked(HEAD) else { return len };
    let [low, high] = size.to_le_bytes();
    head.copy_from_slice(&[tag, low, high]);
    for part in parts {
        let Some((place, next)) = rest.split_at_mut_checked(part.len()) else { return len };
        place.copy_from_slice(part);
        rest = next;
    }
    end
}

fn truncated(bytes: &mut [u8], len: usize) -> usize {
    let said = bytes.get(..len).is_some_and(|bytes| Facts { bytes }.any(TRUNCATED));
    match bytes.get_mut(len..len + HEAD) {
        Some(record) if !said => {
            record.copy_from_slice(&[TRUNCATED, 0, 0]);
            len + HEAD
        }
        _ => len,
    }
}

impl<'b> Facts<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    fn records(self) -> impl Iterator<Item = (u8, &'b [u8])> + Clone {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<HEAD>()?;
            let [tag, low, high] = *head;
            let (value, next) = tail.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
            rest = next;
            Some((tag, value))
        })
    }

    fn of(self, tag: u8) -> impl Iterator<Item = &'b [u8]> + Clone {
        self.records().filter(move |(other, _)| *other == tag).map(|(_, value)| value)
    }

    fn any(self, tag: u8) -> bool {
        self.of(tag).next().is_some()
    }

    fn attribute(self, attribute: Attribute) -> Option<&'b [u8]> {
        let number = Attribute::ALL.iter().position(|other| *other == attribute)?;
        self.of(ATTRIBUTE | number as u8).next()
    }

    /// Whether `devname` (as in an event, relative to /dev) is among the nodes.
    pub(super) fn has_node(self, devname: &[u8]) -> bool {
        self.of(NODE).any(|node| {
            node == devname || node.strip_prefix(b"/dev/").is_some_and(|relative| relative == devname)
        })
    }

    /// The node of volume number `index`.
    pub(super) fn volume(self, index: u16) -> Option<&'b [u8]> {
        self.of(VOLUME).nth(usize::from(index)).and_then(|value| value.get(8..))
    }

    /// Whether the device, as it was found, can be used.
    pub(super) fn readiness(self) -> Readiness {
        let mut storage = false;
        let mut waiting = false;
        let mut driverless = false;
        for interface in self.of(INTERFACE) {
            match interface {
                [STORAGE, 1] => storage = true,
                [STORAGE, _] => waiting = true,
                [_, 1] => {}
                _ => driverless = true,
            }
        }
        let units = self.of(UNIT).count();
        let disks_to_come = self.of(UNIT).filter(|unit| *unit == [1]).count();
        let disks = self.disks();
        if !self.any(BOUND) || waiting || (storage && units == 0) || disks < disks_to_come {
            Readiness::Not
        } else if driverless {
            Readiness::ButDrivers
        } else {
            Readiness::Ready
        }
    }

    pub(super) fn disks(self) -> usize {
        self.of(DISK).count()
    }

    /// How many of the device and its interfaces have no driver.
    pub(super) fn driverless(self) -> usize {
        let interfaces = self.of(INTERFACE).filter(|interface| !matches!(interface, [_, 1])).count();
        interfaces + usize::from(!self.any(BOUND))
    }

    /// What the device is for, in a word.
    fn class(self) -> Option<&'static str> {
        let device = self.attribute(Attribute::Class).and_then(|text| {
            core::str::from_utf8(text).ok().and_then(|text| u8::from_str_radix(text, 16).ok())
        });
        match device {
            // "Look at the interfaces", said in two ways.
            None | Some(0x00 | 0xef) => {
                self.of(INTERFACE).next().and_then(|interface| interface.first().copied())
            }
            class => class,
        }
        .map(class_name)
    }

    pub(super) fn encode(self, devpath: &[u8], again: bool, out: &mut [u8]) -> Result<usize, Full> {
        let mut json = Writer::new(out);
        json.begin_object();
        json.key("devpath").string_bytes(devpath);
        for attribute in Attribute::ALL {
            match (attribute, self.attribute(attribute)) {
                (Attribute::Class, _) => match self.class() {
                    Some(class) => json.key("class").string(class),
                    None => &mut json,
                },
                // The kernel says 1.5, 12, 480, 5000, …; `unknown` is not a number.
                (Attribute::Speed, Some(speed)) if is_decimal(speed) => json.key("speed").raw(speed),
                (Attribute::Speed, _) | (_, None) => &mut json,
                (_, Some(value)) => json.key(attribute.key()).string_bytes(value),
            };
        }
        json.key("port").string_bytes(super::super::name(devpath));
        for (key, tag) in [("nodes", NODE), ("net", NET), ("input", INPUT)] {
            json.key(key).begin_array();
            for text in self.of(tag) {
                json.string_bytes(text);
            }
            json.end_array();
        }
        json.key("volumes").begin_array();
        for (index, volume) in self.of(VOLUME).enumerate() {
            self.encode_volume(index, volume, &mut json);
        }
        json.end_array();
        if self.any(TRUNCATED) {
            json.key("truncated").bool(true);
        }
        if again {
            json.key("again").bool(true);
        }
        json.end_object().finish()
    }

    fn encode_volume(self, index: usize, volume: &[u8], json: &mut Writer<'_>) {
        let Some((size, devnode)) = volume.split_first_chunk::<8>() else { return };
        let mut contents = self
            .of(CONTENTS)
            .filter_map(|value| value.split_first_chunk::<2>())
            .find(|(number, _)| usize::from(u16::from_le_bytes(**number)) == index)
            .map(|(_, fields)| fields)
            .unwrap_or_default()
            .split(|byte| *byte == 0);
        json.begin_object();
        json.key("devnode").string_bytes(devnode);
        for key in ["fstype", "label", "uuid"] {
            json.key(key);
            match contents.next() {
                None | Some([]) => json.null(),
                Some(text) => json.string_bytes(text),
            };
        }
        json.key("size").number(u64::from_le_bytes(*size));
        json.end_object();
    }
}

fn is_decimal(text: &[u8]) -> bool {
    let digits = |part: Option<&[u8]>| {
        part.is_some_and(|part| !part.is_empty() && part.len() <= 9 && part.iter().all(u8::is_ascii_digit))
    };
    let mut parts = text.split(|byte| *byte == b'.');
    digits(parts.next())
        && text.first().is_some_and(|first| *first != b'0' || text.len() == 1)
        && match parts.next() {
            None => true,
            fraction => digits(fraction) && parts.next().is_none(),
        }
}

const STORAGE: u8 = 0x08;

/// USB-IF's defined class codes, in words.
const fn class_name(class: u8) -> &'static str {
    match class {
        0x01 => "audio",
        0x02 | 0x0a => "communications",
        0x03 => "hid",
        0x05 => "physical",
        0x06 => "image",
        0x07 => "printer",
        STORAGE => "storage",
        0x09 => "hub",
        0x0b => "smartcard",
        0x0d => "security",
        0x0e => "video",
        0x0f => "healthcare",
        0x10 => "audio-video",
        0x11 => "billboard",
        0x12 => "type-c-bridge",
        0xdc => "diagnostic",
        0xe0 => "wireless",
        0xff => "vendor",
        _ => "other",
    }
}
