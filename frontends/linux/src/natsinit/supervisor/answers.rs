//! What is asked on the bus, and what comes over it that services wait for.

use lunix_core::supervise::{Input, Report, ServiceId, encode_log};
use lunix_core::time::Instant;
use lunix_proto::json;
use rustix::process::Signal;

use super::super::definition::{Activation, Notification};
use super::super::link::{self, Refusal, Request, Verb};
use super::super::machine::boot::Service as Booted;
use super::super::machine::{Reply, Scope};
use super::super::usage;
use super::service::Service;
use super::{Supervisor, Token, activation};
use crate::bus::Message;
use crate::reactor::Reactor;

/// The most lines of a tail.
const TAIL: usize = 1000;

const ENDING: &str = "everything is being stopped";

impl Supervisor {
    /// Does what a message asks for, and answers.
    pub(super) fn take_message(&mut self, reactor: &mut Reactor<Token>, message: &Message, request: Request) {
        let answer = match request {
            Request::Heard => return self.hear(reactor, message),
            Request::List => Ok(self.list(|supervisor, _, report, service| {
                Some(link::report(service.name(), &supervisor.seen(report)))
            })),
            Request::Usages => {
                Ok(self
                    .list(|_, _, report, service| Some(link::usage(service.name(), &used(service, report)?))))
            }
            Request::Boot => Ok(self.boot_times()),
            Request::Reload => self.answer_reload(reactor, message.payload()),
            Request::Machine => match self.machine.answer(message.subject(), message.payload()) {
                Some(Reply::Tell(answer)) => Ok(answer),
                Some(Reply::Refuse(why)) => Err(Refusal::wrong(why)),
                Some(Reply::Obey { order, reason, answer }) => {
                    self.link.answer(message, &answer);
                    return self.obey(reactor, order, &reason);
                }
                None => Err(Refusal::wrong("there is no such request")),
            },
            Request::Service(verb) => {
                let name = link::name_of(message.subject());
                let id = name.and_then(|name| self.find(name)).filter(|id| self.is_public(*id));
                match id {
                    Some(id) => self.answer_service(reactor, id, verb),
                    None if self.scope == Scope::Machine => return self.link.doubt(message),
                    // Another supervisor's.
                    None => return,
                }
            }
        };
        match answer {
            Ok(answer) => self.link.answer(message, &answer),
            Err(refusal) => self.link.refuse(message, &refusal),
        }
    }

    fn is_public(&self, id: ServiceId) -> bool {
        self.service(id).is_some_and(Service::is_public)
    }

    /// A report as others see it.
    pub(super) fn seen(&self, report: &Report) -> Report {
        *report
    }

    fn list(&self, make: impl Fn(&Self, ServiceId, &Report, &Service) -> Option<Vec<u8>>) -> Vec<u8> {
        let public = self.present().filter(|(_, service)| service.is_public());
        let parts: Vec<Vec<u8>> =
            public.filter_map(|(id, service)| make(self, id, &self.system.status(id)?, service)).collect();
        [&b"["[..], &parts.join(&b','), b"]"].concat()
    }

    fn boot_times(&self) -> Vec<u8> {
        let public = self.present().filter(|(_, service)| service.is_public());
        let services: Vec<Booted<'_>> = public
            .filter_map(|(id, service)| {
                let needs = &service.definition.relations.needs;
                Some(Booted {
                    index: id.index(),
                    name: service.name(),
                    state: self.state(id)?,
                    needs: needs.iter().map(String::as_str).collect(),
                })
            })
            .collect();
        self.times.tell(&services)
    }

    fn answer_service(
        &mut self,
        reactor: &mut Reactor<Token>,
        id: ServiceId,
        verb: Verb,
    ) -> Result<Vec<u8>, Refusal> {
        let input = match verb {
            Verb::Status | Verb::Usage | Verb::Tail | Verb::Freeze | Verb::Thaw => None,
            Verb::Start => Some(Input::Start(id)),
            Verb::Stop => Some(Input::Stop(id)),
            Verb::Restart => Some(Input::Restart(id)),
            Verb::Reload => match self.service(id).is_some_and(|service| service.definition.reload.is_some())
            {
                true => {
                    self.reload_by_program(id).map_err(Refusal::not_now)?;
                    None
                }
                false => Some(Input::Reload(id)),
            },
        };
        if let Some(input) = input {
            if self.ending.is_some() {
                return Err(Refusal::not_now(ENDING));
            }
            if matches!(verb, Verb::Reload) {
                // Whether it can be is for whoever asks.
                let handled = self.system.handle(reactor.now(), input);
                handled.map_err(|error| Refusal::not_now(error.to_string()))?;
                self.drain(reactor);
            } else {
                self.tell(reactor, input);
            }
        }
        if let Verb::Freeze | Verb::Thaw = verb {
            self.freeze(id, verb == Verb::Freeze).map_err(Refusal::not_now)?;
        }
        let (report, service) = self.system.status(id).zip(self.service(id)).ok_or_else(Refusal::unknown)?;
        Ok(match verb {
            Verb::Usage => {
                let usage = used(service, &report).ok_or_else(|| Refusal::not_now("it does not run"))?;
                link::usage(service.name(), &usage)
            }
            Verb::Tail => {
                let lines: Vec<_> = service.log.iter().flat_map(|log| log.lines()).collect();
                let lines = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
                let shown = lines.iter().map(|line| encode_log::Line {
                    at: Instant::from_micros(line.at_us),
                    text: line.text.as_bytes(),
                });
                link::tail(shown)
            }
            _ => {
                let told = link::report(service.name(), &self.seen(&report));
                link::with(told, "status", &service.status)
            }
        })
    }

    /// Stops a service's processes where they are, or lets them go on.
    fn freeze(&mut self, id: ServiceId, still: bool) -> Result<(), String> {
        let service = self.service_mut(id).ok_or("there is no such service")?;
        let child = service.child.as_ref().ok_or("it does not run")?;
        match &service.group {
            Some(group) => group.freeze(still).map_err(|error| error.to_string())?,
            None => {
                let signal = if still { Signal::STOP } else { Signal::CONT };
                child.signal_group(signal).map_err(|error| error.to_string())?;
            }
        }
        service.frozen = still;
        Ok(())
    }

    /// Something has come on a subject that services wait for.
    fn hear(&mut self, reactor: &mut Reactor<Token>, message: &Message) {
        let Some(subject) = self.link.subject_of(message).map(str::to_owned) else { return };
        let (mut ready, mut triggered) = (Vec::new(), Vec::new());
        for (id, service) in self.present() {
            let definition = &service.definition;
            if matches!(&definition.readiness, Notification::Publish(wanted) if *wanted == subject)
                && let Some(child) = &service.child
            {
                ready.push((id, child.number()));
            }
            let meant = match &definition.activation {
                Activation::Message(wanted) => *wanted == subject,
                Activation::Device { class, matches } => {
                    format!("hardware.{class}.add") == subject
                        && activation::is_of(message.payload(), matches)
                }
                _ => false,
            };
            if meant && self.system.is_wanted(id) {
                triggered.push(id);
            }
        }
        for (service, pid) in ready {
            self.tell(reactor, Input::Ready { service, pid });
        }
        for id in triggered {
            let can = self.service_mut(id).is_some_and(|service| service.trigger.message(message.payload()));
            if can {
                self.tell(reactor, Input::Trigger(id));
            }
        }
    }

    fn answer_reload(&mut self, reactor: &mut Reactor<Token>, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let dry = match payload.trim_ascii() {
            b"" => Ok(false),
            payload => match json::parse(payload).ok().and_then(|parsed| parsed.as_object()) {
                None => Err("expected nothing or one JSON object"),
                Some(object) => match object.get("dry_run") {
                    None => Ok(false),
                    Some(value) => value.as_bool().ok_or("dry_run: expected true or false"),
                },
            },
        };
        match dry {
            Err(why) => Err(Refusal::wrong(why)),
            Ok(_) if self.ending.is_some() => Err(Refusal::not_now(ENDING)),
            Ok(dry) => self.reload(reactor, dry).map_err(Refusal::not_now),
        }
    }
}

/// What a service uses, if it runs: all of its group if it has one, else its process and what came from it.
fn used(service: &Service, report: &Report) -> Option<lunix_core::supervise::encode::Usage> {
    let pid = report.pid?;
    Some(match &service.group {
        Some(group) => group.usage(),
        None => usage::of_processes(usage::family(pid)),
    })
}
