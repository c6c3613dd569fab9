//! What is said of devices besides what the kernel says of them; and that all of it is said.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lunix_uevent::monitor::Builder;
use rig::{Client, World, event, inside, inside_as_root, stick, wait};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use serde_json::{Value, json};

const MEM: (&str, &str) = ("SUBSYSTEM", "mem");

fn node(action: &str, name: &str, minor: &str) -> Vec<u8> {
    let path = format!("/devices/virtual/mem/{name}");
    event(action, &path, &[MEM, ("MAJOR", "1"), ("MINOR", minor), ("DEVNAME", name)])
}

fn root(world: &World) -> String {
    world.folder.to_str().unwrap().to_owned()
}

/// As udevd: says to the users of libudev that a device was handled.
fn udevd_says(properties: &[(&str, &str)]) {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(KOBJECT_UEVENT));
    let mut out = [0; 8192];
    let builder =
        properties.iter().fold(Builder::new(&mut out), |builder, (key, value)| builder.property(key, value));
    let len = builder.finish().unwrap();
    sendto(socket.unwrap(), &out[..len], SendFlags::empty(), &SocketAddrNetlink::new(0, 2)).unwrap();
}

/// The socket by which udevd would be spoken to.
fn control(world: &World) -> PathBuf {
    fs::create_dir_all(world.folder.join("run/udev/data")).unwrap();
    world.folder.join("run/udev/control")
}

/// Listens there; what was there before is replaced.
fn listen(control: &Path) -> UnixListener {
    let _ = fs::remove_file(control);
    UnixListener::bind(control).unwrap()
}

#[test]
fn what_rules_have_found_is_told() {
    if !inside("what_rules_have_found_is_told") {
        return;
    }
    let mut world = World::new();
    let rules = world.folder.join("rules");
    fs::create_dir_all(&rules).unwrap();
    let text = r#"SUBSYSTEM=="mem", SYMLINK+="by/$kernel", ENV{ID_MODEL}="My_thing", ENV{ID_MODEL_ENC}="My\x20thing", \
  ENV{ID_VENDOR_FROM_DATABASE}="Somebody's", ENV{ID_SERIAL_SHORT}="0815", ENV{ID_INPUT_MOUSE}="1""#;
    fs::write(rules.join("50-test.rules"), text).unwrap();
    fs::create_dir_all(world.folder.join("run/udev")).unwrap();
    let (rules, root) = (rules.to_str().unwrap().to_owned(), root(&world));
    let mut client = Client::connect();
    world.start_natsdev(&["--manage", "yes", "--rules", &rules, "--root", &root]);
    let expected = json!({"devpath": "/devices/virtual/mem/one", "class": "mem", "name": "one", "major": 1,
        "minor": 9, "devnode": "/dev/one", "links": ["/dev/by/one"], "model": "My thing",
        "vendor_name": "Somebody's", "serial": "0815", "kinds": ["mouse"]});
    world.happen(&node("add", "one", "9"));
    assert_eq!(client.nth("hardware.mem.add", 1), expected);
    assert_eq!(client.request("hardware.mem.list", ""), json!([expected]));
    client.request("hardware.trigger", "");
    let again = client.nth("hardware.mem.add", 2);
    assert_eq!(again["again"], true);
    assert_eq!(again["model"], "My thing");
    world.happen(&node("remove", "one", "9"));
    let gone = client.nth("hardware.mem.remove", 1);
    assert_eq!((&gone["devnode"], &gone["model"]), (&json!("/dev/one"), &json!("My thing")));
}

#[test]
fn where_udevd_is_at_work_it_says_what_is_ready() {
    if !inside("where_udevd_is_at_work_it_says_what_is_ready") {
        return;
    }
    let mut world = World::new();
    let control = control(&world);
    let listener = listen(&control);
    let root = root(&world);
    let mut client = Client::connect();
    world.start_natsdev(&["--root", &root]);

    world.happen(&node("add", "one", "9"));
    client.nth("uevent.mem.add", 1);
    assert_eq!(client.list("hardware.mem.list"), Vec::<String>::new());
    udevd_says(&[
        ("ACTION", "add"),
        ("DEVPATH", "/devices/virtual/mem/one"),
        MEM,
        ("DEVNAME", "/dev/one"),
        ("MAJOR", "1"),
        ("MINOR", "9"),
        ("SEQNUM", "1"),
        ("DEVLINKS", "/dev/by/one"),
        ("ID_MODEL", "thing"),
        ("TAGS", ":x:"),
    ]);
    let said = client.nth("hardware.mem.add", 1);
    assert_eq!((&said["links"], &said["model"]), (&json!(["/dev/by/one"]), &json!("thing")));

    // What is on a stick, the database tells: nobody here could read it.
    let (comes, _) = stick("2-1", "sda");
    fs::write(
        world.folder.join("run/udev/data/b8:1"),
        "E:ID_FS_TYPE=vfat\nE:ID_FS_LABEL_ENC=MY\\x20STICK\nE:ID_FS_UUID_ENC=1A2B-3C4D\n",
    )
    .unwrap();
    world.plug(&comes);
    for event in &comes {
        let event = lunix_uevent::Uevent::parse(event).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let pairs: Vec<_> = event.vars().map(|(key, value)| (text(key), text(value))).collect();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        udevd_says(&pairs);
    }
    let added = client.nth("hardware.usb.add", 1);
    let volume = &added["volumes"][0];
    assert_eq!(
        (&volume["fstype"], &volume["label"], &volume["uuid"]),
        (&json!("vfat"), &json!("MY STICK"), &json!("1A2B-3C4D"))
    );

    // Without udevd, the kernel's word is the last one again.
    drop(listener);
    fs::remove_file(&control).unwrap();
    world.wait_for_log("the kernel alone says what is ready");
    world.happen(&node("add", "two", "10"));
    assert_eq!(client.about("hardware.mem.add", "/devices/virtual/mem/two").get("links"), None);
    let _listener = listen(&control);
    world.wait_for_log("udevd says what is ready");
    world.happen(&node("change", "two", "10"));
    client.nth("uevent.mem.change", 1);
    client.list("hardware.mem.list");
    assert_eq!(client.count("hardware.mem.change"), 0);
    assert_eq!(world.stop_natsdev(), Some(0));
}

/// The announcement that `client` has heard: what stands between its begin and its end.
fn snapshot(client: &Client) -> (Value, Vec<String>, Value) {
    let end = client.nth("hardware.snapshot.end", 1);
    let all = client.all("hardware.");
    let at = |subject: &str| all.iter().position(|(other, _)| other == subject).unwrap();
    let (first, last) = (at("hardware.snapshot.begin"), at("hardware.snapshot.end"));
    let between = all[first + 1..last].iter();
    let mut paths: Vec<String> =
        between.map(|(_, device)| device["devpath"].as_str().unwrap().to_owned()).collect();
    paths.sort();
    (all[first].1.clone(), paths, end)
}

#[test]
fn all_that_is_present_is_told_between_two_marks() {
    if !inside("all_that_is_present_is_told_between_two_marks") {
        return;
    }
    let mut world = World::new();
    // More than may wait for the server at once.
    let names: Vec<String> = (0..400).map(|index| format!("{}-{index}", "long".repeat(40))).collect();
    for (minor, name) in (1000..).zip(&names) {
        world.appear(&[node("add", name, &minor.to_string())]);
    }
    let client = Client::connect();
    world.start_natsdev(&[]);
    let (begin, paths, end) = snapshot(&client);
    assert_eq!(begin, json!({"again": false}));
    assert_eq!(paths, world.sysfs.devpaths());
    assert_eq!(end, json!({"again": false, "devices": 400}));

    // What has changed while nobody could hear it is told by what is not told again.
    world.kill_server();
    world.wait_for_log("the server is gone");
    world.happen(&node("remove", &names[7], "1007"));
    world.happen(&node("add", "new", "2000"));
    world.hold_natsdev(true);
    world.start_server();
    let mut client = Client::connect();
    world.hold_natsdev(false);
    let (begin, paths, end) = snapshot(&client);
    assert_eq!(begin, json!({"again": true}));
    assert_eq!(paths, world.sysfs.devpaths());
    assert_eq!(end, json!({"again": true, "devices": 400}));

    // Of a part of the devices it is no snapshot.
    assert_eq!(client.request("hardware.trigger", r#"{"subsystem": "mem"}"#), json!({"devices": 400}));
    client.nth("hardware.mem.add", 800);
    assert_eq!(client.count("hardware.snapshot."), 2);
    assert_eq!(world.stop_natsdev(), Some(0));
}

/// Processes that end with the test.
struct Running(Vec<std::process::Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

#[test]
fn a_user_hears_what_udevd_has_found() {
    const TEST: &str = "a_user_hears_what_udevd_has_found";
    const UDEVD: &str = "/lib/systemd/systemd-udevd";
    if !inside_as_root(TEST) {
        return;
    }
    if !Path::new(UDEVD).exists() {
        return eprintln!("SKIPPED {TEST}: no udevd");
    }
    // What udevd does here, it does to a /dev and a /run of its own.
    let script = "mount -t tmpfs none /run; mkdir /run/dev; mount -t tmpfs none /run/dev; \
        for node in null zero random urandom full loop-control loop0 loop1 loop2 loop3 loop4 loop5 loop6 loop7; \
        do cp -a /dev/$node /run/dev/; done; mount --move /run/dev /dev; ln -s /proc/self/fd /dev/fd";
    run("sh", &["-c", script]).unwrap();
    let world = World::new();
    let image = world.folder.join("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let image = image.to_str().unwrap();
    run(
        "/sbin/mkfs.ext4",
        &["-q", "-F", "-L", "HOLIDAY", "-U", "3f1b2c4d-0000-4000-8000-000000000001", image],
    )
    .unwrap();
    let mut running = Running(Vec::new());
    let quiet = || Stdio::null();
    running.0.push(Command::new(UDEVD).stdout(quiet()).stderr(quiet()).spawn().unwrap());
    wait(|| Path::new("/run/udev/control").exists(), || "udevd".into());
    // As systemd makes it.
    fs::set_permissions("/run/udev/control", fs::Permissions::from_mode(0o600)).unwrap();
    let mut client = Client::connect();
    let program = fs::read(env!("CARGO_BIN_EXE_lunix")).unwrap();
    // Whoever is nobody may not look into the folder that the program is built in.
    fs::write("/run/lunix", program).unwrap();
    fs::set_permissions("/run/lunix", fs::Permissions::from_mode(0o755)).unwrap();
    let mut natsdev = Command::new("setpriv");
    natsdev.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--pdeathsig", "KILL"]);
    natsdev.args(["/run/lunix", "natsdev", "--nats", "nats://127.0.0.1:4222"]);
    running.0.push(natsdev.spawn().unwrap());
    client.nth("hardware.snapshot.end", 1);

    let Some(disk) = run("losetup", &["--find", "--show", image]) else {
        return eprintln!("SKIPPED {TEST}: no loop devices");
    };
    // The last that was said of the disk, once its label is this one.
    let told = |client: &Client, label: Value| {
        let last = || {
            let mut all = client.all("hardware.block.change").into_iter();
            all.rfind(|(_, device)| device["devnode"] == disk).map(|(_, device)| device)
        };
        let is = || last().is_some_and(|device| device["label"] == label);
        wait(is, || format!("{label} in {disk}; last: {:?}", last()));
        last().unwrap()
    };
    let said = told(&client, json!("HOLIDAY"));
    assert_eq!(
        (&said["fstype"], &said["uuid"]),
        (&json!("ext4"), &json!("3f1b2c4d-0000-4000-8000-000000000001"))
    );
    let links = said["links"].as_array().unwrap();
    assert!(links.contains(&json!("/dev/disk/by-label/HOLIDAY")), "{links:?}");
    // Who asks later reads it in udevd's database.
    let list = client.request("hardware.block.list", "");
    let listed = list.as_array().unwrap().iter().find(|device| device["devnode"] == disk).unwrap();
    assert_eq!((&listed["label"], &listed["links"]), (&said["label"], &said["links"]));
    run("losetup", &["--detach", &disk]).unwrap();
    told(&client, Value::Null);
}
