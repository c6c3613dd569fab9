//! A slot's image and the whole flash, byte for byte as a board has them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use lunix_core::slots::environment::{COPY, Environment, Write};
use lunix_core::slots::image::{Digest, HEADER_LEN, Header, ImageId, Lengths};
use lunix_core::slots::{Layout, Name, Part, Slot, command_line};

use super::board::Board;
use crate::shell;

/// What an erased byte is.
const ERASED: u8 = 0xFF;

/// What is in a slot.
pub struct Parts<'a> {
    /// What stands first on the kernel's command line.
    pub options: &'a str,
    pub kernel: &'a Path,
    pub root: &'a Path,
    /// The list of the root's files.
    pub manifest: &'a Path,
}

/// The image of a slot: header, kernel, root, manifest.
pub fn slot(board: &Board, version: &str, parts: &Parts) -> Result<Vec<u8>> {
    let files = [parts.kernel, parts.root, parts.manifest];
    let digests = files.map(digest);
    let [kernel, root, manifest] =
        files.map(|file| fs::read(file).with_context(|| format!("read {}", file.display())));
    let (kernel, root, manifest) = (kernel?, root?, manifest?);
    let [a, b, c] = digests;
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).context("more than 4 GiB");
    let lengths = Lengths { kernel: len(&kernel)?, root: len(&root)?, manifest: len(&manifest)? };
    let name = |text: &str| Name::new(text).with_context(|| format!("{text:?} does not fit into a header"));
    let options = Name::new(parts.options).context("the options do not fit into a header")?;
    let header = Header::new(name(board.name)?, name(version)?, options, lengths, [a?, b?, c?])
        .map_err(|e| anyhow!("{e}"))?;
    let mut image = vec![ERASED; usize::try_from(header.len)?];
    for (piece, bytes) in [(header.kernel, &kernel), (header.root, &root), (header.manifest, &manifest)] {
        let at = usize::try_from(piece.offset)?;
        image.get_mut(at..at + bytes.len()).context("a part is outside the image")?.copy_from_slice(bytes);
    }
    image.get_mut(..HEADER_LEN).context("no room for a header")?.copy_from_slice(&header.encode());
    Ok(image)
}

/// A flash with `image` in slot A, said to be good, and nothing else but the boot loader.
pub fn assemble(layout: &Layout, loader: &[u8], image: &[u8]) -> Result<Vec<u8>> {
    let mut flash = vec![ERASED; usize::try_from(layout.len())?];
    put(layout, Part::Loader, loader, &mut flash)?;
    put(layout, Part::Slot(Slot::A), image, &mut flash)?;
    let id = id(image).context("the image has no header")?;
    write(layout, &environment(layout, &flash)?.settled(Slot::A, id), &mut flash)?;
    Ok(flash)
}

/// What a boot loader does with a flash: which slot it starts, with which header, kernel and command line. The mark of a
/// try is in the flash afterwards.
pub fn start(board: &Board, flash: &mut [u8]) -> Result<Start> {
    let layout = board.layout()?;
    let images = Slot::BOTH.map(|slot| piece(&layout, Part::Slot(slot), flash).and_then(id));
    let boot = environment(&layout, flash)?.choose(images);
    if let Some(mark) = &boot.mark {
        write(&layout, mark, flash)?;
    }
    for slot in boot.slots.into_iter().flatten() {
        let image = piece(&layout, Part::Slot(slot), flash).context("the flash is too short")?;
        let Ok(header) = Header::decode(image) else { continue };
        let part = |offset: u32, len: u32| {
            let at = usize::try_from(offset).ok()?;
            image.get(at..at.checked_add(usize::try_from(len).ok()?)?)
        };
        let Some(kernel) = part(header.kernel.offset, header.kernel.len) else { continue };
        let mut line = [0; command_line::MAX];
        let line = command_line::encode(&layout, slot, &header, board.flash, &mut line)
            .map_err(|e| anyhow!("{e}"))?;
        return Ok(Start { slot, trial: boot.trial, kernel: kernel.to_vec(), command_line: line.to_owned() });
    }
    bail!("no slot of this flash can be started")
}

/// What is started.
pub struct Start {
    pub slot: Slot,
    /// Whether the slot has still to show that it works.
    pub trial: bool,
    pub kernel: Vec<u8>,
    pub command_line: String,
}

fn id(image: &[u8]) -> Option<ImageId> {
    Header::decode(image).ok()?;
    let crc = image.get(HEADER_LEN - 4..HEADER_LEN)?.try_into().ok()?;
    Some(ImageId(u32::from_le_bytes(crc)))
}

fn piece<'a>(layout: &Layout, part: Part, flash: &'a [u8]) -> Option<&'a [u8]> {
    let area = layout.area(part);
    flash.get(usize::try_from(area.offset).ok()?..usize::try_from(area.end()).ok()?)
}

fn put(layout: &Layout, part: Part, bytes: &[u8], flash: &mut [u8]) -> Result<()> {
    let area = layout.area(part);
    let room = usize::try_from(area.len)?;
    ensure!(
        bytes.len() <= room,
        "{} has {} bytes, and {} has room for {room}",
        what(part),
        bytes.len(),
        part.as_str()
    );
    let at = usize::try_from(area.offset)?;
    flash.get_mut(at..at + bytes.len()).context("the flash is too short")?.copy_from_slice(bytes);
    Ok(())
}

fn what(part: Part) -> &'static str {
    match part {
        Part::Loader => "the boot loader",
        Part::Slot(_) => "the image",
        Part::Environment | Part::Data => "it",
    }
}

fn environment(layout: &Layout, flash: &[u8]) -> Result<Environment> {
    let copies = [0, 1].map(|copy| {
        let at = usize::try_from(place(layout, copy)).unwrap_or(usize::MAX);
        flash.get(at..)?.get(..COPY as usize)
    });
    match copies {
        [Some(a), Some(b)] => Ok(Environment::decode(a, b)),
        _ => bail!("the flash is too short"),
    }
}

/// Where a copy of the environment begins.
fn place(layout: &Layout, copy: u32) -> u32 {
    layout.area(Part::Environment).offset + copy * (layout.environment / 2)
}

/// As NOR flash does it: bits are cleared only.
fn write(layout: &Layout, write: &Write, flash: &mut [u8]) -> Result<()> {
    let copy = usize::try_from(place(layout, u32::try_from(write.copy)?))?;
    if write.erase {
        let block = usize::try_from(layout.environment / 2)?;
        flash.get_mut(copy..copy + block).context("the flash is too short")?.fill(ERASED);
    }
    let at = copy + usize::try_from(write.at)?;
    let bytes = write.bytes();
    let place = flash.get_mut(at..at + bytes.len()).context("the flash is too short")?;
    place.iter_mut().zip(bytes).for_each(|(old, new)| *old &= new);
    Ok(())
}

/// A file's SHA-256, in hexadecimal digits.
pub fn sha256(file: &Path) -> Result<String> {
    let said = shell::read(Command::new("sha256sum").arg("-b").arg(file))?;
    Ok(said.split_whitespace().next().context("sha256sum says nothing")?.to_owned())
}

fn digest(file: &Path) -> Result<Digest> {
    let text = sha256(file)?;
    let mut digest = Digest::default();
    for (at, byte) in digest.0.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2).context("a short SHA-256")?, 16)?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::board::BOARDS;
    use crate::paths::Scratch;

    fn image(board: &Board, kernel: &[u8]) -> Vec<u8> {
        let scratch = Scratch::new().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = scratch.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let (kernel, root, manifest) =
            (file("kernel", kernel), file("root", b"a squashfs"), file("manifest", b""));
        let options = board.options;
        slot(board, "1", &Parts { options, kernel: &kernel, root: &root, manifest: &manifest }).unwrap()
    }

    #[test]
    fn a_new_flash_starts_slot_a() {
        for board in BOARDS {
            let image = image(board, b"a kernel");
            let mut flash = assemble(&board.layout().unwrap(), b"", &image).unwrap();
            assert_eq!(flash.len(), 8 << 20);
            let before = flash.clone();
            let start = start(board, &mut flash).unwrap();
            assert_eq!(
                (start.slot, start.trial, start.kernel.as_slice()),
                (Slot::A, false, b"a kernel".as_slice())
            );
            assert!(start.command_line.contains("root=/dev/mtdblock0"), "{}", start.command_line);
            assert_eq!(flash, before, "nothing is on trial, so nothing is marked");
        }
    }

    #[test]
    fn a_slot_on_trial_has_one_try() {
        let board = Board::of("x86_64", false).unwrap();
        let layout = board.layout().unwrap();
        let (old, new) = (image(board, b"old"), image(board, b"new"));
        let mut flash = assemble(&layout, b"", &old).unwrap();
        put(&layout, Part::Slot(Slot::B), &new, &mut flash).unwrap();
        let trial =
            environment(&layout, &flash).unwrap().trial(Slot::A, id(&old).unwrap(), id(&new).unwrap(), 1);
        write(&layout, &trial, &mut flash).unwrap();
        let first = start(board, &mut flash).unwrap();
        assert_eq!((first.slot, first.trial, first.kernel.as_slice()), (Slot::B, true, b"new".as_slice()));
        let second = start(board, &mut flash).unwrap();
        assert_eq!(
            (second.slot, second.trial, second.kernel.as_slice()),
            (Slot::A, false, b"old".as_slice())
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layout = Board::of("arm-virt", false).unwrap().layout().unwrap();
        let error = assemble(&layout, b"", &vec![0; 4 << 20]).unwrap_err().to_string();
        assert_eq!(error, "the image has 4194304 bytes, and slot-a has room for 3145728");
    }
}
