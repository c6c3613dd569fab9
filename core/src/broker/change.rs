//! What changes for everybody at once: limits, and what `INFO` says.

use lunix_proto::nats::Limits as DecoderLimits;

use super::client::{Client, ClientId, State};
use super::control::{Control, ErrorText};
use super::memory::Memory;
use super::pool::{at, at_mut};
use super::turn::{Turn, welcome};
use super::user::UserId;
use super::{Broker, Limits, Reason};

/// Why every client is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Its deadlines may have come.
    Deadlines,
    /// The limits are new.
    Limits,
    /// What `INFO` says is new.
    Inform,
}

impl<M: Memory> Turn<'_, M> {
    /// The limits are these from now on.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.broker.machine.limits = limits;
        self.look_at_all(Look::Limits);
    }

    /// Gives a client the new limits; closes it if there are too many of them.
    pub(super) fn limit(&mut self, client: ClientId) {
        let Broker { memory, machine } = &mut *self.broker;
        let limits = &machine.limits;
        let open = |slot: &&Client| slot.state == State::Open;
        let Some(slot) = at(memory.tables().clients, client.index()).filter(open) else { return };
        let user = slot.user;
        if machine.statistics.connections > limits.connections {
            self.line(client, Control::Error(ErrorText::Connections));
            return self.close(client, Reason::Connections);
        }
        let own = memory.user(UserId::new(user)).map(|user| (user.subscriptions, user.payload));
        let (subscriptions, payload) = own.unwrap_or_default();
        let Some(slot) = at_mut(memory.tables().clients, client.index()) else { return };
        slot.subscriptions_max =
            subscriptions.map_or(limits.subscriptions, |most| most.min(limits.subscriptions));
        slot.decoder.set_limits(DecoderLimits {
            control_line: limits.control_line,
            payload: payload.map_or(limits.payload, |most| most.min(limits.payload)),
        });
        slot.wishes.headers &= limits.headers;
        slot.ping_at = slot.ping_interval(limits).map(|interval| {
            let at = self.now + interval;
            slot.ping_at.map_or(at, |before| before.min(at))
        });
        let deadline = slot.deadline(limits);
        machine.note(deadline);
    }

    /// Says `INFO` to a client that understands it at any time. Who has not said `PING` yet gets one after that.
    pub(super) fn inform(&mut self, client: ClientId) {
        let tables = self.broker.memory.tables();
        if let Some(slot) = at_mut(tables.clients, client.index())
            && slot.state == State::Open
            && slot.informed
        {
            let welcome = welcome(slot, false);
            self.line(client, Control::Info(welcome));
        }
    }
}
