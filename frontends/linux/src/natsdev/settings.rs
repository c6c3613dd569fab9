//! What natsdev is told on its command line.

use std::path::{Path, PathBuf};

use lunix_core::device::usb::Config;
use lunix_core::time::Duration;

use super::{NAME, PENDING, control, device};
use crate::bus::Options;
use crate::cli::{Argument, BASIC, Command, DAEMON, Flag, Hint, Matches, NATS, Style, UsageError};
use crate::log::{self, Level};

/// The command line of `natsdev`.
pub static COMMAND: Command = Command {
    name: NAME,
    about: "hotplug: kernel uevents and devices that are ready, over NATS",
    arguments: &[
        Argument {
            name: "COMMAND",
            help: "test: only say what the rules make of a device; test-builtin: what a built-in finds; hwdb: make the \
                   table of hardware, or ask it; trigger: have the kernel speak of a device, or of all; settle: wait until \
                   all that has happened is handled",
            required: false,
            many: false,
            hint: Hint::OneOf(&["test", "test-builtin", "hwdb", "trigger", "settle"]),
        },
        Argument {
            name: "DEVPATH",
            help: "the device, as it is called below /sys; before it, with `test-builtin`, the built-in; with `hwdb`, \
                   `update` or `query`",
            required: false,
            many: false,
            hint: Hint::Folder,
        },
        Argument {
            name: "ARGUMENT",
            help: "with `test-builtin` the device, with `hwdb query` a MODALIAS",
            required: false,
            many: false,
            hint: Hint::None,
        },
    ],
    flags: &[
        NATS,
        &[
            Flag {
                names: &["rules"],
                value: Some("FOLDER"),
                help: "where udev's rules are; several times, the one first whose files hide others of the same \
                       name [/etc/udev/rules.d, /run/…, /usr/local/lib/…, /usr/lib/…]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["mdev-conf"],
                value: Some("FILE"),
                help: "handle devices by an mdev.conf, as busybox's mdev has it, and not by udev's rules",
                hint: Hint::File,
            },
            Flag {
                names: &["skip-mistakes"],
                value: None,
                help: "leave out lines of rules, or of texts for `hwdb`, that are wrong, as udev does, and refuse not all of \
                       them",
                hint: Hint::None,
            },
            Flag {
                names: &["action"],
                value: Some("ACTION"),
                help: "with `test`: what the kernel is supposed to say; with `trigger`: what it is asked to [add]",
                hint: Hint::OneOf(&[
                    "add", "remove", "change", "move", "online", "offline", "bind", "unbind",
                ]),
            },
            Flag {
                names: &["timeout"],
                value: Some("SECONDS"),
                help: "with `settle`: how long to wait [120]",
                hint: Hint::None,
            },
            Flag {
                names: &["apply"],
                value: None,
                help: "with `test`: do it, too: node, owner, links, database, programs",
                hint: Hint::None,
            },
            Flag {
                names: &["root"],
                value: Some("FOLDER"),
                help: "the folder that holds sys, dev, run, proc and etc, for rules [/]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["manage"],
                value: Some("WHETHER"),
                help: "do what rules want of devices: nodes, owners, links, modules, programs [auto: as root, where the \
                       kernel keeps /dev and no udevd is running]",
                hint: Hint::OneOf(&["auto", "yes", "no"]),
            },
            Flag {
                names: &["settle"],
                value: None,
                help: "be ready, for who supervises, only when all devices are handled that were there at the start, and \
                       not as soon as requests are answered",
                hint: Hint::None,
            },
            Flag {
                names: &["coldplug"],
                value: Some("HOW"),
                help: "devices that are there at the start: ask the kernel to say `add` of them again, or only \
                       read /sys [auto: ask if permitted and no udevd is running]",
                hint: Hint::OneOf(&["auto", "trigger", "scan"]),
            },
            Flag {
                names: &["rcvbuf"],
                value: Some("BYTES"),
                help: "room for events that are not read yet [1048576]",
                hint: Hint::None,
            },
            Flag {
                names: &["ready-timeout"],
                value: Some("SECONDS"),
                help: "announce a USB device with what it has after this long [10]",
                hint: Hint::None,
            },
            Flag {
                names: &["probe-timeout"],
                value: Some("SECONDS"),
                help: "how long a volume may take to say what it holds [5]",
                hint: Hint::None,
            },
            Flag {
                names: &["max-devices"],
                value: Some("N"),
                help: "how many devices to keep in mind at most [half as many again as at the start, and 256]",
                hint: Hint::None,
            },
            Flag {
                names: &["max-usb"],
                value: Some("N"),
                help: "how many of them may be USB devices [64]",
                hint: Hint::None,
            },
            Flag {
                names: &["sysfs"],
                value: Some("FOLDER"),
                help: "where sysfs is mounted [/sys]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["dev"],
                value: Some("FOLDER"),
                help: "where device nodes are [/dev]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["probe-volume"],
                value: Some("NODE"),
                help: "only print what file system a volume or an image holds, as JSON",
                hint: Hint::File,
            },
            Flag {
                names: &["udev"],
                value: None,
                help: "with `--probe-volume`: as udev's properties, and what stands in tables of partitions",
                hint: Hint::None,
            },
        ],
        DAEMON,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "It publishes uevent.SUBSYSTEM.ACTION for every event of the kernel as it came, hardware.CLASS.add, remove and \
         change for every device, and hardware.usb.add once per USB device, when its drivers and volumes are there. \
         uevent.lost says that the kernel dropped events; what changed meanwhile is read from /sys and said.",
        "It answers hardware.list, hardware.CLASS.list, hardware.trigger with an optional {subsystem, devpath}, and \
         natsdev.stats. After a reconnect all that is present is said again, with \"again\": true.",
        "Root is needed for coldplug by the kernel and to read volumes, for nothing else.",
    ],
    commands: &[],
    examples: &[
        ("natsdev", "on the server of this machine"),
        ("natsdev --nats nats://10.0.0.7:4222", "on another one"),
        ("natsdev --probe-volume /dev/sdb1", "what is on this stick?"),
        ("natsdev test /class/mem/null", "which rules are about this device?"),
        ("natsdev test-builtin path_id /class/net/eth0", "where is it attached?"),
        ("natsdev trigger && natsdev settle", "handle all devices again"),
        ("natsdev hwdb update", "make the table of what is known of hardware"),
        ("natsdev --check-config --rules ./rules.d", "are these rules right?"),
        ("natsdev --mdev-conf /etc/mdev.conf", "on a machine that has had busybox's mdev"),
    ],
};

/// What natsdev is told.
pub(super) struct Settings {
    pub(super) bus: Options,
    pub(super) coldplug: Coldplug,
    pub(super) rcvbuf: usize,
    pub(super) usb: Config,
    pub(super) probe_timeout: Duration,
    pub(super) max_devices: Option<usize>,
    pub(super) max_usb: usize,
    pub(super) sysfs: PathBuf,
    pub(super) dev: PathBuf,
    pub(super) manage: bool,
    /// Ready is who knows all devices that were there at the start.
    pub(super) settle: bool,
    /// Where the database, the table of hardware and udevd are; none beside a made-up /sys.
    pub(super) root: Option<device::Root>,
}

/// How the devices become known that are there at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coldplug {
    /// Synthetic events: everybody who listens to the kernel hears them.
    Trigger,
    /// A look at /sys, which nobody notices.
    Scan,
}

/// The most devices of any kind: what the JSON of a list can hold sets in before.
pub(super) const MAX_DEVICES: usize = 1 << 20;
const MAX_USB: usize = 4096;

impl Settings {
    /// From the command line.
    ///
    /// # Errors
    /// The first flag or file that is wrong.
    pub(super) fn from_matches(matches: &Matches) -> Result<Self, UsageError> {
        if let Some(level) = matches.text("log")?.and_then(Level::from_name) {
            log::set_level(level);
        }
        matches.without_settings()?;
        if matches.has("mdev-conf") && matches.has("rules") {
            return Err(matches.error("--mdev-conf: expected without --rules: it is one or the other"));
        }
        let number = |key, max: usize, default: usize| {
            let expected = format!("a number from 1 to {max}");
            let value: Option<usize> = matches.parsed(key, &expected)?;
            match value {
                Some(value) if value == 0 || value > max => {
                    Err(matches.wrong(key, &expected, &value.to_string()))
                }
                value => Ok(value.unwrap_or(default)),
            }
        };
        let seconds =
            |key, default| number(key, 3600, default).map(|value| Duration::from_secs(value as u64));
        let mut bus = Options::from_matches(NAME, matches)?;
        bus.description = "hardware events and devices";
        bus.pending = PENDING;
        let path =
            |key, default: &str| matches.path(key).map_or_else(|| PathBuf::from(default), Path::to_path_buf);
        Ok(Self {
            bus,
            coldplug: match matches.text("coldplug")? {
                Some("trigger") => Coldplug::Trigger,
                Some("scan") => Coldplug::Scan,
                // Where udevd runs, it would handle every device again. A folder of another name may be no sysfs.
                _ if rustix::process::geteuid().is_root()
                    && !matches.has("sysfs")
                    && !control::is_answered(Path::new("/run/udev/control")) =>
                {
                    Coldplug::Trigger
                }
                _ => Coldplug::Scan,
            },
            rcvbuf: number("rcvbuf", 1 << 30, 1 << 20)?,
            usb: Config { ready: seconds("ready-timeout", 10)?, ..Config::default() },
            probe_timeout: seconds("probe-timeout", 5)?,
            max_devices: match matches.has("max-devices") {
                true => Some(number("max-devices", MAX_DEVICES, 1)?),
                false => None,
            },
            max_usb: number("max-usb", MAX_USB, 64)?,
            settle: matches.has("settle"),
            manage: match matches.text("manage")? {
                Some("yes") => true,
                Some("no") => false,
                _ if matches.has("mdev-conf") => true,
                _ => {
                    rustix::process::geteuid().is_root()
                        && !matches.has("sysfs")
                        && !control::is_answered(Path::new("/run/udev/control"))
                        && device::Root::new(Path::new("/")).kernel_makes_nodes()
                }
            },
            root: match matches.path("root") {
                Some(root) => Some(device::Root::new(root)),
                None => (!matches.has("sysfs")).then(|| device::Root::new(Path::new("/"))),
            },
            sysfs: path("sysfs", "/sys"),
            dev: path("dev", "/dev"),
        })
    }
}
