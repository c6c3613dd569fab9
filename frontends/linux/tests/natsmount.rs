//! natsmount with real file systems on loop devices, in a mount namespace of its own. natsdev's part is played by the
//! test: it says what comes and goes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rig::{Client, World, inside_as_root, wait};
use serde_json::{Value, json};

const TOOLS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

fn run(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).env("PATH", TOOLS).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// A stick: a loop device with a node of its own, which can be taken away.
struct Stick {
    node: PathBuf,
    disk: String,
}

impl Stick {
    /// `None` where there are no loop devices.
    fn new(world: &World, name: &str, format: bool) -> Option<Self> {
        let image = world.folder.join(name);
        fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
        Self::of(&image, name, format)
    }

    fn of(image: &Path, name: &str, format: bool) -> Option<Self> {
        let image = image.to_str().unwrap();
        if format {
            run("mkfs.ext4", &["-q", "-F", "-L", "HOLIDAY", image]).unwrap();
        }
        let disk = run("losetup", &["--find", "--show", image])?;
        let node = Path::new("/dev/shm").join(name);
        let number = fs::metadata(&disk).unwrap().rdev();
        let [major, minor] = [rustix::fs::major(number), rustix::fs::minor(number)].map(|n| n.to_string());
        run("mknod", &[node.to_str().unwrap(), "b", &major, &minor]).unwrap();
        Some(Self { node, disk })
    }

    fn event(&self, fstype: &str, label: &str) -> String {
        let volume =
            json!({"devnode": self.node, "fstype": fstype, "label": label, "uuid": "1A2B", "size": 1});
        let port = self.node.file_name().unwrap().to_str().unwrap();
        json!({"devpath": format!("/devices/usb1/{port}"), "port": port, "vendor": "0951", "nodes": [self.node],
            "volumes": [volume], "net": [], "input": []})
        .to_string()
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        let _ = run("losetup", &["--detach", &self.disk]);
        let _ = fs::remove_file(&self.node);
    }
}

/// natsmount, with folders of its own.
struct Natsmount {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Natsmount {
    fn start(world: &World, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lunix"))
            .args(["natsmount", "--nats", "nats://127.0.0.1:4222"])
            .arg("--media")
            .arg(world.folder.join("media"))
            .arg("--state")
            .arg(world.folder.join("state"))
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let (lines, shared) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                eprintln!("| {line}");
                *shared.lock().unwrap() += &(line + "\n");
            }
        });
        let mut client = Client::connect();
        wait(|| client.try_request("volume.list").is_some(), || "natsmount".into());
        Self { child, log }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Natsmount {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A world whose `/dev/shm` is its own, with a stick.
fn world(test: &str, format: bool) -> Option<(World, Stick)> {
    if !inside_as_root(test) {
        return None;
    }
    run("mount", &["-t", "tmpfs", "none", "/dev/shm"]).unwrap();
    let world = World::new();
    let stick = Stick::new(&world, "stick", format);
    if stick.is_none() {
        eprintln!("SKIPPED {test}: no loop devices");
    }
    Some((world, stick?))
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The line of mountinfo for `target`.
fn mount_at(target: &Path) -> Option<String> {
    let target = target.to_str().unwrap().replace(' ', "\\040");
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().find(|line| line.split(' ').nth(4) == Some(&target)).map(str::to_owned)
}

#[test]
fn a_stick_is_mounted_safely_and_unmounted_when_it_goes() {
    let Some((world, stick)) = world("a_stick_is_mounted_safely_and_unmounted_when_it_goes", true) else {
        return;
    };
    let media = world.folder.join("media");
    let natsmount = Natsmount::start(&world, &["--all"]);
    let mut client = Client::connect();
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    let target = media.join("HOLIDAY");
    let expected = json!({"devnode": stick.node, "target": target, "fstype": "ext4", "label": "HOLIDAY", "uuid": "1A2B"});
    assert_eq!(client.nth("volume.mounted", 1), expected);
    let line = mount_at(&target).unwrap();
    for option in ["rw", "nosuid", "nodev", "noexec"] {
        assert!(line.split([' ', ',']).any(|word| word == option), "{option}: {line}");
    }
    // Said again, as after a reconnect, nothing happens.
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    let mut listed = expected.clone();
    listed["state"] = "mounted".into();
    assert_eq!(client.request("volume.list", ""), json!([listed]));
    // It goes while it is used.
    let used = fs::File::create(target.join("open")).unwrap();
    client.publish("hardware.usb.remove", &stick.event("ext4", "HOLIDAY"));
    assert_eq!(client.nth("volume.unmounted", 1), expected);
    wait(|| entries(&media).is_empty(), || "the folder to go".into());
    assert_eq!(entries(&world.folder.join("state")), Vec::<String>::new());
    assert_eq!(client.request("volume.list", ""), json!([]));
    assert_eq!(client.count("volume.mounted"), 1);
    drop(used);
    drop(natsmount);
}

#[test]
fn hostile_labels_stay_below_the_folder() {
    let Some((world, stick)) = world("hostile_labels_stay_below_the_folder", true) else { return };
    let media = world.folder.join("media");
    let _natsmount = Natsmount::start(&world, &["--all"]);
    let mut client = Client::connect();
    fs::create_dir(media.join("taken")).unwrap();
    let long = "x".repeat(300);
    let labels = [
        "/etc",
        "..",
        ".",
        "../../etc",
        "a\nb",
        "  ",
        "-rf",
        ".hidden",
        "\u{fffd}",
        "",
        "taken",
        "$(reboot)",
        "\u{1b}[2J",
        &long,
    ];
    for (index, label) in labels.iter().enumerate() {
        client.publish("hardware.usb.add", &stick.event("ext4", label));
        let mounted = client.nth("volume.mounted", index + 1);
        let target = PathBuf::from(mounted["target"].as_str().unwrap());
        assert_eq!(target.parent(), Some(media.as_path()), "{label:?}");
        let name = target.file_name().unwrap().to_str().unwrap();
        assert!(
            !name.starts_with(['.', '-']) && !name.contains(char::is_control) && name.len() <= 64,
            "{name:?}"
        );
        if *label == "taken" {
            assert_eq!(name, "taken-2");
        }
        assert!(mount_at(&target).is_some());
        client.publish("hardware.usb.remove", &stick.event("ext4", label));
        client.nth("volume.unmounted", index + 1);
        wait(|| entries(&media) == ["taken"], || format!("the folder of {label:?} to go"));
    }
}

#[test]
fn what_was_mounted_is_taken_over() {
    let Some((mut world, stick)) = world("what_was_mounted_is_taken_over", true) else { return };
    let media = world.folder.join("media");
    let natsmount = Natsmount::start(&world, &["--all"]);
    let mut client = Client::connect();
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    let mut expected = client.nth("volume.mounted", 1);
    drop(natsmount);
    let natsmount = Natsmount::start(&world, &["--all"]);
    expected["again"] = true.into();
    assert_eq!(client.nth("volume.mounted", 2), expected);
    // Known as it is, it is not mounted again.
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    assert_eq!(client.request("volume.list", "").as_array().unwrap().len(), 1);
    assert_eq!(entries(&media), ["HOLIDAY"]);
    // After the server was away it is said again.
    world.kill_server();
    world.start_server();
    let client = Client::connect();
    assert_eq!(client.nth("volume.mounted", 1), expected);
    // What goes while nobody looks is unmounted afterwards.
    drop(natsmount);
    fs::remove_file(&stick.node).unwrap();
    let _natsmount = Natsmount::start(&world, &["--all"]);
    client.nth("volume.unmounted", 1);
    wait(|| entries(&media).is_empty(), || "the folder to go".into());
}

#[test]
fn another_medium_at_the_same_node_is_another_volume() {
    let Some((world, stick)) = world("another_medium_at_the_same_node_is_another_volume", true) else {
        return;
    };
    let natsmount = Natsmount::start(&world, &["--all"]);
    let mut client = Client::connect();
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    client.nth("volume.mounted", 1);
    // Out and in again at once: the first is still being unmounted.
    for subject in ["hardware.usb.remove", "hardware.usb.add"] {
        client.publish(subject, &stick.event("ext4", "HOLIDAY"));
    }
    client.nth("volume.unmounted", 1);
    let target = client.nth("volume.mounted", 2)["target"].as_str().unwrap().to_owned();
    drop(natsmount);
    let note = world.folder.join("state").join(Path::new(&target).file_name().unwrap());
    let mut noted: Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    let Some(medium) = noted["medium"].as_u64() else {
        return eprintln!("SKIPPED another_medium_at_the_same_node_is_another_volume: no diskseq");
    };
    noted["medium"] = (medium + 1).into();
    fs::write(&note, noted.to_string()).unwrap();
    let _natsmount = Natsmount::start(&world, &["--all"]);
    client.nth("volume.unmounted", 2);
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    // The one that was taken over for a moment was the third.
    client.nth("volume.mounted", 4);
    client.publish("hardware.usb.remove", &stick.event("ext4", "HOLIDAY"));
    client.nth("volume.unmounted", 3);
}

#[test]
fn what_cannot_be_mounted_is_told() {
    let Some((world, stick)) = world("what_cannot_be_mounted_is_told", false) else { return };
    let _natsmount = Natsmount::start(&world, &["--all"]);
    let mut client = Client::connect();
    client.publish("hardware.usb.add", &stick.event("nosuchfs", "A"));
    let failed = client.nth("volume.failed", 1);
    assert_eq!((&failed["errno"], &failed["action"]), (&json!(19), &json!("mount")));
    assert_eq!(failed["error"], "this kernel has no nosuchfs");
    client.publish("hardware.usb.add", &stick.event("ext4", "A"));
    let failed = client.nth("volume.failed", 2);
    assert_eq!(failed["error"], "no ext4, or one that is broken");
    wait(|| entries(&world.folder.join("media")).is_empty(), || "the folder to go".into());
    // No device at all, and none in /dev.
    for node in ["/dev/null", "/dev/nothing", "/etc/passwd", "/dev/../etc/passwd", ""] {
        client.publish("hardware.usb.add", &stick.event("ext4", "A").replace("/dev/shm/stick", node));
    }
    // They are in the same device, which has no other volumes any more.
    assert_eq!(client.request("volume.list", ""), json!([]));
    for (subject, payload, error) in [
        ("volume.mount", "", "devnode: expected text"),
        ("volume.mount", r#"{"devnode": "/etc/passwd"}"#, "devnode: expected a block device in /dev"),
        ("volume.mount", r#"{"devnode": "/dev/null"}"#, "devnode: expected a block device in /dev"),
        ("volume.unmount", "{}", "devnode or target: expected text"),
        ("volume.unmount", r#"{"target": "/"}"#, "nothing that we know of is mounted there"),
        ("volume.unmount", r#"{"devnode": "/dev/shm/stick"}"#, "no such volume"),
    ] {
        assert_eq!(client.request(subject, payload), json!({"error": error}), "{subject} {payload}");
    }
}

#[test]
fn nothing_is_mounted_unless_somebody_asks() {
    let Some((world, stick)) = world("nothing_is_mounted_unless_somebody_asks", true) else { return };
    let media = world.folder.join("media");
    let natsmount = Natsmount::start(&world, &[]);
    wait(|| natsmount.log().contains("no rules"), || format!("\"no rules\" in {}", natsmount.log()));
    let mut client = Client::connect();
    let node = json!({"devnode": stick.node}).to_string();
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    assert_eq!(client.request("volume.list", "")[0]["state"], "present");
    let answer = client.request("volume.mount", &node);
    assert_eq!(answer["target"], json!(media.join("HOLIDAY")));
    assert_eq!(client.request("volume.mount", &node), json!({"error": "it is mounted already"}));
    // Somebody uses it.
    let used = fs::File::create(media.join("HOLIDAY/open")).unwrap();
    let target = json!({"target": media.join("HOLIDAY")}).to_string();
    assert_eq!(client.request("volume.unmount", &target), json!({"error": "somebody uses it"}));
    assert_eq!(client.nth("volume.failed", 1)["action"], "unmount");
    drop(used);
    assert_eq!(client.request("volume.unmount", &target), answer);
    wait(|| entries(&media).is_empty(), || "the folder to go".into());
    // Others unmount and mount as they like.
    client.request("volume.mount", &node);
    run("umount", &[media.join("HOLIDAY").to_str().unwrap()]).unwrap();
    client.nth("volume.unmounted", 2);
    wait(|| entries(&media).is_empty(), || "the folder to go".into());
    let theirs = world.folder.join("theirs");
    fs::create_dir(&theirs).unwrap();
    run("mount", &["-t", "ext4", stick.node.to_str().unwrap(), theirs.to_str().unwrap()]).unwrap();
    wait(|| client.request("volume.list", "")[0]["state"] == "theirs", || "what others do".into());
    assert_eq!(client.request("volume.mount", &node), json!({"error": "somebody else mounted it"}));
    client.publish("hardware.usb.remove", &stick.event("ext4", "HOLIDAY"));
    assert_eq!(client.request("volume.list", ""), json!([]));
    assert!(mount_at(&theirs).is_some(), "it is left alone");
    run("umount", &[theirs.to_str().unwrap()]).unwrap();
    // A volume that nobody has announced.
    assert_eq!(client.request("volume.mount", &node)["label"], "HOLIDAY");
    client.request("volume.unmount", &node);
}

#[test]
fn rules_decide() {
    let Some((world, stick)) = world("rules_decide", true) else { return };
    let file = world.folder.join("natsmount.conf");
    let text = r#"rules { usb: [
        { when: { label: "PRIVATE*" }, mount: no }
        { fstype: [ext4], when: { vendor: "0951" }, options: [ro, exec], target: "$vendor $label" }
    ], block: { fstype: ext4, when: { label: "HOLI*" } } }"#;
    fs::write(&file, text).unwrap();
    let _natsmount = Natsmount::start(&world, &["--config", file.to_str().unwrap()]);
    let mut client = Client::connect();
    client.publish("hardware.usb.add", &stick.event("ext4", "PRIVATE 1"));
    assert_eq!(client.request("volume.list", "")[0]["state"], "present");
    client.publish("hardware.usb.change", &stick.event("ext4", "PUBLIC"));
    let target = world.folder.join("media/0951 PUBLIC");
    assert_eq!(client.nth("volume.mounted", 1)["target"], json!(target));
    let line = mount_at(&target).unwrap();
    assert!(line.contains("ro,nosuid,nodev") && !line.contains("noexec"), "{line}");
    client.publish("hardware.block.remove", &json!({"devnode": stick.node}).to_string());
    client.nth("volume.unmounted", 1);
    // Of what is no USB device, natsdev does not say what is on it; of parts of those that are, it says so elsewhere.
    let event =
        |devpath: &str| json!({"devpath": devpath, "devnode": stick.node, "class": "block"}).to_string();
    client.publish("hardware.block.add", &event("/devices/pci/usb1/1-1/block/sda"));
    client.publish("hardware.block.add", &event("/devices/virtual/block/loop"));
    let mounted = client.nth("volume.mounted", 2);
    assert_eq!(mounted["target"], json!(world.folder.join("media/HOLIDAY")), "read from the medium");
    client.publish("hardware.block.remove", &event("/devices/virtual/block/loop"));
    client.nth("volume.unmounted", 2);
    // What natsdev says counts.
    let said = event("/devices/virtual/block/loop").replace('{', r#"{"fstype":"ext4","label":"HOLI DAY","#);
    client.publish("hardware.block.add", &said);
    assert_eq!(client.nth("volume.mounted", 3)["target"], json!(world.folder.join("media/HOLI DAY")));
    client.publish("hardware.block.remove", &said);
    client.nth("volume.unmounted", 3);
    assert_eq!(client.count("volume.mounted"), 3);
}

/// A folder that takes no writes, until it is dropped.
struct Frozen(String);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = run("fsfreeze", &["--unfreeze", &self.0]);
    }
}

#[test]
fn rules_are_read_again_and_mistakes_leave_the_old_ones() {
    let Some((world, stick)) = world("rules_are_read_again_and_mistakes_leave_the_old_ones", true) else {
        return;
    };
    let config = world.folder.join("natsmount.conf");
    fs::write(&config, "rules { usb: { mount: no } }").unwrap();
    let natsmount = Natsmount::start(&world, &["--config", config.to_str().unwrap()]);
    let reread = |text: &str, said: &str| {
        fs::write(&config, text).unwrap();
        let pid = rustix::process::Pid::from_child(&natsmount.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        wait(|| natsmount.log().contains(said), || format!("{said:?} in the log"));
    };
    let mut client = Client::connect();
    let add = stick.event("ext4", "HOLIDAY");
    reread("rules { usb: { mount: perhaps } }", "the old ones stay");
    wait(|| natsmount.log().contains("natsmount.conf:1:"), || format!("the line in {}", natsmount.log()));
    client.publish("hardware.usb.add", &add);
    assert_eq!(client.request("volume.list", "")[0]["state"], "present");
    client.publish("hardware.usb.remove", &add);
    reread("rules { usb: { target: \"mine\" } }", "1 rules from now on");
    client.publish("hardware.usb.add", &add);
    assert_eq!(client.nth("volume.mounted", 1)["target"], json!(world.folder.join("media/mine")));
    client.publish("hardware.usb.remove", &add);
    client.nth("volume.unmounted", 1);
    // It had not listened to disks before.
    reread("rules { block: [ { target: \"disk\" }, { mount: no } ] }", "2 rules from now on");
    client.request("volume.list", "");
    let disk =
        json!({"devpath": "/devices/x/disk", "class": "block", "devtype": "disk", "devnode": stick.node});
    client.publish("hardware.block.add", &disk.to_string());
    assert_eq!(client.nth("volume.mounted", 2)["target"], json!(world.folder.join("media/disk")));
    reread("timeout: 5s", "change only at the next start");
}

#[test]
fn what_hangs_holds_up_nobody() {
    let Some((world, outer)) = world("what_hangs_holds_up_nobody", true) else { return };
    let below = world.folder.join("below");
    fs::create_dir(&below).unwrap();
    run("mount", &["-t", "ext4", outer.node.to_str().unwrap(), below.to_str().unwrap()]).unwrap();
    // A disk in a file of a file system that is frozen: whoever writes to it waits.
    let image = below.join("image");
    fs::write(&image, vec![0; 2 << 20]).unwrap();
    let stick = Stick::of(&image, "inner", true).unwrap();
    let file = world.folder.join("natsmount.conf");
    fs::write(&file, "timeout: 1s, rules { usb {} }").unwrap();
    let _natsmount = Natsmount::start(&world, &["--config", file.to_str().unwrap()]);
    let mut client = Client::connect();
    run("sync", &[]).unwrap();
    let Some(_) = run("fsfreeze", &["--freeze", below.to_str().unwrap()]) else {
        return eprintln!("SKIPPED what_hangs_holds_up_nobody: no fsfreeze");
    };
    let frozen = Frozen(below.to_str().unwrap().to_owned());
    client.publish("hardware.usb.add", &stick.event("ext4", "SLOW"));
    assert_eq!(client.request("volume.list", "")[0]["state"], "mounting");
    assert_eq!(client.nth("volume.failed", 1)["errno"], 110);
    let node = json!({"devnode": stick.node}).to_string();
    assert_eq!(client.request("volume.mount", &node), json!({"error": "it is being mounted or unmounted"}));
    drop(frozen);
    wait(|| client.request("volume.list", "")[0]["state"] == "present", || "the end".into());
    wait(|| entries(&world.folder.join("media")).is_empty(), || "the folder to go".into());
    assert_eq!(client.count("volume.mounted"), 0);
    assert!(client.request("volume.mount", &node)["target"].is_string());
    client.request("volume.unmount", &node);
    drop(stick);
    run("umount", &[below.to_str().unwrap()]).unwrap();
}

#[test]
fn with_nothing_to_do_it_sleeps() {
    let Some((world, stick)) = world("with_nothing_to_do_it_sleeps", true) else { return };
    let natsmount = Natsmount::start(&world, &["--all"]);
    let mut client = Client::connect();
    client.publish("hardware.usb.add", &stick.event("ext4", "HOLIDAY"));
    client.nth("volume.mounted", 1);
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", natsmount.child.id())).unwrap();
        let lines: Vec<_> =
            status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        lines
    };
    let rests = |time| {
        let before = switches();
        std::thread::sleep(std::time::Duration::from_millis(time));
        before == switches()
    };
    // The server asks once, some seconds after the connection, how far away it is.
    wait(|| rests(3000), || "rest".into());
    client.publish("hardware.usb.remove", &stick.event("ext4", "HOLIDAY"));
    client.nth("volume.unmounted", 1);
}

#[test]
fn mistakes_are_told_all_at_once() {
    let folder = std::env::temp_dir().join(format!("lunix-natsmount-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("natsmount.conf");
    fs::write(&file, "timeout: soon\nrules { usb: { options: bind } }\nmedai: \"/x\"\n").unwrap();
    let check = |file: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
        command.args(["natsmount", "--check-config", "--config"]).arg(file).output().unwrap()
    };
    let wrong = check(&file);
    assert_eq!(wrong.status.code(), Some(2));
    let lines: Vec<String> = String::from_utf8(wrong.stderr).unwrap().lines().map(str::to_owned).collect();
    let places: Vec<_> = lines
        .iter()
        .map(|line| line.strip_prefix(&format!("{}:", file.display())).unwrap().split(' ').next().unwrap())
        .collect();
    assert_eq!(places, ["1:10:", "2:25:", "3:1:"], "{lines:?}");
    fs::write(&file, "media: \"/mnt\", rules { usb: { target: \"/mnt/$label\" } }").unwrap();
    let right = check(&file);
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    fs::remove_dir_all(folder).unwrap();
}

/// Only for [`Natsmount::start`], which has to wait until somebody answers.
trait TryRequest {
    fn try_request(&mut self, subject: &str) -> Option<Value>;
}

impl TryRequest for Client {
    fn try_request(&mut self, subject: &str) -> Option<Value> {
        self.ask(subject, "", std::time::Duration::from_millis(200))
    }
}
