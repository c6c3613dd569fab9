//! natsinit as process 1: what `init.toml` makes of the machine before the first service, as far as namespaces have it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod init_rig;

use init_rig::{Setup, skipped};

/// A modprobe of our own, in front of the machine's.
const MODPROBE: &str = r#"
mount -t tmpfs none usr/local/sbin
printf '#!/bin/sh\necho "$@" >> /shared/modules\n[ "$1" != broken ] || exit 7\n' > usr/local/sbin/modprobe
chmod 755 usr/local/sbin/modprobe
"#;

const SETTINGS: &str = r#"
hostname = "kitchen"
modules = ["dummy numdummies=2", "broken"]
fsck = ["/shared/fsck.sh", "-p"]
watchdog = { device = "/dev/no-dog" }

[environment]
TZ = "UTC"

[sysctl]
net.ipv4.ip_forward = true
"net/ipv4/no_such_key" = 1

[[mount]]
source = "tmpfs"
target = "/var/small"
type = "tmpfs"
options = ["size=64k", "nosuid", "ro"]
check = true

[[mount]]
source = "/dev/no-disk"
target = "/var/perhaps"
type = "ext4"
optional = true

[[mount]]
source = "/dev/no-disk"
target = "/var/missing"
type = "ext4"
"#;

const LOOK: &str = r#"
command = ["/shared/look.sh"]
type = "oneshot"
"#;

#[test]
fn the_machine_is_as_its_settings_say_before_the_first_service() {
    if skipped("the_machine_is_as_its_settings_say_before_the_first_service") {
        return;
    }
    let look = "cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward; echo $TZ\n\
        grep ' /var/' /proc/mounts | cut -d' ' -f1-4; cat /sys/class/net/lo/operstate 2>/dev/null; ls /var";
    let machine = Setup::new("settings")
        .init(SETTINGS)
        .before(MODPROBE)
        .script("fsck.sh", "echo \"$@\" >> /shared/checked\nexit 1")
        .script("look.sh", &format!("{{ {look}; }} > /shared/seen"))
        .service("look", LOOK)
        .boot();
    let mut bus = machine.bus();
    bus.is("look", "ready");
    let seen = machine.read("seen");
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..3], ["kitchen", "1", "UTC"], "{seen}");
    let mount = lines
        .iter()
        .find(|line| line.starts_with("tmpfs /var/small tmpfs "))
        .unwrap_or_else(|| panic!("{seen}"));
    for option in ["ro,", "nosuid", "size=64k"] {
        assert!(mount.contains(option), "{mount}");
    }
    assert!(!lines.contains(&"missing") && !lines.contains(&"perhaps"), "{seen}");
    assert_eq!(machine.read("modules"), "dummy numdummies=2\nbroken\n");
    assert_eq!(machine.read("checked"), "-p tmpfs\n");
    // What cannot be is said, each in a line, and stops nothing.
    let lines = [
        "module broken: modprobe ended with 7",
        "net/ipv4/no_such_key: No such file or directory",
        "/var/missing: there is no /dev/no-disk",
        "watchdog /dev/no-dog: No such file or directory",
    ];
    let said = machine.says(&lines);
    for line in lines {
        assert_eq!(said.matches(line).count(), 1, "{line} in {said}");
    }
    assert!(!said.contains("perhaps") && !said.contains("tmpfs: the check"), "{said}");
}

#[test]
fn a_mistake_in_the_settings_is_named_and_stops_nothing() {
    if skipped("a_mistake_in_the_settings_is_named_and_stops_nothing") {
        return;
    }
    let machine = Setup::new("mistakes")
        .init("hostname = [7]\nmodule = [\"loop\"]\nctrl_alt_del = \"explode\"\n")
        .boot();
    let mut bus = machine.bus();
    bus.is("natsd", "ready");
    machine.says(&[
        "init.toml:1:12: hostname: ",
        "init.toml:2:1: module: ",
        "init.toml:3:16: ctrl_alt_del: ",
    ]);
}
