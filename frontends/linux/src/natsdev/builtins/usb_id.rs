//! `usb_id`: what a USB device says of itself, and how it is told from others of its kind.

use lunix_core::device::encode;
use lunix_core::device::usb::{MAX_INTERFACES, interface_type, interfaces, scsi_type, storage_type};

use super::ancestry::Ancestor;
use super::{Asked, Properties, put};
use crate::natsdev::device::limited;

/// Bytes of a name, and of a serial number, that count.
const NAME: usize = 63;
const SERIAL: usize = 511;
/// Bytes of all descriptors of a device.
const DESCRIPTORS: u64 = 18 + 65535;

/// A text of the device, safe in names and encoded.
#[derive(Debug, Default)]
struct Name {
    safe: Vec<u8>,
    encoded: Vec<u8>,
}

impl Name {
    fn of(text: &[u8]) -> Self {
        Self { safe: safe(text, NAME), encoded: encode::encoded(text).take(255).collect() }
    }
}

fn safe(text: &[u8], limit: usize) -> Vec<u8> {
    let mut safe = text.to_vec();
    let len = encode::safe(&mut safe);
    safe.truncate(len.min(limit));
    safe
}

/// What is found out on the way.
#[derive(Debug, Default)]
struct Identity {
    vendor: Name,
    model: Name,
    revision: Vec<u8>,
    kind: &'static str,
    instance: String,
}

pub(super) fn run(asked: &Asked<'_>) -> Option<Properties> {
    let device = Ancestor::of(asked.root, asked.device)?;
    let mut identity = Identity::default();
    let (mut number, mut driver) = (None, None);
    let usb = if asked.device.property(b"DEVTYPE") == Some(b"usb_device") {
        device
    } else {
        let interface = device.above("usb", Some("usb_interface"))?;
        number = interface.attribute("bInterfaceNumber");
        driver = interface.attribute("driver");
        let class = hexadecimal(&interface.text("bInterfaceClass")?)?;
        identity.kind = interface_type(class);
        if class == 8 {
            let subclass = interface.text("bInterfaceSubClass").and_then(|subclass| decimal(&subclass));
            let (kind, scsi) = subclass.map_or(("", false), storage_type);
            identity.kind = kind;
            if scsi {
                identity.scsi(&device);
            }
        }
        interface.above("usb", Some("usb_device"))?
    };
    identity.usb(&usb)?;
    let descriptors = limited(&usb.folder().join("descriptors"), DESCRIPTORS).unwrap_or_default();
    let mut out = [0; MAX_INTERFACES];
    Some(identity.properties(asked, &usb, interfaces(&descriptors, &mut out), number, driver))
}

impl Identity {
    /// Disks and the like know more of themselves than their adapters do.
    fn scsi(&mut self, device: &Ancestor) -> Option<()> {
        let scsi = device.above("scsi", Some("scsi_device"))?;
        let mut numbers = str::from_utf8(scsi.name()).ok()?.split(':').map(str::parse::<u32>);
        let (_, _, target, lun) =
            (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        self.vendor = Name::of(&scsi.attribute("vendor")?);
        self.model = Name::of(&scsi.attribute("model")?);
        self.kind = scsi_type(decimal(&scsi.text("type")?)?);
        self.revision = safe(&scsi.attribute("rev")?, NAME);
        self.instance = format!("{target}:{lun}");
        Some(())
    }

    /// What is not known yet, from the device's own texts and numbers.
    fn usb(&mut self, usb: &Ancestor) -> Option<()> {
        let (vendor, product) = (usb.attribute("idVendor")?, usb.attribute("idProduct")?);
        if self.vendor.safe.is_empty() {
            self.vendor = Name::of(&usb.attribute("manufacturer").unwrap_or(vendor));
        }
        if self.model.safe.is_empty() {
            self.model = Name::of(&usb.attribute("product").unwrap_or(product));
        }
        if self.revision.is_empty() {
            self.revision = safe(&usb.attribute("bcdDevice").unwrap_or_default(), NAME);
        }
        Some(())
    }

    fn properties(
        &self,
        asked: &Asked<'_>,
        usb: &Ancestor,
        interfaces: &[u8],
        number: Option<Vec<u8>>,
        driver: Option<Vec<u8>>,
    ) -> Properties {
        let printable = |text: &Vec<u8>| text.iter().all(|byte| matches!(byte, 0x20..=0x7f) && *byte != b',');
        let short = usb.attribute("serial").filter(printable).map(|serial| safe(&serial, SERIAL));
        let short = short.unwrap_or_default();
        let mut serial = [&self.vendor.safe, &b"_"[..], &self.model.safe].concat();
        if !short.is_empty() {
            serial.extend([b"_", short.as_slice()].concat());
        }
        if !self.instance.is_empty() {
            serial.extend([b"-", self.instance.as_bytes()].concat());
        }
        serial.truncate(255);
        let (vendor, product) =
            (usb.attribute("idVendor").unwrap_or_default(), usb.attribute("idProduct").unwrap_or_default());
        let own: [(&str, &[u8], bool); 11] = [
            ("MODEL", &self.model.safe, true),
            ("MODEL_ENC", &self.model.encoded, true),
            ("MODEL_ID", &product, true),
            ("SERIAL", &serial, true),
            ("SERIAL_SHORT", &short, false),
            ("VENDOR", &self.vendor.safe, true),
            ("VENDOR_ENC", &self.vendor.encoded, true),
            ("VENDOR_ID", &vendor, true),
            ("REVISION", &self.revision, true),
            ("TYPE", self.kind.as_bytes(), false),
            ("INSTANCE", self.instance.as_bytes(), false),
        ];
        let own = own.into_iter().filter(|(_, value, always)| *always || !value.is_empty());
        let mut properties = Properties::new();
        // Who has found out by another bus what it is has said so.
        if asked.property(b"ID_BUS").is_none() {
            put(&mut properties, "ID_BUS", "usb");
            own.clone().for_each(|(key, value, _)| put(&mut properties, &format!("ID_{key}"), value));
        }
        own.for_each(|(key, value, _)| put(&mut properties, &format!("ID_USB_{key}"), value));
        let more = [("INTERFACES", Some(interfaces.to_vec())), ("INTERFACE_NUM", number), ("DRIVER", driver)];
        for (key, value) in more {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                put(&mut properties, &format!("ID_USB_{key}"), value);
            }
        }
        properties
    }
}

fn hexadecimal(text: &str) -> Option<u8> {
    u8::from_str_radix(text.trim(), 16).ok()
}

/// As C reads numbers without a base: `06` is octal, which is the same up to seven.
fn decimal(text: &str) -> Option<u8> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
