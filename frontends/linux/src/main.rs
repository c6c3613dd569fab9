//! The multi-call program: `lunix COMMAND …`, or one of the daemons or tools by the name it is called by.
// What `Debug` writes is for tests: the size build leaves it out.
#![cfg_attr(not(test), warn(clippy::use_debug))]

use std::ffi::OsString;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::process::ExitCode;

use lunix::applets::{self, Applet, COMMANDS, DAEMONS, TOOLS};
use lunix::escaped::Escaped;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let called = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or("lunix");
    // The kernel calls the first process `init`, and gives it words that are not for it.
    #[cfg(feature = "natsinit")]
    if std::process::id() == 1 && (called == "init" || called == "natsinit") && !is_for_people() {
        return lunix::natsinit::run_first(args);
    }
    let called = if called == "init" { "natsinit" } else { called };
    if let Some(applet) = DAEMONS.iter().chain(TOOLS).find(|applet| applet.command.name == called) {
        return run(applet, args);
    }
    let Some(name) = args.next() else {
        print_overview();
        return ExitCode::from(2);
    };
    match name.to_str() {
        Some("--help" | "-h" | "help") => match args.next() {
            Some(topic) => help_for(&topic),
            None => {
                print_overview();
                ExitCode::SUCCESS
            }
        },
        Some("--version" | "-V") => {
            println!("lunix {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(name) => match applets::find(name) {
            Some(applet) => run(applet, args),
            None => unknown(name),
        },
        None => unknown(&name.to_string_lossy()),
    }
}

/// Whether the first process was not called to be that.
#[cfg(feature = "natsinit")]
fn is_for_people() -> bool {
    let flags = ["--session", "--check-config", "--help", "-h", "--version", "-V"];
    std::env::args_os().skip(1).any(|word| flags.iter().any(|flag| word == *flag))
}

fn run(applet: &Applet, args: impl Iterator<Item = OsString>) -> ExitCode {
    match applet.command.parse(args) {
        Ok(matches) => (applet.run)(&matches),
        Err(code) => code,
    }
}

fn help_for(topic: &OsString) -> ExitCode {
    match topic.to_str().and_then(applets::find) {
        Some(applet) => {
            applet.command.print_help();
            ExitCode::SUCCESS
        }
        None => unknown(&topic.to_string_lossy()),
    }
}

fn unknown(name: &str) -> ExitCode {
    eprintln!("lunix: unknown command '{}' (see lunix --help)", Escaped(name));
    ExitCode::from(2)
}

fn print_overview() {
    let mut out = std::io::stdout().lock();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (bold, head, off) = if colour { ("\x1b[1m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!(
        "{bold}lunix{off} - everything in user space, said over NATS\n\n\
         {head}Usage:{off} {bold}lunix{off} COMMAND [FLAGS] [ARGUMENTS]\n"
    );
    for (title, applets) in [("Commands:", COMMANDS), ("Daemons:", DAEMONS), ("Tools:", TOOLS)] {
        if applets.is_empty() {
            continue;
        }
        text += &format!("\n{head}{title}{off}\n");
        for applet in applets {
            text += &format!("  {bold}{:<12}{off}{}\n", applet.command.name, applet.command.about);
        }
    }
    text += "\n`lunix COMMAND --help` says more. Start with `lunix up`.\n";
    // A reader that went away (`lunix | head -1`) is no error of ours.
    let _ = out.write_all(text.as_bytes());
}
