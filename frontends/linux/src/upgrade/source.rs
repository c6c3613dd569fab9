//! An image that is offered: found, fetched, and checked to its last byte before anything is written to the flash.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use hmac_sha256::Hash;
use lunix_core::slots::image::{HEADER_LEN, Header, Piece};

use super::http;

/// An image whose parts have the hashes that its header says. Whose it is has not been looked at.
#[derive(Debug)]
pub(super) struct Source {
    /// What it is.
    pub(super) header: Header,
    file: File,
}

impl Source {
    /// The image at `place`: a path, or `http://…`, of at most `limit` bytes.
    ///
    /// # Errors
    /// It is none, or not whole, in one line.
    pub(super) fn open(place: &str, limit: u32) -> Result<Self, String> {
        let said = |error: &dyn std::fmt::Display| format!("{place}: {error}");
        let file = if place.contains("://") {
            // In memory, so that the flash is touched only when all is there and right.
            let memory = rustix::fs::memfd_create("image", rustix::fs::MemfdFlags::CLOEXEC);
            let mut file = File::from(memory.map_err(|error| said(&error))?);
            http::fetch(place, u64::from(limit), &mut file).map_err(|error| said(&error))?;
            file
        } else {
            File::open(place).map_err(|error| said(&error))?
        };
        Self::check(file).map_err(|error| said(&error))
    }

    fn check(file: File) -> Result<Self, String> {
        let len = file.metadata().map_err(|error| error.to_string())?.len();
        let mut bytes = [0; HEADER_LEN];
        if len < bytes.len() as u64 {
            return Err("no lunix image: shorter than a header".to_owned());
        }
        file.read_exact_at(&mut bytes, 0).map_err(|error| error.to_string())?;
        let header = Header::decode(&bytes).map_err(|error| error.to_string())?;
        if u64::from(header.len) != len {
            return Err(format!("expected {} bytes, found {len}: it is not whole", header.len));
        }
        let source = Self { header, file };
        for (name, piece) in [("kernel", header.kernel), ("root", header.root), ("manifest", header.manifest)]
        {
            if piece.len > 0 && !source.is_whole(&piece).map_err(|error| error.to_string())? {
                return Err(format!("the {name} is damaged"));
            }
        }
        Ok(source)
    }

    /// Some bytes of it.
    ///
    /// # Errors
    /// Those of the file; its end.
    pub(super) fn read(&self, at: u32, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, u64::from(at))
    }

    fn is_whole(&self, piece: &Piece) -> io::Result<bool> {
        hash(piece, |at, out| self.read(at, out)).map(|hash| hash == piece.sha256.0)
    }
}

/// The SHA-256 of a piece, read in parts.
///
/// # Errors
/// Those of `read`.
pub(super) fn hash(
    piece: &Piece,
    mut read: impl FnMut(u32, &mut [u8]) -> io::Result<()>,
) -> io::Result<[u8; 32]> {
    let mut hash = Hash::new();
    let mut buffer = vec![0; 32 << 10];
    let (mut at, end) = (piece.offset, piece.offset.saturating_add(piece.len));
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..len).unwrap_or_default();
        read(at, part)?;
        hash.update(part);
        at = at.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }
    Ok(hash.finalize())
}
