//! For who makes images: `--pack`, `--sign`, `--new-key`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac_sha256::Hash;
use lunix_core::slots::Name;
use lunix_core::slots::image::{Digest, HEADER_LEN, Header, Lengths, MAX_MANIFEST};
use lunix_core::slots::manifest::{MAX_PATH, Manifest};

use super::{Failure, keys};
use crate::cli::Matches;

/// The largest kernel, root file system or file of it that is taken.
const MAX_PART: u64 = 64 << 20;

/// Makes an image.
///
/// # Errors
/// A part is missing or cannot be read.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    let missing: Vec<_> = ["kernel", "root", "board", "release", "output"]
        .into_iter()
        .filter(|key| !matches.has(key))
        .map(|key| format!("--{key}"))
        .collect();
    let (Some(kernel), Some(root), Some(board), Some(release), Some(output)) = (
        matches.path("kernel"),
        matches.path("root"),
        matches.text("board")?,
        matches.text("release")?,
        matches.path("output"),
    ) else {
        return Err(matches.error(format_args!("--pack needs {} as well", missing.join(", "))).into());
    };
    let board = Name::new(board)
        .filter(|_| !board.is_empty())
        .ok_or_else(|| matches.wrong("board", "1 to 32 letters", board))?;
    let version = Name::new(release)
        .filter(|_| release.starts_with(|first: char| first.is_ascii_digit()))
        .ok_or_else(|| matches.wrong("release", "a version as 1.2.3", release))?;
    let options = matches.text("options")?.unwrap_or_default();
    let options =
        Name::new(options).ok_or_else(|| matches.wrong("options", "at most 128 letters", options))?;
    let manifest = match matches.path("root-folder") {
        Some(folder) => {
            manifest(folder).map_err(|error| Failure::new(format_args!("{}: {error}", folder.display())))?
        }
        None => Vec::new(),
    };
    let parts = [read(kernel)?, read(root)?, manifest];
    let [kernel, root, manifest] = parts.each_ref().map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX));
    let digests = parts.each_ref().map(|part| Digest(Hash::hash(part)));
    let mut header = Header::new(board, version, options, Lengths { kernel, root, manifest }, digests)
        .map_err(|error| {
            Failure::new(format_args!("{error}: a kernel and a root, and a list of at most 128 KiB"))
        })?;
    header.made = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    if let Some(key) = matches.path("sign") {
        keys::sign(&mut header, key).map_err(Failure::new)?;
    }
    let mut bytes = vec![0xFF; usize::try_from(header.len).unwrap_or_default()];
    put(&mut bytes, 0, &header.encode());
    for (piece, part) in [header.kernel, header.root, header.manifest].iter().zip(&parts) {
        put(&mut bytes, piece.offset, part);
    }
    let written = File::create(output).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()
    });
    written.map_err(|error| Failure::new(format_args!("{}: {error}", output.display())))?;
    println!("{}: {} for {}, {} bytes", output.display(), header.version, header.board, header.len);
    Ok(())
}

/// Signs an image that is there.
///
/// # Errors
/// It is none; the key is none; it cannot be written.
pub(super) fn sign(matches: &Matches) -> Result<(), Failure> {
    let (Some(image), Some(key)) = (matches.argument(0).map(Path::new), matches.path("sign")) else {
        return Err(matches.error("--sign needs IMAGE").into());
    };
    let said = |error: &dyn std::fmt::Display| Failure::new(format_args!("{}: {error}", image.display()));
    let file = OpenOptions::new().read(true).write(true).open(image).map_err(|error| said(&error))?;
    let mut bytes = [0; HEADER_LEN];
    file.read_exact_at(&mut bytes, 0).map_err(|error| said(&error))?;
    let mut header = Header::decode(&bytes).map_err(|error| said(&error))?;
    keys::sign(&mut header, key).map_err(Failure::new)?;
    file.write_all_at(&header.encode(), 0).and_then(|()| file.sync_all()).map_err(|error| said(&error))
}

/// Makes a key.
///
/// # Errors
/// The file is there.
pub(super) fn new_key(matches: &Matches) -> Result<(), Failure> {
    let path = matches.path("new-key").unwrap_or(Path::new(""));
    println!("{}", keys::make(path).map_err(Failure::new)?);
    Ok(())
}

fn put(bytes: &mut [u8], at: u32, part: &[u8]) {
    let place = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at..)?.get_mut(..part.len()));
    if let Some(place) = place {
        place.copy_from_slice(part);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let said = |error: io::Error| Failure::new(format_args!("{}: {error}", path.display()));
    let len = fs::metadata(path).map_err(said)?.len();
    if len > MAX_PART {
        return Err(Failure::new(format_args!("{}: {len} bytes are too many", path.display())));
    }
    fs::read(path).map_err(said)
}

/// The list of the files below a folder.
fn manifest(folder: &Path) -> io::Result<Vec<u8>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let content = if metadata.is_symlink() {
                fs::read_link(entry.path())?.as_os_str().as_bytes().to_vec()
            } else if metadata.is_file() && metadata.len() <= MAX_PART {
                fs::read(entry.path())?
            } else {
                Vec::new()
            };
            let mut hash = Hash::new();
            hash.update(format!("{:o} ", metadata.permissions().mode()));
            hash.update(&content);
            let digest = hash.finalize();
            let number = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let path = format!("/{}", path.display());
            if path.len() > MAX_PATH {
                return Err(io::Error::other(format!("{path}: the path is too long")));
            }
            files.push((path, number, content.len()));
        }
    }
    files.sort();
    let mut text = String::new();
    for (path, number, len) in files {
        text += &format!("{number:016x} {len} {path}\n");
    }
    match Manifest::parse(text.as_bytes()) {
        Ok(_) => Ok(text.into_bytes()),
        Err(_) if text.len() as u64 > u64::from(MAX_MANIFEST) => {
            Err(io::Error::other("too many files for the list"))
        }
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
