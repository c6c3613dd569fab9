use std::path::Path;

use super::*;

fn read(text: &str) -> (InitSettings, Vec<String>) {
    let (settings, mistakes) = super::super::init_settings(Path::new("init.toml"), text);
    (settings, mistakes.iter().map(ToString::to_string).collect())
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(read(""), (InitSettings::default(), Vec::new()));
    let (settings, mistakes) = super::super::load_init(Path::new("/nonexistent/init.toml"));
    assert_eq!((settings, mistakes.len()), (InitSettings::default(), 0));
}

#[test]
fn everything_that_the_file_can_say() {
    let text = include_str!("../../../../../../docs/services.md");
    let example = text.split("```toml init\n").nth(1).unwrap().split("```").next().unwrap();
    let (it, mistakes) = read(example);
    assert_eq!(mistakes, [""; 0]);
    assert_eq!(it.hostname.as_deref(), Some("kitchen"));
    assert_eq!(it.console.device, Path::new("/dev/ttyS0"));
    assert_eq!(it.mounts.len(), 2);
    assert_eq!(it.mounts[0].target, Path::new("/data"));
    assert!(it.mounts[0].check && it.mounts[0].optional);
    assert_eq!(
        it.sysctl,
        [("kernel.panic".to_owned(), "10".to_owned()), ("net/ipv4/ip_forward".to_owned(), "1".to_owned())]
    );
    assert_eq!(it.modules[1], Module { name: "zram".into(), options: "num_devices=1".into() });
    assert_eq!(it.watchdog.unwrap().timeout, Duration::from_secs(20));
    let address = "192.168.1.7".parse().unwrap();
    let gateway = "192.168.1.1".parse().ok();
    assert_eq!(it.interfaces, [Interface { name: "eth0".into(), address, prefix: 24, gateway }]);
    assert_eq!(it.fsck, ["fsck", "-p"]);
    assert!(it.writable_root);
    assert_eq!(it.ctrl_alt_del, CtrlAltDel::PowerOff);
    assert_eq!(it.environment["TZ"], "UTC");
    assert!(it.environment.contains_key("PATH"));
}

#[test]
fn what_is_wrong_is_as_if_it_were_not_there() {
    let text = "hostname = 'a b'\nshutdown_timeout = 'soon'\nwritable_root = true\n[sysctl]\n\"../x\" = 1\n\
                kernel.panic = 5\n[[mount]]\nsource = 'a'\ntarget = 'data'\n[watchdgo]\n\
                [[interface]]\nname = 'eth0'\naddress = '10.0.2.15/33'\n";
    let (it, mistakes) = read(text);
    assert_eq!(
        mistakes,
        [
            "init.toml:1:12: hostname: expected a name of at most 64 letters, digits, '-' and '.', found \"a b\"",
            "init.toml:2:20: shutdown_timeout: expected a duration from 1s to 31536000s, such as 30s, found \"soon\"",
            "init.toml:5:10: ../x: expected a name below /proc/sys, such as kernel.panic",
            "init.toml:7:1: mount: type: expected a file system, such as \"ext4\", found nothing",
            "init.toml:9:10: target: expected an absolute path, found \"data\"",
            "init.toml:10:2: watchdgo: unknown key, did you mean 'watchdog'?",
            "init.toml:13:11: address: expected an address and the bits of its network, such as \"10.0.2.15/24\", found \"10.0.2.15/33\"",
        ]
    );
    let expected = InitSettings {
        writable_root: true,
        sysctl: vec![("kernel.panic".into(), "5".into())],
        ..InitSettings::default()
    };
    assert_eq!(it, expected);
}
