//! What every client is looked at for: its deadlines, new limits, and what `INFO` says.

use super::client::{Admission, ClientId, FIRST_PING, State};
use super::control::{Control, ErrorText};
use super::memory::Memory;
use super::pool::at_mut;
use super::turn::{Turn, welcome};
use super::user::UserId;
use super::{Limits, Reason};

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
        // What is wanted is written down from the beginning or never.
        let leaves = if self.broker.machine.limits.leaves > 0 { limits.leaves.max(1) } else { 0 };
        self.broker.machine.limits = Limits { leaves, ..limits };
        self.look_at_all(Look::Limits);
        self.look_at_stalled();
    }

    /// Carries out what is due of a client.
    pub(super) fn look_at_deadlines(&mut self, client: ClientId) {
        let tables = self.broker.memory.tables();
        let machine = &mut self.broker.machine;
        let Some(slot) = at_mut(tables.clients, client.index()).filter(|slot| slot.state == State::Open)
        else {
            return;
        };
        if slot.blocked.is_some_and(|since| since + machine.limits.write_deadline <= self.now) {
            return self.close(client, Reason::WriteDeadline);
        }
        if slot.until.is_some_and(|until| until <= self.now) {
            let (known, user) = (slot.admission == Admission::Known, UserId::new(slot.user));
            let reason = match self.broker.memory.user(user) {
                _ if !known => Reason::AuthenticationTimeout,
                Some(user) if user.account_expires => Reason::AccountExpired,
                _ => Reason::Expired,
            };
            return self.refused(client, reason);
        }
        if slot.ping_at.is_some_and(|at| at <= self.now)
            && let Some(interval) = slot.ping_interval(&machine.limits)
        {
            let quiet = self.now.since(slot.heard);
            // The answer to the last one does not count as something that the client has said.
            if slot.pinged && quiet + slot.rtt.unwrap_or_default() < interval {
                slot.ping_at = Some(self.now + interval);
            } else if !slot.pinged && quiet < interval && interval < FIRST_PING {
                // Else the first one is to tell how far away the client is, however much it says.
                slot.ping_at = Some(slot.heard + interval);
            } else if slot.pings_out >= machine.limits.ping_max {
                self.line(client, Control::Error(ErrorText::Stale));
                return self.close(client, Reason::Stale);
            } else {
                slot.pinged = true;
                slot.pings_out += 1;
                slot.asked = Some(self.now);
                slot.ping_at = Some(self.now + interval);
                let deadline = slot.deadline(&machine.limits);
                machine.note(deadline);
                return self.line(client, Control::Ping);
            }
        }
        let deadline = slot.deadline(&machine.limits);
        machine.note(deadline);
    }

    /// Gives a client the new limits; closes it if there are too many of them.
    pub(super) fn limit(&mut self, client: ClientId) {
        let machine = &mut self.broker.machine;
        let limits = &machine.limits;
        if machine.statistics.connections > limits.connections {
            self.line(client, Control::Error(ErrorText::Connections));
            return self.close(client, Reason::Connections);
        }
        let tables = self.broker.memory.tables();
        let Some(slot) = at_mut(tables.clients, client.index()).filter(|slot| slot.state == State::Open)
        else {
            return;
        };
        slot.limit(limits);
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
