//! `lunix up`: everything that this machine can do, and live events, until Ctrl-C.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::applets;
use crate::cli::{BASIC, Command, Flag, Hint, Matches, Style};
use crate::natsinit::plan::{MQTT, Origin, Plan, WEB, Wish};
use crate::natsinit::{SHARED, start, wish};

/// The command line of `lunix up`.
pub static COMMAND: Command = Command {
    name: "up",
    about: "start everything that can run here, and watch",
    arguments: &[],
    flags: &[
        SHARED,
        &[
            Flag { names: &["no-watch"], value: None, help: "do not show live events", hint: Hint::None },
            Flag {
                names: &["dry-run", "n"],
                value: None,
                help: "only say what would be started, and where",
                hint: Hint::None,
            },
        ],
        BASIC,
    ],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &[
        "No root is needed: what cannot be done without it, or not on this machine, is said in a line.",
        "Ctrl-C stops everything in order; a second one kills. Nothing stays behind.",
    ],
    commands: &[],
    examples: &[
        ("lunix up", "natsd, the daemons, and live events"),
        ("lunix up --service natstoast --no-watch", "a server and toasts"),
        ("lunix up --dry-run", "the plan"),
    ],
};

/// Runs `lunix up`.
pub fn run(matches: &Matches) -> ExitCode {
    let mut wish = match wish(matches) {
        Ok(wish) => Wish { daemons: true, watch: !matches.has("no-watch"), ..wish },
        Err(error) => return error.report(),
    };
    let dry = matches.has("dry-run");
    wish.watch &= !dry;
    start("up", matches, wish, |plan| {
        show(plan, dry);
        !dry
    })
}

/// Says where things are, and what is different here.
fn show(plan: &Plan, dry: bool) {
    let mut out = io::stdout().lock();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (bold, dim, off) = if colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut text = String::new();
    let row = |text: &mut String, head: &str, value: &str| {
        *text += &format!("  {dim}{head:<10}{off}{value}\n");
    };
    text += &match dry {
        true => format!("{bold}lunix up{off} would start, in this order:\n"),
        false => format!("{bold}lunix{off} {}\n", env!("CARGO_PKG_VERSION")),
    };
    let services: Vec<&str> = plan
        .services
        .iter()
        .filter(|(_, origin)| *origin != Origin::Hidden)
        .map(|(service, _)| service.name.as_str())
        .collect();
    row(&mut text, "services", &services.join(" "));
    // TCP first: it is what other programs take.
    for (at, url) in plan.urls.iter().rev().enumerate() {
        row(&mut text, if at == 0 { "server" } else { "" }, url);
    }
    if services.contains(&"natsmqtt") {
        row(&mut text, "mqtt", &format!("mqtt://127.0.0.1:{MQTT}"));
    }
    if services.contains(&"natsws") {
        row(&mut text, "web page", &format!("http://127.0.0.1:{WEB}/"));
    }
    for (service, note) in &plan.notes {
        row(&mut text, "note", &format!("{service}: {note}"));
    }
    if !dry && applets::find("toast").is_some() {
        row(&mut text, "try", "lunix toast hello");
    }
    if !dry {
        row(&mut text, "stop", "Ctrl-C");
    }
    let _ = out.write_all(text.as_bytes());
}
