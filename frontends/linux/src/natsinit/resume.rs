//! The supervisor's state outside of itself: always current, so that a successor goes on from it, whether we made room for
//! it on purpose or had a fault.
//!
//! The table is one memfd: a header, the descriptors that stay open, and a record of fixed size for each service. The
//! definitions are not in it, as their files are read anew.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use lunix_core::supervise::Saved;
use lunix_core::time::{Duration, Instant};

use crate::sys::resume::{Successor, inherit};
use crate::sys::shared::Shared;

/// Services at a time.
pub(super) const SERVICES: usize = 1024;

const MAGIC: u32 = u32::from_le_bytes(*b"lxi1");
/// What the layout and the meaning of records is; a successor that knows another one begins afresh.
const VERSION: u32 = 2;
/// Numbers of the header, as words.
const HEADER: usize = 64;
/// A text of the header.
const TEXT: (usize, usize) = (HEADER, 192);
/// Descriptors: those of the supervisor, then those of each service.
const KEPT: usize = HEADER + TEXT.1;
const OWN: usize = 8;
const EACH: usize = 13;
const RECORDS: usize = (KEPT + 4 * (OWN + SERVICES * EACH)).next_multiple_of(4096);
/// A word, the name, and two copies of the rest, of which the word says which one counts: a fault in the middle of writing
/// leaves the other.
const RECORD: usize = 4 + NAME + 2 * COPY;
/// The length of a name and its bytes: [`Definition`](super::Definition) has none longer than 32.
const NAME: usize = 36;
const COPY: usize = Saved::LEN + 4 * 8 + 4;

/// Within so long a second fault is no accident.
const WINDOW: Duration = Duration::from_secs(10);

/// A number that outlives us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Number {
    /// The signal of a fault that was not yet spoken of, or 0.
    Fault = 8,
    /// When the last fault was, in whole seconds since the machine's start, plus one.
    FaultAt = 12,
    /// The port of the server of a session, plus one.
    Port = 16,
    /// How everything is being ended, plus one.
    Ending = 20,
    /// How many places for services are in use.
    Places = 24,
    /// 1 once everything that was wanted at boot was ready.
    Healthy = 28,
    /// The process that is being made, until it is in a record.
    Newborn = 32,
    /// How many open files we were given, which services get, plus one; 0 for as many as we may have.
    Files = 36,
}

/// A descriptor of the supervisor itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Own {
    /// The hardware's watchdog, which fires if it is closed.
    Watchdog = 0,
    /// The lock of the folder.
    Folder = 1,
    /// What was to be told and the bus has not heard yet, and what services wrote.
    Told = 2,
}

/// A descriptor of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Its process (pidfd_open(2)).
    Process,
    Output,
    Ready,
    Notify,
    Listens,
    /// One of its own sockets, from 0.
    Socket(usize),
}

impl Of {
    fn place(self) -> usize {
        match self {
            Self::Process => 0,
            Self::Output => 1,
            Self::Ready => 2,
            Self::Notify => 3,
            Self::Listens => 4,
            Self::Socket(at) => 5 + at,
        }
    }
}

/// Sockets of a service that can be kept.
pub(super) const SOCKETS: usize = EACH - 5;

/// What of a service outlives us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// What the machine knows of it, encoded.
    pub(super) saved: [u8; Saved::LEN],
    /// The process that was made, where another one is the main one now, and whether it was reaped.
    pub(super) made: Option<(u32, bool)>,
    /// When it was last wanted, made and ready.
    pub(super) times: [Option<Instant>; 3],
    /// When its timer is due.
    pub(super) timer: Option<Instant>,
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table(&'static Shared);

impl Table {
    /// A new one, empty.
    pub(super) fn new() -> io::Result<Self> {
        // It is there until the process ends: a handler of a fault reads it at any time.
        let shared: &'static Shared =
            Box::leak(Box::new(Shared::new("natsinit", RECORDS + SERVICES * RECORD)?));
        let table = Self(shared);
        table.put(0, MAGIC);
        table.put(4, VERSION);
        Ok(table)
    }

    /// The one that the program before us has left.
    pub(super) fn adopt(fd: RawFd) -> io::Result<Self> {
        let fd = inherit(fd).ok_or(io::ErrorKind::NotFound)?;
        let shared = Shared::adopt(fd)?;
        let table = Self(Box::leak(Box::new(shared)));
        if table.0.len() != RECORDS + SERVICES * RECORD || table.word(0) != MAGIC || table.word(4) != VERSION
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(table)
    }

    /// From now on a fault, and [`crate::sys::resume::succeed`], go on from it. `words` is our command line.
    pub(super) fn arm(self, words: impl Iterator<Item = std::ffi::OsString>) -> io::Result<()> {
        let mut words: Vec<Vec<u8>> = words.map(OsStringExt::into_vec).collect();
        if let Some(at) = words.iter().position(|word| word == b"--resume") {
            words.drain(at..words.len().min(at + 2));
        }
        // Behind a name and before everything else: what follows may be words that end the flags.
        let called = words.first().and_then(|word| word.rsplit(|byte| *byte == b'/').next());
        let at = if called.is_some_and(|name| name == b"natsinit" || name == b"init") { 1 } else { 2 };
        let fd = self.0.as_fd().as_raw_fd().to_string().into_bytes();
        words.splice(at.min(words.len())..at.min(words.len()), [b"--resume".to_vec(), fd]);
        // What has our path now may be newer than what we were started from, which is there in any case.
        let ours = std::env::current_exe().map(|path| path.into_os_string().into_vec()).unwrap_or_default();
        let programs = vec![ours, b"/proc/self/exe".to_vec(), b"/sbin/init".to_vec()];
        Successor::new(programs, words, self.0, (KEPT, OWN + SERVICES * EACH), Number::Fault as usize)
            .ok_or(io::ErrorKind::InvalidInput)?
            .arm()
    }

    pub(super) fn number(self, which: Number) -> u32 {
        self.word(which as usize)
    }

    /// As the memory that it is, for who writes there by himself.
    pub(super) fn place(self, which: Number) -> Option<&'static AtomicU32> {
        self.0.word(which as usize)
    }

    pub(super) fn set(self, which: Number, value: u32) {
        self.put(which as usize, value);
    }

    /// The signal of the fault that brought us here, if there was one, and whether it is one too many.
    pub(super) fn fault(self, now: Instant) -> Option<(u32, bool)> {
        let signal = Some(self.number(Number::Fault)).filter(|signal| *signal > 0)?;
        let seconds = u32::try_from(now.as_micros() / 1_000_000 + 1).unwrap_or(u32::MAX);
        let last = self.number(Number::FaultAt);
        self.set(Number::FaultAt, seconds);
        self.set(Number::Fault, 0);
        let window = u32::try_from(WINDOW.as_secs()).unwrap_or(u32::MAX);
        Some((signal, last > 0 && seconds.saturating_sub(last) < window))
    }

    /// The folder of sockets.
    pub(super) fn folder(self) -> Option<PathBuf> {
        let mut bytes = [0; TEXT.1];
        self.0.read(TEXT.0, &mut bytes);
        let (len, text) = bytes.split_first()?;
        let text = text.get(..usize::from(*len)).filter(|text| !text.is_empty())?;
        Some(std::ffi::OsString::from_vec(text.to_vec()).into())
    }

    pub(super) fn set_folder(self, folder: &std::path::Path) {
        let bytes = folder.as_os_str().as_encoded_bytes();
        if let Some(len) = u8::try_from(bytes.len()).ok().filter(|len| usize::from(*len) < TEXT.1) {
            self.0.write(TEXT.0 + 1, bytes);
            self.0.write(TEXT.0, &[len]);
        }
    }

    /// Notes which descriptor of ours stays open; `None` for none.
    pub(super) fn keep_own(self, which: Own, fd: Option<BorrowedFd<'_>>) {
        self.keep_at(which as usize, fd);
    }

    /// Takes over what the program before us has left.
    pub(super) fn inherit_own(self, which: Own) -> Option<OwnedFd> {
        self.inherit_at(which as usize)
    }

    /// Notes which descriptor of a service stays open; `None` for none.
    pub(super) fn keep(self, place: u16, what: Of, fd: Option<BorrowedFd<'_>>) {
        if usize::from(place) < SERVICES && what.place() < EACH {
            self.keep_at(OWN + usize::from(place) * EACH + what.place(), fd);
        }
    }

    /// Takes over what the program before us has left.
    pub(super) fn inherit(self, place: u16, what: Of) -> Option<OwnedFd> {
        if usize::from(place) >= SERVICES || what.place() >= EACH {
            return None;
        }
        self.inherit_at(OWN + usize::from(place) * EACH + what.place())
    }

    fn keep_at(self, at: usize, fd: Option<BorrowedFd<'_>>) {
        let value = fd.map_or(0, |fd| fd.as_raw_fd().cast_unsigned() + 1);
        self.put(KEPT + 4 * at, value);
    }

    fn inherit_at(self, at: usize) -> Option<OwnedFd> {
        let value = self.word(KEPT + 4 * at);
        inherit(value.checked_sub(1)?.cast_signed())
    }

    /// Notes how the service `name` stands, which has this place until [`forget`](Self::forget).
    pub(super) fn save(self, place: u16, name: &str, record: &Record) {
        let at = usize::from(place);
        if at >= SERVICES {
            return;
        }
        let start = RECORDS + at * RECORD;
        // 1 and 2 name a copy; 0 is nobody.
        let now = self.word(start);
        let next = if now == 1 { 2 } else { 1 };
        if now == 0 {
            let name = name.as_bytes().get(..name.len().min(NAME - 1)).unwrap_or_default();
            self.0.write(start + 4, &[u8::try_from(name.len()).unwrap_or(0)]);
            self.0.write(start + 5, name);
        }
        self.0.write(start + 4 + NAME + (next - 1) * COPY, &record.encode());
        self.put(start, u32::try_from(next).unwrap_or(1));
        let places = self.number(Number::Places).max(u32::from(place) + 1);
        self.set(Number::Places, places);
    }

    /// Nobody is in this place any more.
    pub(super) fn forget(self, place: u16) {
        let at = usize::from(place);
        if at < SERVICES {
            self.put(RECORDS + at * RECORD, 0);
            for what in 0..EACH {
                self.keep_at(OWN + at * EACH + what, None);
            }
        }
    }

    /// Everybody's names and records, by their places.
    pub(super) fn records(self) -> impl Iterator<Item = (u16, String, Record)> {
        let places = u16::try_from(self.number(Number::Places)).unwrap_or(0);
        (0..places).filter_map(move |place| {
            let start = RECORDS + usize::from(place) * RECORD;
            let copy = usize::try_from(self.word(start)).ok().filter(|copy| (1..=2).contains(copy))?;
            let (mut name, mut bytes) = ([0; NAME], [0; COPY]);
            self.0.read(start + 4, &mut name);
            self.0.read(start + 4 + NAME + (copy - 1) * COPY, &mut bytes);
            let (len, name) = name.split_first()?;
            let name = name.get(..usize::from(*len)).filter(|name| !name.is_empty())?;
            Some((place, String::from_utf8(name.to_vec()).ok()?, Record::decode(&bytes)?))
        })
    }

    fn word(self, at: usize) -> u32 {
        self.0.word(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn put(self, at: usize, value: u32) {
        if let Some(word) = self.0.word(at) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Record {
    /// What the machine knows, three times, the timer: 0 stands for none, so times are plus one; then the process that was
    /// made, twice its number, and plus one if it was reaped.
    fn encode(&self) -> [u8; COPY] {
        let mut copy = [0; COPY];
        let times = self
            .times
            .iter()
            .chain([&self.timer])
            .flat_map(|time| time.map_or(0, |time| time.as_micros().saturating_add(1)).to_le_bytes());
        let made = self.made.map_or(0, |(pid, reaped)| pid << 1 | u32::from(reaped)).to_le_bytes();
        for (place, byte) in copy.iter_mut().zip(self.saved.into_iter().chain(times).chain(made)) {
            *place = byte;
        }
        copy
    }

    fn decode(bytes: &[u8; COPY]) -> Option<Self> {
        let (saved, rest) = bytes.split_first_chunk()?;
        let (times, made) = rest.as_chunks();
        let mut times =
            times.iter().map(|time| u64::from_le_bytes(*time).checked_sub(1).map(Instant::from_micros));
        let mut time = || times.next();
        let made = u32::from_le_bytes(made.try_into().ok()?);
        let made = (made > 1).then_some((made >> 1, made & 1 == 1));
        Some(Self { saved: *saved, made, times: [time()?, time()?, time()?], timer: time()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            saved: [7; Saved::LEN],
            made: Some((41, true)),
            times: [Some(Instant::from_micros(0)), None, Some(Instant::from_micros(9))],
            timer: Some(Instant::from_micros(u64::MAX - 1)),
        }
    }

    #[test]
    fn records_come_back_as_they_were() {
        let record = record();
        assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
        let none = Record { saved: [0; Saved::LEN], made: None, times: [None; 3], timer: None };
        assert_eq!(Record::decode(&[0; COPY]), Some(none));
    }

    #[test]
    fn the_table_is_found_again_by_its_descriptor() {
        let table = Table::new().unwrap();
        let longest = "x".repeat(32);
        table.save(3, "web", &record());
        table.save(3, "web", &Record { timer: None, ..record() });
        table.save(1000, &longest, &record());
        table.save(5000, "nobody", &record());
        table.set(Number::Port, 4223);
        table.set_folder("/run/lunix".as_ref());
        let file = std::fs::File::open("/dev/null").unwrap();
        table.keep(3, Of::Socket(1), Some(file.as_fd()));
        let fd = table.0.as_fd().try_clone_to_owned().unwrap();
        let again = Table::adopt(std::os::fd::IntoRawFd::into_raw_fd(fd)).unwrap();
        let records: Vec<_> = again.records().collect();
        let expected = [(3, "web".to_owned(), Record { timer: None, ..record() }), (1000, longest, record())];
        assert_eq!(records, expected);
        assert_eq!(again.number(Number::Port), 4223);
        assert_eq!(again.folder().unwrap(), PathBuf::from("/run/lunix"));
        assert!(again.inherit(3, Of::Socket(0)).is_none());
        std::mem::forget(file);
        assert!(again.inherit(3, Of::Socket(1)).is_some());
        again.forget(3);
        assert_eq!(table.records().count(), 1);
        table.save(3, "db", &record());
        assert_eq!(table.records().next(), Some((3, "db".to_owned(), record())));
        assert!(Table::adopt(-1).is_err());
    }

    #[test]
    fn a_second_fault_soon_is_one_too_many() {
        let table = Table::new().unwrap();
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        assert_eq!(table.fault(at(0)), None);
        for (second, often) in [(0, false), (5, true), (20, false), (29, true)] {
            table.set(Number::Fault, 11);
            assert_eq!(table.fault(at(second)), Some((11, often)), "{second}");
            assert_eq!(table.fault(at(second)), None);
        }
    }
}
