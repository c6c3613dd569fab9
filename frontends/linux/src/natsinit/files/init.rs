//! What PID 1 does before the first service and after the last.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::read::environment;
use super::values::{self, table, take};
use crate::config::{Section, Value};

/// PID 1's settings, every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitSettings {
    /// The machine's name; without one what `/etc/hostname` says, else the kernel's.
    pub(crate) hostname: Option<String>,
    /// The folder of the services' definitions.
    pub(crate) services: PathBuf,
    /// Where PID 1 says what it does.
    pub(crate) console: Console,
    /// Mounted in this order after `/proc`, `/sys`, `/dev`, `/run` and what belongs in them; one with the target of those
    /// replaces it.
    pub(crate) mounts: Vec<Mount>,
    /// `kernel.panic` or `net/ipv4/ip_forward`, and the value as it is written.
    pub(crate) sysctl: Vec<(String, String)>,
    /// Loaded in this order.
    pub(crate) modules: Vec<Module>,
    /// Network interfaces, which are there when the modules are loaded.
    pub(crate) interfaces: Vec<Interface>,
    /// The hardware's watchdog; `None` leaves it alone.
    pub(crate) watchdog: Option<Watchdog>,
    /// Called with the source of each mount that wants to be checked; empty for none.
    pub(crate) fsck: Vec<String>,
    /// The root becomes writable after it was checked.
    pub(crate) writable_root: bool,
    /// What time it is before anybody knows.
    pub(crate) clock: Clock,
    /// Credited to the kernel's pool at the start, written anew at the end.
    pub(crate) random_seed: Option<PathBuf>,
    /// What runs on the console where boot cannot go on, and for `emergency` on the kernel's command line.
    pub(crate) emergency: Vec<String>,
    /// What the three keys do.
    pub(crate) ctrl_alt_del: CtrlAltDel,
    /// From the wish to go down until what still runs is killed.
    pub(crate) shutdown_timeout: Duration,
    /// Variables that every service has.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Where PID 1 says what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Console {
    /// A terminal.
    pub(crate) device: PathBuf,
    /// The kernel's messages less important than this (0 to 8) do not get there; `None` leaves it as it is.
    pub(crate) kernel_level: Option<u8>,
}

/// A file system to mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// A device (by path, `LABEL=` or `UUID=`), or any word for file systems without one.
    pub(crate) source: String,
    /// An absolute path; it is made if it is not there.
    pub(crate) target: PathBuf,
    /// The kernel's name of the file system.
    pub(crate) kind: String,
    /// As `mount -o` has them.
    pub(crate) options: Vec<String>,
    /// `fsck` is called first.
    pub(crate) check: bool,
    /// Boot goes on without it.
    pub(crate) optional: bool,
}

/// A module of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its name, or an alias.
    pub(crate) name: String,
    /// `num_devices=1`, several with spaces; may be empty.
    pub(crate) options: String,
}

/// A network interface with a fixed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The kernel's name of it.
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    /// So many bits of the address are its network's.
    pub(crate) prefix: u8,
    /// Who leads to other networks.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// The hardware's watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watchdog {
    /// `/dev/watchdog`
    pub(crate) device: PathBuf,
    /// Unfed for so long it resets the machine; it is fed at a third of that. Whole seconds.
    pub(crate) timeout: Duration,
}

/// What time it is before anybody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The clock of the hardware, in UTC; `None` for a board without one.
    pub(crate) device: Option<PathBuf>,
    /// Time never starts before the change of this file, which is touched at the end.
    pub(crate) file: Option<PathBuf>,
}

/// What the keys Ctrl, Alt and Del do together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CtrlAltDel {
    /// Stop all services, then start the machine again.
    #[default]
    Reboot,
    /// Stop all services, then switch it off.
    PowerOff,
    Nothing,
}

impl Default for InitSettings {
    fn default() -> Self {
        Self {
            hostname: None,
            services: super::SERVICES.into(),
            console: Console { device: "/dev/console".into(), kernel_level: None },
            mounts: Vec::new(),
            sysctl: Vec::new(),
            modules: Vec::new(),
            interfaces: Vec::new(),
            watchdog: None,
            fsck: Vec::new(),
            writable_root: false,
            clock: Clock { device: Some("/dev/rtc0".into()), file: None },
            random_seed: None,
            emergency: vec!["/bin/sh".into()],
            ctrl_alt_del: CtrlAltDel::default(),
            shutdown_timeout: Duration::from_secs(30),
            environment: BTreeMap::from([(
                "PATH".into(),
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            )]),
        }
    }
}

/// The settings of a file. What is wrong is noted in the section, and as if it were not there.
pub(super) fn settings(file: &mut Section) -> InitSettings {
    let usual = InitSettings::default();
    let off = |value: &Value| value.is_off();
    InitSettings {
        hostname: take(file, "hostname", hostname),
        services: take(file, "services", values::path).unwrap_or(usual.services),
        console: {
            let mut console = usual.console;
            table(file, "console", |section| {
                if let Some(device) = take(section, "device", values::path) {
                    console.device = device;
                }
                let level = section.integer(&["kernel_level"], 0, 8);
                console.kernel_level = level.and_then(|level| u8::try_from(level).ok());
            });
            console
        },
        mounts: take(file, "mount", |value| values::list(value, "[[mount]] tables", mount))
            .unwrap_or_default(),
        sysctl: table(file, "sysctl", |section| {
            let mut pairs = Vec::new();
            for value in section.take_all() {
                sysctl(value, String::new(), &mut pairs);
            }
            pairs
        }),
        modules: take(file, "modules", |value| {
            values::list(value, "[\"loop\", \"zram num_devices=1\"]", module)
        })
        .unwrap_or_default(),
        interfaces: take(file, "interface", |value| values::list(value, "[[interface]] tables", interface))
            .unwrap_or_default(),
        watchdog: take(file, "watchdog", watchdog),
        fsck: take(file, "fsck", |value| if off(&value) { Some(Vec::new()) } else { values::words(value) })
            .unwrap_or(usual.fsck),
        writable_root: file.truth(&["writable_root"]).unwrap_or(usual.writable_root),
        clock: {
            let mut clock = usual.clock;
            table(file, "clock", |section| {
                if let Some(value) = section.take(&["device"]) {
                    clock.device = if off(&value) { None } else { values::path(value) };
                }
                clock.file = take(section, "file", values::path);
            });
            clock
        },
        random_seed: take(file, "random_seed", values::path),
        emergency: take(file, "emergency", values::words).unwrap_or(usual.emergency),
        ctrl_alt_del: take(file, "ctrl_alt_del", |value| {
            value.parsed("\"reboot\", \"poweroff\" or \"nothing\"", |text| match text {
                "reboot" => Some(CtrlAltDel::Reboot),
                "poweroff" => Some(CtrlAltDel::PowerOff),
                "nothing" => Some(CtrlAltDel::Nothing),
                _ => None,
            })
        })
        .unwrap_or_default(),
        shutdown_timeout: take(file, "shutdown_timeout", values::duration(Duration::from_secs(1)))
            .unwrap_or(usual.shutdown_timeout),
        environment: {
            let mut variables = usual.environment;
            variables.extend(table(file, "environment", environment));
            variables
        },
    }
}

/// As sethostname(2) takes it.
fn hostname(value: Value) -> Option<String> {
    value.parsed("a name of at most 64 letters, digits, '-' and '.'", |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['-', '.']);
        fits.then(|| text.to_owned())
    })
}

fn mount(value: Value) -> Option<Mount> {
    let mut table = value.block()?;
    let mut required = |key, example| required(&mut table, key, example);
    let source = required("source", "a device, such as \"/dev/sda1\"").and_then(values::text);
    let target = required("target", "a folder, such as \"/data\"").and_then(values::path);
    let kind = required("type", "a file system, such as \"ext4\"").and_then(values::text);
    let options = take(&mut table, "options", values::texts).unwrap_or_default();
    let check = table.truth(&["check"]).unwrap_or_default();
    let optional = table.truth(&["optional"]).unwrap_or_default();
    table.end();
    Some(Mount { source: source?, target: target?, kind: kind?, options, check, optional })
}

/// `"kernel.panic" = 10`, `kernel.panic = 10` and `[sysctl.kernel] panic = 10` alike. Each part is a part of a path below
/// /proc/sys, and none leads out of there.
fn sysctl(value: Value, above: String, pairs: &mut Vec<(String, String)>) {
    let key = value.key();
    let parts = key.split(['/', '.']);
    if key.is_empty() || parts.clone().any(|part| part.is_empty()) || key.contains('\0') {
        value.note("expected a name below /proc/sys, such as kernel.panic");
        return;
    }
    let name = if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
    if value.is_block() {
        for value in value.block().map(|mut inner| inner.take_all()).unwrap_or_default() {
            sysctl(value, name.clone(), pairs);
        }
        return;
    }
    let text = value.parsed("a value", |text| {
        Some(match text {
            "true" => "1".to_owned(),
            "false" => "0".to_owned(),
            text => text.to_owned(),
        })
    });
    if let Some(text) = text {
        pairs.push((name, text));
    }
}

fn module(value: Value) -> Option<Module> {
    let text = values::text(value.clone())?;
    let (name, options) = text.split_once(' ').unwrap_or((&text, ""));
    if name.is_empty() || name.contains('/') {
        value.wrong("a module and its options, such as \"zram num_devices=1\"");
        return None;
    }
    Some(Module { name: name.to_owned(), options: options.trim().to_owned() })
}

fn interface(value: Value) -> Option<Interface> {
    const ADDRESS: &str = "an address and the bits of its network, such as \"10.0.2.15/24\"";
    let mut table = value.block()?;
    let name = required(&mut table, "name", "an interface, such as \"eth0\"").and_then(values::text);
    let address = required(&mut table, "address", ADDRESS).and_then(|value| {
        value.parsed(ADDRESS, |text| {
            let (address, prefix) = text.split_once('/')?;
            Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
        })
    });
    let gateway = take(&mut table, "gateway", |value| {
        value.parsed("an address, such as \"10.0.2.2\"", |text| text.parse().ok())
    });
    table.end();
    let (address, prefix) = address?;
    Some(Interface { name: name?, address, prefix, gateway })
}

fn required(table: &mut Section, key: &'static str, example: &str) -> Option<Value> {
    let value = table.take(&[key]);
    if value.is_none() {
        table.note(format_args!("{key}: expected {example}, found nothing"));
    }
    value
}

fn watchdog(value: Value) -> Option<Watchdog> {
    if value.is_off() && !value.is_block() {
        return None;
    }
    let mut table = value.block()?;
    let device = take(&mut table, "device", values::path).unwrap_or_else(|| "/dev/watchdog".into());
    let timeout = table.duration(&["timeout"], Duration::from_secs(1), Duration::from_secs(3600));
    table.end();
    Some(Watchdog { device, timeout: timeout.unwrap_or(Duration::from_secs(30)) })
}

#[cfg(test)]
mod tests;
