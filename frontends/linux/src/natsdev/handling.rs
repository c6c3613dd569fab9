//! Events wait for their turn, are handled as the rules want it, and only then are news.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use lunix_core::device::queue::{EventId, Pushed, Queue, QueueError, Slot};
use lunix_uevent::Uevent;

use super::NAME;
use super::handle::{Ground, Handled};
use super::rules::evaluate::{self, NoTime, Time};
use super::watch::Watches;
use super::workers::Workers;
use crate::log::{self, Level};

/// Events that wait or are being handled; more wait in the socket.
const EVENTS: usize = 512;
/// Bytes of their messages; what is never used of it takes no memory.
const BYTES: usize = 256 << 10;
/// As long as so many events wait, the kernel is not asked for others: what really happens meanwhile is behind them.
const ASK: usize = 2;

/// All events that are not handled yet.
#[derive(Debug)]
pub(super) struct Handling {
    queue: Queue<'static>,
    workers: Workers,
    pub(super) watches: Watches,
    /// For rules that take no time; none while there is nothing to do.
    memory: Vec<u8>,
    /// An event that was handled at once.
    done: Option<(EventId, Handled)>,
    /// Devices of which the kernel is to say `add` again.
    asks: VecDeque<Vec<u8>>,
    /// A file that is there as long as there are events (`udevadm settle` waits for its end).
    flag: PathBuf,
    flagged: bool,
    /// Events that found no room, but were expected.
    pub(super) merged: u64,
}

impl Handling {
    /// Nothing yet. The memory is reserved here, once.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(super) fn new(ground: Ground) -> io::Result<Self> {
        let flag = ground.root().path("/run/udev/queue");
        Ok(Self {
            queue: Queue::new(vec![Slot::EMPTY; EVENTS].leak(), vec![0; BYTES].leak()),
            workers: Workers::new(ground)?,
            watches: Watches::new()?,
            memory: Vec::new(),
            done: None,
            asks: VecDeque::new(),
            flag,
            flagged: false,
            merged: 0,
        })
    }

    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Whether another message may be read.
    pub(super) fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// Takes in a message of the kernel.
    ///
    /// # Errors
    /// There was no room, though [`Handling::has_room`] was not asked.
    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), QueueError> {
        self.merged += u64::from(self.queue.push(message)? == Pushed::Merged);
        Ok(())
    }

    /// Whether an event that waits will tell of this device.
    pub(super) fn expects(&self, devpath: &[u8]) -> bool {
        self.queue.is_expected(devpath)
    }

    /// Handles what may be handled now, or has it handled if it takes a while.
    pub(super) fn start(&mut self) {
        while let Some(event) = self.queue.begin() {
            let message = self.queue.message(event);
            // What its own programs write to a node is no news.
            if let Ok(event) = Uevent::parse(message) {
                self.watches.end(event.devpath());
            }
            if self.memory.is_empty() {
                // Pages that are never written to take no memory.
                self.memory = vec![0; evaluate::MEMORY];
            }
            match self.workers.ground().handle(message, &mut self.memory, Time::None) {
                Ok(handled) => {
                    self.done = Some((event, handled));
                    break;
                }
                Err(NoTime) => self.workers.handle(event, message),
            }
        }
    }

    /// Says whether anything is to be waited for. To be called when what can be done in a turn is done.
    pub(super) fn flag(&mut self, busy: bool) {
        if busy != self.flagged {
            // Without the folder nobody waits for it.
            let _ = if busy { File::create(&self.flag).map(drop) } else { fs::remove_file(&self.flag) };
            self.flagged = busy;
        }
        if !busy {
            self.memory = Vec::new();
        }
    }

    /// The message of an event that is handled, and what users of libudev hear of it.
    pub(super) fn next_done(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let (event, Handled { watch, told }) = self.done.take().or_else(|| self.workers.done())?;
        if let Some(watch) = watch
            && let Err(error) = self.watches.begin(watch.clone())
        {
            log::line(Level::Warn, NAME, format_args!("watching {}: {error}", watch.node.display()));
        }
        let message = self.queue.message(event).to_vec();
        self.queue.done(event);
        Some((message, told))
    }

    /// The kernel is to say `add` of these devices, in this order, as far as there is room.
    pub(super) fn ask(&mut self, devices: impl IntoIterator<Item = Vec<u8>>) {
        self.asks.extend(devices);
    }

    /// Devices for which it is time to do so.
    pub(super) fn next_asks(&mut self) -> Option<Vec<Vec<u8>>> {
        let room = ASK.saturating_sub(self.queue.len()).min(self.asks.len());
        (room > 0).then(|| self.asks.drain(..room).collect())
    }

    /// Whether there are such devices.
    pub(super) fn may_ask(&self) -> bool {
        !self.asks.is_empty() && self.queue.len() < ASK
    }

    /// Whether there are any left.
    pub(super) fn is_asking(&self) -> bool {
        !self.asks.is_empty()
    }

    /// Nothing waits and nothing is to be asked for, but for what may be in the socket.
    pub(super) fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.asks.is_empty()
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if self.flagged {
            let _ = fs::remove_file(&self.flag);
        }
    }
}
