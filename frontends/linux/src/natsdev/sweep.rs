//! Devices that went while nobody looked: what was made for them is removed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::database;
use super::device::Root;
use super::links::{self, Links};

/// Removes what was made for devices that are not there any more, and what whoever was killed was about to put in its place.
/// Each folder is looked at by itself: who was killed may have made only a part of it.
pub(super) fn sweep(root: &Root) {
    remove_drafts(&root.path("/dev"), &mut 100_000);
    let interfaces = interfaces(root);
    let gone = |id: &str| !is_there(root, id, &interfaces);
    let links = Links::new(root);
    for link in names(&root.path("/run/udev/links")) {
        let folder = root.path("/run/udev/links").join(&link);
        let Some(name) = links::decoded(link.as_bytes()) else { continue };
        for id in ids(&folder).filter(|id| gone(id)) {
            let _ = links.release(&name, &id);
        }
    }
    for tag in names(&root.path("/run/udev/tags")) {
        let folder = root.path("/run/udev/tags").join(tag);
        for id in ids(&folder).filter(|id| gone(id)) {
            let _ = fs::remove_file(folder.join(id));
        }
    }
    for kind in ["block", "char"] {
        for number in ids(&root.path("/dev").join(kind)) {
            if !root.sys().join("dev").join(kind).join(&number).exists() {
                let _ = links.remove(format!("{kind}/{number}").as_bytes());
            }
        }
    }
    for id in ids(&root.data()).filter(|id| gone(id)) {
        database::remove(&root.data(), &id);
    }
}

fn names(folder: &Path) -> impl Iterator<Item = OsString> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name()))
}

/// The devices that files in a folder are called by.
fn ids(folder: &Path) -> impl Iterator<Item = String> + use<> {
    names(folder).filter_map(|name| name.into_string().ok()).filter(|name| name != ".lock")
}

fn is_there(root: &Root, id: &str, interfaces: &BTreeSet<String>) -> bool {
    let sys = root.sys();
    let Some((kind, name)) = id.split_at_checked(1) else { return true };
    match kind {
        "b" => sys.join("dev/block").join(name).exists(),
        "c" => sys.join("dev/char").join(name).exists(),
        "n" => interfaces.contains(name),
        "+" => {
            let Some((subsystem, name)) = name.split_once(':') else { return true };
            // The kernel writes `!` for a slash in a name.
            let name = name.replace('/', "!");
            ["bus", "class"].iter().any(|kind| {
                let folder = sys.join(kind).join(subsystem);
                folder.join("devices").join(&name).exists() || folder.join(&name).exists()
            })
        }
        // What an entry was about to be; see `Entry::write`.
        "." => false,
        _ => true,
    }
}

/// Removes links that were about to be put in the place of others; see `Links::point`. Looks at `most` files at most.
fn remove_drafts(folder: &Path, most: &mut u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        *most = most.saturating_sub(1);
        let Ok(kind) = entry.file_type() else { continue };
        if *most == 0 {
            return;
        }
        let name = entry.file_name();
        let draft = name.to_str().and_then(|name| name.rsplit_once(".#"));
        if kind.is_symlink() && draft.is_some_and(|(_, pid)| pid.bytes().all(|byte| byte.is_ascii_digit())) {
            let _ = fs::remove_file(entry.path());
        } else if kind.is_dir() {
            remove_drafts(&entry.path(), most);
        }
    }
}

/// The numbers of all network interfaces.
fn interfaces(root: &Root) -> BTreeSet<String> {
    let number = |folder: &Path| fs::read_to_string(folder.join("ifindex")).ok();
    let entries = fs::read_dir(root.sys().join("class/net")).into_iter().flatten();
    entries.filter_map(|entry| Some(number(&entry.ok()?.path())?.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::natsdev::database::Entry;
    use crate::natsdev::links::Claim;

    #[test]
    fn only_what_is_gone_is_removed() {
        let folder = std::env::temp_dir().join(format!("lunix-sweep-{}", std::process::id()));
        for path in [
            "sys/dev/block/8:0",
            "sys/class/net/eth0",
            "sys/bus/usb/devices/1-1",
            "dev",
            "run/udev/tags/seat",
        ] {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        fs::write(folder.join("sys/class/net/eth0/ifindex"), "2\n").unwrap();
        for node in ["sda", "sdb"] {
            fs::write(folder.join("dev").join(node), "").unwrap();
        }
        let root = Root::new(&folder);
        let links = Links::new(&root);
        for (id, node) in [("b8:0", &b"sda"[..]), ("b8:16", b"sdb")] {
            links.claim(b"disk/x", Claim { id, node, priority: 0 }).unwrap();
            let entry =
                Entry { links: vec![b"disk/x".to_vec()], tags: vec![b"seat".to_vec()], ..Entry::default() };
            entry.write(&root.data(), id).unwrap();
            fs::write(folder.join("run/udev/tags/seat").join(id), "").unwrap();
        }
        for id in ["n2", "n3", "+usb:1-1", "+usb:1-2", "c1:1"] {
            Entry::default().write(&root.data(), id).unwrap();
        }
        fs::remove_file(folder.join("dev/sdb")).unwrap();
        links.claim(b"gone", Claim { id: "b8:16", node: b"sdb", priority: 0 }).unwrap();
        links.remove(b"gone").unwrap();
        let drafts = ["run/udev/data/.#b8:0.77", "dev/disk/x.#77", r"run/udev/links/disk\x2fx/.#b8:0.77"];
        for draft in drafts {
            std::os::unix::fs::symlink("nowhere", folder.join(draft)).unwrap();
        }
        sweep(&root);
        for gone in drafts.iter().chain(&["run/udev/links/gone/b8:16", "dev/gone"]) {
            assert!(fs::symlink_metadata(folder.join(gone)).is_err(), "{gone}");
        }
        let mut left: Vec<_> = fs::read_dir(root.data())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["+usb:1-1", "b8:0", "n2"]);
        assert_eq!(fs::read_link(folder.join("dev/disk/x")).unwrap(), Path::new("../sda"));
        assert!(!folder.join("run/udev/tags/seat/b8:16").exists());
        sweep(&root);
        assert!(folder.join("run/udev/data/b8:0").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
