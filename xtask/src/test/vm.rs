//! On a real kernel: sticks go in and out, and the bus says so, once each and in order.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::example::Example;
use super::gate::Run;
use crate::nats::{Client, Message};
use crate::vm::lunix::Guest;
use crate::vm::stick::{Layout, Stick};

/// From a stick's way in or out to what the bus says about it, on an emulated processor.
const NOTICED: Duration = Duration::from_secs(90);

/// How long nothing more may follow, to believe that nothing will.
const QUIET: Duration = Duration::from_secs(2);

type Scenario = fn(&mut Run, &mut Guest) -> Result<()>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("one stick, one event, one toast", one),
    ("a stick without partitions", whole),
    ("a stick that is mounted, and pulled out", mounted),
    ("ten sticks at once", ten),
    ("ten sticks in haste", haste),
];

pub(super) fn check(run: &mut Run) -> Result<()> {
    let mut guest = Guest::boot("quiet", "", None, |_| {})?;
    run.pass("boot");
    for (name, scenario) in SCENARIOS {
        match scenario(run, &mut guest) {
            Ok(()) => run.pass(name),
            Err(e) => {
                run.fail(name, &format!("{e:#}"));
                guest.console().lines().for_each(|line| run.write(line));
            }
        }
    }
    Ok(())
}

/// Everything that is said about hardware and toasts, in order.
struct Witness {
    client: Client,
    heard: Vec<Message>,
}

impl Witness {
    fn of(guest: &Guest) -> Result<Self> {
        let mut client = guest.client()?;
        client.subscribe("hardware.usb.*")?;
        client.subscribe("toast.*")?;
        Ok(Self { client, heard: Vec::new() })
    }

    /// Listens until `subject` was heard `count` times in all.
    fn hear(&mut self, subject: &str, count: usize) -> Result<()> {
        let deadline = Instant::now() + NOTICED;
        while self.count(subject) < count {
            match self.client.next(deadline)? {
                Some(message) => self.heard.push(message),
                None => bail!(
                    "{subject} came {} times instead of {count} within {NOTICED:?}; heard:\n{}",
                    self.count(subject),
                    self.transcript()
                ),
            }
        }
        Ok(())
    }

    /// Listens until the sticks' stories are as wanted.
    fn hear_until(&mut self, wanted: impl Fn(&BTreeMap<String, Vec<String>>) -> bool) -> Result<()> {
        let deadline = Instant::now() + NOTICED;
        while !wanted(&self.stories()) {
            match self.client.next(deadline)? {
                Some(message) => self.heard.push(message),
                None => bail!("it was not said within {NOTICED:?}; heard:\n{}", self.transcript()),
            }
        }
        Ok(())
    }

    /// Listens while nothing is expected any more.
    fn hear_out(&mut self) -> Result<()> {
        while let Some(message) = self.client.next(Instant::now() + QUIET)? {
            self.heard.push(message);
        }
        Ok(())
    }

    fn count(&self, subject: &str) -> usize {
        self.heard.iter().filter(|message| message.subject == subject).count()
    }

    fn exactly(&self, subject: &str, count: usize) -> Result<()> {
        let heard = self.count(subject);
        ensure!(
            heard == count,
            "{subject} came {heard} times instead of {count}; heard:\n{}",
            self.transcript()
        );
        Ok(())
    }

    fn first(&self, subject: &str) -> Result<Value> {
        let message = self.heard.iter().find(|message| message.subject == subject);
        Ok(message.with_context(|| format!("no {subject}"))?.json())
    }

    fn transcript(&self) -> String {
        self.heard.iter().fold(String::new(), |text, message| {
            text + &format!("  {} {}\n", message.subject, String::from_utf8_lossy(&message.payload))
        })
    }

    /// What was said of each stick: `add`, `remove`, … by serial number.
    fn stories(&self) -> BTreeMap<String, Vec<String>> {
        let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in &self.heard {
            if let Some(action) = message.subject.strip_prefix("hardware.usb.") {
                let serial = message.json()["serial"].as_str().unwrap_or_default().to_owned();
                stories.entry(serial).or_default().push(action.to_owned());
            }
        }
        stories
    }
}

/// The seed's first example, with the official client, beside an independent witness.
fn one(run: &mut Run, guest: &mut Guest) -> Result<()> {
    let mut witness = Witness::of(guest)?;
    let example = Example::start(run, guest.qemu.nats_port, &guest.scratch)?;
    let stick = Stick::make(&guest.scratch, 1, Layout::Partition)?;
    stick.plug(&mut guest.qemu.qmp)?;
    witness.hear("hardware.usb.add", 1)?;
    if example.is_some() {
        witness.hear("toast.show", 1)?;
    }
    witness.hear_out()?;
    witness.exactly("hardware.usb.add", 1)?;
    let toasts = usize::from(example.is_some());
    witness.exactly("toast.in", toasts)?;
    witness.exactly("toast.show", toasts)?;
    volume(&witness.first("hardware.usb.add")?, &stick, "/dev/sda1")?;
    stick.unplug(&mut guest.qemu.qmp)?;
    witness.hear("hardware.usb.remove", 1)?;
    witness.hear_out()?;
    witness.exactly("hardware.usb.add", 1)?;
    witness.exactly("hardware.usb.remove", 1)
}

fn whole(_: &mut Run, guest: &mut Guest) -> Result<()> {
    let mut witness = Witness::of(guest)?;
    let stick = Stick::make(&guest.scratch, 2, Layout::Whole)?;
    stick.plug(&mut guest.qemu.qmp)?;
    witness.hear("hardware.usb.add", 1)?;
    volume(&witness.first("hardware.usb.add")?, &stick, "/dev/sda")?;
    stick.unplug(&mut guest.qemu.qmp)?;
    witness.hear("hardware.usb.remove", 1)?;
    witness.hear_out()?;
    witness.exactly("hardware.usb.add", 1)?;
    witness.exactly("hardware.usb.remove", 1)
}

/// Asked for, it is mounted safely; without its stick it is mounted no more.
fn mounted(_: &mut Run, guest: &mut Guest) -> Result<()> {
    let mut witness = Witness::of(guest)?;
    witness.client.subscribe("volume.*")?;
    let stick = Stick::make(&guest.scratch, 3, Layout::Partition)?;
    stick.plug(&mut guest.qemu.qmp)?;
    witness.hear("hardware.usb.add", 1)?;
    let mut client = guest.client()?;
    let answer = client.request("volume.mount", r#"{"devnode": "/dev/sda1"}"#, NOTICED)?;
    let answer = answer.context("no answer to volume.mount")?.json();
    let target = format!("/media/{}", stick.label);
    ensure!(answer["target"] == target.as_str(), "mounted at {answer} instead of {target}");
    witness.hear("volume.mounted", 1)?;
    let said = witness.first("volume.mounted")?;
    ensure!(said["label"] == stick.label.as_str() && said["fstype"] == "vfat", "{said}");
    stick.unplug(&mut guest.qemu.qmp)?;
    witness.hear("volume.unmounted", 1)?;
    witness.hear("hardware.usb.remove", 1)?;
    let list = client.request("volume.list", "", NOTICED)?.context("no answer to volume.list")?.json();
    ensure!(list.as_array().is_some_and(Vec::is_empty), "still there: {list}");
    witness.exactly("volume.failed", 0)
}

/// The event carries the stick's volume, and where it is.
fn volume(event: &Value, stick: &Stick, devnode: &str) -> Result<()> {
    let is = |what: &str, found: &Value, expected: &str| -> Result<()> {
        ensure!(found == expected, "{what} is {found} instead of {expected:?}, in {event}");
        Ok(())
    };
    is("serial", &event["serial"], &stick.serial())?;
    let volumes = event["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [volume] = volumes else { bail!("{} volumes instead of one, in {event}", volumes.len()) };
    is("devnode", &volume["devnode"], devnode)?;
    is("fstype", &volume["fstype"], "vfat")?;
    is("label", &volume["label"], &stick.label)?;
    is("uuid", &volume["uuid"], &stick.uuid)?;
    let nodes = event["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(nodes.iter().any(|node| node == devnode), "{devnode} is not among the nodes, in {event}");
    Ok(())
}

fn ten(_: &mut Run, guest: &mut Guest) -> Result<()> {
    let mut witness = Witness::of(guest)?;
    let sticks = sticks(guest, 10)?;
    for stick in &sticks {
        stick.plug(&mut guest.qemu.qmp)?;
    }
    witness.hear("hardware.usb.add", sticks.len())?;
    for stick in &sticks {
        stick.unplug(&mut guest.qemu.qmp)?;
    }
    witness.hear("hardware.usb.remove", sticks.len())?;
    witness.hear_out()?;
    let stories = witness.stories();
    for stick in &sticks {
        let story = stories.get(&stick.serial()).cloned().unwrap_or_default();
        ensure!(
            story == ["add", "remove"],
            "{} went {story:?}; heard:\n{}",
            stick.serial(),
            witness.transcript()
        );
    }
    witness.exactly("hardware.usb.add", sticks.len())?;
    witness.exactly("hardware.usb.remove", sticks.len())
}

/// Each stays in for less time than the kernel needs to find its disk, or for a little more. Nobody can say
/// whether it was ready in time; but what is removed was added before, and nothing stays.
fn haste(run: &mut Run, guest: &mut Guest) -> Result<()> {
    let mut witness = Witness::of(guest)?;
    for (stick, stay) in sticks(guest, 20)?.iter().zip((0..).step_by(250)) {
        stick.plug(&mut guest.qemu.qmp)?;
        thread::sleep(Duration::from_millis(stay));
        stick.unplug(&mut guest.qemu.qmp)?;
    }
    // One more, unhurried, comes behind all of them.
    let last = Stick::make(&guest.scratch, 30, Layout::Partition)?;
    last.plug(&mut guest.qemu.qmp)?;
    witness.hear_until(|stories| stories.contains_key(&last.serial()))?;
    last.unplug(&mut guest.qemu.qmp)?;
    witness
        .hear_until(|stories| stories.values().all(|story| story.last().is_some_and(|at| at == "remove")))?;
    witness.hear_out()?;
    run.write(&format!("{} of 11 were in for long enough", witness.count("hardware.usb.add")));
    for (serial, story) in witness.stories() {
        ensure!(story == ["add", "remove"], "{serial} went {story:?}; heard:\n{}", witness.transcript());
    }
    let list = guest.client()?.request("hardware.usb.list", "", NOTICED)?.context("no answer")?.json();
    let left =
        list.as_array().into_iter().flatten().filter(|device| device["serial"].as_str().is_some_and(ours));
    ensure!(left.count() == 0, "sticks stay in the list: {list}");
    Ok(())
}

/// A serial number that [`Stick`] gave.
fn ours(serial: &str) -> bool {
    serial.starts_with("LUNIX-")
}

fn sticks(guest: &Guest, first: u16) -> Result<Vec<Stick>> {
    (first..first + 10).map(|number| Stick::make(&guest.scratch, number, Layout::Partition)).collect()
}
