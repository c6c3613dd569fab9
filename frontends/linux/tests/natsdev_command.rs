//! natsdev as a command: what a volume holds, and what is wrong with a command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lunix-natsdev-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn natsdev(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lunix")).arg("natsdev").args(args).output().unwrap()
}

#[test]
fn what_is_known_of_hardware_is_made_and_asked() {
    let scratch = Scratch::new("hwdb");
    let root = scratch.0.to_str().unwrap();
    let texts = scratch.0.join("usr/lib/udev/hwdb.d");
    fs::create_dir_all(&texts).unwrap();
    fs::write(texts.join("20.hwdb"), "usb:v1D6B*\n ID_VENDOR=Linux\n").unwrap();
    let text = |output: &[u8]| String::from_utf8_lossy(output).into_owned();

    let none = natsdev(&["hwdb", "query", "usb:v1D6B", "--root", root]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("'natsdev hwdb update' makes one"));
    assert_eq!(natsdev(&["hwdb", "update", "--root", root]).status.code(), Some(0));
    let found = natsdev(&["hwdb", "query", "usb:v1D6Bp1", "--root", root]);
    assert_eq!((found.status.code(), text(&found.stdout).as_str()), (Some(0), "ID_VENDOR=Linux\n"));
    assert_eq!(natsdev(&["hwdb", "query", "usb:v2", "--root", root]).status.code(), Some(1));

    fs::write(texts.join("30.hwdb"), "usb:v2*\n\nusb:v3\n A=1\n").unwrap();
    let wrong = natsdev(&["hwdb", "update", "--root", root]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("30.hwdb:2:1: expected a property"), "{}", text(&wrong.stderr));
    assert_eq!(
        natsdev(&["hwdb", "query", "usb:v3", "--root", root]).status.code(),
        Some(1),
        "nothing was written"
    );
    assert_eq!(natsdev(&["hwdb", "update", "--skip-mistakes", "--root", root]).status.code(), Some(0));
    assert_eq!(text(&natsdev(&["hwdb", "query", "usb:v3", "--root", root]).stdout), "A=1\n");
    // Nothing is left of the writing but the table.
    assert_eq!(fs::read_dir(scratch.0.join("etc/udev")).unwrap().count(), 1);
    fs::write(scratch.0.join("etc/udev/hwdb.lunix"), "something else").unwrap();
    let damaged = natsdev(&["hwdb", "query", "usb:v3", "--root", root]);
    assert!(text(&damaged.stderr).contains("no table of this version"));
    assert_eq!(natsdev(&["hwdb", "forget"]).status.code(), Some(2));
}

#[test]
fn rules_ask_builtins() {
    let scratch = Scratch::new("builtins");
    let root = scratch.0.to_str().unwrap();
    let device = scratch.0.join("sys/devices/platform/lid/input/input3");
    fs::create_dir_all(device.join("capabilities")).unwrap();
    fs::write(device.join("capabilities/ev"), "21\n").unwrap();
    fs::write(device.join("uevent"), "PRODUCT=1\n").unwrap();
    fs::create_dir_all(scratch.0.join("sys/class/input")).unwrap();
    symlink(scratch.0.join("sys/class/input"), device.join("subsystem")).unwrap();
    fs::create_dir(scratch.0.join("rules")).unwrap();
    let rules = "SUBSYSTEM==\"input\", IMPORT{builtin}=\"input_id\", ENV{OK}=\"1\"\n\
                 IMPORT{builtin}!=\"path_id\", ENV{NO_PATH}=\"1\"\nRUN{builtin}+=\"kmod load\"\n";
    fs::write(scratch.0.join("rules/1.rules"), rules).unwrap();
    let folder = scratch.0.join("rules");
    let output = natsdev(&[
        "test",
        "/devices/platform/lid/input/input3",
        "--root",
        root,
        "--rules",
        folder.to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in ["property ID_INPUT=1", "property ID_INPUT_SWITCH=1", "property OK=1", "property NO_PATH=1"] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    let one = natsdev(&["test-builtin", "input_id", "/devices/platform/lid/input/input3", "--root", root]);
    assert_eq!(String::from_utf8_lossy(&one.stdout), "ID_INPUT=1\nID_INPUT_SWITCH=1\n");
    assert_eq!(
        natsdev(&["test-builtin", "nonsense", "/devices/platform/lid/input/input3", "--root", root])
            .status
            .code(),
        Some(1)
    );
    assert_eq!(natsdev(&["test-builtin", "input_id"]).status.code(), Some(2));
}

#[test]
fn a_volume_is_told_in_one_line_of_json() {
    let scratch = Scratch::new("probe");
    let image = scratch.0.join("image");
    let mut bytes = vec![0; 1 << 16];
    bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
    bytes[1144..1150].copy_from_slice(b"caf\xe9 \x01");
    fs::write(&image, &bytes).unwrap();
    let output = natsdev(&["--probe-volume", image.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json, serde_json::json!({"fstype": "ext2", "label": "caf\u{fffd} \u{1}", "uuid": ""}));

    let output = natsdev(&["--probe-volume", image.to_str().unwrap(), "--udev"]);
    let lines = "ID_FS_TYPE=ext2\nID_FS_USAGE=filesystem\nID_FS_VERSION=0.0\nID_FS_LABEL=caf___\nID_FS_LABEL_ENC=caf\\xe9\\x20\\x01\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines);

    fs::write(&image, vec![0; 1 << 16]).unwrap();
    let output = natsdev(&["--probe-volume", image.to_str().unwrap()]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"{}\n"[..]));
}

#[test]
fn what_is_no_volume_is_an_error_in_one_line() {
    let scratch = Scratch::new("no-volume");
    let fifo = scratch.0.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let link = scratch.0.join("link");
    symlink("/nowhere", &link).unwrap();
    for node in [fifo, link, scratch.0.clone(), "/dev/zero".into()] {
        let output = natsdev(&["--probe-volume", node.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", node.display());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("natsdev: error: ") && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn usage_errors_name_the_flag() {
    for (args, says) in [
        (
            &["--rcvbuf", "much"][..],
            "natsdev: --rcvbuf: expected a number from 1 to 1073741824, found 'much'",
        ),
        (&["--max-usb", "0"], "natsdev: --max-usb: expected a number from 1 to 4096, found '0'"),
        (&["--coldplug", "maybe"], "natsdev: --coldplug: "),
        (&["--nats", "http://x"], "natsdev: --nats: "),
        (&["--mdev-conf", "x", "--rules", "y"], "natsdev: --mdev-conf: expected without --rules"),
        (&["--config", "/nowhere", "--check-config"], "natsdev: /nowhere: No such file"),
    ] {
        let output = natsdev(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.starts_with(says) && text.lines().count() == 1, "{args:?}: {text}");
    }
}

#[test]
fn a_configuration_file_is_checked_to_the_line() {
    let scratch = Scratch::new("config");
    let file = scratch.0.join("natsdev.conf");
    fs::write(&file, "# nothing yet\n\n").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(natsdev(&["--config", path, "--check-config"]).status.code(), Some(0));
    fs::write(&file, "# one key\n\ncolour = blue\n").unwrap();
    let output = natsdev(&["--config", path, "--check-config"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("natsdev: {path}:3: unknown key 'colour'\n")
    );
}

#[test]
fn all_mistakes_of_all_rules_are_said_at_once() {
    let scratch = Scratch::new("rules");
    for (folder, file, text) in [
        ("a", "10-a.rules", "KERNEL==\"null\", \\\n  MODE==\"0666\"\nOPTIONS+=\"nothing\"\n"),
        ("a", "20-b.rules", "KERNAL==\"x\"\n"),
        ("b", "20-b.rules", "hidden\n"),
        ("b", "30-c.rules", "GOTO=\"end\"\n"),
    ] {
        let folder = scratch.0.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
    }
    let [a, b] = ["a", "b"].map(|folder| scratch.0.join(folder).to_str().unwrap().to_owned());
    let output = natsdev(&["--check-config", "--rules", &a, "--rules", &b]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "{a}/10-a.rules:2:3: MODE: expected one of = :=, found ==\n\
             {a}/20-b.rules:1:1: KERNAL: unknown key, did you mean 'KERNEL'?\n\
             {b}/30-c.rules:1:1: GOTO: expected a LABEL below, found none that is 'end'\n"
        )
    );
    // As udev takes them: what is wrong is said, and the rest counts.
    let output = natsdev(&["--check-config", "--skip-mistakes", "--rules", &a]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 4);
}

#[test]
fn a_device_is_told_what_rules_make_of_it() {
    let scratch = Scratch::new("rules-test");
    let device = scratch.0.join("sys/devices/virtual/mem/null");
    fs::create_dir_all(&device).unwrap();
    fs::write(device.join("uevent"), "MAJOR=1\nMINOR=3\nDEVNAME=null\n").unwrap();
    symlink("../../../../class/mem", device.join("subsystem")).unwrap();
    let rules = scratch.0.join("etc/udev/rules.d");
    fs::create_dir_all(&rules).unwrap();
    let text = "SUBSYSTEM==\"mem\", KERNEL==\"null\", MODE=\"0666\", SYMLINK+=\"nothing-%m\"\n";
    fs::write(rules.join("50.rules"), text).unwrap();
    let root = scratch.0.to_str().unwrap();
    let output = natsdev(&["test", "/devices/virtual/mem/null", "--root", root]);
    assert_eq!(output.status.code(), Some(0));
    let place = format!("{root}/etc/udev/rules.d/50.rules:1");
    let expected = [
        &format!("{place}: MODE=\"0666\""),
        &format!("{place}: SYMLINK+=\"nothing-3\""),
        "node /dev/null mode 0666",
        "link /dev/nothing-3",
        "property ACTION=add",
        "property DEVPATH=/devices/virtual/mem/null",
        "property SUBSYSTEM=mem",
        "property MAJOR=1",
        "property MINOR=3",
        "property DEVNAME=/dev/null",
    ];
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), expected);
    assert!(!scratch.0.join("dev").exists());

    for (arguments, code) in [(&["test"][..], 2), (&["tset", "/x"], 2), (&["test", "/devices/none"], 1)] {
        let output = natsdev(&[arguments, &["--root", root]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    }
}
