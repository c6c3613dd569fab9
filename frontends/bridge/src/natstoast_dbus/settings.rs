//! What natstoast-dbus is told, on its command line.

use lunix::bus::Options;
use lunix::cli::{BASIC, Command, DAEMON, Flag, Hint, Matches, NATS, Style};
use lunix::config;
use lunix::log::{self, Level};

use super::NAME;
use crate::start::Wrong;

/// The command line of `natstoast-dbus`.
pub static COMMAND: Command = Command {
    name: NAME,
    about: "notifications of desktops are toasts: org.freedesktop.Notifications on the session bus",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["own"],
                value: None,
                help: "be the session's notification server, or fail if there is one that does not give way",
                hint: Hint::None,
            },
            Flag {
                names: &["forward"],
                value: None,
                help: "never be the notification server, and show toasts by the one that there is",
                hint: Hint::None,
            },
        ],
        NATS,
        DAEMON,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "Where the session has no notification server, it is one: what programs show, such as notify-send, is a toast, and they \
         hear what becomes of it. Where there is one, toasts are shown by that, and what people do to them there is said on NATS. \
         It takes over when that one goes, and gives way to one that wants its place.",
        "The session bus is that of $DBUS_SESSION_BUS_ADDRESS, else $XDG_RUNTIME_DIR/bus. Without one, and when it goes away, \
         natstoast-dbus ends with 1.",
    ],
    commands: &[],
    examples: &[
        ("natstoast-dbus", "beside a natstoast at the server of this machine"),
        (
            "natstoast-dbus --forward --nats nats://board.local:4222",
            "show the toasts of a board on this desktop",
        ),
    ],
};

/// Whether it is a server or a client on the session bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A server where there is none, and a client where there is one.
    Either,
    Server,
    Client,
}

/// What it is told.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) bus: Options,
    pub(super) role: Role,
}

impl Settings {
    /// What the command line says, and the file that it names, which has no keys yet.
    ///
    /// # Errors
    /// What is wrong with either.
    pub(super) fn from_matches(matches: &Matches) -> Result<Self, Wrong> {
        if let Some(level) = matches.text("log")?.and_then(Level::from_name) {
            log::set_level(level);
        }
        let mut bus = Options::from_matches(NAME, matches)?;
        bus.description = COMMAND.about;
        // What people did while the server was away: some thousand answers.
        bus.pending = 256 << 10;
        if let Some(path) = matches.path("config") {
            for remark in config::read(path)?.finish()? {
                log::line(Level::Warn, NAME, remark);
            }
        }
        let role = match (matches.has("own"), matches.has("forward")) {
            (true, true) => return Err(matches.error("--own: expected without --forward").into()),
            (true, false) => Role::Server,
            (false, true) => Role::Client,
            (false, false) => Role::Either,
        };
        Ok(Self { bus, role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(args: &[&str]) -> Result<Role, String> {
        let matches = COMMAND.try_parse(args.iter().map(Into::into)).map_err(|error| error.to_string())?;
        Settings::from_matches(&matches).map(|settings| settings.role).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn roles() {
        assert_eq!(role(&[]), Ok(Role::Either));
        assert_eq!(role(&["--own"]), Ok(Role::Server));
        assert_eq!(role(&["--forward"]), Ok(Role::Client));
        assert!(role(&["--own", "--forward"]).unwrap_err().contains("--own: expected without --forward"));
        assert!(role(&["--config", "/nowhere/natstoast.conf"]).is_err());
    }
}
