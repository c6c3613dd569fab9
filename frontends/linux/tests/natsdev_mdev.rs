//! `mdev.conf`: nodes, owners, links and commands as busybox's mdev has them, in the same run beside it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rig::{Client, World, event, inside_as_root};
use rustix::fs::{CWD, FileType, Mode, major, makedev, minor, mknodat};

/// A small machine: a folder with sys, dev and etc.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lunix-mdev-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for part in ["dev", "etc", "sys", "bin"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(folder.join("etc/passwd"), "root:x:0:0::/:\nplay:x:31:32::/:\n").unwrap();
        fs::write(folder.join("etc/group"), "root:x:0:\ndisk:x:6:\naudio:x:63:play\n").unwrap();
        Self(folder)
    }

    /// A device at `path` below /sys.
    fn device(&self, path: &str, number: &str) {
        let folder = self.0.join("sys").join(path.trim_start_matches('/'));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
    }

    fn conf(&self, text: &str) {
        fs::write(self.0.join("etc/mdev.conf"), text).unwrap();
    }

    fn clear(&self) {
        fs::remove_dir_all(self.0.join("dev")).unwrap();
        fs::create_dir(self.0.join("dev")).unwrap();
    }

    /// Ours, called as busybox's is.
    fn mdev(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let link = self.0.join("mdev");
        let _ = symlink(env!("CARGO_BIN_EXE_lunix"), &link);
        let mut command = Command::new(link);
        command.args(arguments).arg("--root").arg(&self.0).env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// busybox's, in this folder as its root.
    fn busybox(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("chroot");
        command
            .arg(&self.0)
            .arg("/bin/mdev")
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/bin");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// What is in /dev but for folders, a line each.
    fn listing(&self) -> String {
        fn walk(folder: &Path, name: &[u8], lines: &mut Vec<String>) {
            let meta = fs::symlink_metadata(folder).unwrap();
            let name = OsStr::from_bytes(name).as_bytes().escape_ascii().to_string();
            if meta.is_dir() {
                for entry in fs::read_dir(folder).unwrap().flatten() {
                    let inside = [name.as_bytes(), if name.is_empty() { b"" } else { b"/" }];
                    walk(&entry.path(), &[&inside.concat(), entry.file_name().as_bytes()].concat(), lines);
                }
            } else if meta.is_symlink() {
                lines.push(format!("{name} -> {}", fs::read_link(folder).unwrap().display()));
            } else {
                let kind = if meta.file_type().is_block_device() { "b" } else { "c" };
                let (number, mode) = (meta.rdev(), meta.permissions().mode() & 0o7777);
                let owner = format!("{}:{}", meta.uid(), meta.gid());
                lines.push(format!("{name} {kind}{},{} {mode:o} {owner}", major(number), minor(number)));
            }
        }
        let mut lines = Vec::new();
        walk(&self.0.join("dev"), b"", &mut lines);
        lines.sort();
        lines.join("\n")
    }

    fn node(&self, name: &str, kind: FileType, (major, minor): (u32, u32)) {
        let path = self.0.join("dev").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, makedev(major, minor)).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether nodes can be made here.
fn nodes(name: &str) -> bool {
    let path = std::env::temp_dir().join(format!("lunix-mdev-node-{name}-{}", std::process::id()));
    let made = mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR, makedev(1, 3));
    let _ = fs::remove_file(path);
    if let Err(error) = made {
        eprintln!("SKIPPED {name}: no nodes can be made here: {error}");
    }
    made.is_ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const SIGSEGV: i32 = 11;
const SDA: (&str, &str) = ("DEVPATH", "/block/sda");
const ADD: (&str, &str) = ("ACTION", "add");
const REMOVE: (&str, &str) = ("ACTION", "remove");

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

fn devices(machine: &Machine) {
    machine.device("/block/sda", "8:0");
    machine.device("/block/sda/sda1", "8:1");
    machine.device("/block/hdb", "3:64");
    machine.device("/block/mmcblk0/mmcblk0p2", "179:2");
    for (name, minor) in [("capi", 0), ("capi1", 1), ("capi20", 20)] {
        machine.device(&format!("/class/tty/{name}"), &format!("191:{minor}"));
    }
    machine.device("/class/tty/ttyS0", "4:64");
    machine.device("/class/input/event3", "13:67");
    fs::create_dir_all(machine.0.join("sys/class/net/eth0")).unwrap();
}

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

#[test]
fn every_mistake_is_said_and_nothing_is_done() {
    let machine = Machine::new("mistakes");
    devices(&machine);
    let conf = "# fine\nsd[a 0:0 660\nsda nobody:0 660\nsda 0:nogroup 888 =../x @\n  @8 0:0 660\n$X 0:0 660\n\
                A=(;*x 0:0 660 >/etc/x echo\nsda\nsda 0:0 660 !@echo\nsda 0:0 660 modprobe\nsda 0:0 660 = \nsda 0:0 \\";
    machine.conf(conf);
    let path = machine.0.join("etc/mdev.conf");
    let path = path.to_str().unwrap();
    let expected = [
        "2:3: expected ']' for this '[', found '[a'",
        "3:5: expected a user as USER:GROUP: a number, or a name of /etc/passwd, found 'nobody'",
        "4:7: expected a group: a number, or a name of /etc/group, found 'nogroup'",
        "4:15: expected permissions as octal digits such as 660, found '888'",
        "4:20: expected a path below /dev, such as disk/%1 or input/, found '../x'",
        "4:26: expected a command, found the end of the line",
        "5:3: expected @MAJOR,MINOR or @MAJOR,FIRST-LAST, found '@8'",
        "6:1: expected $VARIABLE=REGEX, found '$X'",
        "7:3: expected ')' for this '(', found '('",
        "7:5: expected something that is to be repeated, found '*x'",
        "7:17: expected a path below /dev, such as disk/%1 or input/, found '/etc/x'",
        "7:24: expected =PATH, >PATH, ! or a command after @, $ or *, found 'echo'",
        "8:4: expected a user as USER:GROUP: a number, or a name of /etc/passwd, found the end of the line",
        "8:4: expected permissions as octal digits such as 660, found the end of the line",
        "9:14: expected a space after '!', found '@echo'",
        "10:13: expected =PATH, >PATH, ! or a command after @, $ or *, found 'modprobe'",
        "11:14: expected a path below /dev, such as disk/%1 or input/, found the end of the line",
        "12:8: expected another line after '\\', found the end",
    ];
    let expected: Vec<_> = expected.iter().map(|line| format!("{path}:{line}")).collect();
    let root = machine.0.to_str().unwrap();
    let check = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args([&["natsdev", "--root", root, "--mdev-conf", path], arguments].concat())
            .output()
            .unwrap()
    };
    for output in [
        machine.mdev(&[], &[ADD, SDA]),
        machine.mdev(&["-s"], &[]),
        check(&["--check-config"]),
        check(&["test", "/block/sda"]),
    ] {
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stderr).lines().collect::<Vec<_>>(), expected);
    }
    assert_eq!(machine.listing(), "");
    machine.conf("sda root:disk 660\n");
    assert_eq!(check(&["--check-config"]).status.code(), Some(0));
    fs::remove_file(path).unwrap();
    let other = machine.mdev(&["--conf", "/nowhere/mdev.conf"], &[ADD, SDA]);
    assert_eq!(other.status.code(), Some(2));
    for (arguments, variables, says) in [
        (&[][..], &[ADD][..], "mdev: expected -s, or ACTION and DEVPATH in the environment (see --help)\n"),
        (&["-d"], &[], "mdev: -d: expected -f as well: whoever starts it has it in the background\n"),
    ] {
        let output = machine.mdev(arguments, variables);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(2), says));
    }
}

#[test]
fn no_name_leads_out_of_dev_and_none_is_a_command() {
    if !nodes("no_name_leads_out_of_dev_and_none_is_a_command") {
        return;
    }
    let machine = Machine::new("hostile");
    machine.conf(
        "$KIND=own(.*) 0:0 600 *echo \"<$MDEV>\"\n$KIND=.* 0:0 600 =x/%0 *echo \"<$MDEV>\"\n\
         (.*) 0:0 600 >in/%1 *echo \"<$MDEV>\"\n",
    );
    let files = || {
        let mut files: Vec<_> =
            fs::read_dir(&machine.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.extend(fs::read_dir(machine.0.join("etc")).unwrap().map(|entry| entry.unwrap().file_name()));
        files.sort();
        files
    };
    assert!(machine.mdev(&[], &[ADD, ("DEVPATH", "/x"), ("KIND", "none")]).status.success());
    let before = files();
    for name in ["../etc/x", "a/../../etc/x", "/etc/x", "..", "a//b", ".", "in/../../x", "a/."] {
        for kind in [&[][..], &[("KIND", "own")], &[("KIND", name)]] {
            let event =
                [&[ADD, ("DEVPATH", "/class/x/y"), ("MAJOR", "1"), ("MINOR", "3"), ("DEVNAME", name)], kind];
            let output = machine.mdev(&[], &event.concat());
            assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{name}");
            assert!(text(&output.stderr).contains("leads out of /dev"), "{}", text(&output.stderr));
        }
    }
    for name in [
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "\" && touch pwned",
        "a b\n> c",
        "'",
        "\\",
        "-rf",
    ] {
        let event = [ADD, ("DEVPATH", "/class/x/y"), ("MAJOR", "1"), ("MINOR", "3"), ("DEVNAME", name)];
        let output = machine.mdev(&[], &event);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout).trim_end().replace("\\\\", "\\"), format!("<in/{name}>"));
        assert_eq!(fs::read_link(machine.0.join("dev").join(name)).unwrap(), Path::new("in").join(name));
        assert!(machine.mdev(&[], &[&[REMOVE], &event[1..]].concat()).status.success());
    }
    assert_eq!((files(), machine.listing()), (before, String::new()));

    // An interface may have any name; its end is not that of a node.
    machine.conf("");
    machine.node("null", FileType::CharacterDevice, (1, 3));
    let gone = [REMOVE, ("DEVPATH", "/devices/virtual/net/null"), ("SUBSYSTEM", "net")];
    assert!(machine.mdev(&[], &gone).status.success());
    let other = [&gone[..], &[("MAJOR", "1"), ("MINOR", "5")]].concat();
    assert_eq!(machine.mdev(&[], &other).status.code(), Some(1));
    assert_eq!(machine.listing(), "null c1,3 600 0:0");
}

#[test]
fn nodes_of_the_kernel_are_moved() {
    if !nodes("nodes_of_the_kernel_are_moved") {
        return;
    }
    let machine = Machine::new("devtmpfs");
    devices(&machine);
    let mount = format!("22 1 0:5 / {} rw - devtmpfs dev rw\n", machine.0.join("dev").display());
    fs::create_dir_all(machine.0.join("proc/self")).unwrap();
    fs::write(machine.0.join("proc/self/mountinfo"), mount).unwrap();
    machine.conf("sda 1:1 640 =disk/\nhdb 1:1 640 >disk/%0\nttyS0 1:1 600 !\n.* 2:2 600\n");
    for (path, name, kind, number) in [
        ("/block/sda", "sda", FileType::BlockDevice, (8, 0)),
        ("/block/hdb", "hdb", FileType::BlockDevice, (3, 64)),
        ("/class/tty/ttyS0", "ttyS0", FileType::CharacterDevice, (4, 64)),
        ("/class/tty/capi", "capi", FileType::CharacterDevice, (191, 0)),
    ] {
        machine.node(name, kind, number);
        assert!(machine.mdev(&[], &[ADD, ("DEVPATH", path)]).status.success());
    }
    let expected = "capi c191,0 600 2:2\ndisk/hdb b3,64 640 1:1\ndisk/sda b8,0 640 1:1\nhdb -> disk/hdb\nttyS0 c4,64 600 0:0";
    assert_eq!(machine.listing(), expected);
    for path in ["/block/sda", "/block/hdb"] {
        assert!(machine.mdev(&[], &[REMOVE, ("DEVPATH", path)]).status.success());
    }
    assert_eq!(machine.listing(), "capi c191,0 600 2:2\nttyS0 c4,64 600 0:0");
}

#[test]
fn a_device_is_told_what_the_lines_make_of_it() {
    let machine = Machine::new("test");
    machine.device("/devices/pci0/block/sda", "8:0");
    let folder = machine.0.join("sys/devices/pci0/block/sda");
    fs::write(folder.join("uevent"), "MAJOR=8\nMINOR=0\nDEVNAME=sda\n").unwrap();
    machine.conf("-.* 0:0 660 *logger $MDEV\nsd(.) play:disk 640 >disk/%1 @echo new\n");
    let path = machine.0.join("etc/mdev.conf");
    let (root, path) = (machine.0.to_str().unwrap(), path.to_str().unwrap());
    let test = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(["natsdev", "test", "/devices/pci0/block/sda", "--root", root, "--mdev-conf", path])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let expected = format!(
        "{path}:1: node /dev/sda owner 0 group 0 mode 0660\n{path}:1: run logger $MDEV with MDEV=sda\n{path}:2: node /dev/disk/a owner 31 group 6 mode 0640\n\
         {path}:2: link /dev/sda\n{path}:2: run echo new with MDEV=disk/a\n"
    );
    assert_eq!(test(&[]), expected);
    assert_eq!(test(&["--action", "change"]), format!("{path}:1: run logger $MDEV with MDEV=sda\n"));
    assert_eq!(machine.listing(), "");
}

#[test]
fn the_daemon_handles_devices_by_it() {
    if !inside_as_root("the_daemon_handles_devices_by_it") || !nodes("the_daemon_handles_devices_by_it") {
        return;
    }
    let mut world = World::new();
    let conf = world.folder.join("mdev.conf");
    let ran = world.folder.join("ran");
    let text = "zero 1:2 640 >mine/%0\n-.* 0:0 600 *echo $ACTION $MDEV $HOME >> RAN\n@1,9 0:0 604\n";
    fs::write(&conf, text.replace("RAN", ran.to_str().unwrap())).unwrap();
    let node = |action: &str, name: &str, minor: &str| {
        let path = format!("/devices/virtual/mem/{name}");
        event(action, &path, &[("SUBSYSTEM", "mem"), ("MAJOR", "1"), ("MINOR", minor), ("DEVNAME", name)])
    };
    // What was there before is handled, too.
    world.appear(&[node("add", "zero", "5")]);
    let client = Client::connect();
    let (root, path) = (world.folder.to_str().unwrap().to_owned(), conf.to_str().unwrap().to_owned());
    world.start_natsdev(&["--manage", "yes", "--root", &root, "--mdev-conf", &path]);
    world.wait_for_log("handled by the rules");
    client.about("hardware.mem.add", "/devices/virtual/mem/zero");
    let mode = |name: &str| {
        let meta = fs::symlink_metadata(world.folder.join("dev").join(name)).ok()?;
        Some((meta.permissions().mode() & 0o7777, meta.uid(), meta.gid()))
    };
    assert_eq!(mode("mine/zero"), Some((0o640, 1, 2)));
    assert_eq!(fs::read_link(world.folder.join("dev/zero")).unwrap(), Path::new("mine/zero"));

    // What is there at the start may be said twice, as it is found and as it is announced.
    let happen = |world: &mut World, action: &str, name: &str, minor: &str| {
        let subject = format!("hardware.mem.{action}");
        let count = || client.order(&subject).iter().filter(|path| path.ends_with(name)).count();
        let before = count();
        world.happen(&node(action, name, minor));
        rig::wait(|| count() > before, || format!("{subject} of {name}"));
    };
    happen(&mut world, "add", "urandom", "9");
    let mode = |world: &World, name: &str| {
        let meta = fs::symlink_metadata(world.folder.join("dev").join(name)).ok()?;
        Some((meta.permissions().mode() & 0o7777, meta.uid(), meta.gid()))
    };
    assert_eq!(mode(&world, "urandom"), Some((0o604, 0, 0)));
    assert_eq!(fs::read_to_string(&ran).unwrap(), "add urandom /\n");
    happen(&mut world, "remove", "urandom", "9");
    assert_eq!(mode(&world, "urandom"), None);
    assert_eq!(fs::read_to_string(&ran).unwrap(), "add urandom /\nremove urandom /\n");

    // With mistakes, the old lines stay.
    fs::write(&conf, "zero 1:2\n").unwrap();
    world.signal_natsdev(rustix::process::Signal::HUP);
    world.wait_for_log("the old ones stay");
    world.wait_for_log("mdev.conf:1:9: expected permissions");
    happen(&mut world, "remove", "zero", "5");
    assert_eq!((mode(&world, "zero"), mode(&world, "mine/zero")), (None, None));
    fs::write(&conf, "zero 3:4 600\n").unwrap();
    world.signal_natsdev(rustix::process::Signal::HUP);
    world.wait_for_log("1 rules from now on");
    happen(&mut world, "add", "zero", "5");
    assert_eq!(mode(&world, "zero"), Some((0o600, 3, 4)));
}
