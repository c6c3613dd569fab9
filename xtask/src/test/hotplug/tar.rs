//! What `tar` has packed in the guest: nodes and links, too, which a file system of this machine need not hold.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File(Vec<u8>),
    Link(String),
    Folder,
    /// A character device, or a block device.
    Node {
        block: bool,
        major: u32,
        minor: u32,
    },
    Other,
}

/// One file, by its path in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) kind: Kind,
}

const BLOCK: usize = 512;

/// Reads an archive (POSIX.1-1988, with GNU's long names).
pub(super) fn read(archive: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let (mut long_path, mut long_link) = (None, None);
    let mut rest = archive;
    while let Some((header, body)) = rest.split_at_checked(BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            return Ok(entries);
        }
        let number = |at: usize, len: usize| -> Result<u32> {
            let text = text(&header[at..at + len]);
            u32::from_str_radix(text.trim(), 8).with_context(|| format!("'{text}' is no octal number"))
        };
        let number_or_0 = |at, len| number(at, len).unwrap_or(0);
        let size = usize::try_from(number(124, 12)?)?;
        ensure!(size <= body.len(), "the archive ends in the middle of a file");
        let content = &body[..size];
        rest = body.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
        let link = long_link.take().unwrap_or_else(|| text(&header[157..257]));
        let kind = match header[156] {
            b'L' => {
                long_path = Some(text(content));
                long_link = Some(link).filter(|link| !link.is_empty());
                continue;
            }
            b'K' => {
                long_link = Some(text(content));
                continue;
            }
            b'0' | 0 => Kind::File(content.to_vec()),
            b'2' => Kind::Link(link),
            b'3' | b'4' => Kind::Node {
                block: header[156] == b'4',
                major: number_or_0(329, 8),
                minor: number_or_0(337, 8),
            },
            b'5' => Kind::Folder,
            _ => Kind::Other,
        };
        let path = long_path.take().unwrap_or_else(|| text(&header[..100]));
        entries.push(Entry {
            path: path.trim_end_matches('/').to_owned(),
            mode: number(100, 8)? & 0o7777,
            uid: number(108, 8)?,
            gid: number(116, 8)?,
            kind,
        });
    }
    anyhow::bail!("the archive has no end")
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// What lines of base64 hold when they are unpacked (gzip).
pub(super) fn unpack(lines: &[String]) -> Result<Vec<u8>> {
    let packed = filter(Command::new("base64").arg("-d"), lines.join("\n").into_bytes())?;
    filter(Command::new("gzip").arg("-dc"), packed)
}

fn filter(command: &mut Command, input: Vec<u8>) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let mut stdin = child.stdin.take().context("no input")?;
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{name} cannot read what the guest sent");
    writer.join().ok().context("a thread that panicked")??;
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Scratch;

    #[test]
    fn gnu_tar_is_read() {
        let scratch = Scratch::new().unwrap();
        let long = "n".repeat(120);
        std::fs::create_dir(scratch.path().join("d")).unwrap();
        std::fs::write(scratch.path().join("d").join(&long), "hello").unwrap();
        std::os::unix::fs::symlink(&long, scratch.path().join("d/link")).unwrap();
        let output = Command::new("tar")
            .args(["--format=gnu", "--sort=name", "-cf", "-", "d"])
            .current_dir(scratch.path())
            .output()
            .unwrap();
        let entries = read(&output.stdout).unwrap();
        let found: Vec<(&str, &Kind)> =
            entries.iter().map(|entry| (entry.path.as_str(), &entry.kind)).collect();
        assert_eq!(found[0], ("d", &Kind::Folder));
        assert_eq!(found[1], ("d/link", &Kind::Link(long.clone())));
        assert_eq!(found[2].0, format!("d/{long}"));
        assert_eq!(found[2].1, &Kind::File(b"hello".to_vec()));
        assert!(read(&output.stdout[..1024]).is_err());
    }
}
