//! What a manager of devices has made of a machine, as facts that can be compared: numbers that only say who came
//! first are taken out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::tar::{Entry, Kind};

/// Run in the guest: prints an archive of all that is compared.
pub(super) const DUMP: &str = "\
#!/bin/sh
mkdir -p /run/dump && cd /run/dump
cut -d' ' -f1 /proc/modules > modules
for kind in char block; do ls -l /sys/dev/$kind > $kind; done
busybox find /sys/devices -type l -name subsystem > devices
cd / && busybox tar -cf - dev run/udev run/dump 2>/dev/null | busybox gzip -1 | base64
";

/// What is known by a name, and what it is.
pub(super) type Facts = BTreeMap<String, String>;

/// Devices by number and by name: what they are called when nobody counts.
#[derive(Debug, Default)]
struct Devices {
    by_number: BTreeMap<(bool, u32, u32), String>,
    by_name: BTreeMap<String, String>,
}

impl Devices {
    fn node(&self, block: bool, major: u32, minor: u32) -> Option<&String> {
        self.by_number.get(&(block, major, minor))
    }

    /// `b8:0`, `+input:input5`, `n2` as /run/udev has them.
    fn id(&self, id: &str) -> String {
        let number = |block: bool, text: &str| {
            let (major, minor) = text.split_once(':')?;
            self.node(block, major.parse().ok()?, minor.parse().ok()?).cloned()
        };
        let known = match (id.get(..1), id.get(1..)) {
            (Some("b"), Some(text)) => number(true, text),
            (Some("c"), Some(text)) => number(false, text),
            (Some("+"), Some(text)) => text
                .split_once(':')
                .and_then(|(subsystem, name)| Some(format!("+{subsystem}:{}", self.by_name.get(name)?))),
            _ => None,
        };
        known.unwrap_or_else(|| id.to_owned())
    }
}

/// A major number, unless it is one that is given in the order in which modules come
/// (Documentation/admin-guide/devices.txt).
pub(super) fn number(major: u32) -> String {
    if (234..=254).contains(&major) { "#".to_owned() } else { major.to_string() }
}

/// A path of the kernel without the numbers that follow the order of arrival.
pub(super) fn plain(path: &str) -> String {
    path.split('/').map(component).collect::<Vec<_>>().join("/")
}

fn component(name: &str) -> String {
    const COUNTED: &[&str] =
        &["input", "event", "mouse", "js", "host", "hidraw", "wakeup", "sg", "hwmon", "ttyUSB", "scsi_tmf_"];
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if COUNTED.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(digits)) {
        return format!("{}#", name.trim_end_matches(|c: char| c.is_ascii_digit()));
    }
    // input5::capslock
    if let Some((input, led)) = name.split_once("::")
        && input.strip_prefix("input").is_some_and(digits)
    {
        return format!("input#::{led}");
    }
    // sda, sda1
    if let Some((disk, partition)) = name.strip_prefix("sd").and_then(|rest| rest.split_at_checked(1))
        && disk.bytes().all(|byte| byte.is_ascii_lowercase())
        && (partition.is_empty() || digits(partition))
    {
        return format!("sd#{partition}");
    }
    // 2:0:0:0 and target2:0:0 of a SCSI host, but no PCI address
    if let Some((host, rest)) = name.split_once(':')
        && rest.len() <= 5
        && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        let prefix = host.trim_end_matches(|c: char| c.is_ascii_digit());
        if matches!(prefix, "" | "target") {
            return format!("{prefix}#:{rest}");
        }
    }
    // 0003:0627:0001.0004 of a HID device
    match name.split_once('.') {
        Some((hid, number)) if hid.len() == 14 && hid.matches(':').count() == 2 && number.len() == 4 => {
            format!("{hid}.#")
        }
        _ => name.to_owned(),
    }
}

/// Makes facts of an archive that [`DUMP`] has made.
pub(super) fn of(entries: &[Entry]) -> Result<Facts> {
    let file = |path: &str| {
        let found = entries.iter().find(|entry| entry.path == path);
        match found.map(|entry| &entry.kind) {
            Some(Kind::File(content)) => String::from_utf8_lossy(content).into_owned(),
            _ => String::new(),
        }
    };
    let mut devices = Devices::default();
    for (block, listed) in [(true, file("run/dump/block")), (false, file("run/dump/char"))] {
        for line in listed.lines() {
            let Some((left, target)) = line.split_once(" -> ../..") else { continue };
            let Some((major, minor)) = left.rsplit(' ').next().and_then(|id| id.split_once(':')) else {
                continue;
            };
            devices.by_number.insert((block, major.parse()?, minor.parse()?), plain(target));
        }
    }
    for line in file("run/dump/devices").lines() {
        let path = line.trim_start_matches("/sys").trim_end_matches("/subsystem");
        let name = path.rsplit('/').next().unwrap_or_default();
        devices.by_name.entry(name.to_owned()).or_insert_with(|| plain(path));
    }
    ensure!(devices.by_number.len() > 50, "the guest has only {} numbers", devices.by_number.len());
    let mut facts = Facts::new();
    for module in file("run/dump/modules").lines() {
        facts.insert(format!("module {module}"), "loaded".into());
    }
    // Which node is which device: links are said by what they mean.
    let nodes: BTreeMap<&str, String> = entries
        .iter()
        .filter_map(|entry| {
            let path = entry.path.strip_prefix("dev/")?;
            let Kind::Node { block, major, minor } = entry.kind else { return None };
            Some((path, devices.node(block, major, minor)?.clone()))
        })
        .collect();
    for entry in entries {
        if let Some(path) = entry.path.strip_prefix("dev/") {
            below_dev(&mut facts, &devices, &nodes, path, entry);
        } else if let Some(path) = entry.path.strip_prefix("run/udev/") {
            below_run(&mut facts, &devices, path, entry);
        }
    }
    Ok(facts)
}

fn below_dev(
    facts: &mut Facts,
    devices: &Devices,
    nodes: &BTreeMap<&str, String>,
    path: &str,
    entry: &Entry,
) {
    let access = format!("{:04o} {}:{}", entry.mode, entry.uid, entry.gid);
    match &entry.kind {
        Kind::Node { block, major, minor } => {
            let kind = if *block { 'b' } else { 'c' };
            match nodes.get(path) {
                Some(device) => {
                    // The number of a USB device says how many came before it.
                    let name = match path.strip_prefix("bus/usb/").and_then(|rest| rest.split_once('/')) {
                        Some((bus, _)) => format!("bus/usb/{bus}/#"),
                        None => plain(path),
                    };
                    let value = format!("/dev/{name} {kind} {} {access}", number(*major));
                    facts.insert(format!("node {device}"), value);
                }
                None => {
                    facts.insert(format!("node /dev/{path}"), format!("{kind} {major}:{minor} {access}"));
                }
            }
        }
        Kind::Link(target) => {
            let number = ["block/", "char/"].iter().find_map(|folder| {
                let (major, minor) = path.strip_prefix(folder)?.split_once(':')?;
                let device = devices.node(*folder == "block/", major.parse().ok()?, minor.parse().ok()?)?;
                Some(format!("{folder}{device}"))
            });
            let meaning = resolve(path, target);
            let device = nodes.get(meaning.as_str()).cloned().unwrap_or_else(|| plain(&meaning));
            let name = number.unwrap_or_else(|| uncounted(path, &device));
            facts.insert(format!("link {name}"), device);
        }
        // Pseudoterminals are the shell's.
        Kind::Folder if !path.starts_with("pts") => {
            facts.insert(format!("folder /dev/{}", plain(path)), access);
        }
        _ => {}
    }
}

/// Names that count disks say whose they are instead.
fn uncounted(path: &str, device: &str) -> String {
    match path.strip_prefix("disk/by-diskseq/") {
        Some(rest) => {
            let part = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("disk/by-diskseq/#{part} {device}")
        }
        None => path.to_owned(),
    }
}

/// Where a link below /dev leads, relative to /dev.
fn resolve(path: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix("/dev/") {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn below_run(facts: &mut Facts, devices: &Devices, path: &str, entry: &Entry) {
    match (path.split_once('/'), &entry.kind) {
        (Some(("data", id)), Kind::File(content)) => {
            let device = devices.id(id);
            facts
                .insert(format!("entry {device}"), format!("{:04o} {}:{}", entry.mode, entry.uid, entry.gid));
            for line in String::from_utf8_lossy(content).lines() {
                let (kind, value) = line.split_once(':').unwrap_or((line, ""));
                match kind {
                    // When it was first handled.
                    "I" => {
                        facts.insert(format!("{device} initialized"), "yes".into());
                    }
                    "E" => {
                        let (key, value) = value.split_once('=').unwrap_or((value, ""));
                        let value = match key {
                            "ID_PART_ENTRY_DISK" => devices.id(&format!("b{value}")),
                            _ => plain(value),
                        };
                        facts.insert(format!("{device} {key}"), value);
                    }
                    "S" => {
                        facts.insert(format!("{device} S:{}", uncounted(value, "")), "yes".into());
                    }
                    _ => {
                        facts.insert(format!("{device} {kind}:{value}"), "yes".into());
                    }
                }
            }
        }
        (Some(("tags", rest)), Kind::File(_)) => {
            let (tag, id) = rest.split_once('/').unwrap_or((rest, ""));
            facts.insert(format!("tag {tag} {}", devices.id(id)), "yes".into());
        }
        (Some(("links", rest)), Kind::Link(_) | Kind::File(_)) => {
            let (link, id) = rest.split_once('/').unwrap_or((rest, ""));
            // Both leave the lock that they took last.
            if id == ".lock" {
                return;
            }
            let device = devices.id(id);
            let link = link.replace("\\x2f", "/");
            facts.insert(format!("claim {} {device}", uncounted(&link, "")), "yes".into());
        }
        (_, Kind::Folder) => {}
        _ => {
            facts.insert(format!("file /run/udev/{path}"), format!("{:04o}", entry.mode));
        }
    }
}

/// How two managers differ, each in one line.
pub(super) fn differences(ours: &Facts, theirs: &Facts) -> Vec<String> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differs = names.into_iter().filter_map(|name| match (ours.get(name), theirs.get(name)) {
        (Some(ours), Some(theirs)) if ours == theirs => None,
        (Some(ours), Some(theirs)) => Some(format!("differs: {name}: {ours} | {theirs}")),
        (Some(ours), None) => Some(format!("only natsdev: {name}: {ours}")),
        (None, Some(theirs)) => Some(format!("only udevd: {name}: {theirs}")),
        (None, None) => None,
    });
    differs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_count_are_taken_out() {
        let cases = [
            ("/devices/pci0000:00/0000:00:01.0/usb1/1-1/1-1.2/1-1.2:1.0", None),
            (
                "/x/1-1:1.0/host2/target2:0:0/2:0:0:0/block/sda/sda1",
                Some("/x/1-1:1.0/host#/target#:0:0/#:0:0:0/block/sd#/sd#1"),
            ),
            ("/x/0003:0627:0001.0004/input/input7/event4", Some("/x/0003:0627:0001.#/input/input#/event#")),
            ("/devices/platform/serial8250/tty/ttyS1", None),
            ("pci-0000:00:01.0-usb-0:1.1:1.0-scsi-0:0:0:0", None),
        ];
        for (path, expected) in cases {
            assert_eq!(plain(path), expected.unwrap_or(path));
        }
    }

    #[test]
    fn differences_are_said_once() {
        let facts = |list: &[(&str, &str)]| {
            list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Facts>()
        };
        let ours = facts(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let theirs = facts(&[("a", "1"), ("b", "2"), ("d", "1")]);
        assert_eq!(
            differences(&ours, &theirs),
            ["differs: b: 1 | 2", "only natsdev: c: 1", "only udevd: d: 1"]
        );
    }

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(resolve("disk/by-id/x", "../../sda"), "sda");
        assert_eq!(resolve("a", "/dev/b/c"), "b/c");
    }
}
