//! A board with services that behave badly, and one that does not; and what is heard of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::image::Image;
use crate::nats::Client;
use crate::paths::{Scratch, target};
use crate::test::offer::offer;
use crate::vm::board::{Boot, Flash, Running};

/// MiB.
const MEMORY: u32 = 64;

/// For what somebody is asked or waited for on an emulated processor of a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What must go on, whatever others do.
const OTHERS: &[&str] = &["natsd", "natsdev", "natstoast", "natsmount", "getty", "good"];

/// The files of the services, by name.
const SERVICES: &[(&str, &str)] = &[
    ("bomb", include_str!("services/bomb.toml")),
    ("daemon", include_str!("services/daemon.toml")),
    ("deaf", include_str!("services/deaf.toml")),
    ("flood", include_str!("services/flood.toml")),
    ("glutton", include_str!("services/glutton.toml")),
    ("good", include_str!("services/good.toml")),
    ("hog", include_str!("services/hog.toml")),
    ("mute", include_str!("services/mute.toml")),
    ("reader", include_str!("services/reader.toml")),
    ("spinner", include_str!("services/spinner.toml")),
    ("talker", include_str!("services/talker.toml")),
    ("writer", include_str!("services/writer.toml")),
];

/// The root is read-only, so a folder in memory is laid over that of the services.
const PREPARE: &str = "\
set -e
mkdir /tmp/services /tmp/disk
mount -t tmpfs -o size=64k disk /tmp/disk
cp /etc/lunix/services/* /tmp/services
mount -o bind /tmp/services /etc/lunix/services
";

/// A line for each process that has ended and that nobody has waited for.
const ZOMBIES: &str = "\
for it in $(grep -l '^State:.Z' /proc/[0-9]*/status 2> /dev/null); do \
grep -E '^(Name|Pid|PPid)' $it 2> /dev/null | tr '\\n' ' '; echo; done";

/// A board that has booted, with root logged in.
pub(super) struct Machine {
    boot: Boot<'static>,
    flash: Flash,
    pub(super) running: Running,
    scratch: Scratch,
    asks: Client,
    /// The processes of [`OTHERS`].
    others: BTreeMap<String, u64>,
    /// The longest that anybody waited for an answer.
    pub(super) slowest: Duration,
}

impl Machine {
    /// Boots it, and gives it all of the services.
    pub(super) fn boot(image: &Image) -> Result<Self> {
        let scratch = Scratch::under(&target())?;
        let flash = Flash::new(image.board, &image.flash, &scratch)?;
        let boot = Boot { board: image.board, memory: MEMORY, append: "", page: None };
        let mut running = Running::start(&boot, &flash, &scratch, |_| {})?;
        running.login()?;
        let asks = running.client()?;
        let (others, slowest) = (BTreeMap::new(), Duration::ZERO);
        let mut machine = Self { boot, flash, running, scratch, asks, others, slowest };
        machine.furnish()?;
        Ok(machine)
    }

    /// Writes the files of the services, and lets natsinit read them.
    fn furnish(&mut self) -> Result<()> {
        let mut script = PREPARE.to_owned();
        for (name, text) in SERVICES {
            write!(script, "cat > /tmp/services/{name}.toml <<'END'\n{text}END\n")?;
        }
        let address = offer(script.into_bytes())?;
        self.running.run(&format!("wget -qO - {address} | sh"))?;
        let plan = self.ask("service.reload")?;
        let added = plan["added"].as_array().map_or(0, Vec::len);
        ensure!(added == SERVICES.len() && plan["mistakes"].is_null(), "{plan}");
        OTHERS.iter().try_for_each(|name| self.until(name, "ready").map(drop))?;
        self.others = self.processes()?;
        Ok(())
    }

    /// Asks until somebody answers.
    pub(super) fn ask(&mut self, subject: &str) -> Result<Value> {
        let begin = Instant::now();
        loop {
            match self.asks.request(subject, "", PATIENCE)? {
                Some(answer) => {
                    self.slowest = self.slowest.max(begin.elapsed());
                    return Ok(answer.json());
                }
                None if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(100)),
                None => bail!("nobody answers {subject}"),
            }
        }
    }

    /// Tells a service to do something.
    pub(super) fn tell(&mut self, name: &str, verb: &str) -> Result<()> {
        let answer = self.ask(&format!("service.{name}.{verb}"))?;
        ensure!(answer["error"].is_null(), "{name}: {verb}: {answer}");
        Ok(())
    }

    /// Waits until a service is in `state`.
    pub(super) fn until(&mut self, name: &str, state: &str) -> Result<Value> {
        let status = format!("service.{name}.status");
        self.look(&format!("{name} is not {state}"), |machine| {
            let status = machine.ask(&status)?;
            Ok((status["state"] == state).then_some(status))
        })
    }

    /// Looks until there is something.
    pub(super) fn look<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self)? {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A number that a service uses.
    pub(super) fn usage(&mut self, name: &str, key: &str) -> Result<u64> {
        let usage = self.ask(&format!("service.{name}.usage"))?;
        usage[key].as_u64().with_context(|| format!("no {key} in {usage}"))
    }

    /// The processor's time that a service has had, and the machine's own time, in microseconds.
    pub(super) fn times(&mut self, name: &str) -> Result<(u64, u64)> {
        let used = self.usage(name, "cpu_us")?;
        let uptime = self.ask("system.info")?["uptime_us"].as_u64().context("no uptime_us")?;
        Ok((used, uptime))
    }

    /// The number that a line of shell prints; what the console says by itself may stand between.
    pub(super) fn number(&mut self, line: &str) -> Result<u64> {
        let said = self.running.run(line)?;
        let found = said.iter().find_map(|line| line.split_whitespace().next()?.parse().ok());
        found.with_context(|| format!("`{line}` says {said:?}"))
    }

    /// How many processes there are with `word` on their command line, without the one that looks.
    pub(super) fn count(&mut self, word: &str) -> Result<u64> {
        let (first, rest) = word.split_at(1);
        self.number(&format!("grep -l '[{first}]{rest}' /proc/[0-9]*/cmdline 2> /dev/null | wc -l"))
    }

    /// KiB of memory that process 1 and natsd have for themselves.
    pub(super) fn memory(&mut self) -> Result<(u64, u64)> {
        let natsd = self.others["natsd"];
        let mut of = |pid| self.number(&format!("sed -n 's/RssAnon:[^0-9]*//p' /proc/{pid}/status"));
        Ok((of(1)?, of(natsd)?))
    }

    fn processes(&mut self) -> Result<BTreeMap<String, u64>> {
        let list = self.ask("service.list")?;
        let mut processes = BTreeMap::new();
        for service in list.as_array().into_iter().flatten() {
            let name = service["name"].as_str().unwrap_or_default();
            if OTHERS.contains(&name) {
                let pid = service["pid"].as_u64().with_context(|| format!("no process in {service}"))?;
                processes.insert(name.to_owned(), pid);
            }
        }
        Ok(processes)
    }

    /// Tells everybody who behaves badly to stop.
    pub(super) fn calm(&mut self) {
        for (name, _) in SERVICES.iter().filter(|(name, _)| !OTHERS.contains(name)) {
            let _ = self.tell(name, "stop");
        }
    }

    /// All others run as they did, and one can be restarted.
    pub(super) fn others_go_on(&mut self) -> Result<()> {
        let now = self.processes()?;
        ensure!(now == self.others, "others have ended: {:?} became {now:?}", self.others);
        self.tell("good", "restart")?;
        self.until("good", "ready")?;
        self.others = self.processes()?;
        ensure!(now["good"] != self.others["good"], "it was not restarted");
        Ok(())
    }

    /// Nobody is left who has ended, and whom process 1 has not waited for.
    pub(super) fn all_are_buried(&mut self) -> Result<()> {
        let mut zombies = Vec::new();
        let buried = self.look("not all are buried", |machine| {
            zombies = machine.running.run(ZOMBIES)?;
            Ok(zombies.iter().all(|line| !line.contains("PPid")).then_some(()))
        });
        buried.with_context(|| format!("there are zombies: {zombies:?}"))
    }

    /// Hears what is said on these subjects from now on. Nothing may be said on them before this returns.
    pub(super) fn witness(&self, subjects: &[&str]) -> Result<Witness> {
        let mut client = self.running.client()?;
        subjects.iter().try_for_each(|subject| client.subscribe(subject))?;
        Ok(Witness { client, kept: Vec::new() })
    }

    /// Waits until it has switched itself off to start again, and does what the boot loader does.
    pub(super) fn restarted(&mut self) -> Result<()> {
        self.running.qemu.qmp.wait_event("SHUTDOWN", PATIENCE, |data| data["reason"] == "guest-reset")?;
        self.running.cut(&self.boot, &self.flash, &self.scratch)?;
        self.running.login()?;
        self.asks = self.running.client()?;
        self.furnish()
    }
}

/// Hears what is said.
pub(super) struct Witness {
    client: Client,
    /// What was said while something else was waited for.
    kept: Vec<(String, Value)>,
}

impl Witness {
    /// The next message, or `None` at the deadline.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<Option<Value>> {
        Ok(self.client.next(deadline)?.map(|message| message.json()))
    }

    /// Waits for a message on `subject` that `wanted` accepts, each once.
    pub(super) fn hear(&mut self, subject: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        if let Some(at) = self.kept.iter().position(|(on, said)| on == subject && wanted(said)) {
            return Ok(self.kept.remove(at).1);
        }
        while let Some(message) = self.client.next(deadline)? {
            let said = message.json();
            if message.subject == subject && wanted(&said) {
                return Ok(said);
            }
            self.kept.push((message.subject, said));
        }
        bail!("{subject} was not said as it should be, but {:?}", self.kept)
    }

    /// Waits for a line of a service's log.
    pub(super) fn hear_line(&mut self, name: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let of = |said: &Value| said["line"].as_str().map(str::to_owned);
        let said =
            self.hear(&format!("service.{name}.log"), |said| of(said).is_some_and(|line| wanted(&line)))?;
        Ok(of(&said).unwrap_or_default())
    }
}
