//! A folder that looks like sysfs, as the kernel changes it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lunix_uevent::Uevent;

/// A folder that looks like sysfs.
pub struct FakeSysfs {
    pub root: PathBuf,
}

impl FakeSysfs {
    pub fn new(root: PathBuf) -> Self {
        for folder in ["devices", "class", "bus", "kernel"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("kernel/uevent_seqnum"), "0\n").unwrap();
        Self { root }
    }

    fn folder(&self, devpath: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(devpath.strip_prefix(b"/").unwrap()))
    }

    fn class(&self, subsystem: &[u8], devpath: &[u8]) -> PathBuf {
        let name = devpath.rsplit(|byte| *byte == b'/').next().unwrap();
        let class = self.root.join("class").join(OsStr::from_bytes(subsystem));
        fs::create_dir_all(&class).unwrap();
        class.join(OsStr::from_bytes(name))
    }

    /// Where it is found by the number of its node.
    fn number(&self, event: &Uevent<'_>) -> Option<PathBuf> {
        let kind = if event.subsystem() == b"block" { "block" } else { "char" };
        let folder = self.root.join("dev").join(kind);
        fs::create_dir_all(&folder).unwrap();
        Some(folder.join(format!("{}:{}", event.major()?, event.minor()?)))
    }

    /// What the kernel did before it says this.
    pub fn apply(&self, event: &Uevent<'_>) {
        let folder = self.folder(event.devpath());
        match event.action().as_bytes() {
            b"add" => {
                fs::create_dir_all(&folder).unwrap();
                let mut text = Vec::new();
                let own = ["ACTION", "DEVPATH", "SUBSYSTEM", "SEQNUM"].map(str::as_bytes);
                for (key, value) in event.vars().filter(|(key, _)| !own.contains(key)) {
                    text.extend_from_slice(&[key, b"=", value, b"\n"].concat());
                }
                fs::write(folder.join("uevent"), text).unwrap();
                let class = self.class(event.subsystem(), event.devpath());
                let _ = symlink(class.parent().unwrap(), folder.join("subsystem"));
                let relative = [b"../..", event.devpath()].concat();
                let _ = symlink(OsStr::from_bytes(&relative), class);
                if let Some(number) = self.number(event) {
                    let _ = symlink(OsStr::from_bytes(&relative), number);
                }
                let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
                match event.devtype().unwrap_or_default() {
                    b"usb_device" => {
                        for (file, text) in [
                            ("idVendor", "0951\n"),
                            ("idProduct", "1666\n"),
                            ("manufacturer", "Kingston\n"),
                            ("product", "DataTraveler 3.0\n"),
                            ("serial", "60A44C\n"),
                            ("speed", "480\n"),
                            ("bDeviceClass", "00\n"),
                        ] {
                            write(file, text);
                        }
                    }
                    b"usb_interface" => write("bInterfaceClass", "08\n"),
                    b"scsi_device" => write("type", "0\n"),
                    b"disk" => write("size", "65536\n"),
                    b"partition" => {
                        write("partition", "1\n");
                        write("size", "63488\n");
                    }
                    _ => {}
                }
            }
            b"move" => {
                let old = event.devpath_old().unwrap();
                fs::rename(self.folder(old), &folder).unwrap();
                let _ = fs::remove_file(self.class(event.subsystem(), old));
                let relative = [b"../..", event.devpath()].concat();
                let _ = symlink(OsStr::from_bytes(&relative), self.class(event.subsystem(), event.devpath()));
                if let Some(number) = self.number(event) {
                    let _ = fs::remove_file(&number);
                    let _ = symlink(&folder, number);
                }
            }
            b"bind" => drop(symlink("../driver", folder.join("driver"))),
            b"unbind" => drop(fs::remove_file(folder.join("driver"))),
            b"remove" => {
                let _ = fs::remove_dir_all(&folder);
                let _ = self.number(event).map(fs::remove_file);
                let _ = fs::remove_file(self.class(event.subsystem(), event.devpath()));
            }
            _ => {}
        }
    }

    /// The paths of all devices, found in another way than natsdev finds them.
    pub fn devpaths(&self) -> Vec<String> {
        devpaths(&self.root)
    }
}

/// All folders below `root`/devices with a `uevent` file and a `subsystem`, but for the parts of USB devices.
pub fn devpaths(root: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                let subsystem = fs::read_link(path.join("subsystem")).ok();
                if path.join("uevent").exists()
                    && let Some(subsystem) = subsystem
                    && subsystem.file_name().unwrap() != "usb"
                {
                    found.push(format!("/{}", path.strip_prefix(root).unwrap().display()));
                }
                walk(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, &root.join("devices"), &mut found);
    found.sort();
    found
}
