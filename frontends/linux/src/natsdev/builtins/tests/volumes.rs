//! What `blkid` finds on volumes and disks, beside blkid and udevadm.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use super::super::*;
use super::{Machine, tool};

/// All properties of images that blkid finds, as it finds them; it knows more of some.
#[test]
fn volumes_as_blkid_tells_them() {
    let machine = Machine::new("blkid");
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    for (name, mib, program, args) in [
        ("ext4", 16, "mkfs.ext4", &["-q", "-F", "-L", "my  root;/x"][..]),
        ("vfat", 64, "mkfs.vfat", &["-n", "HOLI DAY"]),
    ] {
        let image = machine.folder.join(name);
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        if tool(program, &[args, &[image.to_str().unwrap()]].concat()).is_none() {
            eprintln!("SKIPPED volumes_as_blkid_tells_them: no {program}");
            continue;
        }
        let theirs = Command::new("blkid").args(["-p", "-o", "udev"]).arg(&image).env("PATH", &path).output();
        let Ok(theirs) = theirs else {
            return eprintln!("SKIPPED volumes_as_blkid_tells_them: no blkid");
        };
        let theirs = String::from_utf8(theirs.stdout).unwrap();
        let theirs: BTreeMap<_, _> = theirs
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(key, _)| {
                !matches!(*key, "ID_FS_BLOCK_SIZE" | "ID_FS_SEC_TYPE")
                    && !key.starts_with("ID_FS_LABEL_FATBOOT")
            })
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let contents = Contents::of(File::open(&image).unwrap(), &image).unwrap();
        let ours = String::from_utf8(contents.lines()).unwrap();
        let ours: BTreeMap<_, _> = ours
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

/// A loop device with partitions, as far as this machine lets one be made.
struct Loop {
    device: String,
    partitions: Vec<String>,
}

impl Loop {
    fn new(image: &Path) -> Option<Self> {
        let device = tool("losetup", &["-f", "-P", "--show", image.to_str()?])?;
        Some(Self { device, partitions: Vec::new() })
    }

    /// Has the kernel know of a partition, though it may read no tables.
    fn add(&mut self, number: &str, start: &str, size: &str) -> Option<()> {
        let node = format!("{}p{number}", self.device);
        let sys = format!("/sys/class/block/{}", node.strip_prefix("/dev/")?);
        if !Path::new(&sys).exists() {
            tool("addpart", &[&self.device, number, start, size])?;
        }
        self.partitions.push(number.to_owned());
        if !Path::new(&node).exists() {
            let number = fs::read_to_string(format!("{sys}/dev")).ok()?;
            let (major, minor) = number.trim().split_once(':')?;
            tool("mknod", &[&node, "b", major, minor])?;
        }
        Some(())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        for number in &self.partitions {
            let _ = tool("delpart", &[&self.device, number]);
            let _ = fs::remove_file(format!("{}p{number}", self.device));
        }
        let _ = tool("losetup", &["-d", &self.device]);
    }
}

#[test]
fn partitions_as_udev_tells_them() {
    let skipped = |why: &str| eprintln!("SKIPPED partitions_as_udev_tells_them: {why}");
    let machine = Machine::new("parts");
    let gpt = "label: gpt\nstart=2048, size=32768, name=\"an EFI x\", type=U\n\
               start=40960, size=40960, type=L, attrs=\"RequiredPartition GUID:60\"\n";
    let dos = "label: dos\nlabel-id: 0x1234abcd\nstart=2048,size=2048,type=83,bootable\n\
               start=4096,size=20480,type=5\nstart=6144,size=2048,type=82\nstart=10240,size=4096,type=c\n";
    let in_gpt = [["1", "2048", "32768"], ["2", "40960", "40960"]];
    let in_dos = [["1", "2048", "2048"], ["2", "4096", "2"], ["5", "6144", "2048"], ["6", "10240", "4096"]];
    for (name, script, partitions) in [("gpt", gpt, &in_gpt[..]), ("dos", dos, &in_dos)] {
        let (image, table) = (machine.folder.join(name), machine.folder.join("table"));
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        fs::write(&table, script).unwrap();
        let (image, table) = (image.to_str().unwrap(), table.to_str().unwrap());
        if tool("sh", &["-c", &format!("sfdisk -q {image} < {table}")]).is_none() {
            return skipped("no sfdisk");
        }
        let Some(mut device) = Loop::new(Path::new(image)) else { return skipped("no loop devices") };
        for [number, start, size] in partitions {
            if device.add(number, start, size).is_none() {
                return skipped("the kernel takes no partitions");
            }
        }
        let nodes = partitions.iter().map(|[number, ..]| format!("{}p{number}", device.device));
        for node in [device.device.clone()].into_iter().chain(nodes) {
            let sys = format!("/sys/class/block/{}", node.strip_prefix("/dev/").unwrap());
            let Some(theirs) = tool("udevadm", &["test-builtin", "blkid", &sys]) else {
                return skipped("no udevadm");
            };
            let ours = Contents::of(File::open(&node).unwrap(), Path::new(&node)).unwrap().lines();
            let sorted = |text: &str| {
                let mut lines: Vec<_> =
                    text.lines().filter(|line| line.starts_with("ID_")).map(str::to_owned).collect();
                lines.sort();
                lines
            };
            let ours = sorted(str::from_utf8(&ours).unwrap());
            assert!(!ours.is_empty());
            assert_eq!(ours, sorted(&theirs), "{node}");
        }
    }
}
