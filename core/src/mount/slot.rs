//! How one volume stands.

use super::{Action, Errno, Facts, Refusal, Told, VolumeId, Wish};
use crate::device::volume::Text;
use crate::time::Instant;

/// How a volume stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Present,
    /// The kernel is asked to mount it.
    Mounting,
    /// We have mounted it.
    Mounted,
    /// The kernel is asked to unmount it.
    Unmounting,
    /// Somebody else has mounted it.
    Theirs,
}

impl State {
    /// As it is said.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Mounting => "mounting",
            Self::Mounted => "mounted",
            Self::Unmounting => "unmounting",
            Self::Theirs => "theirs",
        }
    }
}

/// A volume, as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume<'m> {
    /// What it is.
    pub facts: Facts<'m>,
    /// Where it is mounted, or is about to be; empty if it is not.
    pub target: &'m [u8],
    /// How it stands.
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Mount,
    Unmount,
    Detach,
}

/// A place for a volume.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Empty = the place is free.
    devnode: Text<128>,
    fstype: Text<32>,
    label: Text<96>,
    uuid: Text<64>,
    target: Text<255>,
    state: State,
    /// Its medium is away; the place is free once nothing is mounted any more.
    gone: bool,
    /// Nothing has been decided about it yet.
    news: bool,
    /// It is being unmounted whoever uses it.
    detaching: bool,
    /// Nobody was told that it is mounted.
    quiet: bool,
    /// When the answer must be there; `None` once that was too late.
    deadline: Option<Instant>,
    /// What is polled: first this,
    say: Option<Told>,
    /// then this,
    act: Option<Act>,
    /// or this.
    abandon: bool,
}

impl Slot {
    pub(super) const EMPTY: Self = Self {
        devnode: Text::EMPTY,
        fstype: Text::EMPTY,
        label: Text::EMPTY,
        uuid: Text::EMPTY,
        target: Text::EMPTY,
        state: State::Present,
        gone: false,
        news: false,
        detaching: false,
        quiet: false,
        deadline: None,
        say: None,
        act: None,
        abandon: false,
    };

    /// What is told of contents is cut where it is too long; a node that is cut would be another one.
    pub(super) fn new(facts: Facts<'_>) -> Result<Self, Refusal> {
        let devnode = Text::whole(facts.devnode).filter(|node| !node.is_empty()).ok_or(Refusal::TooLong)?;
        Ok(Self { devnode, news: true, ..Self::EMPTY }.with(facts))
    }

    fn with(mut self, facts: Facts<'_>) -> Self {
        self.fstype = Text::cut(facts.fstype);
        self.label = Text::cut(facts.label);
        self.uuid = Text::cut(facts.uuid);
        self
    }

    pub(super) const fn is_free(&self) -> bool {
        self.devnode.is_empty()
    }

    /// It is the one that is at `devnode` now: of those that went some may still have to be unmounted.
    pub(super) fn is_at(&self, devnode: &[u8]) -> bool {
        !self.is_free() && !self.gone && self.devnode.as_bytes() == devnode
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn view(&self) -> Option<Volume<'_>> {
        let facts = Facts {
            devnode: self.devnode.as_bytes(),
            fstype: self.fstype.as_bytes(),
            label: self.label.as_bytes(),
            uuid: self.uuid.as_bytes(),
        };
        (!self.is_free()).then(|| Volume { facts, target: self.target.as_bytes(), state: self.state })
    }

    /// What was to be done and said has been: to be called before every input.
    pub(super) fn clear(&mut self) {
        (self.say, self.act, self.abandon) = (None, None, false);
        if self.is_over() {
            *self = Self::EMPTY;
        } else if self.state == State::Present {
            self.target = Text::EMPTY;
        }
    }

    /// It is gone, and nothing is left to be done or said.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.state == State::Present && self.say.is_none()
    }

    pub(super) fn present(
        &mut self,
        facts: Facts<'_>,
        wish: Wish<'_>,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        // What is mounted, or about to be, stays what it was then.
        if !matches!(self.state, State::Present | State::Theirs) {
            return Ok(());
        }
        let old = self.clone();
        *self = self.clone().with(facts);
        let same = old.fstype == self.fstype && old.label == self.label && old.uuid == self.uuid;
        let news = core::mem::take(&mut self.news) || !same;
        match wish {
            Wish::Ours(target) | Wish::Theirs(target) => {
                self.target = Text::whole(target).ok_or(Refusal::TooLong)?;
                self.state = State::Theirs;
                if matches!(wish, Wish::Ours(_)) {
                    (self.state, self.say) = (State::Mounted, Some(Told::Again));
                }
            }
            Wish::Mount | Wish::Leave => {
                (self.state, self.target) = (State::Present, Text::EMPTY);
                // What somebody has unmounted stays so, however often it is announced.
                if wish == Wish::Mount && news {
                    self.begin(State::Mounting, Act::Mount, deadline);
                }
            }
        }
        Ok(())
    }

    pub(super) fn go(&mut self, deadline: Instant) {
        self.gone = true;
        if self.state == State::Mounted {
            self.begin(State::Unmounting, Act::Detach, deadline);
        } else if self.state == State::Theirs {
            self.state = State::Present;
        }
    }

    pub(super) fn mount(&mut self, deadline: Instant) -> Result<(), Refusal> {
        match self.state {
            State::Present => {
                self.begin(State::Mounting, Act::Mount, deadline);
                Ok(())
            }
            State::Mounted => Err(Refusal::Mounted),
            State::Theirs => Err(Refusal::Theirs),
            State::Mounting | State::Unmounting => Err(Refusal::Busy),
        }
    }

    pub(super) fn unmount(&mut self, deadline: Instant) -> Result<(), Refusal> {
        match self.state {
            State::Mounted => {
                self.begin(State::Unmounting, Act::Unmount, deadline);
                Ok(())
            }
            State::Present => Err(Refusal::NotMounted),
            State::Theirs => Err(Refusal::Theirs),
            State::Mounting | State::Unmounting => Err(Refusal::Busy),
        }
    }

    pub(super) fn place(&mut self, target: &[u8]) -> Result<(), Refusal> {
        if self.state != State::Mounting {
            return Err(Refusal::NotMounted);
        }
        self.target = Text::whole(target).ok_or(Refusal::TooLong)?;
        Ok(())
    }

    /// The driver has done what it was asked for, or could not.
    pub(super) fn answer(&mut self, result: Result<(), Errno>, deadline: Instant) -> Result<(), Refusal> {
        let late = self.deadline.take().is_none();
        match (self.state, result) {
            (State::Mounting, Ok(())) => {
                self.state = State::Mounted;
                // It was said to have failed, and nobody counts on it any more.
                if !late {
                    self.say = Some(Told::Mounted);
                }
                if late || self.gone {
                    self.begin(State::Unmounting, Act::Detach, deadline);
                    self.quiet = late;
                }
            }
            (State::Mounting, Err(errno)) => {
                self.state = State::Present;
                self.say = (!late).then_some(Told::NotMounted(errno));
            }
            (State::Unmounting, Ok(())) => {
                self.state = State::Present;
                self.say = (!core::mem::take(&mut self.quiet)).then_some(Told::Unmounted);
            }
            (State::Unmounting, Err(errno)) => {
                self.state = State::Mounted;
                self.say = (!late).then_some(Told::NotUnmounted(errno));
                // It went while its unmounting was asked for.
                if self.gone && !core::mem::take(&mut self.detaching) {
                    self.begin(State::Unmounting, Act::Detach, deadline);
                }
            }
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    /// It is mounted no more; an answer that is still to come is not affected.
    pub(super) fn lost(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::Mounted => {
                (self.state, self.say) = (State::Present, Some(Told::Unmounted));
                Ok(())
            }
            State::Theirs => {
                self.state = State::Present;
                Ok(())
            }
            _ => Err(Refusal::NotMounted),
        }
    }

    pub(super) fn taken(&mut self, target: &[u8]) -> Result<(), Refusal> {
        if self.state != State::Present {
            return Err(Refusal::Mounted);
        }
        self.target = Text::whole(target).ok_or(Refusal::TooLong)?;
        self.state = State::Theirs;
        Ok(())
    }

    pub(super) fn announce(&mut self) {
        if !self.is_free() && self.state == State::Mounted {
            self.say = Some(Told::Again);
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        (self.deadline, self.abandon) = (None, true);
        if !self.quiet {
            let unmounts = self.state == State::Unmounting;
            let told = if unmounts { Told::NotUnmounted } else { Told::NotMounted };
            self.say = Some(told(Errno::TIMED_OUT));
        }
    }

    pub(super) fn poll(&mut self, id: VolumeId) -> Option<Action> {
        if let Some(told) = self.say.take() {
            return Some(Action::Say(id, told));
        }
        if core::mem::take(&mut self.abandon) {
            return Some(Action::Abandon(id));
        }
        Some(match self.act.take()? {
            Act::Mount => Action::Mount(id),
            Act::Unmount => Action::Unmount(id),
            Act::Detach => Action::Detach(id),
        })
    }

    fn begin(&mut self, state: State, act: Act, deadline: Instant) {
        (self.state, self.act, self.deadline) = (state, Some(act), Some(deadline));
        self.detaching = act == Act::Detach;
        self.quiet = false;
    }
}
