//! What built-ins find, on folders that look like /sys.

mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A machine of files.
struct Machine {
    folder: PathBuf,
    root: Root,
}

impl Machine {
    fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("lunix-builtins-{name}-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("sys/devices")).unwrap();
        Self { root: Root::new(&folder), folder }
    }

    /// A device with its subsystem, what `uevent` says, and attributes; also found by its subsystem and name.
    fn device(&self, path: &str, subsystem: &str, uevent: &str, attributes: &[(&str, &str)]) {
        let folder = self.folder.join("sys/devices").join(path);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("uevent"), uevent).unwrap();
        let class = self.folder.join("sys/class").join(subsystem);
        fs::create_dir_all(&class).unwrap();
        let _ = symlink(&folder, class.join(Path::new(path).file_name().unwrap()));
        if !subsystem.is_empty() {
            symlink(&class, folder.join("subsystem")).unwrap();
        }
        for (name, value) in attributes {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, value).unwrap();
        }
    }

    fn run(&self, command: &str, path: &str) -> Option<BTreeMap<String, String>> {
        self.run_knowing(command, path, &[])
    }

    fn run_knowing(&self, command: &str, path: &str, known: &[&str]) -> Option<BTreeMap<String, String>> {
        let device = Device::read(&self.root, format!("/devices/{path}").as_bytes(), b"add").unwrap();
        let known: Vec<_> = known.iter().map(|known| (known.as_bytes(), &b""[..])).collect();
        let found = run(&self.root, &device, &known, Writes::Done, command.as_bytes()).unwrap()?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Some(found.into_iter().map(|(key, value)| (text(key), text(value))).collect())
    }

    /// What `ID_PATH` a device has.
    fn path(&self, path: &str) -> Option<String> {
        self.run("path_id", path)?.remove("ID_PATH")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const PCI: &str = "pci0000:00/0000:00:14.0";
const USB: &str = "pci0000:00/0000:00:14.0/usb1/1-2";
const DISK: &str = "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb";

/// A stick at an xHCI controller.
fn stick() -> Machine {
    let machine = Machine::new("stick");
    machine.device("pci0000:00", "", "", &[]);
    machine.device(PCI, "pci", "MODALIAS=pci:v00008086d0000A36Dsv0\n", &[]);
    let hub = [("bDeviceProtocol", "01\n"), ("speed", "480\n")];
    machine.device(&format!("{PCI}/usb1"), "usb", "DEVTYPE=usb_device\n", &hub);
    machine.device(
        USB,
        "usb",
        "DEVTYPE=usb_device\n",
        &[
            ("idVendor", "0781\n"),
            ("idProduct", "5581\n"),
            ("manufacturer", " SanDisk/3 \n"),
            ("product", "Ultra  \u{fc}\n"),
            ("serial", "4C530001\n"),
            ("bcdDevice", "0100\n"),
        ],
    );
    let mut descriptors = vec![0; 18 + 9];
    descriptors[0] = 18;
    descriptors.splice(18..27, [9, 4, 0, 0, 2, 8, 6, 0x50, 0, 7, 5, 0x81, 2, 0, 2, 0]);
    fs::write(machine.folder.join("sys/devices").join(USB).join("descriptors"), descriptors).unwrap();
    let interface =
        [("bInterfaceNumber", "00\n"), ("bInterfaceClass", "08\n"), ("bInterfaceSubClass", "06\n")];
    machine.device(&format!("{USB}/1-2:1.0"), "usb", "DEVTYPE=usb_interface\n", &interface);
    symlink(
        "/sys/bus/usb/drivers/usb-storage",
        machine.folder.join("sys/devices").join(USB).join("1-2:1.0/driver"),
    )
    .unwrap();
    machine.device(&format!("{USB}/1-2:1.0/host6"), "scsi", "DEVTYPE=scsi_host\n", &[]);
    machine.device(&format!("{USB}/1-2:1.0/host6/target6:0:0"), "scsi", "DEVTYPE=scsi_target\n", &[]);
    machine.device(
        &format!("{USB}/1-2:1.0/host6/target6:0:0/6:0:0:0"),
        "scsi",
        "DEVTYPE=scsi_device\n",
        &[("vendor", "SanDisk \n"), ("model", "Ultra USB 3.0   \n"), ("type", "0\n"), ("rev", "1.00\n")],
    );
    machine.device(DISK, "block", "MAJOR=8\nMINOR=16\nDEVNAME=sdb\nDEVTYPE=disk\n", &[]);
    machine
}

/// What a program of this machine prints; `None` where there is none, or it fails.
fn tool(program: &str, args: &[&str]) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new(program).args(args).env("PATH", path).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_stick_by_its_usb_port() {
    let machine = stick();
    assert_eq!(
        machine.run("path_id", DISK),
        Some(map(&[
            ("ID_PATH", "pci-0000:00:14.0-usb-0:2:1.0-scsi-0:0:0:0"),
            ("ID_PATH_TAG", "pci-0000_00_14_0-usb-0_2_1_0-scsi-0_0_0_0"),
            ("ID_PATH_WITH_USB_REVISION", "pci-0000:00:14.0-usbv2-0:2:1.0-scsi-0:0:0:0"),
        ]))
    );
    assert_eq!(machine.path(USB).as_deref(), Some("pci-0000:00:14.0-usb-0:2"));
    assert_eq!(machine.path(PCI).as_deref(), Some("pci-0000:00:14.0"));
    assert_eq!(machine.path("pci0000:00"), None);
}

#[test]
fn a_stick_by_what_it_says_of_itself() {
    let machine = stick();
    let disk = machine.run("usb_id", DISK).unwrap();
    let own = [
        ("INSTANCE", "0:0"),
        ("MODEL", "Ultra_USB_3.0"),
        ("MODEL_ENC", r"Ultra\x20USB\x203.0\x20\x20\x20"),
        ("MODEL_ID", "5581"),
        ("REVISION", "1.00"),
        ("SERIAL", "SanDisk_Ultra_USB_3.0_4C530001-0:0"),
        ("SERIAL_SHORT", "4C530001"),
        ("TYPE", "disk"),
        ("VENDOR", "SanDisk"),
        ("VENDOR_ENC", r"SanDisk\x20"),
        ("VENDOR_ID", "0781"),
    ];
    let mut expected = map(&[
        ("ID_BUS", "usb"),
        ("ID_USB_INTERFACES", ":080650:"),
        ("ID_USB_INTERFACE_NUM", "00"),
        ("ID_USB_DRIVER", "usb-storage"),
    ]);
    for (key, value) in own {
        expected.insert(format!("ID_{key}"), value.to_owned());
        expected.insert(format!("ID_USB_{key}"), value.to_owned());
    }
    assert_eq!(disk, expected);
    let known = machine.run_knowing("usb_id", DISK, &["ID_BUS"]).unwrap();
    assert!(!known.contains_key("ID_BUS") && !known.contains_key("ID_MODEL"));
    assert_eq!(known["ID_USB_MODEL"], "Ultra_USB_3.0");

    let device = machine.run("usb_id", USB).unwrap();
    assert_eq!(device["ID_SERIAL"], "SanDisk_3_Ultra_\u{fc}_4C530001");
    assert_eq!(device["ID_MODEL_ENC"], "Ultra\\x20\\x20\u{fc}");
    assert_eq!((device.get("ID_TYPE"), device["ID_REVISION"].as_str()), (None, "0100"));
    assert_eq!(machine.run("usb_id", PCI), None);
}

#[test]
fn disks_by_their_paths() {
    let machine = Machine::new("paths");
    machine.device("pci0000:00/0000:00:1f.2", "pci", "", &[]);
    let port = "pci0000:00/0000:00:1f.2/ata3";
    machine.device(port, "", "", &[]);
    machine.device(&format!("{port}/ata_port/ata3"), "ata_port", "", &[("port_no", "3\n")]);
    let mut path = port.to_owned();
    for (name, kind) in [("host2", "scsi_host"), ("target2:0:1", "scsi_target"), ("2:0:1:0", "scsi_device")] {
        path = format!("{path}/{name}");
        machine.device(&path, "scsi", &format!("DEVTYPE={kind}\n"), &[]);
    }
    let disk = format!("{path}/block/sda");
    machine.device(&disk, "block", "DEVTYPE=disk\n", &[]);
    let ata = machine.run("path_id", &disk).unwrap();
    assert_eq!(ata["ID_PATH"], "pci-0000:00:1f.2-ata-3.1");
    assert_eq!(ata["ID_PATH_ATA_COMPAT"], "pci-0000:00:1f.2-ata-3");

    machine.device("pci0000:00/0000:00:1d.0", "pci", "", &[]);
    machine.device("pci0000:00/0000:00:1d.0/0000:02:00.0", "pci", "", &[]);
    let nvme = "pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0";
    machine.device(nvme, "nvme", "", &[]);
    machine.device(&format!("{nvme}/nvme0n1"), "block", "DEVTYPE=disk\n", &[("nsid", "1\n")]);
    assert_eq!(machine.path(&format!("{nvme}/nvme0n1")).as_deref(), Some("pci-0000:02:00.0-nvme-1"));
    let shared = "virtual/nvme-subsystem/nvme-subsys0";
    machine.device(shared, "nvme-subsystem", "", &[]);
    machine.device(&format!("{shared}/nvme0n2"), "block", "DEVTYPE=disk\n", &[("nsid", "2\n")]);
    assert_eq!(machine.path(&format!("{shared}/nvme0n2")).as_deref(), Some("pci-0000:02:00.0-nvme-2"));

    machine.device("pci0000:00/0000:00:05.0", "pci", "", &[]);
    machine.device("pci0000:00/0000:00:05.0/virtio1", "virtio", "", &[]);
    machine.device("pci0000:00/0000:00:05.0/virtio1/block/vda", "block", "DEVTYPE=disk\n", &[]);
    let virtio = machine.path("pci0000:00/0000:00:05.0/virtio1/block/vda");
    assert_eq!(virtio.as_deref(), Some("pci-0000:00:05.0"));

    machine.device("platform/soc", "platform", "", &[]);
    machine.device("platform/soc/3f202000.mmc", "platform", "", &[]);
    let card = "platform/soc/3f202000.mmc/mmc_host/mmc0";
    machine.device(card, "mmc_host", "", &[]);
    machine.device(&format!("{card}/mmc0:aaaa"), "mmc", "", &[]);
    machine.device(&format!("{card}/mmc0:aaaa/block/mmcblk0"), "block", "DEVTYPE=disk\n", &[]);
    let card = machine.path(&format!("{card}/mmc0:aaaa/block/mmcblk0"));
    assert_eq!(card.as_deref(), Some("platform-3f202000.mmc"));

    // What is attached to nothing that is known has no path, and disks need a way that disks have.
    machine.device("virtual/block/loop0", "block", "DEVTYPE=disk\n", &[]);
    assert_eq!(machine.path("virtual/block/loop0"), None);
    machine.device("pci0000:00/0000:00:05.0/odd/block/x", "block", "DEVTYPE=disk\n", &[]);
    assert_eq!(machine.path("pci0000:00/0000:00:05.0/odd/block/x"), None);
}

#[test]
fn a_disk_behind_an_expander() {
    let machine = Machine::new("sas");
    machine.device("pci0000:00/0000:03:00.0", "pci", "", &[]);
    let mut path = "pci0000:00/0000:03:00.0".to_owned();
    for (name, subsystem, kind) in [
        ("host0", "scsi", "scsi_host"),
        ("port-0:0", "", ""),
        ("expander-0:0", "", ""),
        ("port-0:0:4", "", ""),
        ("end_device-0:0:4", "", ""),
        ("target0:0:4", "scsi", "scsi_target"),
        ("0:0:4:0", "scsi", "scsi_device"),
    ] {
        path = format!("{path}/{name}");
        machine.device(&path, subsystem, &format!("DEVTYPE={kind}\n"), &[]);
    }
    machine.device("x/sas_port/port-0:0:4", "sas_port", "", &[("num_phys", "1\n")]);
    let end = [("phy_identifier", "4\n"), ("sas_address", "0x500a\n")];
    machine.device("x/sas_device/end_device-0:0:4", "sas_device", "", &end);
    machine.device("x/sas_device/expander-0:0", "sas_device", "", &[("sas_address", "0x500b\n")]);
    machine.device(&format!("{path}/block/sda"), "block", "", &[]);
    let disk = format!("{path}/block/sda");
    assert_eq!(machine.path(&disk).as_deref(), Some("pci-0000:03:00.0-sas-exp0x500b-phy4-lun-0"));
    machine.device("x/sas_port/port-0:0:4", "", "", &[("num_phys", "2\n")]);
    assert_eq!(machine.path(&disk).as_deref(), Some("pci-0000:03:00.0-sas-0x500a-lun-0"));
}

#[test]
fn input_devices_and_their_parts() {
    let machine = Machine::new("input");
    let attributes = [
        ("capabilities/ev", "17\n"),
        ("capabilities/key", "ff0000 0 0 0 0\n"),
        ("capabilities/rel", "903\n"),
        ("id/bustype", "0003\n"),
    ];
    machine.device("virtual/input/input5", "input", "", &attributes);
    machine.device("virtual/input/input5/mouse0", "input", "", &[]);
    let mouse = map(&[("ID_INPUT", "1"), ("ID_INPUT_MOUSE", "1")]);
    assert_eq!(machine.run("input_id", "virtual/input/input5/mouse0"), Some(mouse.clone()));
    assert_eq!(machine.run("input_id", "virtual/input/input5"), Some(mouse));
    machine.device("virtual/x", "x", "", &[]);
    assert_eq!(machine.run("input_id", "virtual/x"), Some(BTreeMap::new()));
}

#[test]
fn what_others_know() {
    let machine = stick();
    let texts = machine.folder.join("usr/lib/udev/hwdb.d");
    fs::create_dir_all(&texts).unwrap();
    let text = "usb:v0781*\n ID_VENDOR_FROM_DATABASE=SanDisk Corp.\n KEYBOARD_KEY_1=esc\n\npci:*\n ID_PCI=1\n\n\
                evdev:usb:v0781*\n OTHER=1\n";
    fs::write(texts.join("20-usb.hwdb"), text).unwrap();
    assert_eq!(machine.run("hwdb", DISK), None, "there is no table");
    let built = crate::natsdev::hwdb::build(&[texts]).unwrap();
    fs::create_dir_all(machine.folder.join("etc/udev")).unwrap();
    fs::write(machine.folder.join("etc/udev/hwdb.lunix"), &built.table).unwrap();
    let vendor = ("ID_VENDOR_FROM_DATABASE", "SanDisk Corp.");
    let all = map(&[vendor, ("KEYBOARD_KEY_1", "esc")]);
    assert_eq!(machine.run("hwdb", DISK), Some(all.clone()));
    assert_eq!(machine.run("hwdb --subsystem=usb --filter=ID_*", DISK), Some(map(&[vendor])));
    assert_eq!(machine.run("hwdb -s pci", DISK), Some(map(&[("ID_PCI", "1")])));
    assert_eq!(machine.run("hwdb 'usb:v0781p1'", PCI), Some(all));
    assert_eq!(machine.run("hwdb --lookup-prefix=evdev:", DISK), Some(map(&[("OTHER", "1")])));
    assert_eq!(machine.run("hwdb --lookup-prefix none:", DISK), None);
    assert_eq!(machine.run("hwdb -d +pci:0000:00:14.0", DISK), Some(map(&[("ID_PCI", "1")])));
}

#[test]
fn interfaces_by_their_places() {
    let machine = Machine::new("net");
    let net = |path: &str, more: &[(&str, &str)]| {
        let common = [
            ("type", "1\n"),
            ("ifindex", "2\n"),
            ("iflink", "2\n"),
            ("dev_port", "0\n"),
            ("addr_assign_type", "0\n"),
            ("address", "00:1b:21:AB:cd:ef\n"),
        ];
        machine.device(path, "net", "INTERFACE=x\nIFINDEX=2\n", &[&common[..], more].concat());
        let mut found = machine.run("net_id", path).unwrap();
        found.remove("ID_NET_NAMING_SCHEME");
        found
    };
    let slots = machine.folder.join("sys/bus/pci/slots");
    for (slot, address) in [("3", "0000:02:00"), ("7", "0001:05:00")] {
        fs::create_dir_all(slots.join(slot)).unwrap();
        fs::write(slots.join(slot).join("address"), format!("{address}\n")).unwrap();
    }
    machine.device("pci0000:00/0000:00:1c.0", "pci", "MODALIAS=pci:v0d0sv0sd0bc06sc04i00\n", &[]);
    machine.device(
        "pci0000:00/0000:00:1c.0/0000:02:00.1",
        "pci",
        "",
        &[("acpi_index", "12\n"), ("label", "LOM\n")],
    );
    let mac = ("ID_NET_NAME_MAC", "enx001b21abcdef");
    assert_eq!(
        net("pci0000:00/0000:00:1c.0/0000:02:00.1/net/eth0", &[]),
        map(&[
            mac,
            ("ID_NET_LABEL_ONBOARD", "enLOM"),
            ("ID_NET_NAME_ONBOARD", "eno12"),
            ("ID_NET_NAME_PATH", "enp2s0f1"),
            ("ID_NET_NAME_SLOT", "ens3f1"),
        ])
    );
    // The second port, at another domain; behind virtio; with a name of its own.
    machine.device("pci0001:00/0001:05:00.0", "pci", "", &[]);
    machine.device("pci0001:00/0001:05:00.0/virtio0", "virtio", "", &[]);
    let slot = [("ID_NET_NAME_PATH", "enP1p5s0d2"), ("ID_NET_NAME_SLOT", "enP1s7d2")];
    let random = [("dev_port", "2\n"), ("addr_assign_type", "3\n")];
    assert_eq!(net("pci0001:00/0001:05:00.0/virtio0/net/eth1", &random), map(&slot));
    let represents = [("phys_port_name", "pf0vf4\n"), ("addr_assign_type", "3\n")];
    let found = net("pci0001:00/0001:05:00.0/net/eth2", &represents);
    assert_eq!(found["ID_NET_NAME_PATH"], "enP1p5s0r4");

    machine.device("pci0000:00/0000:00:14.0", "pci", "", &[]);
    for (path, kind) in
        [("usb1", "usb_device"), ("usb1/1-2.3", "usb_device"), ("usb1/1-2.3/1-2.3:1.2", "usb_interface")]
    {
        machine.device(&format!("pci0000:00/0000:00:14.0/{path}"), "usb", &format!("DEVTYPE={kind}\n"), &[]);
    }
    let found = net("pci0000:00/0000:00:14.0/usb1/1-2.3/1-2.3:1.2/net/usb0", &[]);
    assert_eq!(found, map(&[mac, ("ID_NET_NAME_PATH", "enp0s20u2u3i2")]));

    machine.device("platform/HISI00C2:00", "platform", "", &[]);
    let found = net("platform/HISI00C2:00/net/eth0", &[]);
    assert_eq!(found["ID_NET_NAME_PATH"], "enahisic2i0");
    let above = machine.folder.join("sys/devices/platform/HISI00C2:00/driver");
    symlink("/sys/bus/platform/drivers/hns", above).unwrap();
    let driver = machine.run("net_driver", "platform/HISI00C2:00/net/eth0");
    assert_eq!(driver, Some(map(&[("ID_NET_DRIVER", "hns")])));
    // Without any file, too: rules of before version 254 count on it.
    let link = machine.run("net_setup_link", "platform/HISI00C2:00/net/eth0");
    assert_eq!(link, driver);
    // On top of another one, and of another kind.
    machine.device("virtual/net/vlan", "net", "", &[("type", "1\n"), ("ifindex", "3\n"), ("iflink", "2\n")]);
    machine.device("virtual/net/lo", "net", "", &[("type", "772\n"), ("ifindex", "1\n"), ("iflink", "1\n")]);
    for path in ["virtual/net/vlan", "virtual/net/lo"] {
        assert_eq!(machine.run("net_id", path), Some(BTreeMap::new()), "{path}");
    }
}

#[test]
fn a_device_that_has_gone_has_the_path_of_its_event() {
    let machine = Machine::new("gone");
    machine.device("pci0000:00/0000:00:14.0", "pci", "", &[]);
    let hub = "pci0000:00/0000:00:14.0/usb1";
    machine.device(hub, "usb", "DEVTYPE=usb_device\n", &[]);
    let stick = format!("{hub}/1-2");
    machine.device(&stick, "usb", "DEVTYPE=usb_device\n", &[]);
    let device = Device::read(&machine.root, format!("/devices/{stick}").as_bytes(), b"unbind").unwrap();
    fs::remove_dir_all(machine.folder.join("sys/devices").join(&stick)).unwrap();
    let found = run(&machine.root, &device, &[], Writes::Done, b"path_id").unwrap().unwrap();
    assert!(found.contains(&(b"ID_PATH".to_vec(), b"pci-0000:00:14.0-usb-0:2".to_vec())), "{found:?}");
}

#[test]
fn the_first_file_that_is_about_an_interface() {
    let machine = Machine::new("link");
    let attributes =
        [("type", "1\n"), ("address", "00:1b:21:ab:cd:ef\n"), ("name_assign_type", "1\n"), ("mtu", "1500\n")];
    machine.device("virtual/net/eth0", "net", "", &attributes);
    let folder = machine.folder.join("usr/lib/systemd/network");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(machine.folder.join("etc/systemd/network")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let name = |known: &[&str]| {
        let mut found = machine.run_knowing("net_setup_link", "virtual/net/eth0", known).unwrap();
        let file = found.remove("ID_NET_LINK_FILE").map(|file| file.rsplit('/').next().unwrap().to_owned());
        (file.unwrap_or_default(), found.remove("ID_NET_NAME").unwrap_or_default())
    };
    assert_eq!(name(&[]), (String::new(), String::new()));
    write(
        "99-default.link",
        "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep kernel onboard slot\nMTUBytes=9000\n",
    );
    assert_eq!(name(&[]), ("99-default.link".to_owned(), String::new()));
    let mtu = fs::read(machine.folder.join("sys/devices/virtual/net/eth0/mtu")).unwrap();
    assert_eq!(mtu, b"9000");
    write(
        "50-x.link",
        "# no\n[Match]\nMACAddress=00-1B-21-AB-CD-EF 1:2\nOriginalName=!wl*\nType=ether\n[Link]\nName=lan0\n",
    );
    assert_eq!(name(&[]), ("50-x.link".to_owned(), "lan0".to_owned()));
    write("40-y.link", "[Match]\nHost=elsewhere\n[Link]\nName=other\n");
    write("41-z.link", "[Match]\nType=!ether\n[Link]\nName=other\n");
    assert_eq!(name(&[]).1, "lan0");
    fs::write(machine.folder.join("etc/systemd/network/50-x.link"), "").unwrap();
    assert_eq!(name(&[]).0, "99-default.link");
    machine.device("virtual/net/lo", "net", "", &[("type", "772\n")]);
    assert_eq!(machine.run("net_setup_link", "virtual/net/lo"), Some(BTreeMap::new()));
    fs::write(machine.folder.join("sys/devices/virtual/net/eth0/name_assign_type"), "3\n").unwrap();
    assert_eq!(name(&[]).1, "eth0");
}

#[test]
fn modules_in_the_order_in_which_they_need_each_other() {
    let machine = Machine::new("modules");
    let folder = machine.folder.join("lib/modules/9");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(machine.folder.join("etc/modprobe.d")).unwrap();
    fs::create_dir_all(machine.folder.join("sys/module/there")).unwrap();
    let write = |name: &str, text: &str| fs::write(machine.folder.join(name), text).unwrap();
    write(
        "lib/modules/9/modules.dep",
        "kernel/net/e1000.ko.xz: kernel/lib/mid.ko.xz kernel/lib/low-est.ko.xz kernel/there.ko\n\
         kernel/lib/mid.ko.xz: kernel/lib/low-est.ko.xz\nkernel/lib/low-est.ko.xz:\nkernel/there.ko:\n\
         kernel/soft.ko:\nkernel/late.ko:\nkernel/bad.ko:\nkernel/ring.ko:\n",
    );
    write(
        "lib/modules/9/modules.alias",
        "# comment\nalias pci:v00008086d*sv* e1000\nalias pci:v00008086d0001* bad\nalias fs-x soft\nalias usb:* late\n",
    );
    write(
        "lib/modules/9/modules.softdep",
        "softdep e1000 pre: soft ring post: late\nsoftdep ring pre: ring e1000\n",
    );
    write(
        "etc/modprobe.d/a.conf",
        "blacklist bad\noptions e1000 debug=1\noptions e1000 x=\"2\"\nalias my-net e1000\n",
    );
    let modules = modules::Modules::read(&machine.root, "9").unwrap();
    let plan = |name: &str| -> Vec<String> {
        modules.plan(name.as_bytes()).into_iter().map(|step| String::from_utf8(step.name).unwrap()).collect()
    };
    let all = ["soft", "low_est", "mid", "e1000", "ring", "late"];
    let mut found = plan("pci:v00008086d0001sv1");
    found.sort();
    let mut sorted = all.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(found, sorted);
    let order = plan("my_net");
    let at = |name: &str| order.iter().position(|other| other == name).unwrap();
    assert!(at("soft") < at("e1000") && at("low_est") < at("mid") && at("mid") < at("e1000"));
    assert!(at("e1000") < at("late"));
    assert_eq!(plan("bad"), [""; 0]);
    assert_eq!(plan("fs_x"), ["soft"]);
    assert_eq!(plan("there"), [""; 0]);
    assert_eq!(plan("pci:v0000"), [""; 0]);
    let last = modules.plan(b"my-net").into_iter().find(|step| step.name == b"e1000").unwrap();
    assert_eq!(last.options, b"debug=1 x=\"2\"");
    assert!(last.path.ends_with("lib/modules/9/kernel/net/e1000.ko.xz"));
    assert!(modules::Modules::read(&machine.root, "8").is_err());
}

/// The modules that this machine has, for a kernel that runs or not: what modprobe would load for a sample of aliases.
#[test]
fn modules_as_modprobe_loads_them() {
    let skipped = |why: &str| eprintln!("SKIPPED modules_as_modprobe_loads_them: {why}");
    let machine = Machine::new("modprobe");
    fs::create_dir_all(machine.folder.join("etc")).unwrap();
    fs::create_dir_all(machine.folder.join("lib")).unwrap();
    for folder in ["lib/modules", "lib/modprobe.d", "etc/modprobe.d"] {
        symlink(Path::new("/").join(folder), machine.folder.join(folder)).unwrap();
    }
    let releases = fs::read_dir("/lib/modules").into_iter().flatten().filter_map(Result::ok);
    let has_lists = |release: &fs::DirEntry| release.path().join("modules.dep.bin").exists();
    let Some(release) = releases.into_iter().find(has_lists) else { return skipped("there are no modules") };
    let release = release.file_name().into_string().unwrap();
    let folder = Path::new("/lib/modules").join(&release);
    let modules = modules::Modules::read(&machine.root, &release).unwrap();
    let aliases = fs::read_to_string(folder.join("modules.alias")).unwrap();
    let aliases =
        aliases.lines().filter_map(|line| line.strip_prefix("alias ")?.split(' ').next()).step_by(29);
    let aliases = aliases.filter(|alias| !alias.contains(['[', '?'])).map(|alias| alias.replace('*', "0"));
    let names = fs::read_to_string(folder.join("modules.dep")).unwrap();
    let names = names
        .lines()
        .step_by(17)
        .map(|line| line.split(['.', ':']).next().unwrap().rsplit('/').next().unwrap().to_owned());
    let (mut compared, mut ordered) = (0, 0);
    for name in aliases.chain(names) {
        let Some(theirs) = tool("modprobe", &["-b", "-S", &release, "--show-depends", "--", &name]) else {
            if compared == 0 && tool("modprobe", &["--version"]).is_none() {
                return skipped("no modprobe");
            }
            continue;
        };
        let mut theirs: Vec<_> = theirs
            .lines()
            .filter_map(|line| line.strip_prefix("insmod ")?.split_once("/modules/"))
            .map(|(_, path)| path.split(' ').next().unwrap().to_owned())
            .collect();
        let plan = modules.plan(name.as_bytes());
        let mut ours: Vec<_> = plan
            .iter()
            .map(|step| step.path.to_str().unwrap().split_once("/modules/").unwrap().1)
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect();
        // Each of several modules brings what it needs: what is there already is named again.
        let mut seen = std::collections::BTreeSet::new();
        theirs.retain(|path| seen.insert(path.clone()));
        ordered += usize::from(ours == theirs);
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{name}");
        compared += 1;
    }
    println!("{compared} compared, {ordered} in the same order");
    assert!(
        compared > 20 && ordered * 20 >= compared * 19,
        "{compared} compared, {ordered} in the same order"
    );
}
