extern crate std;
use std::vec::Vec;

use super::*;

fn bits(set: &[u16]) -> Bits {
    let mut bits = Bits::default();
    for bit in set {
        bits.0[usize::from(bit / 64)] |= 1 << (bit % 64);
    }
    bits
}

fn kinds(ev: &str, key: &str, rel: &str, abs: &str, props: &str) -> Vec<&'static str> {
    let read = |text: &str| Bits::read(text.as_bytes(), 64);
    let capabilities = Capabilities {
        ev: read(ev),
        key: read(key),
        rel: read(rel),
        abs: read(abs),
        props: read(props),
        bus: 0,
    };
    let all = Kinds::of(&capabilities).properties();
    all.map(|name| name.strip_prefix("ID_INPUT_").unwrap_or("")).skip(1).collect()
}

/// As such devices say it in /sys.
#[test]
fn devices_that_there_are() {
    for (name, [ev, key, rel, abs, props], expected) in [
        (
            "keyboard",
            ["120013", "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe", "0", "0", "0"],
            &["KEY", "KEYBOARD"][..],
        ),
        ("power button", ["3", "10000000000000 0", "0", "0", "0"], &["KEY"]),
        ("lid", ["21", "0", "0", "0", "0"], &["SWITCH"]),
        ("mouse", ["17", "ff0000 0 0 0 0", "903", "0", "0"], &["MOUSE"]),
        ("touchpad", ["b", "e520 10000 0 0 0 0", "0", "2e0800000000003", "5"], &["TOUCHPAD"]),
        ("touchscreen", ["b", "400 0 0 0 0 0", "0", "260800000000003", "2"], &["TOUCHSCREEN"]),
        ("mouse of a virtual machine", ["b", "70000 0 0 0 0", "0", "3", "0"], &["MOUSE"]),
        ("gamepad", ["20000b", "7cdb000000000000 0 0 0 0", "0", "3003f", "0"], &["JOYSTICK"]),
        ("accelerometer", ["9", "0", "0", "7", "40"], &["ACCELEROMETER"]),
        ("pointing stick", ["7", "70000 0 0 0 0", "3", "0", "21"], &["POINTINGSTICK", "MOUSE"]),
        ("stylus", ["1b", "c01 0 0 0 0 0", "0", "1000d000003", "1"], &["TABLET"]),
        ("pad of a tablet", ["f", "ff 0 0 0 0", "100", "0", "0"], &["TABLET", "TABLET_PAD"]),
        ("only a wheel", ["5", "0", "100", "0", "0"], &["KEY"]),
    ] {
        assert_eq!(kinds(ev, key, rel, abs, props), expected, "{name}");
    }
}

#[test]
fn words_of_32_bits_say_the_same() {
    let long = Bits::read(b"402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe", 64);
    let short = Bits::read(b"4 2000000 3803078 f800d001 feffffdf ffefffff ffffffff fffffffe", 32);
    assert_eq!(long, short);
    let many = [b"1 ".as_slice(); 40].concat();
    assert!(Bits::read(&many, 64).has(11 * 64) && Bits::read(&many, 32).has(23 * 32));
}

#[test]
fn a_keyboard_with_buttons_of_joysticks_is_none() {
    let mut key: Vec<u16> = WELL_KNOWN.to_vec();
    key.extend(0x120..0x130);
    let with =
        |key: &[u16]| Kinds::of(&Capabilities { ev: bits(&[1]), key: bits(key), ..Capabilities::default() });
    assert!(!with(&key).has(Kinds::JOYSTICK));
    assert!(with(&key[7..]).has(Kinds::JOYSTICK));
    assert!(!with(&[0x120]).has(Kinds::JOYSTICK), "one button is too few");
    // Seventeen buttons of a mouse.
    let mouse: Vec<u16> = (0x110..=0x121).collect();
    assert!(with(&mouse).has(Kinds::MOUSE) && !with(&mouse).has(Kinds::JOYSTICK));
    let mouse = Capabilities { ev: bits(&[1]), key: bits(&[0x110]), bus: BUS_I2C, ..Capabilities::default() };
    assert!(Kinds::of(&mouse).has(Kinds::POINTING_STICK));
}
