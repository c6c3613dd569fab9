//! What we read of a volume against what `blkid` reads, on images that the real tools make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lunix_core::device::partition::{self, Disk, Wanted};
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
    let image = File::open(image).expect("the image");
    let mut probe = Probe::of_size(image.metadata().unwrap().len());
    while let Some((offset, len)) = probe.wanted() {
        probe.feed(&piece(&image, offset, len));
    }
    probe.volume().copied()
}

fn piece(image: &File, offset: u64, len: usize) -> Vec<u8> {
    let mut piece = Vec::new();
    let mut image = image;
    image.seek(SeekFrom::Start(offset)).unwrap();
    image.take(len as u64).read_to_end(&mut piece).unwrap();
    piece
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
    assert_eq!(ours.usage.as_str(), text("ID_FS_USAGE"), "{name}");
    assert_eq!(String::from_utf8_lossy(ours.version.as_bytes()), text("ID_FS_VERSION"), "{name}");
    assert_eq!(String::from_utf8_lossy(ours.uuid_sub.as_bytes()), text("ID_FS_UUID_SUB"), "{name}");
    let label = match text("ID_FS_LABEL_ENC") {
        none if none.is_empty() => text("ID_FS_LABEL_FATBOOT_ENC"),
        label => label,
    };
    assert_eq!(String::from_utf8_lossy(ours.label.as_bytes()), label, "{name}");
    assert_eq!(String::from_utf8_lossy(ours.uuid.as_bytes()), text("ID_FS_UUID_ENC"), "{name}");
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
    for page in ["8192", "16384", "32768", "65536"] {
        compare(&format!("swap-{page}"), 1, "mkswap", &["-p", page, "-L", "swap", "IMAGE"]);
    }
}

#[test]
fn discs() {
    compare("udf", 20, "mkudffs", &["-l", "lab \u{e9}", "IMAGE"]);
    compare("udf-4096", 20, "mkudffs", &["-b", "4096", "-l", "\u{65e5}\u{672c}", "IMAGE"]);
    compare("udf-2048", 20, "mkudffs", &["-b", "2048", "-r", "1.50", "-l", "plain", "IMAGE"]);
    compare("udf-set", 20, "mkudffs", &["--vsid", "no digits at all", "IMAGE"]);
}

#[test]
fn from_folders() {
    let scratch = Scratch::new("folders");
    let (folder, image) = (scratch.0.join("folder"), scratch.0.join("image"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "x").unwrap();
    let (folder, path) = (folder.to_str().unwrap(), image.to_str().unwrap());
    for (name, program, args) in [
        ("squashfs", "mksquashfs", &[folder, path, "-quiet", "-noappend"][..]),
        ("erofs", "mkfs.erofs", &[path, folder]),
        ("ubifs", "mkfs.ubifs", &["-r", folder, "-m", "2048", "-e", "126976", "-c", "100", "-o", path]),
    ] {
        match run(program, args) {
            Ok(_) => check(name, &image),
            Err(why) => eprintln!("SKIPPED volume_{name}: {why}"),
        }
    }
    // blkid knows it since 2.39 only.
    for order in ["-l", "-b"] {
        match run("mkfs.jffs2", &["-r", folder, order, "-o", path]) {
            Ok(_) => assert_eq!(ours(&image).expect("jffs2").fstype, "jffs2"),
            Err(why) => eprintln!("SKIPPED volume_jffs2: {why}"),
        }
    }
}

#[test]
fn encrypted() {
    let key = std::env::temp_dir().join(format!("lunix-volume-key-{}", std::process::id()));
    fs::write(&key, "secret").unwrap();
    let format =
        |kind| ["-q", "luksFormat", "--type", kind, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let path = key.to_str().unwrap();
    compare("luks1", 20, "cryptsetup", &[&format("luks1")[..], &["IMAGE", path]].concat());
    compare("luks2", 20, "cryptsetup", &[&format("luks2")[..], &["--label", "safe", "IMAGE", path]].concat());
    let _ = fs::remove_file(key);
}

/// Superblocks of software RAID as mdadm leaves them; it makes them only where the kernel has the driver.
#[test]
fn raid() {
    let scratch = Scratch::new("raid");
    let image = scratch.0.join("image");
    let mut disk = vec![0; 4 << 20];
    // The file system that is on both halves of a mirror is not what counts.
    disk[1080..1082].copy_from_slice(&[0x53, 0xef]);
    let mut put = |at: usize, words: &[(usize, u32)]| {
        for (offset, word) in words {
            disk[at + offset..at + offset + 4].copy_from_slice(&word.to_le_bytes());
        }
        fs::write(&image, &disk).unwrap();
        disk[at..at + 4096].fill(0);
        disk[1080..1082].copy_from_slice(&[0x53, 0xef]);
    };
    let old = [(0, 0xa92b_4efc), (8, 90), (20, 0x0123_4567), (52, 1), (56, 2), (60, 0x89ab_cdef)];
    put((4 << 20) - (64 << 10), &old);
    check("raid-0.90", &image);
    for (name, at) in [("raid-1.0", (4 << 20) - 8192), ("raid-1.1", 0), ("raid-1.2", 4096)] {
        let mut new = vec![(0, 0xa92b_4efc), (4, 1), (16, 77), (28, 88), (32, u32::from_le_bytes(*b"host"))];
        new.extend([(144, at as u32 / 512), (168, 99), (220, 2), (256, 0x0001_0000)]);
        let sum: u64 = new.iter().map(|(_, word)| u64::from(*word)).sum();
        new.push((216, (sum + (sum >> 32)) as u32));
        put(at, &new);
        check(name, &image);
    }
}

#[test]
fn physical_volume() {
    let scratch = Scratch::new("lvm");
    let image = scratch.0.join("image");
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let device = match Command::new("losetup").args(["-f", "--show"]).arg(&image).output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        other => return eprintln!("SKIPPED volume_lvm: no loop device: {other:?}"),
    };
    let made = Command::new("pvcreate").args(["-q", "-f", "-f", "-y", &device]).output();
    let made = made.is_ok_and(|output| output.status.success());
    drop(Command::new("losetup").args(["-d", &device]).output());
    if !made {
        return eprintln!("SKIPPED volume_lvm: pvcreate makes none here");
    }
    check("lvm", &image);
}

/// Tables by sfdisk, each partition read back by ours and by blkid (as a loop device's partition where there is one).
#[test]
fn tables() {
    const DOS: &str =
        "label: dos\nlabel-id: 0x1234abcd\n2048,2048,83,*\n4096,20480,5\n6144,2048,82\n10240,4096,c\n";
    const GPT: &str = "label: gpt\nstart=2048, size=2048, name=\"an EFI \u{2603}\", type=U\nstart=8192, size=4096, type=L, \
                       attrs=\"RequiredPartition GUID:60\"\n";
    for (name, script, lost) in [("dos", DOS, false), ("gpt", GPT, false), ("gpt-second", GPT, true)] {
        let scratch = Scratch::new(&format!("table-{name}"));
        let image = scratch.0.join("image");
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let path = image.to_str().unwrap();
        let child = Command::new("sfdisk")
            .args(["-q", path])
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return eprintln!("SKIPPED volume_tables: sfdisk: {error}"),
        };
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        if lost {
            let mut file = File::options().write(true).open(&image).unwrap();
            file.seek(SeekFrom::Start(512)).unwrap();
            file.write_all(&[0; 512]).unwrap();
        }
        compare_tables(name, &image);
    }
}

fn compare_tables(name: &str, image: &Path) {
    let path = image.to_str().unwrap();
    let theirs = |args: &[&str]| -> BTreeMap<String, String> {
        let text = run("blkid", args).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(k, v)| (k.to_owned(), unescape(v)))
            .collect()
    };
    let table = theirs(&["-p", "-o", "udev", path]);
    if table.is_empty() {
        return eprintln!("SKIPPED volume_tables: no blkid");
    }
    let file = File::open(image).unwrap();
    let disk = Disk { size: file.metadata().unwrap().len(), sector: 512 };
    let probe = |wanted| {
        let mut probe = partition::Probe::new(disk, wanted);
        while let Some((offset, len)) = probe.wanted() {
            probe.feed(&piece(&file, offset, len));
        }
        (probe.table().copied(), probe.entry().copied())
    };
    let ours = probe(None).0.unwrap_or_else(|| panic!("{name}: no table, blkid says {table:?}"));
    assert_eq!(ours.scheme.as_str(), table["ID_PART_TABLE_TYPE"], "{name}");
    assert_eq!(String::from_utf8_lossy(ours.uuid.as_bytes()), table["ID_PART_TABLE_UUID"], "{name}");
    let list = run("sfdisk", &["-d", path]).unwrap();
    let mut compared = 0;
    for (index, line) in list.lines().filter(|line| line.contains("start=")).enumerate() {
        let number = |key: &str| -> u64 {
            let (_, rest) = line.split_once(key).unwrap();
            rest.split(',').next().unwrap().trim().parse().unwrap()
        };
        let text = |key: &str| {
            line.split_once(key).map(|(_, rest)| rest.split([',', ' ']).next().unwrap().to_owned())
        };
        let (start, size) = (number("start="), number("size="));
        if size == 0 {
            continue;
        }
        let wanted = Wanted { offset: start * 512, size: size * 512 };
        let entry = probe(Some(wanted)).1.unwrap_or_else(|| panic!("{name}: {line}"));
        assert_eq!((entry.offset, entry.size), (start, size), "{name}: {line}");
        let kind = String::from_utf8_lossy(entry.kind.as_bytes()).into_owned();
        assert_eq!(
            kind.trim_start_matches("0x").to_lowercase(),
            text("type=").unwrap().to_lowercase(),
            "{line}"
        );
        if name.starts_with("gpt") {
            let uuid = String::from_utf8_lossy(entry.uuid.as_bytes()).to_uppercase();
            assert_eq!(Some(uuid), text("uuid="), "{line}");
            assert_eq!(entry.number as usize, index + 1);
        } else {
            assert_eq!(entry.flags == 0x80, line.contains("bootable"), "{line}");
            assert_eq!(entry.uuid.as_bytes(), format!("1234abcd-{:02x}", entry.number).as_bytes());
        }
        compared += 1;
    }
    assert!(compared >= 2, "{name}: {list}");
}
