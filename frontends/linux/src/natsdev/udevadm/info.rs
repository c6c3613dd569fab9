//! `udevadm info`: what /sys and the database say of a device, or of all.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lunix_core::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{major, minor};

use super::enumerate::{Filter, Kind};
use super::heard::Heard;
use super::record::{Record, below};
use super::{Failure, print, seconds, walk};
use crate::cli::Matches;
use crate::escaped::Escaped;
use crate::natsdev::ask::readable;
use crate::reactor::monotonic;
use crate::sys::uevent::{Group, Received, UeventSocket};

/// What is asked about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Query {
    Name,
    Symlink,
    Path,
    Property,
    All,
    Walk,
}

/// How it is said.
#[derive(Debug)]
struct Form {
    /// With /dev.
    root: bool,
    /// Before each name; then values are quoted.
    export: Option<Vec<u8>>,
    only_values: bool,
    /// Only these properties.
    only: Option<Vec<Vec<u8>>>,
}

/// Room for events while waiting for one.
const RCVBUF: usize = 1 << 20;

/// Runs `udevadm info`. What a flag asks for at once is done when it is read, as scripts know it.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    let mut query = Query::All;
    let mut devices: Vec<OsString> = Vec::new();
    let mut number_of = None;
    let mut wait = None;
    let mut form =
        Form { root: matches.has("root"), export: None, only_values: matches.has("value"), only: None };
    for (flag, value) in matches.flags() {
        let given = value.unwrap_or_default();
        match flag {
            "query" => {
                query = match given.as_bytes() {
                    b"name" => Query::Name,
                    b"symlink" => Query::Symlink,
                    b"path" => Query::Path,
                    b"property" | b"env" => Query::Property,
                    _ => Query::All,
                };
                number_of = None;
            }
            "attribute-walk" => {
                query = Query::Walk;
                number_of = None;
            }
            "device-id-of-file" => number_of = Some(given),
            "path" => devices.push(placed("/sys", given)),
            "name" => devices.push(placed("/dev", given)),
            "property" => {
                let names = given.as_bytes().split(|byte| *byte == b',').filter(|name| !name.is_empty());
                form.only.get_or_insert_default().extend(names.map(<[u8]>::to_vec));
            }
            "export" => _ = form.export.get_or_insert_default(),
            "export-prefix" => form.export = Some(given.as_bytes().to_vec()),
            "export-db" => return export(),
            "cleanup-db" => {
                clean_up();
                return Ok(());
            }
            "wait-for-initialization" => {
                let span = value.map_or(Ok(Duration::MAX), |value| seconds(matches, flag, value))?;
                wait = (!span.is_zero()).then_some(span);
            }
            _ => {}
        }
    }
    if let Some(file) = number_of {
        if !matches.arguments().is_empty() {
            return Err(matches.error("--device-id-of-file: no other arguments belong to it").into());
        }
        return number(Path::new(file), &form);
    }
    devices.extend_from_slice(matches.arguments());
    if devices.is_empty() {
        return Err(matches.error("expected a device: its name or path").into());
    }
    if query == Query::Walk && devices.len() > 1 {
        return Err(matches.error("--attribute-walk: expected one device").into());
    }
    if form.export.is_some() && form.only_values {
        return Err(matches.error("--value: not with --export or --export-prefix").into());
    }
    let mut failed = None;
    for id in &devices {
        // Of several devices, one that is not there does not keep the others from being shown.
        match Record::find(id, None) {
            Ok(device) => answer(device, query, &form, wait)?,
            Err(error) => {
                let shown = id.to_string_lossy();
                let why = format!("'{}': {error}; expected a device in /dev or /sys", Escaped(&shown));
                if let Some(former) = failed.replace(why) {
                    super::complain("info", former);
                }
            }
        }
    }
    failed.map_or(Ok(()), |why| Err(Failure::Failed(why)))
}

/// A name or a path, with `prefix` unless it has that.
fn placed(prefix: &str, name: &OsStr) -> OsString {
    if Path::new(name).starts_with(prefix) { name.to_owned() } else { below(prefix, name).into_os_string() }
}

fn answer(mut device: Record, query: Query, form: &Form, wait: Option<Duration>) -> Result<(), Failure> {
    if let Some(span) = wait {
        device = initialized(device, monotonic() + span)?;
    }
    let shown = |node: &[u8]| match node.strip_prefix(b"/dev/") {
        Some(name) if !form.root => name.to_vec(),
        _ => node.to_vec(),
    };
    let text = match query {
        Query::Name => {
            let node =
                device.of_kernel(b"DEVNAME").ok_or_else(|| Failure::Failed("it has no node".into()))?;
            shown(node)
        }
        Query::Symlink => device.links().iter().map(|link| shown(link)).collect::<Vec<_>>().join(&b' '),
        Query::Path => device.devpath().to_vec(),
        Query::Property => return print(&properties(&mut device, form)),
        Query::All => return print(&entry(&mut device)),
        Query::Walk => return print(&walk::walk(device)),
    };
    print(&[text.as_slice(), b"\n"].concat())
}

fn properties(device: &mut Record, form: &Form) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in device.properties() {
        if form.only.as_ref().is_some_and(|only| !only.contains(key)) {
            continue;
        }
        let parts: [&[u8]; 5] = match &form.export {
            Some(prefix) => [prefix, key, b"='", value, b"'\n"],
            None if form.only_values => [b"", b"", b"", value, b"\n"],
            None => [b"", key, b"=", value, b"\n"],
        };
        parts.iter().for_each(|part| text.extend_from_slice(part));
    }
    text
}

/// All there is to say of a device, a letter a line; an empty line ends it.
fn entry(device: &mut Record) -> Vec<u8> {
    let mut text = Vec::new();
    let mut line = |letter: &str, value: &[u8]| {
        [letter.as_bytes(), b": ", value, b"\n"].iter().for_each(|part| text.extend_from_slice(part));
    };
    line("P", device.devpath());
    line("M", &device.name());
    if let Some(number) = device.name_number() {
        line("R", &number);
    }
    if let Some(subsystem) = device.subsystem() {
        line("U", subsystem);
    }
    if let Some(devtype) = device.of_kernel(b"DEVTYPE") {
        line("T", devtype);
    }
    if let Some((major, minor)) = device.number() {
        let kind = if device.subsystem() == Some(b"block") { 'b' } else { 'c' };
        line("D", format!("{kind} {major}:{minor}").as_bytes());
    }
    if let Some(index) = device.of_kernel(b"IFINDEX") {
        line("I", index);
    }
    let sequence = device.of_kernel(b"DISKSEQ").map(<[u8]>::to_vec);
    if let Some(node) = device.of_kernel(b"DEVNAME") {
        line("N", node.strip_prefix(b"/dev/").unwrap_or(node));
        let priority = device.entry().map_or(0, |entry| entry.link_priority);
        line("L", priority.to_string().as_bytes());
        for link in device.links() {
            line("S", link.strip_prefix(b"/dev/").unwrap_or(&link));
        }
    }
    if let Some(sequence) = sequence {
        line("Q", &sequence);
    }
    if let Some(driver) = device.driver() {
        line("V", &driver);
    }
    for (key, value) in device.properties() {
        line("E", &[key.as_slice(), value].join(&b'='));
    }
    text.push(b'\n');
    text
}

fn export() -> Result<(), Failure> {
    Filter::default().devices(Kind::Devices).iter_mut().try_for_each(|device| print(&entry(device)))
}

fn number(file: &Path, form: &Form) -> Result<(), Failure> {
    let device = fs::metadata(file).map_err(|error| Failure::of(file.display(), error))?.dev();
    let (major, minor) = (major(device), minor(device));
    let Some(prefix) = &form.export else { return print(format!("{major}:{minor}\n").as_bytes()) };
    let prefix = if prefix.is_empty() { b"INFO_" } else { prefix.as_slice() };
    let lines = [("MAJOR=", major), ("MINOR=", minor)]
        .map(|(key, number)| [prefix, key.as_bytes(), number.to_string().as_bytes(), b"\n"].concat());
    print(&lines.concat())
}

/// The device, when it is in the database: what handles devices says so.
fn initialized(mut device: Record, deadline: Instant) -> Result<Record, Failure> {
    if device.entry().is_some() {
        return Ok(device);
    }
    let socket = UeventSocket::open(Group::Libudev, RCVBUF)?;
    // What was handled before anybody listened.
    let mut device = Record::open(device.folder())?;
    while device.entry().is_none() {
        readable(PollFd::new(&socket, PollFlags::IN), deadline)?;
        let mut buffer = vec![0; Heard::BYTES];
        loop {
            match socket.receive(&mut buffer)? {
                Received::Empty => break,
                Received::Datagram(message) => {
                    let heard = Heard::parse(message);
                    if heard.is_some_and(|heard| heard.devpath() == device.devpath() && !heard.is_removal()) {
                        return Ok(Record::open(device.folder())?);
                    }
                }
                Received::Refused(_) => {}
                // What was lost may have been about it.
                Received::Overrun => device = Record::open(device.folder())?,
            }
        }
    }
    Ok(device)
}

/// Takes away what is remembered of devices, but for what is kept for the next file system (the sticky bit).
fn clean_up() {
    const STICKY: u32 = 0o1000;
    for (folder, kept, depth) in
        [("data", STICKY, 1), ("links", 0, 2), ("tags", 0, 2), ("static_node-tags", 0, 2), ("watch", 0, 1)]
    {
        let folder = Path::new("/run/udev").join(folder);
        let _ = remove_below(&folder, kept, depth);
    }
}

fn remove_below(folder: &Path, kept: u32, depth: u32) -> io::Result<()> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    for entry in fs::read_dir(folder)?.flatten() {
        let (Ok(meta), path) = (entry.metadata(), entry.path()) else { continue };
        if entry.file_name().as_bytes().starts_with(b".") || meta.mode() & kept != 0 {
            continue;
        }
        // What cannot be removed does not keep the rest from it.
        if meta.is_dir() {
            let _ = remove_below(&path, kept, depth);
            let _ = fs::remove_dir(&path);
        } else {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}
