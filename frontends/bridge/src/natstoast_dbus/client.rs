//! Somebody else is the notification server of the session: toasts are shown by it.
//!
//! natstoast says how long, and takes a toast back when it ends; what people do to it there is said to natstoast.

use lunix_core::toast::{encode, subject};

use super::notification::Notification;
use super::server::Upstream;

/// Toasts at a time; natstoast shows half as many.
const TOASTS: usize = 64;

/// What the server is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// `Notify`: the toast, the notification whose place it takes or 0, and what it is.
    Notify(u32, u32, Notification),
    /// `CloseNotification`.
    Close(u32),
}

struct Toast {
    toast: u32,
    /// The server's number of it, once that is known.
    id: Option<u32>,
    /// `Notify` is on its way.
    called: bool,
    /// What is to be done when that is answered.
    next: Option<Next>,
    /// An action was chosen; that it is closed then is natstoast's doing.
    acted: bool,
}

enum Next {
    Show(Notification),
    Close,
}

#[derive(Default)]
pub(super) struct Client {
    toasts: Vec<Toast>,
    said: std::collections::VecDeque<Said>,
}

impl Client {
    /// What is to be said; until `None` after everything else here.
    pub(super) fn poll(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// `toast.show`; `again` if it was said before.
    pub(super) fn show(&mut self, toast: u32, again: bool, notification: Notification) {
        match self.toasts.iter_mut().find(|known| known.toast == toast) {
            Some(_) if again => {}
            Some(known) if known.called => known.next = Some(Next::Show(notification)),
            Some(known) => {
                (known.called, known.acted) = (true, false);
                self.said.push_back(Said::Notify(toast, known.id.unwrap_or(0), notification));
            }
            None => {
                if self.toasts.len() >= TOASTS {
                    // The oldest has ended unheard; where no answers come, more calls are no good.
                    let Some(oldest) = self.toasts.iter().position(|known| !known.called) else { return };
                    self.said.extend(self.toasts.remove(oldest).id.map(Said::Close));
                }
                self.toasts.push(Toast { toast, id: None, called: true, next: None, acted: false });
                self.said.push_back(Said::Notify(toast, 0, notification));
            }
        }
    }

    /// `toast.closed`, but for those that were replaced.
    pub(super) fn closed(&mut self, toast: u32) {
        let Some(index) = self.toasts.iter().position(|known| known.toast == toast) else { return };
        match self.toasts.get_mut(index) {
            Some(known) if known.called => known.next = Some(Next::Close),
            _ => self.said.extend(self.toasts.remove(index).id.map(Said::Close)),
        }
    }

    /// Those are all toasts that are shown.
    pub(super) fn present(&mut self, toasts: Vec<(u32, Notification)>) {
        let is_gone = |known: &Toast| toasts.iter().all(|(toast, _)| *toast != known.toast);
        let gone: Vec<u32> =
            self.toasts.iter().filter(|known| is_gone(known)).map(|known| known.toast).collect();
        for toast in gone {
            self.closed(toast);
        }
        for (toast, notification) in toasts {
            self.show(toast, true, notification);
        }
    }

    /// `Notify` is answered with the server's number, or with an error.
    pub(super) fn answered(&mut self, toast: u32, id: Option<u32>) {
        let Some(index) = self.toasts.iter().position(|known| known.toast == toast) else {
            // It was given up meanwhile.
            self.said.extend(id.map(Said::Close));
            return;
        };
        let Some(known) = self.toasts.get_mut(index) else { return };
        (known.id, known.called) = (id, false);
        match known.next.take() {
            Some(Next::Show(notification)) => self.show(toast, false, notification),
            Some(Next::Close) => self.closed(toast),
            None if id.is_none() => drop(self.toasts.remove(index)),
            None => {}
        }
    }

    /// The signal `NotificationClosed`; `dismissed` if a person did it.
    pub(super) fn gone(&mut self, nats: &mut impl Upstream, id: u32, dismissed: bool) {
        let known = |known: &Toast| known.id == Some(id) && !known.called;
        let Some(index) = self.toasts.iter().position(known) else { return };
        let known = self.toasts.remove(index);
        if dismissed && !known.acted {
            nats.publish(subject::DISMISS, &lunix::encoded::encoded(32, |out| encode::id(out, known.toast)));
        }
    }

    /// The signal `ActionInvoked`.
    pub(super) fn invoked(&mut self, nats: &mut impl Upstream, id: u32, key: &str) {
        let known = self.toasts.iter_mut().find(|known| known.id == Some(id) && !known.acted);
        if let Some(known) = known {
            known.acted = true;
            let payload = lunix::encoded::encoded(128, |out| encode::action(out, known.toast, key));
            nats.publish(subject::ACTION, &payload);
        }
    }

    /// There is another server, or none.
    pub(super) fn forget(&mut self) {
        self.toasts.clear();
        self.said.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Nats(Vec<(String, String)>);

    impl Upstream for Nats {
        type Request = ();

        fn is_ready(&self) -> bool {
            true
        }

        fn publish(&mut self, subject: &str, payload: &[u8]) {
            self.0.push((subject.into(), String::from_utf8_lossy(payload).into_owned()));
        }

        fn request(&mut self, _: &str, _: &[u8]) -> Option<()> {
            None
        }
    }

    fn named(summary: &str) -> Notification {
        Notification { summary: summary.into(), ..Notification::default() }
    }

    fn said(client: &mut Client) -> Vec<Said> {
        std::iter::from_fn(|| client.poll()).collect()
    }

    #[test]
    fn a_toast_is_shown_replaced_and_closed_in_order() {
        let mut client = Client::default();
        client.show(3, false, named("a"));
        client.show(3, false, named("b"));
        client.show(3, false, named("c"));
        client.show(3, true, named("c"));
        assert_eq!(said(&mut client), [Said::Notify(3, 0, named("a"))]);
        client.answered(3, Some(70));
        assert_eq!(said(&mut client), [Said::Notify(3, 70, named("c"))]);
        client.closed(3);
        assert_eq!(said(&mut client), []);
        client.answered(3, Some(70));
        assert_eq!(said(&mut client), [Said::Close(70)]);
        client.closed(3);
        client.answered(3, Some(70));
        assert_eq!(said(&mut client), [Said::Close(70)], "an answer to nobody");
    }

    #[test]
    fn what_people_do_is_said_once() {
        let (mut client, mut nats) = (Client::default(), Nats::default());
        for toast in 1..=3 {
            client.show(toast, false, named("a"));
            client.answered(toast, Some(toast + 10));
        }
        client.gone(&mut nats, 11, true);
        client.gone(&mut nats, 11, true);
        client.gone(&mut nats, 99, true);
        client.gone(&mut nats, 12, false);
        client.invoked(&mut nats, 13, "open");
        client.invoked(&mut nats, 13, "open");
        client.gone(&mut nats, 13, true);
        client.invoked(&mut nats, 98, "open");
        let expected = [("toast.dismiss", r#"{"id":1}"#), ("toast.action", r#"{"id":3,"action":"open"}"#)];
        assert_eq!(nats.0, expected.map(|(subject, payload)| (subject.into(), payload.into())));
    }

    #[test]
    fn all_that_are_there_are_all_that_are_shown() {
        let mut client = Client::default();
        client.show(1, false, named("old"));
        client.answered(1, Some(21));
        client.show(2, false, named("stays"));
        client.answered(2, Some(22));
        said(&mut client);
        client.present(vec![(2, named("stays")), (3, named("missed"))]);
        assert_eq!(said(&mut client), [Said::Close(21), Said::Notify(3, 0, named("missed"))]);
        client.answered(3, None);
        client.show(3, false, named("again"));
        assert_eq!(said(&mut client), [Said::Notify(3, 0, named("again"))], "one that was refused");
        client.forget();
        client.answered(3, None);
        assert_eq!(said(&mut client), []);
    }

    #[test]
    fn it_remembers_no_more_than_it_should() {
        let mut client = Client::default();
        for toast in 1..=1000 {
            client.show(toast, false, named("a"));
            client.answered(toast, Some(toast));
        }
        assert_eq!(
            said(&mut client).iter().filter(|said| matches!(said, Said::Close(_))).count(),
            1000 - TOASTS
        );
    }
}
