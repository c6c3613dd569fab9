//! What a service says about itself: the datagrams of `sd_notify(3)` and the newline of s6.

/// One assignment of an `sd_notify` datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'b> {
    /// `READY=1`: the start, or a reload, is complete.
    Ready,
    /// `RELOADING=1`
    Reloading,
    /// `STOPPING=1`
    Stopping,
    /// `WATCHDOG=1`: it lives.
    Watchdog,
    /// `STATUS=`: one line for people, in the service's own bytes.
    Status(&'b [u8]),
    /// `MAINPID=`: another process is the service's main one.
    MainPid(u32),
    /// `EXTEND_TIMEOUT_USEC=`: microseconds that it needs beyond its time-out.
    Extend(u64),
    /// Any other assignment, whole; also a known name with a value that means nothing.
    Unknown(&'b [u8]),
}

/// The assignments of one datagram, one a line. Lines without `=` are passed over, as systemd does.
///
/// ```
/// use lunix_core::supervise::notify::{Notice, notices};
/// let mut said = notices(b"STATUS=up\nREADY=1\n");
/// assert_eq!(said.next(), Some(Notice::Status(b"up")));
/// assert_eq!(said.next(), Some(Notice::Ready));
/// assert_eq!(said.next(), None);
/// ```
pub fn notices(datagram: &[u8]) -> impl Iterator<Item = Notice<'_>> + Clone {
    datagram.split(|byte| *byte == b'\n').filter_map(notice)
}

fn notice(line: &[u8]) -> Option<Notice<'_>> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (line.get(..at)?, line.get(at + 1..)?);
    Some(match (name, value) {
        (b"READY", b"1") => Notice::Ready,
        (b"RELOADING", b"1") => Notice::Reloading,
        (b"STOPPING", b"1") => Notice::Stopping,
        (b"WATCHDOG", b"1") => Notice::Watchdog,
        (b"STATUS", text) => Notice::Status(text),
        (b"MAINPID", digits) => number(digits)
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0)
            .map_or(Notice::Unknown(line), Notice::MainPid),
        (b"EXTEND_TIMEOUT_USEC", digits) => number(digits).map_or(Notice::Unknown(line), Notice::Extend),
        _ => Notice::Unknown(line),
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Whether bytes read from an s6 notification fd make the service ready: the first newline does.
///
/// ```
/// use lunix_core::supervise::notify::newline;
/// assert!(!newline(b"warming up"));
/// assert!(newline(b"done\n"));
/// ```
pub fn newline(bytes: &[u8]) -> bool {
    bytes.contains(&b'\n')
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_assignment_is_known_or_kept() {
        let said: Vec<_> = notices(
            b"READY=1\nREADY=0\nnonsense\nMAINPID=17\nMAINPID=0\nMAINPID=x\nEXTEND_TIMEOUT_USEC=5\nX_A=b=c",
        )
        .collect();
        assert_eq!(
            said,
            [
                Notice::Ready,
                Notice::Unknown(b"READY=0"),
                Notice::MainPid(17),
                Notice::Unknown(b"MAINPID=0"),
                Notice::Unknown(b"MAINPID=x"),
                Notice::Extend(5),
                Notice::Unknown(b"X_A=b=c"),
            ]
        );
    }

    #[test]
    fn hostile_datagrams_say_nothing() {
        assert_eq!(notices(b"").count(), 0);
        assert_eq!(notices(&[0xFF; 4096]).count(), 0);
        let over = notices(b"EXTEND_TIMEOUT_USEC=99999999999999999999").next();
        assert_eq!(over, Some(Notice::Unknown(b"EXTEND_TIMEOUT_USEC=99999999999999999999")));
        assert_eq!(notices(b"=").next(), Some(Notice::Unknown(b"=")));
        assert_eq!(notices(b"RELOADING=1\nSTOPPING=1\nWATCHDOG=1").count(), 3);
    }
}
