//! What the kernel's log says of processes that were killed because memory ran out.
//!
//! A record of `/dev/kmsg` is `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT`, where every byte that is not printable is
//! `\xNN` (`Documentation/ABI/testing/dev-kmsg`). Programs can write there, too; but what they write never has the kernel's
//! own facility, so that nobody else can say that somebody was killed.

use super::proc::{number, split};

/// Something that an out-of-memory kill made the kernel say. For one kill that is [`Notice::Chosen`], which may be
/// missing as the kernel limits how often it says that, and then [`Notice::Killed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'b> {
    /// A process was chosen.
    Chosen {
        /// Its id.
        pid: u32,
        /// What it calls itself: anything, as the kernel escapes it.
        comm: &'b [u8],
        /// Its cgroup, from the root of the hierarchy.
        group: &'b [u8],
    },
    /// A process was killed.
    Killed {
        /// Its id.
        pid: u32,
        /// What it calls itself: anything, as the kernel escapes it.
        comm: &'b [u8],
        /// Memory of the whole machine was short; otherwise only that of a cgroup.
        everywhere: bool,
        /// Bytes of memory of its own that it had.
        memory: Option<u64>,
    },
}

/// What a record says, if it is about an out-of-memory kill and the kernel's own.
///
/// ```
/// use lunix_core::machine::kmsg::{Notice, notice};
/// let record = b"3,812,5140900,-;Out of memory: Killed process 42 (hog) total-vm:9kB, anon-rss:8kB, file-rss:0kB";
/// let killed = Notice::Killed { pid: 42, comm: b"hog", everywhere: true, memory: Some(8 << 10) };
/// assert_eq!(notice(record), Some(killed));
/// assert_eq!(notice(b"11,813,5140901,-;Out of memory: Killed process 1 (init) total-vm:9kB"), None);
/// ```
pub fn notice(record: &[u8]) -> Option<Notice<'_>> {
    let (prefix, text) = split(record, b';')?;
    let (priority, _) = split(prefix, b',')?;
    // The facility is what is above three bits of level; the kernel's is 0.
    if number(priority)? > 7 {
        return None;
    }
    let text = split(text, b'\n').map_or(text, |(line, _)| line);
    if let Some(rest) = text.strip_prefix(b"oom-kill:") {
        return chosen(rest);
    }
    let (head, rest) = around(text, b": Killed process ")?;
    let everywhere = match head {
        b"Memory cgroup out of memory" => false,
        _ if head.starts_with(b"Out of memory") => true,
        _ => return None,
    };
    let (pid, rest) = split(rest, b' ')?;
    // The name may hold this, too; what follows it cannot.
    let (comm, sizes) = last(rest.strip_prefix(b"(")?, b") total-vm:")?;
    let memory = around(sizes, b"anon-rss:").and_then(|(_, rest)| number(around(rest, b"kB")?.0));
    let memory = memory.and_then(|kib| kib.checked_mul(1024));
    Some(Notice::Killed { pid: process(pid)?, comm, everywhere, memory })
}

/// `constraint=…,task_memcg=GROUP,task=COMM,pid=PID,uid=UID`, where names may hold commas: read from its end.
fn chosen(text: &[u8]) -> Option<Notice<'_>> {
    let (text, _uid) = last(text, b",uid=")?;
    let (text, pid) = last(text, b",pid=")?;
    let (text, comm) = last(text, b",task=")?;
    let (_, group) = last(text, b",task_memcg=")?;
    Some(Notice::Chosen { pid: process(pid)?, comm, group })
}

fn process(pid: &[u8]) -> Option<u32> {
    u32::try_from(number(pid)?).ok().filter(|pid| *pid > 0)
}

fn around<'b>(text: &'b [u8], what: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = text.windows(what.len()).position(|window| window == what)?;
    Some((text.get(..at)?, text.get(at + what.len()..)?))
}

fn last<'b>(text: &'b [u8], what: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = text.windows(what.len()).rposition(|window| window == what)?;
    Some((text.get(..at)?, text.get(at + what.len()..)?))
}
