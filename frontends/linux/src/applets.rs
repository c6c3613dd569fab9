//! What the multi-call program can be: the daemons, the commands of `lunix`, and tools of others that scripts call.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{Command, Matches};

/// A program in the program.
#[derive(Debug)]
pub struct Applet {
    /// Its table; `command.name` is the name it is called by.
    pub command: &'static Command,
    /// What it does.
    pub run: fn(&Matches) -> ExitCode,
}

/// The daemons: each also works under its own name, as a symlink to `lunix`.
pub const DAEMONS: &[Applet] = &[
    #[cfg(feature = "natsd")]
    Applet { command: &crate::natsd::COMMAND, run: crate::natsd::run },
    #[cfg(feature = "natsdev")]
    Applet { command: &crate::natsdev::COMMAND, run: crate::natsdev::run },
    #[cfg(feature = "natsinit")]
    Applet { command: &crate::natsinit::COMMAND, run: crate::natsinit::run },
    #[cfg(feature = "natsmount")]
    Applet { command: &crate::natsmount::COMMAND, run: crate::natsmount::run },
    #[cfg(feature = "natstoast")]
    Applet { command: &crate::natstoast::COMMAND, run: crate::natstoast::run },
];

/// The program that other protocols come by.
pub const BRIDGE: &str = "lunix-bridge";

/// Where it is, if it is beside ours.
pub fn bridge() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name(BRIDGE);
    beside.is_file().then_some(beside)
}

/// The commands for people: `lunix NAME …`.
pub const COMMANDS: &[Applet] = &[
    #[cfg(feature = "natsinit")]
    Applet { command: &crate::natsinit::power::REEXEC, run: crate::natsinit::power::reexec },
    #[cfg(all(feature = "commands", feature = "natsinit"))]
    Applet { command: &crate::up::COMMAND, run: crate::up::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::watch::COMMAND, run: crate::ctl::watch::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::devices::COMMAND, run: crate::ctl::devices::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::services::COMMAND, run: crate::ctl::services::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::top::COMMAND, run: crate::ctl::top::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::boot::COMMAND, run: crate::ctl::boot::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::sub::COMMAND, run: crate::ctl::sub::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::pub_::COMMAND, run: crate::ctl::pub_::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::req::COMMAND, run: crate::ctl::req::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::ctl::toast::COMMAND, run: crate::ctl::toast::run },
    #[cfg(feature = "bench")]
    Applet { command: &crate::ctl::bench::COMMAND, run: crate::ctl::bench::run },
    #[cfg(feature = "import-unit")]
    Applet { command: &crate::ctl::import_unit::COMMAND, run: crate::ctl::import_unit::run },
    #[cfg(feature = "upgrade")]
    Applet { command: &crate::upgrade::COMMAND, run: crate::upgrade::run },
    #[cfg(feature = "commands")]
    Applet { command: &crate::schema::COMMAND, run: crate::schema::run },
];

/// What scripts call by the name that others gave to it: each also works as a symlink to `lunix`.
pub const TOOLS: &[Applet] = &[
    #[cfg(feature = "natsinit")]
    Applet { command: &crate::natsinit::power::POWEROFF, run: crate::natsinit::power::poweroff },
    #[cfg(feature = "natsinit")]
    Applet { command: &crate::natsinit::power::REBOOT, run: crate::natsinit::power::reboot },
    #[cfg(feature = "natsinit")]
    Applet { command: &crate::natsinit::power::HALT, run: crate::natsinit::power::halt },
    #[cfg(feature = "natsinit")]
    Applet { command: &crate::natsinit::power::SHUTDOWN, run: crate::natsinit::power::shutdown },
    #[cfg(feature = "mdev")]
    Applet { command: &crate::natsdev::mdev::command::COMMAND, run: crate::natsdev::mdev::command::run },
    #[cfg(feature = "udevadm")]
    Applet { command: &crate::natsdev::udevadm::COMMAND, run: crate::natsdev::udevadm::run },
];

/// The applet called `name`.
pub fn find(name: &str) -> Option<&'static Applet> {
    DAEMONS.iter().chain(COMMANDS).chain(TOOLS).find(|applet| applet.command.name == name)
}
