//! The device tree that a boot loader hands to the kernel: the command line goes into its `/chosen`.
//!
//! As the Devicetree Specification 0.4, section 5, has it, version 17. The bytes may be anything: nothing is read outside of
//! them, and what is no device tree is refused.

use core::fmt;

/// The deepest node that is accepted.
pub const MAX_DEPTH: usize = 32;

const MAGIC: u32 = 0xd00d_feed;
const HEADER: usize = 40;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;
const BOOTARGS: &[u8] = b"bootargs\0";

/// Why there is no device tree with that command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdtError {
    /// These bytes are no device tree.
    Malformed,
    /// It is of a version that is not compatible with 17.
    Version,
    /// Nodes within nodes beyond [`MAX_DEPTH`].
    Deep,
    /// It does not fit into the room that was given.
    Full,
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no device tree",
            Self::Version => "a device tree of another version",
            Self::Deep => "a device tree that is too deep",
            Self::Full => "no room for the device tree",
        })
    }
}

impl core::error::Error for FdtError {}

/// How long a device tree says that it is, from its first eight bytes.
pub fn total_len(head: &[u8; 8]) -> Option<u32> {
    let [magic, total] = head.as_chunks().0 else {
        return None;
    };
    (u32::from_be_bytes(*magic) == MAGIC).then(|| u32::from_be_bytes(*total))
}

/// Writes `fdt` to `out`, with `/chosen/bootargs` as given, in place of what it may have been, and without room to spare.
/// Answers how many bytes it has now: at most those of `fdt`, of `bootargs` and 64.
///
/// # Errors
/// `fdt` is no device tree, or `out` is too short.
pub fn with_bootargs(fdt: &[u8], bootargs: &str, out: &mut [u8]) -> Result<usize, FdtError> {
    let word = |at: usize| u32_at(fdt, at).ok_or(FdtError::Malformed);
    if word(0)? != MAGIC {
        return Err(FdtError::Malformed);
    }
    if word(20)? < 17 || word(24)? > 17 {
        return Err(FdtError::Version);
    }
    let fdt = size(word(4)?).and_then(|len| fdt.get(..len)).ok_or(FdtError::Malformed)?;
    let area = |at: u32, len: u32| {
        size(at).and_then(|at| fdt.get(at..)?.get(..size(len)?)).ok_or(FdtError::Malformed)
    };
    let strings = area(word(12)?, word(32)?)?;
    let nodes = Nodes { rest: area(word(8)?, word(36)?)?, strings };
    let reserved = reserved(size(word(16)?).and_then(|at| fdt.get(at..)).ok_or(FdtError::Malformed)?)?;

    let mut output = Output { out, len: 0 };
    output.put(&[0; HEADER])?;
    let reserved_at = output.len;
    output.put(reserved)?;
    let nodes_at = output.len;
    let name = u32::try_from(strings.len()).map_err(|_| FdtError::Malformed)?;
    write_nodes(nodes, name, bootargs.as_bytes(), &mut output)?;
    let strings_at = output.len;
    output.put(strings)?;
    output.put(BOOTARGS)?;
    let total = output.len;
    let words = [
        MAGIC,
        short(total)?,
        short(nodes_at)?,
        short(strings_at)?,
        short(reserved_at)?,
        17,
        16,
        word(28)?,
        short(total - strings_at)?,
        short(strings_at - nodes_at)?,
    ];
    let head = output.out.get_mut(..HEADER).ok_or(FdtError::Full)?;
    for (place, word) in head.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_be_bytes();
    }
    Ok(total)
}

/// The command line in `/chosen/bootargs`, without its NUL.
pub fn bootargs(fdt: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| u32_at(fdt, at);
    if word(0)? != MAGIC {
        return None;
    }
    let area = |at: u32, len: u32| fdt.get(size(at)?..)?.get(..size(len)?);
    let mut nodes = Nodes { rest: area(word(8)?, word(36)?)?, strings: area(word(12)?, word(32)?)? };
    let (mut depth, mut chosen) = (0_usize, false);
    while let Ok(Some(token)) = nodes.next() {
        match token.kind {
            Kind::Begin(name) => {
                chosen = depth == 1 && name == b"chosen";
                depth += 1;
            }
            Kind::End => {
                chosen = false;
                depth = depth.checked_sub(1)?;
            }
            Kind::Property(name, value) if chosen && depth == 2 && name == b"bootargs" => {
                return value.split(|byte| *byte == 0).next();
            }
            Kind::Property(..) | Kind::Nothing => {}
        }
    }
    None
}

fn write_nodes(
    mut nodes: Nodes<'_>,
    name: u32,
    bootargs: &[u8],
    output: &mut Output<'_>,
) -> Result<(), FdtError> {
    let (mut depth, mut in_chosen, mut written) = (0_usize, false, false);
    let mut seen_root = false;
    while let Some(token) = nodes.next()? {
        match token.kind {
            Kind::Begin(node) => {
                if depth == 0 && core::mem::replace(&mut seen_root, true) {
                    return Err(FdtError::Malformed);
                }
                if depth == MAX_DEPTH {
                    return Err(FdtError::Deep);
                }
                in_chosen = depth == 1 && node == b"chosen";
                depth += 1;
                output.put(token.bytes)?;
                if in_chosen && !core::mem::replace(&mut written, true) {
                    output.property(name, bootargs)?;
                }
            }
            Kind::End => {
                depth = depth.checked_sub(1).ok_or(FdtError::Malformed)?;
                if depth == 0 && !written {
                    output.put(&BEGIN_NODE.to_be_bytes())?;
                    output.put(b"chosen\0\0")?;
                    output.property(name, bootargs)?;
                    output.put(&END_NODE.to_be_bytes())?;
                }
                in_chosen = false;
                output.put(token.bytes)?;
            }
            Kind::Property(..) if depth == 0 => return Err(FdtError::Malformed),
            Kind::Property(property, _) if in_chosen && property == b"bootargs" => {}
            Kind::Property(..) => output.put(token.bytes)?,
            Kind::Nothing => {}
        }
    }
    if depth != 0 || !seen_root {
        return Err(FdtError::Malformed);
    }
    output.put(&END.to_be_bytes())
}

/// The pairs of addresses and lengths, with the pair of zeros at their end.
fn reserved(bytes: &[u8]) -> Result<&[u8], FdtError> {
    let pairs = bytes.as_chunks::<16>().0;
    let end = pairs.iter().position(|pair| *pair == [0; 16]).ok_or(FdtError::Malformed)?;
    bytes.get(..(end + 1) * 16).ok_or(FdtError::Malformed)
}

struct Nodes<'a> {
    rest: &'a [u8],
    strings: &'a [u8],
}

struct Token<'a> {
    kind: Kind<'a>,
    bytes: &'a [u8],
}

enum Kind<'a> {
    Begin(&'a [u8]),
    End,
    Property(&'a [u8], &'a [u8]),
    Nothing,
}

impl<'a> Nodes<'a> {
    /// The next token; `None` at the end of the tree.
    fn next(&mut self) -> Result<Option<Token<'a>>, FdtError> {
        let rest = self.rest;
        let (kind, len) = match u32_at(rest, 0).ok_or(FdtError::Malformed)? {
            BEGIN_NODE => {
                let name = text(rest.get(4..).unwrap_or_default())?;
                (Kind::Begin(name), 4 + name.len() + 1)
            }
            END_NODE => (Kind::End, 4),
            PROP => {
                let len = u32_at(rest, 4).and_then(size).ok_or(FdtError::Malformed)?;
                let name = u32_at(rest, 8).and_then(size).ok_or(FdtError::Malformed)?;
                let name = text(self.strings.get(name..).ok_or(FdtError::Malformed)?)?;
                let value = rest.get(12..).and_then(|rest| rest.get(..len)).ok_or(FdtError::Malformed)?;
                (Kind::Property(name, value), 12 + len)
            }
            NOP => (Kind::Nothing, 4),
            END => return Ok(None),
            _ => return Err(FdtError::Malformed),
        };
        let (bytes, rest) = rest.split_at_checked(len.next_multiple_of(4)).ok_or(FdtError::Malformed)?;
        self.rest = rest;
        Ok(Some(Token { kind, bytes }))
    }
}

struct Output<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), FdtError> {
        let place = self.out.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or(FdtError::Full)?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    fn property(&mut self, name: u32, value: &[u8]) -> Result<(), FdtError> {
        self.put(&PROP.to_be_bytes())?;
        self.put(&short(value.len() + 1)?.to_be_bytes())?;
        self.put(&name.to_be_bytes())?;
        self.put(value)?;
        let padding = (value.len() + 1).next_multiple_of(4) - value.len();
        self.put([0; 4].get(..padding).unwrap_or_default())
    }
}

fn text(bytes: &[u8]) -> Result<&[u8], FdtError> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(FdtError::Malformed)?;
    bytes.get(..end).ok_or(FdtError::Malformed)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

fn size(len: u32) -> Option<usize> {
    usize::try_from(len).ok()
}

fn short(len: usize) -> Result<u32, FdtError> {
    u32::try_from(len).map_err(|_| FdtError::Full)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// A node of a made-up tree: its name, and the names and values of its properties.
    type Node<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

    /// A tree of one root with a node for each list of properties.
    pub(crate) fn tree(nodes: &[Node<'_>]) -> Vec<u8> {
        let (mut body, mut strings) = (Vec::new(), Vec::new());
        let begin = |body: &mut Vec<u8>, name: &str| {
            body.extend(BEGIN_NODE.to_be_bytes());
            body.extend(name.as_bytes());
            body.push(0);
            body.resize(body.len().next_multiple_of(4), 0);
        };
        begin(&mut body, "");
        for (name, properties) in nodes {
            begin(&mut body, name);
            for (key, value) in *properties {
                body.extend(PROP.to_be_bytes());
                body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend(u32::try_from(strings.len()).unwrap().to_be_bytes());
                strings.extend(key.as_bytes());
                strings.push(0);
                body.extend(*value);
                body.resize(body.len().next_multiple_of(4), 0);
            }
            body.extend(END_NODE.to_be_bytes());
        }
        body.extend(END_NODE.to_be_bytes());
        body.extend(END.to_be_bytes());
        let at = [56, 56 + body.len(), 40, 56 + body.len() + strings.len()];
        let [nodes, texts, reserved, total] = at.map(|at| u32::try_from(at).unwrap());
        let lens = [strings.len(), body.len()].map(|len| u32::try_from(len).unwrap());
        let head = [MAGIC, total, nodes, texts, reserved, 17, 16, 0, lens[0], lens[1]];
        let mut fdt: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
        fdt.extend([0; 16]);
        fdt.extend(body);
        fdt.extend(strings);
        fdt
    }

    #[test]
    fn the_command_line_is_there_whatever_there_was() {
        let cases: [&[Node<'_>]; 4] = [
            &[],
            &[("memory", &[("reg", b"1234")])],
            &[("chosen", &[("rng-seed", b"x"), ("bootargs", b"old\0"), ("stdout-path", b"/pl011\0")])],
            &[("a", &[("bootargs", b"not this\0")]), ("chosen", &[])],
        ];
        for nodes in cases {
            let fdt = tree(nodes);
            let mut out = [0; 1000];
            for line in ["", "a", "root=/dev/mtdblock0", "abc", "console=ttyAMA0 quiet"] {
                let len = with_bootargs(&fdt, line, &mut out).unwrap();
                assert_eq!(bootargs(&out[..len]), Some(line.as_bytes()));
                assert!(len <= fdt.len() + line.len() + 64);
                // Again over what came out: nothing is there twice.
                let mut again = [0; 1000];
                let twice = with_bootargs(&out[..len], line, &mut again).unwrap();
                assert_eq!(bootargs(&again[..twice]), Some(line.as_bytes()));
                assert_eq!(twice, len + BOOTARGS.len());
                for room in 0..len {
                    assert_eq!(with_bootargs(&fdt, line, &mut out[..room]), Err(FdtError::Full));
                }
            }
            for cut in 0..fdt.len() {
                assert!(with_bootargs(&fdt[..cut], "x", &mut out).is_err());
            }
        }
    }

    #[test]
    fn any_byte_may_be_any_other() {
        let fdt = tree(&[("chosen", &[("bootargs", b"old\0")]), ("cpus", &[("reg", b"0000")])]);
        let mut out = [0; 1000];
        for at in 0..fdt.len() {
            for value in [0, 1, 2, 3, 4, 9, 0x7F, 0xFF] {
                let mut fdt = fdt.clone();
                fdt[at] = value;
                if let Ok(len) = with_bootargs(&fdt, "new", &mut out) {
                    assert_eq!(bootargs(&out[..len]), Some(&b"new"[..]), "{at} {value}");
                }
            }
        }
    }
}
