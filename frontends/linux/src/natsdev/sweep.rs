//! Devices that went while nobody looked: what was made for them is removed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::database::{self, Entry};
use super::device::Root;
use super::links::Links;

/// Removes entries, links and tags of devices that are not there any more. How many that were.
pub(super) fn sweep(root: &Root) -> usize {
    let Ok(entries) = fs::read_dir(root.data()) else { return 0 };
    let interfaces = interfaces(root);
    let mut gone = 0;
    for id in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if is_there(root, &id, &interfaces) {
            continue;
        }
        let entry = Entry::read(&root.data(), &id).unwrap_or_default();
        let links = Links::new(root);
        for link in &entry.links {
            let _ = links.release(link, &id);
        }
        if let Some((kind, number)) = id.split_at_checked(1).filter(|(kind, _)| matches!(*kind, "b" | "c")) {
            let kind = if kind == "b" { "block" } else { "char" };
            let _ = links.remove(format!("{kind}/{number}").as_bytes());
        }
        for tag in &entry.tags {
            let _ = fs::remove_file(root.path("/run/udev/tags").join(OsStr::from_bytes(tag)).join(&id));
        }
        database::remove(&root.data(), &id);
        gone += 1;
    }
    gone
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
        // A file that somebody is about to put in its place.
        _ => true,
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
        assert_eq!(sweep(&root), 4);
        let mut left: Vec<_> = fs::read_dir(root.data())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["+usb:1-1", "b8:0", "n2"]);
        assert_eq!(fs::read_link(folder.join("dev/disk/x")).unwrap(), Path::new("../sda"));
        assert!(!folder.join("run/udev/tags/seat/b8:16").exists());
        assert_eq!(sweep(&root), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
