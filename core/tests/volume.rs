//! What we read of a volume against what `blkid` reads, on images that the real tools make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use lunix_core::device::volume::{Probe, Volume};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lunix-volume-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder for images");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    match Command::new(program).args(args).env("PATH", path).env("LC_ALL", "C.UTF-8").output() {
        Err(error) => Err(format!("{program}: {error}")),
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            panic!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr))
        }
    }
}

fn ours(image: &Path) -> Option<Volume> {
    let image = fs::read(image).expect("the image");
    let mut probe = Probe::new();
    while let Some((offset, len)) = probe.wanted() {
        let from = usize::try_from(offset).unwrap().min(image.len());
        probe.feed(&image[from..(from + len).min(image.len())]);
    }
    probe.volume().copied()
}

/// Makes an image of `mib` MiB with `program`, and compares.
fn compare(name: &str, mib: u64, program: &str, args: &[&str]) {
    let scratch = Scratch::new(name);
    let image = scratch.0.join("image");
    let path = image.to_str().unwrap();
    let file = File::create(&image).expect("an image");
    file.set_len(mib << 20).expect("a sparse image");
    drop(file);
    let args: Vec<&str> = args.iter().map(|arg| if *arg == "IMAGE" { path } else { *arg }).collect();
    match run(program, &args) {
        Ok(_) => check(name, &image),
        Err(why) => eprintln!("SKIPPED volume_{name}: {why}"),
    }
}

fn check(name: &str, image: &Path) {
    let theirs = match run("blkid", &["-p", "-o", "udev", image.to_str().unwrap()]) {
        Ok(text) => text,
        Err(why) => return eprintln!("SKIPPED volume_{name}: {why}"),
    };
    let theirs: BTreeMap<&str, &str> = theirs.lines().filter_map(|line| line.split_once('=')).collect();
    let text = |key: &str| theirs.get(key).map(|value| unescape(value)).unwrap_or_default();
    let ours = ours(image).unwrap_or_else(|| panic!("{name}: nothing found, blkid says {theirs:?}"));
    assert_eq!(ours.fstype, text("ID_FS_TYPE"), "{name}");
    let label = match text("ID_FS_LABEL_ENC") {
        none if none.is_empty() => text("ID_FS_LABEL_FATBOOT_ENC"),
        label => label,
    };
    assert_eq!(String::from_utf8_lossy(ours.label.as_bytes()), label, "{name}");
    assert_eq!(String::from_utf8_lossy(ours.uuid.as_bytes()), text("ID_FS_UUID"), "{name}");
}

/// `\x20` is a space.
fn unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        out.push(u8::from_str_radix(code, 16).unwrap().into());
        out.push_str(rest);
    }
    out
}

#[test]
fn fat() {
    compare("fat12", 2, "mkfs.vfat", &["-F", "12", "-n", "FLOPPY", "-i", "00c0ffee", "IMAGE"]);
    compare("fat16", 32, "mkfs.vfat", &["-F", "16", "-n", "A B C", "IMAGE"]);
    compare("fat32", 64, "mkfs.vfat", &["-F", "32", "-n", "HOLIDAY", "IMAGE"]);
    compare("fat-no-label", 64, "mkfs.vfat", &["IMAGE"]);
    compare("fat-4096", 512, "mkfs.vfat", &["-S", "4096", "-n", "BIG", "IMAGE"]);
    compare("fat32-large-clusters", 600, "mkfs.vfat", &["-F", "32", "-s", "16", "-n", "X", "IMAGE"]);
}

#[test]
fn exfat() {
    compare("exfat", 64, "mkfs.exfat", &["-L", "caf\u{e9}", "IMAGE"]);
    compare("exfat-no-label", 64, "mkfs.exfat", &["IMAGE"]);
}

#[test]
fn ext() {
    for kind in ["ext2", "ext3", "ext4"] {
        compare(kind, 16, &format!("mkfs.{kind}"), &["-q", "-F", "-L", "root fs", "IMAGE"]);
    }
    compare("ext4-no-journal", 16, "mkfs.ext4", &["-q", "-F", "-O", "^has_journal", "IMAGE"]);
    compare("ext2-label-of-16", 16, "mkfs.ext2", &["-q", "-F", "-L", "0123456789abcdef", "IMAGE"]);
}

#[test]
fn iso9660() {
    let scratch = Scratch::new("iso");
    fs::write(scratch.0.join("file"), "x").expect("a file");
    let (source, image) = (scratch.0.join("file"), scratch.0.join("image.iso"));
    for (name, args) in [
        ("iso-plain", &["-V", "PLAIN_LABEL"][..]),
        ("iso-joliet", &["-J", "-V", "Mixed Case"]),
        ("iso-long", &["-J", "-V", "A_LABEL_OF_THIRTY_CHARACTERS__"]),
    ] {
        let mut all = vec!["-quiet", "-o", image.to_str().unwrap()];
        all.extend_from_slice(args);
        all.push(source.to_str().unwrap());
        match run("genisoimage", &all) {
            Ok(_) => check(name, &image),
            Err(why) => eprintln!("SKIPPED volume_{name}: {why}"),
        }
    }
}

#[test]
fn others() {
    compare("ntfs", 16, "mkntfs", &["-q", "-F", "-L", "Fenster \u{2603}", "IMAGE"]);
    compare("xfs", 320, "mkfs.xfs", &["-q", "-f", "-L", "twelve chars", "IMAGE"]);
    compare("btrfs", 128, "mkfs.btrfs", &["-q", "-L", "butter", "IMAGE"]);
    compare("f2fs", 64, "mkfs.f2fs", &["-q", "-l", "flash", "IMAGE"]);
    compare("swap", 1, "mkswap", &["-L", "swap space", "IMAGE"]);
}
