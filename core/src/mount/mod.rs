//! Volumes: which are to be mounted, which are, and what is said of it.
//!
//! The driver hears of devices, asks its rules whether they want a volume, looks which mounts there are, and has the
//! kernel mount. This machine keeps in mind how every volume stands, so that nothing is done twice, what went is
//! unmounted, and what hangs holds up nobody. See the contract at the head of this crate.
//!
//! ```
//! use lunix_core::mount::{Action, Facts, Input, Limits, Told, Volumes, Wish};
//! use lunix_core::time::Instant;
//! let now = Instant::default();
//! let mut volumes: Volumes<8> = Volumes::new(Limits::STANDARD);
//! let stick = Facts { devnode: b"/dev/sda1", fstype: b"vfat", label: b"HOLIDAY", uuid: b"1A2B-3C4D" };
//! let id = volumes.handle(now, Input::Present(stick, Wish::Mount))?;
//! assert_eq!(volumes.poll(), Some(Action::Mount(id)));
//! volumes.place(id, b"/media/HOLIDAY")?;
//! volumes.handle(now, Input::Done(id))?;
//! assert_eq!(volumes.poll(), Some(Action::Say(id, Told::Mounted)));
//! volumes.handle(now, Input::Gone(b"/dev/sda1"))?;
//! assert_eq!(volumes.poll(), Some(Action::Detach(id)));
//! # Ok::<(), lunix_core::mount::Refusal>(())
//! ```

pub mod encode;
pub mod name;
mod slot;

#[cfg(test)]
mod tests;

use crate::time::{Duration, Instant};
use slot::Slot;

pub use slot::{State, Volume};

/// The code of a failure, as the kernel numbers them (`errno`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub u16);

impl Errno {
    /// It took longer than it may.
    pub const TIMED_OUT: Self = Self(110);
}

/// A volume of this machine, until it is gone and that has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VolumeId(u16);

impl VolumeId {
    /// Its place: below the number of volumes that have room. The next volume may have the same.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For mounting or unmounting.
    pub time: Duration,
}

impl Limits {
    /// What a slow disk that has to start turning, and to replay its journal, needs and more.
    pub const STANDARD: Self = Self { time: Duration::from_secs(60) };
}

/// What a volume is. Only the first must not be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its node, by which it is known.
    pub devnode: &'a [u8],
    /// As `mount -t` names it.
    pub fstype: &'a [u8],
    /// The label its owner gave it.
    pub label: &'a [u8],
    /// As blkid prints it.
    pub uuid: &'a [u8],
}

/// What is to become of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// The rules want it mounted.
    Mount,
    /// Nobody wants it mounted.
    Leave,
    /// We mounted it there in an earlier life.
    Ours(&'a [u8]),
    /// Somebody else mounted it there.
    Theirs(&'a [u8]),
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A volume is there. If it was there already with the same contents, only where it is mounted counts.
    Present(Facts<'a>, Wish<'a>),
    /// The volume at this node is gone.
    Gone(&'a [u8]),
    /// Somebody asks for it to be mounted.
    Mount(&'a [u8]),
    /// Somebody asks for it to be unmounted: only if nobody uses it.
    Unmount(&'a [u8]),
    /// What the last [`Action::Mount`], [`Action::Unmount`] or [`Action::Detach`] wanted is done.
    Done(VolumeId),
    /// It could not be done.
    Failed(VolumeId, Errno),
    /// It is mounted no more, and not by us.
    Lost(VolumeId),
    /// Somebody else has mounted it there, while we had not.
    Taken(VolumeId, &'a [u8]),
    /// Whoever listens has missed something: what is mounted is said again.
    Announce,
    /// Time has passed.
    Tick,
}

/// What is to be done. Between [`Action::Mount`], [`Action::Unmount`] or [`Action::Detach`] and its answer there is
/// none of these three for the same volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Mount it, and say [`Volumes::place`] where.
    Mount(VolumeId),
    /// Unmount it if nobody uses it.
    Unmount(VolumeId),
    /// Unmount it in any case: its medium is gone.
    Detach(VolumeId),
    /// It takes too long: end the attempt. Its answer is still waited for.
    Abandon(VolumeId),
    /// Say this of it.
    Say(VolumeId, Told),
}

/// What is said of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is mounted.
    Mounted,
    /// It still is.
    Again,
    /// It is mounted no more.
    Unmounted,
    /// It could not be mounted.
    NotMounted(Errno),
    /// It could not be unmounted.
    NotUnmounted(Errno),
}

/// Why nothing was done. All but [`Refusal::Full`] and [`Refusal::TooLong`] are the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room for another volume.
    Full,
    /// Its node or its folder has a longer name than there is room for.
    TooLong,
    /// There is no such volume.
    Unknown,
    /// It is mounted already.
    Mounted,
    /// It is not mounted.
    NotMounted,
    /// Somebody else mounted it.
    Theirs,
    /// Something is being done with it.
    Busy,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            Self::Full => "no room for another volume",
            Self::TooLong => "the name is too long",
            Self::Unknown => "no such volume",
            Self::Mounted => "it is mounted already",
            Self::NotMounted => "it is not mounted",
            Self::Theirs => "somebody else mounted it",
            Self::Busy => "it is being mounted or unmounted",
        })
    }
}

impl core::error::Error for Refusal {}

/// The volumes, at most `N`. An input causes at most two actions; [`Input::Announce`] and [`Input::Tick`] cause as
/// many for every volume.
#[derive(Clone, Debug)]
pub struct Volumes<const N: usize> {
    slots: [Slot; N],
    limits: Limits,
}

impl<const N: usize> Volumes<N> {
    /// No volume yet.
    pub const fn new(limits: Limits) -> Self {
        Self { slots: [const { Slot::EMPTY }; N], limits }
    }

    /// Takes in what has happened; answers which volume it is about, the first one for those that are about none.
    ///
    /// # Errors
    /// Nothing was done, and why.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<VolumeId, Refusal> {
        self.slots.iter_mut().for_each(Slot::clear);
        let deadline = now + self.limits.time;
        match input {
            Input::Present(facts, wish) => {
                let id = match self.find(facts.devnode) {
                    Some(id) => id,
                    None => self.admit(facts)?,
                };
                self.slot(id)?.present(facts, wish, deadline)?;
                Ok(id)
            }
            Input::Gone(devnode) => {
                let id = self.find(devnode).ok_or(Refusal::Unknown)?;
                self.slot(id)?.go(deadline);
                Ok(id)
            }
            Input::Mount(devnode) => {
                let id = self.find(devnode).ok_or(Refusal::Unknown)?;
                self.slot(id)?.mount(deadline)?;
                Ok(id)
            }
            Input::Unmount(devnode) => {
                let id = self.find(devnode).ok_or(Refusal::Unknown)?;
                self.slot(id)?.unmount(deadline)?;
                Ok(id)
            }
            Input::Done(id) => self.slot(id)?.answer(Ok(()), deadline).map(|()| id),
            Input::Failed(id, errno) => self.slot(id)?.answer(Err(errno), deadline).map(|()| id),
            Input::Lost(id) => self.slot(id)?.lost().map(|()| id),
            Input::Taken(id, target) => self.slot(id)?.taken(target).map(|()| id),
            Input::Announce => {
                self.slots.iter_mut().for_each(Slot::announce);
                Ok(VolumeId(0))
            }
            Input::Tick => {
                self.slots.iter_mut().for_each(|slot| slot.tick(now));
                Ok(VolumeId(0))
            }
        }
    }

    /// What is to be done now.
    pub fn poll(&mut self) -> Option<Action> {
        let mut slots = (0..).zip(&mut self.slots);
        slots.find_map(|(index, slot)| slot.poll(VolumeId(index)))
    }

    /// When to call [`Volumes::handle`] with [`Input::Tick`].
    pub fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().filter_map(Slot::deadline).min()
    }

    /// Where the volume is being mounted, said before the answer to [`Action::Mount`].
    ///
    /// # Errors
    /// The path is too long, or the volume is not about to be mounted.
    pub fn place(&mut self, id: VolumeId, target: &[u8]) -> Result<(), Refusal> {
        self.slot(id)?.place(target)
    }

    /// The volume, until the next [`Volumes::handle`] after it is gone.
    pub fn get(&self, id: VolumeId) -> Option<Volume<'_>> {
        self.slots.get(id.index()).and_then(Slot::view)
    }

    /// The volume at `devnode`.
    pub fn find(&self, devnode: &[u8]) -> Option<VolumeId> {
        let mut slots = (0..).zip(&self.slots);
        slots.find(|(_, slot)| slot.is_at(devnode)).map(|(index, _)| VolumeId(index))
    }

    /// All volumes, but for those of which the last has been said.
    pub fn iter(&self) -> impl Iterator<Item = (VolumeId, Volume<'_>)> {
        let slots = (0..).zip(&self.slots).filter(|(_, slot)| !slot.is_over());
        slots.filter_map(|(index, slot)| Some((VolumeId(index), slot.view()?)))
    }

    fn admit(&mut self, facts: Facts<'_>) -> Result<VolumeId, Refusal> {
        let slot = Slot::new(facts)?;
        let mut places = (0..).zip(&mut self.slots);
        let (index, place) = places.find(|(_, slot)| slot.is_free()).ok_or(Refusal::Full)?;
        *place = slot;
        Ok(VolumeId(index))
    }

    fn slot(&mut self, id: VolumeId) -> Result<&mut Slot, Refusal> {
        self.slots.get_mut(id.index()).filter(|slot| !slot.is_free()).ok_or(Refusal::Unknown)
    }
}
