//! What is built is read back the same, and the limits hold on both ways.

use lunix_uevent::{BuildError, Builder, MAX_MESSAGE, MAX_VARS, ParseError, Uevent, monitor};
use proptest::prelude::*;

const BUFFER: usize = 2 * monitor::MAX_MESSAGE;

fn text(
    but: &'static [u8],
    len: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = Vec<u8>> {
    let byte = (1..=u8::MAX).prop_filter("taken", move |byte| !but.contains(byte));
    proptest::collection::vec(byte, len)
}

fn vars(most: usize) -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let key = text(b"=", 1..20).prop_filter("written by the builder", |key| {
        !matches!(&key[..], b"ACTION" | b"DEVPATH" | b"SUBSYSTEM" | b"DEVTYPE" | b"TAGS")
    });
    proptest::collection::vec((key, text(b"", 0..40)), 0..=most)
}

proptest! {
    #[test]
    fn kernel_message(action in text(b"@", 1..12), path in text(b"", 0..80), vars in vars(MAX_VARS - 2)) {
        let devpath = [b"/", &path[..]].concat();
        let mut buffer = [0; BUFFER];
        let mut builder = Builder::new(&mut buffer, &action, &devpath);
        for (key, value) in &vars {
            builder = builder.var(key, value);
        }
        let needed: usize = vars.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>()
            + 2 * action.len() + 2 * devpath.len() + 2 + 8 + 9;
        let result = builder.finish();
        if needed > MAX_MESSAGE {
            prop_assert_eq!(result, Err(BuildError::TooLong));
            return Ok(());
        }
        prop_assert_eq!(result, Ok(needed));
        let uevent = Uevent::parse(&buffer[..needed]).unwrap();
        prop_assert_eq!(uevent.action().as_bytes(), &action[..]);
        prop_assert_eq!(uevent.devpath(), &devpath[..]);
        let found: Vec<_> = uevent.vars().skip(2).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(found, vars);
    }

    #[test]
    fn libudev_message(vars in vars(100)) {
        let mut buffer = [0; BUFFER];
        let mut builder = monitor::Builder::new(&mut buffer).property("SUBSYSTEM", "mem").property("TAGS", ":a:b:");
        for (key, value) in &vars {
            builder = builder.property(key, value);
        }
        let len = builder.finish().unwrap();
        let message = monitor::Message::parse(&buffer[..len]).unwrap();
        prop_assert_eq!(message.subsystem_hash(), monitor::hash(b"mem"));
        prop_assert_eq!(message.devtype_hash(), 0);
        prop_assert_eq!(message.tag_bloom(), monitor::bloom(b"a") | monitor::bloom(b"b"));
        let found: Vec<_> = message.properties().skip(2).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(found, vars);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Uevent::parse(&bytes);
        let _ = monitor::Message::parse(&bytes);
    }
}

fn with_vars(count: usize) -> Vec<u8> {
    let mut bytes = b"add@/d\0".to_vec();
    for index in 0..count {
        bytes.extend_from_slice(format!("K{index}=\0").as_bytes());
    }
    bytes
}

#[test]
fn sixty_four_variables_and_no_more() {
    let bytes = with_vars(MAX_VARS);
    let uevent = Uevent::parse(&bytes).unwrap();
    assert_eq!(uevent.vars().count(), MAX_VARS);
    assert_eq!(uevent.get("K63"), Some(&b""[..]));
    assert_eq!(Uevent::parse(&with_vars(MAX_VARS + 1)), Err(ParseError::TooManyVars));

    let build = |count: usize| {
        let mut buffer = [0; BUFFER];
        let keys = (0..count).map(|index| format!("K{index}"));
        keys.fold(Builder::new(&mut buffer, b"add", b"/d"), |builder, key| builder.var(key, "")).finish()
    };
    assert!(build(MAX_VARS - 2).is_ok());
    assert_eq!(build(MAX_VARS - 1), Err(BuildError::TooManyVars));
}

#[test]
fn four_kibibytes_and_no_more() {
    let mut bytes = b"add@/d\0K=".to_vec();
    bytes.resize(MAX_MESSAGE - 1, b'v');
    bytes.push(0);
    assert_eq!(bytes.len(), MAX_MESSAGE);
    assert_eq!(Uevent::parse(&bytes).unwrap().get("K").unwrap().len(), MAX_MESSAGE - 10);
    bytes.insert(20, b'v');
    assert_eq!(Uevent::parse(&bytes), Err(ParseError::TooLong));

    let build = |len| Builder::new(&mut [0; BUFFER], b"add", b"/d").var("K", vec![b'v'; len]).finish();
    let rest = b"add@/d\0ACTION=add\0DEVPATH=/d\0K=\0".len();
    assert_eq!(build(MAX_MESSAGE - rest), Ok(MAX_MESSAGE));
    assert_eq!(build(MAX_MESSAGE - rest + 1), Err(BuildError::TooLong));

    let build = |len| monitor::Builder::new(&mut [0; BUFFER]).property("K", vec![b'v'; len]).finish();
    assert_eq!(build(monitor::MAX_MESSAGE - 43), Ok(monitor::MAX_MESSAGE));
    assert_eq!(build(monitor::MAX_MESSAGE - 42), Err(BuildError::TooLong));
}

#[test]
fn a_small_buffer_is_told_what_is_needed() {
    let build = |buffer: &mut [u8]| Builder::new(buffer, b"add", b"/d").var("K", "v").finish();
    let needed = build(&mut [0; BUFFER]).unwrap();
    for len in 0..needed {
        assert_eq!(build(&mut [0; BUFFER][..len]), Err(BuildError::Full { needed }));
    }
    assert_eq!(build(&mut [0; BUFFER][..needed]), Ok(needed));

    let build = |buffer: &mut [u8]| monitor::Builder::new(buffer).property("K", "v").finish();
    for len in 0..44 {
        assert_eq!(build(&mut [0; BUFFER][..len]), Err(BuildError::Full { needed: 44 }));
    }
}

#[test]
fn what_would_not_read_back_the_same_is_refused() {
    let build = |action: &[u8], devpath: &[u8], key: &[u8], value: &[u8]| {
        Builder::new(&mut [0; BUFFER], action, devpath).var(key, value).finish()
    };
    assert!(build(b"add", b"/d", b"K", b"a=b@c\xff").is_ok());
    assert!(build(b"add", b"/d", b"ACTION", b"add").is_ok());
    let refused: [[&[u8]; 4]; 10] = [
        [b"", b"/d", b"K", b""],
        [b"a@d", b"/d", b"K", b""],
        [b"a\0d", b"/d", b"K", b""],
        [b"add", b"d", b"K", b""],
        [b"add", b"/\0", b"K", b""],
        [b"add", b"/d", b"", b""],
        [b"add", b"/d", b"K=", b""],
        [b"add", b"/d", b"K", b"\0"],
        [b"add", b"/d", b"ACTION", b"remove"],
        [b"add", b"/d", b"DEVPATH", b"/e"],
    ];
    for [action, devpath, key, value] in refused {
        assert_eq!(build(action, devpath, key, value), Err(BuildError::Malformed));
    }
    let build =
        |key: &[u8], value: &[u8]| monitor::Builder::new(&mut [0; BUFFER]).property(key, value).finish();
    assert_eq!(build(b"", b"v"), Err(BuildError::Malformed));
    assert_eq!(build(b"K=", b"v"), Err(BuildError::Malformed));
    assert_eq!(build(b"SUBSYSTEM", b"\0"), Err(BuildError::Malformed));
}
