//! `subsz`: subscriptions, one after the other.

use lunix_core::broker::{AccountId, ClientId, SubscriptionId};
use lunix_proto::nats::subject;

use super::connz::LIMIT;
use super::json::{Json, State, Thousandths};
use super::view::View;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::natsd) struct Options {
    pub(in crate::natsd) subs: bool,
    pub(in crate::natsd) offset: usize,
    /// 0 for [`LIMIT`].
    pub(in crate::natsd) limit: usize,
    pub(in crate::natsd) account: String,
    pub(in crate::natsd) test: String,
}

/// A list under way.
#[derive(Debug)]
pub(in crate::natsd) struct Listing {
    options: Options,
    /// `None` if there is no such account; an account of `None` is all of them.
    account: Option<Option<AccountId>>,
    state: State,
    stage: Stage,
    /// Those that fit, as far as they have been looked at.
    total: usize,
    listed: usize,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Head,
    /// The slot that is looked at next.
    Slot(u32),
    Done,
}

/// How many slots are looked at in one turn.
const SLOTS: u32 = 8192;

impl Listing {
    /// # Errors
    /// What is wrong with `options`, as nats-server words it.
    pub(in crate::natsd) fn new(mut options: Options, state: State, view: &View<'_>) -> Result<Self, String> {
        if !options.test.is_empty() && !subject::is_literal(options.test.as_bytes()) {
            return Err(format!("invalid test subject, must be valid publish subject: {}", options.test));
        }
        if options.limit == 0 {
            options.limit = LIMIT;
        }
        let account = match &*options.account {
            "" => Some(None),
            name => view.account(name).map(Some),
        };
        Ok(Self { options, account, state, stage: Stage::Head, total: 0, listed: 0 })
    }

    /// Writes more of it, until `out` has about `most` bytes; answers whether there is more. It may have looked at many
    /// and written nothing.
    pub(in crate::natsd) fn piece(&mut self, view: &mut View<'_>, out: &mut Vec<u8>, most: usize) -> bool {
        let mut json = Json::new(out, self.state);
        let mut looked = 0;
        while json.len() < most && looked < SLOTS {
            self.stage = match self.stage {
                Stage::Head => {
                    json.begin_object();
                    view.stamp(&mut json);
                    statistics(view, &mut json);
                    json.number("offset", self.options.offset).number("limit", self.options.limit);
                    if self.options.subs && self.account.is_some() {
                        json.key("subscriptions_list").begin_array();
                        Stage::Slot(0)
                    } else {
                        json.number("total", 0).end_object();
                        Stage::Done
                    }
                }
                Stage::Slot(slot) if slot >= view.broker.subscriptions_end().index() => {
                    json.end_array().number("total", self.total).end_object();
                    Stage::Done
                }
                Stage::Slot(slot) => {
                    looked += 1;
                    self.slot(view, &mut json, SubscriptionId::new(slot));
                    Stage::Slot(slot + 1)
                }
                Stage::Done => break,
            };
        }
        self.state = json.state();
        !matches!(self.stage, Stage::Done)
    }

    fn slot(&mut self, view: &mut View<'_>, json: &mut Json<'_>, id: SubscriptionId) {
        let Some(client) = view.broker.subscription(id).map(|status| status.client) else { return };
        if let Some(Some(account)) = self.account
            && view.broker.client(client).is_none_or(|status| status.account != account)
        {
            return;
        }
        if !self.options.test.is_empty()
            && !with_subject(view, id, |pattern| subject::matches(pattern, self.options.test.as_bytes()))
        {
            return;
        }
        self.total += 1;
        if self.total > self.options.offset && self.listed < self.options.limit {
            self.listed += 1;
            one(view, json, id, None, true);
        }
    }
}

/// The next one of a client's, if there is one.
pub(super) struct After {
    pub(super) after: Option<SubscriptionId>,
}

/// Writes a subscription as its subject alone or with all `detail`; with its account, if it is not listed below its
/// `owner`. Nothing, and no answer, if it has ended or belongs to somebody else.
pub(super) fn one(
    view: &mut View<'_>,
    json: &mut Json<'_>,
    id: SubscriptionId,
    owner: Option<ClientId>,
    detail: bool,
) -> Option<After> {
    let client = view.broker.subscription(id)?.client;
    if owner.is_some_and(|owner| owner != client) {
        return None;
    }
    let status = view.broker.client(client)?;
    if !detail {
        with_subject(view, id, |subject| {
            json.text(subject);
        });
        return Some(After { after: view.broker.subscription(id)?.next });
    }
    json.begin_object();
    if owner.is_none() {
        let account = view.account_name(status.account);
        json.string("account", account.as_bytes()).string("account_tag", account.as_bytes());
    }
    with_subject(view, id, |subject| {
        json.string("subject", subject);
    });
    let subscription = view.broker.subscription(id)?;
    if let Some(queue) = subscription.queue {
        json.string("qgroup", queue.parts().collect::<Vec<_>>().concat());
    }
    json.string("sid", subscription.sid.parts().collect::<Vec<_>>().concat());
    json.number("msgs", subscription.messages);
    if let Some(max) = subscription.max {
        json.number("max", max);
    }
    json.number("cid", status.number).end_object();
    Some(After { after: subscription.next })
}

/// What `then` makes of a subscription's subject; of nothing, if it has ended.
fn with_subject<T>(view: &mut View<'_>, id: SubscriptionId, then: impl FnOnce(&[u8]) -> T) -> T {
    let Some(status) = view.broker.subscription(id) else { return then(b"") };
    let mut short = [0; 256];
    match status.subject(&mut short) {
        Ok(len) => then(short.get(..len).unwrap_or_default()),
        Err(full) => {
            let mut long = vec![0; full.needed];
            let len = status.subject(&mut long).unwrap_or(0);
            then(long.get(..len).unwrap_or_default())
        }
    }
}

/// Whether a client has a subscription to anything that `filter`, a pattern too, can match.
pub(super) fn anything_collides(view: &mut View<'_>, client: ClientId, filter: &[u8]) -> bool {
    let mut next = view.broker.first_subscription(client);
    while let Some(id) = next {
        if with_subject(view, id, |subject| collide(subject, filter)) {
            return true;
        }
        next = view.broker.subscription(id).and_then(|status| status.next);
    }
    false
}

/// Whether two patterns match a subject both.
fn collide(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (one.split(|&byte| byte == b'.'), other.split(|&byte| byte == b'.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(a), Some(b)) if a == b || a == b"*" || b == b"*" => {}
            _ => return false,
        }
    }
}

/// What nats-server's router counts. There is no cache to speak of: those numbers stay 0.
pub(super) fn statistics(view: &View<'_>, json: &mut Json<'_>) {
    let statistics = view.broker.statistics();
    let inserts = statistics.total_subscriptions;
    json.number("num_subscriptions", statistics.subscriptions).number("num_cache", 0);
    json.number("num_inserts", inserts);
    json.number("num_removes", inserts.saturating_sub(u64::from(statistics.subscriptions)));
    json.number("num_matches", statistics.in_messages).number("cache_hit_rate", 0).number("max_fanout", 0);
    let fanout = u128::from(statistics.out_messages) * 1000 / u128::from(statistics.in_messages.max(1));
    json.number("avg_fanout", Thousandths(u64::try_from(fanout).unwrap_or(u64::MAX)));
}

#[cfg(test)]
mod tests {
    use super::collide;

    #[test]
    fn patterns_collide() {
        for (one, other, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "*.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.b", "a.c", false),
            ("*", "a.b", false),
        ] {
            assert_eq!(collide(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(collide(other.as_bytes(), one.as_bytes()), expected, "{other} {one}");
        }
    }
}
