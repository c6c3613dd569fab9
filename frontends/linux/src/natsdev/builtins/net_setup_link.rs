//! `net_setup_link`: which name a network interface is to have, and how large its packets may be, by the first file
//! `*.link` of systemd.link(5) that is about it.
//!
//! Of `[Match]`: `MACAddress`, `PermanentMACAddress`, `OriginalName`, `Path`, `Driver`, `Type`, `Property`; a file that asks
//! for something else is about nothing here. Of `[Link]`: `NamePolicy`, `Name`, `MTUBytes`; all else, also `MACAddressPolicy`, is
//! not carried out.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use lunix_core::device::hwdb::glob;

use super::ancestry::Ancestor;
use super::{Asked, Properties, put};
use crate::natsdev::device::limited;
use crate::natsdev::rules::evaluate::Writes;

/// Where files are; one hides those of its name in later folders.
const FOLDERS: [&str; 4] = [
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
];
/// Bytes of a file.
const FILE: u64 = 1 << 20;
/// How a name came to be (`net/net_namespace.h`): foreseeable by the kernel, or given by somebody.
const PREDICTABLE: u32 = 2;
const GIVEN: [u32; 2] = [3, 4];
/// `ARPHRD_LOOPBACK`
const LOOPBACK: u32 = 772;
/// Bytes of a name.
const MAX_NAME: usize = 15;

/// A file.
#[derive(Debug, Default)]
struct Link {
    path: PathBuf,
    matches: Vec<(Vec<u8>, Vec<u8>)>,
    settings: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Link {
    fn parse(path: PathBuf, text: &[u8]) -> Self {
        let mut link = Self { path, ..Self::default() };
        let mut section: &[u8] = b"";
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if let Some(name) = line.strip_prefix(b"[").and_then(|line| line.strip_suffix(b"]")) {
                section = name;
            } else if !line.starts_with(b"#")
                && !line.starts_with(b";")
                && let Some(at) = line.iter().position(|byte| *byte == b'=')
            {
                let (key, value) = line.split_at(at);
                let list = match section {
                    b"Match" => &mut link.matches,
                    b"Link" => &mut link.settings,
                    _ => continue,
                };
                let value = value.get(1..).unwrap_or_default().trim_ascii();
                list.push((key.trim_ascii_end().to_vec(), value.to_vec()));
            }
        }
        link
    }

    fn setting(&self, key: &[u8]) -> Option<&[u8]> {
        self.settings.iter().rfind(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    fn is_about(&self, interface: &Interface<'_>) -> bool {
        self.matches.iter().all(|(key, value)| {
            // One sign turns the whole list around.
            let (inverted, list) =
                value.strip_prefix(b"!").map_or((false, value.as_slice()), |list| (true, list));
            interface.fits(key, list).is_some_and(|fits| fits != inverted)
        })
    }
}

/// The interface that is asked about.
struct Interface<'a> {
    asked: &'a Asked<'a>,
    device: Ancestor,
}

fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

impl Interface<'_> {
    fn known(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.asked.property(key).map(<[u8]>::to_vec)
    }

    /// Whether one of a list fits; `None` for what is not known here.
    fn fits(&self, key: &[u8], list: &[u8]) -> Option<bool> {
        let any = |value: Option<Vec<u8>>| {
            value.is_some_and(|value| words(list).any(|pattern| glob(pattern, &value)))
        };
        Some(match key {
            b"MACAddress" | b"PermanentMACAddress" => {
                let address = self.device.attribute("address").unwrap_or_default();
                let permanent = key == b"MACAddress" || self.device.decimal("addr_assign_type") == Some(0);
                permanent && words(list).any(|word| address.eq_ignore_ascii_case(&colons(word)))
            }
            b"OriginalName" => any(Some(self.device.name().to_vec())),
            b"Path" => any(self.known(b"ID_PATH")),
            b"Driver" => any(self.driver()),
            b"Type" => any(self.kind()),
            b"Property" => words(list).all(|word| {
                let at = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
                let (name, pattern) = word.split_at(at);
                let value = self.known(name);
                value.is_some_and(|value| glob(pattern.get(1..).unwrap_or_default(), &value))
            }),
            _ => return None,
        })
    }

    fn driver(&self) -> Option<Vec<u8>> {
        self.known(b"ID_NET_DRIVER").or_else(|| self.device.parent()?.attribute("driver"))
    }

    fn kind(&self) -> Option<Vec<u8>> {
        let kind = match self.device.decimal("type")? {
            1 => "ether",
            32 => "infiniband",
            512 => "ppp",
            768 => "ipip",
            776 => "sit",
            65534 => "none",
            _ => return self.device.devtype(),
        };
        self.device.devtype().or_else(|| Some(kind.as_bytes().to_vec()))
    }

    /// The name by the first policy that has one, else the one that stands there.
    fn name(&self, link: &Link) -> Option<Vec<u8>> {
        let assigned = self.device.decimal("name_assign_type");
        for policy in link.setting(b"NamePolicy").map(words).into_iter().flatten() {
            let key: &[u8] = match policy {
                b"kernel" if assigned == Some(PREDICTABLE) => return Some(self.device.name().to_vec()),
                b"keep" if assigned.is_some_and(|assigned| GIVEN.contains(&assigned)) => {
                    return Some(self.device.name().to_vec());
                }
                b"database" => b"ID_NET_NAME_FROM_DATABASE",
                b"onboard" => b"ID_NET_NAME_ONBOARD",
                b"slot" => b"ID_NET_NAME_SLOT",
                b"path" => b"ID_NET_NAME_PATH",
                b"mac" => b"ID_NET_NAME_MAC",
                _ => continue,
            };
            // What is too long for a name is one for nobody.
            if let Some(name) = self.known(key).filter(|name| (1..=MAX_NAME).contains(&name.len())) {
                return Some(name);
            }
        }
        link.setting(b"Name").filter(|name| !name.is_empty()).map(<[u8]>::to_vec)
    }
}

/// `-` and `.` are allowed between the parts of an address, too.
fn colons(word: &[u8]) -> Vec<u8> {
    if word.contains(&b'.') {
        // Three groups of four digits.
        let digits: Vec<u8> = word.iter().copied().filter(u8::is_ascii_hexdigit).collect();
        return digits.chunks(2).collect::<Vec<_>>().join(&b':');
    }
    word.iter().map(|byte| if *byte == b'-' { b':' } else { *byte }).collect()
}

pub(super) fn run(asked: &Asked<'_>) -> io::Result<Option<Properties>> {
    let mut properties = Properties::new();
    let Some(device) = Ancestor::of(asked.root, asked.device) else { return Ok(None) };
    // The machine's way to itself is called as it is.
    if device.decimal("type") == Some(LOOPBACK) {
        return Ok(Some(properties));
    }
    let interface = Interface { asked, device };
    // Rules of before version 254 do not ask `net_driver` for it.
    if let Some(driver) = interface.driver() {
        put(&mut properties, "ID_NET_DRIVER", driver);
    }
    let mut files: Vec<(OsString, PathBuf)> = Vec::new();
    for folder in FOLDERS.iter().map(|folder| asked.root.path(folder)) {
        let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        for name in entries.map(|entry| entry.file_name()).filter(|name| name.as_bytes().ends_with(b".link"))
        {
            if !files.iter().any(|(known, _)| *known == name) {
                let path = folder.join(&name);
                files.push((name, path));
            }
        }
    }
    files.sort();
    for (_, path) in files {
        let link = Link::parse(path.clone(), &limited(&path, FILE)?);
        // An empty one, or a link to /dev/null, hides others and says nothing.
        if link.matches.is_empty() && link.settings.is_empty() || !link.is_about(&interface) {
            continue;
        }
        put(&mut properties, "ID_NET_LINK_FILE", link.path.as_os_str().as_bytes());
        if let Some(name) = interface.name(&link) {
            put(&mut properties, "ID_NET_NAME", name);
        }
        if let Some(mtu) = link.setting(b"MTUBytes").filter(|_| asked.writes == Writes::Done) {
            fs::write(interface.device.folder().join("mtu"), mtu)?;
        }
        break;
    }
    Ok(Some(properties))
}
