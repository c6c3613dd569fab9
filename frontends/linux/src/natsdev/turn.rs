//! What would take long is done a little in every turn: what happens meanwhile is heard of in between.

use lunix_core::time::Instant;

use super::hotplug::{Hotplug, Origin};
use super::settings::Coldplug;
use super::{BATCH, Daemon, NAME, Token, sweep};
use crate::log::{self, Level};
use crate::reactor::{Reactor, monotonic};

/// Events handled by the rules in a turn, before the bus is written to.
const AT_ONCE: u32 = 8;

impl Daemon {
    /// As [`Daemon::go_on`]; what is left is for the next turn, and what was said meanwhile is on its way before.
    pub(super) fn go_on_in(&mut self, reactor: &mut Reactor<Token>) {
        if self.handling.is_some() && !self.first_pass.has_begun() {
            if !self.first_pass.may_begin(self.hotplug.voice.bus.is_failing()) {
                return;
            }
            if let Err(error) = self.begin(reactor) {
                log::line(Level::Error, NAME, format_args!("listening to the kernel: {error}"));
            }
        }
        if self.go_on(reactor.now()) {
            reactor.come_back();
        }
    }

    /// Has some of what can be handled handled, and asks for some of what is to be asked for. Whether more can be done at once.
    fn go_on(&mut self, now: Instant) -> bool {
        let Some(handling) = &mut self.handling else { return false };
        handling.ask(self.hotplug.asks.drain(..));
        // Until they have been heard, those that were asked for are not in the queue.
        while !self.asked
            && let Some(handling) = &mut self.handling
            && let Some(devpaths) = handling.next_asks()
        {
            self.ask(&devpaths);
        }
        let Some(handling) = &mut self.handling else { return false };
        let mut more = true;
        for _ in 0..AT_ONCE {
            handling.start();
            let Some((message, told)) = handling.next_done() else {
                more = false;
                break;
            };
            // News need not wait for more of what we have asked for ourselves.
            if self.hotplug.handled(now, &message, &told) == Origin::Kernel && handling.is_asking() {
                break;
            }
        }
        // Only when nothing waits: a `remove` that is still to be handled needs the device's entry.
        if !self.asked && handling.is_settled() && std::mem::take(&mut self.hotplug.gone_unseen) {
            sweep::sweep(handling.workers().ground().root());
        }
        handling.flag(!handling.is_settled());
        if self.asked || !handling.is_settled() {
            return more || (!self.asked && handling.may_ask());
        }
        match self.first_pass.end(monotonic()) {
            None => self.hotplug.settled(),
            Some(took) => {
                let count = self.hotplug.table.len();
                let ms = took.as_millis();
                log::line(Level::Info, NAME, format_args!("{count} devices handled by the rules in {ms} ms"));
            }
        }
        !self.hotplug.asks.is_empty()
    }

    /// Has the kernel say `add` of a few devices. Those that say nothing, or may not be asked, are read from /sys.
    fn ask(&mut self, devpaths: &[Vec<u8>]) {
        let Hotplug { sysfs, uuid, .. } = &self.hotplug;
        if self.coldplug == Coldplug::Trigger {
            for devpath in devpaths {
                self.asked |= sysfs.trigger(devpath, uuid).is_ok();
            }
        }
        if self.asked {
            self.receive_some(BATCH);
        }
        let Some(handling) = &mut self.handling else { return };
        for devpath in devpaths {
            // Behind a flood, the kernel's word may be still to come.
            if !self.asked
                && !handling.expects(devpath)
                && let Some(message) = self.hotplug.sysfs.message(devpath)
            {
                let _ = handling.push(&message);
            }
        }
    }
}
