//! `net_id`: names of network interfaces that stay the same: by the firmware's number, the slot, the place on the buses, the
//! address.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use lunix_core::device::hwdb::Hwdb;

use super::ancestry::Ancestor;
use super::{Asked, Properties, put};
use crate::natsdev::device::limited;
use crate::natsdev::hwdb::Mapped;

/// The rules of naming that these are, in systemd's counting.
const SCHEME: &str = "v255";
/// The longest name that an interface may also have.
const MAX_NAME: usize = 127;
/// Numbers above are nonsense of firmware.
const MAX_ONBOARD: u32 = (1 << 16) - 1;
/// The address is the one that the device was made with.
const PERMANENT: u32 = 0;
/// Kinds of interfaces (`linux/if_arp.h`).
const ETHERNET: u32 = 1;
const INFINIBAND: u32 = 32;
const SLIP: u32 = 256;

/// `net_driver`: which driver an interface has.
pub(super) fn driver(asked: &Asked<'_>) -> Option<Properties> {
    let mut properties = Properties::new();
    if let Some(driver) =
        Ancestor::of(asked.root, asked.device)?.parent().and_then(|above| above.attribute("driver"))
    {
        put(&mut properties, "ID_NET_DRIVER", driver);
    }
    Some(properties)
}

/// A name in the making.
#[derive(Debug)]
struct Interface {
    device: Ancestor,
    prefix: &'static str,
    properties: Properties,
}

pub(super) fn run(asked: &Asked<'_>) -> Option<Properties> {
    let device = Ancestor::of(asked.root, asked.device)?;
    let kind = device.decimal("type")?;
    // What is made on top of others has no place of its own.
    if device.decimal("ifindex")? != device.decimal("iflink")? {
        return Some(Properties::new());
    }
    let prefix = match (kind, asked.device.property(b"DEVTYPE")) {
        (ETHERNET, Some(b"wlan")) => "wl",
        (ETHERNET, Some(b"wwan")) => "ww",
        (ETHERNET, _) => "en",
        (INFINIBAND, _) => "ib",
        (SLIP, _) => "sl",
        _ => return Some(Properties::new()),
    };
    let mut interface = Interface { device, prefix, properties: Properties::new() };
    put(&mut interface.properties, "ID_NET_NAMING_SCHEME", SCHEME);
    let mapped = Mapped::open(asked.root).ok().flatten();
    let hwdb = mapped.as_ref().and_then(|mapped| mapped.hwdb().ok());
    // Each says nothing where it has nothing to say.
    let _ = interface.by_address(kind, hwdb.as_ref());
    let _ = interface.by_platform();
    let _ = interface.by_pci(kind);
    let _ = interface.by_usb(kind);
    let _ = interface.by_bcma(kind);
    Some(interface.properties)
}

impl Interface {
    fn name(&mut self, key: &str, rest: &str) {
        let name = format!("{}{rest}", self.prefix);
        if name.len() <= MAX_NAME {
            put(&mut self.properties, &format!("ID_NET_NAME_{key}"), name);
        }
    }

    fn by_address(&mut self, kind: u32, hwdb: Option<&Hwdb<'_>>) -> Option<()> {
        if kind == INFINIBAND || self.device.decimal("addr_assign_type")? != PERMANENT {
            return None;
        }
        let address = self.device.text("address")?;
        let parts: Vec<u8> = address
            .trim()
            .split(':')
            .map(|part| u8::from_str_radix(part, 16))
            .collect::<Result<_, _>>()
            .ok()?;
        if parts.len() != 6 {
            return None;
        }
        self.name("MAC", &format!("x{}", address.trim().replace(':', "").to_ascii_lowercase()));
        if parts.starts_with(&[0, 0, 0]) {
            return None;
        }
        let name = format!("OUI:{}", address.trim().replace(':', "").to_ascii_uppercase());
        for (key, value) in hwdb?.lookup(name.as_bytes()).properties() {
            self.properties.retain(|(known, _)| known != key);
            self.properties.push((key.to_vec(), value.to_vec()));
        }
        Some(())
    }

    /// Devices of ARM machines, by their ACPI names: `HISI00C2:00`.
    fn by_platform(&mut self) -> Option<()> {
        if !self.device.parent()?.is("platform") {
            return None;
        }
        let path = self.device.folder().as_os_str().as_bytes();
        let path = str::from_utf8(path).ok()?;
        let (_, below) = path.split_once("/devices/platform/")?;
        let (model, instance) = below.split('/').next()?.split_once(':')?;
        let (vendor, model) = model.split_at_checked(model.len().checked_sub(4)?)?;
        let valid = match vendor.len() {
            3 => vendor.bytes().all(|byte| byte.is_ascii_uppercase()),
            4 => vendor.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            _ => false,
        };
        if !valid || instance.len() != 2 {
            return None;
        }
        let (model, instance) =
            (u32::from_str_radix(model, 16).ok()?, u32::from_str_radix(instance, 16).ok()?);
        self.name("PATH", &format!("a{}{model:x}i{instance}", vendor.to_ascii_lowercase()));
        Some(())
    }

    fn by_pci(&mut self, kind: u32) -> Option<()> {
        let mut parent = self.device.parent()?;
        while parent.is("virtio") {
            parent = parent.parent()?;
        }
        if !parent.is("pci") {
            return None;
        }
        let (function, suffix) = match virtual_function(&parent) {
            Some((physical, suffix)) => (physical, suffix),
            None => {
                if let Some(label) = parent.text("label") {
                    let label = format!("{}{label}", self.prefix);
                    put(&mut self.properties, "ID_NET_LABEL_ONBOARD", label);
                }
                (parent, String::new())
            }
        };
        if let Some(index) = onboard(&function) {
            let port = self.port(false, kind);
            self.name("ONBOARD", &format!("o{index}{port}{suffix}"));
        }
        self.by_slot(&function, &suffix, kind)
    }

    fn by_usb(&mut self, kind: u32) -> Option<()> {
        let usb = self.device.above("usb", Some("usb_interface"))?;
        let name = str::from_utf8(usb.name()).ok()?;
        let (ports, rest) = name.split_once('-')?.1.split_once(':')?;
        let (config, number) = rest.split_once('.')?;
        let mut suffix = format!("u{}", ports.replace('.', "u"));
        if config != "1" {
            suffix.push_str(&format!("c{config}"));
        }
        if number != "0" {
            suffix.push_str(&format!("i{number}"));
        }
        match usb.above("pci", None) {
            Some(controller) => self.by_slot(&controller, &suffix, kind),
            None => {
                self.name("PATH", &suffix);
                Some(())
            }
        }
    }

    fn by_bcma(&mut self, kind: u32) -> Option<()> {
        let core = self.device.above("bcma", None)?;
        let number: u32 = str::from_utf8(core.name()).ok()?.split_once(':')?.1.parse().ok()?;
        let suffix = if number > 0 { format!("b{number}") } else { String::new() };
        self.by_slot(&core.above("pci", None)?, &suffix, kind)
    }

    /// By where it is on the bus, and by the slot in the case.
    fn by_slot(&mut self, function: &Ancestor, suffix: &str, kind: u32) -> Option<()> {
        let name = str::from_utf8(function.name()).ok()?;
        let mut parts = name.split([':', '.']);
        let mut hex = || u32::from_str_radix(parts.next()?, 16).ok();
        let (domain, bus, slot, mut number) = (hex()?, hex()?, hex()?, hex()?);
        // With alternative routing a device is one slot with up to 256 functions.
        if function.decimal("ari_enabled") == Some(1) {
            number += slot * 8;
        }
        let domain = if domain > 0 { format!("P{domain}") } else { String::new() };
        let several = number > 0 || is_multifunction(function);
        let number = if several { format!("f{number}") } else { String::new() };
        let port = self.port(true, kind);
        self.name("PATH", &format!("{domain}p{bus}s{slot}{number}{port}{suffix}"));
        let (slot, unique) = hotplug_slot(function)?;
        let domain = if unique { "" } else { &domain };
        self.name("SLOT", &format!("{domain}s{slot}{number}{port}{suffix}"));
        Some(())
    }

    /// Which of several ports of one function.
    fn port(&self, or_id: bool, kind: u32) -> String {
        if let Some(name) = self.device.text("phys_port_name").filter(|name| !name.is_empty()) {
            // Who represents a virtual function: `pf0vf3`.
            let number = name.strip_prefix("pf").and_then(|rest| rest.split_once("vf")).filter(|(pf, vf)| {
                !pf.is_empty() && pf.bytes().all(|byte| byte.is_ascii_digit()) && vf.parse::<u32>().is_ok()
            });
            return number.map_or_else(|| format!("n{name}"), |(_, vf)| format!("r{vf}"));
        }
        let number = match self.device.decimal("dev_port") {
            // Old kernels had it elsewhere.
            Some(0) if or_id && kind == INFINIBAND => self
                .device
                .text("dev_id")
                .and_then(|id| u32::from_str_radix(id.trim().trim_start_matches("0x"), 16).ok()),
            port => port,
        };
        number.filter(|number| *number > 0).map_or_else(String::new, |number| format!("d{number}"))
    }
}

fn onboard(function: &Ancestor) -> Option<u32> {
    let index = function.decimal("acpi_index").or_else(|| function.decimal("index"))?;
    (index <= MAX_ONBOARD).then_some(index)
}

/// The physical function of a virtual one, and which of its functions this is.
fn virtual_function(function: &Ancestor) -> Option<(Ancestor, String)> {
    let physical = function.linked("physfn")?;
    let entries = fs::read_dir(physical.folder()).ok()?;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("virtfn")).unwrap_or_default();
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if digits && fs::canonicalize(entry.path()).is_ok_and(|path| path == function.folder()) {
            return Some((physical, format!("v{number}")));
        }
    }
    None
}

fn is_multifunction(function: &Ancestor) -> bool {
    const HEADER_TYPE: usize = 14;
    let config = limited(&function.folder().join("config"), HEADER_TYPE as u64 + 1).unwrap_or_default();
    config.get(HEADER_TYPE).is_some_and(|kind| kind & 0x80 != 0)
}

/// A subclass of bridges, `…bc06sc04…`.
fn is_bridge(function: &Ancestor) -> bool {
    let alias = function.variable(b"MODALIAS").or_else(|| function.attribute("modalias"));
    let alias = alias.and_then(|alias| String::from_utf8(alias).ok()).unwrap_or_default();
    alias.starts_with("pci:") && alias.rsplit_once('s').is_some_and(|(_, rest)| rest.starts_with("c04"))
}

/// The number of the slot that the function, or a bridge above it, is in; and whether it is unique over all domains.
fn hotplug_slot(function: &Ancestor) -> Option<(u32, bool)> {
    let slots = function.bus_folder("pci", "slots");
    let entries: Vec<(u32, String)> = fs::read_dir(&slots)
        .ok()?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let number = name.to_str()?.parse().ok().filter(|number| *number > 0)?;
            let address = limited(&slots.join(&name).join("address"), 64).ok()?;
            Some((number, String::from_utf8(address).ok()?.trim().to_owned()))
        })
        .collect();
    let mut next = Some(function.clone());
    while let Some(device) = next {
        if let Some(id) = device.text("function_id") {
            let id = u32::from_str_radix(id.trim().trim_start_matches("0x"), 16).ok().filter(|id| *id > 0)?;
            return slots.join(format!("{id:08x}")).exists().then_some((id, true));
        }
        let name = str::from_utf8(device.name()).ok()?;
        let found =
            entries.iter().find(|(_, address)| !address.is_empty() && name.starts_with(address.as_str()));
        if let Some((number, _)) = found {
            // Other devices behind the same bridge would have the same number.
            let shared = is_bridge(&device) && !is_multifunction(function);
            return (!shared).then_some((*number, false));
        }
        next = device.above("pci", None);
    }
    None
}
