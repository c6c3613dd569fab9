//! Which devices are there: one bounded table, kept by events and compared with /sys when events were lost.

use lunix_uevent::{Action, Uevent};

use super::{Happening, is_device};

/// The present devices, in the order in which they became known. Memory is the caller's: one [`Slot`] a device
/// and the bytes of its path and subsystem (about 90 a device on real machines).
///
/// ```
/// use lunix_core::device::{DeviceTable, Happening, table::{Applied, Slot}};
/// use lunix_uevent::Uevent;
/// let (mut slots, mut bytes) = ([Slot::EMPTY; 8], [0; 1024]);
/// let mut table = DeviceTable::new(&mut slots, &mut bytes);
/// let add = Uevent::parse(b"add@/devices/a\0ACTION=add\0DEVPATH=/devices/a\0SUBSYSTEM=mem\0").unwrap();
/// assert_eq!(table.apply(&add), Ok(Applied::Said(Happening::Add)));
/// assert_eq!(table.apply(&add), Ok(Applied::Known));
/// assert_eq!(table.iter().next().map(|device| device.devpath), Some(&b"/devices/a"[..]));
/// ```
#[derive(Debug)]
pub struct DeviceTable<'m> {
    slots: &'m mut [Slot],
    used: usize,
    bytes: &'m mut [u8],
    end: usize,
    /// Flips with every scan; a slot whose mark differs was not seen in it.
    mark: bool,
    /// The number of the newest event when the scan began.
    scanned: u64,
}

/// The memory of one device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    hash: u32,
    identity: Identity,
    /// Events up to this number are older than what is known.
    since: u64,
    at: u32,
    path: u16,
    /// No subsystem has a name longer than 255 bytes.
    subsystem: u8,
    mark: bool,
}

impl Slot {
    /// No device.
    pub const EMPTY: Self =
        Self { hash: 0, identity: Identity(0), since: 0, at: 0, path: 0, subsystem: 0, mark: false };
}

/// A device of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'t> {
    /// Where it is below /sys.
    pub devpath: &'t [u8],
    /// Its subsystem, which is its class.
    pub subsystem: &'t [u8],
}

/// Tells two devices apart that follow each other at the same path: another stick in the same port has another
/// number, another disk another sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity(u32);

impl Identity {
    /// Of the variables of an `add`, or of the lines of the device's `uevent` file, which are the same ones.
    pub fn of<'v>(vars: impl Iterator<Item = (&'v [u8], &'v [u8])>) -> Self {
        let mut sum = 0;
        for (key, value) in vars {
            if let b"MAJOR" | b"MINOR" | b"IFINDEX" | b"DISKSEQ" | b"BUSNUM" | b"DEVNUM" | b"PRODUCT" = key {
                // The order of the variables does not count.
                sum ^= fnv1a(fnv1a(FNV, key), value);
            }
        }
        Self(sum)
    }
}

/// What an event or a find of a scan meant for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing that concerns devices.
    Nothing,
    /// The device is known, and nothing about it is new.
    Known,
    /// A device appeared, changed or went: this is to be said.
    Said(Happening),
    /// Another device is now at this path: the removal of the former one is to be said, then this one's arrival.
    Replaced,
}

/// The table has no room for another device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

impl core::fmt::Display for TableFull {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the device table is full")
    }
}

impl core::error::Error for TableFull {}

impl<'m> DeviceTable<'m> {
    /// An empty table in this memory.
    pub const fn new(slots: &'m mut [Slot], bytes: &'m mut [u8]) -> Self {
        Self { slots, used: 0, bytes, end: 0, mark: false, scanned: 0 }
    }

    /// How many devices are there.
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// For how many there is room at most.
    pub const fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The devices, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Device<'_>> {
        self.known().iter().map(|slot| self.device(slot))
    }

    /// The device at `devpath`.
    pub fn find(&self, devpath: &[u8]) -> Option<Device<'_>> {
        let slot = self.slots.get(self.position(devpath)?)?;
        Some(self.device(slot))
    }

    /// Keeps up with an event.
    ///
    /// `bind` and `unbind` are not arrivals and removals. An `add` of a known device (a coldplug, a late
    /// event after a scan) changes nothing; a `change` of an unknown one is nothing, since nobody heard of it.
    ///
    /// # Errors
    /// There is no room for a new device; the table is as it was.
    pub fn apply(&mut self, event: &Uevent<'_>) -> Result<Applied, TableFull> {
        let devpath = event.devpath();
        if !is_device(devpath, event.subsystem()) {
            return Ok(Applied::Nothing);
        }
        let position = self.position(devpath);
        let since = event.seqnum().unwrap_or(0);
        let stale = position
            .and_then(|position| self.slots.get(position))
            .is_some_and(|slot| since != 0 && since <= slot.since);
        match (event.action(), position) {
            (Action::Add, Some(_)) if stale => Ok(Applied::Known),
            (Action::Add, _) => {
                self.found(position, devpath, event.subsystem(), Identity::of(event.vars()), since)
            }
            (Action::Remove, Some(_)) if stale => Ok(Applied::Nothing),
            (Action::Remove, Some(position)) => {
                self.remove(position);
                Ok(Applied::Said(Happening::Remove))
            }
            (Action::Change | Action::Online | Action::Offline, Some(_)) => {
                Ok(Applied::Said(Happening::Change))
            }
            (Action::Move, _) => self.moved(event, since),
            _ => Ok(Applied::Nothing),
        }
    }

    /// Begins a comparison with /sys. `newest` is the number of the newest event at this time: events up to it
    /// are older than what the scan finds.
    pub fn begin_scan(&mut self, newest: u64) {
        self.mark = !self.mark;
        self.scanned = newest;
    }

    /// The scan found this device.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn scan(
        &mut self,
        devpath: &[u8],
        subsystem: &[u8],
        identity: Identity,
    ) -> Result<Applied, TableFull> {
        if !is_device(devpath, subsystem) {
            return Ok(Applied::Nothing);
        }
        self.found(self.position(devpath), devpath, subsystem, identity, self.scanned)
    }

    /// After the last find: takes out the next device that the scan did not find, until there is none. Its
    /// removal is to be said.
    pub fn next_missing(&mut self) -> Option<Device<'_>> {
        let mark = self.mark;
        let position = self.known().iter().rposition(|slot| slot.mark != mark)?;
        let slot = self.slots.get(position).copied()?;
        self.remove(position);
        Some(self.device(&slot))
    }

    fn found(
        &mut self,
        position: Option<usize>,
        devpath: &[u8],
        subsystem: &[u8],
        identity: Identity,
        since: u64,
    ) -> Result<Applied, TableFull> {
        let mark = self.mark;
        let Some(slot) = position.and_then(|position| self.slots.get_mut(position)) else {
            self.insert(devpath, subsystem, identity, since)?;
            return Ok(Applied::Said(Happening::Add));
        };
        let same = slot.identity == identity;
        slot.identity = identity;
        slot.since = slot.since.max(since);
        slot.mark = mark;
        Ok(if same { Applied::Known } else { Applied::Replaced })
    }

    /// A rename moves the device and all that is below it.
    fn moved(&mut self, event: &Uevent<'_>, since: u64) -> Result<Applied, TableFull> {
        let devpath = event.devpath();
        let old = event.devpath_old().filter(|old| *old != devpath).unwrap_or_default();
        let Some(position) = self.position(old) else {
            let target = self.position(devpath);
            return self.found(target, devpath, event.subsystem(), Identity::of(event.vars()), since);
        };
        self.rename(position, old.len(), devpath, since)?;
        // Into itself nothing can move: such a message is not followed further.
        while !is_below(devpath, old)
            && let Some(below) = self.known().iter().position(|slot| is_below(self.device(slot).devpath, old))
        {
            self.rename(below, old.len(), devpath, since)?;
        }
        Ok(Applied::Said(Happening::Change))
    }

    fn rename(&mut self, position: usize, old: usize, new: &[u8], since: u64) -> Result<(), TableFull> {
        let mut slot = self.slots.get(position).copied().ok_or(TableFull)?;
        let rest = usize::from(slot.path).saturating_sub(old);
        let subsystem = usize::from(slot.subsystem);
        let path = u16::try_from(new.len() + rest).map_err(|_| TableFull)?;
        let room = new.len() + rest + subsystem;
        if self.bytes.len() - self.end < room {
            self.compact();
            slot = self.slots.get(position).copied().ok_or(TableFull)?;
        }
        let (at, start) = (slot.at as usize, self.end);
        let end = start.checked_add(room).filter(|end| *end <= self.bytes.len()).ok_or(TableFull)?;
        let tail = at + old;
        self.bytes.get_mut(start..start + new.len()).ok_or(TableFull)?.copy_from_slice(new);
        self.bytes.copy_within(tail..tail + rest + subsystem, start + new.len());
        self.end = end;
        self.remove(position);
        let name = self.bytes.get(start..start + usize::from(path)).unwrap_or_default();
        let hash = fnv1a(FNV, name);
        // Whoever was there must be gone, even if nobody said so.
        if let Some(former) = self.position(name) {
            self.remove(former);
        }
        let slot = Slot { hash, at: offset(start)?, path, since: slot.since.max(since), ..slot };
        self.push(slot)
    }

    fn insert(
        &mut self,
        devpath: &[u8],
        subsystem: &[u8],
        identity: Identity,
        since: u64,
    ) -> Result<(), TableFull> {
        let path = u16::try_from(devpath.len()).map_err(|_| TableFull)?;
        let class = u8::try_from(subsystem.len()).map_err(|_| TableFull)?;
        if self.used == self.slots.len() {
            return Err(TableFull);
        }
        let room = devpath.len() + subsystem.len();
        if self.bytes.len() - self.end < room {
            self.compact();
        }
        let at = self.end;
        let place = self.bytes.get_mut(at..at + room).ok_or(TableFull)?;
        let (head, tail) = place.split_at_mut_checked(devpath.len()).ok_or(TableFull)?;
        head.copy_from_slice(devpath);
        tail.copy_from_slice(subsystem);
        self.end = at + room;
        let hash = fnv1a(FNV, devpath);
        self.push(Slot { hash, identity, since, at: offset(at)?, path, subsystem: class, mark: self.mark })
    }

    fn push(&mut self, slot: Slot) -> Result<(), TableFull> {
        *self.slots.get_mut(self.used).ok_or(TableFull)? = slot;
        self.used += 1;
        Ok(())
    }

    /// Leaves the bytes where they are until the next [`compact`](Self::compact), so that a removed device can
    /// still be spoken of.
    fn remove(&mut self, position: usize) {
        if position < self.used {
            self.slots.copy_within(position + 1..self.used, position);
            self.used -= 1;
        }
    }

    /// Slots are in the order of their bytes: whatever is pushed has its bytes at the end.
    fn compact(&mut self) {
        let mut end = 0;
        for slot in self.slots.get_mut(..self.used).unwrap_or_default() {
            let at = slot.at as usize;
            let len = usize::from(slot.path) + usize::from(slot.subsystem);
            self.bytes.copy_within(at..at + len, end);
            slot.at = u32::try_from(end).unwrap_or(slot.at);
            end += len;
        }
        self.end = end;
    }

    fn position(&self, devpath: &[u8]) -> Option<usize> {
        let hash = fnv1a(FNV, devpath);
        self.known().iter().position(|slot| slot.hash == hash && self.device(slot).devpath == devpath)
    }

    fn known(&self) -> &[Slot] {
        self.slots.get(..self.used).unwrap_or_default()
    }

    fn device(&self, slot: &Slot) -> Device<'_> {
        let at = slot.at as usize;
        let middle = at + usize::from(slot.path);
        Device {
            devpath: self.bytes.get(at..middle).unwrap_or_default(),
            subsystem: self.bytes.get(middle..middle + usize::from(slot.subsystem)).unwrap_or_default(),
        }
    }
}

fn offset(at: usize) -> Result<u32, TableFull> {
    u32::try_from(at).map_err(|_| TableFull)
}

/// Whether `devpath` lies in the tree below `parent`.
pub(super) fn is_below(devpath: &[u8], parent: &[u8]) -> bool {
    devpath.strip_prefix(parent).is_some_and(|rest| rest.first() == Some(&b'/'))
}

pub(super) const FNV: u32 = 0x811c_9dc5;

pub(super) fn fnv1a(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeMap;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;
    use std::{format, println};

    use lunix_uevent::Builder;

    use super::*;

    fn event(action: &str, devpath: &str, vars: &[(&str, &str)]) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let mut builder = Builder::new(&mut out, action.as_bytes(), devpath.as_bytes());
        for (key, value) in vars {
            builder = builder.var(key, value);
        }
        let len = builder.finish().unwrap();
        out.truncate(len);
        out
    }

    fn apply(table: &mut DeviceTable<'_>, action: &str, path: &str, vars: &[(&str, &str)]) -> Applied {
        let mut all = vec![("SUBSYSTEM", "net")];
        all.extend_from_slice(vars);
        table.apply(&Uevent::parse(&event(action, path, &all)).unwrap()).unwrap()
    }

    fn paths(table: &DeviceTable<'_>) -> Vec<String> {
        table.iter().map(|device| String::from_utf8(device.devpath.to_vec()).unwrap()).collect()
    }

    macro_rules! table {
        ($table:ident, $slots:expr, $bytes:expr) => {
            let (mut slots, mut bytes) = ([Slot::EMPTY; $slots], [0; $bytes]);
            #[allow(unused_mut)]
            let mut $table = DeviceTable::new(&mut slots, &mut bytes);
        };
    }

    #[test]
    fn only_devices_count() {
        table!(table, 4, 256);
        for (path, subsystem) in
            [("/module/loop", "module"), ("/devices/x/queues/rx-0", "queues"), ("/devices/x", "")]
        {
            let bytes = event("add", path, &[("SUBSYSTEM", subsystem)]);
            assert_eq!(table.apply(&Uevent::parse(&bytes).unwrap()), Ok(Applied::Nothing), "{path}");
        }
        assert!(table.is_empty());
    }

    #[test]
    fn the_life_of_a_device() {
        table!(table, 4, 256);
        let said = Applied::Said;
        assert_eq!(apply(&mut table, "change", "/devices/a", &[]), Applied::Nothing);
        assert_eq!(apply(&mut table, "add", "/devices/a", &[]), said(Happening::Add));
        assert_eq!(apply(&mut table, "bind", "/devices/a", &[]), Applied::Nothing);
        assert_eq!(apply(&mut table, "unbind", "/devices/a", &[]), Applied::Nothing);
        assert_eq!(apply(&mut table, "hibernate", "/devices/a", &[]), Applied::Nothing);
        assert_eq!(apply(&mut table, "change", "/devices/a", &[]), said(Happening::Change));
        assert_eq!(apply(&mut table, "offline", "/devices/a", &[]), said(Happening::Change));
        assert_eq!(apply(&mut table, "add", "/devices/a", &[]), Applied::Known);
        assert_eq!(apply(&mut table, "remove", "/devices/a", &[]), said(Happening::Remove));
        assert_eq!(apply(&mut table, "remove", "/devices/a", &[]), Applied::Nothing);
    }

    #[test]
    fn another_device_at_the_same_path() {
        table!(table, 4, 256);
        apply(&mut table, "add", "/devices/a", &[("DEVNUM", "001"), ("SEQNUM", "3")]);
        assert_eq!(apply(&mut table, "add", "/devices/a", &[("DEVNUM", "002")]), Applied::Replaced);
        assert_eq!(apply(&mut table, "add", "/devices/a", &[("DEVNUM", "002")]), Applied::Known);
    }

    #[test]
    fn inverted_numbers_of_unrelated_devices_are_all_taken() {
        table!(table, 4, 256);
        for (path, seqnum) in [("/devices/a", "200"), ("/devices/b", "98"), ("/devices/c", "150")] {
            let applied = apply(&mut table, "add", path, &[("SEQNUM", seqnum)]);
            assert_eq!(applied, Applied::Said(Happening::Add));
        }
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_rename_takes_all_below_along() {
        table!(table, 8, 160);
        apply(&mut table, "add", "/devices/x/net/eth0", &[]);
        apply(&mut table, "add", "/devices/x/net/eth0/led", &[]);
        apply(&mut table, "add", "/devices/x/net/eth01", &[]);
        for round in 0..20 {
            let (from, to) = if round % 2 == 0 { ("eth0", "backbone") } else { ("backbone", "eth0") };
            let (old, new) = (format!("/devices/x/net/{from}"), format!("/devices/x/net/{to}"));
            let applied = apply(&mut table, "move", &new, &[("DEVPATH_OLD", &old)]);
            assert_eq!(applied, Applied::Said(Happening::Change), "{round}");
            let mut found = paths(&table);
            found.sort();
            let mut expected = vec![new.clone(), format!("{new}/led"), "/devices/x/net/eth01".into()];
            expected.sort();
            assert_eq!(found, expected);
            assert!(table.iter().all(|device| device.subsystem == b"net"));
        }
        let applied = apply(&mut table, "move", "/devices/y", &[("DEVPATH_OLD", "/devices/unheard")]);
        assert_eq!(applied, Applied::Said(Happening::Add));
    }

    #[test]
    fn full_is_an_error_and_changes_nothing() {
        table!(table, 2, 64);
        apply(&mut table, "add", "/devices/a", &[]);
        apply(&mut table, "add", "/devices/b", &[]);
        let third = event("add", "/devices/c", &[("SUBSYSTEM", "net")]);
        assert_eq!(table.apply(&Uevent::parse(&third).unwrap()), Err(TableFull));
        assert_eq!(paths(&table), ["/devices/a", "/devices/b"]);
        apply(&mut table, "remove", "/devices/a", &[]);
        assert!(table.apply(&Uevent::parse(&third).unwrap()).is_ok());

        table!(table, 8, 40);
        apply(&mut table, "add", "/devices/a", &[]);
        apply(&mut table, "add", "/devices/b", &[]);
        let long = event("add", "/devices/0123456789", &[("SUBSYSTEM", "net")]);
        assert_eq!(table.apply(&Uevent::parse(&long).unwrap()), Err(TableFull));
        apply(&mut table, "remove", "/devices/a", &[]);
        assert!(table.apply(&Uevent::parse(&long).unwrap()).is_ok());
        assert_eq!(paths(&table), ["/devices/b", "/devices/0123456789"]);
    }

    #[test]
    fn a_scan_says_exactly_what_changed() {
        table!(table, 8, 256);
        for (path, number) in [("/devices/a", "1"), ("/devices/b", "2"), ("/devices/c", "3")] {
            apply(&mut table, "add", path, &[("DEVNUM", number), ("SEQNUM", number)]);
        }
        let identity = |number: &'static str| {
            Identity::of([(&b"DEVNUM"[..], number.as_bytes()), (b"OTHER", b"x")].into_iter())
        };
        table.begin_scan(9);
        assert_eq!(table.scan(b"/devices/a", b"net", identity("1")), Ok(Applied::Known));
        assert_eq!(table.scan(b"/devices/b", b"net", identity("7")), Ok(Applied::Replaced));
        assert_eq!(table.scan(b"/devices/d", b"net", identity("8")), Ok(Applied::Said(Happening::Add)));
        assert_eq!(table.next_missing().map(|device| device.devpath), Some(&b"/devices/c"[..]));
        assert_eq!(table.next_missing(), None);

        // What was still queued is older than the scan.
        let late = [("DEVNUM", "8"), ("SEQNUM", "8")];
        assert_eq!(apply(&mut table, "add", "/devices/d", &late), Applied::Known);
        assert_eq!(apply(&mut table, "remove", "/devices/b", &[("SEQNUM", "6")]), Applied::Nothing);
        // What comes after the scan is news.
        let news = apply(&mut table, "remove", "/devices/b", &[("SEQNUM", "10")]);
        assert_eq!(news, Applied::Said(Happening::Remove));
        assert_eq!(paths(&table), ["/devices/a", "/devices/d"]);
    }

    #[test]
    fn children_go_before_their_parents_in_a_scan() {
        table!(table, 8, 256);
        apply(&mut table, "add", "/devices/a", &[]);
        apply(&mut table, "add", "/devices/a/b", &[]);
        table.begin_scan(0);
        assert_eq!(table.next_missing().map(|device| device.devpath), Some(&b"/devices/a/b"[..]));
        assert_eq!(table.next_missing().map(|device| device.devpath), Some(&b"/devices/a"[..]));
    }

    proptest::proptest! {
        /// The table does what a map does, with memory so small that it compacts all the time.
        #[test]
        fn behaves_as_a_map(ops in proptest::collection::vec((0u8..4, 0u8..12, 0u8..3), 0..200)) {
            table!(table, 6, 100);
            let mut model: BTreeMap<String, u8> = BTreeMap::new();
            for (op, name, number) in ops {
                let path = format!("/devices/{:x<1$}", name, usize::from(name));
                let number_text = format!("{number}");
                let vars = [("SUBSYSTEM", "net"), ("DEVNUM", &*number_text)];
                let action = match op { 0 | 1 => "add", 2 => "remove", _ => "change" };
                let bytes = event(action, &path, &vars);
                let applied = table.apply(&Uevent::parse(&bytes).unwrap());
                match (action, applied) {
                    ("add", Ok(Applied::Said(Happening::Add))) => assert!(model.insert(path, number).is_none()),
                    ("add", Ok(Applied::Known)) => assert_eq!(model.get(&path), Some(&number)),
                    ("add", Ok(Applied::Replaced)) => assert_ne!(model.insert(path, number), Some(number)),
                    ("add", Err(TableFull)) => assert!(!model.contains_key(&path)),
                    ("remove", Ok(Applied::Said(Happening::Remove))) => assert!(model.remove(&path).is_some()),
                    ("change", Ok(Applied::Said(Happening::Change))) | (_, Ok(Applied::Nothing)) => {
                        assert_eq!(model.contains_key(&path), applied != Ok(Applied::Nothing));
                    }
                    other => { println!("{other:?}"); panic!() }
                }
                let mut found = paths(&table);
                found.sort();
                assert_eq!(found, model.keys().cloned().collect::<Vec<_>>());
            }
        }
    }
}
