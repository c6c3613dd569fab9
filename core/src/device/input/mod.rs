//! What kind of input device something is, by what it can say: a keyboard, a mouse, a touchpad …
//!
//! The kernel tells in `/sys/…/capabilities/{ev,abs,key,rel}` and `properties` which events a device may send, as
//! bitmaps. [`Kinds::of`] decides from them what udev's `input_id` decides; X servers and Wayland compositors rely on it.
//!
//! ```
//! use lunix_core::device::input::{Bits, Capabilities, Kinds};
//! // A mouse: three buttons, two axes and a wheel.
//! let mouse = Capabilities {
//!     ev: Bits::read(b"7", 64),
//!     key: Bits::read(b"70000 0 0 0 0", 64),
//!     rel: Bits::read(b"103\n", 64),
//!     ..Capabilities::default()
//! };
//! assert_eq!(Kinds::of(&mouse).properties().collect::<Vec<_>>(), ["ID_INPUT", "ID_INPUT_MOUSE"]);
//! ```

use core::ops::RangeInclusive;

/// A bitmap: of events, axes, keys or properties. More than the kernel has codes for is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits([u64; WORDS]);

/// As many as there are keys (`KEY_CNT`, 0x300).
const WORDS: usize = 12;

impl Bits {
    /// Reads what the kernel writes: hexadecimal words, the one with the highest bits first. `word` is how many bits a
    /// word of the kernel has, 32 or 64. Nothing else than that is no bitmap, and has no bits.
    ///
    /// ```
    /// use lunix_core::device::input::Bits;
    /// let bits = Bits::read(b"1 80000000\n", 32);
    /// assert!(bits.has(31) && bits.has(32) && !bits.has(0) && !bits.has(9999));
    /// assert_eq!(Bits::read(b"no bits", 64), Bits::default());
    /// ```
    pub fn read(text: &[u8], word: u32) -> Self {
        let mut bits = Self::default();
        let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        for (index, text) in words.rev().enumerate() {
            let Some(value) = hex(text) else { return Self::default() };
            let half = word == 32;
            let (place, shift) = if half { (index / 2, index % 2 * 32) } else { (index, 0) };
            let value = if half { value & 0xffff_ffff } else { value };
            match bits.0.get_mut(place) {
                Some(place) => *place |= value << shift,
                None => break,
            }
        }
        bits
    }

    /// Whether a bit is set.
    pub fn has(&self, bit: u16) -> bool {
        self.0.get(usize::from(bit / 64)).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn count(&self, bits: RangeInclusive<u16>) -> usize {
        bits.filter(|bit| self.has(*bit)).count()
    }

    fn any(&self, bits: RangeInclusive<u16>) -> bool {
        bits.into_iter().any(|bit| self.has(bit))
    }
}

fn hex(text: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for byte in text.strip_prefix(b"0x").unwrap_or(text) {
        let digit = char::from(*byte).to_digit(16)?;
        value = value.checked_mul(16)? | u64::from(digit);
    }
    Some(value)
}

/// What a device can say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    /// Kinds of events.
    pub ev: Bits,
    /// Absolute axes.
    pub abs: Bits,
    /// Keys and buttons.
    pub key: Bits,
    /// Relative axes.
    pub rel: Bits,
    /// Properties that are no events.
    pub props: Bits,
    /// By which bus it is attached (`id/bustype`); zero if that is not known.
    pub bus: u16,
}

// `linux/input-event-codes.h`, `linux/input.h`
const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_SW: u16 = 5;
const REL_X: u16 = 0;
const REL_Y: u16 = 1;
const REL_HWHEEL: u16 = 6;
const REL_WHEEL: u16 = 8;
const ABS_X: u16 = 0;
const ABS_Y: u16 = 1;
const ABS_Z: u16 = 2;
const JOYSTICK_AXES: RangeInclusive<u16> = 0x03..=0x17;
const ABS_MT_SLOT: u16 = 0x2f;
const ABS_MT_POSITION_X: u16 = 0x35;
const ABS_MT_POSITION_Y: u16 = 0x36;
const BTN_0: u16 = 0x100;
const BTN_1: u16 = 0x101;
const MOUSE_BUTTONS: RangeInclusive<u16> = 0x110..=0x11f;
const JOYSTICK_BUTTONS: RangeInclusive<u16> = 0x120..=0x13f;
const BTN_TOOL_PEN: u16 = 0x140;
const BTN_TOOL_FINGER: u16 = 0x145;
const BTN_TOUCH: u16 = 0x14a;
const BTN_STYLUS: u16 = 0x14b;
const DPAD: RangeInclusive<u16> = 0x220..=0x223;
const TRIGGERS: RangeInclusive<u16> = 0x2c0..=0x2e7;
/// Keys, between which there are buttons.
const KEYS: [RangeInclusive<u16>; 3] = [0..=0xff, 0x160..=0x21f, 0x230..=0x2bf];
/// Escape, digits, and Q to D.
const TYPEWRITER: u64 = 0xffff_fffe;
/// Keys of different groups: left Ctrl, Caps Lock, Num Lock, Insert, mute, calculator, files, mail, play, darker.
const WELL_KNOWN: [u16; 10] = [29, 58, 69, 110, 113, 140, 144, 155, 164, 224];
const PROP_DIRECT: u16 = 1;
const PROP_POINTING_STICK: u16 = 5;
const PROP_ACCELEROMETER: u16 = 6;
const BUS_I2C: u16 = 0x18;

/// What a device is; it may be several things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u16);

const NAMES: [&str; 12] = [
    "ID_INPUT",
    "ID_INPUT_ACCELEROMETER",
    "ID_INPUT_POINTINGSTICK",
    "ID_INPUT_MOUSE",
    "ID_INPUT_TOUCHPAD",
    "ID_INPUT_TOUCHSCREEN",
    "ID_INPUT_JOYSTICK",
    "ID_INPUT_TABLET",
    "ID_INPUT_TABLET_PAD",
    "ID_INPUT_KEY",
    "ID_INPUT_KEYBOARD",
    "ID_INPUT_SWITCH",
];

impl Kinds {
    /// An input device.
    pub const INPUT: Self = Self(1);
    /// It says how it is held, or shaken.
    pub const ACCELEROMETER: Self = Self(1 << 1);
    /// A small stick between the keys.
    pub const POINTING_STICK: Self = Self(1 << 2);
    /// A mouse.
    pub const MOUSE: Self = Self(1 << 3);
    /// A touchpad.
    pub const TOUCHPAD: Self = Self(1 << 4);
    /// A screen that is touched.
    pub const TOUCHSCREEN: Self = Self(1 << 5);
    /// A joystick, gamepad, wheel or pedals.
    pub const JOYSTICK: Self = Self(1 << 6);
    /// A tablet that is drawn on.
    pub const TABLET: Self = Self(1 << 7);
    /// The buttons of such a tablet.
    pub const TABLET_PAD: Self = Self(1 << 8);
    /// Something with keys.
    pub const KEY: Self = Self(1 << 9);
    /// A keyboard to type on.
    pub const KEYBOARD: Self = Self(1 << 10);
    /// A switch: of a lid, of a socket.
    pub const SWITCH: Self = Self(1 << 11);

    /// Whether it is all of `other`.
    ///
    /// ```
    /// use lunix_core::device::input::{Capabilities, Kinds};
    /// assert!(Kinds::of(&Capabilities::default()).has(Kinds::INPUT));
    /// ```
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The properties that are said of it, each with the value `1`.
    pub fn properties(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(index, _)| self.0 >> index & 1 == 1).map(|(_, name)| *name)
    }

    const fn with(self, other: Self, condition: bool) -> Self {
        if condition { Self(self.0 | other.0) } else { self }
    }

    /// What a device with these capabilities is.
    pub fn of(capabilities: &Capabilities) -> Self {
        let Capabilities { ev, rel, .. } = capabilities;
        let (pointer, key) = (pointer(capabilities), keys(capabilities));
        let wheel = ev.has(EV_REL) && (rel.has(REL_WHEEL) || rel.has(REL_HWHEEL));
        let nothing = pointer == Self::default() && key == Self::default();
        Self::INPUT
            .with(pointer, true)
            .with(key, true)
            .with(Self::KEY, nothing && wheel)
            .with(Self::SWITCH, ev.has(EV_SW))
    }
}

fn keys(capabilities: &Capabilities) -> Kinds {
    let Capabilities { ev, key, .. } = capabilities;
    if !ev.has(EV_KEY) {
        return Kinds::default();
    }
    let typewriter = key.0.first().is_some_and(|word| word & TYPEWRITER == TYPEWRITER);
    let any = KEYS.into_iter().any(|keys| key.any(keys));
    Kinds::default().with(Kinds::KEY, any).with(Kinds::KEYBOARD, typewriter)
}

fn pointer(capabilities: &Capabilities) -> Kinds {
    let Capabilities { ev, abs, key, rel, props, bus } = capabilities;
    let plane = abs.has(ABS_X) && abs.has(ABS_Y);
    if props.has(PROP_ACCELEROMETER) || plane && abs.has(ABS_Z) && !ev.has(EV_KEY) {
        return Kinds::ACCELEROMETER;
    }
    let pen = key.has(BTN_TOOL_PEN);
    let stylus = key.has(BTN_STYLUS) || pen;
    let direct = props.has(PROP_DIRECT);
    let finger = key.has(BTN_TOOL_FINGER) && !pen && !direct;
    let mouse_button = key.any(MOUSE_BUTTONS);
    let moves = ev.has(EV_REL) && rel.has(REL_X) && rel.has(REL_Y);
    let wheel = ev.has(EV_REL) && (rel.has(REL_WHEEL) || rel.has(REL_HWHEEL));
    let pad_buttons = key.has(BTN_0) && key.has(BTN_1) && !pen;
    let touched = key.has(BTN_TOUCH) || direct;
    // Who says that it has all axes knows nothing of several fingers.
    let fingers = abs.has(ABS_MT_POSITION_X)
        && abs.has(ABS_MT_POSITION_Y)
        && !(abs.has(ABS_MT_SLOT) && abs.has(ABS_MT_SLOT - 1));

    // Mice with more than sixteen buttons run into those of joysticks.
    let buttons = if key.has(*MOUSE_BUTTONS.end()) {
        0
    } else {
        key.count(JOYSTICK_BUTTONS) + key.count(TRIGGERS) + key.count(DPAD)
    };
    let play = buttons + abs.count(JOYSTICK_AXES);

    let (mut tablet, mut touchpad, mut screen, mut joystick, mut abs_mouse) =
        (false, false, false, false, false);
    match plane {
        true if stylus => tablet = true,
        true if finger => touchpad = true,
        // Mice of virtual machines.
        true if mouse_button => abs_mouse = true,
        true if touched => screen = true,
        _ => joystick = play > 0,
    }
    match fingers {
        true if stylus => tablet = true,
        true if finger => touchpad = true,
        true if touched => screen = true,
        _ => {}
    }
    let pad = pad_buttons && (tablet || wheel && !moves);
    tablet |= pad;
    let mouse = !tablet && !touchpad && !joystick && mouse_button && (moves || !plane);
    // Some keyboards have buttons of joysticks that nobody can press.
    let keyboard = ev.has(EV_KEY) && WELL_KNOWN.iter().filter(|known| key.has(**known)).count() >= 4;
    joystick &= !keyboard && play >= 2 && !(wheel && pad_buttons);
    // No mouse is attached by I²C.
    let stick = props.has(PROP_POINTING_STICK) || mouse && *bus == BUS_I2C;

    Kinds::default()
        .with(Kinds::POINTING_STICK, stick)
        .with(Kinds::MOUSE, mouse || abs_mouse)
        .with(Kinds::TOUCHPAD, touchpad)
        .with(Kinds::TOUCHSCREEN, screen)
        .with(Kinds::JOYSTICK, joystick)
        .with(Kinds::TABLET, tablet)
        .with(Kinds::TABLET_PAD, pad)
}

#[cfg(test)]
mod tests;
