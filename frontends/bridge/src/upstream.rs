//! NATS as one source of tokio among others: the reactor that drives a [`Bus`](lunix::bus::Bus) has a descriptor of its own,
//! which tokio watches.

use std::cell::RefCell;
use std::io;

use lunix::reactor::{App, Reactor};
use tokio::sync::Notify;

use crate::sys;

/// Runs `app` on `reactor` until it calls [`Reactor::stop`]. Who does something to `app` from elsewhere, such as publishing,
/// says so with `changed`. `app` is borrowed only while it runs, never across an `await`.
///
/// # Errors
/// As [`Reactor::run`].
pub async fn run<A: App>(reactor: Reactor<A::Token>, app: &RefCell<A>, changed: &Notify) -> io::Result<()> {
    let mut reactor = sys::watch(reactor)?;
    while reactor.get_mut().run_ready(&mut *app.borrow_mut())? {
        tokio::select! {
            // Cleared before it runs, so that what comes meanwhile is an edge of its own.
            ready = reactor.readable_mut() => ready?.clear_ready(),
            () = changed.notified() => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lunix::reactor::{Key, Ready, monotonic};
    use lunix_core::time::Instant;

    use super::*;

    /// Stops at its deadline, which it sets once it is told to.
    struct Sleeper {
        told: bool,
        until: Option<Instant>,
    }

    impl App for Sleeper {
        type Token = ();

        fn ready(&mut self, _: &mut Reactor<()>, _: Key, (): (), _: Ready) {}

        fn deadline(&mut self, reactor: &mut Reactor<()>) {
            reactor.stop();
        }

        fn flush(&mut self, _: &mut Reactor<()>) {
            if self.told {
                self.until.get_or_insert(monotonic() + Duration::from_millis(5));
            }
        }

        fn next_deadline(&self) -> Option<Instant> {
            self.until
        }
    }

    #[tokio::test]
    async fn what_is_done_from_outside_and_what_the_reactor_waits_for_both_wake_it() {
        let (app, changed) = (RefCell::new(Sleeper { told: false, until: None }), Notify::new());
        let tell = async {
            tokio::task::yield_now().await;
            app.borrow_mut().told = true;
            changed.notify_one();
        };
        let (ended, ()) = tokio::join!(run(Reactor::new().unwrap(), &app, &changed), tell);
        ended.unwrap();
        assert!(app.borrow().until.is_some());
    }
}
