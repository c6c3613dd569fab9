//! Who somebody is: `CONNECT`, and what the driver finds out.

use lunix_proto::nats::{ClientDecoder, Connect, Limits as DecoderLimits};

use super::client::{Admission, ClientId, Refusal, State, Wishes};
use super::control::{Control, ErrorText};
use super::memory::Memory;
use super::pool::{NONE, at_mut};
use super::turn::Turn;
use super::user::UserId;
use super::{Broker, Reason};

impl<'t, M: Memory> Turn<'t, M> {
    pub(super) fn connect(&mut self, client: ClientId, wishes: Wishes, json: &'t [u8]) {
        let mut connect = wishes.as_connect();
        if connect.apply(json).is_err() {
            return self.close(client, Reason::Protocol);
        }
        let Broker { memory, machine } = &mut *self.broker;
        let Some(slot) = at_mut(memory.tables().clients, client.index()) else { return };
        let headers = connect.headers && machine.limits.headers;
        let further = core::mem::replace(&mut slot.connected, true);
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
        if machine.limits.authenticate && (slot.admission != Admission::Known || brings_credentials(&connect))
        {
            slot.admission = Admission::Asked;
            self.asking = Some((client, connect));
        } else {
            self.welcome(client);
        }
        if further {
            // It may come from somebody else: what the first one subscribed to is not theirs.
            self.broker.machine.forget(&mut self.broker.memory.tables(), client);
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
        let Some((account, subscriptions, payload, expires)) =
            memory.user(user).map(|user| (user.account, user.subscriptions, user.payload, user.expires))
        else {
            return self.refused(client, Reason::Authentication);
        };
        let mut tables = memory.tables();
        let Some(slot) = at_mut(tables.clients, client.index()).filter(|slot| slot.state == State::Open)
        else {
            return;
        };
        let limits = machine.limits;
        let asked = slot.admission == Admission::Asked;
        slot.admission = Admission::Known;
        slot.user = user.index();
        slot.until = expires;
        slot.subscriptions_max =
            subscriptions.map_or(limits.subscriptions, |most| most.min(limits.subscriptions));
        slot.decoder = ClientDecoder::new(DecoderLimits {
            control_line: limits.control_line,
            payload: payload.map_or(limits.payload, |most| most.min(limits.payload)),
        });
        let moved = core::mem::replace(&mut slot.account, account) != account;
        let deadline = slot.deadline(&limits);
        machine.note(deadline);
        if moved {
            machine.forget(&mut tables, client);
        }
        if asked {
            self.welcome(client);
        }
    }

    pub(super) fn refused(&mut self, client: ClientId, reason: Reason) {
        let text = match reason {
            Reason::AuthenticationTimeout => ErrorText::AuthenticationTimeout,
            Reason::Expired => ErrorText::AuthenticationExpired,
            _ => ErrorText::Authorization,
        };
        let tables = self.broker.memory.tables();
        if let Some(slot) = at_mut(tables.clients, client.index()) {
            slot.user = NONE;
        }
        self.line(client, Control::Error(text));
        self.close(client, reason);
    }
}

/// Whether a client says who it is.
fn brings_credentials(connect: &Connect<'_>) -> bool {
    [connect.user, connect.pass, connect.auth_token, connect.nkey, connect.jwt]
        .iter()
        .any(|text| !text.is_empty())
}
