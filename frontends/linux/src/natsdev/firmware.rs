//! Firmware, where the kernel asks for it: it finds most of it by itself, and only kernels with
//! `CONFIG_FW_LOADER_USER_HELPER` say `add` of a device of the subsystem `firmware` when they have not.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::system::uname;

use super::device::{Device, Root, relative};

/// Bytes of a firmware.
const MOST: u64 = 256 << 20;

/// Whether the kernel waits for a firmware.
pub(super) fn is_asked_for(device: &Device) -> bool {
    device.subsystem == b"firmware" && device.action == b"add"
}

/// Gives the kernel what it waits for, or says that there is none.
///
/// # Errors
/// There is none, or the kernel does not take it.
pub(super) fn give(root: &Root, device: &Device) -> io::Result<()> {
    let folder = root.sys().join(relative(&device.devpath));
    let say = |word: &str| fs::write(folder.join("loading"), word);
    let given = find(root, device.property(b"FIRMWARE").unwrap_or_default()).and_then(|file| {
        say("1")?;
        let mut data = File::options().write(true).open(folder.join("data"))?;
        io::copy(&mut io::Read::take(file, MOST), &mut data)?;
        say("0")
    });
    if given.is_err() {
        // Otherwise its driver waits for a minute.
        say("-1")?;
    }
    given
}

/// The file, where the kernel would look for it, too.
fn find(root: &Root, name: &[u8]) -> io::Result<File> {
    let name = Path::new(OsStr::from_bytes(name));
    if name.as_os_str().is_empty() || !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of a firmware"));
    }
    let release = uname().release().to_string_lossy().into_owned();
    let folders = [PathBuf::from("updates").join(&release), "updates".into(), release.into(), PathBuf::new()];
    let files = folders.iter().map(|folder| root.path("/lib/firmware").join(folder).join(name));
    files.map(File::open).find(|file| file.is_ok()).unwrap_or_else(|| {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("no firmware {}", name.display())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gets_what_it_waits_for_or_hears_that_there_is_none() {
        let folder = std::env::temp_dir().join(format!("lunix-firmware-{}", std::process::id()));
        let sys = folder.join("sys/devices/pci/firmware/x.bin");
        for path in [&sys, &folder.join("lib/firmware/vendor")] {
            fs::create_dir_all(path).unwrap();
        }
        let root = Root::new(&folder);
        let asks = |name: &str| {
            fs::write(sys.join("loading"), "").unwrap();
            fs::write(sys.join("data"), "").unwrap();
            let device = Device {
                action: b"add".to_vec(),
                devpath: b"/devices/pci/firmware/x.bin".to_vec(),
                subsystem: b"firmware".to_vec(),
                properties: vec![(b"FIRMWARE".to_vec(), name.as_bytes().to_vec())],
            };
            assert!(is_asked_for(&device));
            let given = give(&root, &device);
            let read = |file: &str| fs::read_to_string(sys.join(file)).unwrap();
            (given.is_ok(), read("loading"), read("data"))
        };
        fs::write(folder.join("lib/firmware/vendor/x.bin"), "code").unwrap();
        fs::write(folder.join("secret"), "key").unwrap();
        assert_eq!(asks("vendor/x.bin"), (true, "0".into(), "code".into()));
        fs::create_dir_all(folder.join("lib/firmware/updates/vendor")).unwrap();
        fs::write(folder.join("lib/firmware/updates/vendor/x.bin"), "newer").unwrap();
        assert_eq!(asks("vendor/x.bin"), (true, "0".into(), "newer".into()));
        for odd in ["absent.bin", "", "../../secret", "/secret", "vendor/../../../secret"] {
            assert_eq!(asks(odd), (false, "-1".into(), String::new()), "{odd}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
