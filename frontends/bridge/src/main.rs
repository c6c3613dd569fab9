//! The multi-call program: one of the bridges, by the name it is called by, or `lunix-bridge NAME …`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use lunix::applets::Applet;
use lunix::escaped::Escaped;
use lunix_bridge::DAEMONS;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let called = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some(applet) = find(called) {
        return run(applet, args);
    }
    let name = args.next().unwrap_or_default();
    match name.to_str() {
        Some("--version" | "-V") => {
            println!("lunix-bridge {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some("--help" | "-h") => {
            print!("{}", overview());
            ExitCode::SUCCESS
        }
        Some("") | None => {
            eprint!("{}", overview());
            ExitCode::from(2)
        }
        Some(name) => match find(name) {
            Some(applet) => run(applet, args),
            None => {
                eprintln!("lunix-bridge: unknown program '{}' (see lunix-bridge --help)", Escaped(name));
                ExitCode::from(2)
            }
        },
    }
}

fn find(name: &str) -> Option<&'static Applet> {
    DAEMONS.iter().find(|applet| applet.command.name == name)
}

fn run(applet: &Applet, args: impl Iterator<Item = OsString>) -> ExitCode {
    match applet.command.parse(args) {
        Ok(matches) => (applet.run)(&matches),
        Err(code) => code,
    }
}

fn overview() -> String {
    let mut text = "Usage: lunix-bridge PROGRAM [FLAGS], or a symlink named after the program\n\n".to_owned();
    for applet in DAEMONS {
        text += &format!("  {:<12}{}\n", applet.command.name, applet.command.about);
    }
    text + "\n`lunix-bridge PROGRAM --help` says more.\n"
}
