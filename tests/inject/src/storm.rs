//! Many events, at a rate.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lunix_uevent::{Builder, MAX_MESSAGE};

/// An event in the kernel's form. `None` if the kernel could not say it.
pub fn event(action: &[u8], devpath: &[u8], vars: &[(&[u8], &[u8])]) -> Option<Vec<u8>> {
    let mut out = vec![0; MAX_MESSAGE];
    let builder = Builder::new(&mut out, action, devpath);
    let length = vars.iter().fold(builder, |builder, (key, value)| builder.var(key, value)).finish().ok()?;
    out.truncate(length);
    Some(out)
}

/// `count` devices that do not exist are added, then removed.
pub fn made_up(count: u32) -> Vec<Vec<u8>> {
    let one = |action: &str, number: u32| {
        let name = format!("storm{number}");
        let devpath = format!("/devices/virtual/mem/{name}");
        let minor = (256 + number).to_string();
        let vars = [("SUBSYSTEM", "mem"), ("MAJOR", "1"), ("MINOR", &minor), ("DEVNAME", &name)];
        event(
            action.as_bytes(),
            devpath.as_bytes(),
            &vars.map(|(key, value)| (key.as_bytes(), value.as_bytes())),
        )
    };
    let all = |action| (0..count).filter_map(move |number| one(action, number));
    all("add").chain(all("remove")).collect()
}

/// `action` of every device of a machine, in the words that its sysfs has for each.
pub fn machine(sysfs: &Path, action: &str) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    collect(&sysfs.join("devices"), &mut files);
    files.sort();
    files.iter().filter_map(|folder| present(sysfs, folder, action)).collect()
}

/// The `uevent` files of a machine, by which it can be asked for events.
pub fn uevent_files(sysfs: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    collect(&sysfs.join("devices"), &mut folders);
    folders.sort();
    folders.iter().map(|folder| folder.join("uevent")).collect()
}

/// Folders of devices below `folder`.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            if path.join("uevent").exists() && path.join("subsystem").exists() {
                found.push(path.clone());
            }
            collect(&path, found);
        }
    }
}

fn present(sysfs: &Path, folder: &Path, action: &str) -> Option<Vec<u8>> {
    let text = fs::read(folder.join("uevent")).ok()?;
    let subsystem = fs::read_link(folder.join("subsystem")).ok()?;
    let mut vars = vec![(&b"SUBSYSTEM"[..], subsystem.file_name()?.as_bytes())];
    vars.extend(text.split(|byte| *byte == b'\n').filter_map(|line| {
        let equals = line.iter().position(|byte| *byte == b'=')?;
        Some((&line[..equals], &line[equals + 1..]))
    }));
    let devpath = [b"/", folder.strip_prefix(sysfs).ok()?.as_os_str().as_bytes()].concat();
    event(action.as_bytes(), &devpath, &vars)
}

/// When the next event is due.
#[derive(Debug)]
pub struct Pace {
    next: Instant,
    /// Between two events.
    step: Duration,
}

impl Pace {
    /// So many events a second; `None`: as fast as it goes.
    pub fn new(rate: Option<u32>) -> Self {
        Self {
            next: Instant::now(),
            step: rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1)),
        }
    }

    /// Waits for it. What a sleep takes too long, the next ones make good.
    pub fn wait(&mut self) {
        if let Some(early) = self.next.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        self.next += self.step;
    }
}
