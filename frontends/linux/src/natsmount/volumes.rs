//! Does what the model of volumes decides, and says it.

use std::collections::VecDeque;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use lunix_core::mount::{
    Action, Errno, Facts, Input, Limits, Refusal, State, Told, VolumeId, Volumes, Wish, encode,
};
use lunix_core::time::Instant;
use lunix_proto::Full;
use lunix_proto::json::{self, Writer};

use super::folders::Folders;
use super::jobs::{Jobs, Work, device_of, medium_of};
use super::rules::{self, Candidate, Class, Plan, Rule};
use super::table::Table;
use super::{NAME, Token, requests};
use crate::bus::{Bus, Message};
use crate::encoded::fill;
use crate::log::{self, Level};
use crate::reactor::monotonic;
use crate::terminal::one_line;

/// Volumes at the same time.
const VOLUMES: usize = 64;
/// Who waits for one volume at the same time.
const WAITING: usize = 8;

/// The volumes, and what is known of them besides the model.
pub(super) struct Keeper {
    pub(super) volumes: Box<Volumes<VOLUMES>>,
    beside: Vec<Beside>,
    pub(super) rules: Vec<Rule>,
    pub(super) jobs: Jobs,
    pub(super) table: Table,
    folders: Folders,
    out: Vec<u8>,
}

/// What is known of a volume besides the model.
#[derive(Clone, Debug, Default)]
struct Beside {
    number: (u32, u32),
    /// The medium in it, if the kernel numbers them.
    medium: Option<u64>,
    /// The device that it is in.
    device: Vec<u8>,
    plan: Option<Plan>,
    /// Who has asked for what is being done.
    waiting: Vec<Message>,
}

impl Keeper {
    pub(super) fn new(limits: Limits, rules: Vec<Rule>, folders: Folders, table: Table) -> Self {
        Self {
            volumes: Box::new(Volumes::new(limits)),
            beside: vec![Beside::default(); VOLUMES],
            rules,
            jobs: Jobs::default(),
            table,
            folders,
            out: vec![0; 1 << 10],
        }
    }

    /// What was mounted in an earlier life is ours, and what of it has gone meanwhile is unmounted.
    pub(super) fn take_over(&mut self, bus: &mut Bus<Token>) {
        for (target, note) in self.folders.noted() {
            let target = target.as_os_str().as_bytes();
            let Some(mount) = self.table.at(target).cloned() else {
                self.remove(target);
                continue;
            };
            let object = json::parse(&note).ok().and_then(|note| note.as_object());
            let text = |key: &str| {
                let value = object.and_then(|object| object.get(key)).and_then(|value| value.as_str());
                value.map(|text| text.chars().collect::<String>()).unwrap_or_default()
            };
            let [devnode, fstype, label, uuid] = ["devnode", "fstype", "label", "uuid"].map(text);
            let facts = Facts {
                devnode: devnode.as_bytes(),
                fstype: fstype.as_bytes(),
                label: label.as_bytes(),
                uuid: uuid.as_bytes(),
            };
            let Ok(id) = self.handle(bus, Input::Present(facts, Wish::Ours(target))) else { continue };
            let medium = object.and_then(|object| object.get("medium")).and_then(|value| value.as_u64());
            let number = device_of(facts.devnode)
                .filter(|number| *number == mount.device || mount.source == facts.devnode)
                .filter(|number| !is_another(medium, medium_of(*number)));
            let Some(number) = number else {
                let _ = self.handle(bus, Input::Gone(facts.devnode));
                continue;
            };
            let plan = rules::asked(&self.rules, &Candidate { class: Class::Usb, facts, device: None });
            if let Some(beside) = self.beside.get_mut(id.index()) {
                *beside = Beside { number, medium, plan: Some(plan), ..Beside::default() };
            }
        }
    }

    /// A volume is there.
    pub(super) fn present(
        &mut self,
        bus: &mut Bus<Token>,
        candidate: &Candidate<'_>,
        device: &[u8],
        asked: bool,
    ) -> Result<VolumeId, Refusal> {
        let devnode = candidate.facts.devnode;
        // The node may be gone again; and whoever says it is no device at all is not to lead us elsewhere.
        let safe =
            devnode.starts_with(b"/dev/") && !devnode.split(|byte| *byte == b'/').any(|part| part == b"..");
        let number = Some(devnode).filter(|_| safe).and_then(device_of).ok_or(Refusal::Unknown)?;
        let medium = medium_of(number);
        // Nobody has said that the last one went: natsdev or the server was away.
        if let Some(old) = self.volumes.find(devnode).and_then(|id| self.beside.get(id.index()))
            && is_another(old.medium, medium)
        {
            let _ = self.handle(bus, Input::Gone(devnode));
        }
        let plan = rules::asked(&self.rules, candidate);
        let wanted = !asked && rules::decide(&self.rules, candidate).is_some();
        let elsewhere = self.elsewhere(number, devnode);
        let wish = match &elsewhere {
            Some(target) => Wish::Theirs(target),
            None if wanted => Wish::Mount,
            None => Wish::Leave,
        };
        let known = self.volumes.find(devnode).and_then(|id| self.volumes.get(id)).map(|volume| volume.state);
        if let (None, Some(target)) = (known, &elsewhere) {
            let text =
                format_args!("{}: mounted on {} already; left alone", one_line(devnode), one_line(target));
            log::line(Level::Info, NAME, text);
        }
        let id = self.volumes.handle(monotonic(), Input::Present(candidate.facts, wish))?;
        if let Some(beside) = self.beside.get_mut(id.index()) {
            beside.device = device.to_vec();
            // What is being done with it goes on as it was planned.
            if matches!(known, None | Some(State::Present | State::Theirs)) {
                (beside.number, beside.medium, beside.plan) = (number, medium, Some(plan));
            }
        }
        // Only now: the model may want it mounted at once.
        self.carry_out(bus);
        Ok(id)
    }

    /// Where somebody else has mounted it.
    fn elsewhere(&self, number: (u32, u32), devnode: &[u8]) -> Option<Vec<u8>> {
        // Of one that went and came again, the old mount may be there for a moment.
        let is_ours = |target: &[u8]| {
            let mut volumes = self.volumes.iter().map(|(_, volume)| volume);
            volumes.any(|volume| volume.target == target && volume.state != State::Theirs)
        };
        let mut mounts = self.table.of(number, devnode);
        mounts.find(|mount| !is_ours(&mount.target)).map(|mount| mount.target.clone())
    }

    /// All volumes of `device` that are not among `still` are gone, and all whose node is.
    pub(super) fn gone(&mut self, bus: &mut Bus<Token>, device: Option<&[u8]>, still: &[Vec<u8>]) {
        let mut gone = Vec::new();
        for (id, volume) in self.volumes.iter() {
            let Some(beside) = self.beside.get(id.index()) else { continue };
            let of_it = device.is_some_and(|device| beside.device == device);
            let devnode = volume.facts.devnode;
            if (of_it && !still.iter().any(|node| node == devnode)) || device_of(devnode).is_none() {
                gone.push(devnode.to_vec());
            }
        }
        for devnode in gone {
            let _ = self.handle(bus, Input::Gone(&devnode));
        }
    }

    /// Somebody wants it mounted or unmounted, and waits for the answer.
    pub(super) fn ask(&mut self, bus: &mut Bus<Token>, input: Input<'_>, message: Message) {
        let id = match self.volumes.handle(monotonic(), input) {
            Ok(id) => id,
            Err(refusal) => return requests::refuse(bus, &message, "409", &refusal.to_string()),
        };
        if let Some(beside) = self.beside.get_mut(id.index())
            && beside.waiting.len() < WAITING
        {
            beside.waiting.push(message);
        }
        self.carry_out(bus);
    }

    /// Something was mounted or unmounted, by whomever.
    pub(super) fn look_at_table(&mut self, bus: &mut Bus<Token>) {
        if let Err(error) = self.table.refresh() {
            return log::line(Level::Error, NAME, format_args!("/proc/self/mountinfo: {error}"));
        }
        let (mut lost, mut theirs) = (Vec::new(), Vec::new());
        for (id, volume) in self.volumes.iter() {
            let is_mounted = self.table.at(volume.target).is_some();
            if matches!(volume.state, State::Mounted | State::Theirs) && !is_mounted {
                lost.push((id, volume.target.to_vec()));
            }
            if volume.state == State::Present
                && let Some(beside) = self.beside.get(id.index())
                && let Some(mount) = self.table.of(beside.number, volume.facts.devnode).next()
            {
                theirs.push((id, mount.target.clone()));
            }
        }
        for (id, target) in lost {
            let _ = self.handle(bus, Input::Lost(id));
            self.remove(&target);
        }
        for (id, target) in theirs {
            let _ = self.handle(bus, Input::Taken(id, &target));
        }
    }

    /// What was asked of the kernel is done, or failed.
    pub(super) fn outcome(&mut self, bus: &mut Bus<Token>, id: VolumeId, error: Option<u16>) {
        // The table must know of it before the next event about the same node.
        let _ = self.table.refresh();
        let Some(volume) = self.volumes.get(id) else { return };
        let (state, target) = (volume.state, volume.target.to_vec());
        // A child may have been killed just after it had mounted.
        let mounted = state == State::Mounting && self.table.at(&target).is_some();
        let error = error.filter(|_| !mounted);
        let input = match error {
            None => Input::Done(id),
            Some(errno) => Input::Failed(id, Errno(errno)),
        };
        let _ = self.handle(bus, input);
        if (state == State::Unmounting) == error.is_none() {
            self.remove(&target);
        }
    }

    pub(super) fn handle(&mut self, bus: &mut Bus<Token>, input: Input<'_>) -> Result<VolumeId, Refusal> {
        let result = self.volumes.handle(monotonic(), input);
        self.carry_out(bus);
        result
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.volumes.next_deadline(), self.jobs.next_deadline()].into_iter().flatten().min()
    }

    fn carry_out(&mut self, bus: &mut Bus<Token>) {
        let mut answers = VecDeque::new();
        loop {
            while let Some(action) = self.volumes.poll() {
                match action {
                    Action::Mount(id) => {
                        if let Err(errno) = self.mount(id) {
                            answers.push_back((id, errno));
                        }
                    }
                    Action::Unmount(id) | Action::Detach(id) => {
                        let Some(volume) = self.volumes.get(id) else { continue };
                        let detach = matches!(action, Action::Detach(_));
                        self.jobs.push(id, Work::Unmount { target: volume.target.to_vec(), detach });
                    }
                    Action::Abandon(id) => {
                        if self.jobs.abandon(id).is_some() {
                            answers.push_back((id, Errno::TIMED_OUT));
                        }
                    }
                    Action::Say(id, told) => self.say(bus, id, told),
                }
            }
            let Some((id, errno)) = answers.pop_front() else { return };
            let _ = self.volumes.handle(monotonic(), Input::Failed(id, errno));
        }
    }

    fn mount(&mut self, id: VolumeId) -> Result<(), Errno> {
        const INVALID: Errno = Errno(libc::EINVAL as u16);
        let (Some(volume), Some(beside)) = (self.volumes.get(id), self.beside.get(id.index())) else {
            return Err(INVALID);
        };
        let facts = volume.facts;
        let plan = beside.plan.as_ref().ok_or(INVALID)?;
        let note = note(&facts, beside.medium).map_err(|_| INVALID)?;
        let target = self.folders.make(&plan.name, &note).map_err(|error| {
            log::line(Level::Warn, NAME, format_args!("no folder {}: {error}", plan.name.as_str()));
            Errno(error.raw_os_error().and_then(|errno| u16::try_from(errno).ok()).unwrap_or(INVALID.0))
        })?;
        let target = target.as_os_str().as_bytes().to_vec();
        self.jobs.push(
            id,
            Work::Mount {
                devnode: facts.devnode.to_vec(),
                device: beside.number,
                target: target.clone(),
                fstype: String::from_utf8_lossy(facts.fstype).into_owned(),
                options: plan.options.clone(),
            },
        );
        if self.volumes.place(id, &target).is_err() {
            self.jobs.abandon(id);
            self.remove(&target);
            return Err(Errno(libc::ENAMETOOLONG as u16));
        }
        Ok(())
    }

    fn say(&mut self, bus: &mut Bus<Token>, id: VolumeId, told: Told) {
        let Some(volume) = self.volumes.get(id) else { return };
        let error = match told {
            Told::NotMounted(errno) | Told::NotUnmounted(errno) => why(errno, told, volume.facts.fstype),
            _ => String::new(),
        };
        let [devnode, target] = [volume.facts.devnode, volume.target].map(one_line);
        match told {
            Told::Mounted => log::line(Level::Info, NAME, format_args!("{devnode}: mounted on {target}")),
            Told::Again => {}
            Told::Unmounted => {
                log::line(Level::Info, NAME, format_args!("{devnode}: unmounted from {target}"))
            }
            Told::NotMounted(_) => {
                log::line(Level::Warn, NAME, format_args!("{devnode}: not mounted: {error}"))
            }
            Told::NotUnmounted(_) => {
                log::line(Level::Warn, NAME, format_args!("{devnode}: not unmounted: {error}"))
            }
        }
        let length = fill(&mut self.out, |out| encode::event(out, volume, told, &error));
        let payload = self.out.get(..length).unwrap_or_default();
        let _ = bus.publish(encode::subject(told), payload);
        if told != Told::Again {
            let waiting = self.beside.get_mut(id.index()).map(|beside| std::mem::take(&mut beside.waiting));
            for message in waiting.into_iter().flatten() {
                match told {
                    Told::NotMounted(_) | Told::NotUnmounted(_) => {
                        requests::refuse(bus, &message, "500", &error)
                    }
                    _ => drop(bus.respond(&message, payload)),
                }
            }
        }
    }

    pub(super) fn list(&mut self, bus: &mut Bus<Token>, message: &Message) {
        let volumes = &self.volumes;
        let length = fill(&mut self.out, |out| encode::list(out, volumes.iter().map(|(_, volume)| volume)));
        let _ = bus.respond(message, self.out.get(..length).unwrap_or_default());
    }

    /// Removes a folder if it is ours.
    fn remove(&self, target: &[u8]) {
        if self.table.at(target).is_none()
            && let Err(error) = self.folders.remove(target)
        {
            log::line(Level::Warn, NAME, format_args!("{}: {error}", one_line(target)));
        }
    }
}

/// Both are known, and differ.
fn is_another(old: Option<u64>, new: Option<u64>) -> bool {
    old.zip(new).is_some_and(|(old, new)| old != new)
}

/// What is noted of a folder: what is mounted there.
fn note(facts: &Facts<'_>, medium: Option<u64>) -> Result<Vec<u8>, Full> {
    let mut out = vec![0; 4 << 10];
    let mut json = Writer::new(&mut out);
    json.begin_object();
    let texts =
        [("devnode", facts.devnode), ("fstype", facts.fstype), ("label", facts.label), ("uuid", facts.uuid)];
    for (key, text) in texts {
        json.key(key).string_bytes(text);
    }
    if let Some(medium) = medium {
        json.key("medium").number(medium);
    }
    let length = json.end_object().finish()?;
    out.truncate(length);
    Ok(out)
}

/// An error in words.
fn why(errno: Errno, told: Told, fstype: &[u8]) -> String {
    let mounts = matches!(told, Told::NotMounted(_));
    match i32::from(errno.0) {
        libc::ENODEV if mounts => format!("this kernel has no {}", one_line(fstype)),
        libc::EINVAL if mounts => format!("no {}, or one that is broken", one_line(fstype)),
        libc::EBUSY if !mounts => "somebody uses it".into(),
        errno => io::Error::from_raw_os_error(errno).to_string(),
    }
}

/// The node of the volume that is mounted at `target`.
pub(super) fn node_at(keeper: &Keeper, target: &str) -> Option<Vec<u8>> {
    let target = Path::new(target).as_os_str().as_bytes();
    let volume = keeper.volumes.iter().find(|(_, volume)| volume.target == target);
    volume.map(|(_, volume)| volume.facts.devnode.to_vec())
}
