//! `mdev`, as scripts and the kernel call busybox's.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use super::apply::Machine;
use super::{Conf, USUAL};
use crate::cli::{BASIC, Command, Flag, Hint, Matches, Style, UsageError};
use crate::log::{self, Level};
use crate::natsdev;
use crate::natsdev::device::{Device, Root, limited, relative};
use crate::natsdev::effects::Number;
use crate::natsdev::links::Links;
use crate::natsdev::rules::evaluate::Time;
use crate::natsdev::sysfs::var;

const NAME: &str = "mdev";

/// The command line of `mdev`.
pub static COMMAND: Command = Command {
    name: NAME,
    about: "nodes of devices by /etc/mdev.conf, as busybox's mdev makes them",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["s"],
                value: None,
                help: "make the nodes of all devices that there are",
                hint: Hint::None,
            },
            Flag {
                names: &["d"],
                value: None,
                help: "with -f: be the daemon, natsdev --mdev-conf FILE",
                hint: Hint::None,
            },
            Flag { names: &["f"], value: None, help: "stay in the foreground", hint: Hint::None },
            Flag {
                names: &["conf"],
                value: Some("FILE"),
                help: "what is to become of devices [/etc/mdev.conf]",
                hint: Hint::File,
            },
            Flag {
                names: &["root"],
                value: Some("FOLDER"),
                help: "the folder that holds sys, dev and etc [/]",
                hint: Hint::Folder,
            },
        ],
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "Without flags it handles one event, which the kernel or a script puts into the environment: ACTION, DEVPATH, and \
         what else is known (SUBSYSTEM, DEVNAME, MAJOR, MINOR, MODALIAS, …). It does not wait for others that handle events: \
         the daemon has them in order.",
    ],
    commands: &[],
    examples: &[
        ("mdev -s", "at the start: the nodes of all devices"),
        ("echo /sbin/mdev > /proc/sys/kernel/hotplug", "have the kernel call it"),
        ("mdev -df", "or be there all the time"),
        ("natsdev --check-config --mdev-conf /etc/mdev.conf", "is the file right?"),
    ],
};

/// Runs `mdev`.
pub fn run(matches: &Matches) -> ExitCode {
    let root = Root::new(matches.path("root").unwrap_or(Path::new("/")));
    let path = matches.path("conf").map_or_else(|| root.path(USUAL), Path::to_path_buf);
    let wanted = match wanted(matches) {
        Ok(Wanted::Daemon) => return daemon(matches, &path),
        Ok(wanted) => wanted,
        Err(error) => return error.report(),
    };
    let conf = match Conf::read(&path, &root) {
        Ok(conf) => conf,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    let kernel_makes_nodes = root.kernel_makes_nodes();
    let inherited: Vec<_> =
        std::env::vars_os().map(|(key, value)| (key.into_vec(), value.into_vec())).collect();
    let environment: Vec<_> =
        inherited.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    let machine = Machine { root: &root, kernel_makes_nodes, environment: &environment };
    let mut code = ExitCode::SUCCESS;
    let mut wrong = |what: &str, error: std::io::Error| {
        log::line(Level::Error, NAME, format_args!("{what}: {error}"));
        code = ExitCode::FAILURE;
    };
    let mut handle = |device: &Device| {
        let _ = conf.apply(&machine, device, Time::Enough, &mut wrong);
    };
    match wanted {
        Wanted::Scan => scan(&machine, &mut handle),
        Wanted::Event(device) => handle(&known(&root, device)),
        Wanted::Daemon => {}
    }
    code
}

enum Wanted {
    Scan,
    Event(Device),
    Daemon,
}

fn wanted(matches: &Matches) -> Result<Wanted, UsageError> {
    match (matches.has("d"), matches.has("f"), matches.has("s")) {
        (true, true, _) => return Ok(Wanted::Daemon),
        (true, false, _) => {
            return Err(matches.error("-d: expected -f as well: whoever starts it has it in the background"));
        }
        (false, true, _) => return Err(matches.error("-f: expected -d as well")),
        (false, false, true) => return Ok(Wanted::Scan),
        (false, false, false) => {}
    }
    let mut properties: Vec<_> =
        std::env::vars_os().map(|(key, value)| (key.into_vec(), value.into_vec())).collect();
    let mut take = |key: &[u8]| {
        let at = properties.iter().position(|(known, _)| known == key);
        at.map(|at| properties.swap_remove(at).1).unwrap_or_default()
    };
    let (action, devpath, subsystem) = (take(b"ACTION"), take(b"DEVPATH"), take(b"SUBSYSTEM"));
    if action.is_empty() || devpath.is_empty() {
        return Err(matches.error("expected -s, or ACTION and DEVPATH in the environment (see --help)"));
    }
    Ok(Wanted::Event(Device { action, devpath, subsystem, properties }))
}

/// `natsdev` is the daemon.
fn daemon(matches: &Matches, path: &Path) -> ExitCode {
    let mut flags: Vec<OsString> = vec!["--mdev-conf".into(), path.into()];
    if let Some(root) = matches.path("root") {
        flags.extend(["--root".into(), root.into()]);
    }
    match natsdev::COMMAND.try_parse(flags) {
        Ok(matches) => natsdev::run(&matches),
        Err(error) => error.report(),
    }
}

/// With what /sys says of the device, where whoever calls did not say it. Without a number there it has no node.
fn known(root: &Root, mut device: Device) -> Device {
    let path = relative(&device.devpath);
    // The kernel never says such a path; whoever does is not to lead us elsewhere.
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return device;
    }
    let folder = root.sys().join(path);
    let says = |file: &str| limited(&folder.join(file), 4096).unwrap_or_default();
    if device.property(b"MAJOR").is_none() {
        let number = says("dev");
        let parts = number.trim_ascii().split(|byte| *byte == b':');
        let parts = [&b"MAJOR"[..], b"MINOR"].into_iter().zip(parts);
        device.properties.extend(parts.map(|(key, part)| (key.to_vec(), part.to_vec())));
    }
    if device.property(b"DEVNAME").is_none()
        && let Some(name) = var(&says("uevent"), b"DEVNAME")
    {
        device.properties.push((b"DEVNAME".to_vec(), name.to_vec()));
    }
    device
}

/// All devices with nodes, as if the kernel had just said that they are there.
fn scan(machine: &Machine<'_>, handle: &mut dyn FnMut(&Device)) {
    let is_root = |number: Number| machine.root_device() == Some((number.major, number.minor));
    for kind in ["block", "char"] {
        let folder = PathBuf::from("/dev").join(kind);
        let entries = fs::read_dir(machine.root.path("/sys").join(relative(folder.as_os_str().as_bytes())));
        let mut numbers: Vec<_> =
            entries.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        numbers.sort_unstable();
        for number in numbers {
            // It may have gone meanwhile.
            let Ok(device) = Device::read(machine.root, folder.join(number).as_os_str().as_bytes(), b"add")
            else {
                continue;
            };
            handle(&device);
            if kind == "block"
                && Number::of(&device).is_some_and(is_root)
                && let Some(node) = device.node()
                // A line may have given it another name.
                && fs::exists(machine.path(node)).is_ok_and(|exists| exists)
            {
                let _ = Links::new(machine.root).point(b"root", node);
            }
        }
    }
}
