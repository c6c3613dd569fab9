//! What single values of the files can be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lunix_core::supervise::Signal;

use super::super::definition::Address;
use crate::config::{Section, Value, duration as parse_duration};

/// Bytes of a text.
const TEXT: usize = 4096;
/// Elements of a list.
const LIST: usize = 256;
/// Bytes of the name of a service.
const NAME: usize = 32;
/// No time-out is longer: a year.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Takes `key` and reads it.
pub(super) fn take<T>(
    section: &mut Section,
    key: &'static str,
    read: impl FnOnce(Value) -> Option<T>,
) -> Option<T> {
    section.take(&[key]).and_then(read)
}

/// Takes the table `key` and reads all of it; one that is not there is empty.
pub(super) fn table<T: Default>(
    section: &mut Section,
    key: &'static str,
    read: impl FnOnce(&mut Section) -> T,
) -> T {
    let Some(mut inner) = section.block(&[key]) else { return T::default() };
    let answer = read(&mut inner);
    inner.end();
    answer
}

/// Text without NUL.
pub(super) fn text(value: Value) -> Option<String> {
    let text = value.text()?;
    plain(&value, text)
}

/// Text, or a number or truth value as it is written.
pub(super) fn word(value: Value) -> Option<String> {
    let text = value.parsed("text", |text| Some(text.to_owned()))?;
    plain(&value, text)
}

fn plain(value: &Value, text: String) -> Option<String> {
    if text.len() > TEXT {
        value.note(format_args!("expected at most {TEXT} bytes, found {}", text.len()));
        return None;
    }
    if text.contains('\0') {
        value.note("expected text without NUL");
        return None;
    }
    Some(text)
}

/// A list, each element read; `example` says what is expected.
pub(super) fn list<T>(
    value: Value,
    example: &str,
    mut read: impl FnMut(Value) -> Option<T>,
) -> Option<Vec<T>> {
    if !value.is_list() {
        value.wrong(&format!("a list, such as {example}"));
        return None;
    }
    let notes = value.clone();
    let elements = value.list();
    if elements.len() > LIST {
        notes.note(format_args!("expected at most {LIST} elements, found {}", elements.len()));
        return None;
    }
    // All of them are read, so that each mistake is found.
    let read: Vec<Option<T>> = elements.into_iter().map(&mut read).collect();
    read.into_iter().collect()
}

/// A list of texts.
pub(super) fn texts(value: Value) -> Option<Vec<String>> {
    list(value, "[\"a\", \"b\"]", text)
}

/// The words of a command: at least the program.
pub(super) fn words(value: Value) -> Option<Vec<String>> {
    let whole = value.clone();
    let words = list(value, "[\"program\", \"argument\"]", text)?;
    if words.first().is_none_or(String::is_empty) {
        whole.note("expected a program and its arguments, found nothing");
        return None;
    }
    Some(words)
}

/// An absolute path.
pub(super) fn path(value: Value) -> Option<PathBuf> {
    let text = text(value.clone())?;
    let absolute = Path::new(&text).is_absolute();
    if !absolute {
        value.wrong("an absolute path");
    }
    absolute.then(|| text.into())
}

/// A list of absolute paths.
pub(super) fn paths(value: Value) -> Option<Vec<PathBuf>> {
    list(value, "[\"/a\", \"/b\"]", path)
}

/// Such text can name a service.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME).contains(&text.len()) && text.bytes().all(plain)
}

/// The name of a service.
pub(super) fn name(value: Value) -> Option<String> {
    let text = value.text()?;
    if !is_name(&text) {
        value.wrong("the name of a service: at most 32 letters, digits, '-' and '_'");
        return None;
    }
    Some(text)
}

/// The name or number of a user or group.
pub(super) fn account(value: Value) -> Option<String> {
    let plain = |text: &str| {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@$".contains(&byte);
        let number = text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = !number || text.parse::<u32>().is_ok_and(|number| number != u32::MAX);
        first && text.len() <= 64 && text.bytes().all(rest) && fits
    };
    value.parsed("a name or a number", |text| plain(text).then(|| text.to_owned()))
}

/// A duration up to a year; the least is what the caller can bear.
pub(super) fn duration(least: Duration) -> impl Fn(Value) -> Option<Duration> {
    move |value| value.duration(least, LONG)
}

/// A duration, or `"none"`.
pub(super) fn duration_or_none(value: Value) -> Option<Option<Duration>> {
    value.parsed("a duration, such as 30s, or \"none\"", |text| match text {
        "none" => Some(None),
        text => parse_duration(text).filter(|span| !span.is_zero() && *span <= LONG).map(Some),
    })
}

/// Bytes; the units are those of memory: `64M` and `64MiB` are 64 * 1024 * 1024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let power = match unit.strip_suffix("iB").or(unit.strip_suffix('B')).unwrap_or(unit) {
        "" if unit != "iB" => 0,
        "K" | "k" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024_u64.checked_pow(power)?)
}

/// Bytes from `least`, or `"unlimited"`.
pub(super) fn limit(least: u64) -> impl Fn(Value) -> Option<Option<u64>> {
    move |value| {
        let expected = format!("a size from {least} bytes, such as 64M, or \"unlimited\"");
        value.parsed(&expected, |text| unlimited(text, |text| bytes(text).filter(|bytes| *bytes >= least)))
    }
}

/// A number from `least` to `most`, or `"unlimited"`.
pub(super) fn count(least: u64, most: u64) -> impl Fn(Value) -> Option<Option<u64>> {
    move |value| {
        let expected = format!("a whole number from {least} to {most}, or \"unlimited\"");
        value.parsed(&expected, |text| {
            unlimited(text, |text| text.parse().ok().filter(|number| (least..=most).contains(number)))
        })
    }
}

fn unlimited<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text == "unlimited" { Some(None) } else { read(text).map(Some) }
}

/// `"50%"` of one processor, or `"unlimited"`.
pub(super) fn percent(value: Value) -> Option<Option<u32>> {
    value.parsed("a share of one processor, such as \"50%\", or \"unlimited\"", |text| {
        unlimited(text, |text| {
            text.strip_suffix('%')?.parse().ok().filter(|percent| (1..=100_000).contains(percent))
        })
    })
}

/// Permissions that new files do not get: `"022"`.
pub(super) fn umask(value: Value) -> Option<u32> {
    let text = value.text()?;
    let umask = u32::from_str_radix(&text, 8).ok().filter(|umask| *umask <= 0o777 && text.len() <= 4);
    if umask.is_none() {
        value.wrong("octal digits, such as \"022\"");
    }
    umask
}

/// The signals of Linux, by number from 1.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `TERM`, `SIGTERM` or `15`.
pub(super) fn signal_of(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse() {
        return (1..=31).contains(&number).then_some(Signal(number));
    }
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let at = SIGNALS.iter().position(|known| *known == name)?;
    u8::try_from(at + 1).ok().map(Signal)
}

/// A signal.
pub(super) fn signal(value: Value) -> Option<Signal> {
    value.parsed("a signal, such as \"HUP\"", signal_of)
}

/// A signal, and how long it is given: `"TERM 5s"`; 5 s if nothing is said.
pub(super) fn step(value: Value) -> Option<(Signal, Duration)> {
    value.parsed("a signal and how long to wait, such as \"TERM 5s\"", |text| {
        let (signal, wait) = match text.split_once(' ') {
            Some((signal, wait)) => (signal, parse_duration(wait.trim_start())?),
            None => (text, Duration::from_secs(5)),
        };
        (wait <= LONG).then_some((signal_of(signal)?, wait))
    })
}

/// The capabilities of Linux, by number from 0.
pub(crate) const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// `net_admin`, `CAP_NET_ADMIN` or `12`.
pub(super) fn capability(value: Value) -> Option<u8> {
    value.parsed("a capability, such as \"net_admin\"", |text| {
        if let Ok(number) = text.parse() {
            return (number < 64).then_some(number);
        }
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("cap_").unwrap_or(&lower);
        CAPABILITIES.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok())
    })
}

/// `tcp:HOST:PORT`, `udp:HOST:PORT`, `unix:/PATH`, `unixgram:/PATH`.
pub(super) fn address_of(text: &str) -> Option<Address> {
    // sockaddr_un has 108 bytes, one of them NUL.
    let path = |path: &str| (path.starts_with('/') && path.len() <= 107).then(|| PathBuf::from(path));
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "tcp" => rest.parse().ok().map(Address::Tcp),
        "udp" => rest.parse().ok().map(Address::Udp),
        "unix" => path(rest).map(Address::Unix),
        "unixgram" => path(rest).map(Address::UnixDatagram),
        _ => None,
    }
}

/// An address to listen at.
pub(super) fn address(value: Value) -> Option<Address> {
    value.parsed(
        "tcp:IP:PORT, udp:IP:PORT, unix:/PATH or unixgram:/PATH, such as \"tcp:127.0.0.1:80\"",
        |text| address_of(text).filter(|_| !text.contains('\0')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_memory() {
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("64M"), Some(64 << 20));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("4kB"), Some(4096));
        assert_eq!(bytes("7B"), Some(7));
        for wrong in ["", "M", "-1", "1.5M", "64iB", "64MM", "64 M", "99999999999999999999", "9999999999T"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in
            [("TERM", 15), ("SIGHUP", 1), ("9", 9), ("USR2", 12), ("SYS", 31), ("WINCH", 28)]
        {
            assert_eq!(signal_of(text), Some(Signal(number)), "{text}");
        }
        for wrong in ["", "0", "32", "term", "SIG", "RTMIN"] {
            assert_eq!(signal_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(address_of("tcp:[::1]:80"), Some(Address::Tcp(([0, 0, 0, 0, 0, 0, 0, 1], 80).into())));
        assert_eq!(address_of("udp:0.0.0.0:53"), Some(Address::Udp(([0, 0, 0, 0], 53).into())));
        assert_eq!(address_of("unix:/run/x"), Some(Address::Unix("/run/x".into())));
        let long = format!("unix:/{}", "x".repeat(107));
        for wrong in ["80", "tcp:80", "tcp:localhost:80", "unix:x", "unix:", "sctp:1.1.1.1:1", &long] {
            assert_eq!(address_of(wrong), None, "{wrong}");
        }
    }
}
