//! Which devices there are, of those that somebody wants, and in which order: parents first, and what others rest on
//! last.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use lunix_core::device::rules::fits;

use super::record::{Attribute, Record};

const SYS: &str = "/sys";
const TAGS: &str = "/run/udev/tags";

/// What is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Devices,
    /// Buses, their drivers, and modules.
    Subsystems,
    All,
}

/// Patterns as fnmatch(3) has them. What is empty is no condition.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) subsystems: Patterns,
    pub(super) attributes: Vec<Condition>,
    pub(super) no_attributes: Vec<Condition>,
    pub(super) properties: Vec<Condition>,
    pub(super) tags: Vec<OsString>,
    pub(super) names: Patterns,
    /// Folders; what is wanted is one of them, or below it.
    pub(super) parents: Vec<PathBuf>,
    pub(super) initialized: Option<bool>,
    /// Subsystems that come first, each with all above it.
    pub(super) first: Vec<Vec<u8>>,
}

/// What is to match, and what is not.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    pub(super) wanted: Vec<Vec<u8>>,
    pub(super) unwanted: Vec<Vec<u8>>,
}

/// A name and what its value may be.
#[derive(Debug)]
pub(super) struct Condition {
    name: Vec<u8>,
    values: Vec<Vec<u8>>,
}

/// What need not be looked at, for it is known already.
#[derive(Clone, Copy, Debug, Default)]
struct Skip {
    name: bool,
    parent: bool,
    tag: bool,
}

/// What was found, in order, each once.
#[derive(Default)]
struct Found(Vec<Record>);

impl Found {
    fn place(&self, devpath: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|known| order(known.devpath(), devpath))
    }

    /// Whether it was not there yet.
    fn add(&mut self, device: Record) -> bool {
        let place = self.place(device.devpath());
        if let Err(place) = place {
            self.0.insert(place, device);
        }
        place.is_err()
    }
}

impl Patterns {
    fn fit(&self, text: &[u8]) -> bool {
        !any(&self.unwanted, text) && (self.wanted.is_empty() || any(&self.wanted, text))
    }
}

fn any(patterns: &[Vec<u8>], text: &[u8]) -> bool {
    patterns.iter().any(|pattern| fits(pattern, text, false))
}

impl Condition {
    /// Adds `NAME` or `NAME=PATTERN` to `conditions`: several patterns for one name are alternatives, and none at all
    /// takes back, if `clears`, those that were there.
    pub(super) fn add(conditions: &mut Vec<Self>, text: &OsStr, clears: bool) {
        let mut parts = text.as_bytes().splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().map(<[u8]>::to_vec));
        let known = conditions.iter_mut().find(|condition| condition.name == name);
        match (known, value) {
            (Some(known), Some(value)) => known.values.push(value),
            (Some(known), None) if clears => known.values.clear(),
            (Some(_), None) => {}
            (None, value) => {
                conditions.push(Self { name: name.to_vec(), values: value.into_iter().collect() });
            }
        }
    }

    fn fits_attribute(&self, device: &Record) -> bool {
        match device.attribute(OsStr::from_bytes(&self.name)) {
            Some(Attribute::Value(value)) => self.values.is_empty() || any(&self.values, &value),
            _ => false,
        }
    }
}

impl Filter {
    /// The devices, in order.
    pub(super) fn devices(&self, kind: Kind) -> Vec<Record> {
        let mut found = Found::default();
        if kind == Kind::Subsystems {
            self.subsystems_too(&mut found);
        } else if !self.tags.is_empty() {
            self.tagged(&mut found);
        } else if !self.parents.is_empty() {
            self.children(&mut found);
        } else {
            self.folders("bus", "devices", None, &mut found);
            self.folders("class", "", None, &mut found);
            if kind == Kind::All {
                self.subsystems_too(&mut found);
            }
        }
        self.sorted(found)
    }

    fn subsystems_too(&self, found: &mut Found) {
        for (subsystem, folder) in [("module", "module"), ("subsystem", "bus")] {
            if self.subsystems.fit(subsystem.as_bytes()) {
                self.folder(&Path::new(SYS).join(folder), found);
            }
        }
        if self.subsystems.fit(b"drivers") {
            self.folders("bus", "drivers", Some(b"drivers"), found);
        }
    }

    /// What is in /sys/BASE/…/BELOW; the name between them is the subsystem, if it is not given.
    fn folders(&self, base: &str, below: &str, subsystem: Option<&[u8]>, found: &mut Found) {
        let base = Path::new(SYS).join(base);
        for name in names(&base) {
            if self.subsystems.fit(subsystem.unwrap_or(name.as_bytes())) {
                self.folder(&base.join(name).join(below), found);
            }
        }
    }

    fn folder(&self, folder: &Path, found: &mut Found) {
        for name in names(folder).into_iter().filter(|name| self.names.fit(name.as_bytes())) {
            let Ok(mut device) = Record::open(&folder.join(name)) else { continue };
            if !self.fits(&mut device, Skip { name: true, ..Skip::default() }) {
                continue;
            }
            // Roots of buses are in no class and on no bus.
            let mut above = device.parent();
            found.add(device);
            while let Some(mut device) = above {
                above = device.parent();
                if self.fits(&mut device, Skip::default()) && !found.add(device) {
                    break;
                }
            }
        }
    }

    fn tagged(&self, found: &mut Found) {
        for tag in &self.tags {
            for id in names_of_any(&Path::new(TAGS).join(tag)) {
                if let Some(Ok(mut device)) = id.to_str().map(Record::of_id)
                    && self.fits(&mut device, Skip { tag: true, ..Skip::default() })
                {
                    found.add(device);
                }
            }
        }
    }

    fn children(&self, found: &mut Found) {
        let mut folders = self.parents.clone();
        let skip = Skip { parent: true, ..Skip::default() };
        while let Some(folder) = folders.pop() {
            if let Ok(mut device) = Record::open(&folder)
                && self.fits(&mut device, skip)
            {
                found.add(device);
            }
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
            folders.extend(entries.flatten().filter(is_folder).map(|entry| entry.path()));
        }
    }

    fn fits(&self, device: &mut Record, skip: Skip) -> bool {
        (skip.name || self.names.fit(&device.name()))
            && device.subsystem().is_some_and(|subsystem| self.subsystems.fit(subsystem))
            && (skip.parent
                || self.parents.is_empty()
                || self.parents.iter().any(|parent| device.folder().starts_with(parent)))
            && (skip.tag || self.has_tags(device))
            && self.initialized.is_none_or(|initialized| device.entry().is_some() == initialized)
            && self.has_property(device)
            && self.attributes.iter().all(|condition| condition.fits_attribute(device))
            && !self.no_attributes.iter().any(|condition| condition.fits_attribute(device))
    }

    fn has_tags(&self, device: &mut Record) -> bool {
        self.tags.is_empty() || {
            let tags = device.tags();
            self.tags.iter().all(|tag| tags.iter().any(|known| known == tag.as_bytes()))
        }
    }

    /// One is enough.
    fn has_property(&self, device: &mut Record) -> bool {
        self.properties.is_empty() || {
            let properties = device.properties();
            self.properties.iter().any(|condition| {
                properties
                    .iter()
                    .any(|(key, value)| fits(&condition.name, key, false) && any(&condition.values, value))
            })
        }
    }

    fn sorted(&self, Found(mut rest): Found) -> Vec<Record> {
        let mut devices = Vec::with_capacity(rest.len());
        for subsystem in &self.first {
            let of_subsystem = |device: &mut Record| {
                (device.subsystem() == Some(subsystem)).then(|| device.folder().to_path_buf())
            };
            let folders: Vec<_> = rest.iter_mut().filter_map(of_subsystem).collect();
            // With all above them.
            let is_first = |device: &Record| folders.iter().any(|folder| folder.starts_with(device.folder()));
            let (first, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_first);
            devices.extend(first);
            rest = others;
        }
        devices.extend(rest);
        devices
    }
}

/// The order of two devices: RAIDs and mapped volumes after what they may rest on, and of a sound card its control
/// last, which says to others that the card is complete; else by their paths, part by part.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let has = |devpath: &[u8], part: &[u8]| devpath.windows(part.len()).any(|window| window == part);
    let is_late = |devpath| has(devpath, b"/block/md") || has(devpath, b"/block/dm-");
    is_late(one).cmp(&is_late(other)).then_with(|| parts(one).cmp(parts(other)))
}

/// The parts of a path, and whether one is the control of a sound card.
fn parts(devpath: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let mut before: [&[u8]; 2] = [b"", b""];
    devpath.split(|byte| *byte == b'/').map(move |part| {
        let [above, parent] = before;
        before = [parent, part];
        (part.starts_with(b"controlC") && parent.starts_with(b"card") && above == b"sound", part)
    })
}

/// The folders, and links, in one of sysfs.
fn names(folder: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_folder =
        |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
    let names = entries.flatten().filter(is_folder).map(|entry| entry.file_name());
    names.filter(|name| !name.as_bytes().starts_with(b".")).collect()
}

fn names_of_any(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).filter(|name| !name.as_bytes().starts_with(b".")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_in_the_order_in_which_they_are_needed() {
        let sorted = [
            "/devices/a",
            "/devices/a/b",
            "/devices/a-b",
            "/devices/pci/sound/card1",
            "/devices/pci/sound/card1/pcmC1D0c",
            "/devices/pci/sound/card1/controlC1",
            "/devices/pci/sound/card10/pcm",
            "/devices/virtual/block/loop0",
            "/devices/virtual/mem/null",
            "/devices/virtual/block/dm-0",
            "/devices/virtual/block/md0",
        ];
        let mut mixed = sorted;
        mixed.reverse();
        mixed.sort_by(|one, other| order(one.as_bytes(), other.as_bytes()));
        assert_eq!(mixed, sorted);
    }

    #[test]
    fn conditions_are_alternatives_of_one_name() {
        let mut conditions = Vec::new();
        for text in ["a=1", "a=2", "b", "c=1", "c"] {
            Condition::add(&mut conditions, OsStr::new(text), true);
        }
        let values: Vec<_> = conditions.iter().map(|condition| condition.values.len()).collect();
        assert_eq!(values, [2, 0, 0]);
    }
}
