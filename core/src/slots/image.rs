//! An image: what `lunix upgrade` is given as a file, and what a slot holds, byte for byte the same.
//!
//! A [`Header`] of [`HEADER_LEN`] bytes, then the parts, each at a multiple of [`ALIGNMENT`]; what is between them is 0xFF,
//! as erased flash is. All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | [`MAGIC`] |
//! | 8 | u32: [`FORMAT`] |
//! | 12 | u32: length of the image, to the end of its last part |
//! | 16 | 32 bytes: the board, as `arm-virt` |
//! | 48 | 32 bytes: the version, as `0.1.0` |
//! | 80 | 128 bytes: what the boot loader puts first on the kernel's command line, as `console=ttyAMA0` |
//! | 208 | three parts of 40 bytes, kernel, root, manifest: u32 offset, u32 length, SHA-256 |
//! | 328 | u64: when it was made, in seconds of the epoch (`SOURCE_DATE_EPOCH`) |
//! | 336 | zeros; refused if there is anything else |
//! | 432 | 8 bytes: which key signed it, the first bytes of the public key; zeros if none did |
//! | 440 | 64 bytes: Ed25519 signature over the first 432 bytes |
//! | 504 | u32: zero |
//! | 508 | u32: CRC-32 of the first 508 bytes |
//!
//! The hashes of the parts are signed with the header, so whoever has checked the signature and then the hashes has
//! checked everything. A boot loader checks the hashes only.
//!
//! ```
//! use lunix_core::slots::{Name, image::{Digest, Header, HEADER_LEN, Lengths}};
//! # fn sha256(_: &[u8]) -> Digest { Digest([7; 32]) }
//! let (kernel, root) = (b"a kernel", b"a squashfs");
//! let header = Header::new(
//!     Name::new("arm-virt").unwrap(),
//!     Name::new("0.1.0").unwrap(),
//!     Name::new("console=ttyAMA0").unwrap(),
//!     Lengths { kernel: 8, root: 10, manifest: 0 },
//!     [sha256(kernel), sha256(root), sha256(b"")],
//! )?;
//! assert_eq!((header.kernel.offset, header.root.offset, header.len), (4096, 8192, 8202));
//! let bytes: [u8; HEADER_LEN] = header.encode();
//! assert_eq!(Header::decode(&bytes), Ok(header));
//! # Ok::<(), lunix_core::slots::image::HeaderError>(())
//! ```

use core::fmt;

use super::Name;
use crate::device::crc32;

/// How an image begins.
pub const MAGIC: [u8; 8] = *b"LUNIXIMG";

/// The format that is described here.
pub const FORMAT: u32 = 1;

/// Bytes of a header.
pub const HEADER_LEN: usize = 512;

/// Bytes of a header that are signed.
pub const SIGNED_LEN: usize = 432;

/// Parts begin at multiples of this.
pub const ALIGNMENT: u32 = 4096;

/// The longest manifest.
pub const MAX_MANIFEST: u32 = 128 << 10;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Piece {
    /// From the beginning of the image (and of the slot).
    pub offset: u32,
    /// Bytes; zero if the image has no such part.
    pub len: u32,
    /// Of these bytes.
    pub sha256: Digest,
}

/// Bytes of each part, for an image that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lengths {
    /// As the boot loader of the board starts it (zImage, bzImage).
    pub kernel: u32,
    /// A squashfs.
    pub root: u32,
    /// What is in the root file system, see [`super::manifest`]; zero for none.
    pub manifest: u32,
}

/// Which key signed an image: the first bytes of the public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub [u8; 8]);

/// A signature, and of which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Whose.
    pub key: KeyId,
    /// Ed25519 over [`Header::signed_bytes`].
    pub signature: [u8; 64],
}

/// What an image is and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The hardware for which it is made.
    pub board: Name<32>,
    /// Its version, ordered by [`newer`](super::newer).
    pub version: Name<32>,
    /// What comes first on the kernel's command line.
    pub options: Name<128>,
    /// When it was made, in seconds of the epoch.
    pub made: u64,
    /// Bytes of the image.
    pub len: u32,
    /// The kernel.
    pub kernel: Piece,
    /// The root file system.
    pub root: Piece,
    /// The list of the root file system's files; may be absent.
    pub manifest: Piece,
    /// `None` if nobody signed it.
    pub signed: Option<Signed>,
}

/// What tells one image from another where a slot is named: the checksum of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageId(pub u32);

/// Why this is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer than [`HEADER_LEN`] bytes.
    Short,
    /// It does not begin as an image does.
    Magic,
    /// It is of a format that came later than this program.
    Format(u32),
    /// The checksum is wrong: it is damaged.
    Checksum,
    /// The board, the version or the options are no text, or there is none.
    Text,
    /// The parts are out of order, overlap, are empty or not aligned, or reach beyond the end.
    Parts,
    /// Something stands where this format has nothing.
    Reserved,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "shorter than a header",
            Self::Magic => "no lunix image",
            Self::Format(format) => return write!(f, "format {format}, which this lunix does not know"),
            Self::Checksum => "the header is damaged",
            Self::Text => "the board, the version or the options are no text",
            Self::Parts => "the parts are not where they can be",
            Self::Reserved => "the header has what this lunix does not know",
        })
    }
}

impl core::error::Error for HeaderError {}

impl Header {
    /// The header of an image that is made: the parts follow each other as close as they may. Not signed, made at 0.
    ///
    /// # Errors
    /// [`HeaderError::Text`] without a board or a version, [`HeaderError::Parts`] without a kernel or a root, with a manifest
    /// of more than [`MAX_MANIFEST`], or with more than 4 GiB.
    pub fn new(
        board: Name<32>,
        version: Name<32>,
        options: Name<128>,
        lengths: Lengths,
        digests: [Digest; 3],
    ) -> Result<Self, HeaderError> {
        let [kernel_sha256, root_sha256, manifest_sha256] = digests;
        let aligned = |end: u32| end.checked_next_multiple_of(ALIGNMENT).ok_or(HeaderError::Parts);
        let piece = |offset, len, sha256| Piece { offset, len, sha256 };
        let kernel = piece(ALIGNMENT, lengths.kernel, kernel_sha256);
        let root = piece(aligned(kernel.end()?)?, lengths.root, root_sha256);
        let manifest = match lengths.manifest {
            0 => Piece::default(),
            len => piece(aligned(root.end()?)?, len, manifest_sha256),
        };
        let len = if manifest.len == 0 { root.end()? } else { manifest.end()? };
        let header = Self { board, version, options, made: 0, len, kernel, root, manifest, signed: None };
        header.check()?;
        Ok(header)
    }

    /// What a header says. More bytes than [`HEADER_LEN`] may follow.
    ///
    /// # Errors
    /// It is none, is damaged, or is not within the rules of this format.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(HeaderError::Short)?;
        let mut reader = Reader(bytes);
        if reader.take() != MAGIC {
            return Err(HeaderError::Magic);
        }
        let format = reader.u32();
        if format != FORMAT {
            return Err(HeaderError::Format(format));
        }
        if id(bytes) != stored_id(bytes) {
            return Err(HeaderError::Checksum);
        }
        let len = reader.u32();
        let board = Name::decode(reader.take()).ok_or(HeaderError::Text)?;
        let version = Name::decode(reader.take()).ok_or(HeaderError::Text)?;
        let options = Name::decode(reader.take()).ok_or(HeaderError::Text)?;
        let [kernel, root, manifest] = core::array::from_fn(|_| Piece {
            offset: reader.u32(),
            len: reader.u32(),
            sha256: Digest(reader.take()),
        });
        let made = u64::from_le_bytes(reader.take());
        let reserved: [u8; 96] = reader.take();
        let key = KeyId(reader.take());
        let signature = reader.take();
        if reserved != [0; 96] || reader.u32() != 0 {
            return Err(HeaderError::Reserved);
        }
        let signed = match (key, signature) {
            (KeyId([0, 0, 0, 0, 0, 0, 0, 0]), signature) if signature == [0; 64] => None,
            (key, signature) => Some(Signed { key, signature }),
        };
        let header = Self { board, version, options, made, len, kernel, root, manifest, signed };
        header.check()?;
        Ok(header)
    }

    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut writer = Writer(&mut bytes);
        writer.put(&MAGIC);
        writer.put(&FORMAT.to_le_bytes());
        writer.put(&self.len.to_le_bytes());
        writer.put(self.board.bytes());
        writer.put(self.version.bytes());
        writer.put(self.options.bytes());
        for piece in [self.kernel, self.root, self.manifest] {
            writer.put(&piece.offset.to_le_bytes());
            writer.put(&piece.len.to_le_bytes());
            writer.put(&piece.sha256.0);
        }
        writer.put(&self.made.to_le_bytes());
        writer.put(&[0; 96]);
        if let Some(signed) = self.signed {
            writer.put(&signed.key.0);
            writer.put(&signed.signature);
        }
        let crc = id(&bytes).0.to_le_bytes();
        if let Some(last) = bytes.last_chunk_mut() {
            *last = crc;
        }
        bytes
    }

    /// What is signed.
    pub fn signed_bytes(&self) -> [u8; SIGNED_LEN] {
        self.encode().first_chunk().copied().unwrap_or([0; SIGNED_LEN])
    }

    /// What tells this image from another.
    pub fn id(&self) -> ImageId {
        id(&self.encode())
    }

    /// The parts that it has, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        [self.kernel, self.root, self.manifest].into_iter().filter(|piece| piece.len > 0)
    }

    fn check(&self) -> Result<(), HeaderError> {
        if self.board.as_str().is_empty() || self.version.as_str().is_empty() {
            return Err(HeaderError::Text);
        }
        let mut end = ALIGNMENT;
        for piece in [self.kernel, self.root, self.manifest] {
            if piece.len == 0 && piece == self.manifest && piece == Piece::default() {
                continue;
            }
            if piece.len == 0 || piece.offset < end || !piece.offset.is_multiple_of(ALIGNMENT) {
                return Err(HeaderError::Parts);
            }
            end = piece.end()?;
        }
        if self.manifest.len > MAX_MANIFEST || end != self.len {
            return Err(HeaderError::Parts);
        }
        Ok(())
    }
}

impl Piece {
    fn end(&self) -> Result<u32, HeaderError> {
        self.offset.checked_add(self.len).ok_or(HeaderError::Parts)
    }
}

fn id(bytes: &[u8; HEADER_LEN]) -> ImageId {
    let checked = bytes.get(..HEADER_LEN - 4).unwrap_or_default();
    ImageId(!crc32::update(!0, checked))
}

fn stored_id(bytes: &[u8; HEADER_LEN]) -> ImageId {
    ImageId(bytes.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc)))
}

/// Takes what is there, and zeros behind the end.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((taken, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        *taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some((place, rest)) = core::mem::take(&mut self.0).split_at_mut_checked(bytes.len()) {
            place.copy_from_slice(bytes);
            self.0 = rest;
        }
    }
}
