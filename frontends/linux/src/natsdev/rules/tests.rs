//! The language, as its users write it, on a small /sys.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::evaluate::{Event, MEMORY, Terms, evaluate};
use super::*;
use crate::natsdev::database::Entry;
use crate::natsdev::device::{Device, Root};

/// A stick with a partition, in a folder of its own.
struct Rig {
    folder: PathBuf,
    root: Root,
}

const HOST: &str = "devices/pci0/usb1/1-1/host0";
const DISK: &str = "devices/pci0/usb1/1-1/host0/block/sda";
const PART: &str = "devices/pci0/usb1/1-1/host0/block/sda/sda1";

impl Rig {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lunix-rules-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let rig = Self { root: Root::new(&folder), folder };
        rig.device("devices/pci0", "pci", "", "ahci", &[("vendor", "0x8086\n")]);
        let usb = [("idVendor", "0781\n"), ("serial", "4C 53;0\n"), ("product", "Cruzer  Blade  \n")];
        rig.device("devices/pci0/usb1/1-1", "usb", "DEVTYPE=usb_device\n", "usb", &usb);
        rig.device(HOST, "scsi", "", "sd", &[("vendor", "SanDisk \n"), ("empty", "\n")]);
        rig.device(DISK, "block", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n", "", &[("size", "1000\n")]);
        rig.device(PART, "block", "MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n", "", &[]);
        rig.device(
            "devices/virtual/net/eth0",
            "net",
            "IFINDEX=2\nINTERFACE=eth0\n",
            "",
            &[("address", "02:00\n")],
        );
        fs::create_dir_all(rig.path("sys/class/net")).unwrap();
        symlink("../../devices/virtual/net/eth0", rig.path("sys/class/net/eth0")).unwrap();
        rig.file("proc/sys/kernel/hostname", "box\n");
        rig.file("proc/cmdline", "quiet root=/dev/sda1 \"name=a b\"\n");
        rig.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:\n");
        rig.file("etc/group", "root:x:0:\ndisk:x:6:\n");
        rig.file("etc/facts", "A=1\n B = 'two words'\n# C=3\nD=\n");
        rig
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn file(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn device(&self, path: &str, subsystem: &str, uevent: &str, driver: &str, attributes: &[(&str, &str)]) {
        self.file(&format!("sys/{path}/uevent"), uevent);
        symlink(format!("/sys/bus/{subsystem}"), self.path(&format!("sys/{path}/subsystem"))).unwrap();
        if !driver.is_empty() {
            symlink(format!("/sys/drivers/{driver}"), self.path(&format!("sys/{path}/driver"))).unwrap();
        }
        for (name, value) in attributes {
            self.file(&format!("sys/{path}/{name}"), value);
        }
    }

    /// What `rules` make of a device: its links, tags, name and own properties, and what is to be run.
    fn apply(&self, rules: &str, devpath: &str, action: &str, entry: Option<&Entry>) -> String {
        let rules = Rules::parse("test.rules".as_ref(), rules.as_bytes(), Strictness::LeaveOut).unwrap();
        let device = Device::read(&self.root, devpath.as_bytes(), action.as_bytes()).unwrap();
        let mut memory = vec![0; MEMORY];
        let evaluation = evaluate(&rules, &self.root, &device, entry, Terms::ALL, &mut memory, |event| {
            assert!(!matches!(event, Event::NoRoom(_)));
        })
        .unwrap();
        let outcome = evaluation.outcome();
        let known = [
            "ACTION",
            "DEVPATH",
            "SUBSYSTEM",
            "MAJOR",
            "MINOR",
            "DEVNAME",
            "DEVTYPE",
            "IFINDEX",
            "INTERFACE",
        ];
        let own = outcome.properties().filter(|(key, _)| !known.iter().any(|known| known.as_bytes() == *key));
        let mut words: Vec<Vec<u8>> = Vec::new();
        words.extend(outcome.links().map(<[u8]>::to_vec));
        words.extend(outcome.tags().map(|tag| [b"#", tag].concat()));
        words.extend(own.map(|(key, value)| [key, b"=", value].concat()));
        words.extend(outcome.name().map(|name| [b"name:", name].concat()));
        words.extend(outcome.owner().map(|id| format!("owner:{id}").into_bytes()));
        words.extend(outcome.group().map(|id| format!("group:{id}").into_bytes()));
        words.extend(outcome.mode().map(|mode| format!("mode:{mode:o}").into_bytes()));
        words.extend(outcome.labels().map(|(module, label)| [module, b":", label].concat()));
        words.extend(
            outcome
                .runs()
                .map(|run| [if run.builtin { &b"builtin:"[..] } else { b"run:" }, run.command].concat()),
        );
        String::from_utf8(words.join(&b'|')).unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn rules_and_what_they_make_of_a_partition() {
    let rig = Rig::new("partition");
    for (rules, expected) in [
        // Matches.
        (r#"KERNEL=="sd*", SYMLINK+="a""#, "a"),
        (r#"KERNEL=="sd?", SYMLINK+="a""#, ""),
        (r#"KERNEL!="sd?", SYMLINK+="a""#, "a"),
        (r#"KERNEL=="hd*|sd[a-c]1|x", SYMLINK+="a""#, "a"),
        (r#"KERNEL==i"SDA1", SYMLINK+="a""#, "a"),
        (r#"KERNEL=="SDA1", SYMLINK+="a""#, ""),
        (r#"KERNEL==e"\x73da1", SYMLINK+="a""#, "a"),
        (r#"ACTION=="add|change", SUBSYSTEM=="block", DEVPATH=="*/sda/*", SYMLINK+="a""#, "a"),
        (r#"SUBSYSTEM=="class", SYMLINK+="a""#, ""),
        (r#"ENV{DEVTYPE}=="partition", ENV{NONE}=="", ENV{NONE}!="?*", SYMLINK+="a""#, "a"),
        (r#"ENV{NONE}=="x|", SYMLINK+="a""#, "a"),
        (r#"DRIVER=="", CONST{virt}=="?*", SYMLINK+="a""#, "a"),
        (r#"ATTR{../size}=="1000", SYMLINK+="a""#, "a"),
        (r#"ATTR{none}!="x", SYMLINK+="a""#, ""),
        (r#"SYSCTL{kernel.hostname}=="box", SYSCTL{kernel/hostname}!="other", SYMLINK+="a""#, "a"),
        (
            r#"TAG+="t"
            TAG=="t", TAG!="u", TAGS=="t", SYMLINK+="a""#,
            "a|#t",
        ),
        (
            r#"TAG+="t", TAG+="u"
            TAG-="t"
            TAG+="not/valid""#,
            "#u",
        ),
        (
            r#"SYMLINK+="x"
            SYMLINK=="x", SYMLINK+="a""#,
            "x|a",
        ),
        // Parents.
        (r#"KERNELS=="1-1", ATTRS{idVendor}=="0781", SYMLINK+="a""#, "a"),
        (r#"KERNELS=="host0", ATTRS{idVendor}=="0781", SYMLINK+="a""#, ""),
        (
            r#"SUBSYSTEMS=="scsi", DRIVERS=="sd", ATTRS{vendor}=="SanDisk", SYMLINK+="%b-$driver-$attr{vendor}""#,
            "host0-sd-SanDisk",
        ),
        (r#"ATTRS{vendor}=="SanDisk ", SYMLINK+="a""#, "a"),
        (r#"ATTRS{vendor}=="0x*", SYMLINK+="%b""#, "pci0"),
        (r#"ATTRS{empty}=="", SYMLINK+="%b""#, "host0"),
        // Values.
        (r#"SYMLINK+="%k-%n-%M:%m-$major-%%-$$-%P""#, "sda1-1-8:1-8-_-_-sda"),
        (r#"SYMLINK+="by/$env{DEVTYPE}/$name$root$sys""#, "by/partition/sda1/dev/sys"),
        (r#"ATTRS{serial}=="?*", SYMLINK+="id-$attr{serial}""#, "id-4C_53_0"),
        (r#"ATTRS{serial}=="?*", SYMLINK+="id-%s{serial} x""#, "id-4C_53_0|x"),
        (r#"ATTRS{serial}=="?*", OPTIONS="string_escape=none", SYMLINK+="%s{serial}""#, "4C|53_0"),
        (r#"ATTRS{serial}=="?*", ENV{ID}="$attr{serial}$attr{product}""#, "ID=4C 53_0Cruzer  Blade"),
        (r#"OPTIONS="string_escape=replace", ENV{ID}="a/b c""#, "ID=a_b_c"),
        (r#"ENV{N}="%N%p%S""#, "N=/dev/sda1/devices/pci0/usb1/1-1/host0/block/sda/sda1/sys"),
        (
            r#"SYMLINK+="a b"
            ENV{L}="$links""#,
            "a|b|L=a b",
        ),
        (r#"ENV{E}="$attr{[net/eth0]address}""#, "E=02:00"),
        (
            r#"ENV{E}="a"
            ENV{E}+="b""#,
            "E=a b",
        ),
        (
            r#"ENV{E}="a"
            ENV{E}="""#,
            "",
        ),
        (r#"SYMLINK+="../etc /etc/x /dev/y ./z/./ /dev""#, "y|z"),
        (r#"SYMLINK+="a", SYMLINK="b", SYMLINK+="c", SYMLINK-="b""#, "c"),
        // Files and programs.
        (r#"TEST=="uevent", TEST!="none", TEST{0444}=="uevent", TEST{0111}!="uevent", SYMLINK+="a""#, "a"),
        (r#"TEST=="/etc/facts", TEST=="[net/eth0]", TEST=="[net/eth0]/address", SYMLINK+="a""#, "a"),
        (r#"TEST=="../*/size", SYMLINK+="a""#, ""),
        (r#"TEST=="../../*/size", SYMLINK+="a""#, "a"),
        (r#"PROGRAM="/bin/echo -e one two\n\n", RESULT=="one two", SYMLINK+="%c{2} %c{1+}""#, "two|one"),
        (r#"PROGRAM=="/bin/false", SYMLINK+="a""#, ""),
        (r#"PROGRAM!="/bin/false", SYMLINK+="a""#, "a"),
        (r#"RESULT=="x", PROGRAM=="/bin/echo x", SYMLINK+="$result""#, "x"),
        (r#"PROGRAM=="/bin/sh -c 'echo $DEVNAME'", ENV{R}="%c""#, "R=/dev/sda1"),
        (r#"IMPORT{program}="/bin/echo A=1", ENV{A}=="1", SYMLINK+="a""#, ""),
        (r#"IMPORT{program}="/bin/echo A=1", RESULT=="x", SYMLINK+="a""#, "A=1"),
        (
            r#"IMPORT{program}="/bin/echo A=1"
            ENV{A}=="1", SYMLINK+="a""#,
            "a|A=1",
        ),
        (r#"IMPORT{file}="/etc/facts""#, "A=1|B=two words"),
        (r#"IMPORT{file}!="/etc/none", SYMLINK+="a""#, "a"),
        (
            r#"IMPORT{cmdline}="root", IMPORT{cmdline}="quiet", IMPORT{cmdline}!="loud", SYMLINK+="a""#,
            "a|root=/dev/sda1|quiet=1",
        ),
        (r#"IMPORT{cmdline}="name""#, "name=a b"),
        (r#"IMPORT{parent}="DEV*""#, ""),
        // What is done.
        (r#"OWNER="user", GROUP="disk", MODE="0640""#, "owner:1000|group:6|mode:640"),
        (r#"OWNER="7", GROUP="nobody", MODE="rwx""#, "owner:7"),
        (
            r#"MODE="0600"
            PROGRAM=="/bin/echo 0666", MODE="%c""#,
            "mode:666",
        ),
        (
            r#"GROUP:="disk"
            GROUP="root""#,
            "group:6",
        ),
        (r#"SECLABEL{smack}="*""#, "smack:*"),
        (
            r#"RUN+="/bin/a %k", RUN{program}+="/bin/b", RUN{builtin}+="kmod load x""#,
            "builtin:kmod load x|run:/bin/a sda1|run:/bin/b",
        ),
        (
            r#"RUN+="/bin/a"
            RUN="/bin/b""#,
            "run:/bin/b",
        ),
        (r#"NAME="x""#, ""),
        // Jumps.
        (
            r#"GOTO="end"
            SYMLINK+="a"
            LABEL="end", SYMLINK+="b""#,
            "b",
        ),
        (
            r#"KERNEL=="x", GOTO="end"
            SYMLINK+="a"
            LABEL="end""#,
            "a",
        ),
        (
            r#"SYMLINK+="b", GOTO="one"
            LABEL="one"
            GOTO="two"
            KERNEL=="x"
            SYMLINK+="a"
            LABEL="two"
            SYMLINK+="c""#,
            "b|c",
        ),
        // Lines.
        ("KERNEL==\"sda1\",\\\n# between\n  SYMLINK+=\"a\" \\\n\nSYMLINK+=\"b\"", "a|b"),
        ("KERNEL==\"sda1\"SYMLINK+=\"a\",,SYMLINK += \"b\"\r\n", "a|b"),
    ] {
        assert_eq!(rig.apply(rules, &format!("/{PART}"), "add", None), expected, "{rules}");
    }
}

#[test]
fn interfaces_get_names_and_no_links() {
    let rig = Rig::new("interface");
    let rules = "NAME=\"lan %k\", SYMLINK+=\"a\"\nNAME==\"lan_eth0\", ENV{N}=\"$name\"";
    assert_eq!(rig.apply(rules, "/class/net/eth0", "add", None), "N=lan_eth0|name:lan_eth0");
    // Where nothing comes, nothing is named.
    assert_eq!(rig.apply(rules, "/class/net/eth0", "remove", None), "");
}

#[test]
fn the_database_is_remembered() {
    let rig = Rig::new("database");
    let entry = Entry {
        links: vec![b"old".to_vec()],
        properties: vec![(b"ID".to_vec(), b"7".to_vec())],
        present_tags: vec![b"seat".to_vec()],
        ..Entry::default()
    };
    let rules = "IMPORT{db}=\"ID\", IMPORT{db}!=\"X\", SYMLINK+=\"by-$env{ID}\"";
    let part = format!("/{PART}");
    assert_eq!(rig.apply(rules, &part, "change", Some(&entry)), "by-7|ID=7");
    let rules = "TAG==\"seat\", ENV{ID}==\"7\", RUN+=\"/bin/gone $links\"";
    assert_eq!(rig.apply(rules, &part, "remove", Some(&entry)), "old|#seat|ID=7|run:/bin/gone old");
    // Of the parent, from its entry.
    let disk = Entry {
        properties: vec![(b"ID_A".to_vec(), b"1".to_vec()), (b"OTHER".to_vec(), b"2".to_vec())],
        present_tags: vec![b"disk".to_vec()],
        ..Entry::default()
    };
    disk.write(&rig.root.data(), "b8:0").unwrap();
    let rules = "IMPORT{parent}=\"ID_*\", TAGS==\"disk\", SYMLINK+=\"%b\"";
    assert_eq!(rig.apply(rules, &part, "add", None), "sda|ID_A=1");
    let rules = "TAGS==\"disk\", SYMLINK+=\"%b\"";
    assert_eq!(rig.apply(rules, &part, "add", None), "sda");
}

#[test]
fn attributes_are_written_and_read_again() {
    let rig = Rig::new("write");
    rig.file("proc/sys/kernel/sda1", "old\n");
    let rules = "ATTR{../size}==\"1000\", ATTR{../size}=\"$kernel\"\nATTR{../size}==\"sda1\", SYMLINK+=\"a\"\n\
                 SYSCTL{kernel.%k}=\"new\"";
    assert_eq!(rig.apply(rules, &format!("/{PART}"), "add", None), "a");
    assert_eq!(fs::read_to_string(rig.path(&format!("sys/{DISK}/size"))).unwrap(), "sda1\n");
    assert_eq!(fs::read_to_string(rig.path("proc/sys/kernel/sda1")).unwrap(), "new\n");
}

#[test]
fn mistakes_are_said_with_their_places() {
    for (text, expected) in [
        ("KERNAL==\"a\"", "1:1: KERNAL: unknown key, did you mean 'KERNEL'?"),
        ("XYZZY==\"a\"", "1:1: XYZZY: unknown key"),
        ("KERNEL=\"a\", MODE=\"1\"", "1:1: KERNEL: expected one of == !=, found ="),
        ("OWNER==\"a\"", "1:1: OWNER: expected one of = :=, found =="),
        ("LABEL+=\"a\"", "1:1: LABEL: expected =, found +="),
        ("ENV{A}-=\"a\"", "1:1: ENV: expected one of == != = +=, found -="),
        ("ATTR==\"a\"", "1:5: ATTR: expected a name in braces"),
        ("ATTR{x==\"a\"", "1:5: ATTR: this '{' has no '}'"),
        ("KERNEL{x}==\"a\"", "1:7: KERNEL: expected no braces, found '{x}'"),
        ("TEST{rw}==\"a\"", "1:5: TEST: expected octal digits in the braces, found '{rw}'"),
        (
            "IMPORT{pipe}=\"a\"",
            "1:7: IMPORT: expected one of {program} {builtin} {file} {db} {cmdline} {parent}",
        ),
        ("CONST{cpu}==\"a\"", "1:6: CONST: expected one of {arch} {virt} {cvm}"),
        ("KERNEL==a", "1:9: KERNEL: expected a value in double quotes, found 'a'"),
        ("KERNEL==\"a", "1:9: KERNEL: this quote has no end"),
        ("KERNEL==e\"a\\q\"", "1:12: KERNEL: expected an escape as in C, found '\\\\q\\\"'"),
        ("KERNEL==e\"\\x00\"", "1:9: KERNEL: a value has no zeroes"),
        ("KERNEL<\"a\"", "1:8: KERNEL<: expected one of == != = += -= :=, found '\\\"a\\\"'"),
        ("  KERNEL==\"\u{e4}\", \\\n  # x\n   MODE=\"1\" =\"2\"", "3:13: expected a key, found '=\\\"2\\\"'"),
        ("MODE=i\"1\"", "1:6: MODE: i\"\u{2026}\" is only for what is compared"),
        ("NAME=\"%k\"", "1:6: NAME: expected another name than the kernel's, found '%k'"),
        ("NAME=\"\"", "1:6: NAME: expected a name, found nothing"),
        ("ENV{MAJOR}=\"1\"", "1:12: ENV: expected a property of your own, found 'MAJOR'"),
        (
            "OPTIONS+=\"link_priority=high\"",
            "1:10: OPTIONS: expected a number as link_priority, found 'high'",
        ),
        ("GOTO=\"x\"\nLABEL=\"y\"", "1:1: GOTO: expected a LABEL below, found none that is 'x'"),
        ("MODE=\"1\" \\", "1:10: expected another line after '\\', found the end"),
    ] {
        let error = Rules::parse("x".as_ref(), text.as_bytes(), Strictness::Refuse).expect_err(text);
        assert_eq!(error.to_string(), format!("x:{expected}"), "{text}");
    }
    let long = format!("KERNEL==\"{}\"", "x".repeat(lines::LONGEST));
    let error = Rules::parse("x".as_ref(), long.as_bytes(), Strictness::Refuse).unwrap_err();
    assert_eq!(error.to_string(), "x:1:1: a line may have 16384 bytes");
}

#[test]
fn what_udev_takes_with_a_warning_is_a_remark() {
    for (text, expected) in [
        ("OPTIONS+=\"last_rule\"", "1:10: OPTIONS: there is no option 'last_rule'"),
        ("MODE=\"9\"", "1:6: MODE: expected octal digits, found '9'"),
        ("MODE=\"10000\"", "1:6: MODE: expected octal digits, found '10000'"),
        ("OWNER+=\"a\"", "1:1: OWNER: '+=' is taken for '='"),
        ("KERNEL==\"a\"", "1:1: this line has no consequence"),
        (
            "RUN+=\"/bin/x $foo\"",
            "1:6: RUN: in \"/bin/x $foo\": no such variable ('$' alone is written '$$', '%' is '%%')",
        ),
        ("ENV{A}=\"%s\"", "1:8: ENV: in \"%s\": this variable needs a name in braces"),
    ] {
        let rules = Rules::parse("x".as_ref(), text.as_bytes(), Strictness::Refuse).unwrap();
        let remarks: Vec<_> = rules.remarks.iter().map(ToString::to_string).collect();
        assert!(remarks.contains(&format!("x:{expected}")), "{text}: {remarks:?}");
    }
}

#[test]
fn files_hide_one_another_and_mistakes_of_all_are_said() {
    let rig = Rig::new("files");
    rig.file("etc/rules.d/50-a.rules", "KERNEL==\"sda1\", SYMLINK+=\"etc\"\n");
    rig.file("etc/rules.d/20-off.rules", "");
    symlink("/dev/null", rig.path("etc/rules.d/30-off.rules")).unwrap();
    rig.file("lib/rules.d/50-a.rules", "SYMLINK+=\"lib\"\n");
    rig.file("lib/rules.d/20-off.rules", "SYMLINK+=\"off\"\n");
    rig.file("lib/rules.d/30-off.rules", "SYMLINK+=\"off\"\n");
    rig.file("lib/rules.d/10-b.rules", "# nothing\n\nSYMLINK+=\"first\"\n");
    rig.file("lib/rules.d/README", "not rules\n");
    rustix::fs::mkfifoat(rustix::fs::CWD, rig.path("lib/rules.d/90-pipe.rules"), 0o600.into()).unwrap();
    let folders = [rig.path("etc/rules.d"), rig.path("lib/rules.d"), rig.path("none")];
    let rules = Rules::read(&folders, Strictness::Refuse).unwrap();
    assert_eq!(rules.table().lines(), 2);
    let names: Vec<_> =
        rules.files().iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["10-b.rules", "20-off.rules", "30-off.rules", "50-a.rules", "90-pipe.rules"]);
    assert!(rules.place(Origin { file: 0, line: 3 }).ends_with("lib/rules.d/10-b.rules:3"));

    rig.file("etc/rules.d/60-x.rules", "A==\"1\"\nB==\"1\"\n");
    rig.file("lib/rules.d/10-b.rules", "\nC==\"1\"\n");
    let error = Rules::read(&folders, Strictness::Refuse).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn a_file_cut_anywhere_is_no_danger() {
    let text = br#"KERNEL=="sd*", \
# comment
  ATTRS{a}!=e"\x41\n|b", PROGRAM=="/bin/x '%k'", RUN{builtin}+="kmod", GOTO="e"
LABEL="e""#;
    for at in 0..=text.len() {
        for strictness in [Strictness::Refuse, Strictness::LeaveOut] {
            let _ = Rules::parse("x".as_ref(), &text[..at], strictness);
            let _ = Rules::parse("x".as_ref(), &text[at..], strictness);
        }
    }
}
