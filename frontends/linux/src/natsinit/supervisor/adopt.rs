//! The table of what outlives us: written as things change, and read by the one that comes after us.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use lunix_core::supervise::{Exit, Input, Saved, ServiceId, State};
use rustix::process::{Pid, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::super::boot::end::Ending;
use super::super::plan;
use super::super::process::{Listens, kill_family};
use super::super::resume::{Number, Of, Own, Record, SOCKETS};
use super::super::terminal::Look;
use super::service::{Child, Made, NotifySocket, Parts};
use super::{Origin, Supervisor, Token};
use crate::log::{self, Level};
use crate::reactor::Reactor;

/// A service as the one before us has left it.
#[derive(Debug)]
pub(super) struct Before {
    name: String,
    record: Record,
    process: Option<OwnedFd>,
    output: Option<OwnedFd>,
    ready: Option<OwnedFd>,
    notify: Option<OwnedFd>,
    listens: Option<OwnedFd>,
    sockets: Vec<Option<OwnedFd>>,
}

impl Supervisor {
    /// The record of a service in the table is old.
    pub(super) fn note(&mut self, id: ServiceId) {
        if let Ok(place) = u16::try_from(id.index())
            && !self.stale.contains(&place)
        {
            self.stale.push(place);
        }
    }

    /// A descriptor of a service was closed: whatever gets its number next is not to be taken for it.
    pub(super) fn let_go(&self, id: ServiceId, what: Of) {
        if let Ok(place) = u16::try_from(id.index()) {
            self.table.keep(place, what, None);
        }
    }

    /// Writes every record that is old.
    pub(super) fn write_table(&mut self) {
        while let Some(id) = self.system.changed() {
            self.note(id);
        }
        for place in std::mem::take(&mut self.stale) {
            let id = ServiceId::new(place);
            let Some((service, saved)) = self.service(id).zip(self.system.save(id)) else { continue };
            let record = Record {
                saved: saved.encode(),
                made: service.child.as_ref().and_then(|child| child.made).map(Made::numbers),
                times: service.times,
                timer: service.trigger.timer,
            };
            self.table.save(place, service.name(), &record);
        }
        self.table.set(Number::Healthy, u32::from(self.awaited.is_none()));
    }

    /// Takes over everything that the one before us has left, and empties the table.
    pub(super) fn records(&mut self) -> Vec<Before> {
        let records: Vec<_> = self.table.records().collect();
        let before = records.into_iter().map(|(place, name, record)| {
            let take = |what| self.table.inherit(place, what);
            let before = Before {
                name,
                process: take(Of::Process),
                output: take(Of::Output),
                ready: take(Of::Ready),
                notify: take(Of::Notify),
                listens: take(Of::Listens),
                sockets: (0..SOCKETS).map(|at| take(Of::Socket(at))).collect(),
                record,
            };
            self.table.forget(place);
            before
        });
        before.collect()
    }

    /// Goes on with what the one before us has left.
    pub(super) fn adopt(&mut self, before: Vec<Before>, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        self.end_newborn(&before);
        let mut gone = Vec::new();
        for before in before {
            let name = before.name.clone();
            let known = self.find(&name);
            let id = known.or_else(|| {
                // Its file is gone or broken: what runs goes on, and does not start again.
                self.add(plan::remnant(&name), Origin::File, now)
            });
            let Some(id) = id else { continue };
            if known.is_none() {
                self.line(id, Look::WARN, "goes on without a file of its own");
            }
            gone.extend(self.adopt_one(reactor, id, before));
        }
        for (service, pid) in gone {
            // How it ended is nowhere to be learned.
            self.tell(reactor, Input::Exited { service, pid, exit: Exit::Code(-1) });
        }
        if self.resumed {
            self.read_word();
            if self.table.number(Number::Healthy) > 0 {
                self.awaited = None;
            }
        }
    }

    /// Ends the process that the one before us was making and did not live to know: its service starts anew.
    fn end_newborn(&self, before: &[Before]) {
        let number = self.table.number(Number::Newborn);
        self.table.set(Number::Newborn, 0);
        let process = |before: &Before| Saved::decode(&before.record.saved)?.pid();
        let known = before.iter().any(|before| process(before) == Some(number));
        let Some(pid) = Pid::from_raw(number.cast_signed()).filter(|_| !known) else { return };
        // A child of ours that was not waited for, so it is the one that was made.
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(pid), peek).is_ok() {
            kill_family(pid);
        }
    }

    fn adopt_one(
        &mut self,
        reactor: &mut Reactor<Token>,
        id: ServiceId,
        before: Before,
    ) -> Option<(ServiceId, u32)> {
        let Before { name, record, process, output, ready, notify, listens, sockets } = before;
        let place = u16::try_from(id.index()).ok()?;
        let saved = Saved::decode(&record.saved);
        let (folder, table) = (self.folder.clone(), self.table);
        let saved_pid = saved.and_then(|saved| saved.pid());
        if let Some(saved) = saved
            && let Err(error) = self.system.restore(id, saved)
        {
            log::line(Level::Error, self.name, format_args!("{name}: {error}"));
        }
        for (which, time) in record.times.iter().enumerate() {
            if let Some(time) = time {
                self.stamp(id, which, *time);
            }
        }
        let service = self.service_mut(id)?;
        service.adopted = saved.is_some();
        service.trigger.timer = record.timer;
        let names = match &service.definition.activation {
            super::Activation::Sockets(wanted) => wanted.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        for (at, (name, fd)) in names.into_iter().zip(sockets).enumerate() {
            if let Some(fd) = fd {
                table.keep(place, Of::Socket(at), Some(fd.as_fd()));
                service.trigger.sockets.push((name, fd, None));
            }
        }
        if let Some(fd) = notify
            && let Ok(socket) = NotifySocket::adopt(fd, &service.definition, place, &folder, reactor)
        {
            table.keep(place, Of::Notify, Some(socket.as_fd()));
            service.notify = Some(socket);
        }
        let Some(pidfd) = process else { return saved_pid.map(|pid| (id, pid)) };
        let Some(pid) = saved_pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) else {
            // It was made, and its word never came: nobody knows how far it got.
            let _ = pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            return None;
        };
        let parts = Parts { pid, pidfd, output, ready, listens: listens.map(Listens::from_fd) };
        table.keep(place, Of::Process, Some(parts.pidfd.as_fd()));
        table.keep(place, Of::Output, parts.output.as_ref().map(|fd| fd.as_fd()));
        table.keep(place, Of::Ready, parts.ready.as_ref().map(|fd| fd.as_fd()));
        table.keep(place, Of::Listens, parts.listens.as_ref().map(Listens::as_fd));
        service.child = Child::watch(parts, place, reactor).ok();
        if let Some(child) = &mut service.child {
            child.made = record.made.and_then(Made::from_numbers);
        }
        let groups = self.groups.as_ref();
        if let Some(service) = self.services.get_mut(id.index()).and_then(Option::as_mut)
            && let Some(groups) = groups
        {
            service.group =
                groups.make(&service.definition.name, &service.definition.limits).ok().map(Box::new);
            // The one before us may have killed what was in it once.
            service.group.iter().for_each(|group| group.suspect());
        }
        None
    }

    /// After everything is in its place: what waits waits again, who ended meanwhile is found, and what was begun goes on.
    pub(super) fn go_on(&mut self, reactor: &mut Reactor<Token>, after_fault: bool) {
        let waiting: Vec<_> = self
            .present()
            .filter(|(_, service)| service.adopted)
            .filter_map(|(id, _)| self.system.status(id))
            .collect();
        for report in waiting {
            if report.state == State::Waiting {
                self.follow_trigger(reactor, &report);
            }
            // What the one before us had to tell may be lost with it.
            if after_fault
                && let Some(service) = self.service(report.service).filter(|service| service.is_public())
            {
                let name = service.definition.name.clone();
                self.link.tell(&name, &report);
            }
        }
        if let Some(ending) = Ending::from_number(self.table.number(Number::Ending)) {
            self.end(reactor.now(), ending);
        }
        self.tell(reactor, Input::Tick);
        self.reap_orphans(reactor);
    }

    /// Leaves behind what the bus was not told of, and the last lines of services.
    pub(super) fn leave_word(&mut self) {
        let Ok(fd) = rustix::fs::memfd_create("natsinit-word", rustix::fs::MemfdFlags::CLOEXEC) else {
            return;
        };
        let mut file = File::from(fd);
        let mut all = Vec::new();
        let mut part = |kind: u8, texts: [&[u8]; 3]| {
            all.push(kind);
            for text in texts {
                all.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
                all.extend_from_slice(text);
            }
        };
        for (subject, payload) in self.link.untold() {
            part(EVENT, [subject, payload, b""]);
        }
        for (_, service) in self.present() {
            for line in service.log.iter().flat_map(|log| log.lines()) {
                part(LINE, [service.name().as_bytes(), line.text.as_bytes(), &line.at_us.to_le_bytes()]);
            }
        }
        if file.write_all(&all).and_then(|()| file.rewind()).is_ok() {
            self.table.keep_own(Own::Told, Some(file.as_fd()));
            self.word = Some(file.into());
        }
    }

    fn read_word(&mut self) {
        let Some(fd) = self.table.inherit_own(Own::Told) else { return };
        self.table.keep_own(Own::Told, None);
        let mut all = Vec::new();
        if File::from(fd).read_to_end(&mut all).is_err() {
            return;
        }
        let mut rest = all.as_slice();
        while let Some((kind, texts)) = take_part(&mut rest) {
            let [one, two, three] = texts;
            match kind {
                EVENT => self.link.keep(one, two),
                LINE => {
                    let at = three.try_into().map_or(0, u64::from_le_bytes);
                    let id = std::str::from_utf8(one).ok().and_then(|name| self.find(name));
                    if let Some(service) = id.and_then(|id| self.service_mut(id)) {
                        service.log().restore(at, &String::from_utf8_lossy(two));
                    }
                }
                _ => return,
            }
        }
    }
}

const EVENT: u8 = 1;
const LINE: u8 = 2;

fn take_part<'b>(rest: &mut &'b [u8]) -> Option<(u8, [&'b [u8]; 3])> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    let mut text = || {
        let (len, after) = rest.split_first_chunk()?;
        let (text, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        *rest = after;
        Some(text)
    };
    Some((*kind, [text()?, text()?, text()?]))
}
