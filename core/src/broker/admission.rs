//! Who somebody is: `CONNECT`, and what the driver finds out.

use lunix_proto::Full;
use lunix_proto::nats::Connect;

use super::client::{Admission, ClientId, Refusal, State, Wishes};
use super::control::{Control, ErrorText};
use super::memory::{Memory, Table, Tables};
use super::pool::{NONE, at, at_mut};
use super::rights::Rights;
use super::status::{Described, describe};
use super::turn::{Step, Turn};
use super::user::{User, UserId};
use super::{Broker, Reason};

/// The longest subject, with its queue group, of which it is found out again whether it is allowed.
const LONGEST: usize = 4096;

/// A client's `CONNECT`: who, what it wished before, and the JSON.
pub(super) type Asking<'t> = (ClientId, Wishes, &'t [u8]);

/// Reads [`Asking`] once more, which is cheaper than to carry all that it says through every turn.
pub(super) fn connect((_, wishes, json): Asking<'_>) -> Connect<'_> {
    let mut connect = wishes.as_connect();
    // It was read before, and is what it was.
    let _ = connect.apply(json);
    connect
}

impl<'t, M: Memory> Turn<'t, M> {
    pub(super) fn connect(&mut self, client: ClientId, wishes: Wishes, json: &'t [u8]) {
        let mut connect = wishes.as_connect();
        if connect.apply(json).is_err() {
            return self.close(client, Reason::Protocol);
        }
        let Broker { memory, machine } = &mut *self.broker;
        let Some(slot) = at_mut(memory.tables().clients, client.index()) else { return };
        let headers = connect.headers && machine.limits.headers;
        let again = core::mem::replace(&mut slot.connected, true);
        slot.wishes = Wishes {
            verbose: connect.verbose,
            pedantic: connect.pedantic,
            echo: connect.echo,
            headers,
            no_responders: connect.no_responders,
            async_info: connect.protocol == 1,
            refusal: if connect.new_account || !connect.account.is_empty() {
                Some(Refusal::Account)
            } else if !(0..=1).contains(&connect.protocol) {
                Some(Refusal::Protocol)
            } else {
                (connect.no_responders && !headers).then_some(Refusal::NoHeaders)
            },
        };
        let asks = machine.limits.authenticate
            && (slot.admission != Admission::Known || brings_credentials(&connect));
        if asks {
            slot.admission = Admission::Asked;
            slot.asked_who = slot.asked_who.wrapping_add(1);
            self.asking = Some((client, wishes, json));
        }
        if again {
            // It may come from somebody else: what the first one subscribed to is not theirs.
            machine.forget(&mut memory.tables(), client);
        }
        if !asks {
            self.welcome(client);
        }
    }

    /// Tells a client whose `CONNECT` is accepted, as far as it is.
    fn welcome(&mut self, client: ClientId) {
        let Some(slot) = at_mut(self.broker.memory.tables().clients, client.index()) else { return };
        let wishes = slot.wishes;
        let text = match wishes.refusal {
            None => return self.ok(client, wishes),
            Some(Refusal::Account) => return self.refused(client, Reason::Authentication),
            Some(Refusal::Protocol) => ErrorText::ClientProtocol,
            Some(Refusal::NoHeaders) => ErrorText::NoRespondersNeedHeaders,
        };
        self.line(client, Control::Error(text));
        self.close(client, Reason::Connect);
    }

    pub(super) fn admitted(&mut self, client: ClientId, user: UserId) {
        let Broker { memory, machine } = &mut *self.broker;
        let Some(User { account, permissions, subscriptions, payload, expires, .. }) = memory.user(user)
        else {
            return self.refused(client, Reason::Authentication);
        };
        let rights = Rights::of(&permissions);
        let most = memory.account_connections(account).unwrap_or(u32::MAX);
        while at(memory.tables().accounts, account.index()).is_none() && memory.grow(Table::Accounts) {}
        let mut tables = memory.tables();
        let Some(slot) = at_mut(tables.clients, client.index()).filter(|slot| slot.state == State::Open)
        else {
            return;
        };
        let asked = slot.admission == Admission::Asked;
        let stays = slot.counted && slot.account == account;
        let before = core::mem::replace(&mut slot.account, account);
        let moved = before != account;
        if core::mem::replace(&mut slot.counted, false)
            && let Some(before) = at_mut(tables.accounts, before.index())
        {
            before.connections = before.connections.saturating_sub(1);
        }
        let place = at_mut(tables.accounts, account.index());
        let Some(place) = place.filter(|place| stays || place.connections < most) else {
            return self.refused(client, Reason::AccountConnections);
        };
        place.connections += 1;
        slot.counted = true;
        slot.admission = Admission::Known;
        slot.user = user.index();
        slot.rights = rights;
        slot.until = expires;
        slot.subscriptions_max = subscriptions.unwrap_or(u32::MAX);
        slot.payload_max = payload.unwrap_or(usize::MAX);
        slot.limit(&machine.limits);
        let deadline = slot.deadline(&machine.limits);
        self.reviewing = (rights.subscribe && !moved).then_some((client, slot.first));
        machine.note(deadline);
        if moved {
            machine.forget(&mut tables, client);
        }
        if asked {
            self.welcome(client);
        }
    }

    /// Ends the next of a client's subscriptions that it may no longer have.
    pub(super) fn review(&mut self) -> Option<Step<'t>> {
        while let Some((client, subscription)) = self.reviewing {
            let memory = &mut self.broker.memory;
            let tables = memory.tables();
            let Some(slot) = at(tables.subscriptions, subscription).filter(|_| is_open(&tables, client))
            else {
                self.reviewing = None;
                return None;
            };
            self.reviewing = Some((client, slot.client_next));
            let mut described = describe(&mut memory.tables(), subscription);
            while let Err(Full { needed: 1.. }) = described
                && memory.grow(Table::Scratch)
            {
                described = describe(&mut memory.tables(), subscription);
            }
            let Ok(described) = described else {
                // What cannot be told is not known to be allowed.
                self.end(client, subscription);
                continue;
            };
            if self.is_still_allowed(client, described) {
                continue;
            }
            self.end(client, subscription);
            let len = self.unsubscribed(described).len();
            let machine = &mut self.broker.machine;
            if let Some(slot) = at_mut(self.broker.memory.tables().clients, client.index()) {
                slot.pending += len;
                machine.statistics.pending += len;
            }
            return Some(Step::Unsubscribed(client, described));
        }
        None
    }

    fn is_still_allowed(&mut self, client: ClientId, described: Described) -> bool {
        let Described { subject, queue, .. } = described;
        let mut copy = [0; LONGEST];
        let len = subject + queue.unwrap_or(0);
        let scratch = &*self.broker.memory.tables().scratch;
        let (Some(place), Some(text)) = (copy.get_mut(..len), scratch.get(..len)) else { return false };
        place.copy_from_slice(text);
        let Some((subject, name)) = place.split_at_checked(subject) else { return false };
        self.may_subscribe(client, subject, queue.is_some().then_some(name))
    }

    /// The line about the subscription that [`Turn::review`] has ended.
    pub(super) fn unsubscribed(&mut self, described: Described) -> ErrorText<'_> {
        let Described { subject, queue, sid } = described;
        let scratch = &*self.broker.memory.tables().scratch;
        let (subject, rest) = scratch.split_at_checked(subject).unwrap_or_default();
        let (name, rest) = rest.split_at_checked(queue.unwrap_or(0)).unwrap_or_default();
        let sid = rest.get(..sid).unwrap_or_default();
        ErrorText::Unsubscribed { subject, queue: queue.map(|_| name), sid }
    }

    fn end(&mut self, client: ClientId, subscription: u32) {
        let Broker { memory, machine } = &mut *self.broker;
        let mut tables = memory.tables();
        let mut first = at(tables.clients, client.index()).map_or(NONE, |slot| slot.first);
        machine.router.unsubscribe(&mut tables, subscription, &mut first);
        if let Some(slot) = at_mut(tables.clients, client.index()) {
            slot.first = first;
            slot.subscriptions = slot.subscriptions.saturating_sub(1);
        }
    }

    pub(super) fn refused(&mut self, client: ClientId, reason: Reason) {
        let text = match reason {
            Reason::AuthenticationTimeout => ErrorText::AuthenticationTimeout,
            Reason::AccountConnections => ErrorText::AccountConnections,
            Reason::Expired => ErrorText::AuthenticationExpired,
            Reason::AccountExpired => ErrorText::AccountExpired,
            _ => ErrorText::Authorization,
        };
        if !is_open(&self.broker.memory.tables(), client) {
            return;
        }
        self.line(client, Control::Error(text));
        self.close(client, reason);
    }
}

fn is_open(tables: &Tables<'_>, client: ClientId) -> bool {
    at(tables.clients, client.index()).is_some_and(|slot| slot.state == State::Open)
}

/// Whether a client says who it is.
fn brings_credentials(connect: &Connect<'_>) -> bool {
    [connect.user, connect.pass, connect.auth_token, connect.nkey, connect.jwt]
        .iter()
        .any(|text| !text.is_empty())
}
