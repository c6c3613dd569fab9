//! What services write and say.

use lunix_core::supervise::notify::{Notice, newline, notices};
use lunix_core::supervise::{Input, ServiceId, encode_log};
use lunix_core::time::{Duration, Instant};

use super::super::definition::Notification;
use super::super::process::{Heard, covers};
use super::super::resume::Of;
use super::super::ring::Turn;
use super::super::terminal::Look;
use super::saying::reading;
use super::service::log;
use super::{Supervisor, Token};
use crate::reactor::{Key, Reactor};

/// The longest `STATUS=` that is kept.
const STATUS: usize = 256;
/// Datagrams, or questions, of one service before others have their turn.
const SHARE: usize = 16;

/// A line as it was read.
type Line = (u64, String, u64);

impl Supervisor {
    /// Reads a service's fair share of output.
    pub(super) fn read_output(&mut self, reactor: &mut Reactor<Token>, id: ServiceId) {
        let now = reactor.now();
        let Some(service) = self.service_mut(id) else { return };
        let Some((pipe, key)) = service.child.as_ref().and_then(|child| child.output.as_ref()) else {
            return;
        };
        let mut lines: Vec<Line> = Vec::new();
        let log = log(&mut service.log, &service.definition);
        let turn = log.read(now, std::os::fd::AsFd::as_fd(pipe), |line| {
            lines.push((line.at_us, line.text.to_owned(), line.dropped));
        });
        match turn {
            Turn::More => {}
            Turn::Blocked => reactor.read_blocked(*key),
            Turn::End => {
                if let Some(child) = &mut service.child {
                    child.close_output(reactor);
                }
                self.let_go(id, Of::Output);
            }
        }
        self.show(now, id, lines);
    }

    /// Reads what a process that has ended left in its pipes, and on its socket.
    pub(super) fn read_rest(&mut self, reactor: &mut Reactor<Token>, id: ServiceId) {
        self.take_notices(reactor, id);
        let now = reactor.now();
        let Some(service) = self.service_mut(id) else { return };
        let mut lines: Vec<Line> = Vec::new();
        let pipe = service.child.as_ref().and_then(|child| child.output.as_ref());
        log(&mut service.log, &service.definition).end(
            now,
            pipe.map(|(pipe, _)| std::os::fd::AsFd::as_fd(pipe)),
            |line| {
                lines.push((line.at_us, line.text.to_owned(), line.dropped));
            },
        );
        self.show(now, id, lines);
    }

    fn show(&mut self, now: Instant, id: ServiceId, lines: Vec<Line>) {
        let Some(service) = self.service(id) else { return };
        let (shown, name) = (service.definition.output.show, service.definition.name.clone());
        for line in lines {
            if shown {
                if line.2 > 0 {
                    self.line(id, Look::WARN, &format!("… {} lines were too many", line.2));
                }
                let (look, text) = reading(&name, &line.1);
                self.line(id, look, text);
            }
            self.publish(id, &line);
        }
        let trouble = self.service_mut(id).and_then(|service| service.log.as_mut()?.trouble());
        match trouble {
            Some(Err(error)) => self.remark(now, id, Look::BAD, &format!("its log file: {error}")),
            Some(Ok(lost)) => {
                let text = format!("its log file can be written again; {lost} lines are not in it");
                self.remark(now, id, Look::WARN, &text);
            }
            None => {}
        }
    }

    /// A line about a service that stands among its own, too, and that the bus is told.
    pub(super) fn remark(&mut self, now: Instant, id: ServiceId, look: Look, text: &str) {
        self.line(id, look, text);
        let Some(service) = self.service_mut(id) else { return };
        let mut remark = None;
        service.log().push(now, text, |line| remark = Some((line.at_us, line.text.to_owned(), line.dropped)));
        if let Some(line) = remark {
            self.publish(id, &line);
        }
    }

    fn publish(&mut self, id: ServiceId, (at_us, text, dropped): &Line) {
        let is_server = self.own_server() == Some(id);
        // What a server says of its messages must not become one.
        let Some(service) = self.service(id).filter(|service| service.is_public() && !is_server) else {
            return;
        };
        let name = service.definition.name.clone();
        let line = encode_log::Line { at: Instant::from_micros(*at_us), text: text.as_bytes() };
        self.link.log(&name, &line, *dropped);
    }

    /// A datagram has come on the socket of a service.
    pub(super) fn read_notice(&mut self, reactor: &mut Reactor<Token>, key: Key, id: ServiceId) {
        if self.service(id).is_some_and(|service| service.child.is_some()) {
            // What it wrote before comes before.
            self.read_output(reactor, id);
        }
        if self.take_notices(reactor, id) {
            reactor.read_blocked(key);
        }
    }

    /// Takes a fair share of datagrams; whether there is none left.
    pub(super) fn take_notices(&mut self, reactor: &mut Reactor<Token>, id: ServiceId) -> bool {
        let mut space = [0; 4096];
        for _ in 0..SHARE {
            let Some(service) = self.service_mut(id) else { return true };
            let Some(datagram) = service.notify.as_ref().and_then(|socket| socket.receive(&mut space)) else {
                return true;
            };
            if service.child.is_none() {
                continue;
            }
            // Whose readiness it is comes first.
            for notice in notices(datagram) {
                if let Notice::MainPid(main) = notice {
                    self.follow(reactor, id, main);
                }
            }
            let Some(pid) = self.service(id).and_then(|service| Some(service.child.as_ref()?.number()))
            else {
                continue;
            };
            for notice in notices(datagram) {
                let input = match notice {
                    Notice::Ready => Input::Ready { service: id, pid },
                    Notice::Watchdog => Input::Alive { service: id, pid },
                    Notice::Extend(micros) => Input::Extend {
                        service: id,
                        pid,
                        by: Duration::from_micros(micros.min(3_600_000_000)),
                    },
                    Notice::Status(text) => {
                        if let Some(service) = self.service_mut(id) {
                            let text = String::from_utf8_lossy(text);
                            service.status = text.chars().filter(|c| !c.is_control()).take(STATUS).collect();
                        }
                        continue;
                    }
                    Notice::MainPid(_) | Notice::Stopping | Notice::Reloading | Notice::Unknown(_) => {
                        continue;
                    }
                };
                self.tell(reactor, input);
            }
        }
        false
    }

    /// Something has come on the descriptor of a service (s6).
    pub(super) fn read_descriptor(&mut self, reactor: &mut Reactor<Token>, key: Key, id: ServiceId) {
        let mut space = [0; 256];
        let Some(child) = self.service_mut(id).and_then(|service| service.child.as_mut()) else { return };
        let pid = child.number();
        let Some((fd, _)) = &child.ready else { return };
        match rustix::io::read(fd, &mut space) {
            Ok(0) => {
                child.close_ready(reactor);
                self.let_go(id, Of::Ready);
            }
            Ok(length) if newline(space.get(..length).unwrap_or_default()) => {
                child.close_ready(reactor);
                self.let_go(id, Of::Ready);
                self.read_output(reactor, id);
                self.tell(reactor, Input::Ready { service: id, pid });
            }
            Ok(_) => {}
            Err(_) => reactor.read_blocked(key),
        }
    }

    /// A service wants to listen.
    pub(super) fn read_listens(&mut self, reactor: &mut Reactor<Token>, key: Key, id: ServiceId) {
        for _ in 0..SHARE {
            let Some(service) = self.service_mut(id) else { return };
            let Notification::Listens(wanted) = service.definition.readiness.clone() else { return };
            let Some(child) = service.child.as_mut() else { return };
            let pid = child.number();
            let Some((listens, _)) = &child.listens else { return };
            match listens.next() {
                Ok(Some(Heard::Address(address))) => {
                    if wanted.iter().any(|wanted| covers(&address, wanted)) {
                        self.tell(reactor, Input::Ready { service: id, pid });
                    }
                }
                Ok(Some(Heard::Somewhere)) => self.tell(reactor, Input::Ready { service: id, pid }),
                Ok(Some(Heard::Other)) => {}
                Ok(None) => return reactor.read_blocked(key),
                Err(_) => {
                    child.close_listens(reactor);
                    return self.let_go(id, Of::Listens);
                }
            }
        }
    }
}
