//! One toast in memory, and the read-only picture of it.

use super::request::{MAX_ACTIONS, Refusal, Request, Urgency};
use super::text::{Lines, Text, store};
use crate::time::{Duration, Instant};

const APP_MAX: usize = 64;
const ICON_MAX: usize = 128;
const ACTION_ID_MAX: usize = 32;
const ACTION_LABEL_MAX: usize = 48;
const SUMMARY_MAX: usize = 256;

/// Texts stored one behind the other: app, icon, two for each action, summary, body.
const TEXTS: usize = 4 + 2 * MAX_ACTIONS;
const SUMMARY: usize = TEXTS - 2;
const BODY: usize = TEXTS - 1;

/// Why a toast is no longer present; the word stands in `toast.closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its time was up.
    Expired,
    /// The user put it away, or chose one of its actions.
    Dismissed,
    /// A program asked for it.
    Closed,
    /// A newer toast took its place and its id.
    Replaced,
}

impl Reason {
    /// The word used on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Dismissed => "dismissed",
            Self::Closed => "closed",
            Self::Replaced => "replaced",
        }
    }
}

/// Where a toast stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Accepted; there is no room to show it yet.
    Waiting,
    /// Shown.
    Shown,
    /// In the history.
    Closed(Reason),
}

impl Stage {
    /// The word used on the wire: `waiting`, `shown`, or the reason of closing.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Shown => "shown",
            Self::Closed(reason) => reason.as_str(),
        }
    }
}

/// Why a toast is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has come to be shown.
    New,
    /// It took another one's place.
    Replaced,
    /// It was announced before; somebody may have missed it.
    Again,
}

/// What is still to be told by `poll`; all unset once it is drained.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) replaced: bool,
    pub(super) show: Option<Why>,
    pub(super) action: Option<u8>,
    pub(super) close: Option<Reason>,
}

#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) id: u32,
    pub(super) urgency: Urgency,
    pub(super) progress: Option<u8>,
    pub(super) resident: bool,
    pub(super) transient: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) stage: Stage,
    /// When it reached its stage.
    pub(super) since: Instant,
    pub(super) pending: Pending,
    actions: u8,
    ends: [u16; TEXTS],
}

impl Facts {
    /// When it is due to close by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.stage, self.timeout) {
            (Stage::Shown, Some(timeout)) => Some(self.since + timeout),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Slot<const TEXT: usize> {
    pub(super) facts: Facts,
    text: [u8; TEXT],
}

impl<const TEXT: usize> Slot<TEXT> {
    pub(super) fn new(
        request: &Request<'_>,
        timeout: Option<Duration>,
        now: Instant,
    ) -> Result<Self, Refusal> {
        const { assert!(TEXT >= 64 && TEXT <= u16::MAX as usize) };
        let mut text = [0; TEXT];
        let (ends, actions) = write_texts(&mut text, request)?;
        if request.progress.is_some_and(|percent| percent > 100) {
            return Err(Refusal::invalid("progress", "a whole number, 0 to 100"));
        }
        let facts = Facts {
            id: 0,
            urgency: request.urgency,
            progress: request.progress,
            resident: request.resident,
            transient: request.transient,
            timeout,
            stage: Stage::Waiting,
            since: now,
            pending: Pending::default(),
            actions,
            ends,
        };
        Ok(Self { facts, text })
    }

    pub(super) fn toast(&self) -> Toast<'_> {
        Toast { facts: &self.facts, text: &self.text }
    }
}

/// The texts of a toast under construction.
struct Texts<'o> {
    out: &'o mut [u8],
    ends: [u16; TEXTS],
    end: usize,
}

impl Texts<'_> {
    fn finish(&mut self, index: usize, len: usize) {
        self.end = self.end.saturating_add(len);
        if let Some(slot) = self.ends.get_mut(index) {
            *slot = u16::try_from(self.end).unwrap_or(u16::MAX);
        }
    }

    /// Cuts what is longer than `max` bytes or than the room left.
    fn cut(&mut self, index: usize, text: Text<'_>, max: usize, lines: Lines) -> usize {
        let room = self.out.get_mut(self.end..).unwrap_or_default();
        let max = max.min(room.len());
        let len = store(room.get_mut(..max).unwrap_or_default(), text.printable(lines));
        self.finish(index, len);
        len
    }

    /// Takes a name unchanged or not at all.
    fn whole(&mut self, index: usize, name: Text<'_>, max: usize) -> Option<usize> {
        let len = name.chars().try_fold(0_usize, |len, c| {
            let len = len.saturating_add(c.len_utf8());
            (len <= max && !c.is_control()).then_some(len)
        })?;
        let mut room = self.out.get_mut(self.end..self.end.saturating_add(len))?;
        for c in name.chars() {
            let (head, tail) = room.split_at_mut_checked(c.len_utf8())?;
            c.encode_utf8(head);
            room = tail;
        }
        self.finish(index, len);
        Some(len)
    }
}

fn write_texts(out: &mut [u8], request: &Request<'_>) -> Result<([u16; TEXTS], u8), Refusal> {
    let mut texts = Texts { out, ends: [0; TEXTS], end: 0 };
    texts.cut(0, request.app, APP_MAX, Lines::Joined);
    texts
        .whole(1, request.icon, ICON_MAX)
        .ok_or(Refusal::invalid("icon", "at most 128 bytes without control characters"))?;
    let mut actions = 0_u8;
    for (index, offer) in (2..SUMMARY).step_by(2).zip(request.actions.iter().map_while(Option::as_ref)) {
        texts.whole(index, offer.id, ACTION_ID_MAX).filter(|&len| len > 0).ok_or(Refusal::Invalid {
            key: "id",
            action: Some(actions),
            expected: "1 to 32 bytes without control characters",
        })?;
        texts.cut(index.saturating_add(1), offer.label, ACTION_LABEL_MAX, Lines::Joined);
        actions = actions.saturating_add(1);
    }
    for index in (2..SUMMARY).skip(usize::from(actions).saturating_mul(2)) {
        texts.finish(index, 0);
    }
    if texts.cut(SUMMARY, request.summary, SUMMARY_MAX, Lines::Joined) == 0 {
        return Err(Refusal::invalid("summary", "text that can be shown"));
    }
    texts.cut(BODY, request.body, usize::MAX, Lines::Kept);
    Ok((texts.ends, actions))
}

/// A toast as a presenter sees it: a picture that cannot change it.
///
/// All texts are clean (see [`Printable`](super::Printable)): one line without control characters,
/// except that [`body`](Self::body) may hold `\n`.
#[derive(Clone, Copy, Debug)]
pub struct Toast<'t> {
    facts: &'t Facts,
    text: &'t [u8],
}

impl<'t> Toast<'t> {
    fn at(self, index: usize) -> &'t str {
        let end = |index: usize| self.facts.ends.get(index).copied().map_or(0, usize::from);
        let start = index.checked_sub(1).map_or(0, end);
        // Only whole characters are ever stored.
        self.text
            .get(start..end(index))
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// Its number, never 0; unique among those present.
    pub const fn id(self) -> u32 {
        self.facts.id
    }

    /// Its one line; never empty.
    pub fn summary(self) -> &'t str {
        self.at(SUMMARY)
    }

    /// More lines, or empty.
    pub fn body(self) -> &'t str {
        self.at(BODY)
    }

    /// Who speaks, or empty.
    pub fn app(self) -> &'t str {
        self.at(0)
    }

    /// Name or path of a picture, or empty.
    pub fn icon(self) -> &'t str {
        self.at(1)
    }

    /// How much it matters.
    pub const fn urgency(self) -> Urgency {
        self.facts.urgency
    }

    /// How far something has come, 0 to 100.
    pub const fn progress(self) -> Option<u8> {
        self.facts.progress
    }

    /// An action that is chosen leaves it where it is.
    pub const fn is_resident(self) -> bool {
        self.facts.resident
    }

    /// It is not remembered once it is closed.
    pub const fn is_transient(self) -> bool {
        self.facts.transient
    }

    /// How long it is shown; `None` for ever.
    pub const fn timeout(self) -> Option<Duration> {
        self.facts.timeout
    }

    /// Where it stands.
    pub const fn stage(self) -> Stage {
        self.facts.stage
    }

    /// When it reached its stage.
    pub const fn since(self) -> Instant {
        self.facts.since
    }

    /// The time left before it expires, if it is shown and does.
    pub fn left(self, now: Instant) -> Option<Duration> {
        self.facts.deadline().map(|deadline| deadline.since(now))
    }

    /// What it offers: (id, label), neither empty.
    pub fn actions(self) -> impl Iterator<Item = (&'t str, &'t str)> + Clone {
        (0..self.facts.actions).filter_map(move |index| self.action(index))
    }

    /// The offer of that index: (id, label).
    pub fn action(self, index: u8) -> Option<(&'t str, &'t str)> {
        let at = usize::from(index).saturating_mul(2).saturating_add(2);
        let (id, label) = (self.at(at), self.at(at.saturating_add(1)));
        (index < self.facts.actions).then_some((id, if label.is_empty() { id } else { label }))
    }
}
