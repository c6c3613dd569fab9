//! `cargo xtask inject`: says uevents to a hotplug daemon.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use lunix_inject::receiver::{Receiver, listeners};
use lunix_inject::{Kernel, script, storm};

const USAGE: &str = "\
usage: cargo xtask inject [--rate N] [--repeat N] [--forge] EVENTS [-- PROGRAM [ARGUMENT]...]

EVENTS are one or several of
  FILE              as `udevadm monitor --kernel --property` writes them; - is standard input
  --storm N         N devices that do not exist are added, then removed
  --machine ACTION  add, change, ...: what the kernel would say of every device of this machine

  --rate N          so many a second [as fast as it goes]
  --repeat N        all of them so many times [1]
  --forge           said by this process and not by the kernel: nobody should believe it

With PROGRAM, it is started in a network, a /dev and a /run of its own, and hears them when it listens; it goes on until it
ends or is interrupted. Without, everybody in this network hears them: as root those of the machine, in
`unshare --user --map-root-user --net` those inside.";

#[derive(Debug, Default)]
struct Plan {
    events: Vec<Vec<u8>>,
    rate: Option<u32>,
    repeat: u32,
    forge: bool,
    program: Vec<String>,
}

fn main() -> ExitCode {
    let plan = match Plan::new(std::env::args().skip(1)) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("inject: {mistake}");
            return ExitCode::from(2);
        }
    };
    match plan.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("inject: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Plan {
    /// What the command line says; `None` if it asks what there is to say.
    fn new(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut plan = Self { repeat: 1, ..Self::default() };
        while let Some(arg) = args.next() {
            let mut number = || {
                let value = args.next().ok_or(format!("{arg}: expected a number"))?;
                let number: Option<u32> = value.parse().ok().filter(|number| *number > 0);
                number.ok_or(format!("{arg}: expected a number from 1 on, found '{value}'"))
            };
            match arg.as_str() {
                "--help" => return Ok(None),
                "--rate" => plan.rate = Some(number()?),
                "--repeat" => plan.repeat = number()?,
                "--storm" => plan.events.extend(storm::made_up(number()?)),
                "--machine" => {
                    let action = args.next().ok_or("--machine: expected an action")?;
                    plan.events.extend(storm::machine(Path::new("/sys"), &action));
                }
                "--forge" => plan.forge = true,
                "--" => plan.program = args.by_ref().collect(),
                file if file == "-" || !file.starts_with('-') => plan.events.extend(read(file)?),
                _ => return Err(format!("{arg}: unknown flag; --help names all")),
            }
        }
        if plan.events.is_empty() {
            return Err("expected events; --help says which there are".to_owned());
        }
        Ok(Some(plan))
    }

    fn run(&self) -> io::Result<ExitCode> {
        let [program, arguments @ ..] = &self.program[..] else {
            self.say()?;
            return Ok(ExitCode::SUCCESS);
        };
        lunix_inject::enter()?;
        let mut receiver = Receiver::start(program.as_ref(), arguments, Stdio::inherit(), Stdio::inherit())?;
        receiver.listens().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        self.say()?;
        let status = receiver.wait()?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn say(&self) -> io::Result<()> {
        let kernel = Kernel::open()?;
        let mut pace = storm::Pace::new(self.rate);
        let before = dropped()?;
        let begin = Instant::now();
        for event in (0..self.repeat).flat_map(|_| &self.events) {
            pace.wait();
            let said = if self.forge { kernel.forge(event, None) } else { kernel.inject(event) };
            said.map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => io::Error::new(
                    error.kind(),
                    "this network is somebody else's; try `unshare --user --map-root-user --net`, or name a program",
                ),
                _ => error,
            })?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        let count = self.events.len() * self.repeat as usize;
        eprintln!(
            "inject: {count} events in {:.1} ms, {:.0} a second; {} listen, {} found no room",
            seconds * 1e3,
            count as f64 / seconds,
            listeners()?.len(),
            dropped()?.saturating_sub(before),
        );
        Ok(())
    }
}

fn dropped() -> io::Result<u64> {
    Ok(listeners()?.iter().map(|listener| listener.dropped).sum())
}

fn read(file: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut text = Vec::new();
    let read = match file {
        "-" => io::stdin().read_to_end(&mut text).map(drop),
        _ => fs::read(file).map(|read| text = read),
    };
    read.map_err(|error| format!("{file}: {error}"))?;
    script::read(&text).map_err(|mistake| format!("{file}:{mistake}"))
}
