//! Following a message: to whom it goes is told to whom its header block says, as nats-server does since 2.11.
//!
//! | header | what it says |
//! |---|---|
//! | `Nats-Trace-Dest` | the subject to which it is told; the publisher must be allowed to publish there |
//! | `Nats-Trace-Only` | `1`, `true` or `on`: it is told only, and nobody gets the message |

use lunix_proto::nats::header::Headers;
use lunix_proto::nats::{Publish, subject};

use super::client::ClientId;
use super::control::{Control, ErrorText};
use super::memory::Memory;
use super::pool::at;
use super::turn::{Step, Turn};
use super::user::AccountId;

/// A message whose way is told. [`Action::Passed`](super::Action::Passed) follows for each receiver.
#[derive(Clone, Copy, Debug)]
pub struct Traced<'a> {
    /// Who has sent it.
    pub client: ClientId,
    /// In which account.
    pub account: AccountId,
    /// Its subject.
    pub subject: &'a [u8],
    /// Where its way is told, in the same account: to be published by [`Input::Publish`](super::Input::Publish) when the
    /// turn is over.
    pub to: &'a [u8],
    /// Its header block.
    pub header: &'a [u8],
    /// Bytes of header block and payload.
    pub size: usize,
}

/// Whether a message's way is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracing {
    Not,
    /// Besides that it goes it.
    Too,
    /// And it stays.
    Only,
}

const TO: &str = "Nats-Trace-Dest";
const ONLY: &str = "Nats-Trace-Only";
/// Of a message that somebody before us has decided not to follow.
const DISABLED: &[u8] = b"trace disabled";

/// The subject to which the way of a message is told.
fn told_to<'t>(publish: &Publish<'t>) -> Option<&'t [u8]> {
    let block = publish.body.get(..publish.header_len)?;
    Headers::parse(block)?.get(TO).filter(|to| !to.is_empty() && *to != DISABLED)
}

impl<'t, M: Memory> Turn<'t, M> {
    /// Whether the way of a client's message is told; `None` if the message goes nowhere.
    pub(super) fn tracing(&mut self, client: ClientId, publish: &Publish<'t>) -> Option<Tracing> {
        let Some(to) = told_to(publish) else { return Some(Tracing::Not) };
        let headers = publish.body.get(..publish.header_len).and_then(Headers::parse);
        let only = headers.and_then(|headers| headers.get(ONLY)).unwrap_or_default();
        let only = [&b"1"[..], b"true", b"on"].iter().any(|word| only.eq_ignore_ascii_case(word));
        if !subject::is_literal(to) {
            return (!only).then_some(Tracing::Not);
        }
        let ruled = at(self.broker.memory.tables().clients, client.index())?.rights.publish;
        if ruled && !self.may_publish(client, to) {
            self.line(client, Control::Error(ErrorText::PublishViolation(to)));
            return None;
        }
        Some(if only { Tracing::Only } else { Tracing::Too })
    }

    /// The message at hand is followed from here on.
    pub(super) fn follow(&mut self, tracing: Tracing) {
        if let Some(passage) = self.message.as_mut().filter(|_| tracing != Tracing::Not) {
            passage.tracing = tracing;
            passage.held = Some(Step::Traced);
        }
    }

    /// The message at hand, for the driver to follow.
    pub(super) fn traced(&mut self) -> Option<Traced<'t>> {
        let passage = self.message.as_ref()?;
        let publish = passage.publish;
        Some(Traced {
            client: ClientId::new(passage.from),
            account: self.broker.machine.hops.here().account,
            subject: publish.subject,
            to: told_to(&publish)?,
            header: publish.body.get(..publish.header_len)?,
            size: publish.body.len(),
        })
    }
}
