//! `mdev.conf` beside busybox's mdev, in the same run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod mdev_rig;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

use mdev_rig::{ADD, Machine, REMOVE, SDA, devices, nodes, text};

const SIGSEGV: i32 = 11;

/// What busybox's own tests of mdev ask for: what it is, the file, the events, what is in /dev, what commands say.
type Case = (
    &'static str,
    &'static str,
    &'static [&'static [(&'static str, &'static str)]],
    &'static str,
    &'static str,
);

const CASES: [Case; 13] = [
    ("a node", "", &[&[ADD, SDA]], "sda b8,0 660 0:0", ""),
    ("a node that goes", "", &[&[ADD, SDA], &[REMOVE, SDA]], "", ""),
    ("the first line counts", ".* 1:1 666\nsda 2:2 444\n", &[&[ADD, SDA]], "sda b8,0 666 1:1", ""),
    ("a dash goes on", "-.* 1:1 666\nsda 2:2 444\n", &[&[ADD, SDA]], "sda b8,0 444 2:2", ""),
    (
        "a variable",
        "$MODALIAS=qw  1:1 666\n$MODALIAS=qw. 2:2 444\n$MODALIAS=qw. 3:3 400\n",
        &[&[ADD, SDA, ("MODALIAS", "qwe")]],
        "sda b8,0 444 2:2",
        "",
    ),
    (
        "moved and linked",
        "sda 0:0 444 >disk/scsiA\n",
        &[&[ADD, SDA]],
        "disk/scsiA b8,0 444 0:0\nsda -> disk/scsiA",
        "",
    ),
    (
        "linked from a folder",
        "sda 0:0 444 >disk/\n",
        &[&[ADD, SDA]],
        "disk/sda b8,0 444 0:0\nsda -> disk/sda",
        "",
    ),
    ("moved", "sda 0:0 444 =disk/sd/a\n", &[&[ADD, SDA]], "disk/sd/a b8,0 444 0:0", ""),
    (
        "groups",
        "s([0-9])*d([a-z]+) 0:0 644 >sd/%2_%0\n",
        &[&[ADD, SDA]],
        "sd/a_sda b8,0 644 0:0\nsda -> sd/a_sda",
        "",
    ),
    ("a command", "sda 0:0 644 @echo @echo TEST\n", &[&[ADD, SDA]], "sda b8,0 644 0:0", "@echo TEST\n"),
    (
        "a command that knows the name",
        "sda 0:0 644 =block/ @echo @echo TEST:$MDEV\n",
        &[&[ADD, SDA]],
        "block/sda b8,0 644 0:0",
        "@echo TEST:block/sda\n",
    ),
    ("numbers", "@8,0 0:1 644\n", &[&[ADD, SDA]], "sda b8,0 644 0:1", ""),
    (
        "a name that is another device's",
        "capi 0:0 0660 =capi20\ncapi([0-9]) 0:0 0660 =capi20.0%1\ncapi([0-9]*) 0:0 0660 =capi20.%1\n",
        &[
            &[ADD, ("DEVPATH", "/class/tty/capi")],
            &[ADD, ("DEVPATH", "/class/tty/capi1")],
            &[ADD, ("DEVPATH", "/class/tty/capi20")],
        ],
        "capi20 c191,0 660 0:0\ncapi20.01 c191,1 660 0:0\ncapi20.20 c191,20 660 0:0",
        "",
    ),
];

#[test]
fn it_passes_the_tests_of_busybox() {
    if !nodes("it_passes_the_tests_of_busybox") {
        return;
    }
    let machine = Machine::new("cases");
    devices(&machine);
    for (what, conf, events, dev, said) in CASES {
        machine.clear();
        machine.conf(conf);
        let mut output = String::new();
        for variables in events {
            let ended = machine.mdev(&[], variables);
            assert!(ended.status.success(), "{what}: {}", text(&ended.stderr));
            output += &text(&ended.stdout);
        }
        assert_eq!((machine.listing().as_str(), output.as_str()), (dev, said), "{what}");
    }
    fs::remove_file(machine.0.join("etc/mdev.conf")).unwrap();
    machine.clear();
    assert!(machine.mdev(&[], &[ADD, SDA]).status.success());
    assert_eq!(machine.listing(), "sda b8,0 660 0:0", "without a file");
}

/// What people write, and what is rare.
const FILES: &[&str] = &[
    "# block devices\n([hs]d[a-z]) root:disk 660 >disk/%1/0\n([hs]d[a-z])([0-9]+)\troot:disk\t660\t>disk/%1/%2\n\
     mmcblk([0-9]+)p([0-9]+) root:disk 660 >disk/mmc/%1/%2\n",
    "SUBSYSTEM=block;.* play:disk 0640 */bin/true\n.* play 600\n",
    "SUBSYSTEM=^bl;DEVTYPE=part;sd.* 1:2 600 =a_%0\nSUBSYSTEM=b.*k$;.* 3:4 440\n",
    "-SUBSYSTEM=block;.* 0:0 660 ! *echo $ACTION $MDEV $DEVPATH\nsd[a-z] 7:8 600 =x/ *echo \"$MDEV\" $SUBSYSTEM\n",
    "-sd.* 0:0 600 >by/%0 @echo one\nsd.* 4:5 640 @echo two; echo $MDEV # no comment\n",
    "tty(S)?([0-9]) play:audio 620 =%2%1%3%\n",
    "tty(S)?([0-9]) 0:audio 620 =%2%1%3%\n.* 31 600\n",
    "$SUBSYSTEM=(b)(.*) 0:0 600 =%1/%2/%0/x\n.* 0:0 600 !\n",
    "@8,0-15 1:1 600 =m%0x%1\n@191,1 1:1 600\n@4,0-255 2:2 600 =ser/\n",
    "$DEVPATH=.*/([a-z]+)/([^/]*) 9:9 1777 =p/%1.%2\n",
    "eth[0-9] 0:0 660 @echo up $MDEV\n.* 0:0 660 !\n",
    "  -.* 0:0 640\n   sd\\\na 5:6 600 \\\n =q/%0\n[[:alpha:]]+[[:digit:]]{1,2} 6:6 604\n",
    ".*(a|ab|s)d?(.*) 0:0 600 =g/%1-%2-%0\n",
    "sda|sd 0:0 604 =one\\two_%0\n(capi)(.+) 0:0 600 =%1_%2\n",
    "event[0-9]+ 0:0 640 =input/ *echo $MDEV; exit 3\n",
    "sda 0:0 600 $echo gone $MDEV\n.* 0:0 600 >l/ $echo gone $MDEV\n",
];

/// As many devices as kinds of names; the last two have more to say.
const EVENTS: &[&[(&str, &str)]] = &[
    &[SDA, ("SUBSYSTEM", "block")],
    &[("DEVPATH", "/block/sda/sda1"), ("SUBSYSTEM", "block"), ("DEVTYPE", "partition")],
    &[("DEVPATH", "/block/hdb")],
    &[("DEVPATH", "/block/mmcblk0/mmcblk0p2"), ("SUBSYSTEM", "block")],
    &[("DEVPATH", "/class/tty/capi1"), ("SUBSYSTEM", "tty")],
    &[("DEVPATH", "/class/tty/capi20"), ("SUBSYSTEM", "tty"), ("DEVNAME", "capi20")],
    &[("DEVPATH", "/class/tty/ttyS0"), ("SUBSYSTEM", "tty")],
    &[("DEVPATH", "/class/input/event3"), ("SUBSYSTEM", "input"), ("DEVNAME", "event3")],
    &[("DEVPATH", "/class/net/eth0"), ("SUBSYSTEM", "net"), ("INTERFACE", "eth0")],
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// A file whose lines give each device a name of its own, so that none gets in another's way.
    fn conf(&mut self) -> String {
        let mut conf = String::new();
        for line in 0..1 + self.below(4) {
            conf += self.of(&["", "", "-"]);
            conf += self.of(&[
                "",
                "",
                "SUBSYSTEM=block;",
                "ACTION=add|change;",
                "NONE=x;",
                "SUBSYSTEM=t;ACTION=.*;",
            ]);
            conf += self.of(&[
                "sd[a-z][0-9]*",
                "(sd|hd)([a-z])([0-9]?)",
                "[^s].*",
                "(.*)([0-9]+)",
                "(.*[^0-9])?([0-9]*)",
                "([a-z]|[a-z]{2}|tty)*([A-Z]?)(.*)",
                "$SUBSYSTEM=(bl|b|tt?)+(.*)",
                ".*",
                "event.",
            ]);
            conf += self.of(&[" 0:0", " 1:2", " play:disk", "\tplay", " root:audio "]);
            conf += self.of(&[" 600", " 0644", " 1711", "  0"]);
            conf += self
                .of(&["", "", " =n@/%0", " =n@/", " =n@-%0-%1-%2-%3-%4", " !"])
                .replace('@', &line.to_string())
                .as_str();
            conf +=
                self.of(&["", " @echo made $MDEV", " $echo goes $MDEV", " *echo $ACTION:$MDEV:$SUBSYSTEM"]);
            conf += "\n";
        }
        conf
    }
}

/// A machine with busybox in it; `None` where there is none that runs in a folder of its own.
fn with_busybox(name: &str) -> Option<Machine> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let machine = Machine::new(name);
    for applet in ["mdev", "sh", "true"] {
        // By a process of its own: what another test starts meanwhile would have our copy open for writing (ETXTBSY).
        let copied = Command::new("cp").arg(busybox?).arg(machine.0.join("bin").join(applet)).status();
        assert!(copied.unwrap().success());
    }
    devices(&machine);
    machine.busybox(&[], &[ADD, SDA]).status.success().then_some(machine)
}

#[test]
fn it_does_what_busybox_does() {
    let name = "it_does_what_busybox_does";
    if !nodes(name) {
        return;
    }
    let (Some(theirs), ours) = (with_busybox("theirs"), Machine::new("ours")) else {
        return eprintln!("SKIPPED {name}: no static busybox");
    };
    devices(&ours);
    let mut random = Random(1);
    let files = FILES.iter().map(|file| (*file).to_owned());
    let files: Vec<_> = files.chain((0..30).map(|_| random.conf())).collect();
    let (mut compared, mut fell) = (0, 0);
    'files: for file in &files {
        for machine in [&ours, &theirs] {
            machine.clear();
            machine.conf(file);
        }
        // When a device goes, busybox knows no number of it any more: lines with numbers do not count then.
        let goes = !file.lines().any(|line| line.starts_with('@'));
        for action in ["add", "change", "remove"].iter().filter(|action| goes || **action != "remove") {
            for variables in EVENTS {
                let variables = [variables, &[("ACTION", *action)][..]].concat();
                let (our, their) = (ours.mdev(&[], &variables), theirs.busybox(&[], &variables));
                assert_ne!(our.status.code(), Some(2), "{file}: {}", text(&our.stderr));
                // A group that matches nothing is too much for it where addresses have 64 bits.
                if their.status.signal() == Some(SIGSEGV) {
                    fell += 1;
                    continue 'files;
                }
                assert_eq!(text(&our.stdout), text(&their.stdout), "{file}{variables:?}");
                assert_eq!(ours.listing(), theirs.listing(), "{file}{variables:?}");
                compared += 1;
            }
        }
    }
    assert!(fell < files.len() / 3);
    println!("{compared} events by {} files: as busybox, which fell over {fell} of them", files.len());
}

#[test]
fn all_devices_are_made_as_busybox_makes_them() {
    let name = "all_devices_are_made_as_busybox_makes_them";
    if !nodes(name) {
        return;
    }
    let (Some(theirs), ours) = (with_busybox("scan-theirs"), Machine::new("scan-ours")) else {
        return eprintln!("SKIPPED {name}: no static busybox");
    };
    for machine in [&ours, &theirs] {
        for (path, class, kind, number, devname) in [
            ("pci0/host0/block/sda", "block", "block", "8:0", "sda"),
            ("pci0/host0/block/sda/sda1", "block", "block", "8:1", "sda1"),
            ("pci0/usb1", "usb", "char", "189:0", "bus/usb/001/001"),
            ("virtual/mem/null", "mem", "char", "1:3", "null"),
            ("platform/serial/tty/ttyS0", "tty", "char", "4:64", "ttyS0"),
        ] {
            let folder = machine.0.join("sys/devices").join(path);
            machine.device(&format!("/devices/{path}"), number);
            let (major, minor) = number.split_once(':').unwrap();
            let uevent = format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={devname}\n");
            fs::write(folder.join("uevent"), uevent).unwrap();
            fs::create_dir_all(machine.0.join("sys/class").join(class)).unwrap();
            symlink(format!("/sys/class/{class}"), folder.join("subsystem")).unwrap();
            let by_number = machine.0.join("sys/dev").join(kind);
            fs::create_dir_all(&by_number).unwrap();
            symlink(format!("../../devices/{path}"), by_number.join(number)).unwrap();
        }
        machine.conf(
            "null 0:0 666\nSUBSYSTEM=block;sd(.*) root:disk 640 >disk/%1 @echo $SUBSYSTEM $ACTION $MDEV\n\
             bus/usb/([0-9]+)/([0-9]+) 0:0 664 =usb%1.%2\n@4,64 1:1 600\n",
        );
        machine.clear();
    }
    let sorted = |output: &Output| {
        let said = text(&output.stdout);
        let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (ours_said, theirs_said) = (ours.mdev(&["-s"], &[]), theirs.busybox(&["-s"], &[]));
    assert!(ours_said.status.success(), "{}", text(&ours_said.stderr));
    assert_eq!(sorted(&ours_said), sorted(&theirs_said));
    assert_eq!(ours.listing(), theirs.listing());
    assert_eq!(ours.listing().lines().count(), 7);
}
