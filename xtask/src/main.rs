//! `cargo xtask …`: build, run and test lunix.

mod bench;
mod compile;
mod differential;
mod dist;
mod firmware;
#[path = "../../frontends/linux/tests/free_port/mod.rs"]
mod free_port;
mod fuzz;
mod image;
mod nats;
mod paths;
mod peers;
mod run;
mod screenshots;
mod server;
mod setup;
mod shell;
mod soak;
mod test;
mod toolchain;
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::differential::{Amount, Plan};
use crate::image::board::Board;
use crate::vm::show::{Scene, Visit};

fn cli() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let run = Command::new("run").about("build lunix and start it here (`lunix up`)").arg(
        Arg::new("arg")
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(value_parser!(OsString))
            .help("arguments of `lunix up`"),
    );
    let test = Command::new("test").about("run all gates, or the named ones").args([
        Arg::new("gate").num_args(0..).help("what to run [all]"),
        switch("list", "name the gates"),
        switch("verbose", "show all output").short('v'),
    ]);
    let vm = Command::new("vm").about("boot in QEMU, plug a USB stick in, see what happens").args([
        Arg::new("what")
            .value_parser(["x86_64", "arm-virt", "debian"])
            .default_value("x86_64")
            .help("a board with its own flash, or Debian's kernel with every module"),
        switch("shell", "come in as root"),
        switch("web", "natsws runs in the guest, and its page is on this machine").conflicts_with("uevents"),
        switch("uevents", "debian: nothing of ours, only what the kernel says").conflicts_with("shell"),
        Arg::new("memory")
            .long("memory")
            .value_parser(value_parser!(u32))
            .default_value("64")
            .help("MiB that a board has"),
    ]);
    let fuzz = Command::new("fuzz").about("look for inputs that break a parser or a machine").args([
        Arg::new("name").required_unless_present("list").help("the target"),
        Arg::new("seconds").value_parser(value_parser!(u64)).default_value("60").help("how long"),
        switch("list", "name the targets"),
        switch("minimise", "add the best of what was found to the committed corpus"),
    ]);
    let bench = Command::new("bench").about("figures beside those of peers, as markdown").args([
        Arg::new("what")
            .required(true)
            .value_parser(["codec", "route", "broker", "mqtt", "memory", "hotplug", "init", "ws"])
            .help("what to measure"),
        Arg::new("arg")
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(value_parser!(OsString))
            .help(
                "for broker: --quick, --rounds N, --one-core, --two-cores, parts of rows' names; for hotplug: --quick, \
                 --rounds N, --mdevd PATH, rest, events, latency; for init: --quick, --rounds N, --services N; for ws: as for broker",
            ),
    ]);
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(u64)).help(help)
    };
    let differential =
        Command::new("differential").about("the same random scripts against natsd and nats-server").args([
            number("seeds", "so many scripts [2000]").conflicts_with("minutes"),
            number("minutes", "scripts for so long"),
            number("seed", "of the first script, each next one has the next [1]"),
            Arg::new("house").long("house").help("only with this configuration of theirs"),
            switch("itself", "nats-server against itself: what the comparison gets wrong"),
        ]);
    let inject = Command::new("inject")
        .about("say uevents to a hotplug daemon, as the kernel does")
        .disable_help_flag(true)
        .arg(
            Arg::new("arg")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString))
                .help("--help says which there are"),
        );
    let soak = Command::new("soak")
        .about("natsd or natsmqtt among clients that live badly, or natsinit among services that do")
        .args([
            Arg::new("what")
                .value_parser(["natsd", "mqtt", "init"])
                .default_value("natsd")
                .help("whom to try"),
            number("minutes", "how long, for natsd and mqtt [1]"),
        ]);
    let image =
        Command::new("image").about("build the flash of a board, and print what its parts weigh").args([
            Arg::new("what")
                .value_parser(["x86_64", "arm-virt", "firmware"])
                .default_value("x86_64")
                .help("the board, or the firmware of a microcontroller"),
            switch("kernel", "only the board's kernel").hide(true),
        ]);
    let dist = Command::new("dist")
        .about("the static program, man pages and completions, in target/dist")
        .arg(switch("pages", "only what comes from the tables").hide(true));
    let screenshots = Command::new("screenshots").about("the pictures of the page in docs/, made anew");
    Command::new("cargo xtask")
        .bin_name("cargo xtask")
        .about("Build, run and test lunix")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands([run, test, vm, fuzz, bench, inject, differential, soak, image, dist, screenshots])
}

/// True if what was asked for is well.
fn dispatch(matches: &ArgMatches) -> anyhow::Result<bool> {
    match matches.subcommand() {
        Some(("test", matches)) if matches.get_flag("list") => test::list(),
        Some(("test", matches)) => {
            let names = matches.get_many::<String>("gate").unwrap_or_default();
            return test::run(&names.map(String::as_str).collect::<Vec<_>>(), matches.get_flag("verbose"));
        }
        Some(("run", matches)) => {
            run::run(matches.get_many::<OsString>("arg").unwrap_or_default().cloned())?;
        }
        Some(("inject", matches)) => {
            run::inject(matches.get_many::<OsString>("arg").unwrap_or_default())?;
        }
        Some(("fuzz", matches)) => match matches.get_one::<String>("name") {
            None => fuzz::names()?.iter().for_each(|name| println!("{name}")),
            Some(name) if matches.get_flag("minimise") => fuzz::minimise(name)?,
            Some(name) => fuzz::run(name, *matches.get_one("seconds").expect("it has a default"))?,
        },
        Some(("bench", matches)) => match matches.get_one::<String>("what").map(String::as_str) {
            Some(what @ ("codec" | "route")) => bench::alone(what)?,
            Some("broker") => {
                bench::broker(matches.get_many::<OsString>("arg").unwrap_or_default().cloned())?;
            }
            Some("mqtt") => {
                bench::mqtt(matches.get_many::<OsString>("arg").unwrap_or_default().cloned())?;
            }
            Some("hotplug") => {
                bench::hotplug(matches.get_many::<OsString>("arg").unwrap_or_default().cloned())?;
            }
            Some("init") => {
                bench::init(matches.get_many::<OsString>("arg").unwrap_or_default().cloned())?;
            }
            Some("ws") => bench::ws(matches.get_many::<OsString>("arg").unwrap_or_default().cloned())?,
            _ => bench::memory()?,
        },
        Some(("differential", matches)) => {
            let number = |name: &str| matches.get_one::<u64>(name).copied();
            let amount = match number("minutes") {
                Some(minutes) => Amount::Time(Duration::from_secs(60 * minutes)),
                None => Amount::Seeds(number("seeds").unwrap_or(2000)),
            };
            let house =
                matches.get_one::<String>("house").map(|name| differential::house(name)).transpose()?;
            let plan = Plan { amount, seed: number("seed").unwrap_or(1), house };
            return differential::run(matches.get_flag("itself"), plan);
        }
        Some(("soak", matches)) => {
            if matches.get_one::<String>("what").is_some_and(|what| what == "init") {
                return run::chaos().map(|()| true);
            }
            let minutes = matches.get_one("minutes").copied().unwrap_or(1);
            return match matches.get_one::<String>("what").is_some_and(|what| what == "mqtt") {
                true => soak::mqtt::run(minutes),
                false => soak::run(minutes),
            };
        }
        Some(("dist", matches)) if matches.get_flag("pages") => dist::pages()?,
        Some(("dist", _)) => dist::run()?,
        Some(("screenshots", _)) => screenshots::run()?,
        Some(("image", matches)) => match matches.get_one::<String>("what").map(String::as_str) {
            Some("firmware") => firmware::show()?,
            board => {
                let board = board.unwrap_or("x86_64");
                match matches.get_flag("kernel") {
                    true => drop(image::kernel::build(Board::of(board, false)?)?),
                    false => image::run(board)?,
                }
            }
        },
        Some(("vm", matches)) => {
            let (shell, web) = (matches.get_flag("shell"), matches.get_flag("web"));
            match matches.get_one::<String>("what").map(String::as_str) {
                Some("debian") => {
                    let scene = match (shell, matches.get_flag("uevents")) {
                        (true, _) => Scene::Shell,
                        (_, true) => Scene::Uevents,
                        _ => Scene::Events,
                    };
                    vm::show::run(scene, web)?;
                }
                board => vm::show::board(&Visit {
                    board: Board::of(board.unwrap_or("x86_64"), web)?,
                    memory: *matches.get_one("memory").expect("it has a default"),
                    login: shell,
                })?,
            }
        }
        _ => unreachable!("clap requires one of the commands above"),
    }
    Ok(true)
}

fn main() -> ExitCode {
    match dispatch(&cli().get_matches()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        cli().debug_assert();
    }

    #[test]
    fn flags_behind_run_are_those_of_lunix_up() {
        let matches = cli().get_matches_from(["cargo xtask", "run", "--dry-run", "--port", "0"]);
        let (_, run) = matches.subcommand().unwrap();
        let args: Vec<&OsString> = run.get_many("arg").unwrap().collect();
        assert_eq!(args, ["--dry-run", "--port", "0"]);
    }
}
