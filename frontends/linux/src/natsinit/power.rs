//! `poweroff`, `reboot`, `halt`, `shutdown`: the machine's end, asked of its first process by a signal, or, for a machine that
//! is reached over NATS, on the bus. And `lunix reexec`, by which the first process executes itself anew.

use std::process::ExitCode;

use super::boot::end::{self, Ending};
use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, NATS, Style};
use crate::escaped::Escaped;
use crate::log::{self, Level};
use crate::sys::machine::{real_time_signal, signal_first};

const FORCE: &[Flag] = &[Flag {
    names: &["force", "f"],
    value: None,
    help: "at once: nothing is stopped, only what is written is written out",
    hint: Hint::None,
}];

const DETAILS: &[&str] = &[
    "Services are stopped in the reverse order of their needs, then everything else, then what is mounted is let go.",
    "With --nats it is the machine of that server, if its rules let us.",
];

/// `poweroff`
pub static POWEROFF: Command = command("poweroff", "stop everything and switch the machine off");
/// `reboot`
pub static REBOOT: Command = command("reboot", "stop everything and start the machine anew");
/// `halt`
pub static HALT: Command = command("halt", "stop everything and leave the machine on");

const fn command(name: &'static str, about: &'static str) -> Command {
    Command {
        name,
        about,
        arguments: &[],
        flags: &[FORCE, NATS, BASIC],
        of: None,
        style: Style::Gnu,
        details: DETAILS,
        commands: &[],
        examples: &[],
    }
}

/// `shutdown`
pub static SHUTDOWN: Command = Command {
    name: "shutdown",
    about: "stop everything, and switch off, reboot or halt",
    arguments: &[Argument {
        name: "now",
        help: "the only time that there is; also +0",
        required: true,
        many: true,
        hint: Hint::None,
    }],
    flags: &[
        &[
            Flag {
                names: &["poweroff", "P", "h"],
                value: None,
                help: "switch off (without others)",
                hint: Hint::None,
            },
            Flag { names: &["reboot", "r"], value: None, help: "start anew", hint: Hint::None },
            Flag { names: &["halt", "H"], value: None, help: "leave it on", hint: Hint::None },
        ],
        NATS,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: DETAILS,
    commands: &[],
    examples: &[("shutdown -r now", "reboots")],
};

/// `lunix reexec`
pub static REEXEC: Command = Command {
    name: "reexec",
    about: "let natsinit execute itself anew; services run on",
    arguments: &[],
    flags: &[NATS, BASIC],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &["After an upgrade of the program. Without --nats it is PID 1 of this machine."],
    commands: &[],
    examples: &[],
};

/// Runs `poweroff`.
pub fn poweroff(matches: &Matches) -> ExitCode {
    ask(&POWEROFF, matches, Ending::PowerOff)
}

/// Runs `reboot`.
pub fn reboot(matches: &Matches) -> ExitCode {
    ask(&REBOOT, matches, Ending::Reboot)
}

/// Runs `halt`.
pub fn halt(matches: &Matches) -> ExitCode {
    ask(&HALT, matches, Ending::Halt)
}

/// Runs `shutdown`.
pub fn shutdown(matches: &Matches) -> ExitCode {
    let when = match matches.argument_text(0) {
        Ok(when) => when.unwrap_or_default(),
        Err(error) => return error.report(),
    };
    if !matches!(when, "now" | "+0") {
        return matches.error(format_args!("expected now, found '{}'", Escaped(when))).report();
    }
    let ending = match (matches.has("reboot"), matches.has("halt")) {
        (true, _) => Ending::Reboot,
        (_, true) => Ending::Halt,
        _ => Ending::PowerOff,
    };
    ask(&SHUTDOWN, matches, ending)
}

/// Runs `lunix reexec`.
pub fn reexec(matches: &Matches) -> ExitCode {
    if let Some(code) = on_the_bus(matches, "system.reexec") {
        return code;
    }
    signal(REEXEC.name, 25)
}

fn ask(command: &Command, matches: &Matches, ending: Ending) -> ExitCode {
    if matches.has("force") {
        rustix::fs::sync();
        end::tell(ending);
        // What could be told has not come back.
        return ExitCode::FAILURE;
    }
    let (subject, number) = match ending {
        Ending::Reboot => ("system.reboot", 5),
        Ending::Halt => ("system.halt", 3),
        _ => ("system.shutdown", 4),
    };
    on_the_bus(matches, subject).unwrap_or_else(|| signal(command.name, number))
}

/// Asks the machine of `--nats`, if it is given. How that ended.
fn on_the_bus(matches: &Matches, subject: &str) -> Option<ExitCode> {
    let url = matches.text("nats").ok()??;
    #[cfg(feature = "commands")]
    {
        let mut words = vec![subject, "--nats", url];
        for flag in ["creds", "nkey", "tlsca", "tlscert", "tlskey"] {
            if let Ok(Some(file)) = matches.text(flag) {
                words.extend([match flag {
                    "creds" => "--creds",
                    "nkey" => "--nkey",
                    "tlsca" => "--tlsca",
                    "tlscert" => "--tlscert",
                    _ => "--tlskey",
                }]);
                words.push(file);
            }
        }
        let words = words.into_iter().map(std::ffi::OsString::from);
        Some(match crate::ctl::req::COMMAND.parse(words) {
            Ok(matches) => crate::ctl::req::run(&matches),
            Err(code) => code,
        })
    }
    #[cfg(not(feature = "commands"))]
    {
        let _ = subject;
        Some(matches.error(format_args!("--nats {url}: this program was built without commands")).report())
    }
}

/// Sends PID 1 the real-time signal of this number, which natsinit and systemd understand alike.
fn signal(name: &str, number: i32) -> ExitCode {
    match signal_first(real_time_signal(number)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(Level::Error, name, format_args!("PID 1 cannot be told: {error}"));
            ExitCode::FAILURE
        }
    }
}
