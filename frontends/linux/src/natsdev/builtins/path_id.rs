//! `path_id`: by which buses and ports a device is attached, so that the same socket has the same name again.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use super::ancestry::Ancestor;
use super::{Asked, Properties, put};

/// Subsystems whose devices stand in a path by their names: whether they are known to be one of a kind above others, and
/// whether they carry disks.
const NAMED: [(&str, bool); 9] = [
    ("pci", false),
    ("platform", true),
    ("amba", true),
    ("acpi", false),
    ("xen", false),
    ("scm", true),
    ("ccw", true),
    ("ccwgroup", true),
    ("iucv", true),
];

/// A path, on the way upwards.
#[derive(Debug, Default)]
struct Path {
    /// Its parts, the lowest first.
    parts: Vec<String>,
    /// The same, as older programs know it of ATA disks.
    compatible: Vec<String>,
    /// Something above is known to give unique names.
    parent: bool,
    /// The way to it is one that disks have.
    transport: bool,
}

pub(super) fn run(asked: &Asked<'_>) -> Option<Properties> {
    let device = Ancestor::of(asked.root, asked.device)?;
    let mut path = Path::default();
    let mut next = Some(device.clone());
    while let Some(ancestor) = next {
        // Where the way up is not known, the path ends here.
        next = path.step(&device, ancestor).and_then(|above| above.parent());
    }
    if path.parts.is_empty() || !path.parent || device.is("block") && !path.transport {
        return None;
    }
    let mut properties = Properties::new();
    let mut full = joined(&path.parts);
    if let Some(version) = usb_version(&full) {
        put(&mut properties, "ID_PATH_WITH_USB_REVISION", &full);
        // Older programs know it without.
        full.drain(version..version + 2);
    }
    put(&mut properties, "ID_PATH", &full);
    put(&mut properties, "ID_PATH_TAG", tag(&full));
    if !path.compatible.is_empty() {
        put(&mut properties, "ID_PATH_ATA_COMPAT", joined(&path.compatible));
    }
    Some(properties)
}

fn joined(parts: &[String]) -> String {
    parts.iter().rev().map(String::as_str).collect::<Vec<_>>().join("-")
}

/// Where `v2` is in `…-usbv2-…`.
fn usb_version(path: &str) -> Option<usize> {
    let at = path.find("-usbv")? + 4;
    let rest = path.as_bytes().get(at + 1..at + 3)?;
    (matches!(rest, [digit, b'-'] if digit.is_ascii_digit())).then_some(at)
}

/// Letters, digits and `-`; one `_` for whatever is between them.
fn tag(path: &str) -> String {
    let mut tag = String::new();
    for byte in path.bytes() {
        match byte {
            b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => tag.push(char::from(byte)),
            _ if !tag.is_empty() && !tag.ends_with('_') => tag.push('_'),
            _ => {}
        }
    }
    tag.truncate(tag.trim_end_matches('_').len());
    tag
}

impl Path {
    fn prepend(&mut self, part: String) {
        self.parts.push(part);
    }

    /// What `ancestor` adds, and the last of those that it stands for.
    fn step(&mut self, device: &Ancestor, ancestor: Ancestor) -> Option<Ancestor> {
        let subsystem = ancestor.subsystem().unwrap_or_default();
        let subsystem = str::from_utf8(&subsystem).unwrap_or_default();
        let name = String::from_utf8_lossy(ancestor.name()).into_owned();
        if let Some((known, carries)) = NAMED.iter().find(|(known, _)| *known == subsystem) {
            let part = format!("{known}-{name}");
            if !self.compatible.is_empty() {
                self.compatible.push(part.clone());
            }
            self.prepend(part);
            self.parent = true;
            self.transport |= carries;
            return Some(ancestor.skip(subsystem));
        }
        let number = || ancestor.number().map(|number| String::from_utf8_lossy(number).into_owned());
        match subsystem {
            "scsi_tape" => {
                if let Some(part) = tape(&name).filter(|_| self.parts.is_empty()) {
                    self.prepend(part);
                }
            }
            "scsi" => {
                self.transport = true;
                return self.scsi(ancestor);
            }
            "usb" => {
                self.transport = true;
                return Some(self.usb(ancestor));
            }
            "bcma" => {
                self.transport = true;
                self.prepend(format!("bcma-{}", name.split_once(':')?.1.parse::<u32>().ok()?));
            }
            "virtio" => {
                self.transport = true;
                return Some(ancestor.skip("virtio"));
            }
            "serio" | "spi" => {
                if let Some(number) = number() {
                    self.prepend(format!("{}-{number}", if subsystem == "spi" { "cs" } else { "serio" }));
                    return Some(ancestor.skip(subsystem));
                }
            }
            "nvme" | "nvme-subsystem" => {
                let Some(namespace) = device.text("nsid") else { return Some(ancestor) };
                self.prepend(format!("nvme-{namespace}"));
                self.parent = true;
                self.transport = true;
                let controller = if subsystem == "nvme" { ancestor } else { controller(device)? };
                return Some(controller.skip("nvme"));
            }
            _ => {}
        }
        Some(ancestor)
    }

    fn usb(&mut self, ancestor: Ancestor) -> Ancestor {
        let kind = ancestor.devtype().unwrap_or_default();
        let name = String::from_utf8_lossy(ancestor.name()).into_owned();
        let Some((_, port)) =
            name.split_once('-').filter(|_| matches!(kind.as_slice(), b"usb_interface" | b"usb_device"))
        else {
            return ancestor;
        };
        // The number of the bus depends on who came first; below one controller, its version tells two apart.
        let hub = ancestor.skip("usb");
        let version = revision(&hub).map_or(String::new(), |version| format!("v{version}"));
        self.prepend(format!("usb{version}-0:{port}"));
        hub
    }

    fn scsi(&mut self, ancestor: Ancestor) -> Option<Ancestor> {
        if ancestor.devtype().as_deref() != Some(b"scsi_device") {
            return Some(ancestor);
        }
        if let Some(id) = ancestor.text("ieee1394_id") {
            self.prepend(format!("ieee1394-0x{id}"));
            self.parent = true;
            return Some(ancestor.skip("scsi"));
        }
        let mut numbers =
            str::from_utf8(ancestor.name()).ok()?.split(':').map(|number| number.parse::<u32>().ok());
        let [host, bus, target, lun] =
            [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
        if ancestor.is_below("/rport-") {
            self.parent = true;
            let port = ancestor.above("scsi", Some("scsi_target"))?;
            let port = port.named("fc_transport", port.name())?.text("port_name")?;
            self.prepend(format!("fc-{port}-{}", of_lun(lun)));
            return Some(ancestor);
        }
        if ancestor.is_below("/end_device-") {
            self.parent = true;
            let part = sas(&ancestor)?;
            self.prepend(format!("{part}-{}", of_lun(lun)));
            return Some(ancestor);
        }
        if ancestor.is_below("/ata") {
            let port = ancestor.above("scsi", Some("scsi_host"))?.parent()?;
            let port = ancestor.named("ata_port", port.name())?.text("port_no")?;
            // Behind a multiplier the bus has a number; master and slave have theirs as targets.
            self.prepend(if bus > 0 {
                format!("ata-{port}.{bus}.0")
            } else {
                format!("ata-{port}.{target}")
            });
            self.compatible.push(format!("ata-{port}"));
            return Some(ancestor);
        }
        let adapter = ancestor.above("scsi", Some("scsi_host"))?;
        if ancestor.is_below("/vmbus_") || ancestor.is_below("/VMBUS") {
            let id = adapter.parent()?.text("device_id")?;
            let id = id.strip_prefix('{')?.strip_suffix('}')?.replace('-', "");
            self.prepend(format!("vmbus-{id}-{}", of_lun(lun)));
            return Some(ancestor);
        }
        // Hosts are counted over the whole machine; here, from the first one of this adapter on.
        let hosts = fs::read_dir(adapter.folder().parent()?).ok()?;
        let number = |name: &[u8]| str::from_utf8(name.strip_prefix(b"host")?).ok()?.parse::<u32>().ok();
        let first = hosts.filter_map(|entry| number(entry.ok()?.file_name().as_bytes())).min();
        if let Some(host) = first.and_then(|first| host.checked_sub(first)) {
            self.prepend(format!("scsi-{host}:{bus}:{target}:{lun}"));
        }
        Some(adapter)
    }
}

/// Numbers of units above 255 are written as in the address.
fn of_lun(lun: u32) -> String {
    match lun {
        0..=255 => format!("lun-{lun}"),
        lun => format!("lun-0x{:04x}{:04x}00000000", lun & 0xffff, lun >> 16),
    }
}

/// By the phy that a disk is attached to, or by its own address where several lead to it.
fn sas(device: &Ancestor) -> Option<String> {
    let end = device.above("scsi", Some("scsi_target"))?.parent()?;
    let disk = device.named("sas_device", end.name())?;
    let port = end.parent()?;
    if device.named("sas_port", port.name())?.text("num_phys")? != "1" {
        return Some(format!("sas-{}", disk.text("sas_address")?));
    }
    let phy = disk.text("phy_identifier")?;
    let expander = port.parent()?;
    match device.named("sas_device", expander.name()) {
        Some(expander) => Some(format!("sas-exp{}-phy{phy}", expander.text("sas_address")?)),
        None => Some(format!("sas-phy{phy}")),
    }
}

/// `nst0l` and `st0a` are other modes of the same drive.
fn tape(name: &str) -> Option<String> {
    let kind = ["nst", "st"].into_iter().find(|kind| name.starts_with(kind))?;
    let mode = name.get(kind.len()..)?.chars().next().filter(|mode| "lma".contains(*mode))?;
    Some(format!("{kind}{mode}"))
}

/// The version of USB that a root hub has, as far as it makes a difference.
fn revision(hub: &Ancestor) -> Option<u8> {
    if !hub.is("usb") || hub.devtype().as_deref() != Some(b"usb_device") {
        return None;
    }
    match u8::from_str_radix(hub.text("bDeviceProtocol")?.trim(), 16).ok()? {
        0 => Some(if hub.text("speed")?.trim() == "480" { 2 } else { 1 }),
        1 | 2 => Some(2),
        3 => Some(3),
        _ => None,
    }
}

/// The controller of a namespace that several may lead to: the one by whose number it is called.
fn controller(device: &Ancestor) -> Option<Ancestor> {
    let name = device.name();
    let digits = name.strip_prefix(b"nvme")?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let controller = device.named("nvme", name.get(..4 + digits)?)?;
    (!controller.is_below("/devices/virtual/")).then_some(controller)
}
