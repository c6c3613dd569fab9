//! natsinit as process 1 while its services are killed, stopped, started, reloaded and restarted at random, and it itself is
//! executed anew: what was asked last, what was said and what is there agree at the end.
//!
//! `LUNIX_CHAOS=10000` (`cargo xtask soak init`) is the long form; without it there are fewer turns. `LUNIX_SEED` repeats one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod init_rig;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use init_rig::{Bus, Machine, Setup, kill, skipped, until};

/// Turns of the ordinary run.
const TURNS: usize = 1500;
/// How often memory is looked at.
const SAMPLE: usize = 50;

/// Services of their own, whose state is what was asked last.
const FREE: [&str; 7] = ["a", "b", "c", "d", "e", "f", "says"];
/// Each needs the one before it.
const CHAIN: [&str; 3] = ["low", "mid", "top"];
/// Never together.
const RIVALS: [&str; 2] = ["day", "night"];

const PATIENT: &str = "restart = { limit = \"unlimited\", base = \"1ms\", cap = \"20ms\" }\nstop = { signals = [\"TERM 5s\"] }\n";

fn sleeps(seconds: usize) -> String {
    format!("command = [\"sleep\", \"{seconds}\"]\n{PATIENT}")
}

/// splitmix64: the same everywhere for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((word ^ (word >> 31)) % bound as u64) as usize
    }
}

/// What must be, and what was heard.
#[derive(Default)]
struct Model {
    /// Whether it was last asked to run.
    up: BTreeMap<&'static str, bool>,
    /// Seconds that each of [`FREE`] is to sleep.
    seconds: BTreeMap<&'static str, usize>,
    /// The state that was said last.
    said: BTreeMap<String, String>,
    /// The process that was said last and has not ended.
    running: BTreeMap<String, u64>,
    counts: BTreeMap<&'static str, usize>,
    events: usize,
    /// When the second of two rivals came up, while both run.
    both: Option<u64>,
    /// Everything that was said, for whoever looks for a mistake.
    history: Vec<String>,
}

impl Model {
    /// What was said, in order: nobody is started while it runs, rivals do not run together.
    fn hear(&mut self, events: Vec<(String, Value)>) {
        self.history.extend(events.iter().map(|(subject, event)| format!("{subject} {event}")));
        for (subject, event) in events {
            let mut tokens = subject.split('.');
            let (Some("service"), Some(name), Some(state), None) =
                (tokens.next(), tokens.next(), tokens.next(), tokens.next())
            else {
                continue;
            };
            if matches!(state, "log" | "oom") {
                continue;
            }
            self.events += 1;
            assert_eq!(event["state"], state, "{subject}: {event}");
            let pid = event["pid"].as_u64();
            let before = self.running.get(name).copied();
            match (state, pid) {
                ("starting", Some(_)) if before.is_none() || before == pid => {}
                ("ready" | "stopping", Some(_)) if before.is_none() || before == pid => {}
                ("starting" | "ready" | "stopping", Some(_)) => {
                    self.fail(name, &format!("it has another process than {before:?}"));
                }
                _ => {}
            }
            match pid {
                Some(pid) => drop(self.running.insert(name.to_owned(), pid)),
                None => drop(self.running.remove(name)),
            }
            // What happens at once may be told in any order, but that of each service.
            let at = event["at_us"].as_u64();
            let both = RIVALS.iter().all(|rival| self.running.contains_key(*rival));
            if both && self.both.is_some_and(|since| Some(since) != at) {
                self.fail("", "both rivals run");
            }
            self.both = at.filter(|_| both);
            self.said.insert(name.to_owned(), state.to_owned());
        }
    }
}

impl Model {
    fn fail(&self, name: &str, why: &str) -> ! {
        let key = format!("\"name\":\"{name}");
        let of = self.history.iter().filter(|event| event.contains(&key) || *event == "reexec");
        let last: Vec<&String> = of.rev().take(40).collect();
        panic!("{name}: {why}; the last first: {last:#?}");
    }
}

/// Sends a request and does not wait for what comes of it.
fn ask(bus: &mut Bus, model: &mut Model, verb: &'static str, name: &'static str) {
    bus.fire(&format!("service.{name}.{verb}"));
    *model.counts.entry(verb).or_default() += 1;
    if FREE.contains(&name) {
        model.up.insert(name, verb != "stop");
    }
}

fn all() -> impl Iterator<Item = &'static str> {
    FREE.into_iter().chain(CHAIN).chain(RIVALS)
}

fn everything_runs(bus: &mut Bus, model: &mut Model) {
    for name in FREE.into_iter().chain(CHAIN).chain(["day"]) {
        bus.ask(&format!("service.{name}.start"));
        if FREE.contains(&name) {
            model.up.insert(name, true);
        }
    }
    for name in FREE.into_iter().chain(CHAIN).chain(["day"]) {
        bus.is(name, "ready");
    }
}

#[test]
fn chaos() {
    if skipped("chaos") {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let turns = number("LUNIX_CHAOS").map_or(TURNS, |turns| turns as usize);
    let seed = number("LUNIX_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.subsec_nanos().into()
    });
    println!("LUNIX_SEED={seed}");
    let mut random = Random(seed);
    let mut model = Model::default();
    let mut setup = Setup::new("chaos").script("says.sh", "echo >&3; exec sleep \"$1\"");
    for (at, name) in FREE.into_iter().enumerate() {
        model.seconds.insert(name, 100_000 + at);
        model.up.insert(name, true);
        setup = setup.service(name, &service(name, 100_000 + at));
    }
    setup = setup
        .service("low", &sleeps(200_000))
        .service("mid", &format!("{}needs = [\"low\"]\n", sleeps(200_001)))
        .service("top", &format!("{}needs = [\"mid\"]\n", sleeps(200_002)))
        .service("day", &sleeps(300_000))
        .service("night", &format!("{}enabled = false\nconflicts = [\"day\"]\n", sleeps(300_001)));
    let machine = setup.boot();
    let mut bus = machine.bus().without_logs();
    for name in FREE {
        bus.is(name, "ready");
    }
    everything_runs(&mut bus, &mut model);
    let descriptors = rest(&machine);
    let mut memory = vec![machine.memory()];

    let begin = Instant::now();
    for turn in 0..turns {
        let name = all().nth(random.below(all().count())).unwrap();
        match random.below(100) {
            0..45 => {
                // Any process of a service: its own choice, not the model's.
                let found = machine.processes("sleep");
                if let Some(pid) = found.get(random.below(found.len().max(1))) {
                    kill(*pid, libc::SIGKILL);
                    *model.counts.entry("kill").or_default() += 1;
                }
            }
            45..62 => ask(&mut bus, &mut model, "stop", name),
            62..84 => ask(&mut bus, &mut model, "start", name),
            84..94 => ask(&mut bus, &mut model, "restart", name),
            94..98 => {
                let name = FREE[random.below(FREE.len())];
                let seconds =
                    100_000 + random.below(1000) * 10 + FREE.iter().position(|free| *free == name).unwrap();
                machine.service(name, &service(name, seconds));
                model.seconds.insert(name, seconds);
                bus.fire("service.reload");
                *model.counts.entry("reload").or_default() += 1;
            }
            _ => {
                let events = bus.drain();
                model.hear(events);
                assert_eq!(bus.ask("system.reexec")["accepted"], true);
                *model.counts.entry("reexec").or_default() += 1;
                // What is asked while nobody listens is nobody's.
                model.history.push("reexec".to_owned());
                until("the one after it", || {
                    bus.try_ask("service.a.status", "", Duration::from_millis(200))
                        .filter(|answer| answer.contains("state"))
                });
            }
        }
        if turn % SAMPLE == SAMPLE - 1 {
            memory.push(machine.memory());
            let events = bus.drain();
            model.hear(events);
        }
    }
    println!("{turns} turns in {:?}", begin.elapsed());

    // What was asked last is so.
    for name in FREE {
        bus.is(name, if model.up[name] { "ready" } else { "stopped" });
    }
    until("rest", || {
        let list = bus.ask("service.list");
        let states =
            list.as_array().unwrap().iter().map(|service| service["state"].as_str().unwrap().to_owned());
        states
            .collect::<Vec<_>>()
            .iter()
            .all(|state| matches!(state.as_str(), "ready" | "stopped"))
            .then_some(())
    });
    let list = bus.ask("service.list");
    let events = bus.drain();
    model.hear(events);
    println!("{:?}; {} events; memory of process 1 in KiB: {memory:?}", model.counts, model.events);
    let state = |name: &str| {
        let found = list.as_array().unwrap().iter().find(|service| service["name"] == name).unwrap();
        (found["state"].as_str().unwrap().to_owned(), found["pid"].as_u64())
    };
    let mut running = BTreeSet::new();
    for name in all() {
        let (now, pid) = state(name);
        assert_eq!(
            model.said.get(name).map_or("stopped", String::as_str),
            now,
            "what was said last of {name}"
        );
        if let Some(pid) = pid {
            running.insert(machine.outside(pid).unwrap_or_else(|| panic!("{name} has no process {pid}")));
        }
    }
    for pair in CHAIN.windows(2) {
        assert!(
            state(pair[1]).0 != "ready" || state(pair[0]).0 == "ready",
            "{} without {}",
            pair[1],
            pair[0]
        );
    }
    // What is there is what is said to be there, with the arguments of the files as they are now.
    let there = || machine.processes("sleep").into_iter().collect::<BTreeSet<u32>>();
    println!("{running:?} shall be there, {:?} are: {list}", there());
    // Who says that it is ready, or is executed, has its last words in /proc a moment later.
    until("agreement of processes and services", || (there() == running).then_some(()));
    for name in FREE.into_iter().filter(|name| model.up[name]) {
        let seconds = model.seconds[name];
        let found = machine.processes(&seconds.to_string()).len();
        assert_eq!(found, 1, "{name} sleeps {seconds}: {list}");
    }

    everything_runs(&mut bus, &mut model);
    assert_eq!(rest(&machine), descriptors, "descriptors of process 1");
    let (first, second) = memory.split_at(memory.len() / 2);
    let middle = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    assert!(middle(second) <= middle(first) + middle(first) / 8 + 128, "memory grows: {memory:?}");
}

fn service(name: &str, seconds: usize) -> String {
    match name {
        "says" => format!("command = [\"/shared/says.sh\", \"{seconds}\"]\nready = {{ fd = 3 }}\n{PATIENT}"),
        _ => sleeps(seconds),
    }
}

/// Waits until there are no zombies; the descriptors of process 1.
fn rest(machine: &Machine) -> Vec<String> {
    until("burial", || machine.zombies().is_empty().then_some(()));
    let mut before = machine.descriptors();
    until("rest", || {
        std::thread::sleep(Duration::from_millis(50));
        let now = machine.descriptors();
        let same = now == before;
        before = now;
        same.then_some(())
    });
    before
}
