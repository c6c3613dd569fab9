//! `init`: natsinit beside s6, runit, finit, busybox init and dinit, each process 1 of a small machine of its own, each with
//! the same services, which sleep. One runs at a time.

mod doze;
mod rival;
mod world;

use std::io;
use std::time::Duration;

use crate::broker::table::{Table, median, number};
use rival::{Kind, Rival};
use world::{Rest, World};

const USAGE: &str = "usage: lunix-bench init [--quick] [--rounds N] [--services N]... --lunix PATH [--busybox PATH] \
    [--finit FOLDER] [--runsvdir PATH] [--s6-svscan PATH] [--dinit PATH]";

/// How long a service may stay away that was killed.
const BACK: Duration = Duration::from_secs(8);
/// How long wake-ups are counted.
const IDLE: Duration = Duration::from_secs(10);

struct Plan {
    rivals: Vec<Rival>,
    rounds: usize,
    /// Services that are killed, one after the other, in each round.
    kills: usize,
    services: Vec<usize>,
}

/// What was measured of one supervisor with so many services.
#[derive(Debug)]
struct Figures {
    rest: Rest,
    /// Private memory when all services are back that were killed, in KiB.
    after: u64,
    wakes: u64,
    /// In ms.
    start: f64,
    /// In ms, of services killed for the first time.
    first: Vec<f64>,
    /// In ms, of the same killed again at once.
    again: Vec<f64>,
    /// Services that did not come back in time.
    lost: usize,
}

/// Reads the arguments and measures.
pub fn run(args: &[String]) -> io::Result<()> {
    let Some(plan) = Plan::new(args) else { return Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)) };
    let mut verdicts = Vec::new();
    for services in &plan.services {
        plan.compare(*services, &mut verdicts)?;
    }
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    Ok(())
}

impl Plan {
    fn new(args: &[String]) -> Option<Self> {
        let mut plan = Self { rivals: Vec::new(), rounds: 3, kills: 10, services: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.flag() == arg) {
                plan.rivals.push(Rival { kind, path: args.next()?.into() });
                continue;
            }
            match arg.as_str() {
                "--quick" => (plan.rounds, plan.kills) = (1, 5),
                "--rounds" => plan.rounds = args.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
                "--services" => {
                    plan.services.push(args.next()?.parse().ok().filter(|count| *count > 0)?);
                }
                _ => return None,
            }
        }
        if plan.services.is_empty() {
            plan.services = vec![10, 1000];
        }
        plan.rivals.sort_by_key(|rival| rival.kind);
        plan.rivals.first().is_some_and(|rival| rival.kind == Kind::Natsinit).then_some(plan)
    }

    fn compare(&self, services: usize, verdicts: &mut Vec<String>) -> io::Result<()> {
        let mut table = Table::new(&[
            "services",
            "supervisor",
            "KB on disk",
            "processes",
            "private, KiB",
            "x",
            "after the restarts",
            "written, KiB",
            "x",
            "PSS, KiB",
            "x",
            "all started, ms",
            "x",
            "back after kill -9, ms",
            "x",
            "at worst",
            "killed again at once",
            "wake-ups in 10 s",
        ]);
        let mut all: Vec<(Kind, Figures)> = Vec::new();
        for kind in Kind::ALL {
            let Some(rival) = self.rivals.iter().find(|rival| rival.kind == kind) else {
                table.quiet_row(&services.to_string(), kind.name(), &without("not here"));
                continue;
            };
            let figures = match self.measure(rival, services) {
                Ok(figures) => figures,
                Err(error) => {
                    eprintln!("{}: {error}", kind.name());
                    table.quiet_row(&services.to_string(), kind.name(), &without("failed"));
                    continue;
                }
            };
            eprintln!("{}: {figures:?}", kind.name());
            let own = all.first().map(|(_, own)| own).filter(|_| kind != Kind::Natsinit);
            let x = |theirs: f64, ours: fn(&Figures) -> f64| {
                own.map_or(String::new(), |own| format!("**{}**", number(theirs / ours(own))))
            };
            let lost = if figures.lost > 0 { format!("; {} never", figures.lost) } else { String::new() };
            table.quiet_row(
                &services.to_string(),
                kind.name(),
                &[
                    (rival.size()? / 1000).to_string(),
                    figures.rest.processes.to_string(),
                    figures.rest.private.to_string(),
                    x(figures.rest.private as f64, |own| own.rest.private as f64),
                    figures.after.to_string(),
                    figures.rest.written.to_string(),
                    x(figures.rest.written as f64, |own| own.rest.written as f64),
                    figures.rest.pss.to_string(),
                    x(figures.rest.pss as f64, |own| own.rest.pss as f64),
                    number(figures.start),
                    x(figures.start, |own| own.start),
                    number(figures.back()),
                    x(figures.back(), Figures::back),
                    number(figures.first.iter().copied().fold(0.0, f64::max)) + &lost,
                    number(median(figures.again.iter().copied())),
                    figures.wakes.to_string(),
                ],
            );
            all.push((kind, figures));
        }
        table.print();
        let Some((Kind::Natsinit, own)) = all.first() else {
            verdicts.push(format!("- {services} services: natsinit was not measured."));
            return Ok(());
        };
        println!("natsd, which natsinit runs as one more service, has {} KiB of its own.\n", own.rest.natsd);
        for (kind, theirs) in all.iter().skip(1) {
            let share = own.rest.private as f64 / theirs.rest.private as f64;
            let bar = if *kind == Kind::Busybox { 1.5 } else { 1.0 };
            let what = format!("{services} services, private memory beside {}", kind.name());
            verdicts.push(verdict(&what, share, bar, "of it"));
        }
        let others = || all.iter().skip(1).map(|(_, theirs)| theirs);
        let fastest = others().map(Figures::back).fold(f64::INFINITY, f64::min);
        verdicts.push(verdict(
            &format!("{services} services, back after kill -9"),
            own.back(),
            fastest,
            "ms, the fastest peer's",
        ));
        verdicts.push(verdict(&format!("{services} services, wake-ups in 10 s"), own.wakes as f64, 0.0, ""));
        Ok(())
    }

    fn measure(&self, rival: &Rival, services: usize) -> io::Result<Figures> {
        let (mut rests, mut starts, mut wakes) = (Vec::new(), Vec::new(), None);
        let (mut first, mut again, mut lost, mut after) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..self.rounds {
            let mut world = World::start(rival, services)?;
            starts.push(world.start.as_secs_f64() * 1e3);
            world.settle(Duration::from_secs(10));
            rests.push(world.rest());
            if wakes.is_none() {
                wakes = Some(world.wakes(IDLE));
            }
            let all = world.services();
            // From one end to the other, so that the place in a list does not matter.
            for kill in 0..self.kills.min(services) {
                let service = kill * services / self.kills.min(services);
                let Some(Some(process)) = all.get(service).copied() else { continue };
                let Some(back) = world.kill(service, process, BACK)? else {
                    lost += 1;
                    continue;
                };
                first.push(back.as_secs_f64() * 1e3);
                if kill < 3
                    && let Some(process) = world.successor(service, process)
                    && let Some(back) = world.kill(service, process, BACK)?
                {
                    again.push(back.as_secs_f64() * 1e3);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            after = after.max(world.rest().private);
        }
        rests.sort_by_key(|rest| rest.private);
        let rest = *rests.get(rests.len() / 2).ok_or_else(|| io::Error::other("nothing was measured"))?;
        let start = median(starts.into_iter());
        Ok(Figures { rest, after, wakes: wakes.unwrap_or_default(), start, first, again, lost })
    }
}

/// The cells of a row that says why it has no figures.
fn without(why: &str) -> Vec<String> {
    let mut cells = vec![String::new(); 16];
    cells[0] = why.to_owned();
    cells
}

impl Figures {
    /// The middle of those that were killed for the first time.
    fn back(&self) -> f64 {
        median(self.first.iter().copied())
    }
}

fn verdict(what: &str, found: f64, bar: f64, unit: &str) -> String {
    let verdict = if found <= bar { "met" } else { "MISSED" };
    let bar = format!("{} {unit}", number(bar));
    format!("- {what}, at most {}: {verdict} ({}).", bar.trim_end(), number(found))
}
