//! `keyboard`: tells an input device what `hwdb` has found about it: which keys its scan codes are, which keys say nothing
//! when they are let go, how far its axes go, how sensitive its stick is.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::ancestry::Ancestor;
use super::{Asked, Properties};
use crate::natsdev::rules::evaluate::Writes;
use crate::sys::evdev::{self, Axis};

/// The names of keys, one code a line, as the kernel has them (`linux/input-event-codes.h`).
const KEYS: &str = include_str!("keys.txt");

/// What the device is to be told.
#[derive(Debug, PartialEq, Eq)]
enum Told<'p> {
    /// A scan code, and the key's name or number; it may be that it is never said that it was let go.
    Key {
        scan: u32,
        key: Option<u32>,
        release: bool,
    },
    /// Minimum, maximum, resolution, fuzz, flat: each may stay as it is.
    Axis {
        code: u8,
        values: &'p [u8],
    },
    Sensitivity(u8),
}

impl<'p> Told<'p> {
    /// `None` is not about this, or wrong.
    fn read(name: &[u8], value: &'p [u8]) -> Option<Self> {
        let hex = |digits: &[u8]| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
        if let Some(scan) = name.strip_prefix(b"KEYBOARD_KEY_") {
            let (release, key) = value.strip_prefix(b"!").map_or((false, value), |key| (true, key));
            let key = if key.is_empty() && release { None } else { Some(code(key)?) };
            return Some(Self::Key { scan: hex(scan)?, key, release });
        }
        if let Some(axis) = name.strip_prefix(b"EVDEV_ABS_") {
            let code = u8::try_from(hex(axis)?).ok().filter(|code| *code < 0x40)?;
            return Some(Self::Axis { code, values: value });
        }
        let number = || str::from_utf8(value).ok()?.parse().ok();
        (name == b"POINTINGSTICK_SENSITIVITY").then(number).flatten().map(Self::Sensitivity)
    }
}

/// A key by its name or number.
fn code(name: &[u8]) -> Option<u32> {
    let name = str::from_utf8(name).ok()?;
    let named = KEYS.lines().find_map(|line| {
        let (code, names) = line.split_once(' ')?;
        names.split(' ').any(|other| other.eq_ignore_ascii_case(name)).then(|| code.parse().ok())?
    });
    named.or_else(|| name.parse().ok())
}

/// `min:max:res:fuzz:flat`; what is empty or left out stays.
fn changed(mut axis: Axis, values: &[u8]) -> Option<Axis> {
    let mut values = str::from_utf8(values).ok()?.split(':');
    let fields = [&mut axis.minimum, &mut axis.maximum, &mut axis.resolution, &mut axis.fuzz, &mut axis.flat];
    for field in fields {
        match values.next() {
            None | Some("") => {}
            Some(value) => *field = value.parse().ok()?,
        }
    }
    values.next().is_none().then_some(axis)
}

pub(super) fn run(asked: &Asked<'_>) -> io::Result<Option<Properties>> {
    let told: Vec<_> = asked.known.iter().filter_map(|(name, value)| Told::read(name, value)).collect();
    if told.is_empty() || asked.writes == Writes::Told {
        return Ok(Some(Properties::new()));
    }
    let Some(node) = asked.device.node() else { return Ok(None) };
    let node = asked.root.path("/dev").join(std::ffi::OsStr::from_bytes(node));
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).write(true).custom_flags(flags).open(node)?;
    let serio = Ancestor::of(asked.root, asked.device).and_then(|device| device.above("serio", None));
    let mut silent = Vec::new();
    // What one key refuses, others may take.
    let mut wrong = None;
    for told in told {
        let result = match told {
            Told::Key { scan, key, release } => {
                silent.extend(release.then_some(scan));
                key.map_or(Ok(()), |key| evdev::set_key(&file, scan, key))
            }
            Told::Axis { code, values } => evdev::axis(&file, code).and_then(|axis| {
                let axis = changed(axis, values).ok_or(io::ErrorKind::InvalidInput)?;
                evdev::set_axis(&file, code, &axis)
            }),
            Told::Sensitivity(value) => match &serio {
                Some(serio) => fs::write(serio.folder().join("sensitivity"), value.to_string()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        };
        wrong = result.err().or(wrong);
    }
    if let Some(serio) = serio.filter(|_| !silent.is_empty()) {
        let mut list = serio.text("force_release").unwrap_or_default();
        for scan in silent {
            list.push_str(&format!(",{scan}"));
        }
        fs::write(serio.folder().join("force_release"), list)?;
    }
    wrong.map_or(Ok(Some(Properties::new())), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_by_name_and_number() {
        for (name, expected) in [
            ("esc", Some(1)),
            ("brightnessup", Some(225)),
            ("BTN_LEFT", Some(0x110)),
            ("240", Some(240)),
            ("x?", None),
        ] {
            assert_eq!(code(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(code(b"coffee"), code(b"screenlock"), "two names of one key");
    }

    #[test]
    fn what_a_property_tells() {
        let read = |name: &str, value: &'static str| Told::read(name.as_bytes(), value.as_bytes());
        let key = |scan, key, release| Some(Told::Key { scan, key, release });
        assert_eq!(read("KEYBOARD_KEY_700e0", "leftmeta"), key(0x700e0, Some(125), false));
        assert_eq!(read("KEYBOARD_KEY_a0", "!mute"), key(0xa0, Some(113), true));
        assert_eq!(read("KEYBOARD_KEY_a0", "!"), key(0xa0, None, true));
        for (name, value) in
            [("KEYBOARD_KEY_zz", "esc"), ("KEYBOARD_KEY_1", ""), ("ID_X", "1"), ("EVDEV_ABS_40", "")]
        {
            assert_eq!(read(name, value), None, "{name}");
        }
        assert_eq!(read("POINTINGSTICK_SENSITIVITY", "200"), Some(Told::Sensitivity(200)));
        assert_eq!(read("POINTINGSTICK_SENSITIVITY", "256"), None);
        let axis = Axis { minimum: 1, maximum: 2, resolution: 3, fuzz: 4, flat: 5, value: 6 };
        assert_eq!(changed(axis, b"::42"), Some(Axis { resolution: 42, ..axis }));
        let all = Axis { minimum: -1, maximum: 9, resolution: 8, fuzz: 7, flat: 0, value: 6 };
        assert_eq!(changed(axis, b"-1:9:8:7:0"), Some(all));
        assert_eq!((changed(axis, b"x"), changed(axis, b"1:2:3:4:5:6")), (None, None));
    }
}
