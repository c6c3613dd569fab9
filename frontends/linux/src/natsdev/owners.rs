//! The files of users and groups.

use super::device::{Root, limited};

/// Bytes of a file that are looked at.
const FILE: u64 = 1 << 20;

/// A field, counted from 0, of the line in `file` of which another one is as told.
pub(super) fn field(
    root: &Root,
    file: &str,
    (index, text): (usize, &[u8]),
    wanted: usize,
) -> Option<Vec<u8>> {
    let lines = limited(&root.path(file), FILE).ok()?;
    let mut lines = lines.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':'));
    let mut line = lines.find(|fields| fields.clone().nth(index) == Some(text))?;
    line.nth(wanted).map(<[u8]>::to_vec)
}
