//! `hwdb`: what others know of the device, by what it, or one above it, says that it is.

use std::io;

use lunix_core::device::hwdb::{Hwdb, glob};

use super::ancestry::Ancestor;
use super::{Asked, Properties};
use crate::natsdev::hwdb::Mapped;

/// What stands on the command line.
#[derive(Debug, Default)]
struct Wanted {
    filter: Option<Vec<u8>>,
    subsystem: Option<Vec<u8>>,
    prefix: Vec<u8>,
    device: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
}

impl Wanted {
    /// As getopt_long(3) reads them.
    fn read(arguments: &[Vec<u8>]) -> Option<Self> {
        let mut wanted = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let known: [(&[u8], &[u8]); 4] =
                [(b"filter", b"-f"), (b"device", b"-d"), (b"subsystem", b"-s"), (b"lookup-prefix", b"-p")];
            if !argument.starts_with(b"-") {
                wanted.name.get_or_insert_with(|| argument.clone());
                continue;
            }
            let found = known.iter().enumerate().find_map(|(index, (long, short))| {
                if let Some(value) = argument.strip_prefix(*short) {
                    return Some((index, Some(value.to_vec()).filter(|value| !value.is_empty())));
                }
                let rest = argument.strip_prefix(b"--")?.strip_prefix(*long)?;
                match rest.split_first() {
                    None => Some((index, None)),
                    Some((b'=', value)) => Some((index, Some(value.to_vec()))),
                    _ => None,
                }
            });
            let (index, value) = found?;
            let value = value.or_else(|| rest.next().cloned())?;
            match index {
                0 => wanted.filter = Some(value),
                1 => wanted.device = Some(value),
                2 => wanted.subsystem = Some(value),
                _ => wanted.prefix = value,
            }
        }
        Some(wanted)
    }

    /// What is said about `name`; `None` if that is nothing.
    fn lookup(&self, hwdb: &Hwdb<'_>, name: &[u8]) -> Option<Properties> {
        let mut properties = Properties::new();
        let matches = hwdb.lookup(&[&self.prefix, name].concat());
        for (key, value) in matches.properties() {
            if self.filter.as_ref().is_some_and(|filter| !glob(filter, key)) {
                continue;
            }
            match properties.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => *known = value.to_vec(),
                None => properties.push((key.to_vec(), value.to_vec())),
            }
        }
        Some(properties).filter(|properties| !properties.is_empty())
    }
}

pub(super) fn run(asked: &Asked<'_>) -> io::Result<Option<Properties>> {
    let wanted = Wanted::read(&asked.arguments).ok_or(io::ErrorKind::InvalidInput)?;
    let Some(mapped) = Mapped::open(asked.root)? else { return Ok(None) };
    let hwdb = mapped.hwdb()?;
    if let Some(name) = &wanted.name {
        return Ok(wanted.lookup(&hwdb, name));
    }
    let device = Ancestor::of(asked.root, asked.device);
    let device = device.and_then(|own| match &wanted.device {
        Some(id) => other(&own, id),
        None => Some(own),
    });
    let Some(device) = device else { return Ok(None) };
    for ancestor in device.chain() {
        let Some(subsystem) = ancestor.subsystem() else { continue };
        if wanted.subsystem.as_ref().is_some_and(|wanted| *wanted != subsystem) {
            continue;
        }
        let usb = subsystem == b"usb" && ancestor.devtype().as_deref() == Some(b"usb_device");
        let name = ancestor.variable(b"MODALIAS").or_else(|| usb.then(|| of_usb(&ancestor))?);
        let found = name.and_then(|name| wanted.lookup(&hwdb, &name));
        // Above a USB device there are only hubs.
        if found.is_some() || usb {
            return Ok(found);
        }
    }
    Ok(None)
}

/// USB devices have no alias of their own.
fn of_usb(device: &Ancestor) -> Option<Vec<u8>> {
    let number = |name: &str| u16::from_str_radix(device.text(name)?.trim(), 16).ok();
    let head = format!("usb:v{:04X}p{:04X}:", number("idVendor")?, number("idProduct")?);
    Some([head.into_bytes(), device.attribute("product").unwrap_or_default()].concat())
}

/// Another device, by `+subsystem:name`.
fn other(own: &Ancestor, id: &[u8]) -> Option<Ancestor> {
    let text = str::from_utf8(id).ok()?.strip_prefix('+')?;
    let (subsystem, name) = text.split_once(':')?;
    own.named(subsystem, name.as_bytes())
}
