//! What a service wrote: the last lines in memory, a file if it has one, and how much of it the bus is told.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use lunix_core::time::Instant;
use lunix_core::utc::Utc;
use memchr::memchr;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::definition::Output;
use super::lines::Lines;

/// A line and when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Microseconds since the epoch.
    pub(crate) at_us: u64,
    /// Without its end and without control characters; a longer one than is shown whole is several.
    pub(crate) text: &'a str,
    /// How many lines before this one were too many: nobody was told, and no file has them.
    pub(crate) dropped: u64,
}

/// The output of one service.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Lines,
    ring: Ring,
    budget: Budget,
    /// What was too much and is not cut into lines yet: the last of it, as the ring holds no more.
    late: Vec<u8>,
    dropped: u64,
    file: Option<LogFile>,
}

/// How a turn of reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is more: others first.
    More,
    /// Everything was read that is there now.
    Blocked,
    /// Nobody can write any more.
    End,
}

/// How many bytes are read before others have their turn.
const SHARE: usize = 16 * 1024;
/// A pipe holds 64 KiB: what a process wrote before it ended was read after so many turns.
const LAST: usize = 5;

impl Log {
    /// An empty log. Its file is opened when there is something to write.
    pub(crate) fn new(output: &Output) -> Self {
        let file = output.file.clone().map(|path| LogFile::new(path, output.file_size));
        Self {
            lines: Lines::default(),
            ring: Ring::new(output.ring),
            budget: Budget::default(),
            late: Vec::new(),
            dropped: 0,
            file,
        }
    }

    /// Reads what a process wrote, at most one service's fair share, and gives each line that is within its budget to
    /// `show`. `pipe` is non-blocking.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        pipe: BorrowedFd<'_>,
        mut show: impl FnMut(Line<'_>),
    ) -> Turn {
        let mut buffer = [0; SHARE];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => self.pause(Turn::End),
            Ok(length) => {
                self.take(now, buffer.get(..length).unwrap_or_default(), &mut show);
                Turn::More
            }
            Err(Errno::INTR) => Turn::More,
            Err(Errno::AGAIN) => self.pause(Turn::Blocked),
            Err(_) => self.pause(Turn::End),
        }
    }

    fn pause(&mut self, turn: Turn) -> Turn {
        self.catch_up();
        turn
    }

    /// A process has ended: reads what it wrote last, and what it wrote without a newline is a line, too. Whoever still
    /// has the pipe has lost the service.
    pub(crate) fn end(&mut self, now: Instant, pipe: Option<BorrowedFd<'_>>, mut show: impl FnMut(Line<'_>)) {
        if let Some(pipe) = pipe {
            for _ in 0..LAST {
                if self.read(now, pipe, &mut show) != Turn::More {
                    break;
                }
            }
        }
        self.catch_up();
        let mut lines = std::mem::take(&mut self.lines);
        lines.end(|text| self.keep(now, text, &mut show));
        if self.dropped > 0 {
            self.line(now, "", &mut show);
        }
    }

    /// Takes in a line that the supervisor has to say of this service; it is never too much.
    pub(crate) fn push(&mut self, now: Instant, text: &str, mut show: impl FnMut(Line<'_>)) {
        self.line(now, text, &mut show);
    }

    /// The last lines, the oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.ring.lines()
    }

    /// What went wrong with the file since the last call, or, when it can be written again, how many lines it has not.
    /// Each is said once.
    pub(crate) fn trouble(&mut self) -> Option<io::Result<u64>> {
        self.file.as_mut()?.said.take()
    }

    /// Takes in a line that was in the log of the supervisor before us.
    pub(crate) fn restore(&mut self, at_us: u64, text: &str) {
        self.ring.push(Line { at_us, text, dropped: 0 });
    }

    fn take(&mut self, now: Instant, bytes: &[u8], show: &mut impl FnMut(Line<'_>)) {
        self.budget.fill(now);
        if self.budget.is_empty() {
            // Counting is cheap; cutting, keeping and telling is not.
            self.dropped += memchr::memchr_iter(b'\n', bytes).count() as u64;
            self.late.extend_from_slice(bytes);
            if self.late.len() > 2 * self.ring.size {
                let cut = self.late.len() - self.ring.size;
                let line = memchr(b'\n', self.late.get(cut..).unwrap_or_default());
                self.late.drain(..line.map_or(cut, |end| cut + end + 1));
                self.lines.clear();
            }
            return;
        }
        self.catch_up();
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(bytes, |text| self.keep(now, text, show));
        self.lines = lines;
    }

    /// Keeps what was too much to be told.
    fn catch_up(&mut self) {
        let late = std::mem::take(&mut self.late);
        if !late.is_empty() {
            let (at_us, ring) = (wall(), &mut self.ring);
            self.lines.push(&late, |text| ring.push(Line { at_us, text, dropped: 0 }));
        }
    }

    fn keep(&mut self, now: Instant, text: &str, show: &mut impl FnMut(Line<'_>)) {
        if self.budget.spend(text.len()) {
            self.line(now, text, show);
        } else {
            self.dropped += 1;
            self.ring.push(Line { at_us: wall(), text, dropped: 0 });
        }
    }

    fn line(&mut self, now: Instant, text: &str, show: &mut impl FnMut(Line<'_>)) {
        let line = Line { at_us: wall(), text, dropped: std::mem::take(&mut self.dropped) };
        self.ring.push(line);
        if let Some(file) = &mut self.file {
            file.push(now, line);
        }
        show(line);
    }
}

/// Microseconds since the epoch.
fn wall() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec as i64 / 1000);
    micros.try_into().unwrap_or_default()
}

/// How much a service may write: a burst at once, and so much a second in the long run. What a line costs the bus and
/// those who listen does not depend on its length alone.
#[derive(Debug)]
struct Budget {
    left: u64,
    filled: Option<Instant>,
    spent: bool,
}

const BURST: u64 = 256 << 10;
const EACH_SECOND: u64 = 64 << 10;
const EACH_LINE: u64 = 64;
/// Once all is spent, so much comes together before there is something again: single lines amid a flood cost more than they tell.
const AGAIN_FROM: u64 = 2 << 10;

impl Default for Budget {
    fn default() -> Self {
        Self { left: BURST, filled: None, spent: false }
    }
}

impl Budget {
    fn fill(&mut self, now: Instant) {
        let since = self.filled.map_or(0, |filled| now.since(filled).as_micros());
        let more = u64::try_from(since).unwrap_or(u64::MAX).saturating_mul(EACH_SECOND) / 1_000_000;
        // What is too short for a byte is kept for the next time.
        if more > 0 || self.filled.is_none() {
            self.filled = Some(now);
            self.left = self.left.saturating_add(more).min(BURST);
        }
    }

    fn is_empty(&mut self) -> bool {
        self.spent = self.left < if self.spent { AGAIN_FROM } else { EACH_LINE };
        self.spent
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let cost = (bytes as u64).saturating_add(EACH_LINE);
        let enough = self.left >= cost;
        // One that is too long for the rest takes it, or shorter ones after it would be shown as if it were not there.
        self.left = self.left.saturating_sub(cost);
        enough
    }
}

/// The last lines. The text lies in one piece of memory, of which each line takes the next part.
#[derive(Debug)]
struct Ring {
    text: Vec<u8>,
    size: usize,
    /// Where the next line begins.
    next: usize,
    entries: VecDeque<Entry>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at_us: u64,
    dropped: u64,
    start: usize,
    len: usize,
}

impl Ring {
    /// One that takes about so many bytes with all that it needs; memory is only taken when there is a line.
    fn new(bytes: usize) -> Self {
        // A line of usual length takes about thrice its entry.
        let most = (bytes / 4 / size_of::<Entry>()).max(1);
        let size = bytes.saturating_sub(most * size_of::<Entry>());
        Self { text: Vec::new(), size, next: 0, entries: VecDeque::new(), most }
    }

    fn push(&mut self, line: Line<'_>) {
        if self.text.is_empty() {
            self.text = vec![0; self.size];
            self.entries.reserve_exact(self.most);
        }
        let mut len = line.text.len().min(self.size);
        while !line.text.is_char_boundary(len) {
            len -= 1;
        }
        if self.next + len > self.size {
            // What lies behind the last line is the oldest, and makes way with the rest of the memory.
            while self.entries.front().is_some_and(|entry| entry.start >= self.next) {
                self.entries.pop_front();
            }
            self.next = 0;
        }
        let (start, end) = (self.next, self.next + len);
        let covered = |entry: &Entry| entry.start < end && entry.start + entry.len > start;
        while self.entries.len() >= self.most || self.entries.front().is_some_and(covered) {
            self.entries.pop_front();
        }
        if let (Some(to), Some(from)) = (self.text.get_mut(start..end), line.text.as_bytes().get(..len)) {
            to.copy_from_slice(from);
            self.entries.push_back(Entry { at_us: line.at_us, dropped: line.dropped, start, len });
            self.next = end;
        }
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.entries.iter().map(|entry| {
            let text = self.text.get(entry.start..entry.start + entry.len).unwrap_or_default();
            let text = std::str::from_utf8(text).unwrap_or_default();
            Line { at_us: entry.at_us, text, dropped: entry.dropped }
        })
    }
}

/// A file of lines. What cannot be written is lost and counted: a service does not wait for a disk.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    limit: u64,
    file: Option<File>,
    size: u64,
    lost: u64,
    /// When it could not be written; it is tried again a second later, with the next line.
    failed: Option<Instant>,
    /// A part of a line is there, and its end is not.
    broken: bool,
    said: Option<io::Result<u64>>,
}

const AGAIN: u128 = 1_000_000;

impl LogFile {
    fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, limit, file: None, size: 0, lost: 0, failed: None, broken: false, said: None }
    }

    fn push(&mut self, now: Instant, line: Line<'_>) {
        if self.failed.is_some_and(|failed| now.since(failed).as_micros() < AGAIN) {
            self.lost += 1;
            return;
        }
        let mut text = String::with_capacity(line.text.len() + 64);
        if self.broken {
            text.push('\n');
        }
        stamp(&mut text, line.at_us);
        if line.dropped > 0 {
            text.push_str(&format!("({} lines dropped) ", line.dropped));
        }
        text.push_str(line.text);
        text.push('\n');
        match self.write(text.as_bytes()) {
            Ok(()) => {
                self.broken = false;
                if self.failed.take().is_some() {
                    self.said = Some(Ok(std::mem::take(&mut self.lost)));
                }
            }
            Err(error) => {
                self.file = None;
                self.lost += 1;
                if self.failed.replace(now).is_none() {
                    self.said = Some(Err(error));
                }
            }
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.file.is_some() && self.size.saturating_add(text.len() as u64) > self.limit {
            self.file = None;
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                // O_NONBLOCK: a FIFO that nobody reads is an error and holds nobody up.
                let mut options = OpenOptions::new();
                options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
                let file = options.open(&self.path)?;
                self.size = file.metadata()?.len();
                empty.insert(file)
            }
        };
        let mut rest = text;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.size += length as u64;
                    rest = rest.get(length..).unwrap_or_default();
                    self.broken = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A moment as RFC 3339 has it, and a space.
fn stamp(text: &mut String, at_us: u64) {
    use std::fmt::Write as _;
    let (seconds, micros) = (at_us / 1_000_000, at_us % 1_000_000);
    let Utc { year, month, day, hour, minute, second, .. } = Utc::of(seconds);
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z ");
}

#[cfg(test)]
mod tests {
    use rustix::pipe::PipeFlags;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn log(ring: usize) -> Log {
        Log::new(&Output { ring, ..Output::default() })
    }

    #[test]
    fn the_last_lines_are_kept_within_their_memory() {
        let mut log = log(4096);
        for number in 0..10_000 {
            let text = format!("line {number} {}", "x".repeat(number % 50));
            log.push(at(number as u64), &text, |line| assert_eq!(line.text, text));
            let lines: Vec<_> = log.lines().map(|line| line.text.to_owned()).collect();
            // The last so many, in order, with nothing missing between them.
            assert!(number < 20 || lines.len() > 20, "{}", lines.len());
            for (text, number) in lines.iter().rev().zip((0..=number).rev()) {
                assert!(text.starts_with(&format!("line {number} ")), "{text} is not {number}");
            }
        }
        assert!(log.ring.text.len() + log.ring.entries.len() * size_of::<Entry>() <= 4096);
        let long = "é".repeat(4000);
        log.push(at(0), &long, |_| {});
        let last = log.lines().last().unwrap().text.to_owned();
        assert!(last.len() > 3000 && long.starts_with(&last));
        assert_eq!(log.lines().count(), 1);
        for _ in 0..1000 {
            log.push(at(0), "", |_| {});
        }
        assert!(log.lines().all(|line| line.text.is_empty()) && log.lines().count() == log.ring.most);
    }

    #[test]
    fn a_flood_costs_what_is_within_the_budget() {
        use std::os::fd::AsFd as _;
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let mut log = log(16 << 10);
        let (mut shown, mut bytes, mut dropped, mut written) = (0_u64, 0, 0, 0_u64);
        let mut show = |line: Line<'_>| {
            shown += 1;
            bytes += line.text.len();
            dropped += line.dropped;
        };
        // Ten seconds, of which each brings much more than can be told.
        for tenth in 0..100 {
            let now = Instant::from_micros(tenth * 100_000);
            for _ in 0..10 {
                let text: String = (written..written + 500)
                    .map(|number| format!("line {number:06} of an ordinary length that nobody asked for\n"))
                    .collect();
                assert_eq!(rustix::io::write(&write, text.as_bytes()), Ok(text.len()));
                written += 500;
                while log.read(now, read.as_fd(), &mut show) == Turn::More {}
                // All of it is kept, as far as there is room: the last lines, whole and one after the other.
                let kept: Vec<u64> = log.lines().map(|line| line.text[5..11].parse().unwrap()).collect();
                assert!(kept.len() > 100);
                assert!(kept.iter().rev().zip((0..written).rev()).all(|(kept, number)| *kept == number));
            }
        }
        log.end(at(1000), None, &mut show);
        let budget = (BURST + 10 * EACH_SECOND) as usize;
        assert!(
            bytes < budget && bytes + shown as usize * EACH_LINE as usize > budget * 9 / 10,
            "{bytes} of {budget}"
        );
        // Nothing is unaccounted for; the end of a flood is said by an empty line.
        assert_eq!(shown + dropped, written + 1);
        // Quiet again, it is told again.
        let mut last = Vec::new();
        rustix::io::write(&write, b"calm\n").unwrap();
        assert_eq!(
            log.read(at(2000), read.as_fd(), |line| last.push((line.text.to_owned(), line.dropped))),
            Turn::More
        );
        assert_eq!(last, [("calm".to_owned(), 0)]);
        assert_eq!(log.read(at(2000), read.as_fd(), |_| {}), Turn::Blocked);
        drop(write);
        assert_eq!(log.read(at(2000), read.as_fd(), |_| {}), Turn::End);
    }

    #[test]
    fn the_end_brings_what_is_left() {
        use std::os::fd::AsFd as _;
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&write, b"one\ntwo").unwrap();
        let mut log = log(4096);
        let mut lines = Vec::new();
        // Somebody else still has the pipe.
        log.end(at(0), Some(read.as_fd()), |line| lines.push(line.text.to_owned()));
        assert_eq!(lines, ["one", "two"]);
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("lunix-ring-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_is_as_long_as_it_may_be() {
        let folder = folder("rotate");
        let path = folder.join("deep/web.log");
        let output = Output { file: Some(path.clone()), file_size: 1000, ..Output::default() };
        for run in 0..2 {
            let mut log = Log::new(&output);
            for number in 0..50 {
                log.push(at(0), &format!("line {run} {number}"), |_| {});
            }
            assert!(log.trouble().is_none());
        }
        let (new, old) =
            (fs::read_to_string(&path).unwrap(), fs::read_to_string(folder.join("deep/web.log.1")).unwrap());
        assert!(new.len() <= 1000 && old.len() <= 1000 && old.len() > 900);
        let all = old + &new;
        let numbers: Vec<u32> =
            all.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers.last(), Some(&49));
        assert!(numbers.windows(2).all(|pair| matches!(pair, [a, b] if a + 1 == *b)));
        let mut text = String::new();
        stamp(&mut text, 1_796_089_427_000_123);
        assert_eq!(text, "2026-12-01T01:43:47.000123Z ");
        for (seconds, day) in [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (4_107_542_400, "2100-03-01")]
        {
            let mut text = String::new();
            stamp(&mut text, seconds * 1_000_000);
            assert!(text.starts_with(day), "{text}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_disk_that_is_full_is_said_once_and_recovers() {
        // Every write to it fails with ENOSPC.
        let output = Output { file: Some("/dev/full".into()), ..Output::default() };
        let mut log = Log::new(&output);
        for second in 0..5 {
            log.push(at(second), "x", |_| {});
            log.push(at(second), "y", |_| {});
        }
        let error = log.trouble().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert!(log.trouble().is_none());
        assert_eq!(log.lines().count(), 10);
        // There is room again.
        let folder = folder("full");
        log.file.as_mut().unwrap().path = folder.join("log");
        log.push(at(100), "z", |_| {});
        assert_eq!(log.trouble().unwrap().unwrap(), 10);
        assert!(fs::read_to_string(folder.join("log")).unwrap().ends_with("Z z\n"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_full_file_system_is_survived() {
        // A real one, of three pages, in a namespace of our own.
        let folder = folder("tmpfs");
        let script = "mount -t tmpfs -o size=12k none \"$0\" && exec \"$1\" --exact --nocapture \
            natsinit::ring::tests::a_full_file_system_is_survived";
        if std::env::var_os("LUNIX_FULL").is_none() {
            let mut command = std::process::Command::new("unshare");
            let ordinary = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
            command.args([ordinary, "sh", "-c", script]).arg(&folder).arg(std::env::current_exe().unwrap());
            let output = command.env("LUNIX_FULL", &folder).output().unwrap();
            fs::remove_dir_all(&folder).unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            match output.status.success() {
                true => assert!(text.contains("1 passed"), "{text}"),
                false if text.is_empty() => println!("SKIPPED full file system: no namespace"),
                false => panic!("{text}"),
            }
            return;
        }
        let folder = PathBuf::from(std::env::var_os("LUNIX_FULL").unwrap());
        let path = folder.join("log");
        let output = Output { file: Some(path.clone()), ..Output::default() };
        let mut log = Log::new(&output);
        let text = "x".repeat(1000);
        let mut second = 0;
        while log.trouble().is_none() {
            log.push(at(second), &text, |_| {});
            second += 2;
        }
        assert!(second < 50);
        fs::write(&path, "").unwrap();
        log.push(at(second + 2), "again", |_| {});
        assert!(log.trouble().unwrap().unwrap() >= 1);
        assert!(fs::read_to_string(&path).unwrap().ends_with("again\n"));
    }
}
