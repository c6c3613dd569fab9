//! We are the notification server of the session: what programs show by us are toasts.
//!
//! One call after the other goes to NATS, in the order in which they came, so that one which takes another's place finds it.
//! Ids of D-Bus are our own: those of toasts begin anew whenever natstoast does.

use std::collections::VecDeque;
use std::time::Duration;

use lunix_core::time::Instant;
use lunix_core::toast::{Reason, encode, subject};
use lunix_proto::json::{self, Value};

use super::notification::Notify;

/// Calls that wait for NATS at a time.
pub(super) const CALLS: usize = 64;
/// Notifications that somebody may still hear of. Twice as many as natstoast has toasts: that one which has to go is long over.
const NOTIFICATIONS: usize = 128;
/// How long a call waits: callers do so for 25 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The way to NATS.
pub(super) trait Upstream {
    /// A request on its way.
    type Request: Copy + Eq;

    fn is_ready(&self) -> bool;
    fn publish(&mut self, subject: &str, payload: &[u8]);
    /// `None` where there is no room for it.
    fn request(&mut self, subject: &str, payload: &[u8]) -> Option<Self::Request>;
}

/// What a request came to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer<'a> {
    Payload(&'a [u8]),
    NoResponders,
    TimedOut,
}

/// What is said on D-Bus; `C` is the call that is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<C> {
    /// `Notify` is answered.
    Shown(C, u32),
    Failed(C, Failure),
    /// The signal `NotificationClosed`.
    Closed(u32, Why),
    /// The signal `ActionInvoked`.
    Invoked(u32, String),
}

/// Why nothing is shown: which side's fault it is, and in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There are too many.
    Excess(String),
    /// There is no NATS server, or no natstoast.
    Unavailable(&'static str),
    /// natstoast does not take it.
    Refused(String),
    /// It is a toast here already.
    Loop,
}

/// Why a notification is closed, as `NotificationClosed` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Expired = 1,
    Dismissed = 2,
    Closed = 3,
    Undefined = 4,
}

struct Call<C> {
    caller: C,
    notify: Notify,
    deadline: Instant,
    /// It is no toast here already.
    checked: bool,
}

struct Notification {
    id: u32,
    toast: u32,
    app: String,
    tag: Option<String>,
    /// Ids and keys of its actions.
    actions: Vec<(String, String)>,
    resident: bool,
    acted: bool,
}

pub(super) struct Server<C, R> {
    calls: VecDeque<Call<C>>,
    /// What was asked for the first of them.
    asked: Option<R>,
    /// The oldest first.
    notifications: VecDeque<Notification>,
    last: u32,
    said: VecDeque<Said<C>>,
}

impl<C, R: Copy + Eq> Server<C, R> {
    pub(super) fn new() -> Self {
        Self {
            calls: VecDeque::new(),
            asked: None,
            notifications: VecDeque::new(),
            last: 0,
            said: VecDeque::new(),
        }
    }

    /// What is to be said; until `None` after everything else here.
    pub(super) fn poll(&mut self) -> Option<Said<C>> {
        self.said.pop_front()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.calls.front().map(|call| call.deadline)
    }

    /// `Notify` is called.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        nats: &mut impl Upstream<Request = R>,
        caller: C,
        notify: Notify,
    ) {
        if self.calls.len() >= CALLS {
            let text = format!("{CALLS} notifications wait for NATS already");
            self.said.push_back(Said::Failed(caller, Failure::Excess(text)));
            return;
        }
        let checked = notify.origin.is_none();
        self.calls.push_back(Call { caller, notify, deadline: now + PATIENCE, checked });
        self.ask(nats);
    }

    /// `CloseNotification` is called; `false` if there is no such notification.
    pub(super) fn close(&mut self, nats: &mut impl Upstream<Request = R>, id: u32) -> bool {
        let Some(notification) = self.notifications.iter().find(|notification| notification.id == id) else {
            return false;
        };
        let toast = notification.toast;
        nats.publish(subject::CLOSE, &lunix::encoded::encoded(32, |out| encode::id(out, toast)));
        true
    }

    /// NATS is there.
    pub(super) fn ready(&mut self, nats: &mut impl Upstream<Request = R>) {
        self.ask(nats);
    }

    /// It is `now`.
    pub(super) fn tick(&mut self, now: Instant, nats: &mut impl Upstream<Request = R>) {
        while let Some(call) = self.calls.pop_front_if(|call| call.deadline <= now) {
            let why = match self.asked.take() {
                Some(_) => "natstoast does not answer",
                None => "there is no NATS server",
            };
            self.said.push_back(Said::Failed(call.caller, Failure::Unavailable(why)));
        }
        self.ask(nats);
    }

    /// A request came to something; others than ours are none of our business.
    pub(super) fn answered(&mut self, nats: &mut impl Upstream<Request = R>, request: R, answer: Answer<'_>) {
        if self.asked != Some(request) {
            return;
        }
        self.asked = None;
        let Some(mut call) = self.calls.pop_front() else { return };
        let outcome = match answer {
            Answer::Payload(list) if !call.checked => {
                if !call.notify.origin.is_some_and(|toast| holds(list, toast, &call.notify.notification)) {
                    call.checked = true;
                    self.calls.push_front(call);
                    return self.ask(nats);
                }
                Err(Failure::Loop)
            }
            Answer::Payload(payload) => shown(payload),
            Answer::NoResponders => Err(Failure::Unavailable("there is no natstoast")),
            Answer::TimedOut => Err(Failure::Unavailable("natstoast does not answer")),
        };
        match outcome {
            Ok(toast) => {
                let id = self.show(toast, call.notify);
                self.said.push_back(Said::Shown(call.caller, id));
            }
            Err(failure) => self.said.push_back(Said::Failed(call.caller, failure)),
        }
        self.ask(nats);
    }

    /// `toast.closed`.
    pub(super) fn closed(&mut self, toast: u32, reason: Reason) {
        let why = match reason {
            Reason::Expired => Why::Expired,
            Reason::Dismissed => Why::Dismissed,
            Reason::Closed => Why::Closed,
            Reason::Replaced => return,
        };
        self.end(toast, why);
    }

    /// `toast.action`. Several presenters may say it of a toast that is closed by it.
    pub(super) fn action(&mut self, toast: u32, action: &str) {
        let Some(notification) =
            self.notifications.iter_mut().find(|notification| notification.toast == toast)
        else {
            return;
        };
        let chosen = notification.actions.iter().find(|(id, _)| id == action).filter(|_| !notification.acted);
        if let Some((_, key)) = chosen {
            self.said.push_back(Said::Invoked(notification.id, key.clone()));
            notification.acted = !notification.resident;
        }
    }

    /// Those are all toasts: who is not among them has ended unheard.
    pub(super) fn present(&mut self, toasts: &[u32]) {
        let gone = |notification: &Notification| !toasts.contains(&notification.toast);
        let gone: Vec<u32> = self
            .notifications
            .iter()
            .filter(|notification| gone(notification))
            .map(|one| one.toast)
            .collect();
        for toast in gone {
            self.end(toast, Why::Undefined);
        }
    }

    /// Somebody else is the notification server now.
    pub(super) fn give_up(&mut self) {
        self.notifications.clear();
        self.asked = None;
        for call in self.calls.drain(..) {
            let failure = Failure::Unavailable("another notification server has taken over");
            self.said.push_back(Said::Failed(call.caller, failure));
        }
    }

    fn end(&mut self, toast: u32, why: Why) {
        let found = self.notifications.iter().position(|notification| notification.toast == toast);
        if let Some(notification) = found.and_then(|index| self.notifications.remove(index)) {
            self.said.push_back(Said::Closed(notification.id, why));
        }
    }

    /// Asks for the first call, where nothing is asked yet.
    fn ask(&mut self, nats: &mut impl Upstream<Request = R>) {
        while self.asked.is_none() && nats.is_ready() {
            let Some(call) = self.calls.front() else { return };
            self.asked = match call.checked {
                false => nats.request(subject::LIST, b""),
                true => {
                    let old = self.replaced(&call.notify).map(|old| old.toast);
                    nats.request(subject::IN, &call.notify.notification.request(old))
                }
            };
            if self.asked.is_none()
                && let Some(call) = self.calls.pop_front()
            {
                let failure = Failure::Refused("it is larger than the NATS server takes".into());
                self.said.push_back(Said::Failed(call.caller, failure));
            }
        }
    }

    /// The one whose place it takes.
    fn replaced(&self, notify: &Notify) -> Option<&Notification> {
        self.notifications.iter().find(|old| {
            let same = |tag: &String| old.tag.as_ref() == Some(tag) && old.app == notify.notification.app;
            match notify.replaces {
                0 => notify.tag.as_ref().is_some_and(same),
                id => old.id == id,
            }
        })
    }

    /// Keeps what is shown as `toast`, and says its id.
    fn show(&mut self, toast: u32, notify: Notify) -> u32 {
        let replaced = self.replaced(&notify).filter(|old| old.toast == toast).map(|old| old.id);
        match replaced {
            Some(id) => self.notifications.retain(|old| old.id != id),
            // A toast of an earlier natstoast had the number.
            None => self.end(toast, Why::Undefined),
        }
        if self.notifications.len() >= NOTIFICATIONS
            && let Some(oldest) = self.notifications.front()
        {
            self.end(oldest.toast, Why::Undefined);
        }
        let id = replaced.unwrap_or_else(|| self.fresh());
        let Notify { notification, tag, .. } = notify;
        let actions = notification.actions.into_iter().map(|action| (action.id, action.key)).collect();
        let (app, resident) = (notification.app, notification.resident);
        self.notifications.push_back(Notification { id, toast, app, tag, actions, resident, acted: false });
        id
    }

    /// Never 0, and nobody's.
    fn fresh(&mut self) -> u32 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.notifications.iter().all(|notification| notification.id != self.last) {
                return self.last;
            }
        }
    }
}

/// One of these toasts is what is to be shown as `toast`, which was shown elsewhere by one of us.
fn holds(list: &[u8], toast: u32, shown: &super::notification::Notification) -> bool {
    let list = json::parse(list).ok().and_then(|value| value.as_array());
    let is_it = |known: Value<'_>| {
        known.as_object().is_some_and(|known| {
            let same = |key, text: &str| {
                let value = known.get(key).and_then(|value| value.as_str());
                value.map_or(text.is_empty(), |value| value.eq_str(text))
            };
            let id = known.get("id").and_then(|id| id.as_u64());
            id == Some(toast.into()) && same("summary", &shown.summary) && same("app", &shown.app)
        })
    };
    list.is_some_and(|list| list.iter().any(is_it))
}

/// The toast that natstoast has made, or why it did not.
fn shown(payload: &[u8]) -> Result<u32, Failure> {
    let answer = json::parse(payload).ok().and_then(|value| value.as_object());
    let toast = answer.and_then(|answer| answer.get("id")).and_then(|id| id.as_u64());
    if let Some(toast) = toast.and_then(|toast| u32::try_from(toast).ok()) {
        return Ok(toast);
    }
    let why = answer.and_then(|answer| answer.get("error")).and_then(|error| error.as_str());
    let why: String = why.map(|why| why.chars().take(256).collect()).unwrap_or_default();
    match why.starts_with("too many toasts") {
        true => Err(Failure::Excess(why)),
        false if why.is_empty() => Err(Failure::Refused("natstoast did not say why".into())),
        false => Err(Failure::Refused(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::notification::{Action, Notification};
    use super::*;

    /// What was said to NATS; requests are numbered.
    #[derive(Default)]
    struct Nats {
        away: bool,
        said: Vec<(String, String)>,
    }

    impl Upstream for Nats {
        type Request = usize;

        fn is_ready(&self) -> bool {
            !self.away
        }

        fn publish(&mut self, subject: &str, payload: &[u8]) {
            self.said.push((subject.into(), String::from_utf8_lossy(payload).into_owned()));
        }

        fn request(&mut self, subject: &str, payload: &[u8]) -> Option<usize> {
            self.publish(subject, payload);
            Some(self.said.len())
        }
    }

    #[derive(Default)]
    struct Bench {
        nats: Nats,
        server: Option<Server<u32, usize>>,
        now: Instant,
    }

    impl Bench {
        fn server(&mut self) -> (&mut Server<u32, usize>, &mut Nats) {
            (self.server.get_or_insert_with(Server::new), &mut self.nats)
        }

        fn notify(&mut self, caller: u32, notify: Notify) {
            let now = self.now;
            let (server, nats) = self.server();
            server.notify(now, nats, caller, notify);
        }

        /// The last request is answered.
        fn answer(&mut self, payload: &str) {
            let (server, nats) = self.server();
            server.answered(nats, nats.said.len(), Answer::Payload(payload.as_bytes()));
        }

        fn said(&mut self) -> Vec<Said<u32>> {
            let (server, _) = self.server();
            std::iter::from_fn(|| server.poll()).collect()
        }

        /// One that is shown as `toast`; its id.
        fn shown(&mut self, toast: u32, notify: Notify) -> u32 {
            self.notify(7, notify);
            self.answer(&format!("{{\"id\":{toast}}}"));
            match self.said().pop() {
                Some(Said::Shown(7, id)) => id,
                other => panic!("{other:?}"),
            }
        }
    }

    fn named(summary: &str) -> Notify {
        let notification =
            Notification { summary: summary.into(), app: "app".into(), ..Notification::default() };
        Notify { notification, ..Notify::default() }
    }

    #[test]
    fn a_notification_is_a_toast_until_it_is_closed_once() {
        let mut bench = Bench::default();
        let mut notify = named("well?");
        let action = |id: &str, key: &str| Action { id: id.into(), key: key.into(), label: String::new() };
        notify.notification.actions =
            vec![action("yes", "yes"), action("#1", "a key that natstoast does not take")];
        let id = bench.shown(31, notify);
        assert_eq!(bench.nats.said[0].0, "toast.in");
        let (server, _) = bench.server();
        server.action(31, "maybe");
        server.action(30, "yes");
        server.action(31, "#1");
        server.action(31, "yes");
        server.closed(31, Reason::Dismissed);
        server.closed(31, Reason::Expired);
        let key = "a key that natstoast does not take".to_owned();
        assert_eq!(bench.said(), [Said::Invoked(id, key), Said::Closed(id, Why::Dismissed)]);
        let (server, nats) = bench.server();
        assert!(!server.close(nats, id));
    }

    #[test]
    fn every_action_of_one_that_is_resident_is_heard() {
        let mut bench = Bench::default();
        let mut notify = named("player");
        notify.notification.resident = true;
        notify.notification.actions =
            vec![Action { id: "next".into(), key: "next".into(), label: String::new() }];
        let id = bench.shown(7, notify);
        let (server, _) = bench.server();
        server.action(7, "next");
        server.action(7, "next");
        server.closed(7, Reason::Dismissed);
        let next = || Said::Invoked(id, "next".to_owned());
        assert_eq!(bench.said(), [next(), next(), Said::Closed(id, Why::Dismissed)]);
    }

    #[test]
    fn calls_wait_their_turn_and_take_places() {
        let mut bench = Bench::default();
        let tagged = || Notify { tag: Some("volume".into()), ..named("volume") };
        bench.notify(1, tagged());
        bench.notify(2, tagged());
        bench.notify(3, Notify { tag: Some("brightness".into()), ..named("other") });
        assert_eq!(bench.nats.said.len(), 1);
        bench.answer(r#"{"id":5}"#);
        assert!(bench.nats.said[1].1.contains("\"replaces\":5"), "{:?}", bench.nats.said);
        bench.answer(r#"{"id":5}"#);
        assert!(!bench.nats.said[2].1.contains("replaces"), "{:?}", bench.nats.said);
        bench.answer(r#"{"id":6}"#);
        assert_eq!(bench.said(), [Said::Shown(1, 1), Said::Shown(2, 1), Said::Shown(3, 2)]);
        // By its id, and by one that nobody has.
        assert_eq!(bench.shown(5, Notify { replaces: 1, ..named("again") }), 1);
        assert_eq!(bench.shown(8, Notify { replaces: 99, ..named("new") }), 3);
        let (server, nats) = bench.server();
        assert!(server.close(nats, 3));
        assert_eq!(bench.nats.said.last().unwrap(), &("toast.close".into(), r#"{"id":8}"#.into()));
    }

    #[test]
    fn whoever_is_not_shown_hears_why() {
        let mut bench = Bench::default();
        let failed = |bench: &mut Bench| match bench.said().pop() {
            Some(Said::Failed(_, failure)) => failure,
            other => panic!("{other:?}"),
        };
        bench.notify(1, named("a"));
        bench.answer(r#"{"error":"icon: expected something else"}"#);
        assert_eq!(failed(&mut bench), Failure::Refused("icon: expected something else".into()));
        bench.notify(1, named("a"));
        bench.answer(r#"{"error":"too many toasts: 32 are shown and 32 wait"}"#);
        assert!(matches!(failed(&mut bench), Failure::Excess(_)));
        for (answer, why) in
            [(Answer::NoResponders, "there is no natstoast"), (Answer::TimedOut, "natstoast does not answer")]
        {
            bench.notify(1, named("a"));
            let (server, nats) = bench.server();
            server.answered(nats, nats.said.len(), answer);
            assert_eq!(failed(&mut bench), Failure::Unavailable(why));
        }
        bench.notify(1, named("a"));
        bench.answer("what?");
        assert!(matches!(failed(&mut bench), Failure::Refused(_)));
    }

    #[test]
    fn while_nats_is_away_a_few_wait_and_not_for_ever() {
        let mut bench = Bench { nats: Nats { away: true, ..Nats::default() }, ..Bench::default() };
        for caller in 0..u32::try_from(CALLS).unwrap() {
            bench.notify(caller, named("waits"));
        }
        bench.notify(1000, named("too many"));
        assert!(matches!(bench.said()[..], [Said::Failed(1000, Failure::Excess(_))]));
        let deadline = bench.server().0.next_deadline().unwrap();
        assert_eq!(deadline, bench.now + PATIENCE);
        bench.now = deadline;
        bench.notify(1001, named("too late"));
        let (server, nats) = bench.server();
        server.tick(deadline, nats);
        let said = bench.said();
        assert_eq!(said.len(), CALLS + 1);
        let away = Failure::Unavailable("there is no NATS server");
        assert_eq!(said.last().unwrap(), &Said::Failed(63, away));
        assert_eq!(bench.server().0.next_deadline(), None);
        bench.notify(1002, named("in time"));
        bench.nats.away = false;
        let (server, nats) = bench.server();
        server.ready(nats);
        bench.answer(r#"{"id":1}"#);
        assert_eq!(bench.said(), [Said::Shown(1002, 1)]);
    }

    #[test]
    fn what_is_a_toast_here_already_is_not_shown_twice() {
        let mut bench = Bench::default();
        let forwarded = || Notify { origin: Some(3), ..named("hot") };
        bench.notify(1, forwarded());
        assert_eq!(bench.nats.said[0].0, "toast.list");
        bench.answer(r#"[{"id":2,"summary":"other"},{"id":3,"summary":"hot","app":"app","state":"shown"}]"#);
        assert_eq!(bench.said(), [Said::Failed(1, Failure::Loop)]);
        for others in [
            "[]",
            "?",
            r#"[{"id":3,"summary":"hot"},{"id":3,"app":"app","summary":"cold"},{"id":4,"app":"app","summary":"hot"}]"#,
        ] {
            bench.notify(2, forwarded());
            bench.answer(others);
            assert_eq!(bench.nats.said.last().unwrap().0, "toast.in");
            bench.answer(r#"{"error":"no"}"#);
            assert_eq!(bench.said(), [Said::Failed(2, Failure::Refused("no".into()))]);
        }
    }

    #[test]
    fn what_ended_unheard_is_closed() {
        let mut bench = Bench::default();
        let ids = [3, 4, 5].map(|toast| bench.shown(toast, named("a")));
        bench.server().0.present(&[4, 80]);
        let undefined = |id| Said::Closed(id, Why::Undefined);
        assert_eq!(bench.said(), [undefined(ids[0]), undefined(ids[2])]);
        // Another natstoast begins anew with its numbers.
        bench.notify(7, named("b"));
        bench.answer(r#"{"id":4}"#);
        assert_eq!(bench.said(), [undefined(ids[1]), Said::Shown(7, 4)]);
        bench.notify(8, named("c"));
        bench.server().0.give_up();
        assert!(matches!(bench.said()[..], [Said::Failed(8, Failure::Unavailable(_))]));
    }

    #[test]
    fn it_remembers_no_more_than_it_should() {
        let mut bench = Bench::default();
        let mut closed = 0;
        for toast in 1..=1000 {
            bench.notify(7, named("a"));
            bench.answer(&format!("{{\"id\":{toast}}}"));
            closed +=
                bench.said().iter().filter(|said| matches!(said, Said::Closed(_, Why::Undefined))).count();
        }
        assert_eq!(closed, 1000 - NOTIFICATIONS);
    }
}
