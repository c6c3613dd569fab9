//! The machine: toasts that wait, are shown, and have been.

use super::request::{Refusal, Request, Urgency};
use super::slot::{Pending, Reason, Slot, Stage, Toast, Why};
use super::text::Text;
use crate::time::{Duration, Instant};
use heapless::Vec;

/// How long toasts are shown whose sender does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For [`Urgency::Low`].
    pub low: Option<Duration>,
    /// For [`Urgency::Normal`].
    pub normal: Option<Duration>,
    /// For [`Urgency::Critical`].
    pub critical: Option<Duration>,
}

impl Timeouts {
    /// Five seconds, ten seconds, for ever.
    pub const STANDARD: Self =
        Self { low: Some(Duration::from_secs(5)), normal: Some(Duration::from_secs(10)), critical: None };

    const fn of(&self, urgency: Urgency) -> Option<Duration> {
        match urgency {
            Urgency::Low => self.low,
            Urgency::Normal => self.normal,
            Urgency::Critical => self.critical,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'b> {
    /// Somebody wants a toast. At most 3 events.
    Toast(&'b Request<'b>),
    /// A program takes a toast back. At most 2 events.
    Close(u32),
    /// The user puts a toast away. At most 2 events.
    Dismiss(u32),
    /// The user chooses one of a toast's actions; that dismisses it unless it is resident. At most 3 events.
    Action(u32, Text<'b>),
    /// Listeners may have missed something: all that is shown is announced again. At most `SHOWN` events.
    Announce,
    /// Time has passed. At most 2 × `SHOWN` events.
    Tick,
}

/// What the driver publishes. The toast itself is at [`Toasts::get`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `toast.show`.
    Show(u32, Why),
    /// `toast.closed`. Each accepted [`Input::Toast`] ends in exactly one.
    Closed(u32, Reason),
    /// `toast.action`: the action of that index, which the event [`Event::Closed`] follows unless the toast is resident.
    Action(u32, u8),
}

/// All toasts: at most `SHOWN` shown at a time, `WAITING` behind them, the last `HISTORY` that closed;
/// each with `TEXT` bytes of text (64 to 65535).
///
/// The rules are those of freedesktop's notifications where they speak:
///
/// - A toast closes by itself when it has been shown for its time-out; 0 means never. Time spent waiting
///   does not count.
/// - The most urgent of those that wait is shown next, the oldest of these first.
/// - A toast that replaces one that is present takes its id and place, and its time starts anew. An id
///   that was given once but is gone is given again; one that never was is ignored.
/// - A resident toast stays when one of its actions is chosen; a transient one is not in the history.
/// - Without room the request is refused; no toast is ever dropped for another one's sake.
///
/// ```
/// use lunix_core::time::{Duration, Instant};
/// use lunix_core::toast::{Event, Input, Reason, Request, Timeouts, Toasts, Why};
/// let mut toasts: Toasts<4, 8, 8, 512> = Toasts::new(Timeouts::STANDARD);
/// let start = Instant::from_micros(0);
/// let id = toasts.handle(start, Input::Toast(&Request::new("a USB stick was plugged in!")))?;
/// assert_eq!(toasts.poll(), Some(Event::Show(id, Why::New)));
/// assert_eq!(toasts.poll(), None);
/// let end = toasts.next_deadline().unwrap();
/// assert_eq!(end.since(start), Duration::from_secs(10));
/// toasts.handle(end, Input::Tick)?;
/// assert_eq!(toasts.poll(), Some(Event::Closed(id, Reason::Expired)));
/// assert_eq!(toasts.history().next().unwrap().summary(), "a USB stick was plugged in!");
/// # Ok::<(), lunix_core::toast::Refusal>(())
/// ```
#[derive(Clone, Debug)]
pub struct Toasts<const SHOWN: usize, const WAITING: usize, const HISTORY: usize, const TEXT: usize> {
    shown: Vec<Slot<TEXT>, SHOWN>,
    waiting: Vec<Slot<TEXT>, WAITING>,
    /// The oldest first.
    history: Vec<Slot<TEXT>, HISTORY>,
    timeouts: Timeouts,
    now: Instant,
    last_id: u32,
    /// Every id has been given once.
    wrapped: bool,
}

impl<const SHOWN: usize, const WAITING: usize, const HISTORY: usize, const TEXT: usize>
    Toasts<SHOWN, WAITING, HISTORY, TEXT>
{
    /// No toasts.
    pub const fn new(timeouts: Timeouts) -> Self {
        const { assert!(SHOWN > 0) };
        Self {
            shown: Vec::new(),
            waiting: Vec::new(),
            history: Vec::new(),
            timeouts,
            now: Instant::from_micros(0),
            last_id: 0,
            wrapped: false,
        }
    }

    /// Takes an input and answers the id of the toast it is about (0 for none). Afterwards
    /// [`poll`](Self::poll) must be drained. A refused input changes nothing.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<u32, Refusal> {
        self.now = self.now.max(now);
        match input {
            Input::Toast(request) => self.accept(request),
            Input::Close(id) => self.close(id, Reason::Closed),
            Input::Dismiss(id) => self.close(id, Reason::Dismissed),
            Input::Action(id, action) => {
                let slot = self.present(id).ok_or(Refusal::NoToast(id))?;
                let chosen = slot.toast().actions().position(|(id, _)| id.chars().eq(action.chars()));
                let index = chosen.and_then(|index| u8::try_from(index).ok());
                slot.facts.pending.action = Some(index.ok_or(Refusal::NoAction(id))?);
                if !slot.facts.resident {
                    slot.facts.pending.close = Some(Reason::Dismissed);
                }
                Ok(id)
            }
            Input::Announce => {
                for slot in &mut self.shown {
                    slot.facts.pending.show.get_or_insert(Why::Again);
                }
                Ok(0)
            }
            Input::Tick => Ok(0),
        }
    }

    /// The next event. To be called after every [`handle`](Self::handle) until it answers `None`.
    pub fn poll(&mut self) -> Option<Event> {
        for slot in self.shown.iter_mut().chain(&mut self.waiting) {
            if let Some(index) = slot.facts.pending.action.take() {
                return Some(Event::Action(slot.facts.id, index));
            }
            if core::mem::take(&mut slot.facts.pending.replaced) {
                return Some(Event::Closed(slot.facts.id, Reason::Replaced));
            }
        }
        if let Some(event) = self.poll_closed() {
            return Some(event);
        }
        self.promote();
        self.shown
            .iter_mut()
            .find_map(|slot| slot.facts.pending.show.take().map(|why| Event::Show(slot.facts.id, why)))
    }

    /// When to call `handle` with [`Input::Tick`] at the latest. To be asked again after every drain.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.shown.iter().filter_map(|slot| slot.facts.deadline()).min()
    }

    /// The toast of that id: one that is present, else the last in the history.
    pub fn get(&self, id: u32) -> Option<Toast<'_>> {
        self.view().present().chain(self.history()).find(|toast| toast.id() == id)
    }

    /// The picture of all that is present.
    pub fn view(&self) -> View<'_, TEXT> {
        View { shown: &self.shown, waiting: &self.waiting, now: self.now }
    }

    /// What has been closed, the last first; at most `HISTORY`.
    pub fn history(&self) -> impl Iterator<Item = Toast<'_>> + Clone {
        self.history.iter().rev().map(Slot::toast)
    }

    fn present(&mut self, id: u32) -> Option<&mut Slot<TEXT>> {
        self.shown.iter_mut().chain(&mut self.waiting).find(|slot| slot.facts.id == id)
    }

    fn accept(&mut self, request: &Request<'_>) -> Result<u32, Refusal> {
        let timeout = match request.timeout_ms {
            None => self.timeouts.of(request.urgency),
            Some(0) => None,
            Some(ms) => Some(Duration::from_millis(ms.into())),
        };
        let mut slot = Slot::new(request, timeout, self.now)?;
        let replaces = request.replaces.filter(|&id| id != 0 && (id <= self.last_id || self.wrapped));
        let now = self.now;
        if let Some(old) = replaces.and_then(|id| self.present(id)) {
            slot.facts.id = old.facts.id;
            slot.facts.stage = old.facts.stage;
            slot.facts.since = if old.facts.stage == Stage::Shown { now } else { old.facts.since };
            let show = (old.facts.stage == Stage::Shown).then_some(Why::Replaced);
            slot.facts.pending = Pending { replaced: true, show, ..Pending::default() };
            let id = slot.facts.id;
            *old = slot;
            return Ok(id);
        }
        if self.waiting.is_full() && (WAITING > 0 || self.shown.is_full()) {
            return Err(Refusal::Full { shown: self.shown.len(), waiting: self.waiting.len() });
        }
        let id = replaces.unwrap_or_else(|| self.fresh_id());
        slot.facts.id = id;
        // Waiting comes before it if the driver left `poll` undrained.
        if self.shown.is_full() || !self.waiting.is_empty() {
            let _ = self.waiting.push(slot);
        } else {
            self.show(slot);
        }
        Ok(id)
    }

    /// The bound: it passes over no more ids than there are toasts.
    fn fresh_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or_else(|| {
                self.wrapped = true;
                1
            });
            let id = self.last_id;
            if self.present(id).is_none() {
                return id;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn jump_to(&mut self, last_id: u32) {
        self.last_id = last_id;
    }

    fn close(&mut self, id: u32, reason: Reason) -> Result<u32, Refusal> {
        let slot = self.present(id).ok_or(Refusal::NoToast(id))?;
        slot.facts.pending.close.get_or_insert(reason);
        Ok(id)
    }

    fn poll_closed(&mut self) -> Option<Event> {
        let now = self.now;
        let due = |slot: &Slot<TEXT>| {
            let expired = slot.facts.deadline().is_some_and(|deadline| deadline <= now);
            slot.facts.pending.close.or(expired.then_some(Reason::Expired))
        };
        let next = |slots: &[Slot<TEXT>]| {
            slots.iter().enumerate().find_map(|(index, slot)| due(slot).map(|reason| (index, reason)))
        };
        let (mut slot, reason) = if let Some((index, reason)) = next(&self.shown) {
            (self.shown.remove(index), reason)
        } else {
            let (index, reason) = next(&self.waiting)?;
            (self.waiting.remove(index), reason)
        };
        let id = slot.facts.id;
        slot.facts.stage = Stage::Closed(reason);
        slot.facts.since = now;
        slot.facts.pending = Pending::default();
        if !slot.facts.transient {
            if self.history.is_full() && !self.history.is_empty() {
                self.history.remove(0);
            }
            let _ = self.history.push(slot); // No room only where `HISTORY` is 0.
        }
        Some(Event::Closed(id, reason))
    }

    fn promote(&mut self) {
        while !self.shown.is_full() {
            // Of equals `min_by_key` takes the first, which is the oldest.
            let next = self
                .waiting
                .iter()
                .enumerate()
                .min_by_key(|(_, slot)| core::cmp::Reverse(slot.facts.urgency));
            let Some((index, _)) = next else { return };
            let slot = self.waiting.remove(index);
            self.show(slot);
        }
    }

    /// Only called with room.
    fn show(&mut self, mut slot: Slot<TEXT>) {
        slot.facts.stage = Stage::Shown;
        slot.facts.since = self.now;
        slot.facts.pending.show = Some(Why::New);
        let _ = self.shown.push(slot);
    }
}

/// What a presenter draws: a picture of all toasts that are present.
///
/// ```
/// use lunix_core::time::Instant;
/// use lunix_core::toast::{Input, Request, Timeouts, Toasts, Urgency};
/// let mut toasts: Toasts<1, 8, 8, 512> = Toasts::new(Timeouts::STANDARD);
/// for summary in ["one", "two"] {
///     toasts.handle(Instant::default(), Input::Toast(&Request::new(summary)))?;
///     while toasts.poll().is_some() {}
/// }
/// let view = toasts.view();
/// assert!(view.shown().map(|toast| toast.summary()).eq(["one"]));
/// assert_eq!(view.waiting().count(), 1);
/// assert_eq!(view.urgency(), Some(Urgency::Normal));
/// # Ok::<(), lunix_core::toast::Refusal>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'t, const TEXT: usize> {
    shown: &'t [Slot<TEXT>],
    waiting: &'t [Slot<TEXT>],
    now: Instant,
}

impl<'t, const TEXT: usize> View<'t, TEXT> {
    /// Those that are shown, the oldest first.
    pub fn shown(self) -> impl Iterator<Item = Toast<'t>> + Clone {
        self.shown.iter().map(Slot::toast)
    }

    /// Those that wait, the oldest first.
    pub fn waiting(self) -> impl Iterator<Item = Toast<'t>> + Clone {
        self.waiting.iter().map(Slot::toast)
    }

    /// Shown, then waiting.
    pub fn present(self) -> impl Iterator<Item = Toast<'t>> + Clone {
        self.shown().chain(self.waiting())
    }

    /// The highest urgency of what is shown; `None` if nothing is.
    pub fn urgency(self) -> Option<Urgency> {
        self.shown().map(Toast::urgency).max()
    }

    /// The time of the picture: that of the last input.
    pub const fn now(self) -> Instant {
        self.now
    }
}
