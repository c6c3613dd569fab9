//! The kernel's form of a uevent.
//!
//! ```text
//! message  = header NUL *( variable NUL )       at most 4096 bytes, 64 variables
//! header   = action "@" devpath                 action: 1* bytes but "@"; devpath: "/" *bytes
//! variable = key "=" value                      key: 1* bytes but "="; value: bytes, maybe none
//! bytes    = anything but NUL, of no promised character set
//! ```
//!
//! A datagram that ends without NUL was cut off and is refused. A variable without `=` is refused, too: all
//! callers of the kernel's `add_uevent_var` write one, so only somebody else can have left it out.

use crate::Action;
use core::fmt;

/// The most bytes that a kernel message can have: header and `DEVPATH` hold one path twice, and all
/// variables share 2048 bytes (`UEVENT_BUFFER_SIZE`).
pub const MAX_MESSAGE: usize = 4096;

/// The most variables that a kernel message can have (`UEVENT_NUM_ENVP`).
pub const MAX_VARS: usize = 64;

/// Why bytes are not a kernel uevent. The sender is to blame, whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// More than [`MAX_MESSAGE`] bytes.
    TooLong,
    /// The last byte is not NUL: empty, or cut off on its way.
    NotTerminated,
    /// The first string is not `action@/devpath`.
    Header,
    /// The string that starts at this offset is not `KEY=VALUE`.
    Variable(u16),
    /// More than [`MAX_VARS`] variables.
    TooManyVars,
    /// `ACTION` or `DEVPATH` is not what the header says: the kernel writes both from one source, so the
    /// kernel did not write this.
    Mismatch,
    /// A libudev message, which [`monitor::Message`](crate::monitor::Message) reads.
    LibudevMessage,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {MAX_MESSAGE} bytes"),
            Self::NotTerminated => f.write_str("does not end in NUL"),
            Self::Header => f.write_str("does not begin with action@/devpath"),
            Self::Variable(at) => write!(f, "no KEY=VALUE at byte {at}"),
            Self::TooManyVars => write!(f, "more than {MAX_VARS} variables"),
            Self::Mismatch => f.write_str("ACTION or DEVPATH differs from the header"),
            Self::LibudevMessage => f.write_str("a libudev message, not a kernel one"),
        }
    }
}

impl core::error::Error for ParseError {}

/// A kernel uevent: borrowed bytes, and where its variables end.
///
/// Variables keep the kernel's order. Where a key comes twice, the first one counts, as in a process's
/// environment; [`vars`](Self::vars) shows both.
///
/// ```
/// use lunix_uevent::{Action, Uevent};
/// let uevent = Uevent::parse(b"move@/devices/virtual/net/lan0\0ACTION=move\0\
///     DEVPATH=/devices/virtual/net/lan0\0SUBSYSTEM=net\0DEVPATH_OLD=/devices/virtual/net/eth0\0\
///     INTERFACE=lan0\0IFINDEX=6\0SEQNUM=837\0")?;
/// assert_eq!(uevent.action(), Action::Move);
/// assert_eq!(uevent.devpath(), b"/devices/virtual/net/lan0");
/// assert_eq!(uevent.devpath_old(), Some(&b"/devices/virtual/net/eth0"[..]));
/// assert_eq!((uevent.ifindex(), uevent.seqnum()), (Some(6), Some(837)));
/// assert_eq!(uevent.vars().count(), 7);
/// # Ok::<(), lunix_uevent::ParseError>(())
/// ```
#[derive(Clone)]
pub struct Uevent<'b> {
    bytes: &'b [u8],
    /// Where each string's NUL stands: the header's first, then each variable's.
    ends: [u16; MAX_VARS + 1],
    vars: u8,
    /// Where the header's `@` stands.
    at: u16,
}

impl<'b> Uevent<'b> {
    /// Reads one datagram.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, ParseError> {
        // Filled in place: to move the table out of here would cost a fifth of the time.
        let mut parsed = Ok(Self { bytes, ends: [0; MAX_VARS + 1], vars: 0, at: 0 });
        if let Ok(uevent) = &mut parsed
            && let Err(error) = uevent.read()
        {
            parsed = Err(error);
        }
        parsed
    }

    fn read(&mut self) -> Result<(), ParseError> {
        if self.bytes.len() > MAX_MESSAGE {
            return Err(ParseError::TooLong);
        }
        if self.bytes.starts_with(&crate::monitor::PREFIX) {
            return Err(ParseError::LibudevMessage);
        }
        if self.bytes.last() != Some(&0) {
            return Err(ParseError::NotTerminated);
        }
        let strings = find_nuls(self.bytes, &mut self.ends).ok_or(ParseError::TooManyVars)?;
        // The last byte is a NUL, so there is at least one string.
        self.vars = strings.saturating_sub(1) as u8;
        self.read_header()?;
        for string in 1..=usize::from(self.vars) {
            let start = self.start(string);
            if !is_assignment(self.string(string), self.bytes.get(start..).unwrap_or_default()) {
                return Err(ParseError::Variable(start as u16));
            }
        }
        self.compare_header()
    }

    fn read_header(&mut self) -> Result<(), ParseError> {
        let header = self.string(0);
        let at = header.iter().position(|&byte| byte == b'@').ok_or(ParseError::Header)?;
        if at == 0 || header.get(at + 1) != Some(&b'/') {
            return Err(ParseError::Header);
        }
        self.at = at as u16;
        Ok(())
    }

    fn compare_header(&self) -> Result<(), ParseError> {
        let (action, devpath) = (self.action_bytes(), self.devpath());
        let says = |index, key: &[u8], value| self.string(index).strip_prefix(key) == Some(value);
        // Where the kernel writes them; looking for them elsewhere is for others' messages.
        if says(1, b"ACTION=", action) && says(2, b"DEVPATH=", devpath) {
            return Ok(());
        }
        let agrees = |key, value| self.get(key).is_none_or(|found| found == value);
        if agrees("ACTION", action) && agrees("DEVPATH", devpath) {
            Ok(())
        } else {
            Err(ParseError::Mismatch)
        }
    }

    fn start(&self, string: usize) -> usize {
        match string.checked_sub(1).and_then(|before| self.ends.get(before)) {
            Some(&end) => usize::from(end) + 1,
            None => 0,
        }
    }

    /// The header is string 0, the variables follow; none beyond.
    fn string(&self, string: usize) -> &'b [u8] {
        let end = self.ends.get(string).map_or(0, |&end| usize::from(end));
        self.bytes.get(self.start(string)..end).unwrap_or_default()
    }

    fn action_bytes(&self) -> &'b [u8] {
        self.bytes.get(..usize::from(self.at)).unwrap_or_default()
    }

    /// The message as it came.
    pub fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// What happened, as the header says it.
    pub fn action(&self) -> Action<'b> {
        Action::from_bytes(self.action_bytes())
    }

    /// The device's path below `/sys`, as the header says it; begins with `/`.
    pub fn devpath(&self) -> &'b [u8] {
        self.string(0).get(usize::from(self.at) + 1..).unwrap_or_default()
    }

    /// `SUBSYSTEM`; empty if the message has none.
    pub fn subsystem(&self) -> &'b [u8] {
        self.get("SUBSYSTEM").unwrap_or_default()
    }

    /// `SEQNUM`, the kernel's global event number. Messages may overtake each other, and a network namespace
    /// sees only its own, so neither order nor completeness follows from it.
    pub fn seqnum(&self) -> Option<u64> {
        decimal(self.get("SEQNUM")?)
    }

    /// The value of the first variable named `key`.
    pub fn get(&self, key: &str) -> Option<&'b [u8]> {
        let key = key.as_bytes();
        let find = |index| value_of(self.string(index), key);
        // A key with `=` would fit variables whose own key is shorter.
        (1..=usize::from(self.vars)).find_map(find).filter(|_| !key.contains(&b'='))
    }

    /// All variables in the kernel's order, `ACTION` and `DEVPATH` among them.
    pub fn vars(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone {
        (1..=usize::from(self.vars)).filter_map(|index| split(self.string(index)))
    }

    /// `MAJOR` of the device node.
    pub fn major(&self) -> Option<u32> {
        decimal(self.get("MAJOR")?)?.try_into().ok()
    }

    /// `MINOR` of the device node.
    pub fn minor(&self) -> Option<u32> {
        decimal(self.get("MINOR")?)?.try_into().ok()
    }

    /// `DEVNAME`, the node's path below `/dev`.
    pub fn devname(&self) -> Option<&'b [u8]> {
        self.get("DEVNAME")
    }

    /// `DEVMODE`, the node's permissions that the driver asks for.
    pub fn devmode(&self) -> Option<u32> {
        octal(self.get("DEVMODE")?)
    }

    /// `DEVTYPE`: the kind within the subsystem, such as `disk` and `partition`.
    pub fn devtype(&self) -> Option<&'b [u8]> {
        self.get("DEVTYPE")
    }

    /// `MODALIAS`, which [`modalias`](crate::modalias) reads.
    pub fn modalias(&self) -> Option<&'b [u8]> {
        self.get("MODALIAS")
    }

    /// `DRIVER`, the name of the bound driver.
    pub fn driver(&self) -> Option<&'b [u8]> {
        self.get("DRIVER")
    }

    /// `DEVPATH_OLD`, the former path of what was moved.
    pub fn devpath_old(&self) -> Option<&'b [u8]> {
        self.get("DEVPATH_OLD")
    }

    /// `IFINDEX` of a network interface.
    pub fn ifindex(&self) -> Option<u32> {
        decimal(self.get("IFINDEX")?)?.try_into().ok()
    }

    /// `SYNTH_UUID`: present if somebody wrote to the device's `uevent` file; `0` if they gave no UUID.
    pub fn synth_uuid(&self) -> Option<&'b [u8]> {
        self.get("SYNTH_UUID")
    }

    /// The arguments that were written to the `uevent` file after the UUID, without `SYNTH_ARG_`.
    ///
    /// ```
    /// # use lunix_uevent::Uevent;
    /// let uevent = Uevent::parse(b"add@/d\0SYNTH_UUID=0\0SYNTH_ARG_RUN=7\0")?;
    /// assert!(uevent.synth_args().eq([(&b"RUN"[..], &b"7"[..])]));
    /// # Ok::<(), lunix_uevent::ParseError>(())
    /// ```
    pub fn synth_args(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone {
        self.vars().filter_map(|(key, value)| Some((key.strip_prefix(b"SYNTH_ARG_")?, value)))
    }
}

impl PartialEq for Uevent<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Uevent<'_> {}

impl fmt::Debug for Uevent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self.vars() {
            map.entry(&format_args!("{}", key.escape_ascii()), &format_args!("{}", value.escape_ascii()));
        }
        map.finish()
    }
}

/// Writes where the NULs stand; `None` if there are more than `ends` holds. `bytes` is at most
/// [`MAX_MESSAGE`] long.
fn find_nuls(bytes: &[u8], ends: &mut [u16; MAX_VARS + 1]) -> Option<usize> {
    let mut found = 0;
    let mut base = 0;
    let (words, rest) = bytes.as_chunks();
    let mut last = [0xff; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    for word in words.iter().chain([&last]) {
        let mut nuls = zero_bytes(u64::from_le_bytes(*word));
        while nuls != 0 {
            *ends.get_mut(found)? = base + nuls.trailing_zeros() as u16 / 8;
            found += 1;
            nuls &= nuls - 1;
        }
        base += 8;
    }
    Some(found)
}

/// The top bit of every byte that is zero, and no other: the sum cannot carry from byte to byte.
const fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    !(((word & LOW) + LOW) | word | LOW)
}

/// Whether `variable` has a `=` after its first byte. `onwards` begins where it begins and does not end there,
/// so that two words cover nearly every key that the kernel writes.
fn is_assignment(variable: &[u8], onwards: &[u8]) -> bool {
    let place = |word: [u8; 8]| {
        let equals = zero_bytes(u64::from_le_bytes(word) ^ u64::from_ne_bytes([b'='; 8]));
        (equals != 0).then_some(equals.trailing_zeros() as usize / 8)
    };
    let at = match onwards.as_chunks().0 {
        [first, second, ..] => place(*first).or_else(|| Some(8 + place(*second)?)),
        _ => None,
    };
    let at = at.or_else(|| variable.iter().position(|&byte| byte == b'='));
    at.is_some_and(|at| at > 0 && at < variable.len())
}

pub(crate) fn split(variable: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = variable.iter().position(|&byte| byte == b'=')?;
    Some((variable.get(..at)?, variable.get(at + 1..)?))
}

pub(crate) fn value_of<'b>(variable: &'b [u8], key: &[u8]) -> Option<&'b [u8]> {
    variable.strip_prefix(key)?.strip_prefix(b"=")
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, &digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}

fn octal(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |number, &digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 7 { None } else { number.checked_mul(8)?.checked_add(digit.into()) }
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{format, vec::Vec};

    #[test]
    fn malformed_messages_are_named() {
        let cases: [(&[u8], ParseError); 14] = [
            (b"", ParseError::NotTerminated),
            (b"add@/d", ParseError::NotTerminated),
            (b"\0", ParseError::Header),
            (b"add\0", ParseError::Header),
            (b"@/d\0", ParseError::Header),
            (b"add@\0", ParseError::Header),
            (b"add@d\0", ParseError::Header),
            (b"add\0@/d\0", ParseError::Header),
            (b"add@/d\0\0", ParseError::Variable(7)),
            (b"add@/d\0K=v\0=v\0", ParseError::Variable(11)),
            (b"add@/d\0K=v\0KEY\0", ParseError::Variable(11)),
            (b"add@/d\0ACTION=remove\0", ParseError::Mismatch),
            (b"add@/d\0ACTION=add\0K=v\0DEVPATH=/e\0", ParseError::Mismatch),
            (b"libudev\0\xfe\xed\xca\xfe", ParseError::LibudevMessage),
        ];
        for (bytes, error) in cases {
            assert_eq!(Uevent::parse(bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn bytes_are_kept_as_they_came() {
        let uevent = Uevent::parse(b"h\xff@/d@\xc3\x28\0K==v=\0E=\0\xfe=\xff\n\0").unwrap();
        assert_eq!(uevent.action(), Action::Unknown(b"h\xff"));
        assert_eq!(uevent.devpath(), b"/d@\xc3\x28");
        let vars: Vec<_> = uevent.vars().collect();
        assert_eq!(vars, [(&b"K"[..], &b"=v="[..]), (b"E", b""), (b"\xfe", b"\xff\n")]);
        assert_eq!((uevent.subsystem(), uevent.seqnum()), (&b""[..], None));
    }

    #[test]
    fn the_first_of_equal_keys_counts() {
        let uevent = Uevent::parse(b"add@/d\0KEYS=1\0KEY=2\0KEY=3\0K=4\0").unwrap();
        assert_eq!(uevent.get("KEY"), Some(&b"2"[..]));
        assert_eq!(uevent.get("KEY=2"), None);
        assert_eq!(uevent.get("KE"), None);
        assert_eq!(uevent.get(""), None);
    }

    #[test]
    fn numbers_are_whole_or_nothing() {
        let number = |text: &str| {
            let bytes = format!("add@/d\0SEQNUM={text}\0MAJOR={text}\0DEVMODE={text}\0");
            let uevent = Uevent::parse(bytes.as_bytes()).unwrap();
            (uevent.seqnum(), uevent.major(), uevent.devmode())
        };
        assert_eq!(number("0"), (Some(0), Some(0), Some(0)));
        assert_eq!(number("0660"), (Some(660), Some(660), Some(0o660)));
        assert_eq!(number("4294967296"), (Some(1 << 32), None, None));
        assert_eq!(number("18446744073709551615").0, Some(u64::MAX));
        for wrong in ["", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "99999999999999999999999"] {
            assert_eq!(number(wrong), (None, None, None), "{wrong}");
        }
    }

    #[test]
    fn zero_bytes_are_found_at_every_place() {
        for word in [[0; 8], [1; 8], [0x80; 8], [0xff; 8], [1, 0, 1, 0, 0x80, 0, 0xff, 0]] {
            for at in 0..8 {
                let mut word = word;
                word[at] ^= word[7 - at];
                let found = zero_bytes(u64::from_le_bytes(word));
                let expected = word.map(|byte| if byte == 0 { 0x80 } else { 0 });
                assert_eq!(found, u64::from_le_bytes(expected));
            }
        }
    }

    #[test]
    fn keys_of_every_length() {
        for header in 1..20 {
            for key in 0..40 {
                for (value, after) in [(0, ""), (1, ""), (20, ""), (0, "A=B\0"), (20, "ANOTHER_ONE=\0")] {
                    let build = |sign| {
                        let (header, key, value) = ("h".repeat(header), "K".repeat(key), "v".repeat(value));
                        format!("{header}@/\0{key}{sign}{value}\0{after}")
                    };
                    let wrong = Err(ParseError::Variable(header as u16 + 3));
                    let vars =
                        |text: &str| Uevent::parse(text.as_bytes()).map(|uevent| uevent.vars().count());
                    let count = 1 + usize::from(!after.is_empty());
                    assert_eq!(vars(&build("=")), if key == 0 { wrong } else { Ok(count) });
                    assert_eq!(vars(&build("")), wrong);
                    assert_eq!(vars(&build("==")), if key == 0 { wrong } else { Ok(count) });
                }
            }
        }
    }

    #[test]
    fn debug_shows_the_variables() {
        let uevent = Uevent::parse(b"add@/d\0ACTION=add\0K=\xff\0").unwrap();
        assert_eq!(format!("{uevent:?}"), r"{ACTION: add, K: \xff}");
    }
}
